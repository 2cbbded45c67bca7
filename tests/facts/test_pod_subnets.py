"""The pod subnets that the cluster was told, and flannel's subnet file."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.flannel import SubnetFile
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.pod_subnets import CONTROLLER_MANAGER, PodSubnets
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

MANIFEST = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-controller-manager
    - --cluster-cidr=10.244.0.0/16,fd00::/56
"""


def test_subnets_come_from_kubeadm_and_from_the_controller_managers_flag() -> None:
    kubeadm = KubeadmConfig(source="--config k.yaml", pod_subnets=("10.244.0.0/16", "nonsense"))

    found = PodSubnets.observe(FakeHost({CONTROLLER_MANAGER: MANIFEST}), kubeadm, Unobserved("NotFound", "")).subnets

    assert [(str(subnet), source) for subnet, source in found] == [
        ("10.244.0.0/16", "podSubnet in --config k.yaml"),
        ("fd00::/56", f"--cluster-cidr in {CONTROLLER_MANAGER}"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("[", "Unreadable"), ("a: b", None), ("", None), (HostError("NotPermitted", "run as root"), "NotPermitted")],
)
def test_a_manifest_that_cannot_be_read_says_why(content: str | HostError, reason: str | None) -> None:
    found = PodSubnets.observe(
        FakeHost({CONTROLLER_MANAGER: content}), Unobserved("NotFound", ""), Unobserved("NotFound", "")
    )

    assert found.subnets == ()
    assert (found.problem.reason if found.problem else None) == reason


def test_a_dual_stack_subnet_file_tells_subnets_and_networks() -> None:
    text = (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd00::/56\n"
        "FLANNEL_IPV6_SUBNET=fd00:0:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\nOTHER=x\n"
    )

    file = SubnetFile.parse(text, "/run/flannel/subnet.env")

    assert file.problem is None
    assert [str(subnet) for subnet in file.subnets] == ["10.244.1.0/24", "fd00:0:0:1::/64"]
    assert [str(subnet) for subnet in file.networks] == ["10.244.0.0/16", "fd00::/56"]


def test_a_line_without_a_value_is_refused() -> None:
    file = SubnetFile.parse("FLANNEL_MTU\n", "/run/flannel/subnet.env")

    assert file.problem == "line 1: FLANNEL_MTU= is no number"
    assert file.subnets == ()


def test_a_subnet_file_that_we_may_not_read_is_not_missing() -> None:
    file = SubnetFile.read(FakeHost(denied={"/s"}), "/s")

    assert file.unseen is not None
    assert (file.text, file.problem) == (None, None)
