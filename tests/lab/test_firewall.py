"""firewall: what the check says of real rules is what becomes of a real connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.needs("iptables", "nft", "ss")]

CONNECT = "import socket; socket.create_connection(('192.0.2.10', 10250), 0.3)"
CONNECT_TO_ITSELF = "import socket; socket.create_connection(('127.0.0.1', 10248), 0.3)"
CLEAN = "iptables -P INPUT ACCEPT; iptables -F; iptables -X; nft list table inet fw >/dev/null 2>&1 && nft delete table inet fw || true"

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
        ct state vmap { established : accept, related : accept, invalid : drop }
        iifname "lo" accept
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


@pytest.fixture(scope="module")
def node() -> Iterator[LabNode]:
    with LabNode("fw1") as lab:
        lab.write("/etc/kubernetes/kubelet.conf", "kind: Config\n")
        for port in ("10248", "10250"):
            lab.popen(["python3", "-m", "http.server", port])
        wait_for(
            lambda: all(port in lab.run(["ss", "-Hltn"]).stdout for port in (":10248 ", ":10250 ")), "the listeners"
        )
        yield lab


@pytest.mark.parametrize(("rules", "comes_in"), RULES.values(), ids=RULES)
def test_a_port_counts_as_shut_where_no_connection_comes_in(node: LabNode, rules: str, comes_in: bool) -> None:
    node.shell(rules)
    try:
        assert (node.far_run(["python3", "-c", CONNECT], check=False).returncode == 0) is comes_in
        [finding] = node.check("firewall", "--offline").result("firewall")["findings"]
        assert finding["reason"] == ("PortsOpen" if comes_in else "PortsClosed"), finding

        if not comes_in and "ufw" not in rules:
            node.shell("\n".join(finding["fix"]["commands"]))
            assert node.far_run(["python3", "-c", CONNECT], check=False).returncode == 0
            assert node.check("firewall", "--offline").reasons("firewall") == {"PortsOpen"}
    finally:
        node.shell(CLEAN)


@pytest.mark.parametrize(("rules", "comes_in"), TO_ITSELF.values(), ids=TO_ITSELF)
def test_a_port_counts_as_shut_to_the_node_itself_where_it_does_not_reach_it(
    node: LabNode, rules: str, comes_in: bool
) -> None:
    def connects() -> bool:
        return node.run(["python3", "-c", CONNECT_TO_ITSELF], check=False).returncode == 0

    node.shell(rules)
    try:
        assert connects() is comes_in
        [finding] = node.check("firewall", "--offline").result("firewall")["findings"]
        assert finding["reason"] == ("PortsOpen" if comes_in else "LocalPortsClosed"), finding

        if not comes_in:
            node.shell("\n".join(finding["fix"]["commands"]))
            assert connects()
            assert node.check("firewall", "--offline").reasons("firewall") == {"PortsOpen"}
    finally:
        node.shell(CLEAN)
