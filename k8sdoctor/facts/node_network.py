"""Links, addresses and routes of the node's own network namespace."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import TYPE_CHECKING, Self

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Interface, IPv6Interface

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Netlink

MAIN_TABLE = 254  # linux/rtnetlink.h RT_TABLE_MAIN
LOCAL_TABLE = 255  # and RT_TABLE_LOCAL


@dataclass(frozen=True)
class NodeNetwork:
    """What netlink told, entry by entry."""

    links: tuple[Netlink, ...] = ()
    addresses: tuple[Netlink, ...] = ()
    routes: tuple[Netlink, ...] = ()

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Ask netlink. Raises what kept it from answering."""
        return cls(tuple(host.netlink("links")), tuple(host.netlink("addresses")), tuple(host.netlink("routes")))

    def addresses_of(self, index: int) -> Iterator[IPv4Interface | IPv6Interface]:
        """A link's addresses with their networks, link-local ones left out: every link has such."""
        for entry in self.addresses:
            address = ip_interface(f"{entry['address']}/{entry['prefix']}")
            if entry["index"] == index and not address.is_link_local:
                yield address

    @property
    def uplinks(self) -> tuple[str, ...]:
        """The names of the links that default routes of the main table use."""
        indices = {
            route.get("oif")
            for route in self.routes
            if route["destination"] in ("0.0.0.0/0", "::/0") and route.get("table") == MAIN_TABLE
        }
        return tuple(sorted(link["name"] for link in self.links if link["index"] in indices))
