"""pod-resolv-conf: facts in, findings out; and the files of pods, read and asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.pod_resolv_conf import pod_resolv_conf
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_dns import ClusterDns, DnsAddress
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.pod_resolv_confs import PodResolvConfs, ResolvConf
from k8sdoctor.facts.pod_resolver import PodResolver
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Certainty, Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, HostError
from tests import control_plane

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsOutcome, DnsQuery

SERVICE = "10.96.0.10"
WRONG = "10.96.0.99"
CONFIG = "/var/lib/kubelet/config.yaml"
SEARCH = "default.svc.cluster.local svc.cluster.local cluster.local"
FILE = f"search {SEARCH} corp.example\nnameserver {SERVICE}\noptions ndots:5\n"
ADMIN = ApiAccess("/etc/kubernetes/admin.conf", None)
WEB = PodNamespace("/run/netns/web", 1, "default/web", ("10.244.0.9",), "cni0", {}, pid=7)
CORE = replace(WEB, path="/run/netns/core", name="kube-system/coredns", labels={"k8s-app": "kube-dns"}, pid=8)


def kubelet(address: str = SERVICE, problems: tuple[Unobserved, ...] = ()) -> Kubelet:
    return Kubelet((1, 36, 0), 900, {}, {}, CONFIG, {"clusterDNS": [address]}, problems)


def dns(address: str = SERVICE, *, service: bool = True) -> ClusterDns:
    source = f"clusterDNS in {CONFIG}" + ("; service kube-system/kube-dns" if service else "")
    return ClusterDns((DnsAddress(address, source),), domain="cluster.local", service="kube-system/kube-dns")


def answering(**codes: str) -> Any:
    """A verb: `corp` and `inside` say what names below these domains get (`wild`: an address, empty: silence), `loopback` what comes from there."""

    def ask(queries: list[DnsQuery], netns: str | None) -> list[DnsOutcome]:
        outcomes = control_plane.dns(queries, netns)
        for outcome in outcomes:
            query = outcome["query"]
            kind = "loopback" if query["server"].startswith("127.") else "corp" if "corp" in query["name"] else "inside"
            code = codes.get(kind, "NXDOMAIN")
            [reply] = outcome["replies"]
            reply |= {
                "rcode": "NOERROR" if code == "wild" else code,
                "answers": ["192.0.2.80"] if code == "wild" else [],
            }
            outcome["replies"] = [reply] if code else []
        return outcomes  # type: ignore[return-value]  # as the recorded host has them

    return ask


def observe(
    text: str = FILE, *, cluster: ClusterDns | None = None, pods: tuple[PodNamespace, ...] = (WEB,), **codes: str
) -> PodResolvConfs:
    files: dict[str, str | HostError] = {f"/proc/{pod.pid}/root/etc/resolv.conf": text for pod in pods}
    host = FakeHost(files, dns=answering(**codes), kube=control_plane.kube)
    return PodResolvConfs.observe(host, PodNamespaces(pods), cluster or dns(), ADMIN)


NOBODY = DnsReplies("", (), None)


def findings(
    seen: PodResolvConfs | None = None,
    *,
    resolver: PodResolver | None = None,
    cluster: ClusterDns | None = None,
    replies: DnsReplies | Unobserved = NOBODY,
    of: Kubelet | None = None,
) -> list[Finding]:
    return list(
        pod_resolv_conf(
            Stage("worker", ""),
            of or kubelet(),
            resolver or PodResolver("/etc/resolv.conf", servers=("192.0.2.53",)),
            cluster or dns(),
            seen or observe(),
            replies,
        )
    )


def judge(seen: PodResolvConfs | None = None, **more: Any) -> list[tuple[Status, str]]:
    return [(each.status, each.reason) for each in findings(seen, **more)]


def test_a_healthy_pod_is_told_what_a_name_outside_costs() -> None:
    [finding] = findings()

    assert (finding.status, finding.reason) == (Status.PASS, "ResolvConfFits")
    assert (
        "ndots:5 and 4 search domains a name outside costs up to 10 queries; 8 were asked and 8 answered NXDOMAIN, which takes a resolver"
        in finding.message
    )


def test_before_a_node_joins_nothing_is_given() -> None:
    [finding] = pod_resolv_conf(
        Stage("bare", ""), kubelet(), PodResolver(""), dns(), PodResolvConfs(), Unobserved("Offline", "")
    )

    assert (finding.status, finding.reason) == (Status.SKIP, "NotJoined")


def test_a_kubelet_that_cannot_be_read_leaves_it_unknown() -> None:
    broken = kubelet(problems=(Unobserved("Unreadable", f"{CONFIG}: no YAML"),))

    assert judge(of=broken) == [(Status.UNKNOWN, "Unreadable")]


def test_queries_that_may_not_be_sent_leave_it_unknown_and_offline_does_not() -> None:
    for reason, status in (("NotPermitted", Status.UNKNOWN), ("Offline", Status.PASS)):
        seen = replace(observe(), searched=(), problem=Unobserved(reason, "no"))
        assert [each.status for each in findings(seen)] == [status]


# -- the kubelet's address -----------------------------------------------------------------------------------------------


def replies(address: str, *, answered: bool) -> DnsReplies:
    query: DnsQuery = {
        "server": address,
        "port": 53,
        "transport": "udp",
        "name": "kubernetes.default.svc.",
        "type": "A",
        "attempt": 0,
    }
    [outcome] = answering(inside="NOERROR" if answered else "")([query], None)
    return DnsReplies("", (View(WEB, (outcome,)),), None)


def test_an_address_that_is_no_services_and_silent_is_wrong_and_the_right_one_is_named() -> None:
    cluster = dns(WRONG, service=False)
    [finding] = findings(
        observe(cluster=cluster), cluster=cluster, of=kubelet(WRONG), replies=replies(WRONG, answered=False)
    )

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "WrongClusterDns", WRONG)
    assert f"DNS is at {SERVICE} (kube-system/kube-dns)" in finding.message
    assert finding.fix
    assert f"s|{WRONG}$|{SERVICE}|" in finding.fix.commands[0]
    [link] = finding.explains
    assert (link.reason, link.certainty) == ("NoReply", Certainty.PROVEN)
    assert link.when == {f"address:{WRONG}"}


def test_an_address_that_is_no_services_and_answers_is_somebodys_own_dns() -> None:
    cluster = dns(WRONG, service=False)
    found = judge(observe(cluster=cluster), cluster=cluster, of=kubelet(WRONG), replies=replies(WRONG, answered=True))

    assert found == [(Status.PASS, "ResolvConfFits")]


def test_an_address_of_the_node_itself_is_a_cache_and_judged_elsewhere() -> None:
    cluster = replace(dns(WRONG, service=False), on_node=((WRONG, "nodelocaldns"),))
    found = judge(observe(cluster=cluster), cluster=cluster, of=kubelet(WRONG), replies=replies(WRONG, answered=False))

    assert found == [(Status.PASS, "ResolvConfFits")]


def test_an_address_of_a_cache_that_is_missing_is_judged_elsewhere() -> None:
    cluster = dns("169.254.20.10", service=False)
    found = judge(observe(cluster=cluster), cluster=cluster, replies=replies("169.254.20.10", answered=False))

    assert found == [(Status.PASS, "ResolvConfFits")]


def test_the_services_own_address_that_is_silent_is_not_wrong() -> None:
    assert judge(replies=replies(SERVICE, answered=False)) == [(Status.PASS, "ResolvConfFits")]


# -- what pods have ------------------------------------------------------------------------------------------------------


def test_a_stub_resolver_in_a_pod_where_nobody_answers_fails() -> None:
    [finding] = findings(observe("nameserver 127.0.0.53\n", loopback=""))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "StubResolver", "default/web")
    assert "127.0.0.53" in finding.message


def test_a_resolver_in_a_sidecar_is_healthy() -> None:
    assert judge(observe("nameserver 127.0.0.1\n", loopback="NOERROR")) == [(Status.PASS, "ResolvConfFits")]


def test_a_dns_server_that_is_given_loopback_is_judged_as_a_loop_elsewhere() -> None:
    assert judge(observe("nameserver 127.0.0.53\n", pods=(CORE,), loopback="")) == [(Status.PASS, "ResolvConfFits")]


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("wild", Status.FAIL, "SearchWildcard"),
        ("SERVFAIL", Status.WARN, "SearchDomainFails"),
        ("", Status.WARN, "SearchDomainFails"),
        ("NOERROR", Status.PASS, "ResolvConfFits"),  # the name is there, and has no address
    ],
)
def test_a_search_domain_of_the_nodes_own_is_judged_by_what_it_has_for_nobodys_name(
    code: str, status: Status, reason: str
) -> None:
    [finding] = findings(observe(corp=code))

    assert (finding.status, finding.reason) == (status, reason)
    assert finding.subject == ("corp.example." if reason != "ResolvConfFits" else "default/web")


def test_the_clusters_own_domain_that_fails_is_judged_elsewhere() -> None:
    assert judge(observe(inside="SERVFAIL")) == [(Status.PASS, "ResolvConfFits")]


def test_a_server_that_never_answers_is_no_fault_of_the_search_list() -> None:
    assert judge(observe(inside="", corp="")) == [(Status.PASS, "ResolvConfFits")]


@pytest.mark.parametrize(("count", "reason"), [(3, "ResolvConfFits"), (4, "TooManyServers")])
def test_more_than_three_servers_are_too_many_at_the_node_and_in_a_pod(count: int, reason: str) -> None:
    servers = tuple(f"192.0.2.{number}" for number in range(1, count + 1))
    lines = "".join(f"nameserver {server}\n" for server in servers)

    assert [found for _, found in judge(resolver=PodResolver("/etc/resolv.conf", servers=servers))] == [reason]
    assert [found for _, found in judge(observe(f"search {SEARCH}\n{lines}"))] == [reason]


@pytest.mark.parametrize(("length", "reason"), [(255, "ResolvConfFits"), (256, "SearchTooLong")])
def test_a_search_line_that_musl_passes_over_is_too_long(length: int, reason: str) -> None:
    line = f"search {SEARCH} "
    text = f"{line}{'a' * (length - len(line))}\nnameserver {SERVICE}\n"

    assert [found for _, found in judge(observe(text))] == [reason]


def test_thirty_three_search_domains_are_too_many() -> None:
    text = f"search {SEARCH} {' '.join('abcdefghijklmnopqrstuvwxyzABCD')}\nnameserver {SERVICE}\n"

    assert judge(observe(text)) == [(Status.WARN, "SearchTooLong")]


def test_a_file_that_is_gone_or_no_file_costs_nothing() -> None:
    host = FakeHost({"/proc/7/root/etc/resolv.conf": HostError("Unreadable", "a fifo")}, dns=answering())
    seen = PodResolvConfs.observe(host, PodNamespaces((WEB, CORE)), dns(), ADMIN)

    assert seen.files == ()
    assert judge(seen) == [(Status.PASS, "ResolvConfFits")]


@pytest.mark.parametrize(
    ("version", "count", "left"),
    [
        ((1, 25, 16), 3, None),
        ((1, 25, 16), 4, "d3.example"),
        ((1, 26, 0), 29, None),
        ((1, 26, 0), 30, "d29.example"),
        (None, 29, None),
    ],
)
def test_search_domains_that_the_kubelet_leaves_out_are_told_by_its_version(
    version: tuple[int, int, int] | None, count: int, left: str | None
) -> None:
    resolver = PodResolver(
        "/etc/resolv.conf", servers=("192.0.2.53",), search=tuple(f"d{each}.example" for each in range(count))
    )
    found = findings(resolver=resolver, of=replace(kubelet(), version=version))

    assert [one.reason for one in found] == ["SearchTooLong" if left else "ResolvConfFits"]
    assert left is None or f"names in {left} are not found" in found[0].message


def test_a_search_list_of_too_many_characters_is_cut_where_they_end() -> None:
    resolver = PodResolver(
        "/etc/resolv.conf", search=(f"{'a' * 60}.example", f"{'b' * 60}.example", f"{'c' * 60}.example")
    )
    [finding] = findings(resolver=resolver, of=replace(kubelet(), version=(1, 24, 0)))

    assert f"names in {'c' * 60}.example are not found" in finding.message


def test_how_long_a_resolver_waits_for_the_search_list_is_measured() -> None:
    [finding] = findings()

    # Four entries one after the other, A and AAAA of each at once: the recorded host answers each in the same time.
    took = observe().searched[0]["replies"][0]["seconds"]
    assert f"takes a resolver {4000 * took:.0f} ms" in finding.message
    assert f"NXDOMAIN, {1000 * took:.0f} ms" in finding.evidence[1].content


@pytest.mark.parametrize(
    ("options", "dots"),
    [
        ("", 1),
        ("options ndots:5 single-request-reopen made-up\n", 5),
        ("options ndots:5 ndots:2\n", 2),  # as glibc, which goes on to the end
        ("options ndots:5\noptions ndots:3 edns0\n", 3),
        ("options ndots:99\n", 15),
        ("options ndots: ndots\n", 1),
    ],
)
def test_of_several_ndots_the_last_counts_and_what_no_libc_knows_does_not(options: str, dots: int) -> None:
    assert ResolvConf(WEB, f"nameserver {SERVICE}\n{options}", (SERVICE,), (), cluster=True).ndots == dots
