"""The kernel's counters of packets that it lost while tracking connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.facts import versions
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host

STATISTICS = "/proc/1/net/stat/nf_conntrack"
"""Of the node's network namespace, whichever the reader is in."""

LOST = ("insert_failed", "drop", "early_drop")
"""Counters of packets that were lost: to a race between two equal connections, to a full table, for want of room (Linux `nf_conntrack_core.c`)."""

CLASHES_RESOLVED = (4, 7, 0)
"""From this kernel on most races are settled without a loss: `insert_failed` counts some of them still (up to 5.9), and who loses a packet to one
counts `drop`, too (Linux commits 71d8c47fc653 and bc92470413f3)."""


_DIGITS = 8
"""Of a counter in hexadecimal, which has 32 bits."""


def counters(host: Host, *, attempt: int) -> dict[str, int]:
    """The sums over all processors: a line of names, then one of hexadecimal numbers for each (`ct_cpu_seq_show`).

    `attempt` tells readings apart. Raises NotFound where the kernel tracks no connections, NotPermitted, Unreadable.
    """
    names, *rows = [line.split() for line in host.lines(STATISTICS, [" "], attempt=attempt)] or [[]]
    missing = [name for name in LOST if name not in names]
    if missing or not rows:
        raise HostError("Unreadable", f"{STATISTICS} does not tell {', '.join(missing) or 'a number'}")
    try:
        return {name: sum(_counter(row[names.index(name)]) for row in rows) for name in LOST}
    except (ValueError, IndexError):
        raise HostError("Unreadable", f"{STATISTICS} holds a line that is no row of numbers") from None


def _counter(word: str) -> int:
    if len(word) > _DIGITS:
        raise ValueError("no counter of the kernel")
    return int(word, 16)


def rises(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The counters that rose between two readings, by how much."""
    return {name: after[name] - before[name] for name in LOST if after[name] > before.get(name, 0)}


def raced(rose: Mapping[str, int], kernel: str) -> int:
    """How many packets of new connections were lost to races, of counters that rose so, under a kernel of this release.

    >>> raced({"insert_failed": 3}, "3.10.0-1160.el7.x86_64")
    3
    >>> raced({"insert_failed": 3, "drop": 1}, "5.4.0-150-generic")
    1
    """
    failed, release = rose.get("insert_failed", 0), versions.parse(kernel)
    return min(failed, rose.get("drop", 0)) if release and release >= CLASHES_RESOLVED else failed
