"""The lab's kube-proxy writes what a real one wrote."""

from __future__ import annotations

from tests import control_plane
from tests.lab.kube_proxy import ServicePort, restore

DNS = ("10.244.0.2", "10.244.0.3")


def test_the_lab_s_rules_are_those_of_a_real_kube_proxy() -> None:
    recorded = control_plane.text("iptables-save.txt").splitlines()
    service, name = control_plane.SERVICE, "kube-system/kube-dns"
    ports = [
        ServicePort(f"{name}:dns-tcp", "tcp", service, 53, [f"{address}:53" for address in DNS]),
        ServicePort(f"{name}:metrics", "tcp", service, 9153, [f"{address}:9153" for address in DNS]),
        ServicePort("default/kubernetes:https", "tcp", "10.96.0.1", 443, ["10.27.53.32:6443"]),
        ServicePort(f"{name}:dns", "udp", service, 53, [f"{address}:53" for address in DNS]),
    ]

    ours = restore(ports, pods="10.244.0.0/16").splitlines()

    assert [line for line in ours if line and line not in recorded] == []
    # The one that is left out counts packets in a table of the kernel's that not every kernel has.
    assert [line for line in recorded if "KUBE-" in line and line not in ours and "nfacct" not in line] == []
