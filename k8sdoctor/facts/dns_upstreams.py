"""The servers that CoreDNS asks for names of elsewhere, and what they answered."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, Self

from k8sdoctor.facts import corefile, numbers
from k8sdoctor.facts.cluster_dns import parse_resolv_conf
from k8sdoctor.facts.coredns import CoreDns
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.pod_resolver import PodResolver
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import DnsOutcome

RESOLV_CONF = "/etc/resolv.conf"
NAME, TYPE = ".", "NS"
"""What CoreDNS itself asks to see whether an upstream is alive (plugin/forward: any answer counts, REFUSED and SERVFAIL as well)."""

TIMES = 2
MOST = 6


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server that a line `forward` names. `zone` is what is asked there, `source` the line, or the file that the line names."""

    address: str
    port: int
    zone: str
    source: str
    line: int

    @property
    def loopback(self) -> bool:
        """Whether it is the asking pod itself."""
        return ip_address(self.address.partition("%")[0]).is_loopback


@dataclass(frozen=True)
class DnsUpstreams:
    """`servers` are all; `empty` are the files named by a `forward` that hold none. `pod` is where they were asked from, beside the node.

    `from_pod` and `from_node` are what came of it, `own` what CoreDNS's servers answered when the node asked them the same. `known` is false
    where the resolv.conf that CoreDNS reads could not be seen from here.
    """

    servers: tuple[Upstream, ...] = ()
    empty: tuple[str, ...] = ()
    known: bool = True
    pod: str | None = None
    from_pod: tuple[DnsOutcome, ...] = ()
    from_node: tuple[DnsOutcome, ...] = ()
    own: tuple[DnsOutcome, ...] = ()
    problem: Unobserved | None = None

    @classmethod
    def observe(cls, host: Host, dns: CoreDns, pods: PodNamespaces, resolver: PodResolver | Unobserved) -> Self:
        """Ask each from the DNS server's own pod, else from another of this node, and from the node. Never raises."""
        try:
            blocks = corefile.read(dns.corefile or "")
        except corefile.CorefileError:
            return cls()
        lines = list(_forwards(blocks))
        if not lines:
            return cls()
        mine = sorted({pod.address for pod in dns.pods if pod.address and pod.ready})
        its = {pod.address for pod in dns.pods}
        own = next((pod for pod in pods.namespaces if its & set(pod.addresses)), None)
        given = _resolv_conf(host, own)
        file = given or _of_kubelet(resolver, dns)
        if given is None and file is not None and not file[1] and mine:
            file = None  # a server that is ready was given another file than the kubelet would give now
        servers = [one for zone, words, line in lines for one in _named(zone, words, line, file)]
        reads_file = any(RESOLV_CONF in words for _, words, _ in lines)
        empty = (file[0],) if reads_file and file and not file[1] else ()
        known = file is not None or not reads_file
        found = [one for one in dict.fromkeys(servers) if not one.loopback][:MOST]
        place = own or next((pod for pod in pods.namespaces if pod.addresses), None)
        plans = [
            (place.path if place else None, _queries([one for one in found if _speaks(place, one)])),
            (None, _queries(found)),
            (None, [_query(address, 53, "udp", 0) for address in mine[:MOST]] if found or not known else []),
        ]
        try:
            from_pod, from_node, of_own = side_by_side(
                [partial(_ask, host, netns, queries) for netns, queries in plans]
            )
        except HostError as error:
            return cls(tuple(servers), empty, known, problem=Unobserved(error.reason, error.message))
        return cls(tuple(servers), empty, known, place.name if place else None, from_pod, from_node, of_own)


def _forwards(blocks: Sequence[corefile.ServerBlock]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Zone, servers and line of each `forward`; its `.` in a block for a zone means that zone."""
    for block in blocks:
        for each in block.named("forward"):
            zones = [zone for _, zone, _ in block.zones]
            if len(each.words) > 1 and zones:
                base = each.words[0].rstrip(".").lower() + "."
                yield (base if base != "." or "." in zones else zones[0]), each.words[1:], each.line


def _named(zone: str, words: Sequence[str], line: int, file: tuple[str, list[str]] | None) -> Iterator[Upstream]:
    for word in words:
        if word == RESOLV_CONF:
            for address in file[1] if file else ():
                yield Upstream(address, 53, zone, file[0] if file else "", line)
        elif place := _place(word):
            yield Upstream(*place, zone, f"line {line} of the Corefile", line)


def _place(word: str) -> tuple[str, int] | None:
    """Address and port of plain DNS; None for other transports, names and files."""
    scheme, found, rest = word.partition("://")
    if found and scheme != "dns":
        return None
    text = rest if found else word
    try:
        return str(ip_address(text.strip("[]").partition("%")[0])), 53
    except ValueError:
        host, _, port = text.rpartition(":")
    try:
        address = str(ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return None
    number = numbers.port(port)
    return (address, number) if number else None


def _resolv_conf(host: Host, pod: PodNamespace | None) -> tuple[str, list[str]] | None:
    """What the DNS server's pod has, where it is on this node."""
    if pod is None or pod.pid is None:
        return None
    try:
        servers, _ = parse_resolv_conf(host.read(f"/proc/{pod.pid}/root{RESOLV_CONF}"))
    except HostError:
        return None
    return f"{RESOLV_CONF} of pod {pod.name}", [each for each in servers if _place(each)]


def _of_kubelet(resolver: PodResolver | Unobserved, dns: CoreDns) -> tuple[str, list[str]] | None:
    """What the kubelet here hands to a pod of the policy Default: CoreDNS's own where one of its pods is on this node."""
    here = [pod for pod in dns.pods if pod.here]
    usual = here and all(pod.policy in ("Default", "") for pod in here)
    if not usual or not isinstance(resolver, PodResolver) or resolver.problem or resolver.absent or not resolver.path:
        return None
    return resolver.path, [each for each in resolver.servers if _place(each)]


def _speaks(pod: PodNamespace | None, upstream: Upstream) -> bool:
    return pod is not None and pod.has(ip_address(upstream.address.partition("%")[0]).version)


def _queries(servers: Sequence[Upstream]) -> list[DnsQuery]:
    return [
        query
        for one in servers
        for query in (
            *(_query(one.address, one.port, "udp", attempt) for attempt in range(TIMES)),
            _query(one.address, one.port, "tcp", 0),
        )
    ]


def _query(address: str, port: int, transport: Literal["udp", "tcp"], attempt: int) -> DnsQuery:
    return DnsQuery(server=address, port=port, transport=transport, name=NAME, type=TYPE, attempt=attempt)


def _ask(host: Host, netns: str | None, queries: list[DnsQuery]) -> tuple[DnsOutcome, ...]:
    return tuple(host.dns(queries, netns=netns)) if queries else ()
