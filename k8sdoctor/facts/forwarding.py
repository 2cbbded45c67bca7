"""Whether the kernel passes packets on from one interface to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.bridge import Bridges
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

IPV4 = "/proc/sys/net/ipv4/ip_forward"
IPV6 = "/proc/sys/net/ipv6/conf/all/forwarding"

_ROUTED = "a route to one address behind it makes it a pod's"


@dataclass(frozen=True, slots=True)
class InterfaceForwarding:
    """An interface by which pods' packets come in, what makes it one, and its own IPv4 switch.

    `of_one_pod` is true for a veth that goes when its pod goes.
    """

    name: str
    role: str
    ipv4: bool
    of_one_pod: bool = False


@dataclass(frozen=True)
class Forwarding:
    """The switches as the kernel reported them.

    `ipv6` is None on a kernel without IPv6, and so is `default_ipv4`, what new interfaces start with, where it cannot be read.
    `interfaces` are those that pods use; `blind` says why they are not known, None when they are. `accepts_ra` names uplinks that
    take routes from router advertisements only while they do not forward (`accept_ra` 1).
    """

    ipv4: bool
    ipv6: bool | None = None
    default_ipv4: bool | None = None
    interfaces: tuple[InterfaceForwarding, ...] = ()
    blind: str | None = None
    accepts_ra: tuple[str, ...] = ()

    @classmethod
    def observe(cls, host: Host, network: NodeNetwork | Unobserved, bridges: Bridges | Unobserved) -> Self:
        """Read the switches. Raises what keeps the IPv4 one from being read."""
        ipv4 = host.read(IPV4).strip() != "0"
        ipv6 = _optional(host, IPV6)
        default = _optional(host, "/proc/sys/net/ipv4/conf/default/forwarding")
        if isinstance(network, Unobserved):
            return cls(ipv4, ipv6, default, blind=network.message)
        interfaces = []
        roles: dict[str, str] = {}
        for name, role in _used(network, bridges):
            roles.setdefault(name, role)  # an uplink stays one, also where it is a veth (kind)
        for name, role in roles.items():
            own = _optional(host, f"/proc/sys/net/ipv4/conf/{name}/forwarding")
            if own is not None:  # an interface may go while we look
                interfaces.append(InterfaceForwarding(name, role, own, of_one_pod=role == _ROUTED))
        advertised = tuple(
            name
            for name in network.uplinks
            if ipv6 is False and _text(host, f"/proc/sys/net/ipv6/conf/{name}/accept_ra") == "1"
        )
        return cls(ipv4, ipv6, default, tuple(interfaces), None, advertised)


def _used(network: NodeNetwork, bridges: Bridges | Unobserved) -> Iterator[tuple[str, str]]:
    """The interfaces by which packets of pods come in. The kernel asks the switch of the incoming one (`IN_DEV_FORWARD`)."""
    for name in network.uplinks:
        yield name, "the default route uses it"
    if isinstance(bridges, Bridges):
        for bridge in bridges.for_pods:
            if bridge.exists:
                yield bridge.name, f"{bridge.carries}"
    # A pod that is no bridge's: a veth into another namespace, and a route to one address behind it.
    routed = {
        route["oif"]
        for route in network.routes
        if route["destination"].endswith("/32") and route["type"] == "unicast" and "oif" in route
    }
    for link in network.links:
        if link["index"] in routed and link.get("kind") == "veth" and "link_netnsid" in link and "master" not in link:
            yield link["name"], _ROUTED


def _optional(host: Host, path: str) -> bool | None:
    text = _text(host, path)
    return None if text is None else text != "0"


def _text(host: Host, path: str) -> str | None:
    text = host.read_optional(path)
    return None if text is None else text.strip()
