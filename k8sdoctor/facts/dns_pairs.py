"""What comes of questions that are asked as a resolver asks them: A and AAAA at once, from one port."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.cluster_dns import PORT, ClusterDns
from k8sdoctor.facts.conntrack_losses import counters, raced, rises
from k8sdoctor.facts.dns_path import answered
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import DnsOutcome

PAIRS = 10
"""Pairs to each address, and as many queries of each type alone, from ports of their own: what is lost of pairs only is lost for being one."""

ENOUGH = 5
"""Lost queries of pairs that tell; of fewer, as many pairs are asked again."""

MOST_ADDRESSES = 2
TYPES = ("A", "AAAA")

_READINGS = (2, 3)  # 0 and 1 are those of the fact Conntrack


@dataclass(frozen=True, slots=True)
class Pair:
    """A and AAAA asked from one port, A first."""

    first: DnsOutcome
    second: DnsOutcome

    @property
    def lost(self) -> str | None:
        """The type that was not answered while the other was; None for both or neither."""
        good = [answered(one) for one in (self.first, self.second)]
        return TYPES[good.index(False)] if sorted(good) == [False, True] else None


@dataclass(frozen=True)
class DnsPairs:
    """Pairs, and queries alone that were sent meanwhile, from one pod to the addresses that had answered it.

    Without a `view` nobody was asked. `raced` is how many packets the kernel lost to races of connections meanwhile, None where it was
    not read.
    """

    view: View | None = None
    outcomes: tuple[DnsOutcome, ...] = ()
    raced: int | None = None
    problem: Unobserved | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that were asked."""
        return tuple(dict.fromkeys(one["query"]["server"] for one in self.outcomes))

    def pairs(self, address: str) -> tuple[Pair, ...]:
        """The pairs that were asked of an address."""
        both = [one for one in self.outcomes if one["query"]["server"] == address and "group" in one["query"]]
        return tuple(Pair(*each) for each in zip(both[::2], both[1::2], strict=True))

    def alone(self, address: str, kind: str) -> tuple[DnsOutcome, ...]:
        """The queries of one type that were asked of an address, each from a port of its own."""
        return tuple(
            one
            for one in self.outcomes
            if one["query"]["server"] == address and one["query"]["type"] == kind and "group" not in one["query"]
        )

    @classmethod
    def observe(cls, host: Host, dns: ClusterDns, replies: DnsReplies) -> Self:
        """Ask where all that pods asked by UDP was answered: what else is lost, is lost for other reasons. Never raises HostError."""
        view, addresses = _whom(dns, replies)
        if view is None or view.pod is None:
            return cls()
        before = _counters(host, _READINGS[0])
        try:
            outcomes = tuple(host.dns(_queries(replies.name, addresses, 0), netns=view.pod.path))
            if 0 < _torn(outcomes) < ENOUGH:
                outcomes += tuple(host.dns(_queries(replies.name, addresses, PAIRS), netns=view.pod.path))
        except HostError as error:
            return cls(view, problem=Unobserved(error.reason, error.message))
        after = _counters(host, _READINGS[1])
        lost = raced(rises(before, after), host.identity()["kernel"]) if before and after else None
        return cls(view, outcomes, lost)


def _whom(dns: ClusterDns, replies: DnsReplies) -> tuple[View | None, list[str]]:
    for view in replies.pods:
        good = [
            one.address
            for one in dns.addresses
            if (asked := view.to(one.address, "udp")) and all(map(answered, asked)) and not view.own
        ]
        if good:
            good.sort(key=lambda address: ip_address(address).version)
            return view, good[:MOST_ADDRESSES]
    return None, []


def _queries(name: str, addresses: Iterable[str], first: int) -> list[DnsQuery]:
    queries: list[DnsQuery] = []
    for address in addresses:
        for number in range(first, first + PAIRS):
            for kind in TYPES:
                queries.append(_query(address, name, kind, number))
                queries[-1]["group"] = number
            queries += [_query(address, name, kind, number) for kind in TYPES]
    return queries


def _query(address: str, name: str, kind: str, number: int) -> DnsQuery:
    return DnsQuery(server=address, port=PORT, transport="udp", name=name, type=kind, attempt=number)


def _torn(outcomes: Iterable[DnsOutcome]) -> int:
    return sum("group" in one["query"] and not answered(one) for one in outcomes)


def _counters(host: Host, attempt: int) -> dict[str, int] | None:
    try:
        return counters(host, attempt=attempt)
    except HostError:
        return None
