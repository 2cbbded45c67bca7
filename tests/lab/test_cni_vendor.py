"""cni-vendor on a machine with real links: VXLAN devices of two networks, filters by the way back, and what is pasted to mend them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.node import LabNode

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd")]

CONF = "/etc/cni/net.d/05-cilium.conflist"
CILIUM = {"cniVersion": "0.3.1", "name": "cilium", "plugins": [{"type": "cilium-cni"}]}


@pytest.fixture(scope="module")
def machine() -> Iterator[LabNode]:
    with LabNode("w1") as lab:
        lab.write(CONF, json.dumps(CILIUM))
        lab.shell(
            "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0\n"
            "ip link add cilium_host type veth peer name cilium_net; ip link set cilium_host up"
        )
        yield lab


def findings(lab: LabNode) -> list[dict[str, Any]]:
    outcome = lab.check("cni-vendor")
    assert outcome.report["broken"] == []
    found: list[dict[str, Any]] = outcome.result("cni-vendor")["findings"]
    return found


def mend(lab: LabNode, reason: str, status: str) -> None:
    """Paste what is suggested for the only finding, and see that nothing is left to mend."""
    [finding] = findings(lab)
    assert (finding["reason"], finding["status"]) == (reason, status)
    lab.shell("\n".join([*finding["fix"]["commands"], *finding["fix"]["persist"]]))
    lab.shell(finding["fix"]["verify"])
    assert [each["reason"] for each in findings(lab)] == ["Recognised"]


def test_a_network_of_its_own_is_recognised(machine: LabNode) -> None:
    [finding] = findings(machine)

    assert (finding["reason"], finding["subject"]) == ("Recognised", "Cilium")


def test_a_vxlan_device_that_another_network_left_takes_the_port(machine: LabNode) -> None:
    machine.shell("ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.10; ip link set flannel.1 up")
    machine.shell("ip link add cilium_vxlan type vxlan external dstport 8472")

    up = machine.shell("ip link set cilium_vxlan up", check=False)

    assert "in use" in up.stderr  # what Cilium's agent meets
    mend(machine, "VxlanPortTaken", "fail")
    machine.shell("ip link add cilium_vxlan type vxlan external dstport 8472; ip link set cilium_vxlan up")
    assert [each["reason"] for each in findings(machine)] == ["Recognised"]


def test_a_bridge_that_another_network_left_is_named_and_deleted(machine: LabNode) -> None:
    machine.add_bridge("cni0", "10.244.0.1/24")

    mend(machine, "LeftoverInterface", "warn")


def test_a_filter_on_an_interface_of_cilium_is_named_and_turned_off(machine: LabNode) -> None:
    machine.shell("sysctl -qw net.ipv4.conf.cilium_host.rp_filter=2")

    mend(machine, "ReversePathOn", "warn")

    assert "cilium_*.rp_filter = 0" in machine.shell("cat /etc/sysctl.d/99-zzzz-rp-filter-cilium.conf").stdout
