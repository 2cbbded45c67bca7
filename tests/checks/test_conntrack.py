"""conntrack: facts in, findings out; and the kernel's tables as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from k8sdoctor.checks.conntrack import conntrack
from k8sdoctor.facts.cluster_dns import Backend, ClusterDns, DnsAddress
from k8sdoctor.facts.conntrack import COUNT, MAX, TABLE, Conntrack, ConntrackBefore, DnsEntry
from k8sdoctor.facts.conntrack_losses import STATISTICS
from k8sdoctor.finding import Certainty, Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, HostError

SERVICE = "10.96.0.10"
DNS = ClusterDns(
    (DnsAddress(SERVICE, "service kube-system/kube-dns"),),
    service="kube-system/kube-dns",
    backends=(Backend("10.244.0.2", 53, "coredns-1", local=True, source=""),),
    complete=True,
)
ROOM = Conntrack(100, 1000, {}, {"insert_failed": 7, "drop": 0, "early_drop": 0})
HELD = DnsEntry(SERVICE, "10.244.0.99", unreplied=True, line="udp 17 29 …")
GOOD = DnsEntry(SERVICE, "10.244.0.2", unreplied=False, line="udp 17 29 …")

NAMES = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new"
ROW = "0000000a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 {:08x} {:08x} 00000000 00000000  00000000"
LINES = """\
ipv4     2 tcp      6 86398 ESTABLISHED src=10.0.0.1 dst=10.96.0.10 sport=1 dport=53 src=10.244.0.2 dst=10.0.0.1 sport=53 dport=1 use=2
ipv4     2 udp      17 26 src=10.244.0.5 dst=10.96.0.10 sport=46 dport=53 [UNREPLIED] src=10.244.0.99 dst=10.244.0.5 sport=53 dport=46 use=2
ipv4     2 udp      17 26 src=10.244.0.5 dst=10.96.0.100 sport=46 dport=53 src=10.244.0.9 dst=10.244.0.5 sport=53 dport=46 use=2
ipv4     2 udp      17 26 src=10.244.0.5 dst=10.96.0.10 sport=46 dport=9153 src=10.244.0.9 dst=10.244.0.5 sport=9153 dport=46 use=2
ipv6     10 udp      17 26 src=fd00:0244:0000:0000:0000:0000:0000:0005 dst=fd00:0096:0000:0000:0000:0000:0000:000a sport=46 dport=53 src=fd00:0244:0000:0000:0000:0000:0000:0002 dst=fd00:0244:0000:0000:0000:0000:0000:0005 sport=53 dport=46 use=2
"""


def judge(table: Conntrack | Unobserved, dns: ClusterDns = DNS) -> list[Finding]:
    return list(conntrack(table, dns))


def reasons(table: Conntrack | Unobserved, dns: ClusterDns = DNS) -> list[tuple[Status, str]]:
    return [(finding.status, finding.reason) for finding in judge(table, dns)]


def test_room_and_no_loss_is_healthy_whatever_was_lost_since_boot() -> None:
    assert reasons(ROOM) == [(Status.PASS, "RoomLeft")]
    assert reasons(replace(ROOM, count=899)) == [(Status.PASS, "RoomLeft")]


def test_a_table_that_is_nearly_full_warns_and_a_full_one_fails() -> None:
    assert reasons(replace(ROOM, count=900)) == [(Status.WARN, "TableNearlyFull")]
    [finding] = judge(replace(ROOM, count=1000))
    assert (finding.status, finding.reason) == (Status.FAIL, "TableFull")
    assert {link.reason for link in finding.explains} == {"NoReply", "RepliesLost", "SlowReply"}
    assert finding.fix is not None
    assert finding.fix.commands == ("sysctl -w net.netfilter.nf_conntrack_max=262144",)


def test_drops_for_want_of_room_mean_a_full_table_even_when_it_has_room_again() -> None:
    assert reasons(replace(ROOM, count=950, lost={"drop": 3})) == [(Status.FAIL, "TableFull")]


def test_losses_while_dns_was_asked_are_a_warning() -> None:
    [finding] = judge(replace(ROOM, lost={"insert_failed": 2}))

    assert (finding.status, finding.reason) == (Status.WARN, "InsertFailing")
    assert "insert_failed rose by 2" in finding.message


def test_a_lost_race_counts_as_dropped_too_and_makes_no_table_full() -> None:
    [finding] = judge(replace(ROOM, lost={"insert_failed": 2, "drop": 2}, kernel="6.1.0-28-amd64"))

    assert (finding.status, finding.reason) == (Status.WARN, "InsertFailing")
    [link] = [link for link in finding.explains if link.check == "dns-path"]
    assert (link.reason, link.certainty, link.when) == ("PairLost", Certainty.PROVEN, frozenset({"pairs:raced"}))

    assert reasons(replace(ROOM, lost={"insert_failed": 2, "drop": 3}, kernel="6.1.0-28-amd64")) == [
        (Status.FAIL, "TableFull")
    ]


def test_a_race_that_the_kernel_settled_lost_nothing() -> None:
    assert reasons(replace(ROOM, lost={"insert_failed": 2}, kernel="5.4.0-150-generic")) == [(Status.PASS, "RoomLeft")]
    assert reasons(replace(ROOM, lost={"insert_failed": 2}, kernel="3.10.0-1160.el7.x86_64")) == [
        (Status.WARN, "InsertFailing")
    ]


def test_an_entry_that_leads_to_no_backend_is_stale_and_one_that_leads_to_one_is_not() -> None:
    [finding] = judge(replace(ROOM, entries=(HELD, HELD, GOOD)))

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "StaleEntry", "10.244.0.99")
    assert "2 tracked DNS connections" in finding.message
    assert reasons(replace(ROOM, entries=(GOOD,))) == [(Status.PASS, "RoomLeft")]


@pytest.mark.parametrize(
    "dns", [replace(DNS, complete=False), replace(DNS, backends=())], ids=["backends not told", "no backend"]
)
def test_without_a_list_of_backends_no_entry_is_called_stale(dns: ClusterDns) -> None:
    assert reasons(replace(ROOM, entries=(HELD,)), dns) == [(Status.PASS, "RoomLeft")]


def test_an_entry_that_is_not_translated_leads_to_the_service_and_is_not_stale() -> None:
    own = DnsEntry(SERVICE, SERVICE, unreplied=True, line="")

    assert reasons(replace(ROOM, entries=(own,))) == [(Status.PASS, "RoomLeft")]


def test_entries_that_may_not_be_read_are_unknown() -> None:
    assert reasons(replace(ROOM, entries=None, blind="Permission denied")) == [(Status.UNKNOWN, "EntriesUnread")]


def test_a_kernel_that_tracks_nothing_is_skipped_and_one_that_may_not_be_asked_is_unknown() -> None:
    assert reasons(Unobserved("NotFound", "x")) == [(Status.SKIP, "NoConntrack")]
    assert reasons(Unobserved("NotPermitted", "x")) == [(Status.UNKNOWN, "NotPermitted")]


# -- the fact --------------------------------------------------------------------------------------------------------


def statistics(*rows: tuple[int, int]) -> str:
    return "\n".join([NAMES, *(ROW.format(*row) for row in rows)]) + "\n"


FILES: dict[str, str | HostError] = {
    COUNT: "12\n",
    MAX: "262144\n",
    STATISTICS: statistics((1, 0), (2, 0)),
    f"{STATISTICS}#1": statistics((1, 0), (18, 0)),
    TABLE: LINES,
}


def observe(**changed: str | HostError) -> Conntrack:
    host = FakeHost({**FILES, **{{"statistics": STATISTICS, "table": TABLE, "count": COUNT}[key]: value for key, value in changed.items()}})  # fmt: skip
    dns = ClusterDns((DnsAddress(SERVICE, ""), DnsAddress("fd00:96::a", "")))
    return Conntrack.observe(host, ConntrackBefore.observe(host), dns, Unobserved("Offline", ""))


def test_counters_are_summed_over_processors_and_compared_with_before() -> None:
    found = observe()

    assert (found.count, found.maximum) == (12, 262144)
    assert found.lost == {"insert_failed": 16}
    assert found.since_boot == {"insert_failed": 19, "drop": 0, "early_drop": 0}


def test_only_udp_connections_to_the_dns_addresses_are_entries_in_both_families() -> None:
    found = observe()

    assert found.entries is not None
    assert [(one.address, one.backend, one.unreplied) for one in found.entries] == [
        (SERVICE, "10.244.0.99", True),
        ("fd00:96::a", "fd00:244::2", False),
    ]


def test_a_kernel_that_shows_no_entries_has_none_to_judge_and_a_forbidden_table_is_told() -> None:
    assert observe(table=HostError("NotFound", "no such file")).entries == ()
    assert observe(table=HostError("NotPermitted", "run as root")).entries is None


@pytest.mark.parametrize(
    "text", ["", "garbage\n", f"{NAMES}\n", f"{NAMES}\nx y z\n", f"{NAMES}\n" + f"{'9' * 400} " * 20]
)
def test_statistics_that_are_none_are_unreadable(text: str) -> None:
    with pytest.raises(HostError) as refused:
        observe(statistics=text)

    assert refused.value.reason == "Unreadable"


@pytest.mark.parametrize("count", ["many", "-1", "4294967296", "9" * 400, "9" * 5000])
def test_a_count_that_is_no_counter_of_the_kernel_is_unreadable(count: str) -> None:
    with pytest.raises(HostError, match="not a number of connections"):
        observe(count=count)
