"""apiserver-endpoints: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor.checks.apiserver_endpoints import apiserver_endpoints
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.api_endpoints import ApiEndpoint, Kind, NodeEndpoints, ToldEndpoints, Use
from k8sdoctor.facts.api_members import ApiMember, ApiMembers
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.served_certificates import Hello, Served, ServedCertificates
from k8sdoctor.facts.stage import Stage, StageName
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import NetworkFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KUBELET = "/etc/kubernetes/kubelet.conf"
CONTROLLER_MANAGER = "/etc/kubernetes/controller-manager.conf"
KUBE_PROXY = "ConfigMap kube-system/kube-proxy"
LB = "lb.example"
DOWN = NetworkFailure(kind="timeout", message="10.0.0.3:6443 gave no answer within 4 s")
NOBODY = Unobserved("NotFound", "not there")


def member(number: int, *, own: bool = False, listed: bool = True) -> ApiMember:
    return ApiMember(
        f"10.0.0.{number}", 6443, f"cp{number}", "EndpointSlice default/kubernetes", listed=listed, own=own, status=200
    )


THREE = (member(1), member(2), member(3))


def endpoint(source: str, host: str, kind: Kind = "kubeconfig") -> ApiEndpoint:
    return ApiEndpoint(host, 6443, None, (Use(kind, source, host, 6443, host),))


def judge(
    *members: ApiMember,
    uses: Mapping[str, str] | None = None,
    proxy: str | None = None,
    balancer: str | None = f"{LB}:6443",
    resolves: Mapping[str, Sequence[str]] | None = None,
    stage: StageName = "worker",
    access: ApiAccess | Unobserved = ApiAccess(KUBELET, None),  # noqa: B008 -- frozen
) -> list[Finding]:
    node = NodeEndpoints(tuple(endpoint(source, host) for source, host in (uses or {KUBELET: LB}).items()))
    told = ToldEndpoints((endpoint(KUBE_PROXY, proxy, "cluster"),) if proxy else ())
    served = ServedCertificates(
        tuple(
            Served(endpoint("x", name), tuple(Hello(address, 0, (), None, None) for address in addresses))
            for name, addresses in (resolves or {LB: ["10.0.0.9"]}).items()
        )
    )
    config = ClusterKubeadmConfig(KubeadmConfig("x", control_plane_endpoint=balancer))
    return list(apiserver_endpoints(Stage(stage, ""), access, ApiMembers(members), node, told, served, NOBODY, config))


def test_three_ready_members_behind_a_balancer_pass() -> None:
    [finding] = judge(*THREE, proxy=LB)

    assert (finding.status, finding.reason) == (Status.PASS, "Ready")
    assert "3 API servers are ready: cp1 (10.0.0.1:6443)" in finding.message
    assert finding.message.endswith("reached through lb.example:6443.")


def test_a_single_api_server_may_be_used_by_its_own_address() -> None:
    [finding] = judge(member(1), uses={KUBELET: "10.0.0.1"}, proxy="10.0.0.1", balancer=None)

    assert (finding.status, finding.message) == (Status.PASS, "The API server is ready: cp1 (10.0.0.1:6443).")


def test_a_single_api_server_whose_endpoint_is_a_name_of_its_own_passes() -> None:
    [finding] = judge(member(1), resolves={LB: ["10.0.0.1"]}, proxy=LB)

    assert finding.status is Status.PASS


def test_a_member_that_does_not_answer_fails_and_explains_what_clients_see() -> None:
    [finding] = judge(*THREE[:2], replace(THREE[2], status=0, failure=DOWN))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "MemberDown", "10.0.0.3:6443")
    assert "2 of 3 are ready" in finding.message
    assert {(link.reason, *link.when) for link in finding.explains} == {
        ("EndpointUnreachable", "endpoint:10.0.0.3:6443"),
        ("BackendsDisagree", "members:silent"),
    }


def test_a_member_that_the_service_has_dropped_is_said_to_be() -> None:
    [finding] = judge(*THREE[:2], replace(THREE[2], listed=False, status=0, failure=DOWN))

    assert "the service kubernetes has dropped it" in finding.message


def test_a_member_that_is_not_ready_names_its_failing_checks() -> None:
    [finding] = judge(*THREE[:2], replace(THREE[2], status=500, failing=("etcd", "informer-sync")))

    assert (finding.status, finding.reason) == (Status.FAIL, "MemberNotReady")
    assert "etcd and informer-sync fail" in finding.message


def test_a_member_that_lets_nobody_in_without_a_certificate_is_there() -> None:
    [finding] = judge(*THREE[:2], replace(THREE[2], status=401))

    assert finding.status is Status.PASS


def test_a_member_that_answers_and_is_not_listed_is_a_warning() -> None:
    first, _ = judge(*THREE[:2], member(3, listed=False))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "MemberNotListed", "10.0.0.3:6443")


# -- who depends on one ------------------------------------------------------------------------------------------------


def test_a_workers_kubelet_that_goes_to_one_member_is_pinned_and_moved_to_the_balancer() -> None:
    first, _ = judge(*THREE, uses={KUBELET: "10.0.0.1"})

    assert (first.status, first.reason, first.subject) == (Status.WARN, "KubeletPinned", KUBELET)
    assert first.fix is not None
    assert first.fix.commands[0] == (
        f"sed -i.pinned 's#server: https://10.0.0.1:6443#server: https://lb.example:6443#' {KUBELET}"
    )


def test_a_control_planes_kubelet_and_controllers_may_go_to_their_own_member() -> None:
    own = {KUBELET: "10.0.0.1", CONTROLLER_MANAGER: "10.0.0.1"}

    [finding] = judge(member(1, own=True), *THREE[1:], uses=own, stage="control-plane")

    assert finding.status is Status.PASS


def test_a_control_planes_controllers_that_go_to_another_member_are_pinned() -> None:
    first, _ = judge(member(1, own=True), *THREE[1:], uses={CONTROLLER_MANAGER: "10.0.0.2"}, stage="control-plane")

    assert (first.status, first.reason, first.subject) == (Status.WARN, "ComponentPinned", CONTROLLER_MANAGER)
    assert first.fix is not None
    assert "server: https://10.0.0.1:6443" in first.fix.commands[0]


def test_kube_proxys_configuration_that_names_one_member_is_pinned() -> None:
    first, _ = judge(*THREE, proxy="10.0.0.1")

    assert (first.status, first.reason) == (Status.WARN, "KubeProxyPinned")
    assert first.fix is not None
    assert "sed 's#server: https://10.0.0.1:6443#server: https://lb.example:6443#'" in first.fix.commands[0]


def test_where_there_is_no_balancer_one_is_needed_first() -> None:
    first, _ = judge(*THREE, uses={KUBELET: "10.0.0.1"}, balancer=None)

    assert first.fix is not None
    assert first.fix.title.startswith("Put a balancer in front of all 3")


def test_an_endpoint_that_leads_to_one_member_is_one_warning_for_all_that_use_it() -> None:
    first, passing = judge(*THREE, proxy=LB, resolves={LB: ["10.0.0.1"]})

    assert (first.status, first.reason, first.subject) == (Status.WARN, "EndpointIsOneMember", f"{LB}:6443")
    assert passing.reason == "Ready"


def test_a_control_plane_may_have_the_name_of_the_endpoint_lead_to_itself() -> None:
    [finding] = judge(member(1, own=True), *THREE[1:], proxy=LB, resolves={LB: ["10.0.0.1"]}, stage="control-plane")

    assert finding.status is Status.PASS


def test_an_endpoint_that_nobody_uses_since_each_node_has_a_balancer_of_its_own_is_no_matter() -> None:
    [finding] = judge(*THREE, uses={KUBELET: "localhost"}, proxy="127.0.0.1", balancer="10.0.0.1:6443")

    assert finding.status is Status.PASS


def test_a_name_with_an_address_for_each_member_pins_nobody() -> None:
    [finding] = judge(*THREE, proxy=LB, resolves={LB: ["10.0.0.1", "10.0.0.2", "10.0.0.3"]})

    assert finding.status is Status.PASS


# -- nothing to judge --------------------------------------------------------------------------------------------------


def test_a_machine_that_is_no_node_yet_is_skipped() -> None:
    [finding] = judge(stage="prepared")

    assert (finding.status, finding.reason) == (Status.SKIP, "NoCluster")


def test_members_that_a_kubelet_may_not_read_are_skipped_with_the_reason() -> None:
    [finding] = judge(access=ApiAccess(None, Unobserved("NotPermitted", "a kubelet may not")))

    assert (finding.status, finding.reason) == (Status.SKIP, "MembersNotTold")
    assert "a kubelet may not" in finding.message


def test_an_api_that_does_not_answer_leaves_the_members_unknown() -> None:
    [finding] = judge(access=ApiAccess(None, Unobserved("Unreadable", "the API server did not answer")))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "Unreadable")


def test_offline_skips() -> None:
    [finding] = judge(access=ApiAccess(None, Unobserved("Offline", "--offline forbids it")))

    assert (finding.status, finding.reason) == (Status.SKIP, "Offline")
