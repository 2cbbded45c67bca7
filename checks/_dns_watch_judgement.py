"""What a while of asking DNS says: when and where it failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from k8sdoctor.checks import _dns_fixes as fixes
from k8sdoctor.finding import Evidence, Finding, fail, passed, unknown, warn
from k8sdoctor.host.base import authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.cluster_dns import ClusterDns
    from k8sdoctor.facts.dns_watch import DnsWatch, Watched
    from k8sdoctor.host.answers import DnsTally

EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000)
"""Milliseconds: the upper ends of the bins of latencies."""

RARE = 0.01
"""Up to this part of lone failures is a warning: a datagram may be lost now and then."""

MOST_LINES = 40


def judge(watch: DnsWatch, dns: ClusterDns) -> Iterator[Finding]:
    """One finding of all that was asked; none where nobody wanted it."""
    if not watch.wanted:
        return
    views = [view for view in watch.views if view.tallies]
    asked = sum(tally["asked"] for view in views for tally in view.tallies)
    if not asked:
        yield unknown("NotAsked", "Cluster DNS was to be asked for a while, and no pod here is fit to ask from.")
        return
    alone = [view for view in views if _cut_off(view) and not all(map(_cut_off, views))]
    judged = [view for view in views if view not in alone]
    failed = [(view, tally) for view in judged for tally in view.tallies if tally["failed"]]
    lasted = max(view.seconds for view in views)
    span = f"{_span(lasted)}" + (f" of {_span(watch.wanted)}" if lasted < watch.wanted - 1 else "")
    evidence = [*_timeline(watch, failed), *_counts(views)]
    total = sum(tally["asked"] for view in judged for tally in view.tallies)
    subject = ", ".join(one.address for one in dns.addresses)
    if not failed:
        yield passed(
            "AnsweredThroughout",
            f"Over {span} pods asked cluster DNS {total} times, and were answered every time.{_alone(alone)}",
            subject=subject,
            evidence=evidence,
        )
        return
    lost = sum(tally["failed"] for _, tally in failed)
    bursts = sorted((burst for _, tally in failed for burst in tally["bursts"]), key=lambda burst: burst[0])
    longest = max(bursts, key=lambda burst: burst[1] - burst[0])
    first, last = bursts[0][0], max(tally["last_failure"] or 0.0 for _, tally in failed)
    where = dict.fromkeys(tally["query"]["server"] for _, tally in failed)
    lone = all(burst[2] == 1 for burst in bursts) and not any(tally["strays"] or _codes(tally) for _, tally in failed)
    make = warn if lone and lost <= max(1, RARE * total) else fail
    row = (
        f"the longest from {_clock(watch, longest[0])} to {_clock(watch, longest[1])}, {longest[2]:.0f} in a row"
        if longest[2] > 1
        else "never two in a row"
    )
    torn = (
        " Only queries of pairs failed, A and AAAA from one port, as resolvers ask: `k8sdoctor check dns-path conntrack` looks for a race."
        if all("group" in tally["query"] for _, tally in failed)
        else ""
    )
    yield make(
        "FailedWhileWatched",
        f"Over {span} pods asked cluster DNS {total} times, and {lost} queries ({100 * lost / total:.2g} %) failed, at "
        f"{', '.join(where)}: the first at {_clock(watch, first)}, the last at {_clock(watch, last)}, {row}.{torn}{_alone(alone)}",
        subject=subject,
        evidence=evidence,
        traits={*(f"address:{one.address}" for one in dns.addresses), *(["pairs:alone"] if torn else [])},
        fix=fixes.look_at_load(dns),
    )


def _cut_off(view: Watched) -> bool:
    """Whether a pod was never answered, as when a network policy forbids it to ask."""
    return all(not tally["answered"] for tally in view.tallies)


def _alone(views: Sequence[Watched]) -> str:
    names = ", ".join(view.pod.name for view in views)
    return f" ({names} alone was never answered, as when a network policy forbids it.)" if names else ""


def _codes(tally: DnsTally) -> dict[str, int]:
    return {code: count for code, count in tally["rcodes"].items() if code not in ("NOERROR", "NXDOMAIN")}


def _timeline(watch: DnsWatch, failed: Iterable[tuple[Watched, DnsTally]]) -> list[Evidence]:
    rows = sorted(
        (start, end, count, f"{_name(tally)} from pod {view.pod.name}")
        for view, tally in failed
        for start, end, count in tally["bursts"]
    )
    lines = [
        f"{_clock(watch, start)}{f' to {_clock(watch, end)}' if end > start else ''}: {what}, {count:.0f} failed"
        for start, end, count, what in rows
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES // 2], f"{len(lines) - MOST_LINES} more", *lines[-MOST_LINES // 2 :]]
    return [Evidence("when DNS failed (UTC)", "\n".join(lines))] if lines else []


def _counts(views: Iterable[Watched]) -> list[Evidence]:
    """Each pod's counts, by whom it asked."""
    return [
        Evidence(f"DNS asked for a while from pod {view.pod.name}", "\n".join(_line(tally) for tally in view.tallies))
        for view in views
    ]


def _line(tally: DnsTally) -> str:
    parts = [f"answered {tally['answered']} of {tally['asked']}"]
    parts += [f"{source} answered instead {count} times" for source, count in tally["strays"].items()]
    parts += [f"{code} {count} times" for code, count in _codes(tally).items()]
    parts += [f"{error} {count} times" for error, count in tally["errors"].items()]
    if tally["forged"]:
        parts.append(f"{tally['forged']} replies were no answer to the query")
    if tally["answered"]:
        parts.append(
            f"p50 within {_rank(tally, 50)} ms, p95 within {_rank(tally, 95)} ms, max {1000 * tally['slowest']:.0f} ms"
        )
    return f"{_name(tally)}: {', '.join(parts)}"


def _rank(tally: DnsTally, part: int) -> int:
    """The upper end of the bin that holds a percentile."""
    wanted, seen = part / 100 * sum(tally["latencies"]), 0
    for edge, count in zip(EDGES, tally["latencies"], strict=False):
        seen += count
        if seen >= wanted:
            return edge
    return EDGES[-1]


def _name(tally: DnsTally) -> str:
    query = tally["query"]
    at_once = f" {query['type']} of a pair" if "group" in query else ""
    return f"{authority(query['server'], query['port'])} {query['transport']}{at_once}"


def _clock(watch: DnsWatch, offset: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(watch.started + offset))


def _span(seconds: float) -> str:
    """`45 s`, `10 min`, `1 h 30 min`."""
    whole = round(seconds)
    hours, minutes, left = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (left, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
