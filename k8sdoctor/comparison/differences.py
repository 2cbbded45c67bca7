"""What one node has that the other has not, most telling first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from k8sdoctor.comparison.findings import Change, lines_changed
from k8sdoctor.comparison.properties import Property, Weight, prepared
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.comparison.findings import FindingChange
    from k8sdoctor.comparison.noise import Own

_TELLING = (Change.NEW, Change.WORSE, Change.CHANGED, Change.UNSEEN_IN_A, Change.FIXED, Change.GONE, Change.BETTER)
"""Changes of findings that a difference may be behind: what both have alike, no difference explains."""


@dataclass(frozen=True)
class Difference:
    """A property that is not the same in A and B. `a` and `b` are the lines that one side alone has; None: there is no such thing.

    `named_by` are the findings, as check/Reason, that became worse or better and name it. `noise`: it differs on every pair of nodes, or from run to run.
    """

    name: str
    a: tuple[str, ...] | None
    b: tuple[str, ...] | None
    named_by: tuple[str, ...]
    noise: bool


def differences(
    a: Mapping[str, Property], b: Mapping[str, Property], changes: Iterable[FindingChange], own_a: Own, own_b: Own
) -> tuple[Difference, ...]:
    """What differs of what both sides looked at: first what a changed finding names, the cause's first, then by weight; noise at the end."""
    texts = [(f"{each.check}/{each.told.reason}", _text(each)) for each in changes if each.change in _TELLING]
    found = []
    for key in {**a, **b}:
        old, new = a.get(key) or _missing(key, b[key], a), b.get(key) or _missing(key, a[key], b)
        if old is None or new is None:
            continue
        difference = _difference(old, new, own_a, own_b)
        if difference is None:
            continue
        removed, added, noise = difference
        weight = max(old.weight, new.weight)
        noise = noise or weight is Weight.NOISE
        pattern = _mention(new.name)
        named = {
            name: rank for rank, (name, text) in reversed([*enumerate(texts)]) if not noise and pattern.search(text)
        }
        rank = (noise, min(named.values(), default=len(texts)), weight, key)
        by = tuple(sorted(named, key=lambda name: named[name]))
        found.append((rank, Difference(new.name, removed, added, by, noise)))
    return tuple(each for _, each in sorted(found, key=lambda pair: pair[0]))


def _missing(key: str, held: Property, other: Mapping[str, Property]) -> Property | None:
    """A property that the other side lacks for certain: all of its folder, or all links, were listed there. None: nobody looked."""
    where = "link lo" if key.startswith("link ") else f"{key.rpartition('/')[0]}/"
    if where not in other or where == key:
        return None
    return Property(held.name, held.weight, None)


def _difference(
    old: Property, new: Property, own_a: Own, own_b: Own
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, bool] | None:
    """The lines that one side alone has, and whether that is noise; None where the two are the same."""
    if old.lines is None or new.lines is None:
        return None if old.lines == new.lines else (old.lines, new.lines, False)
    if old.lines == new.lines:
        return None
    (before, old_keys), (after, new_keys) = prepared(old.lines, own_a), prepared(new.lines, own_b)
    removed, added = lines_changed(before, after, old_keys, new_keys)
    if removed or added:
        return tuple(removed), tuple(added), False
    if before == after:  # comments
        return None
    removed, added = lines_changed(before, after, before, after)
    return tuple(removed), tuple(added), True


def _mention(name: str) -> re.Pattern[str]:
    """Where a text names a property: the path of a switch as well as its name."""
    words = name.removesuffix(" (as a file)").removesuffix(" (where it leads)").removeprefix("link ").rstrip("/")
    path = "/proc/sys/" + words.translate(str.maketrans("./", "/."))
    return re.compile(rf"(?<![\w.-])(?:{re.escape(words)}|{re.escape(path)})(?![\w-]|\.\w)")


def _text(change: FindingChange) -> str:
    """All that a finding says on both sides, to see what it names."""
    findings = [each for each in (change.before, change.after) if each is not None]
    return "\n".join(
        part
        for each in findings
        for part in (
            each.subject or "",
            each.message,
            *(f"{evidence.source}\n{evidence.content}" for evidence in each.evidence),
        )
    )
