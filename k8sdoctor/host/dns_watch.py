"""Asking DNS servers at a gentle rate for a long time, and keeping sums instead of replies.

As in `dns`, one thread inside the namespace makes all sockets and serves them by one loop. What is kept does not grow with time: a
count for each kind of answer, a histogram of latencies, and the first bursts of failures.
"""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, cast

from k8sdoctor.host.answers import DnsTally, DnsWatchAnswer
from k8sdoctor.host.dns import LISTEN, questions, ready_within

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsOutcome, DnsQuery
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.dns import Question
    from k8sdoctor.host.live import LiveHost

POLL = 0.1
"""Seconds after which an interruption is heeded at the latest."""

EDGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, LISTEN)
"""Upper ends of the histogram's bins, in seconds."""

MOST_BURSTS = 50
MOST_KINDS = 16
"""What is kept of a peer that says too much: bursts of failures a query, kinds of sources, errors and codes."""

_GOOD = ("NOERROR", "NXDOMAIN")


def answer(host: LiveHost, _verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `watch_dns`."""
    queries = cast("list[DnsQuery]", arguments["queries"])
    seconds, every = cast("float", arguments["seconds"]), cast("float", arguments["every"])
    return cast(
        "Json",
        host.bounded(
            lambda: _watch(host, queries, seconds, every),
            "asking DNS for a while",
            namespace=cast("str | None", arguments["netns"]),
            limit=seconds + LISTEN + host.probe_limit,
        ),
    )


def _watch(host: LiveHost, queries: list[DnsQuery], seconds: float, every: float) -> DnsWatchAnswer:
    tallies = [Tally(query, every) for query in queries]
    waiting: list[tuple[Tally, Question, float]] = []
    begun = due = time.monotonic()
    end, told = begun + seconds, 0
    with selectors.DefaultSelector() as selector:
        try:
            while not host.stopping.is_set():
                now = time.monotonic()
                if now >= end and not waiting:
                    break
                if due <= now < end:
                    asked = questions([{**tally.query, "attempt": tally.asked + 1} for tally in tallies])
                    for tally, one in zip(tallies, asked, strict=True):
                        one.start(selector)
                        waiting.append((tally, one, now - begun))
                    due = max(due + every, now)
                until = min([now + POLL, *([due] if due < end else []), *(one.ends for _, one, _ in waiting)])
                for key in ready_within(until - now, selector):
                    cast("Question", key.data).serve(selector)
                waiting = _settle(waiting, selector, now)
                if int(now - begun) > told:
                    told = int(now - begun)
                    host.advanced("seconds of asking DNS", min(told, int(seconds)), int(seconds))
        finally:
            for _, one, _ in waiting:  # whose answer may still be on its way: not counted
                one.finish(selector)
    lasted = min(time.monotonic() - begun, seconds)
    return DnsWatchAnswer(seconds=round(lasted, 1), tallies=[tally.told for tally in tallies])


def _settle(
    waiting: list[tuple[Tally, Question, float]], selector: selectors.BaseSelector, looked: float
) -> list[tuple[Tally, Question, float]]:
    """Count what is done, or whose time was over before the last look, which began at `looked`; what is left waits on."""
    left = []
    for tally, one, sent in waiting:
        if not one.done and one.ends <= looked:
            one.finish(selector)
        if one.done:
            tally.count(one.outcome(), sent)
        else:
            left.append((tally, one, sent))
    return left


class Tally:
    """The sums of one query."""

    def __init__(self, query: DnsQuery, every: float) -> None:
        """Nothing was asked yet."""
        self.query = query
        self._every = every
        self.told = DnsTally(
            query=query,
            asked=0,
            answered=0,
            failed=0,
            strays={},
            errors={},
            rcodes={},
            forged=0,
            latencies=[0] * len(EDGES),
            slowest=0.0,
            bursts=[],
            last_failure=None,
        )

    @property
    def asked(self) -> int:
        """How many were counted."""
        return self.told["asked"]

    def count(self, outcome: DnsOutcome, sent: float) -> None:
        """Add one query that was sent so many seconds after the start."""
        told = self.told
        told["asked"] += 1
        server = outcome["query"]["server"].partition("%")[0]
        believed = [one for one in outcome["replies"] if one["matches"]]
        told["forged"] += len(outcome["replies"]) - len(believed) + outcome["dropped"]
        reply = next(
            (one for one in believed if (one["source"], one["port"]) == (server, outcome["query"]["port"])), None
        )
        if reply is not None:
            told["answered"] += 1
            _add(told["rcodes"], reply["rcode"])
            place = next((at for at, edge in enumerate(EDGES) if reply["seconds"] <= edge), len(EDGES) - 1)
            told["latencies"][place] += 1
            told["slowest"] = max(told["slowest"], reply["seconds"])
            if reply["rcode"] in _GOOD:
                return
        elif believed:
            _add(told["strays"], believed[0]["source"])
        elif outcome["error"]:
            _add(told["errors"], outcome["error"])
        self._fail(round(sent, 1))

    def _fail(self, sent: float) -> None:
        told = self.told
        told["failed"] += 1
        told["last_failure"] = sent
        bursts = told["bursts"]
        # A timer is late at times, and the next query in turn is not.
        if bursts and sent - bursts[-1][1] <= 1.5 * self._every:
            bursts[-1] = [bursts[-1][0], sent, bursts[-1][2] + 1]
        elif len(bursts) < MOST_BURSTS:
            bursts.append([sent, sent, 1])


def _add(counts: dict[str, int], kind: str) -> None:
    if kind in counts or len(counts) < MOST_KINDS:
        counts[kind] = counts.get(kind, 0) + 1
