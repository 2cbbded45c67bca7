"""The kernel's table of connections: how full it is, what it could not take, and entries of DNS queries in it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.facts.cluster_dns import PORT, ClusterDns
from k8sdoctor.facts.conntrack_losses import LOST, counters, raced, rises
from k8sdoctor.facts.dns_pairs import DnsPairs
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host

_SWITCHES = "/proc/sys/net/netfilter"
COUNT, MAX = f"{_SWITCHES}/nf_conntrack_count", f"{_SWITCHES}/nf_conntrack_max"

_MOST = 2**32 - 1  # both are counters of 32 bits

TABLE = "/proc/1/net/nf_conntrack"  # of the node's network namespace, whichever the reader is in


@dataclass(frozen=True)
class ConntrackBefore:
    """The counters before anything was asked."""

    counters: Mapping[str, int]

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read them. Raises NotFound where the kernel has no connection tracking, NotPermitted."""
        return cls(counters(host, attempt=0))


@dataclass(frozen=True, slots=True)
class DnsEntry:
    """A connection of UDP to a DNS service: to `address`, translated to `backend`. `unreplied`: nothing came back so far."""

    address: str
    backend: str
    unreplied: bool
    line: str


@dataclass(frozen=True)
class Conntrack:
    """The table after DNS was asked.

    `lost` are the counters that rose since before, by how much; `since_boot` what they hold. `entries` are None where they could not
    be read, and empty where this kernel shows none; `blind` says why. `kernel` is its release.
    """

    count: int
    maximum: int
    lost: Mapping[str, int]
    since_boot: Mapping[str, int]
    entries: tuple[DnsEntry, ...] | None = ()
    blind: str | None = None
    kernel: str = ""

    @property
    def raced(self) -> int:
        """How many packets of new connections were lost to races."""
        return raced(self.lost, self.kernel)

    @property
    def refused(self) -> int:
        """How many were lost because the table was full: who loses a race counts as dropped, too."""
        return max(0, self.lost.get("drop", 0) - self.raced)

    @classmethod
    def observe(cls, host: Host, before: ConntrackBefore, dns: ClusterDns, pairs: DnsPairs | Unobserved) -> Self:
        """Read size and counters again, now that queries were sent, and the entries of DNS. Raises NotFound, NotPermitted, Unreadable."""
        del pairs  # only so that it is later
        after = counters(host, attempt=1)
        entries, blind = _entries(host, dns)
        return cls(
            _number(host, COUNT),
            _number(host, MAX),
            rises(before.counters, after),
            {name: after[name] for name in LOST},
            entries,
            blind,
            host.identity()["kernel"],
        )


def _number(host: Host, path: str) -> int:
    text = host.read(path).strip()
    number = numbers.whole(text, _MOST)
    if number is None:
        raise HostError("Unreadable", f"{path} holds {text[:40]!r}, not a number of connections")
    return number


def _entries(host: Host, dns: ClusterDns) -> tuple[tuple[DnsEntry, ...] | None, str | None]:
    """The UDP connections to the DNS addresses. Kernels without CONFIG_NF_CONNTRACK_PROCFS have no such file."""
    keep = [f" dst={ip_address(one.address).exploded} " for one in dns.addresses]
    if not keep:
        return (), None
    try:
        lines = host.lines(TABLE, keep)
    except HostError as error:
        return (() if error.reason == "NotFound" else None), error.message
    found = (entry(line) for line in lines)
    wanted = {one.address for one in dns.addresses}
    return tuple(one for one in found if one is not None and one.address in wanted), None


def entry(line: str) -> DnsEntry | None:
    """A line of the table, or None for what is no UDP connection to DNS.

    >>> entry(
    ...     "ipv4 2 udp 17 26 src=10.244.0.5 dst=10.96.0.10 sport=4623 dport=53 [UNREPLIED] src=10.244.0.9 dst=10.244.0.5 sport=53"
    ...     " dport=4623 mark=0 zone=0 use=2"
    ... )
    DnsEntry(address='10.96.0.10', backend='10.244.0.9', unreplied=True, line='ipv4 2 udp 17 26 src=10.244.0.5 ...')
    """
    words = line.split()
    if "udp" not in words[:4]:
        return None
    sources, targets, ports = (
        [word.partition("=")[2] for word in words if word.startswith(f"{key}=")] for key in ("src", "dst", "dport")
    )
    try:
        if int(ports[0]) != PORT:
            return None
        return DnsEntry(str(ip_address(targets[0])), str(ip_address(sources[1])), "[UNREPLIED]" in words, line)
    except (IndexError, ValueError):
        return None
