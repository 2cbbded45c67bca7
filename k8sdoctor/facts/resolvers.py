"""The DNS servers that this machine asks, and the domains that it searches, by resolv.conf(5)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from k8sdoctor.host import Host

RESOLV_CONF = "/etc/resolv.conf"
UPSTREAM = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved writes the servers that it asks itself, while the former names its stub (systemd-resolved.service(8))."""

_STUBS = frozenset({"127.0.0.53", "127.0.0.54"})


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Each server with the file that names it; the stub of systemd-resolved is replaced by those that it asks."""

    servers: tuple[tuple[IPv4Address | IPv6Address, str], ...] = ()
    searches: tuple[str, ...] = ()

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the files. Raises NotPermitted, Unreadable."""
        servers, searches = _parse(host.read_optional(RESOLV_CONF) or "", RESOLV_CONF)
        if any(str(address) in _STUBS for address, _ in servers):
            servers, searches = _parse(host.read_optional(UPSTREAM) or "", UPSTREAM)
        return cls(tuple(servers), tuple(searches))


def _parse(text: str, path: str) -> tuple[list[tuple[IPv4Address | IPv6Address, str]], list[str]]:
    servers: list[tuple[IPv4Address | IPv6Address, str]] = []
    searches: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                servers.append((ip_address(words[1].partition("%")[0]), path))
            except ValueError:  # libc passes over it, too
                continue
        elif words[:1] in (["search"], ["domain"]):
            searches = [word.rstrip(".").lower() for word in words[1:]]  # the last line counts
    return servers, searches
