"""nodelocal-dns: facts in, findings out; and how the cache is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.checks.nodelocal_dns import nodelocal_dns
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_dns import Backend, ClusterDns, DnsAddress
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.node_local_dns import NodeLocalDns
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Certainty, Finding, Status, Unobserved
from k8sdoctor.host.answers import DnsQuery, ListeningSocket, Netlink, Process
from k8sdoctor.testing import FakeHost, HostError

LOCAL = "169.254.20.10"
SERVICE = "10.96.0.10"
CORE = "10.244.0.2"
WORDS = ("/node-cache", "-localip", LOCAL, "-conf", "/etc/Corefile")
GOOD = NodeLocalDns((LOCAL,), ((LOCAL, "nodelocaldns"),), WORDS, True, (LOCAL,), (LOCAL,))  # noqa: FBT003 -- a field
NO_REPLIES = DnsReplies("", (), None)
IPTABLES, IPVS = (
    KubeProxy("kube-proxy, pid 7", configured=True),
    KubeProxy("kube-proxy, pid 7", configured=True, mode="ipvs"),
)


def dns(*addresses: str, on_node: str | None = None) -> ClusterDns:
    source = {LOCAL: "clusterDNS in /var/lib/kubelet/config.yaml", SERVICE: "service kube-system/kube-dns"}
    held = ((on_node, "nodelocaldns"),) if on_node else ()
    return ClusterDns(
        tuple(DnsAddress(each, source[each]) for each in addresses),
        backends=(Backend(CORE, 53, "kube-system/coredns-0", local=False, source=""),),
        on_node=held,
    )


def findings(
    cache: NodeLocalDns | Unobserved = GOOD,
    *told: str,
    replies: DnsReplies = NO_REPLIES,
    proxy: KubeProxy | Unobserved = IPTABLES,
) -> list[Finding]:
    return list(nodelocal_dns(Stage("worker", ""), cache, dns(*(told or (LOCAL,))), replies, proxy))


def judge(cache: NodeLocalDns | Unobserved = GOOD, *told: str, **more: Any) -> list[tuple[Status, str]]:
    return [(each.status, each.reason) for each in findings(cache, *told, **more)]


def test_a_cache_that_listens_where_pods_ask_is_healthy() -> None:
    assert judge() == [(Status.PASS, "CacheAnswers")]


def test_most_nodes_have_no_cache() -> None:
    assert judge(NodeLocalDns(), SERVICE) == [(Status.PASS, "NoCache")]
    [finding] = nodelocal_dns(Stage("bare", ""), GOOD, dns(), NO_REPLIES, IPTABLES)
    assert (finding.status, finding.reason) == (Status.SKIP, "NotJoined")


def test_listeners_that_cannot_be_seen_leave_it_unknown() -> None:
    assert judge(Unobserved("NotPermitted", "no right")) == [(Status.UNKNOWN, "NotPermitted")]


def test_an_address_that_pods_are_told_and_the_node_has_not_fails() -> None:
    [finding] = findings(NodeLocalDns((LOCAL,)))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "AddressMissing", LOCAL)
    [link] = finding.explains
    assert (link.reason, link.certainty) == ("NoReply", Certainty.PROVEN)
    assert link.when == {f"address:{LOCAL}"}


def test_an_interface_without_a_listener_fails_and_only_warns_where_nobody_is_sent_there() -> None:
    deaf = replace(GOOD, listening=(), words=(), untracked=None)

    assert judge(deaf) == [(Status.FAIL, "NotListening")]
    assert judge(deaf, SERVICE) == [(Status.WARN, "NotListening")]


def test_a_cache_without_its_rules_warns() -> None:
    [finding] = findings(replace(GOOD, untracked=()))

    assert (finding.status, finding.reason) == (Status.WARN, "RulesMissing")
    assert "entry in the table of connections" in finding.message


def test_a_cache_on_the_services_address_without_its_rules_is_passed_by() -> None:
    both = replace(GOOD, wanted=(LOCAL, SERVICE), listening=(LOCAL, SERVICE), held=((LOCAL, "x"), (SERVICE, "x")))
    [finding] = findings(both, SERVICE)

    assert finding.reason == "RulesMissing"
    assert f"catch what pods send to {SERVICE}" in finding.message
    assert judge(replace(both, untracked=(SERVICE, LOCAL)), SERVICE) == [(Status.PASS, "CacheAnswers")]


def test_a_cache_that_is_told_to_leave_rules_alone_needs_none() -> None:
    words = (*WORDS, "-setupiptables=false")

    assert judge(replace(GOOD, words=words, untracked=())) == [(Status.PASS, "CacheAnswers")]


def test_rules_that_cannot_be_read_are_unknown() -> None:
    blind = replace(GOOD, untracked=None, problem=Unobserved("NotPermitted", "iptables-save needs root"))

    assert judge(blind) == [(Status.UNKNOWN, "RulesUnread")]


def test_a_cache_that_pods_are_not_told_is_bypassed() -> None:
    assert judge(GOOD, SERVICE) == [(Status.WARN, "Bypassed")]


def test_a_cache_to_which_others_lead_is_not_judged_by_its_interface() -> None:
    redirected = NodeLocalDns((LOCAL, SERVICE), words=(*WORDS, "-setupinterface=false", "-setupiptables=false"))

    assert judge(redirected, SERVICE) == [(Status.PASS, "CacheAnswers")]


@pytest.mark.parametrize(
    ("tcp", "udp", "forces", "reason"),
    [
        (False, True, True, "TcpBlocked"),
        (True, True, True, "CacheAnswers"),
        (False, True, False, "CacheAnswers"),
        (False, False, True, "CacheAnswers"),  # silent altogether: dns-reply-source tells
    ],
)
def test_a_cache_that_asks_by_tcp_alone_needs_tcp(tcp: bool, udp: bool, forces: bool, reason: str) -> None:
    outcomes = []
    for transport, answered in (("tcp", tcp), ("udp", udp)):
        query: DnsQuery = {"server": CORE, "port": 53, "transport": transport, "name": "x.", "type": "A", "attempt": 0}  # type: ignore[typeddict-item]
        reply: Any = {"source": CORE, "port": 53, "seconds": 0, "matches": True, "rcode": "NOERROR", "truncated": False}
        outcome: Any = {"query": query, "replies": [reply] if answered else [], "error": None}
        outcomes.append(outcome)

    found = judge(replace(GOOD, forces_tcp=forces), replies=DnsReplies("", (), View(None, tuple(outcomes))))

    assert [each for _, each in found] == [reason]


# -- how it is seen ------------------------------------------------------------------------------------------------------


def listener(protocol: Any, address: str) -> ListeningSocket:
    return ListeningSocket(
        protocol=protocol, address=address, port=53, uid=0, kernel=False, pid=1, name="node-cache", cmdline=[]
    )


COREFILE = "cluster.local:53 {\n forward . __PILLAR__CLUSTER__DNS__ {\n  force_tcp\n }\n}\n.:53 {\n forward . /etc/resolv.conf\n}\n"


def observe(
    *listeners: ListeningSocket,
    cluster: ClusterDns | None = None,
    name: str = "nodelocaldns",
    running: bool = True,
    **verbs: Any,
) -> NodeLocalDns:
    process: Process = {"pid": 9, "ppid": 1, "name": "node-cache", "cmdline": [*WORDS]}
    links: tuple[Netlink, ...] = ({"index": 5, "name": name},)
    addresses: tuple[Netlink, ...] = (
        {"index": 5, "address": LOCAL, "family": 4},
        {"index": 5, "address": "fe80::1", "family": 6},
    )
    save = {"code": 0, "out": f"-A PREROUTING -d {LOCAL}/32 -p udp -m udp --dport 53 -j CT --notrack\n", "err": ""}
    answers = {"listeners": list(listeners), "run": save, "kube": {"data": {"Corefile": COREFILE}}}
    return NodeLocalDns.observe(
        FakeHost({}, **(answers | verbs)),
        cluster or dns(LOCAL, on_node=LOCAL),
        NodeNetwork(links, addresses),
        Processes((process,) if running else ()),
        ApiAccess("/etc/kubernetes/kubelet.conf", None),
    )


BOTH = (listener("udp", LOCAL), listener("tcp", LOCAL))


def test_a_healthy_cache_is_seen_whole() -> None:
    assert observe(*BOTH) == replace(GOOD, forces_tcp=True)


def test_one_protocol_is_not_enough_and_every_address_is() -> None:
    assert observe(BOTH[0]).listening == ()
    assert observe(listener("udp", "0.0.0.0"), listener("tcp", "::")).listening == (LOCAL,)


def test_addresses_of_services_that_ipvs_holds_are_no_cache() -> None:
    cluster = replace(dns(SERVICE), on_node=((SERVICE, "kube-ipvs0"),))

    assert observe(cluster=cluster, name="kube-ipvs0", running=False).wanted == ()


def test_the_rules_of_the_other_variant_of_iptables_count() -> None:
    def run(argv: list[str], keep: list[str]) -> dict[str, Any]:
        assert keep == ["NOTRACK", "notrack"]
        if argv == ["iptables-save"]:
            return {"code": 0, "out": "", "err": ""}
        if argv == ["iptables-nft-save"]:
            return {"code": 0, "out": f"-A PREROUTING -d {LOCAL}/32 -p udp -j CT --notrack\n", "err": ""}
        raise HostError("NotFound", argv[0])

    assert observe(*BOTH, run=run).untracked == (LOCAL,)


def test_rules_that_nobody_could_print_are_a_problem() -> None:
    found = observe(*BOTH, run={"code": 4, "out": "", "err": "Permission denied (you must be root)"})

    assert found.untracked is None
    assert found.problem
    assert "Permission denied" in found.problem.message


def test_without_its_configmap_tcp_is_not_said_to_be_forced() -> None:
    assert not observe(*BOTH, kube=HostError("NotFound", "no such thing")).forces_tcp
    assert not observe(*BOTH, kube={"data": {"Corefile": "{{{"}}).forces_tcp


SHARED = NodeLocalDns(
    (LOCAL, SERVICE),
    ((LOCAL, "nodelocaldns"), (SERVICE, "nodelocaldns")),
    ("/node-cache", "-localip", f"{LOCAL},{SERVICE}"),
    interface=True,
    listening=(LOCAL, SERVICE),
    untracked=(LOCAL, SERVICE),
)


def test_a_cache_on_the_service_s_address_does_not_go_with_ipvs() -> None:
    [finding] = findings(SHARED, SERVICE, proxy=IPVS)

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "ServiceAddressUnderIpvs", SERVICE)
    assert finding.fix is not None
    assert LOCAL in finding.fix.title


@pytest.mark.parametrize(
    ("cache", "proxy"),
    [(SHARED, IPTABLES), (GOOD, IPVS), (SHARED, Unobserved("NotPermitted", "no right")), (SHARED, KubeProxy())],
)
def test_a_cache_on_an_address_of_its_own_goes_with_ipvs_and_one_on_both_with_iptables(
    cache: NodeLocalDns, proxy: KubeProxy | Unobserved
) -> None:
    assert judge(cache, LOCAL, SERVICE, proxy=proxy) == [(Status.PASS, "CacheAnswers")]
