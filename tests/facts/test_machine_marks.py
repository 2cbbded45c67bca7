"""Machine marks: which network cards are the machine's own, and what else only one machine may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.kubeconfig import Kubeconfig, Kubeconfigs
from k8sdoctor.facts.machine_marks import PRODUCT_UUID, MachineMarks, NetworkCard
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost
from tests.certificates import cluster_ca

if TYPE_CHECKING:
    from k8sdoctor.host.answers import Netlink

NAME = NodeName("n1", "so", "n1", "n1", "ab" * 32)
MAC = "52:54:00:00:00:01"
DEFAULT: Netlink = {"family": 4, "destination": "0.0.0.0/0", "table": 254, "type": "unicast", "oif": 2}
LOOPBACK: Netlink = {"index": 1, "name": "lo", "mac": "00:00:00:00:00:00", "up": True}


def cards(*links: Any, addresses: Any = (), routes: Any = ()) -> tuple[NetworkCard, ...]:
    network = NodeNetwork((LOOPBACK, *links), ({"index": 1, "address": "127.0.0.1", "prefix": 8}, *addresses), routes)
    return MachineMarks.observe(FakeHost(), network, NAME, Kubeconfigs((), ())).cards


def link(index: int, name: str, **more: Any) -> dict[str, Any]:
    return {"index": index, "name": name, "mac": MAC, "up": True, **more}


def test_a_card_with_an_address_is_the_machine_s() -> None:
    assert cards(link(2, "eth0"), addresses=[{"index": 2, "address": "192.0.2.1", "prefix": 24}]) == (
        NetworkCard("eth0", MAC, ("192.0.2.1/24",)),
    )


def test_a_card_with_the_default_route_alone_is_too() -> None:
    assert cards(link(2, "ppp"), routes=[DEFAULT]) == (NetworkCard("ppp", MAC),)


@pytest.mark.parametrize("kind", ["bridge", "veth", "vxlan", "ipip", "dummy", "tun", "wireguard"])
def test_what_the_kernel_made_is_no_card(kind: str) -> None:
    made = link(2, "made", kind=kind)

    assert cards(made, addresses=[{"index": 2, "address": "10.244.0.1", "prefix": 24}], routes=[DEFAULT]) == ()


@pytest.mark.parametrize("address", ["169.254.3.1", "fe80::1"])
def test_a_server_s_link_to_its_own_controller_is_no_card(address: str) -> None:
    usb = link(2, "enxb03af2b6059f")

    assert cards(usb, addresses=[{"index": 2, "address": address, "prefix": 64 if ":" in address else 16}]) == ()


def test_a_card_below_a_bond_with_a_vlan_is_found_with_the_vlan_s_address() -> None:
    found = cards(
        link(2, "eno1", master=4),
        link(3, "eno2", master=4, mac="52:54:00:00:00:02"),
        link(4, "bond0", kind="bond"),
        link(5, "bond0.7", kind="vlan", link=4),
        addresses=[{"index": 5, "address": "192.0.2.1", "prefix": 24}],
    )

    assert [(card.name, card.addresses) for card in found] == [("eno1", ("192.0.2.1/24",)), ("eno2", ("192.0.2.1/24",))]


def test_a_pod_s_end_of_a_veth_is_not_what_is_above_a_card() -> None:
    vlan = link(9, "pod", kind="vlan", link=2, link_netnsid=0)

    assert cards(link(2, "eth0"), vlan, addresses=[{"index": 9, "address": "10.244.0.9", "prefix": 24}]) == ()


def test_the_other_marks_are_those_of_the_board_and_of_the_cluster() -> None:
    authority = cluster_ca().pem
    config = Kubeconfig("/etc/kubernetes/kubelet.conf", ca=authority)

    found = MachineMarks.observe(
        FakeHost({PRODUCT_UUID: "0A1B\n"}), Unobserved("NotPermitted", "x"), NAME, Kubeconfigs((config,), ())
    )

    assert (found.product_uuid, found.node_name, found.client_certificate, found.cards) == ("0A1B", "n1", "ab" * 32, ())
    assert len(found.authority) == 64


@pytest.mark.parametrize("kubeconfigs", [Unobserved("NotFound", "x"), Kubeconfigs((), ())])
def test_what_nobody_may_see_is_empty_and_no_error(kubeconfigs: Kubeconfigs | Unobserved) -> None:
    host = FakeHost({PRODUCT_UUID: "0A1B"}, denied={PRODUCT_UUID})

    assert MachineMarks.observe(host, NodeNetwork(), NodeName("n1", "so", "n1"), kubeconfigs) == MachineMarks()


def test_an_authority_that_is_no_certificate_is_no_mark() -> None:
    config = Kubeconfig("/etc/kubernetes/kubelet.conf", ca="garbage")

    assert MachineMarks.observe(FakeHost(), NodeNetwork(), NAME, Kubeconfigs((config,), ())).authority == ""
