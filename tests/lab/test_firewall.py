"""firewall: what the check says of real rules is what becomes of a real connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.needs("iptables", "nft", "ss")]

CONNECT = "import socket; socket.create_connection(('192.0.2.10', 10250), 0.3)"
CONNECT_TO_ITSELF = "import socket; socket.create_connection(('127.0.0.1', 10248), 0.3)"
CONNECT_OUT = "import socket; socket.create_connection(('192.0.2.1', 6443), 0.3)"
CLEAN = "iptables -P INPUT ACCEPT; iptables -P OUTPUT ACCEPT; iptables -F; iptables -X; nft list table inet fw >/dev/null 2>&1 && nft delete table inet fw || true"

UFW = """\
iptables -N ufw-before-input; iptables -N ufw-user-input; iptables -N ufw-not-local; iptables -N ufw-skip-to-policy-input
iptables -A ufw-before-input -i lo -j ACCEPT
iptables -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A ufw-before-input -m conntrack --ctstate INVALID -j DROP
iptables -A ufw-before-input -j ufw-not-local
iptables -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
iptables -A ufw-not-local -j DROP
iptables -A ufw-before-input -j ufw-user-input
iptables -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
iptables -A INPUT -j ufw-before-input
iptables -P INPUT DROP
"""
# The chains that firewalld makes of a zone, by its nftables backend.
ZONES = """\
nft -f - <<'END'
table inet fw {
    set ports { type inet_service; flags interval; elements = { 2379-2380, PORT } }
    chain allow { tcp dport 22 accept; tcp dport @ports accept; }
    chain public { jump allow; meta l4proto { icmp, ipv6-icmp } accept; }
    chain zones { iifname "cni0" accept; goto public; }
    chain input {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump zones
        reject with icmpx type admin-prohibited
    }
}
END
"""

RULES = {
    "a policy": ("iptables -P INPUT DROP", False),
    "all but one interface": ("iptables -A INPUT ! -i lo -p tcp -j REJECT", False),
    "only for the other side": (
        "iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -s 192.0.2.1 -p tcp --syn -j ACCEPT",
        True,
    ),
    "ufw": (UFW, False),
    "ufw, and the port open": (UFW + "iptables -A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT", True),
    "zones": (ZONES.replace("PORT", "443"), False),
    "zones, and the port open": (ZONES.replace("PORT", "10250"), True),
}

TO_ITSELF = {
    "a policy, and the port for others open": (
        "iptables -P INPUT DROP; iptables -A INPUT -p tcp --dport 10250 -j ACCEPT",
        False,
    ),
    "refused to all": ("iptables -A INPUT -p tcp --dport 10248 -j REJECT", False),
    "only for the other side": ("iptables -A INPUT ! -s 192.0.2.1 -p tcp --dport 10248 -j REJECT", False),
    "refused to others": ("iptables -A INPUT ! -i lo -p tcp --dport 10248 -j REJECT", True),
    "only for loopback addresses": ("iptables -A INPUT ! -s 127.0.0.0/8 -p tcp --dport 10248 -j REJECT", True),
    "a table": (
        "nft 'table inet fw { chain in { type filter hook input priority 0; ip saddr 127.0.0.1 tcp dport 10248 drop; }; }'",
        False,
    ),
}

DENY = "iptables -P OUTPUT DROP; iptables -A OUTPUT -o lo -j ACCEPT; iptables -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; "
# As ufw makes them.
UFW_OUT = """\
iptables -N ufw-before-output; iptables -N ufw-user-output; iptables -N ufw-reject-output; iptables -N ufw-track-output
iptables -A OUTPUT -j ufw-before-output
iptables -A ufw-before-output -o lo -j ACCEPT
iptables -A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A ufw-before-output -j ufw-user-output
iptables -A OUTPUT -j ufw-reject-output
iptables -A OUTPUT -j ufw-track-output
iptables -A ufw-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT
"""
REFUSED_TO_OTHERS = """\
iptables -A OUTPUT -p tcp --dport 6443 -m owner --uid-owner 65534 -j REJECT
iptables -A OUTPUT -d 198.51.100.0/24 -j REJECT
iptables -A OUTPUT -p udp -j DROP
"""
# As firewalld makes it by its nftables backend; as kube-proxy and the kubelet do.
FIREWALLD_OUT = """\
nft -f - <<'END'
table inet fw {
    chain filter_OUTPUT {
        type filter hook output priority filter + 10; policy accept;
        ct state { established, related } accept
        oifname "lo" accept
        ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24 } reject with icmpv6 addr-unreachable
        jump filter_OUTPUT_POLICIES_pre
    }
    chain filter_OUTPUT_POLICIES_pre { jump filter_OUT_policy; }
    chain filter_OUT_policy { POLICY }
}
END
"""
KUBERNETES = """\
iptables -N KUBE-SERVICES; iptables -N KUBE-FIREWALL
iptables -A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables -A OUTPUT -j KUBE-FIREWALL
iptables -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
iptables -A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j REJECT
"""

OUT = {
    "a policy": (DENY, False),
    "a policy, and the API server let out": (
        DENY + "iptables -A OUTPUT -d 192.0.2.0/24 -p tcp --dport 6443 -j ACCEPT",
        True,
    ),
    "refused": ("iptables -A OUTPUT ! -o lo -p tcp -m multiport --dports 443,6443 -j REJECT", False),
    "zones, with a policy": (FIREWALLD_OUT.replace("POLICY", "ip daddr 192.0.2.0/24 tcp dport 6443 reject;"), False),
    "what ufw, firewalld, kube-proxy and others refuse": (
        UFW_OUT + KUBERNETES + FIREWALLD_OUT.replace("POLICY", "") + REFUSED_TO_OTHERS,
        True,
    ),
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: k, cluster: {server: 'https://192.0.2.1:6443', insecure-skip-tls-verify: true}}]
users: [{name: u, user: {}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
current-context: c
"""


