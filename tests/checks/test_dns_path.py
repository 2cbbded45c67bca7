"""What keeps DNS from passing: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from k8sdoctor.checks.dns_path import dns_path
from k8sdoctor.facts.cluster_dns import ClusterDns, DnsAddress
from k8sdoctor.facts.dns_pairs import DnsPairs
from k8sdoctor.facts.dns_path import DnsPath, Overlay
from k8sdoctor.facts.dns_replies import View
from k8sdoctor.facts.packet_filters import FilterRule, parse_iptables, parse_nft
from k8sdoctor.facts.pod_namespaces import PodNamespace
from k8sdoctor.finding import Certainty, Finding, Status, Unobserved
from k8sdoctor.host.answers import DnsOutcome, DnsQuery, DnsReply

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE, BACKEND = "10.96.0.10", "10.244.0.22"
DNS = ClusterDns((DnsAddress(SERVICE, "clusterDNS"),), service="kube-system/kube-dns")
VIEW = View(PodNamespace("/run/netns/a", 1, "default/a", ("10.244.0.5",), "cni0", {}))


UNPAIRED = DnsPairs()


def outcome(
    *,
    good: bool = False,
    server: str = SERVICE,
    transport: Literal["udp", "tcp"] = "udp",
    source: str | None = None,
    offender: str | None = None,
) -> DnsOutcome:
    reply = DnsReply(
        source=source or server, port=53, seconds=0.001, matches=True, rcode="NOERROR", truncated=False, answers=[]
    )
    return DnsOutcome(
        query=DnsQuery(server=server, port=53, transport=transport, name="a.", type="A", attempt=0),
        replies=[reply] if good or source else [],
        dropped=0,
        error="refused" if offender else None,
        offender=offender,
        seconds=3.0,
    )


LOST = outcome()
SEEN = DnsPath(asked=True, view=VIEW, lost=(LOST,) * 8, again=(LOST,) * 4, reverse_path=0)


def iptables(line: str, table: str = "filter", packets: int = 9) -> FilterRule:
    [rule] = parse_iptables(f"*{table}\n[{packets}:900] {line}\n", "iptables-save", 4)
    return rule


def nft(line: str, table: str = "inet fw", chain: str = "forward") -> FilterRule:
    [rule] = parse_nft(f"table {table} {{ # handle 1\nchain {chain} {{ # handle 2\n{line} # handle 7\n")
    return rule


DROP = iptables("-A FORWARD -p udp -m udp --dport 53 -j DROP")
POLICY = FilterRule("iptables-save", 4, "filter", "FORWARD", "drop", packets=9)


def judge(path: DnsPath | Unobserved, dns: ClusterDns = DNS, pairs: DnsPairs | Unobserved = UNPAIRED) -> list[Finding]:
    return list(dns_path(path, dns, pairs))


def blame(rule: FilterRule, packets: int = 4, seen: DnsPath = SEEN) -> list[Finding]:
    return judge(replace(seen, rose=((rule, packets),)))


def test_a_node_where_nothing_was_lost_passes() -> None:
    [finding] = judge(DnsPath(asked=True))

    assert (finding.status, finding.reason) == (Status.PASS, "PathClear")


def test_a_node_without_a_pod_to_ask_from_is_skipped() -> None:
    [finding] = judge(DnsPath())

    assert (finding.status, finding.reason) == (Status.SKIP, "NotAsked")


def test_a_loss_that_nothing_here_explains_is_no_fault_of_the_path() -> None:
    [finding] = judge(SEEN)

    assert (finding.status, finding.reason) == (Status.PASS, "PathClear")
    assert "8 DNS queries of pod default/a were lost" in finding.message
    assert "0 of 4 were answered" in finding.message


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (POLICY, "ForwardPolicyDrop"),
        (DROP, "Blocked"),
        (iptables("-A INPUT -p udp -m multiport --dports 50:60,99 -j REJECT"), "Blocked"),
        (iptables("-A FORWARD -s 10.244.0.0/16 -j DROP"), "Blocked"),
        (iptables("-A cali-fw-cali1 -m comment --comment 'cali:x' -j DROP"), "PolicyBlocks"),
        (iptables("-A KUBE-POD-FW-ABC -j REJECT"), "PolicyBlocks"),
        (iptables("-A INPUT -p udp -m udp --dport 8472 -j DROP"), "OverlayBlocked"),
        (iptables("-A ufw-reject-forward -j DROP"), "Blocked"),
        (nft("udp dport 53 counter packets 9 bytes 9 drop"), "Blocked"),
        (nft("udp dport { 53, 5353 } counter packets 9 bytes 9 drop"), "Blocked"),
        (nft("counter packets 9 bytes 9 reject with icmpx admin-prohibited", "inet firewalld"), "Blocked"),
    ],
)
def test_a_rule_that_counted_what_was_lost_is_blamed(rule: FilterRule, reason: str) -> None:
    [finding] = blame(rule)

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert "counted 4 packets" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands
    assert {link.reason for link in finding.explains} >= {"NoReply", "TcpOnly", "UdpOnly", "RepliesLost"}
    ours = [link for link in finding.explains if link.check == "dns-reply-source"]
    assert {trait for link in ours for trait in link.when} == {f"address:{SERVICE}", f"backend:{SERVICE}"}


@pytest.mark.parametrize(
    "rule",
    [
        iptables("-A FORWARD -p tcp -m tcp --dport 53 -j DROP"),
        iptables("-A FORWARD -p udp -m udp --dport 5353 -j DROP"),
        iptables("-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j REJECT"),
        nft("tcp dport 53 counter packets 9 bytes 9 drop"),
        FilterRule("ip6tables-save", 6, "filter", "FORWARD", "drop", packets=9),
    ],
)
def test_a_rule_that_cannot_have_dropped_them_is_not_blamed(rule: FilterRule) -> None:
    [finding] = blame(rule)

    assert finding.reason == "PathClear"


def test_a_rule_that_counted_fewer_than_were_lost_is_not_blamed() -> None:
    assert [one.reason for one in blame(DROP, packets=3)] == ["PathClear"]


@pytest.mark.parametrize(("packets", "reason"), [(2, "OverlayBlocked"), (1, "PathClear")])
def test_a_tunnel_that_only_asks_where_to_send_has_fewer_packets_to_drop(packets: int, reason: str) -> None:
    [finding] = blame(iptables("-A OUTPUT -p udp -m udp --dport 8472 -j DROP"), packets)

    assert finding.reason == reason


@pytest.mark.parametrize(
    ("rule", "packets", "certainty"),
    [
        (POLICY, 4, Certainty.PROVEN),
        (POLICY, 400, Certainty.LIKELY),
        (DROP, 400, Certainty.PROVEN),
        (iptables("-A INPUT -p udp -m udp --dport 8472 -j DROP"), 4, Certainty.LIKELY),
    ],
)
def test_a_rule_that_drops_much_else_is_only_likely(rule: FilterRule, packets: int, certainty: Certainty) -> None:
    [finding] = blame(rule, packets)

    assert {link.certainty for link in finding.explains if link.check == "dns-reply-source"} == {certainty}


def test_a_rule_that_counts_while_every_repeated_query_is_answered_is_not_blamed() -> None:
    assert [one.reason for one in blame(POLICY, seen=replace(SEEN, again=(outcome(good=True),) * 4))] == ["PathClear"]


@pytest.mark.parametrize(("rule", "begins"), [(POLICY, "The policy `drop` of chain"), (DROP, "The rule `")])
def test_what_drops_is_told_in_a_whole_sentence(rule: FilterRule, begins: str) -> None:
    [finding] = blame(rule, 4)

    assert finding.message.startswith(begins)


def test_a_rule_that_drops_some_is_blamed_for_those() -> None:
    some = replace(SEEN, again=(outcome(good=True),) * 3 + (LOST,))
    rule = nft("udp dport 53 numgen random mod 10 0 counter packets 3 bytes 9 drop")
    [finding] = blame(rule, 1, some)

    assert finding.reason == "Blocked"
    assert "1 of 4 DNS queries" in finding.message


def test_a_rule_that_does_not_count_is_only_likely_and_must_name_dns() -> None:
    [finding] = judge(replace(SEEN, silent=(nft("udp dport 53 drop"), nft("udp dport 123 drop"))))

    assert finding.reason == "Blocked"
    assert "does not count packets" in finding.message
    assert {link.certainty for link in finding.explains} == {Certainty.LIKELY}
    assert finding.fix is not None
    assert finding.fix.commands == ("nft delete rule inet fw forward handle 7",)


def test_a_rule_that_does_not_count_yields_to_one_that_did() -> None:
    [finding] = judge(replace(SEEN, rose=((DROP, 4),), silent=(nft("udp dport 53 drop"),)))

    assert finding.subject == "filter/FORWARD"


def test_the_fix_of_a_rule_deletes_that_rule() -> None:
    [finding] = blame(DROP)

    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -t filter -D FORWARD -p udp -m udp --dport 53 -j DROP",)


def test_who_refused_is_told() -> None:
    refused = outcome(offender="10.244.0.1")
    [finding] = blame(DROP, seen=replace(SEEN, again=(refused,) * 4))

    assert "refused by 10.244.0.1" in finding.evidence[1].content


NOTRACK = iptables("-A PREROUTING -p udp -m udp --sport 53 -j CT --notrack", "raw")


def test_a_rule_that_exempts_replies_explains_those_that_go_astray() -> None:
    [finding] = judge(replace(SEEN, notracks=(NOTRACK,), strayed=(BACKEND,)))

    assert (finding.status, finding.reason) == (Status.FAIL, "RepliesUntracked")
    assert BACKEND in finding.message
    assert ("UnexpectedSource", Certainty.PROVEN) in {(link.reason, link.certainty) for link in finding.explains}


@pytest.mark.parametrize(
    ("rule", "strayed"),
    [
        (NOTRACK, ()),
        (iptables("-A PREROUTING -s 169.254.20.10/32 -p udp -m udp --sport 53 -j CT --notrack", "raw"), (BACKEND,)),
        (iptables("-A PREROUTING -p tcp -m tcp --sport 53 -j CT --notrack", "raw"), (BACKEND,)),
        (iptables("-A PREROUTING -p udp -m udp --sport 8080 -j CT --notrack", "raw"), (BACKEND,)),
    ],
)
def test_a_rule_that_exempts_something_else_is_not_blamed(rule: FilterRule, strayed: tuple[str, ...]) -> None:
    assert [one.reason for one in judge(replace(SEEN, notracks=(rule,), strayed=strayed))] == ["PathClear"]


EXEMPT = iptables("-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack", "raw")


def test_a_rule_that_exempts_queries_is_blamed_for_those_that_it_counted() -> None:
    [finding] = judge(replace(SEEN, notracks=(EXEMPT,), exempted=((EXEMPT, 4),), reverse_path=4))

    assert (finding.status, finding.reason) == (Status.FAIL, "RepliesUntracked")
    assert "it counted 4 packets while 4 of 4 DNS queries of pod default/a were lost" in finding.message
    assert ("TcpOnly", Certainty.PROVEN) in {(link.reason, link.certainty) for link in finding.explains}
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -t raw -D PREROUTING -p udp -m udp --dport 53 -j CT --notrack",)


def test_a_rule_of_nftables_that_exempts_queries_and_does_not_count_is_likely() -> None:
    rule = nft("udp dport 53 notrack", "inet fw", "prerouting")
    [finding] = judge(replace(SEEN, notracks=(rule,)))

    assert finding.reason == "RepliesUntracked"
    assert {link.certainty for link in finding.explains} == {Certainty.LIKELY}


@pytest.mark.parametrize(
    ("rule", "counted", "seen"),
    [
        pytest.param(EXEMPT, 3, SEEN, id="it counted fewer"),
        pytest.param(EXEMPT, 4, replace(SEEN, again=(outcome(good=True),) * 4), id="nothing is lost when asked again"),
        pytest.param(EXEMPT, 4, replace(SEEN, again=(outcome(transport="tcp"),) * 4), id="only TCP is lost"),
        pytest.param(NOTRACK, 4, SEEN, id="it is for replies"),
        pytest.param(
            iptables("-A PREROUTING -d 10.96.0.99/32 -p udp -m udp --dport 53 -j CT --notrack", "raw"),
            4,
            SEEN,
            id="it is for another address",
        ),
    ],
)
def test_a_rule_that_exempts_no_lost_query_is_not_blamed(rule: FilterRule, counted: int, seen: DnsPath) -> None:
    found = judge(replace(seen, notracks=(rule,), exempted=((rule, counted),)))

    assert [one.reason for one in found] == ["PathClear"]


def test_a_cache_on_the_node_exempts_what_it_is_asked() -> None:
    cached = replace(DNS, on_node=((SERVICE, "nodelocaldns"),))

    [finding] = judge(replace(SEEN, notracks=(EXEMPT,), exempted=((EXEMPT, 4),)), cached)
    assert finding.reason == "PathClear"


def test_packets_dropped_for_their_reverse_path_are_told() -> None:
    [finding] = judge(replace(SEEN, reverse_path=4))

    assert (finding.status, finding.reason) == (Status.FAIL, "ReversePathFilter")
    assert "dropped 4 packets" in finding.message


@pytest.mark.parametrize("rise", [None, 0, 3])
def test_too_few_packets_dropped_for_their_reverse_path_explain_nothing(rise: int | None) -> None:
    assert [one.reason for one in judge(replace(SEEN, reverse_path=rise))] == ["PathClear"]


def test_rules_that_could_not_be_read_are_unknown_where_queries_were_lost() -> None:
    blind = (Unobserved("NotPermitted", "the command iptables-save may not be run by this user"),)
    [finding] = judge(replace(SEEN, blind=blind))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "RulesUnread")
    assert "may not be run" in finding.message


@pytest.mark.parametrize(("reason", "status"), [("Offline", Status.SKIP), ("NotPermitted", Status.UNKNOWN)])
def test_what_was_not_asked_is_not_judged(reason: str, status: Status) -> None:
    [finding] = judge(Unobserved(reason, "no"))

    assert (finding.status, finding.reason) == (status, reason)


BIG = Overlay("flannel.1", 1500, "eth0", 1500, 50, "VXLAN")
FIT = replace(BIG, mtu=1450)
REMOTE = "10.244.9.9"


def long(*good: bool) -> tuple[DnsOutcome, ...]:
    return tuple(outcome(good=one, server=REMOTE, transport="tcp") for one in good)


def test_a_tunnel_that_promises_too_much_is_a_warning_while_long_messages_pass() -> None:
    [finding] = judge(DnsPath(asked=True, overlays=(BIG,), long=long(True, True)))  # noqa: FBT003 -- answered or not

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "MtuTooBig", "flannel.1")
    assert "only 1450 fit" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("ip link set dev flannel.1 mtu 1450",)


def test_a_tunnel_that_promises_too_much_fails_when_long_messages_are_lost() -> None:
    [finding] = judge(DnsPath(asked=True, overlays=(BIG,), long=long(False, False)))  # noqa: FBT003

    assert (finding.status, finding.reason) == (Status.FAIL, "MtuTooBig")
    assert f"to {REMOTE} are lost" in finding.message


def test_long_messages_that_are_lost_through_a_tunnel_that_fits_are_told() -> None:
    [finding] = judge(DnsPath(asked=True, overlays=(FIT,), long=long(False, False)))  # noqa: FBT003

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "LongMessagesLost", REMOTE)


@pytest.mark.parametrize("good", [(True, True), (True, False), ()])
def test_a_tunnel_that_fits_and_long_messages_that_pass_are_healthy(good: Sequence[bool]) -> None:
    assert [one.reason for one in judge(DnsPath(asked=True, overlays=(FIT,), long=long(*good)))] == ["PathClear"]


def test_a_server_that_hangs_up_on_long_messages_has_received_them() -> None:
    closed: tuple[DnsOutcome, ...] = tuple({**one, "error": "closed"} for one in long(False, False))  # noqa: FBT003

    assert [one.reason for one in judge(DnsPath(asked=True, long=closed))] == ["PathClear"]


# -- A and AAAA asked at once ------------------------------------------------------------------------------------------


def asked(
    *lost: str | None, raced: int | None = 0, alone: Sequence[str] = (), problem: Unobserved | None = None
) -> DnsPairs:
    """Pairs of which each lost this type, or none, or `both`; `alone` are the types that are lost when asked alone."""
    outcomes = []
    for number, gone in enumerate(lost):
        for kind in ("A", "AAAA"):
            one = outcome(good=gone not in (kind, "both"))
            one["query"].update({"type": kind, "group": number})
            single = outcome(good=kind not in alone)
            single["query"].update({"type": kind, "attempt": number})
            outcomes += [one, single]
    outcomes.sort(key=lambda one: "group" not in one["query"])
    return DnsPairs(VIEW, tuple(outcomes), raced, problem)


HEALTHY = DnsPath(asked=True)


def test_pairs_that_are_answered_pass_and_are_told_in_the_evidence() -> None:
    [finding] = judge(HEALTHY, pairs=asked(*[None] * 10))

    assert finding.reason == "PathClear"
    assert "10.96.0.10: 10 of 10 pairs of A and AAAA from one port were answered" in finding.evidence[0].content
    assert "10.96.0.10: 10 of 10 queries for AAAA from ports of their own" in finding.evidence[0].content


def test_pairs_that_lose_one_while_each_alone_is_answered_are_torn() -> None:
    [finding] = judge(HEALTHY, pairs=asked(*["AAAA"] * 6, "A", *[None] * 3))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "PairLost", SERVICE)
    assert "7 of 10 pairs from pod default/a half unanswered (AAAA 6 times and A 1 times)" in finding.message
    assert "Most likely" in finding.message
    assert "pairs:raced" not in finding.traits


def test_a_single_torn_pair_tells_only_when_the_kernel_counted_it() -> None:
    [finding] = judge(HEALTHY, pairs=asked("AAAA", *[None] * 19, raced=1))
    assert finding.reason == "PairLost"
    assert "The kernel counted 1 packets lost to races" in finding.message
    assert "pairs:raced" in finding.traits

    [finding] = judge(HEALTHY, pairs=asked("AAAA", *[None] * 19))
    assert finding.reason == "PathClear"
    assert "AAAA alone lost 1 times" in finding.evidence[0].content


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(asked(*["AAAA"] * 4, *[None] * 6, raced=3), id="too few, and fewer counted"),
        pytest.param(asked(*["both"] * 10, raced=10), id="both of each"),
        pytest.param(asked(*["AAAA"] * 8, "both", None, raced=10), id="both of one, as by a way that loses some"),
        pytest.param(asked(*["AAAA"] * 10, alone=("A", "AAAA")), id="nothing alone is answered either"),
        pytest.param(DnsPairs(), id="nobody was asked"),
    ],
)
def test_what_is_lost_otherwise_is_no_torn_pair(pairs: DnsPairs) -> None:
    assert [finding.reason for finding in judge(HEALTHY, pairs=pairs)] == ["PathClear"]


@pytest.mark.parametrize(("mute", "other"), [("AAAA", "A"), ("A", "AAAA")])
def test_a_type_that_is_never_answered_is_told_as_such_and_not_as_torn_pairs(mute: str, other: str) -> None:
    [finding] = judge(HEALTHY, pairs=asked(*[mute] * 10, alone=(mute,)))

    assert (finding.status, finding.reason) == (Status.FAIL, "TypeUnanswered")
    assert f"none of 10 queries for {mute} from pod default/a, and 10 for {other}" in finding.message


def test_pairs_that_could_not_be_asked_are_unknown() -> None:
    gone = Unobserved("NotRecorded", "the recording does not hold it")

    for pairs in (gone, DnsPairs(VIEW, problem=gone)):
        [finding] = judge(HEALTHY, pairs=pairs)
        assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotRecorded")
