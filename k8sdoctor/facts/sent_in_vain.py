"""What this node's own programs need elsewhere and could not connect to: API servers, DNS servers, registries. A rule of its own may be why."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from k8sdoctor.facts.node_network import LOCAL_TABLE, MAIN_TABLE, NodeNetwork
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.facts.served_certificates import ServedCertificates
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

Kind: TypeAlias = Literal["api", "dns", "registry"]

DNS_PORT = 53

_NO_CONNECTION = frozenset({"timeout", "refused", "unreachable"})
"""What becomes of a connection whose first packet a rule takes away: for DROP silence, for REJECT a refusal or no route (measured with Linux 6.18)."""


@dataclass(frozen=True, slots=True)
class Unreached:
    """A place to which no connection came about, and what was `met`.

    `name` is by which findings call it: `host:port`, or for a DNS server its address. `out` is the interface by which packets leave for it, empty where
    that is not known. A DNS server is listed where a name could not be resolved.
    """

    kind: Kind
    name: str
    address: str
    port: int
    met: str
    out: str = ""


@dataclass(frozen=True)
class SentInVain:
    """All that were not reached. What was not asked, as with --offline, is not in it."""

    all: tuple[Unreached, ...] = ()

    @classmethod
    def observe(
        cls,
        host: Host,
        served: ServedCertificates | Unobserved,
        pull: PullAttempts | Unobserved,
        resolvers: Resolvers | Unobserved,
        network: NodeNetwork | Unobserved,
    ) -> Self:
        """Collect them. Never raises."""
        unresolved: list[str] = []
        found = [
            *([] if isinstance(served, Unobserved) else _api_servers(served, unresolved)),
            *([] if isinstance(pull, Unobserved) else _registries(host, pull, unresolved)),
        ]
        if unresolved and isinstance(resolvers, Resolvers):
            found += [
                Unreached("dns", str(each), str(each), DNS_PORT, unresolved[0])
                for each, _ in resolvers.servers
                if not each.is_loopback
            ]
        routed = [
            Unreached(each.kind, each.name, each.address, each.port, each.met, _way(network, each.address))
            for each in dict.fromkeys(found)
        ]
        return cls(tuple(routed))


def _api_servers(served: ServedCertificates, unresolved: list[str]) -> Iterator[Unreached]:
    for each in served.all:
        endpoint = each.endpoint
        if each.unresolved is not None:
            unresolved.append(each.unresolved)
        if endpoint.kinds == {"service"}:  # nat's OUTPUT comes first: the rules see another address
            continue
        answered = {hello.address for hello in each.hellos if hello.failure is None}
        for hello in each.hellos:
            if (
                hello.failure is not None
                and hello.failure["kind"] in _NO_CONNECTION
                and hello.address not in answered
                and as_address(hello.address) is not None
            ):
                yield Unreached("api", endpoint.authority, hello.address, endpoint.port, hello.failure["message"])


def _registries(host: Host, pull: PullAttempts, unresolved: list[str]) -> Iterator[Unreached]:
    if pull.serving is not None:  # whoever is shut out is not needed
        return
    for attempt in pull.attempts:
        last = attempt.exchanges[-1] if attempt.exchanges else None
        if last is None or last.proxy is not None:
            continue
        if last.failure == "name-not-resolved":
            unresolved.append(last.words)
        if last.failure in _NO_CONNECTION:
            parts = urlsplit(last.url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            for address in _addresses(host, parts.hostname or ""):
                yield Unreached("registry", attempt.netloc, address, port, last.words or str(last.failure))


def _addresses(host: Host, name: str) -> list[str]:
    if as_address(name) is not None:
        return [name]
    try:
        return [each for each in host.resolve(name)["addresses"] if as_address(each) is not None]
    except HostError:
        return []


def _way(network: NodeNetwork | Unobserved, text: str) -> str:
    """The interface by which packets leave for an address; `lo` for the node's own."""
    if isinstance(network, Unobserved):
        return ""
    address = ip_address(text.partition("%")[0])
    if address.is_loopback or any(entry.get("address") == str(address) for entry in network.addresses):
        return "lo"
    if any(route.get("table") not in (MAIN_TABLE, LOCAL_TABLE) for route in network.routes):  # ip-rule(8) decides
        return ""
    try:
        leading = [
            (ip_network(route["destination"]).prefixlen, route.get("oif"))
            for route in network.routes
            if route.get("table") == MAIN_TABLE and address in ip_network(route["destination"])
        ]
    except (ValueError, KeyError):  # a recording that somebody changed
        return ""
    longest = max((length for length, _ in leading), default=0)
    ways = {oif for length, oif in leading if length == longest}
    names = {link["index"]: link["name"] for link in network.links}
    return names.get(ways.pop() or 0, "") if len(ways) == 1 else ""
