"""subnets on a whole node: real interfaces and a real bridge of pods, and an API server that tells what a real one told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Outcome

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss"),
]

MANIFESTS = "/etc/kubernetes/manifests"


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with LabNode("cp1") as lab:
        made = WholeNode(lab, "control-plane")
        made.start()
        yield made


def look(node: WholeNode) -> Outcome:
    return node.check("subnets", "cni-config")


def test_a_whole_node_agrees(node: WholeNode) -> None:
    outcome = look(node)

    assert alarms(outcome) == set()
    assert outcome.reasons("subnets") == {"Agree"}


@pytest.mark.parametrize(
    ("breaks", "mends", "alarm"),
    [
        (
            "ip link add docker0 type bridge; ip address add 10.244.7.1/24 dev docker0",
            "ip link delete docker0",
            "subnets/SubnetInUse (fail)",
        ),
        (
            "ip address add 10.96.0.77/32 dev eth0",
            "ip address delete 10.96.0.77/32 dev eth0",
            "subnets/SubnetInUse (fail)",
        ),
        (
            f"sed -i s,cluster-cidr=10.244.0.0/16,cluster-cidr=10.244.0.0/17, {MANIFESTS}/kube-controller-manager.yaml",
            "",
            "subnets/ClusterCidrDiffers (warn)",
        ),
        (
            f"sed -i s,service-cluster-ip-range=10.96.0.0/16,service-cluster-ip-range=10.97.0.0/16, {MANIFESTS}/kube-apiserver.yaml",
            "",
            "subnets/ServiceRangeDiffers (warn)",
        ),
    ],
    ids=["docker0", "a service's address", "the controller manager", "the API server"],
)
def test_who_does_not_agree_is_the_only_alarm(node: WholeNode, breaks: str, mends: str, alarm: str) -> None:
    """What the test before mended must not be seen any more."""
    node.lab.shell(breaks)
    try:
        assert alarms(look(node)) == {alarm}
    finally:
        node.lab.shell(mends)
        node.restore()
