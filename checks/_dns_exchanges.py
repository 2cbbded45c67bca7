"""What a pod asked one address, sorted by what came of it, and the words for it."""

from __future__ import annotations

import math
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING

from k8sdoctor.finding import Evidence
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.cluster_dns import ClusterDns
    from k8sdoctor.facts.dns_replies import DnsReplies, View
    from k8sdoctor.host.answers import DnsOutcome, DnsReply

UNSENT = frozenset({"unsupported", "not-an-address", "not-a-name", "failed"})
"""Errors with which nothing was sent, for a reason that is no peer's."""


@dataclass(frozen=True)
class Exchange:
    """All that one pod asked one address, sorted by what came of it."""

    view: View
    address: str

    @property
    def udp(self) -> tuple[DnsOutcome, ...]:
        """What was asked over UDP."""
        return self.view.to(self.address, "udp")

    @property
    def tcp(self) -> tuple[DnsOutcome, ...]:
        """What was asked over TCP."""
        return self.view.to(self.address, "tcp")

    @property
    def answers(self) -> list[DnsReply]:
        """The answers from the asked address, one for each answered query."""
        return [answer for outcome in (*self.udp, *self.tcp) if (answer := answer_to(outcome))]

    @property
    def strays(self) -> list[DnsReply]:
        """The answers from elsewhere to queries that the asked address did not answer."""
        return [stray for outcome in self.udp if not answer_to(outcome) and (stray := stray_of(outcome))]

    @property
    def unanswered(self) -> list[DnsOutcome]:
        """The UDP queries that nobody answered."""
        return [outcome for outcome in self.udp if not answer_to(outcome) and not stray_of(outcome)]

    @property
    def tcp_failed(self) -> list[DnsOutcome]:
        """The TCP queries that were not answered."""
        return [outcome for outcome in self.tcp if not answer_to(outcome)]

    @property
    def not_sent(self) -> bool:
        """Whether not a single query left the pod, for a reason that is no peer's."""
        return all(outcome["error"] in UNSENT for outcome in (*self.udp, *self.tcp))


def answer_to(outcome: DnsOutcome) -> DnsReply | None:
    """The answer from the asked address and port, if it came."""
    server = outcome["query"]["server"].partition("%")[0]  # a source is told without its interface
    asked = (ip_address(server), outcome["query"]["port"])
    return next((one for one in outcome["replies"] if one["matches"] and _source(one) == asked), None)


def is_peculiar(exchange: Exchange, exchanges: Iterable[Exchange]) -> bool:
    """Whether a pod alone is cut off, while another in the same place is answered: a network policy may want it so."""

    def cut_off(one: Exchange) -> bool:
        return not one.strays and (
            len(one.unanswered) == len(one.udp) or (bool(one.tcp) and len(one.tcp_failed) == len(one.tcp))
        )

    def bridge(one: Exchange) -> str | None:
        return one.view.pod.bridge if one.view.pod else None

    return cut_off(exchange) and any(
        other.address == exchange.address
        and bridge(other) == bridge(exchange)
        and not (cut_off(other) or other.strays or other.unanswered or other.tcp_failed)
        for other in exchanges
    )


def stray_of(outcome: DnsOutcome) -> DnsReply | None:
    """The first answer to the query, from whomever."""
    return next((one for one in outcome["replies"] if one["matches"]), None)


def _source(reply: DnsReply) -> tuple[object, int]:
    return ip_address(reply["source"]), reply["port"]


def addresses_of(exchanges: Sequence[Exchange]) -> str:
    """The addresses asked, for a sentence."""
    return ", ".join(dict.fromkeys(each.address for each in exchanges))


def pods_of(exchanges: Sequence[Exchange]) -> str:
    """The pods that asked, for a sentence."""
    names = dict.fromkeys(each.view.pod.name for each in exchanges if each.view.pod)
    return f"pod {next(iter(names))}" if len(names) == 1 else f"pods {', '.join(names)}"


_ERROR_WORDS = {
    "refused": "refused",
    "unreachable": "unreachable",
    "reset": "connection reset",
    "closed": "connection closed",
    "forbidden": "forbidden by a rule in the pod's own namespace",
}


