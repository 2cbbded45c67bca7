"""The way between pods and DNS servers, as far as this node is part of it: filters, reverse path, and how long a message may be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from k8sdoctor.facts import packet_filters
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.packet_filters import FilterRule
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import DnsOutcome, Netlink

NETSTAT = "/proc/1/net/netstat"  # of the node's network namespace, whichever the reader is in

AGAIN = 1000
"""The first `attempt` of what is asked again."""

MOST_LOST = 4
"""Addresses and protocols that are asked again."""

TIMES = {"udp": 4, "tcp": 2}

PADDING = 4000
"""Bytes: more than two packets of the usual 1500, so that at least one is as long as the sender may make it."""

_OVERLAYS = (
    (regex(r"flannel-v6\.\d+|vxlan-v6\.calico"), "vxlan", 70, "VXLAN over IPv6"),
    (regex(r"flannel\.\d+|vxlan\.calico"), "vxlan", 50, "VXLAN"),
    (regex(r"tunl0"), "ipip", 20, "IP in IP"),
    (regex(r"wireguard-v6\.cali"), "wireguard", 80, "WireGuard over IPv6"),
    (regex(r"wireguard\.cali|flannel-wg(?:-v6)?"), "wireguard", 60, "WireGuard"),
)
"""Devices whose MTU is what their pods may send. Those of Cilium and of Open vSwitch have their limit in routes and flows instead, and
Weave's fast datapath has one of 64 KiB. Headers: IP 20 or 40, UDP 8, VXLAN 8 and Ethernet 14 (RFC 7348), WireGuard 32."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A tunnel device of the pod network, what is below it, and how many bytes its headers take there."""

    name: str
    mtu: int
    below: str
    below_mtu: int
    overhead: int
    kind: str

    @property
    def most(self) -> int:
        """The greatest MTU with which a full packet fits below."""
        return self.below_mtu - self.overhead


