"""What becomes of a connection's first packet by the rules of iptables and nftables."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest

from k8sdoctor.facts.filter_rules import Packet, parse_nft
from tests.rule_sets import iptables, leaving, nft


@pytest.mark.parametrize(
    ("rules", "becomes"),
    [
        ((), {"drop"}),
        (("-A INPUT -p tcp -m tcp --dport 10250 -j ACCEPT",), {"accept"}),
        (("-A INPUT -p udp -m udp --dport 10250 -j ACCEPT",), {"drop"}),
        (("-A INPUT -p tcp -m multiport --dports 22,10250:10260 -j ACCEPT",), {"accept"}),
        (("-A INPUT -p tcp -m multiport --dports 22,10251:10260 -j ACCEPT",), {"drop"}),
        (("-A INPUT ! -p udp -j ACCEPT",), {"accept"}),
        (("-A INPUT -i lo -j ACCEPT",), {"drop"}),
        (("-A INPUT ! -i lo -j ACCEPT",), {"accept"}),
        (("-A INPUT -i eth+ -j ACCEPT",), {"accept"}),
        (("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",), {"drop"}),
        (("-A INPUT -m state --state NEW -j ACCEPT",), {"accept"}),
        (("-A INPUT -s 192.0.2.0/24 -j ACCEPT",), {"accept", "drop"}),
        (("-A INPUT -m set --match-set nodes src -j ACCEPT",), {"accept", "drop"}),
        (('-A INPUT -m comment --comment "a -j DROP" -j ACCEPT',), {"accept"}),
        (('-A INPUT -m comment --comment "odd -j ACCEPT',), {"accept"}),
        (("-A INPUT -m limit --limit 3/min -j LOG --log-prefix x",), {"drop"}),
        ((":x - [0:0]", "-A x -p tcp -j RETURN", "-A x -j DROP", "-A INPUT -j x", "-A INPUT -j ACCEPT"), {"accept"}),
        ((":x - [0:0]", "-A x -p udp -j RETURN", "-A x -j DROP", "-A INPUT -j x", "-A INPUT -j ACCEPT"), {"drop"}),
        ((":x - [0:0]", "-A x -s 1.2.3.4 -j RETURN", "-A x -j ACCEPT", "-A INPUT -j x"), {"accept", "drop"}),
        ((":x - [0:0]", "-A x -j x", "-A INPUT -j x", "-A INPUT -j ACCEPT"), {"accept", "drop"}),
        (("-A INPUT -j cali-INPUT", "-A INPUT -j ACCEPT"), {"accept", "drop"}),  # a chain that is not shown
        (
            (":KUBE-FIREWALL - [0:0]", "-A KUBE-FIREWALL -j DROP", "-A INPUT -j KUBE-FIREWALL", "-A INPUT -j ACCEPT"),
            {"accept"},
        ),
        (("-A INPUT -j NFQUEUE --queue-num 0",), {"accept", "drop"}),
        (("-A INPUT -p tcp --dport kubelet -j ACCEPT",), {"drop"}),
    ],
)
def test_rules_of_iptables_are_walked_as_the_kernel_does(rules: tuple[str, ...], becomes: set[str]) -> None:
    outcomes, _ = iptables(*rules, policy="DROP").outcomes(Packet(4, "tcp", 10250, "eth0"))

    assert outcomes == becomes


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}


@pytest.mark.parametrize(
    ("rules", "becomes"),
    [
        ((), {"drop"}),
        (([match(DPORT, 10250), {"counter": {}}, {"accept": None}],), {"accept"}),
        (([match(DPORT, 10250, "!="), {"accept": None}],), {"drop"}),
        (([match(DPORT, {"set": [22, {"range": [10000, 11000]}]}), {"accept": None}],), {"accept"}),
        (([match(DPORT, "@open"), {"accept": None}],), {"accept"}),
        (([match(DPORT, "@unheard"), {"accept": None}],), {"accept", "drop"}),
        (([match({"meta": {"key": "iifname"}}, "lo"), {"accept": None}],), {"drop"}),
        (([match({"meta": {"key": "nfproto"}}, "ipv6"), {"accept": None}],), {"drop"}),
        (([match({"meta": {"key": "l4proto"}}, {"set": ["icmp", "ipv6-icmp"]}), {"accept": None}],), {"drop"}),
        (([match({"ct": {"key": "state"}}, ["established", "related"], "in"), {"accept": None}],), {"drop"}),
        (
            ([match({"payload": {"protocol": "ip", "field": "saddr"}}, "192.0.2.1"), {"accept": None}],),
            {"accept", "drop"},
        ),
        (
            ([match({"payload": {"protocol": "ip6", "field": "saddr"}}, "2001:db8::1"), {"accept": None}],),
            {"drop"},
        ),
        (([{"limit": {"rate": 5}}, {"accept": None}],), {"accept", "drop"}),
        (([{"jump": {"target": "gone"}}], [{"accept": None}]), {"accept", "drop"}),
        (([{"vmap": {"key": DPORT, "data": {"set": [[22, {"drop": None}], [10250, {"accept": None}]]}}}],), {"accept"}),
        (([{"vmap": {"key": DPORT, "data": "@unheard"}}],), {"accept", "drop"}),
        (([{"reject": {"type": "icmpx"}}],), {"drop"}),
    ],
)
def test_rules_of_nftables_are_walked_as_the_kernel_does(rules: tuple[list[Any], ...], becomes: set[str]) -> None:
    made = nft(*rules, sets=({"name": "open", "elem": [{"elem": {"val": 10250}}]},))

    assert made.outcomes(Packet(4, "tcp", 10250, "eth0"))[0] == becomes


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"nftables": 1}', '{"nftables": [{}]}', '{"nftables": [{"chain": 7}]}']
)
def test_what_is_no_table_is_none(text: str) -> None:
    assert parse_nft(text, "x") is None


@pytest.mark.parametrize(
    ("right", "op", "becomes"),
    [
        ({"prefix": {"addr": "10.244.0.0", "len": 16}}, "==", {"accept"}),
        ({"set": ["192.0.2.1", {"prefix": {"addr": "10.244.0.0", "len": 24}}]}, "==", {"accept"}),
        ({"prefix": {"addr": "10.244.0.0", "len": 16}}, "!=", {"drop"}),
        ("10.244.0.7", "==", {"accept", "drop"}),
        ({"prefix": "odd"}, "==", {"accept", "drop"}),
        ({"prefix": {"addr": "odd", "len": None}}, "==", {"accept", "drop"}),
    ],
)
def test_a_sender_is_told_by_its_subnet_in_nftables(right: Any, op: str, becomes: set[str]) -> None:
    made = nft([match({"payload": {"protocol": "ip", "field": "saddr"}}, right, op), {"accept": None}])

    assert made.outcomes(Packet(4, "tcp", 6443, "cni0", ip_network("10.244.0.0/24")))[0] == becomes


@pytest.mark.parametrize(
    ("rules", "becomes"),
    [
        ((), {"drop"}),
        (("-A OUTPUT -d 192.0.2.1/32 -p tcp -m tcp --dport 6443 -j ACCEPT",), {"accept"}),
        (("-A OUTPUT -d 192.0.2.0/24 -j ACCEPT",), {"accept"}),
        (("-A OUTPUT ! -d 192.0.2.0/24 -j ACCEPT",), {"drop"}),
        (("-A OUTPUT -d 198.51.100.0/24 -j ACCEPT",), {"drop"}),
        (("-A OUTPUT -o lo -j ACCEPT",), {"drop"}),
        (("-A OUTPUT -o eth+ -j ACCEPT",), {"accept"}),
        (("-A OUTPUT -m addrtype --dst-type LOCAL -j ACCEPT",), {"drop"}),
        (("-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",), {"drop"}),
        (("-A OUTPUT -m conntrack --ctstate NEW -j ACCEPT",), {"accept"}),
        (("-A OUTPUT -s 192.0.2.10/32 -j ACCEPT",), {"accept", "drop"}),
        (("-A OUTPUT -m owner --uid-owner 0 -j ACCEPT",), {"accept", "drop"}),
        (("-A OUTPUT -m mark --mark 0x1 -j ACCEPT",), {"accept", "drop"}),
        (("-A OUTPUT -m set --match-set api dst -j ACCEPT",), {"accept", "drop"}),
        (("-A OUTPUT -j cali-OUTPUT", "-A OUTPUT -j ACCEPT"), {"accept", "drop"}),
        (
            (":KUBE-FIREWALL - [0:0]", "-A KUBE-FIREWALL -j DROP", "-A OUTPUT -j KUBE-FIREWALL", "-A OUTPUT -j ACCEPT"),
            {"accept"},
        ),
    ],
)
def test_rules_for_packets_out_are_walked_as_the_kernel_does(rules: tuple[str, ...], becomes: set[str]) -> None:
    packet = Packet(4, "tcp", 6443, out="eth0", destination=ip_network("192.0.2.1"))

    assert leaving(*rules, policy="DROP").outcomes(packet)[0] == becomes


def test_where_the_way_out_is_not_known_no_rule_for_an_interface_is_surely_for_a_packet() -> None:
    packet = Packet(4, "tcp", 6443, destination=ip_network("192.0.2.1"))

    for rule in (
        "-A OUTPUT -o eth0 -j DROP",
        "-A OUTPUT ! -o lo -j DROP",
        "-A OUTPUT -m addrtype ! --dst-type LOCAL -j DROP",
    ):
        assert leaving(rule).outcomes(packet)[0] == {"accept", "drop"}


def test_a_table_of_nftables_is_walked_for_packets_out() -> None:
    chain = {"family": "inet", "name": "out", "type": "filter", "hook": "output", "prio": 0, "policy": "drop"}
    to = {"payload": {"protocol": "ip", "field": "daddr"}}
    for expression, becomes in (
        ([match({"meta": {"key": "oifname"}}, "lo")], {"drop"}),
        ([match({"meta": {"key": "oif"}}, "eth0")], {"accept"}),
        ([match(to, {"prefix": {"addr": "192.0.2.0", "len": 24}})], {"accept"}),
        ([match(to, "192.0.2.2")], {"drop"}),
        ([match({"meta": {"key": "skuid"}}, 0)], {"drop", "accept"}),
    ):
        rule = {"family": "inet", "chain": "out", "expr": [*expression, {"accept": None}]}
        table = parse_nft(json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]}), "nft inet fw")
        assert table is not None
        packet = Packet(4, "tcp", 6443, out="eth0", destination=ip_network("192.0.2.1"))
        assert table.outcomes(packet)[0] == becomes, expression
        assert table.outcomes(Packet(4, "tcp", 6443, "eth0"))[0] == {"accept"}
