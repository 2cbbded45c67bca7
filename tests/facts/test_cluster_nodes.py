"""The Node objects, from what an API server answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_nodes import MOST, NODES, ClusterNodes, Node, NodeCondition, Taint
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost
from tests.api_server import recorded
from tests.control_plane import control_plane

if TYPE_CHECKING:
    from collections.abc import Mapping

CP1 = NodeName("cp1", "the host name", "cp1")
ADMIN = ApiAccess("/etc/kubernetes/admin.conf", None)
REFUSED = HostError("NotPermitted", 'nodes is forbidden: User "system:node:cp1" cannot list resource "nodes"')


def answering(answers: Mapping[str, Any]) -> FakeHost:
    def kube(path: str, kubeconfig: str) -> Any:
        del kubeconfig
        return answers.get(path, HostError("NotFound", f"{path} answered 404"))

    return FakeHost(kube=kube)


def node(name: str, *, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": dict(labels or {})}, "spec": {}, "status": {}}


def test_a_recorded_node_is_read_whole() -> None:
    found = ClusterNodes.observe(control_plane(), ADMIN, CP1)

    [one] = found.all
    assert found.own is one
    assert (found.complete, found.problem, found.own_problem) == (True, None, None)
    assert one.is_ready
    assert one.condition("Ready") == NodeCondition(
        "Ready", "True", "KubeletReady", "kubelet is posting ready status", 1795180924.0, 1795180915.0
    )
    assert one.pod_cidrs == ("10.244.0.0/24",)
    assert one.internal_addresses == ("10.27.53.32",)
    assert (one.kubelet_version, one.runtime_version, one.kernel_version) == (
        "v1.36.2",
        "containerd://1.6.20",
        "6.18.44",
    )
    assert found.control_planes == (one,)


def test_taints_and_cordons_are_read() -> None:
    item = recorded("/api/v1/nodes/cp1")
    assert item
    item["spec"] |= {
        "unschedulable": True,
        "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, {"key": "a", "value": "b"}],
    }

    found = Node.parse(item)

    assert found.unschedulable
    assert found.taints == (Taint("node.kubernetes.io/not-ready", "NoSchedule"), Taint("a", "", "b"))
    assert [taint.text for taint in found.taints] == ["node.kubernetes.io/not-ready:NoSchedule", "a=b:"]


def test_a_kubelet_that_may_read_its_own_node_alone_gets_that() -> None:
    host = answering({f"{NODES}?limit={MOST}": REFUSED, f"{NODES}/cp1": node("cp1")})

    found = ClusterNodes.observe(host, ADMIN, CP1)

    assert [each.name for each in found.all] == ["cp1"]
    assert not found.complete
    assert found.problem
    assert found.problem.reason == "NotPermitted"


def test_a_node_that_is_not_registered_is_told_from_one_that_may_not_be_read() -> None:
    absent = ClusterNodes.observe(answering({f"{NODES}?limit={MOST}": {"items": [node("cp2")]}}), ADMIN, CP1)
    hidden = answering({f"{NODES}?limit={MOST}": REFUSED, f"{NODES}/cp1": REFUSED})

    assert absent.own is None
    assert absent.own_problem
    assert absent.own_problem.reason == "NotFound"
    with pytest.raises(HostError, match="forbidden"):
        ClusterNodes.observe(hidden, ADMIN, CP1)


def test_a_kubelet_alone_whose_node_is_gone_learns_that() -> None:
    found = ClusterNodes.observe(answering({f"{NODES}?limit={MOST}": REFUSED}), ADMIN, CP1)

    assert found.all == ()
    assert found.own_problem
    assert found.own_problem.reason == "NotFound"


def test_of_a_large_cluster_the_first_nodes_the_control_planes_and_this_one_are_kept() -> None:
    label = "node-role.kubernetes.io/control-plane"
    first = [node(f"a{number:03}") for number in range(MOST)]
    host = answering(
        {
            f"{NODES}?limit={MOST}": {"metadata": {"continue": "x", "remainingItemCount": 4900}, "items": first},
            f"{NODES}?limit={MOST}&labelSelector=node-role.kubernetes.io%2Fcontrol-plane": {
                "items": [node("z1", labels={label: ""})]
            },
            f"{NODES}/cp1": node("cp1"),
        }
    )

    found = ClusterNodes.observe(host, ADMIN, CP1)

    assert len(found.all) == MOST + 2
    assert found.own is not None
    assert [each.name for each in found.control_planes] == ["z1"]
    assert not found.complete
    assert found.problem
    assert "5000 nodes" in found.problem.message


def test_without_an_api_server_the_fact_says_why() -> None:
    silent = answering({f"{NODES}?limit={MOST}": HostError("Unreadable", "did not answer: connection refused")})

    with pytest.raises(HostError, match="connection refused"):
        ClusterNodes.observe(silent, ADMIN, CP1)


@pytest.mark.parametrize(
    "answer",
    [{"items": None}, {"items": ["x", {"metadata": 3}]}, {"items": [{"metadata": {"name": 7}, "status": []}]}, {}],
)
def test_an_answer_of_another_form_breaks_nothing(answer: dict[str, Any]) -> None:
    found = ClusterNodes.observe(answering({f"{NODES}?limit={MOST}": answer}), ADMIN, CP1)

    assert found.own is None
    assert json.dumps([each.name for each in found.all]) in ("[]", '["7"]')
