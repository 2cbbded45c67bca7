"""A healthy lab node to measure on: containerd, two pods on a bridge, cluster DNS in one of them, all switches on and kept."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.lab.containerd import PAUSE, Containerd
from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "10.96.0.10"
DOMAIN = "cluster.local"

_SWITCHES = """\
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
"""


@contextlib.contextmanager
def healthy_node(sandbox_image: str | None = None) -> Iterator[LabNode]:
    """The node. A sandbox image other than the default is not there when its pods run."""
    with LabNode() as node:
        node.write("/etc/sysctl.d/99-kubernetes.conf", _SWITCHES)
        node.write("/etc/modules-load.d/kubernetes.conf", "br_netfilter\noverlay\n")
        containerd = Containerd(node, sandbox_image=sandbox_image)
        containerd.link_plugins()
        containerd.write_bridge_network()
        containerd.start()
        containerd.import_image(sandbox_image or PAUSE)
        containerd.run_pod("client")
        dns = containerd.run_pod("coredns", "kube-system", **{"k8s-app": "kube-dns"})
        node.shell("sysctl -qp /etc/sysctl.d/99-kubernetes.conf")
        node.write("/var/lib/kubelet/config.yaml", f'clusterDNS: ["{SERVICE}"]\nclusterDomain: {DOMAIN}\n')
        inside = ["nsenter", f"--net={dns.netns}"]
        node.popen(
            [
                *(*inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
                *("--user=root", "--pid-file=", f"--address=/kubernetes.default.svc.{DOMAIN}/10.96.0.1"),
            ]
        )
        wait_for(lambda: ":53 " in node.run([*inside, "ss", "-lnut"]).stdout, "the DNS server")
        for chain in ("PREROUTING", "OUTPUT"):
            for transport in ("udp", "tcp"):
                node.shell(
                    f"iptables -w -t nat -A {chain} -d {SERVICE} -p {transport} --dport 53 "
                    f"-j DNAT --to-destination {dns.ip}:53"
                )
        if sandbox_image:  # the pods run on without it
            node.run(["ctr", "-n", "k8s.io", "images", "remove", "--sync", sandbox_image])
        yield node