def errors_of(outcomes: Sequence[DnsOutcome]) -> str:
    """Why, where the socket said so: ` (refused by 10.244.0.1)`."""
    words: dict[str, list[str]] = {}
    for one in outcomes:
        if one["error"]:
            by = words.setdefault(_ERROR_WORDS.get(one["error"], one["error"]), [])
            by += [one["offender"]] if one["offender"] and one["offender"] not in by else []
    told = [word + (f" by {' and '.join(by)}" if by else "") for word, by in words.items()]
    forged = sum(not reply["matches"] for one in outcomes for reply in one["replies"]) + sum(
        one["dropped"] for one in outcomes
    )
    if forged:
        told.append(f"{forged} replies were no answer to the query")
    return f" ({', '.join(told)})" if told else ""


# -- evidence ------------------------------------------------------------------------------------------------------------


def seen(replies: DnsReplies, dns: ClusterDns) -> tuple[Evidence, ...]:
    """What each pod asked and who answered, then the node's own view, which looks healthy when pods are not."""
    views = [*replies.pods, *([replies.node] if replies.node else [])]
    shown = [
        Evidence(
            f"DNS asked from {view.name}"
            + (f" ({view.pod.path})" if view.pod and view.pod.name != view.pod.path else ""),
            f"not asked: {view.problem.message}" if view.problem else "\n".join(_lines(view)),
        )
        for view in views
    ]
    told = [f"{one.address}: {one.source}" for one in dns.addresses]
    told += [f"{one.address} is behind it: pod {one.name} ({one.source})" for one in dns.backends]
    return (*shown, Evidence("cluster DNS addresses", "\n".join(told)))


def _lines(view: View) -> Iterator[str]:
    groups: dict[tuple[str, int, str], list[DnsOutcome]] = {}
    for outcome in view.outcomes:
        query = outcome["query"]
        groups.setdefault((query["server"], query["port"], query["transport"]), []).append(outcome)
    for (server, port, transport), outcomes in groups.items():
        results = Counter(result for outcome in outcomes for result in _results(outcome))
        shown = ", ".join(f"{result}{f' {count} times' if count > 1 else ''}" for result, count in results.items())
        yield f"{authority(server, port)} {transport}, asked {_often(len(outcomes))}: {shown}{latency(outcomes)}"


def latency(outcomes: Iterable[DnsOutcome]) -> str:
    """How long answers took, nearest rank: `; p50 1 ms, p95 3 ms, max 3 ms`. Empty for fewer than two."""
    times = sorted(answer["seconds"] for one in outcomes if (answer := answer_to(one)))
    if len(times) < 2:  # noqa: PLR2004 -- one is its own median
        return ""
    ranks = {f"p{part}": times[math.ceil(part / 100 * len(times)) - 1] for part in (50, 95)}
    return "; " + ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in {**ranks, "max": times[-1]}.items())


def direct_evidence(replies: DnsReplies, dns: ClusterDns) -> tuple[Evidence, ...]:
    """Of each DNS server, how many of the queries that it was asked directly it answered, by who asked."""
    lines = []
    for backend in dns.backends:
        where = "on this node" if backend.local else "on another node"
        for view in (*replies.pods, *([replies.node] if replies.node else [])):
            asked = [*view.to(backend.address, "udp"), *view.to(backend.address, "tcp")]
            if asked:
                good = sum(answer_to(one) is not None for one in asked)
                lines.append(
                    f"{authority(backend.address, backend.port)} (pod {backend.name}, {where}), asked from {view.name}: answered {good} of "
                    f"{len(asked)}{latency(asked)}"
                )
    return (Evidence("DNS servers asked directly", "\n".join(lines)),) if lines else ()


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _results(outcome: DnsOutcome) -> Iterator[str]:
    for reply in outcome["replies"]:
        words = reply["rcode"] if reply["matches"] else "no answer to the query"
        yield f"{authority(reply['source'], reply['port'])} {words}"
    if outcome["dropped"]:
        yield f"{outcome['dropped']} more replies"
    if outcome["error"]:
        yield outcome["error"] + (f" by {outcome['offender']}" if outcome["offender"] else "")
    elif not outcome["replies"]:
        yield "no reply"
