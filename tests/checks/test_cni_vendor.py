"""cni-vendor: facts in, findings out."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.checks.cni_vendor import cni_vendor
from k8sdoctor.facts.bridge import Bridge, Bridges
from k8sdoctor.facts.cni_vendor import CniVendor
from k8sdoctor.facts.network_manager import NetworkManager
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.sysctl import SysctlBoot
from k8sdoctor.finding import Finding, Status, Unobserved

CALICO = CniVendor("Calico", ("calico", "calico-ipam", "portmap"), (3, 29, 1), 0, kernel="6.1.0")
CILIUM = CniVendor("Cilium", ("cilium-cni",), None, 0, (("lxc1", 0), ("cilium_host", 0)), "6.1.0")
FLANNEL = CniVendor("flannel", ("flannel", "bridge", "host-local", "portmap"), kernel="6.1.0")
VENDORS = [
    CALICO,
    CILIUM,
    FLANNEL,
    CniVendor("Canal", ("calico", "host-local")),
    CniVendor("Weave", ("weave-net",)),
    CniVendor("kube-router", ("bridge", "host-local")),
    CniVendor("Antrea", ("antrea",)),
    CniVendor("kindnet", ("ptp", "host-local")),
]


def links(*names: str, down: tuple[str, ...] = ()) -> NodeNetwork:
    return NodeNetwork(
        tuple(
            {"index": index, "name": name, "up": name not in down}
            for index, name in enumerate(("lo", "eth0", *names), 1)
        )
    )


def judge(vendor: CniVendor, network: NodeNetwork | None = None, **changed: Any) -> list[Finding]:
    facts: dict[str, Any] = {"bridges": Bridges(), "manager": NetworkManager(), "boot": SysctlBoot()} | changed
    return list(cni_vendor(vendor, links() if network is None else network, **facts))


def verdict(vendor: CniVendor, network: NodeNetwork | None = None, **changed: Any) -> tuple[str, Status]:
    [finding] = judge(vendor, network, **changed)
    return finding.reason, finding.status


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: str(vendor.vendor))
def test_each_vendor_is_recognised(vendor: CniVendor) -> None:
    [finding] = judge(vendor)

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "Recognised", vendor.vendor)


def test_an_archived_project_is_a_remark_and_no_fault() -> None:
    [finding] = judge(CniVendor("Weave", ("weave-net",)), links("weave", "vethwe-bridge", "datapath"))

    assert "archived" in finding.message


def test_plain_plugins_ask_for_nothing_and_leave_no_sign() -> None:
    plain = CniVendor(None, ("bridge", "host-local", "portmap"))

    assert verdict(plain, links("cni0", "docker0")) == ("PlainPlugins", Status.PASS)
    assert verdict(plain, links("cni0", "flannel.1")) == ("LeftoverInterface", Status.WARN)
    assert verdict(CniVendor(None, ("gke",)), links("cilium_host")) == ("PlainPlugins", Status.PASS)
    assert verdict(CniVendor(), links("flannel.1")) == ("NoVendor", Status.SKIP)


# -- left over -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        (CALICO, "cilium_host"),
        (CALICO, "weave"),
        (CILIUM, "flannel.1"),
        (CILIUM, "vxlan.calico"),
        (CILIUM, "kube-bridge"),
        (FLANNEL, "cilium_host"),
        (FLANNEL, "wireguard.cali"),
        (FLANNEL, "antrea-gw0"),
    ],
)
def test_an_interface_of_another_network_is_left_over(vendor: CniVendor, name: str) -> None:
    [finding] = judge(vendor, links(name))

    assert (finding.reason, finding.status, finding.subject) == ("LeftoverInterface", Status.WARN, name)
    assert finding.fix is not None
    assert finding.fix.commands == (f"ip link delete {name}",)


@pytest.mark.parametrize(
    ("vendor", "names"),
    [
        (CALICO, ("vxlan.calico", "tunl0", "cali0123456789a", "docker0", "virbr0")),
        (CILIUM, ("cilium_host", "cilium_net", "cilium_vxlan", "lxc_health", "lxc0123")),
        (FLANNEL, ("flannel.1", "flannel-v6.1", "cni0", "tunl0", "kube-dummy-if")),
        (CniVendor("Canal", ("calico", "host-local")), ("flannel.1", "cali0123", "vxlan.calico")),
        (CniVendor("Cilium", ("flannel", "portmap", "cilium-cni"), None, 0), ("flannel.1", "cilium_host", "cni0")),
        (CniVendor("Calico", ("multus", "calico", "flannel")), ("flannel.1", "vxlan.calico", "weave")),
    ],
)
def test_a_vendor_s_own_interfaces_and_those_of_networks_that_go_together_are_healthy(
    vendor: CniVendor, names: tuple[str, ...]
) -> None:
    assert verdict(vendor, links(*names)) == ("Recognised", Status.PASS)


@pytest.mark.parametrize(
    ("vendor", "rival", "own"), [(CILIUM, "flannel.1", "cilium_vxlan"), (FLANNEL, "cilium_vxlan", "flannel.1")]
)
def test_two_devices_on_one_port_fail_when_the_one_in_use_is_down(vendor: CniVendor, rival: str, own: str) -> None:
    [finding] = judge(vendor, links(rival, own, down=(own,)))

    assert (finding.reason, finding.status, finding.subject) == ("VxlanPortTaken", Status.FAIL, rival)
    assert verdict(vendor, links(rival, own)) == ("LeftoverInterface", Status.WARN)
    assert verdict(vendor, links(own, down=(own,))) == ("Recognised", Status.PASS)


def test_a_bridge_without_pods_is_left_over_where_no_network_names_it() -> None:
    network = NodeNetwork(
        ({"index": 7, "name": "cni0", "up": False},), ({"index": 7, "address": "10.244.0.1", "prefix": 24},)
    )

    def bridge(**changed: Any) -> Bridges:
        return Bridges((Bridge("cni0", 7, **changed),))

    assert verdict(CILIUM, network, bridges=bridge()) == ("LeftoverInterface", Status.WARN)
    assert verdict(CILIUM, network, bridges=bridge(ports=("veth1",)))[0] == "Recognised"
    assert verdict(CILIUM, network, bridges=bridge(carries="the CNI network x names it"))[0] == "Recognised"
    assert verdict(FLANNEL, network, bridges=bridge())[0] == "Recognised"
    assert verdict(CILIUM, NodeNetwork(network.links), bridges=bridge())[0] == "Recognised"


# -- settings --------------------------------------------------------------------------------------------------------


def test_calico_minds_a_loose_filter_until_3_11_and_not_since() -> None:
    def calico(version: tuple[int, int, int] | None, value: int) -> CniVendor:
        return CniVendor("Calico", ("calico",), version, value)

    assert verdict(calico((3, 11, 3), 2)) == ("LooseReversePath", Status.FAIL)
    assert verdict(calico((3, 11, 3), 1)) == ("Recognised", Status.PASS)
    assert verdict(calico((3, 12, 0), 2)) == ("Recognised", Status.PASS)
    assert verdict(calico(None, 2)) == ("Recognised", Status.PASS)


def test_cilium_minds_any_filter_on_its_own_interfaces() -> None:
    own = CniVendor("Cilium", ("cilium-cni",), None, 0, (("lxc1", 2), ("lxc2", 0), ("cilium_host", 2)))
    every = CniVendor("Cilium", ("cilium-cni",), None, 1, (("lxc1", 0),))

    [finding] = judge(own)

    assert (finding.reason, finding.status) == ("ReversePathOn", Status.WARN)
    assert finding.fix is not None
    assert finding.fix.commands == (
        "sysctl -w net/ipv4/conf/cilium_host/rp_filter=0",
        "sysctl -w net/ipv4/conf/lxc1/rp_filter=0",
    )
    [finding] = judge(every)
    assert finding.fix is not None
    assert finding.fix.commands[0] == "sysctl -w net/ipv4/conf/all/rp_filter=0"
    assert "(rp_filter 1)" in finding.message


def test_cilium_s_kernels() -> None:
    def cilium(kernel: str) -> CniVendor:
        return CniVendor("Cilium", ("cilium-cni",), None, 0, (), kernel)

    assert verdict(cilium("5.4.0-100-generic")) == ("KernelTooOld", Status.WARN)
    assert verdict(cilium("4.18.0-553.el8_10.x86_64")) == ("Recognised", Status.PASS)
    assert verdict(cilium("5.10.0-30-amd64")) == ("Recognised", Status.PASS)


# -- NetworkManager --------------------------------------------------------------------------------------------------


def test_network_manager_has_to_be_told_of_tunnels() -> None:
    tunnels = links("vxlan.calico", "cali0123")

    [finding] = judge(CALICO, tunnels, manager=NetworkManager(runs=True, files=("calico.conf",)))

    assert (finding.reason, finding.status, finding.subject) == ("NetworkManagerMeddles", Status.WARN, "vxlan.calico")
    assert finding.fix is not None
    assert "> /etc/NetworkManager/conf.d/calico-1.conf" in finding.fix.commands[0]
    told = NetworkManager(runs=True, left_alone=("interface-name:cali*", "interface-name:vxlan.calico"))
    assert verdict(CALICO, tunnels, manager=told) == ("Recognised", Status.PASS)
    assert verdict(CALICO, tunnels) == ("Recognised", Status.PASS)
    assert verdict(CALICO, links("cali0123"), manager=NetworkManager(runs=True)) == ("Recognised", Status.PASS)
    assert verdict(CILIUM, links("cilium_host"), manager=NetworkManager(runs=True)) == ("Recognised", Status.PASS)


def test_what_could_not_be_looked_at_is_unknown() -> None:
    unread = NetworkManager(runs=True, unread=("/etc/NetworkManager/x.conf may not be read",))

    assert verdict(CALICO, manager=unread) == ("Unreadable", Status.UNKNOWN)
    assert verdict(CALICO, manager=Unobserved("NotPermitted", "no processes"))[1] is Status.UNKNOWN
    assert verdict(CILIUM, manager=Unobserved("NotPermitted", "no processes"))[1] is Status.PASS