@dataclass(frozen=True)
class DnsPath:
    """What was seen of the way.

    `asked` says whether any pod could ask. `lost` are queries that a pod's address left unanswered, asked once more by `view`, of which
    `again` came back; `rose` are rules with the packets that they counted meanwhile, `silent` those that do not count. `notracks` are
    rules that exempt packets from connection tracking, `exempted` those of them that counted meanwhile. `strayed` are the sources of replies that came from elsewhere.
    `reverse_path` is by how much the kernel's count of packets dropped for their reverse path rose, None where it was not read. `long` are
    long queries over TCP to servers of other nodes.
    """

    asked: bool = False
    view: View | None = None
    lost: tuple[DnsOutcome, ...] = ()
    again: tuple[DnsOutcome, ...] = ()
    rose: tuple[tuple[FilterRule, int], ...] = ()
    silent: tuple[FilterRule, ...] = ()
    notracks: tuple[FilterRule, ...] = ()
    exempted: tuple[tuple[FilterRule, int], ...] = ()
    strayed: tuple[str, ...] = ()
    reverse_path: int | None = None
    long: tuple[DnsOutcome, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    blind: tuple[Unobserved, ...] = ()

    @classmethod
    def observe(cls, host: Host, dns: ClusterDns, replies: DnsReplies, network: NodeNetwork | Unobserved) -> Self:
        """Compare MTUs, send long queries, and only where queries were lost look for what lost them. Never raises HostError."""
        overlays = tuple(_overlays(network)) if isinstance(network, NodeNetwork) else ()
        views = [
            view for view in replies.pods if view.outcomes and not view.own
        ]  # a server may lose what it sends itself
        long = _ask_long(host, dns, views)
        # The pod that is worst off shows most; a policy may spare the others.
        view, lost = max(((each, _lost(each)) for each in views), key=lambda each: len(each[1]), default=(None, ()))
        if view is None or not lost:
            return cls(asked=bool(views), overlays=overlays, long=long)
        return _look(host, cls(asked=True, view=view, lost=lost, overlays=overlays, long=long), view)


_Path = TypeVar("_Path", bound=DnsPath)


def answered(outcome: DnsOutcome) -> bool:
    """Whether the asked address answered."""
    server = outcome["query"]["server"].partition("%")[0]
    return any(reply["matches"] and ip_address(reply["source"]) == ip_address(server) for reply in outcome["replies"])


def _lost(view: View) -> tuple[DnsOutcome, ...]:
    """What left the pod, or was refused on its way, and was not answered."""
    return tuple(
        one
        for one in view.outcomes
        if not answered(one) and one["error"] in (None, "refused", "unreachable", "forbidden")
    )


def _look(host: Host, seen: _Path, view: View) -> _Path:
    """Read what counts, ask again, and read it once more."""
    lost = seen.lost
    families = {ip_address(one["query"]["server"].partition("%")[0]).version for one in lost}
    before, blind = packet_filters.read(host, families, 0)
    drops = _reverse_path(host, 0)
    again: tuple[DnsOutcome, ...] = ()
    problems = list(blind)
    try:
        again = tuple(host.dns(_repeat(lost), netns=view.pod.path if view.pod else None))
    except HostError as error:
        problems.append(Unobserved(error.reason, error.message))
    after, _ = packet_filters.read(host, families, 1)
    counted = {rule.key: rule.packets for rule in before}
    rose = tuple(
        (rule, rule.packets - (counted[rule.key] or 0))
        for rule in after
        if rule.packets is not None and rule.key in counted and rule.packets > (counted[rule.key] or 0)
    )
    later = _reverse_path(host, 1)
    return replace(
        seen,
        again=again,
        rose=tuple(each for each in rose if each[0].verdict != "notrack"),
        silent=tuple(rule for rule in before if rule.packets is None and rule.verdict != "notrack"),
        exempted=tuple(each for each in rose if each[0].verdict == "notrack"),
        notracks=tuple(rule for rule in before if rule.verdict == "notrack"),
        strayed=tuple(
            dict.fromkeys(
                str(ip_address(reply["source"])) for one in lost for reply in one["replies"] if reply["matches"]
            )
        ),
        reverse_path=None if drops is None or later is None else later - drops,
        blind=tuple(problems),
    )


def _repeat(lost: tuple[DnsOutcome, ...]) -> list[DnsQuery]:
    """The same questions again, a few times each."""
    kinds = {
        (one["query"]["server"], one["query"]["port"], one["query"]["transport"]): one["query"]
        for one in reversed(lost)
    }
    queries: list[DnsQuery] = []
    for query in list(reversed(kinds.values()))[:MOST_LOST]:
        for number in range(TIMES[query["transport"]]):
            queries.append({**query, "attempt": AGAIN + number})  # noqa: PERF401 -- two loops read better
    return queries


def _reverse_path(host: Host, attempt: int) -> int | None:
    """The kernel's count of packets that it dropped by `rp_filter`: lines of names and of numbers (Linux `net/ipv4/proc.c`)."""
    try:
        names, values, *_ = [line.split() for line in host.lines(NETSTAT, ["TcpExt:"], attempt=attempt)]
        return int(values[names.index("IPReversePathFilter")])
    except (HostError, ValueError, IndexError):
        return None


def _ask_long(host: Host, dns: ClusterDns, views: list[View]) -> tuple[DnsOutcome, ...]:
    """Long queries to the servers of other nodes that answer short ones over TCP: only between nodes there is a tunnel."""
    if not views:
        return ()
    view = views[0]
    remote = {one.address for one in dns.backends if not one.local}
    transport: Literal["tcp"] = "tcp"
    queries: list[DnsQuery] = [
        {**one["query"], "padding": PADDING, "attempt": attempt}
        for one in view.outcomes
        if one["query"]["transport"] == transport and one["query"]["server"] in remote and answered(one)
        for attempt in range(2)
    ]
    if not queries:
        return ()
    try:
        return tuple(host.dns(queries, netns=view.pod.path if view.pod else None))
    except HostError:  # that it was not asked shows in the evidence
        return ()


def _overlays(network: NodeNetwork) -> Iterator[Overlay]:
    links = {link["index"]: link for link in network.links}
    uplinks = [link for link in network.links if link["name"] in network.uplinks]
    for link in network.links:
        found = next(
            (each for each in _OVERLAYS if each[0].fullmatch(link["name"]) and each[1] == link.get("kind")), None
        )
        if found is None or not link.get("up") or "mtu" not in link:
            continue
        below: Netlink | None = links.get(link.get("link", 0)) or (uplinks[0] if len(uplinks) == 1 else None)
        if below is not None and "mtu" in below:
            _, _, overhead, kind = found
            yield Overlay(link["name"], link["mtu"], below["name"], below["mtu"], overhead, kind)
