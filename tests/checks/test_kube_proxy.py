"""kube-proxy: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.kube_proxy import kube_proxy
from k8sdoctor.facts.cluster_dns import Backend, ClusterDns, DnsAddress
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.node_kernel import NodeKernel
from k8sdoctor.facts.service_rules import Protocol, Route, ServiceRules
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Certainty, Finding, Status, Unobserved

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE = "10.96.0.10"
JOINED = Stage("worker", "")
RUNS = KubeProxy("kube-proxy, pid 7", configured=True)
GONE = KubeProxy(None, configured=True)
DNS = ClusterDns(
    (DnsAddress(SERVICE, "clusterDNS in /var/lib/kubelet/config.yaml; service kube-system/kube-dns"),),
    service="kube-system/kube-dns",
    backends=tuple(Backend(f"10.244.0.{each}", 53, f"coredns-{each}", local=False, source="") for each in (2, 3)),
    complete=True,
)
BOTH = ("10.244.0.2:53", "10.244.0.3:53")
NFT = "iptables (nf_tables)"
KERNEL = NodeKernel("6.1.0-40-amd64")


def route(protocol: Protocol, *backends: str, mechanism: str = NFT, rejects: bool = False) -> Route:
    return Route(SERVICE, protocol, mechanism, backends, rejects=rejects, lines=("-A KUBE-SERVICES …",))


def rules(*found: Route, mechanisms: Sequence[str] = (NFT,), blind: Sequence[Unobserved] = ()) -> ServiceRules:
    return ServiceRules(tuple(mechanisms), found, blind=tuple(blind), asked=(SERVICE,))


GOOD = rules(route("udp", *BOTH), route("tcp", *BOTH))
NONE = rules(mechanisms=())


def judge(
    found: ServiceRules | Unobserved, proxy: KubeProxy = RUNS, dns: ClusterDns = DNS, stage: Stage = JOINED
) -> list[tuple[Status, str]]:
    return [(finding.status, finding.reason) for finding in findings(found, proxy, dns, stage)]


def findings(
    found: ServiceRules | Unobserved,
    proxy: KubeProxy = RUNS,
    dns: ClusterDns = DNS,
    stage: Stage = JOINED,
    kernel: NodeKernel = KERNEL,
) -> list[Finding]:
    return list(kube_proxy(stage, proxy, dns, found, kernel))


def test_rules_that_lead_to_the_listed_backends_are_healthy() -> None:
    assert judge(GOOD) == [(Status.PASS, "RulesMatch")]


def test_rules_that_lead_to_some_of_the_backends_are_healthy_as_with_traffic_that_stays_in_its_zone() -> None:
    assert judge(rules(route("udp", BOTH[0]), route("tcp", BOTH[0]))) == [(Status.PASS, "RulesMatch")]


def test_a_rule_to_an_address_that_is_no_backend_names_it_and_the_real_ones() -> None:
    [finding] = findings(rules(route("udp", "10.244.0.99:53"), route("tcp", *BOTH)))

    assert (finding.status, finding.reason) == (Status.FAIL, "StaleBackend")
    assert "10.96.0.10:53 over UDP leads to 10.244.0.99:53" in finding.message
    assert "10.244.0.2:53, 10.244.0.3:53" in finding.message
    sure = [link for link in finding.explains if link.certainty is Certainty.PROVEN]
    assert {link.reason for link in sure} == {"NoReply", "RepliesLost", "TcpOnly", "UdpOnly", "StaleEntry"}
    assert {link.when for link in sure} == {
        frozenset({"servers:answer", f"address:{SERVICE}"}),
        frozenset({"backend:10.244.0.99"}),
    }


def test_a_rule_that_refuses_a_service_with_backends_is_stale() -> None:
    found = rules(route("udp", rejects=True), route("tcp", *BOTH))

    assert judge(found) == [(Status.FAIL, "StaleReject")]


def test_a_rule_that_refuses_a_service_without_backends_is_right() -> None:
    nobody = replace(DNS, backends=())
    found = rules(route("udp", rejects=True), route("tcp", rejects=True))

    assert judge(found, dns=nobody) == [(Status.PASS, "RulesMatch")]


def test_backends_that_the_api_server_did_not_tell_are_not_called_stale() -> None:
    blind = replace(DNS, complete=False, backends=DNS.backends[:1])

    assert judge(GOOD, dns=blind) == [(Status.PASS, "RulesMatch")]


def test_no_rule_fails_while_kube_proxy_runs() -> None:
    [finding] = findings(rules())

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "NoRules", SERVICE)
    assert "UDP and TCP port 53" in finding.message


def test_a_rule_for_one_protocol_alone_is_half_of_what_dns_needs() -> None:
    [finding] = findings(rules(route("udp", *BOTH)))

    assert finding.reason == "NoRules"
    assert "for TCP port 53" in finding.message


def test_rules_of_somebody_else_for_the_address_are_rules() -> None:
    foreign = replace(NONE, foreign=(f"-A PREROUTING -d {SERVICE}/32 -j DNAT --to-destination 10.244.0.2:53",))

    assert judge(foreign) == [(Status.PASS, "RulesMatch")]


def test_an_address_that_is_no_service_needs_no_rule() -> None:
    outside = ClusterDns((DnsAddress("192.0.2.53", "clusterDNS in /var/lib/kubelet/config.yaml"),))

    assert judge(rules(), dns=outside) == [(Status.SKIP, "NoService")]


def test_kube_proxy_that_is_configured_and_does_not_run_is_one_cause_with_or_without_old_rules() -> None:
    assert judge(GOOD, GONE) == [(Status.FAIL, "NotRunning")]
    [finding] = findings(NONE, GONE)
    assert finding.reason == "NotRunning"
    assert "nothing translates the addresses of services" in finding.message
    assert "NoReply" in {link.reason for link in finding.explains}


def test_old_rules_that_went_wrong_are_told_beside_their_writer_that_is_gone() -> None:
    stale = rules(route("udp", "10.244.0.99:53"), route("tcp", "10.244.0.99:53"))

    assert judge(stale, GONE) == [(Status.FAIL, "NotRunning"), (Status.FAIL, "StaleBackend")]


def test_both_protocols_that_are_wrong_alike_are_one_finding_and_two_that_differ_are_two() -> None:
    [finding] = findings(rules(route("udp", "10.244.0.99:53"), route("tcp", "10.244.0.99:53")))
    assert "over UDP and TCP leads to 10.244.0.99:53" in finding.message

    assert len(findings(rules(route("udp", "10.244.0.98:53"), route("tcp", "10.244.0.99:53")))) == 2


def test_rules_of_a_kube_proxy_that_the_cluster_does_not_configure_are_a_warning() -> None:
    assert judge(GOOD, KubeProxy(None, configured=False)) == [(Status.WARN, "NotRunning")]
    assert judge(GOOD, KubeProxy(None, configured=None)) == [(Status.WARN, "NotRunning")]


@pytest.mark.parametrize("configured", [False, None])
def test_a_cluster_that_uses_something_else_is_left_alone(*, configured: bool | None) -> None:
    assert judge(NONE, KubeProxy(None, configured=configured)) == [(Status.SKIP, "NoKubeProxy")]


def test_both_variants_of_iptables_are_a_warning_and_what_the_old_one_says_is_judged() -> None:
    old = route("udp", "10.244.0.99:53", mechanism="iptables (legacy)")
    found = rules(*GOOD.routes, old, mechanisms=(NFT, "iptables (legacy)"))

    assert judge(found) == [(Status.WARN, "MixedIptables"), (Status.FAIL, "StaleBackend")]
    assert judge(rules(*GOOD.routes, mechanisms=(NFT, "IPVS"))) == [(Status.PASS, "RulesMatch")]


def test_rules_that_could_not_be_read_are_unknown() -> None:
    assert judge(Unobserved("NotPermitted", "run as root")) == [(Status.UNKNOWN, "NotPermitted")]
    assert (Status.UNKNOWN, "RulesUnread") in judge(replace(GOOD, blind=(Unobserved("Unreadable", "x"),)))


def test_a_machine_that_is_no_node_yet_has_no_kube_proxy() -> None:
    assert judge(NONE, GONE, stage=Stage("prepared", "")) == [(Status.SKIP, "NotJoined")]


@pytest.mark.parametrize(
    ("mode", "kernel"), [("ipvs", NodeKernel("6.1.0", "absent")), ("nftables", NodeKernel("5.10.0-30-amd64"))]
)
def test_a_mode_that_the_kernel_cannot_serve_is_why_kube_proxy_does_not_run(mode: str, kernel: NodeKernel) -> None:
    unfit, gone = findings(NONE, replace(GONE, mode=mode), kernel=kernel)

    assert (unfit.status, unfit.reason, gone.reason) == (Status.FAIL, "ModeUnfit", "NotRunning")
    assert [(link.reason, link.certainty) for link in unfit.explains] == [("NotRunning", Certainty.PROVEN)]
    first, second = findings(GOOD, replace(RUNS, mode=mode), kernel=kernel)
    assert [(first.status, first.reason), (second.status, second.reason)] == [
        (Status.WARN, "ModeUnfit"),
        (Status.PASS, "RulesMatch"),
    ]


@pytest.mark.parametrize(
    ("mode", "kernel"),
    [
        ("ipvs", NodeKernel("6.1.0", "loadable")),
        ("ipvs", NodeKernel("6.1.0", "unknown")),
        ("nftables", NodeKernel("5.13.0")),
        ("iptables", NodeKernel("4.19.0")),
        (None, NodeKernel("4.19.0")),
    ],
)
def test_a_mode_that_the_kernel_serves_or_may_serve_is_no_fault(mode: str | None, kernel: NodeKernel) -> None:
    assert [each.reason for each in findings(GOOD, replace(RUNS, mode=mode), kernel=kernel)] == ["RulesMatch"]
