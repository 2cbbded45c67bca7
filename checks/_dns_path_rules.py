"""Which rules of the node can have lost what pods asked of DNS."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from k8sdoctor.facts.dns_path import answered
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from k8sdoctor.facts.cluster_dns import ClusterDns
    from k8sdoctor.facts.dns_path import DnsPath
    from k8sdoctor.facts.packet_filters import FilterRule

DNS_PORT = 53
OVERLAY_PORTS = frozenset({8472, 4789, 6081, 51820, 51821, 6784})
"""flannel's and Cilium's VXLAN, Calico's, Geneve, WireGuard of flannel and Calico, Weave."""

_ASKED_FOR = 2
"""Packets that a tunnel sends at least where it does not know the other end's hardware address: it asks for it once a second, three times, and holds
back what is to be sent meanwhile (Linux `net/core/neighbour.c`). flannel and Calico know these addresses, Weave does not."""

_SERVICES = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
"""Chains in which kube-proxy refuses what has no backend: the check kube-proxy tells that."""

_POLICY = regex(r"cali-|KUBE-POD-FW|KUBE-NWPLCY|KUBE-NETWORK-POLICIES|WEAVE-NPC|CILIUM_|FELIX", re.IGNORECASE)
_PORTS = regex(r"(?:--|\b)([ds])ports? (?:\{ )?([\d, :-]+)")
_SCOPES = regex(r"(?:-([sd])|ip6? ([sd])addr) ([0-9a-fA-F.:]+(?:/\d+)?)")


def kind_of(rule: FilterRule) -> str:
    """The reason under which a rule is told."""
    if _ports(rule) & OVERLAY_PORTS:
        return "OverlayBlocked"
    if not rule.line and rule.chain.lower() == "forward":
        return "ForwardPolicyDrop"
    if _POLICY.search(rule.chain) or _POLICY.search(rule.table):
        return "PolicyBlocks"
    return "Blocked"


def names_dns(rule: FilterRule) -> bool:
    """Whether a rule is for DNS's port."""
    return DNS_PORT in _ports(rule)


def blamed(path: DnsPath) -> list[tuple[FilterRule, int | None]]:
    """The rules that lost queries, with the packets that each counted: those that counted enough; else those that do not count and are for DNS."""
    counting = [(rule, rise) for rule, rise in path.rose if 1 <= _least(path, rule) <= rise and _fits(rule)]
    if counting:
        return [*counting]
    return [
        (rule, None)
        for rule in path.silent
        if _missing(path, rule) and (DNS_PORT in _ports(rule) or (not rule.line and rule.hook == "forward"))
    ]


def exempting(path: DnsPath, dns: ClusterDns) -> list[FilterRule]:
    """The rules that exempt from connection tracking the replies that came from elsewhere. A cache on the node wants it so for itself."""
    own = {ip_address(address) for address, _ in dns.on_node}
    strayed = {ip_address(source) for source in path.strayed} - own
    return [
        rule
        for rule in path.notracks
        if strayed
        and DNS_PORT in _ports(rule)
        and _speaks(rule, "udp")
        and any(rule.family in (0, source.version) and _covers(rule, "s", str(source)) for source in strayed)
        and not any(_scoped(rule, "d", str(address)) or _scoped(rule, "s", str(address)) for address in own)
    ]


def exempting_queries(path: DnsPath, dns: ClusterDns) -> list[tuple[FilterRule, int | None]]:
    """The rules that exempt from connection tracking what was asked of a service and lost, with the packets that each counted, None for one that does
    not count. What is not tracked is not translated either, and leads nowhere; but to a cache on the node it leads as it stands.
    """
    own = {ip_address(address) for address, _ in dns.on_node}
    services = [each for one in dns.addresses if (each := ip_address(one.address)) not in own]
    counted = {rule.key: rise for rule, rise in path.exempted}
    return [
        (rule, counted.get(rule.key))
        for rule in path.notracks
        if DNS_PORT in _ports(rule, "d")
        and any(rule.family in (0, service.version) and _covers(rule, "d", str(service)) for service in services)
        and (missing := _missing(path, rule))
        and (rule.packets is None or counted.get(rule.key, 0) >= missing)
    ]


def _missing(path: DnsPath, rule: FilterRule) -> int:
    """How many of the queries that were asked again and not answered a rule's packets may have been."""
    return sum(
        not answered(one)
        and _speaks(rule, one["query"]["transport"])
        and rule.family in (0, ip_address(one["query"]["server"].partition("%")[0]).version)
        for one in path.again
    )


def _least(path: DnsPath, rule: FilterRule) -> int:
    """How many packets a rule counted at least if it dropped them, 0 where none of them was missing."""
    missing = _missing(path, rule)
    return min(missing, _ASKED_FOR) if _ports(rule) & OVERLAY_PORTS else missing


def _fits(rule: FilterRule) -> bool:
    ports = _ports(rule)
    return not rule.chain.startswith(_SERVICES) and (not ports or DNS_PORT in ports or bool(ports & OVERLAY_PORTS))


def _speaks(rule: FilterRule, transport: str) -> bool:
    """Whether a rule may be for a protocol; a tunnel carries both in its UDP."""
    if _ports(rule) & OVERLAY_PORTS:
        return True
    named = set(re.findall(r"(?:-p |\b)(udp|tcp|icmp|sctp|icmpv6|ipv6-icmp)\b", rule.line))
    return not named or transport in named


def _ports(rule: FilterRule, side: str = "ds") -> set[int]:
    """The ports that a rule names, of the sender or of the receiver; of a range, its ends and 53 if that lies between."""
    ports: set[int] = set()
    for which, text in _PORTS.findall(rule.line):
        if which not in side:
            continue
        for part in text.split(","):
            ends = [int(each) for each in re.split(r"[:-]", part.strip()) if each.strip().isdecimal()]
            ports |= set(ends)
            if len(ends) == 2 and ends[0] <= DNS_PORT <= ends[1]:  # noqa: PLR2004 -- both ends
                ports.add(DNS_PORT)
    return ports


def _scopes(rule: FilterRule, side: str) -> list[str]:
    return [network for short, long, network in _SCOPES.findall(rule.line) if side in (short, long)]


def _scoped(rule: FilterRule, side: str, address: str) -> bool:
    return bool(_scopes(rule, side)) and _covers(rule, side, address)


def _covers(rule: FilterRule, side: str, address: str) -> bool:
    """Whether an address is among those that a rule is for; without any, it is for all."""
    networks = _scopes(rule, side)
    try:
        return not networks or any(ip_address(address) in ip_network(one, strict=False) for one in networks)
    except ValueError:
        return False
