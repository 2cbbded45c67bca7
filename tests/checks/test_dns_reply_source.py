"""Who answers pods: facts in, findings out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pytest

from k8sdoctor.checks.dns_reply_source import dns_reply_source
from k8sdoctor.facts.cluster_dns import Backend, ClusterDns, DnsAddress
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.facts.dns_watch import DnsWatch
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Safety, Status, Unobserved
from k8sdoctor.host.answers import DnsOutcome, DnsQuery, DnsReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host.answers import DnsError

SERVICE = "10.96.0.10"
SERVICE6 = "fd00:96::a"
NAME = "kubernetes.default.svc.example.test."

JOINED = Stage("worker", "")
FRESH = Stage("prepared", "")
KUBELET = Kubelet((1, 36, 2), 9, {}, {}, "/var/lib/kubelet/config.yaml", {"clusterDNS": [SERVICE]}, ())


def pod(name: str, *addresses: str, bridge: str | None = "cni0") -> PodNamespace:
    return PodNamespace(
        path=f"/run/netns/{name}",
        inode=hash(name),
        name=f"default/{name}",
        addresses=addresses,
        bridge=bridge,
        labels={},
    )


CLIENT = pod("client", "10.244.0.5", "fd00:244::5")
OTHER = pod("other", "10.244.0.6")
SERVER = pod("dns", "10.244.0.22", "fd00:244::22")
PODS = PodNamespaces((CLIENT, OTHER, SERVER), bridge_networks=(("10.244.0.0/24", "cni0"), ("fd00:244::/64", "cni0")))
BACKEND = Backend("10.244.0.22", 53, "kube-system/coredns-1", local=True, source="EndpointSlices")
REMOTE = Backend("10.244.9.9", 53, "kube-system/coredns-2", local=False, source="EndpointSlices")
DNS = ClusterDns(
    addresses=(DnsAddress(SERVICE, "clusterDNS in /var/lib/kubelet/config.yaml"),),
    domain="example.test",
    domain_source="clusterDomain in /var/lib/kubelet/config.yaml",
    service="kube-system/kube-dns",
    backends=(BACKEND, REMOTE),
    complete=True,
)


@dataclass(frozen=True)
class Reply:
    """A reply to come: from the asked address unless said otherwise."""

    source: str | None = None
    rcode: str = "NOERROR"
    seconds: float = 0.001
    matches: bool = True
    port: int | None = None


GOOD = (Reply(),)
SILENT: tuple[Reply, ...] = ()


def outcome(
    server: str,
    transport: Literal["udp", "tcp"],
    replies: Sequence[Reply],
    attempt: int,
    *,
    error: DnsError | None = None,
    offender: str | None = None,
) -> DnsOutcome:
    return DnsOutcome(
        query=DnsQuery(server=server, port=53, transport=transport, name=NAME, type="A", attempt=attempt),
        replies=[
            DnsReply(
                source=reply.source or server,
                port=reply.port or 53,
                seconds=reply.seconds,
                matches=reply.matches,
                rcode=reply.rcode,
                truncated=False,
                answers=["10.96.0.1"] if reply.rcode == "NOERROR" else [],
            )
            for reply in replies
        ],
        dropped=0,
        error=error,
        offender=offender,
        seconds=0.2,
    )


def asked(
    udp: Sequence[Sequence[Reply]],
    tcp: Sequence[Sequence[Reply]] = (GOOD, GOOD, GOOD),
    *,
    server: str = SERVICE,
    error: DnsError | None = None,
    offender: str | None = None,
) -> tuple[DnsOutcome, ...]:
    """Outcomes of one address; `error` is that of every query without a reply."""

    def one(transport: Literal["udp", "tcp"], attempt: int, replies: Sequence[Reply]) -> DnsOutcome:
        failed = error if not replies else None
        return outcome(server, transport, replies, attempt, error=failed, offender=offender if failed else None)

    return (
        *(one("udp", attempt, replies) for attempt, replies in enumerate(udp)),
        *(one("tcp", attempt, replies) for attempt, replies in enumerate(tcp)),
    )


def direct(backend: Backend, replies: Sequence[Reply] = GOOD) -> tuple[DnsOutcome, ...]:
    return asked([replies] * 2, [replies], server=backend.address)


NOT_WATCHED = DnsWatch()
NODE_VIEW = View(None, asked([GOOD] * 2, [GOOD]))
HEALTHY = View(CLIENT, asked([GOOD] * 8) + direct(BACKEND))


def judge(
    *views: View,
    dns: ClusterDns = DNS,
    pods: PodNamespaces = PODS,
    stage: Stage | Unobserved = JOINED,
    kubelet: Kubelet | Unobserved = KUBELET,
    watch: DnsWatch | Unobserved = NOT_WATCHED,
) -> list[Finding]:
    return list(
        dns_reply_source(stage, kubelet, pods, dns, DnsReplies(NAME, views, NODE_VIEW if views else None), watch)
    )


def test_answers_from_the_asked_address_pass_and_show_what_was_seen() -> None:
    [finding] = judge(HEALTHY)

    assert (finding.status, finding.reason) == (Status.PASS, "RepliesMatch")
    assert finding.subject == SERVICE
    assert "pod default/client" in finding.message
    seen = {evidence.source: evidence.content for evidence in finding.evidence}
    assert (
        "10.96.0.10:53 udp, asked 8 times: 10.96.0.10:53 NOERROR 8 times"
        in seen["DNS asked from pod default/client (/run/netns/client)"]
    )
    assert "DNS asked from the node" in seen


def test_replies_from_a_backend_on_the_same_bridge_name_it_and_the_bridge() -> None:
    stray = (Reply(source="10.244.0.22"),)
    [finding] = judge(View(CLIENT, asked([stray] * 3 + [GOOD] * 5, [SILENT, GOOD, GOOD])))

    assert (finding.status, finding.reason) == (Status.FAIL, "UnexpectedSource")
    assert "3 of 8 replies over UDP came from 10.244.0.22 (pod kube-system/coredns-1)" in finding.message
    assert "same bridge cni0" in finding.message
    assert finding.traits == {"bridge:cni0", "family:ipv4", f"address:{SERVICE}"}
    assert finding.fix is not None
    assert "sysctl net.bridge.bridge-nf-call-iptables" in finding.fix.commands


def test_two_pods_on_one_bridge_that_see_strays_are_one_finding() -> None:
    stray = (Reply(source="10.244.0.22"),)
    [finding] = judge(
        View(CLIENT, asked([stray] * 8, [SILENT] * 3)), View(OTHER, asked([stray] * 2 + [GOOD] * 6, [SILENT] * 3))
    )

    assert "10 of 16 replies" in finding.message
    assert "pods default/client, default/other" in finding.message


def test_strays_on_two_bridges_are_two_findings() -> None:
    second = pod("second", "10.244.1.5", bridge="cbr0")
    pods = replace(PODS, namespaces=(*PODS.namespaces, second), bridge_networks=(("10.244.1.0/24", "cbr0"),))
    here, there = (Reply(source="10.244.0.22"),), (Reply(source="10.244.1.22"),)
    findings = judge(View(CLIENT, asked([here] * 8)), View(second, asked([there] * 8)), pods=pods)

    assert [finding.traits for finding in findings] == [
        {"bridge:cni0", "family:ipv4", f"address:{SERVICE}"},
        {"bridge:cbr0", "family:ipv4", f"address:{SERVICE}"},
    ]


def test_a_stray_of_a_backend_elsewhere_is_not_laid_on_the_pod_s_bridge() -> None:
    stray = (Reply(source="10.244.9.9"),)
    [finding] = judge(View(CLIENT, asked([stray] * 8)))

    assert finding.reason == "UnexpectedSource"
    assert finding.traits == {"family:ipv4", "strays:beyond", f"address:{SERVICE}"}
    assert "The server is on another node" in finding.message


def test_a_stray_from_a_routed_pod_names_no_bridge() -> None:
    routed = pod("routed", "10.244.3.5", bridge=None)
    pods = PodNamespaces((routed, replace(SERVER, bridge=None)))
    [finding] = judge(View(routed, asked([(Reply(source="10.244.0.22"),)] * 8)), pods=pods)

    assert finding.traits == {"family:ipv4", "strays:node", f"address:{SERVICE}"}
    assert "on this node, and not on the pod's bridge" in finding.message


def test_strays_from_servers_here_and_elsewhere_are_no_bridge_s_doing() -> None:
    here, there = (Reply(source="10.244.0.22"),), (Reply(source="10.244.9.9"),)
    [finding] = judge(View(CLIENT, asked([here] * 4 + [there] * 4)))

    assert "strays:anywhere" in finding.traits
    assert "no bridge's doing" in finding.message


def test_a_stray_of_somebody_who_is_no_dns_server_is_something_in_between() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(source="192.0.2.53"),)] * 8)))

    assert "strays:stranger" in finding.traits
    assert "no DNS server that the cluster lists" in finding.message


def test_strays_of_unknown_servers_are_not_called_strangers() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(source="192.0.2.53"),)] * 8)), dns=replace(DNS, complete=False))

    assert "strays:unknown" in finding.traits
    assert "something in between" not in finding.message


def test_strays_of_some_servers_only_are_told_so() -> None:
    stray = (Reply(source="10.244.9.9"),)
    [finding] = judge(View(CLIENT, asked([stray] * 3 + [GOOD] * 5)))

    assert "only some of the servers' replies go astray" in finding.message


def test_a_reply_from_the_asked_address_but_another_port_is_unexpected() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(port=5353),)] * 8)))

    assert finding.reason == "UnexpectedSource"
    assert "10.96.0.10:5353" in finding.message
    assert "rewrites ports" in finding.message


def test_ipv6_is_a_finding_and_a_trait_of_its_own() -> None:
    dns = replace(DNS, addresses=(*DNS.addresses, DnsAddress(SERVICE6, "clusterDNS")))
    stray = (Reply(source="fd00:244::22"),)
    [finding] = judge(View(CLIENT, asked([GOOD] * 8) + asked([stray] * 8, server=SERVICE6)), dns=dns)

    assert finding.traits == {"bridge:cni0", "family:ipv6", f"address:{SERVICE6}"}
    assert "Over IPv4 the same pods are answered properly" in finding.message
    assert finding.fix is not None
    assert "sysctl net.bridge.bridge-nf-call-ip6tables" in finding.fix.commands


def test_an_address_written_another_way_is_the_same_address() -> None:
    dns = replace(DNS, addresses=(DnsAddress("FD00:96:0::A", "clusterDNS"),))
    [finding] = judge(View(CLIENT, asked([(Reply(source=SERVICE6),)] * 8, server="FD00:96:0::A", tcp=[])), dns=dns)

    assert finding.reason == "RepliesMatch"


def test_a_link_local_address_is_itself_with_or_without_its_interface() -> None:
    dns = replace(DNS, addresses=(DnsAddress("fe80::53%eth0", "clusterDNS"),))
    [finding] = judge(View(CLIENT, asked([(Reply(source="fe80::53"),)] * 8, server="fe80::53%eth0", tcp=[])), dns=dns)

    assert finding.reason == "RepliesMatch"


def test_forged_and_spoilt_replies_beside_the_answer_are_not_believed() -> None:
    noisy = (Reply(source="192.0.2.66", matches=False, rcode=""), Reply(), Reply(source="192.0.2.66"))
    [finding] = judge(View(CLIENT, asked([noisy] * 8)))

    assert finding.reason == "RepliesMatch"
    assert "192.0.2.66:53 no answer to the query" in finding.evidence[0].content


def test_forged_replies_without_an_answer_are_silence() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(source="192.0.2.66", matches=False),)] * 8, [SILENT] * 3)))

    assert finding.reason == "NoReply"


def test_a_spoilt_reply_from_the_asked_address_is_no_answer() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(matches=False, rcode=""),)] * 8, [SILENT] * 3)))

    assert finding.reason == "NoReply"


def test_silence_while_a_server_answers_directly_is_the_service_address_s_fault() -> None:
    [finding] = judge(View(CLIENT, asked([SILENT] * 8, [SILENT] * 3) + direct(BACKEND)))

    assert (finding.status, finding.reason) == (Status.FAIL, "NoReply")
    assert "the service address leads nowhere" in finding.message
    assert "10.244.0.22 (pod kube-system/coredns-1) answers there" in finding.message
    assert finding.fix is not None
    assert any("kube-proxy" in command for command in finding.fix.commands)
    assert finding.fix.safety is Safety.MANUAL


def test_silence_of_service_and_servers_points_at_the_servers() -> None:
    [finding] = judge(
        View(CLIENT, asked([SILENT] * 8, [SILENT] * 3) + direct(BACKEND, SILENT) + direct(REMOTE, SILENT))
    )

    assert finding.reason == "NoReply"
    assert "neither did 10.244.0.22" in finding.message
    assert finding.fix is not None
    assert (
        "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns -o wide"
        in finding.fix.commands
    )


def test_silence_without_known_servers_says_so() -> None:
    dns = replace(DNS, backends=(), complete=False, service=None)
    [finding] = judge(View(CLIENT, asked([SILENT] * 4, [SILENT] * 3)), dns=dns)

    assert finding.reason == "NoReply"
    assert "not known" in finding.message


def test_a_silent_cache_on_the_node_is_named() -> None:
    dns = replace(DNS, on_node=((SERVICE, "nodelocaldns"),))
    [finding] = judge(View(CLIENT, asked([SILENT] * 4, [SILENT] * 3) + direct(BACKEND)), dns=dns)

    assert finding.reason == "NoReply"
    assert "nodelocaldns" in finding.message


def test_a_refusal_is_told_with_who_refused() -> None:
    refused = asked([SILENT] * 8, [SILENT] * 3, error="refused", offender="10.244.0.1")
    [finding] = judge(View(CLIENT, refused), dns=replace(DNS, backends=(), complete=False))

    assert finding.reason == "NoReply"
    assert "(refused by 10.244.0.1)" in finding.message


def test_one_silent_server_of_two_is_named_with_what_it_costs() -> None:
    [finding] = judge(
        View(CLIENT, asked([SILENT] * 3 + [GOOD] * 4, [SILENT, GOOD, GOOD]) + direct(BACKEND) + direct(REMOTE, SILENT))
    )

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "BackendSilent", "10.244.9.9")
    assert "10.244.9.9 (pod kube-system/coredns-2), 1 of 2 DNS servers, answers none of 3 queries" in finding.message
    assert "4 of 10 queries to 10.96.0.10 were lost" in finding.message
    assert "look at the way between the nodes" in finding.message
    assert finding.traits == {f"address:{SERVICE}", "backend:10.244.9.9", "backends:remote", "servers:answer"}
    seen = finding.evidence[0].content.splitlines()
    assert seen[0].startswith(
        "10.244.0.22:53 (pod kube-system/coredns-1, on this node), asked from pod default/client: answered 3 of 3"
    )
    assert seen[1].endswith("on another node), asked from pod default/client: answered 0 of 3")
    assert finding.fix is not None
    assert any("delete pod coredns-2" in command for command in finding.fix.commands)


ONE_SILENT = direct(BACKEND) + direct(REMOTE, SILENT)


@pytest.mark.parametrize(
    "asked_there",
    [asked([SILENT] * 7), asked([GOOD] * 7, [GOOD, SILENT, GOOD]), asked([GOOD] * 7, [SILENT] * 3)],
    ids=["all by UDP to the silent one", "all by UDP to the good one", "each by its own way"],
)
def test_queries_that_met_a_silent_server_by_chance_are_no_fault_of_a_transport(
    asked_there: tuple[DnsOutcome, ...],
) -> None:
    other = View(OTHER, asked([SILENT, GOOD] * 3 + [GOOD]) + ONE_SILENT)
    [finding] = judge(View(CLIENT, asked_there + ONE_SILENT), other)

    assert finding.reason == "BackendSilent"


def test_a_transport_that_no_pod_is_answered_over_is_told_beside_a_silent_server() -> None:
    views = [View(pod, asked([SILENT] * 7) + ONE_SILENT) for pod in (CLIENT, OTHER)]

    assert [finding.reason for finding in judge(*views)] == ["BackendSilent", "TcpOnly"]


def test_a_transport_that_no_server_answers_over_is_told_beside_a_silent_server() -> None:
    over_tcp = asked([SILENT] * 2, [GOOD], server=BACKEND.address)
    view = View(CLIENT, asked([SILENT] * 7) + over_tcp + direct(REMOTE, SILENT))

    assert [finding.reason for finding in judge(view)] == ["BackendSilent", "TcpOnly"]


def test_a_service_address_that_answers_nobody_is_told_beside_a_silent_server() -> None:
    silence = asked([SILENT] * 7, [SILENT] * 3)

    assert [finding.reason for finding in judge(View(CLIENT, silence + ONE_SILENT))] == ["BackendSilent", "NoReply"]


def test_a_pod_that_met_the_silent_server_alone_while_another_was_answered_shows_no_fault_of_the_service() -> None:
    unlucky = View(CLIENT, asked([SILENT] * 7, [SILENT] * 3) + ONE_SILENT)
    other = View(OTHER, asked([SILENT, GOOD] * 3 + [GOOD]) + ONE_SILENT)

    assert [finding.reason for finding in judge(unlucky, other)] == ["BackendSilent"]


def test_what_the_other_family_loses_is_told_beside_a_silent_server() -> None:
    dns = replace(DNS, addresses=(*DNS.addresses, replace(DNS.addresses[0], address=SERVICE6)))
    view = View(CLIENT, asked([GOOD] * 7) + asked([SILENT] + [GOOD] * 7, server=SERVICE6) + ONE_SILENT)

    told = judge(view, dns=dns)

    assert [(finding.reason, finding.subject) for finding in told] == [
        ("BackendSilent", "10.244.9.9"),
        ("RepliesLost", SERVICE6),
    ]


def test_a_silent_server_of_this_node_points_here() -> None:
    [finding] = judge(View(CLIENT, asked([GOOD] * 8) + direct(BACKEND, SILENT) + direct(REMOTE)))

    assert finding.reason == "BackendSilent"
    assert "look at the servers and the filters here" in finding.message


def test_a_silent_server_beside_a_good_one_on_the_same_node_points_nowhere_else() -> None:
    twin = replace(BACKEND, address="10.244.0.23", name="kube-system/coredns-3")
    dns = replace(DNS, backends=(BACKEND, twin))
    [finding] = judge(View(CLIENT, asked([GOOD] * 8) + direct(BACKEND, SILENT) + direct(twin)), dns=dns)

    assert finding.reason == "BackendSilent"
    assert "look at" not in finding.message


def test_a_server_that_answers_over_the_other_family_alone_is_no_silent_one_of_several() -> None:
    twin = replace(BACKEND, address="fd00:244::22")
    dns = replace(DNS, backends=(BACKEND, twin))
    view = View(CLIENT, asked([SILENT] * 8, [SILENT] * 3) + direct(BACKEND, SILENT) + direct(twin))
    [finding] = judge(view, dns=dns)

    assert finding.reason == "NoReply"
    assert "neither did 10.244.0.22" in finding.message
    assert "servers:answer" not in finding.traits


def test_a_server_that_answers_one_pod_is_not_silent() -> None:
    quiet = View(OTHER, asked([GOOD] * 8) + direct(BACKEND) + direct(REMOTE, SILENT))
    [finding] = judge(View(CLIENT, asked([GOOD] * 8) + direct(BACKEND) + direct(REMOTE)), quiet)

    assert finding.reason == "RepliesMatch"


def test_forged_replies_of_a_silent_server_are_counted() -> None:
    forged = (Reply(source="192.0.2.66", matches=False, rcode=""),)
    [finding] = judge(View(CLIENT, asked([GOOD] * 8) + direct(BACKEND) + direct(REMOTE, forged)))

    assert finding.reason == "BackendSilent"
    assert "(3 replies were no answer to the query)" in finding.message


def test_latencies_are_told_by_percentile() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(seconds=0.001 * number),) for number in range(1, 21)])))

    assert "; p50 10 ms, p95 19 ms, max 20 ms" in finding.evidence[0].content


def test_a_silent_server_that_tcp_met_every_time_is_no_fault_of_tcp() -> None:
    [finding] = judge(View(CLIENT, asked([SILENT] * 4 + [GOOD] * 4, [SILENT] * 3)))

    assert finding.reason == "NoReply"


def test_a_single_lost_datagram_is_only_a_warning() -> None:
    [finding] = judge(View(CLIENT, asked([SILENT] + [GOOD] * 7)))

    assert (finding.status, finding.reason) == (Status.WARN, "RepliesLost")


def test_a_silent_address_of_a_service_without_ready_servers_has_no_backends() -> None:
    dns = replace(DNS, backends=())
    [finding] = judge(View(CLIENT, asked([SILENT] * 4, [SILENT] * 3, error="refused")), dns=dns)

    assert (finding.status, finding.reason) == (Status.FAIL, "NoBackends")
    assert finding.subject == "kube-system/kube-dns"
    assert finding.fix is not None


def test_no_backends_is_told_without_a_pod_to_ask_from() -> None:
    [finding] = judge(dns=replace(DNS, backends=()), pods=PodNamespaces(()))

    assert (finding.status, finding.reason) == (Status.FAIL, "NoBackends")


def test_answers_outweigh_an_api_server_that_lists_no_backend() -> None:
    [finding] = judge(View(CLIENT, asked([GOOD] * 4)), dns=replace(DNS, backends=()))

    assert finding.reason == "RepliesMatch"
    assert "lists no DNS server" in finding.message


@pytest.mark.parametrize("code", ["SERVFAIL", "FORMERR", "NOTIMP"])
def test_an_error_code_is_a_server_s_failure(code: str) -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(rcode=code),)] * 8, [(Reply(rcode=code),)] * 3)))

    assert (finding.status, finding.reason) == (Status.FAIL, "ServerFailure")
    assert f"{code} 11 of 11 times" in finding.message


def test_one_failing_server_of_two_is_a_failure_too() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(rcode="SERVFAIL"),)] * 3 + [GOOD] * 5)))

    assert finding.reason == "ServerFailure"
    assert "3 of 11 times" in finding.message
    assert finding.fix is not None
    assert "kubectl -n kube-system logs coredns-1 --tail=50" in finding.fix.commands


def test_refused_is_told_apart() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(rcode="REFUSED"),)] * 8, [(Reply(rcode="REFUSED"),)] * 3)))

    assert (finding.status, finding.reason) == (Status.FAIL, "RefusedQuery")


def test_a_missing_cluster_name_is_a_warning_and_its_source_is_right() -> None:
    gone = (Reply(rcode="NXDOMAIN"),)
    [finding] = judge(View(CLIENT, asked([gone] * 8, [gone] * 3)))

    assert (finding.status, finding.reason) == (Status.WARN, "NameNotFound")
    assert "clusterDomain in /var/lib/kubelet/config.yaml" in finding.message


def test_a_missing_name_says_nothing_where_the_domain_was_not_known() -> None:
    gone = (Reply(rcode="NXDOMAIN"),)
    [finding] = judge(View(CLIENT, asked([gone] * 8, [gone] * 3)), dns=replace(DNS, domain=None))

    assert finding.reason == "RepliesMatch"


def test_udp_silent_and_tcp_answered_is_tcp_only() -> None:
    [finding] = judge(View(CLIENT, asked([SILENT] * 8)))

    assert (finding.status, finding.reason) == (Status.FAIL, "TcpOnly")
    assert "8 of 8 queries over UDP" in finding.message


@pytest.mark.parametrize("tcp", [[SILENT] * 3, [SILENT, GOOD, GOOD]])
def test_tcp_unanswered_and_udp_answered_is_udp_only(tcp: list[tuple[Reply, ...]]) -> None:
    [finding] = judge(View(CLIENT, asked([GOOD] * 8, tcp, error="refused")))

    assert (finding.status, finding.reason) == (Status.FAIL, "UdpOnly")
    assert "(refused)" in finding.message


def test_late_answers_are_a_warning_with_count_and_worst() -> None:
    [finding] = judge(View(CLIENT, asked([(Reply(seconds=2.5),), (Reply(seconds=1.2),), *[GOOD] * 6])))

    assert (finding.status, finding.reason) == (Status.WARN, "SlowReply")
    assert "2 of 8 times" in finding.message
    assert "2.5 s" in finding.message


def test_a_pod_alone_that_may_not_ask_is_no_fault_of_dns() -> None:
    [finding] = judge(HEALTHY, View(OTHER, asked([SILENT] * 8, [SILENT] * 3)))

    assert finding.reason == "RepliesMatch"
    assert "pod default/other alone is not answered throughout" in finding.message


def test_the_only_pod_of_a_bridge_is_believed_when_it_is_not_answered() -> None:
    second = pod("second", "10.244.1.5", bridge="cbr0")
    [finding] = judge(HEALTHY, View(second, asked([SILENT] * 8, [SILENT] * 3)))

    assert finding.reason == "NoReply"
    assert "pod default/second" in finding.message


def test_what_a_server_sends_to_itself_and_loses_is_not_judged() -> None:
    own = View(SERVER, asked([SILENT] * 4 + [GOOD] * 4, [SILENT, GOOD, GOOD]), own=True)
    [finding] = judge(own)

    assert finding.reason == "RepliesMatch"


def test_a_server_that_is_never_answered_is_believed() -> None:
    [finding] = judge(View(SERVER, asked([SILENT] * 8, [SILENT] * 3), own=True))

    assert finding.reason == "NoReply"


def test_several_causes_are_several_findings() -> None:
    dns = replace(DNS, addresses=(*DNS.addresses, DnsAddress(SERVICE6, "clusterDNS")))
    stray = (Reply(source="10.244.0.22"),)
    findings = judge(
        View(CLIENT, asked([stray] * 8) + asked([(Reply(rcode="SERVFAIL"),)] * 8, tcp=[], server=SERVICE6)), dns=dns
    )

    assert [finding.reason for finding in findings] == ["UnexpectedSource", "ServerFailure"]


def test_a_joined_node_without_a_pod_to_ask_from_is_unknown_and_says_what_it_needs() -> None:
    pods = PodNamespaces((), problems=("Permission denied: /run/containerd/containerd.sock; run as root to look",))
    [finding] = judge(pods=pods)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NoPodNamespace")
    assert "run as root" in finding.message


def test_a_machine_that_is_no_node_yet_is_skipped() -> None:
    [finding] = judge(pods=PodNamespaces(()), stage=FRESH, dns=ClusterDns(()))

    assert (finding.status, finding.reason) == (Status.SKIP, "NoPodNamespace")


@pytest.mark.parametrize("stage", [Stage("unknown", ""), Unobserved("NotPermitted", "no")])
def test_a_stage_that_nobody_knows_is_never_a_skip(stage: Stage | Unobserved) -> None:
    [finding] = judge(pods=PodNamespaces(()), stage=stage)

    assert finding.status is Status.UNKNOWN


def test_pods_without_a_known_dns_address_are_unknown() -> None:
    [finding] = judge(dns=ClusterDns((), problems=("nobody told",)))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NoDnsAddress")
    assert finding.evidence[0].content == "nobody told"


def test_pods_of_the_other_family_only_are_unknown() -> None:
    [finding] = judge(View(OTHER, ()))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NoPodNamespace")


def test_queries_that_could_not_be_sent_are_unknown() -> None:
    [finding] = judge(View(CLIENT, asked([SILENT] * 8, [SILENT] * 3, error="not-a-name")))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotAsked")


def test_offline_is_a_skip() -> None:
    [finding] = dns_reply_source(
        JOINED, KUBELET, PODS, DNS, Unobserved("Offline", "--offline forbids DNS queries"), DnsWatch()
    )

    assert (finding.status, finding.reason) == (Status.SKIP, "Offline")


def test_a_kubelet_s_configuration_that_is_malformed_is_told_beside_what_was_seen() -> None:
    why = Unobserved("Unreadable", "/var/lib/kubelet/config.yaml, line 2, column 1: not YAML")
    kubelet = Kubelet((1, 36, 2), 9, {}, {}, "/var/lib/kubelet/config.yaml", {}, (why,))

    told, seen = judge(HEALTHY, kubelet=kubelet)

    assert (told.status, told.reason, told.subject) == (Status.UNKNOWN, "Unreadable", kubelet.config_path)
    assert why.message in told.message
    assert seen.reason == "RepliesMatch"
    # kubeadm writes it anew.
    assert {one.reason for one in judge(HEALTHY, kubelet=kubelet, stage=FRESH)} == {"RepliesMatch"}


def test_refusals_of_one_kind_are_told_once() -> None:
    udp, tcp = asked([SILENT] * 4, [], error="refused"), asked([], [SILENT] * 3, error="refused")

    [finding] = judge(View(CLIENT, ({**udp[0], "offender": SERVICE}, *udp[1:], *tcp)))

    assert f"(refused by {SERVICE})" in finding.message


def test_a_namespace_that_we_may_not_enter_is_unknown() -> None:
    [finding] = dns_reply_source(
        JOINED, KUBELET, PODS, DNS, Unobserved("NotPermitted", "entering needs root"), DnsWatch()
    )

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")


def test_a_pod_that_could_not_be_asked_from_is_told_beside_those_that_could() -> None:
    [finding] = judge(HEALTHY, View(OTHER, problem=Unobserved("NotFound", "the network namespace is gone")))

    assert finding.reason == "RepliesMatch"
    assert any("the network namespace is gone" in evidence.content for evidence in finding.evidence)


def test_every_failure_and_warning_says_what_to_do() -> None:
    stray, refused = (Reply(source="10.244.0.22"),), (Reply(rcode="REFUSED"),)
    for udp in ([stray] * 8, [SILENT] * 8, [SILENT, *[GOOD] * 7], [refused] * 8, [(Reply(seconds=2),)] * 8):
        for finding in judge(View(CLIENT, asked(udp))):
            assert finding.fix is not None
            assert finding.fix.commands
            assert finding.evidence