@pytest.fixture(scope="module")
def node() -> Iterator[LabNode]:
    with LabNode("fw1") as lab:
        lab.write("/etc/kubernetes/kubelet.conf", KUBECONFIG)
        for port in ("10248", "10250"):
            lab.popen(["python3", "-m", "http.server", port])
        wait_for(
            lambda: all(port in lab.run(["ss", "-Hltn"]).stdout for port in (":10248 ", ":10250 ")), "the listeners"
        )
        lab.popen(["python3", "-m", "http.server", "6443"], far=True)
        wait_for(lambda: ":6443 " in lab.far_run(["ss", "-Hltn"]).stdout, "the API server of the far side")
        yield lab


@contextmanager
def ruled(node: LabNode, rules: str) -> Iterator[None]:
    """A node with these rules, and without any afterwards."""
    try:
        node.shell(rules)
        yield
    finally:
        node.shell(CLEAN)


def connects(node: LabNode, to: str, *, far: bool = False) -> bool:
    run = node.far_run if far else node.run
    return run(["python3", "-c", to], check=False).returncode == 0


@pytest.mark.parametrize(("rules", "comes_in"), RULES.values(), ids=RULES)
def test_a_port_counts_as_shut_where_no_connection_comes_in(node: LabNode, rules: str, comes_in: bool) -> None:
    with ruled(node, rules):
        assert connects(node, CONNECT, far=True) is comes_in
        [finding] = node.check("firewall", "--offline").result("firewall")["findings"]
        assert finding["reason"] == ("PortsOpen" if comes_in else "PortsClosed"), finding

        if not comes_in and "ufw" not in rules:
            node.shell("\n".join(finding["fix"]["commands"]))
            assert connects(node, CONNECT, far=True)
            assert node.check("firewall", "--offline").reasons("firewall") == {"PortsOpen"}


@pytest.mark.parametrize(("rules", "comes_in"), TO_ITSELF.values(), ids=TO_ITSELF)
def test_a_port_counts_as_shut_to_the_node_itself_where_it_does_not_reach_it(
    node: LabNode, rules: str, comes_in: bool
) -> None:
    with ruled(node, rules):
        assert connects(node, CONNECT_TO_ITSELF) is comes_in
        [finding] = node.check("firewall", "--offline").result("firewall")["findings"]
        assert finding["reason"] == ("PortsOpen" if comes_in else "LocalPortsClosed"), finding

        if not comes_in:
            node.shell("\n".join(finding["fix"]["commands"]))
            assert connects(node, CONNECT_TO_ITSELF)
            assert node.check("firewall", "--offline").reasons("firewall") == {"PortsOpen"}


@pytest.mark.parametrize(("rules", "leaves"), OUT.values(), ids=OUT)
def test_what_the_node_sends_counts_as_kept_where_no_connection_comes_about(
    node: LabNode, rules: str, leaves: bool
) -> None:
    with ruled(node, rules):
        assert connects(node, CONNECT_OUT) is leaves
        found = node.check("firewall", "apiserver-san")
        told = found.result("firewall")["findings"]
        assert [each["reason"] for each in told] == (["PortsOpen"] if leaves else ["OutgoingBlocked"]), told

        if not leaves:
            assert told[0]["subject"] == "192.0.2.1:6443"
            assert ("apiserver-san", "EndpointUnreachable") in {
                (each["check"], each["reason"]) for each in told[0]["explains"]
            }
            node.shell("\n".join(told[0]["fix"]["commands"]))
            assert connects(node, CONNECT_OUT)
            assert node.check("firewall").reasons("firewall") == {"PortsOpen"}


def test_a_name_that_no_server_could_be_asked_for_is_the_rule_s_doing(node: LabNode) -> None:
    node.write("/etc/resolv.conf", "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
    node.write("/etc/kubernetes/kubelet.conf", KUBECONFIG.replace("192.0.2.1", "api.example"))
    try:
        assert node.check("firewall").reasons("firewall") == {"PortsOpen"}

        node.shell("iptables -A OUTPUT -p udp --dport 53 -j DROP")
        [told] = node.check("firewall").result("firewall")["findings"]

        assert (told["reason"], told["subject"]) == ("OutgoingBlocked", "192.0.2.1:53/udp")
    finally:
        node.shell(CLEAN)
        node.write("/etc/resolv.conf", "")
        node.write("/etc/kubernetes/kubelet.conf", KUBECONFIG)
