"""A comparison for a person at a terminal: which is which, whether B is worse, then what changed, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.comparison import WORSENED, Change, Verdict, told_time
from k8sdoctor.finding import Status
from k8sdoctor.render import text
from k8sdoctor.render.layout import block, cut, harmless, wrap
from k8sdoctor.render.outline import standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.comparison import Comparison, Difference, Duplicate, EvidenceChange, FindingChange, Side
    from k8sdoctor.finding import Finding
    from k8sdoctor.render.style import Style

LINES = 6
"""Lines that one side alone has of one piece of evidence, as many as are shown; `-o json` holds all."""

MOST = 20
"""Differences that are shown, unless changed findings name more."""

DIFFERENT = "WHAT DIFFERS (- A, + B)"

_THINGS = {True: "runs", False: "nodes", None: "runs"}

_TIMES: dict[Change, str] = {
    Change.NEW: "NEW IN B",
    Change.WORSE: "WORSE IN B",
    Change.UNSEEN_IN_A: "IN B, AND NOT LOOKED AT IN A",
    Change.UNSEEN_IN_B: "NOT LOOKED AT IN B",
    Change.CHANGED: "STILL THERE, FOR ANOTHER REASON",
    Change.STILL: "STILL THERE",
    Change.BETTER: "BETTER IN B",
    Change.GONE: "NO LONGER APPLIES IN B",
    Change.FIXED: "FIXED IN B",
}

_NODES: dict[Change, str] = {
    **_TIMES,
    Change.NEW: "B ALONE",
    Change.WORSE: "WORSE ON B",
    Change.UNSEEN_IN_A: "ON B, AND NOT LOOKED AT ON A",
    Change.UNSEEN_IN_B: "NOT LOOKED AT ON B",
    Change.CHANGED: "BOTH, FOR DIFFERENT REASONS",
    Change.STILL: "BOTH",
    Change.BETTER: "WORSE ON A",
    Change.GONE: "A ALONE; DOES NOT APPLY ON B",
    Change.FIXED: "A ALONE",
}

_WHAT = {True: "one node, before (A) and after (B)", False: "two nodes, A and B", None: "A and B"}

_VERDICTS: dict[Verdict, tuple[str, Status]] = {
    Verdict.WORSE: ("B is worse", Status.FAIL),
    Verdict.UNCLEAR: ("B is no worse where both looked, and not all was looked at", Status.UNKNOWN),
    Verdict.BETTER: ("B is better", Status.PASS),
    Verdict.SAME: ("B is no worse", Status.PASS),
}

_COUNTED: dict[Change, str] = {  # each after a number, of one node
    Change.NEW: "new",
    Change.WORSE: "worse",
    Change.UNSEEN_IN_A: "in B and not looked at in A",
    Change.UNSEEN_IN_B: "not looked at in B",
    Change.CHANGED: "for another reason",
    Change.STILL: "still",
    Change.BETTER: "better",
    Change.GONE: "no longer applying",
    Change.FIXED: "fixed",
}

_COUNTED_OF_TWO: dict[Change, str] = {
    **_COUNTED,
    Change.NEW: "on B alone",
    Change.WORSE: "worse on B",
    Change.UNSEEN_IN_A: "on B and not looked at on A",
    Change.UNSEEN_IN_B: "not looked at on B",
    Change.CHANGED: "on both for different reasons",
    Change.STILL: "on both",
    Change.BETTER: "worse on A",
    Change.GONE: "on A alone, not applying on B",
    Change.FIXED: "on A alone",
}


def titles(comparison: Comparison) -> dict[Change, str]:
    """What each kind of change is called: of one node in the course of time, or of two nodes."""
    return _NODES if comparison.same_node is False else _TIMES


def verdict(comparison: Comparison) -> str:
    """One sentence: is B worse, and how many findings became what."""
    counted = _COUNTED_OF_TWO if comparison.same_node is False else _COUNTED
    parts = [f"{len(found)} {counted[kind]}" for kind in Change if (found := comparison.of(kind))]
    if comparison.duplicates:
        count = len(comparison.duplicates)
        parts.insert(0, f"{count} {'mark' if count == 1 else 'marks'} shared that must be unique")
    told = ", ".join(parts) or "nothing fails or warns in either"
    return f"{_VERDICTS[comparison.verdict][0]}: {told}."


def side(name: str, side: Side, subject: str = "") -> str:
    """Which report is A, or B."""
    report = side.report
    return (
        f"{subject}{name}: {report.node}, {told_time(report)}, {report.status}; {side.path}"
        f" ({'a recording' if report.source == 'bundle' else 'live'}, {harmless(standing(report))}, profile {report.profile})"
    )


def render(comparison: Comparison, style: Style, *, whole: bool = False) -> str:
    """The comparison, each line at most `style.width` columns, but for commands. With `whole`, no difference is left out."""
    parts = [
        _head(comparison, style),
        _duplicates(comparison, style),
        *(_changes(kind, comparison, style) for kind in Change),
        _differences(comparison, style, whole=whole),
        _end(comparison, style),
    ]
    return "\n".join("".join(f"{line}\n" for line in part) for part in map(list, parts) if part)


def _head(comparison: Comparison, style: Style) -> Iterator[str]:
    yield from map(style.bold, wrap(f"k8sdoctor diff: {_WHAT[comparison.same_node]}", style.width))
    for name, each in (("A", comparison.a), ("B", comparison.b)):
        yield from block(f"  {name}: ", side(name, each).partition(": ")[2], style.width)
    for remark in comparison.remarks:
        yield from block("  Note: ", remark, style.width)


def _duplicates(comparison: Comparison, style: Style) -> Iterator[str]:
    if comparison.duplicates:
        yield style.bold("SHARED, AND MUST BE UNIQUE")
    for duplicate in comparison.duplicates:
        yield from _duplicate(duplicate, style)


def _duplicate(duplicate: Duplicate, style: Style) -> Iterator[str]:
    head = f"{style.symbol(duplicate.status)}{duplicate.status:{text.STATUS_WIDTH}}"
    yield f"{style.coloured(head, duplicate.status)}  {cut(harmless(duplicate.what), style.width - len(head) - 2)}"
    yield from (f"  {line}" for line in wrap(harmless(duplicate.message), style.width - 2))
    yield from text.fix(duplicate.fix, style)


def _changes(kind: Change, comparison: Comparison, style: Style) -> Iterator[str]:
    found = comparison.of(kind)
    if found:
        yield style.bold(f"{titles(comparison)[kind]} ({len(found)})")
    for change in found:
        yield from _change(change, comparison, style)


def _change(change: FindingChange, comparison: Comparison, style: Style) -> Iterator[str]:
    """B's finding where it is bad there, else A's; and what the other side says, if it is not the same."""
    led, other = leading(change)
    yield from text.heading(change.check, led, style)
    yield from (f"  {line}" for line in wrap(harmless(led.message), style.width - 2))
    if other is not None:
        yield from _labelled(_side_name(change, comparison, other), _told(other), style)
    if change.why:
        yield from _labelled("In A" if change.change is Change.UNSEEN_IN_A else "In B", change.why, style)
    for evidence in telling(change):
        yield from _evidence(evidence, style)
    if change.change in WORSENED and led.fix is not None and is_cause(change, comparison):
        yield from text.fix(led.fix, style)


def leading(change: FindingChange) -> tuple[Finding, Finding | None]:
    """The finding that tells what this is about, and the other side's where that says something else."""
    told = change.told
    other = change.before if told is change.after else change.after
    return told, None if change.change in (Change.STILL, Change.UNSEEN_IN_A) else other


def telling(change: FindingChange) -> tuple[EvidenceChange, ...]:
    """The evidence that is worth a look: of what is good now, only what both sides looked at."""
    if leading(change)[0] is change.after:
        return change.evidence
    return tuple(each for each in change.evidence if each.before and each.after)


def _side_name(change: FindingChange, comparison: Comparison, finding: Finding) -> str:
    is_before = finding is change.before
    if comparison.same_node is False:
        return "On A" if is_before else "On B"
    return "Before" if is_before else "Now"


def _told(finding: Finding) -> str:
    return f"{finding.status}, {finding.reason}: {finding.message}"


def _labelled(label: str, told: str, style: Style) -> Iterator[str]:
    yield from block(f"  {label + ':':11}", told, style.width)


def is_cause(change: FindingChange, comparison: Comparison) -> bool:
    """Whether nothing else in B explains a finding: what mends the cause mends its symptoms."""
    name = (change.check, change.told.reason, change.told.subject)
    return not any(
        name == (symptom.check, symptom.reason, symptom.subject)
        for diagnosis in comparison.b.report.diagnoses
        for symptom in diagnosis.explains
    )


def _evidence(evidence: EvidenceChange, style: Style) -> Iterator[str]:
    yield from (f"  {style.dim(line)}" for line in wrap(harmless(f"{evidence.source}:"), style.width - 2))
    yield from _lines(evidence.before, evidence.after, style, LINES)


def _lines(
    before: tuple[str, ...] | None, after: tuple[str, ...] | None, style: Style, most: int | None
) -> Iterator[str]:
    """What one side alone has, as far as it is to be shown."""
    for sign, lines in (("-", before), ("+", after)):
        if lines is None:
            yield f"    {sign} {style.dim('(not there)')}"
            continue
        for line in lines[:most]:
            yield f"    {sign} {cut(harmless(line), style.width - 6)}".rstrip()
        if most is not None and len(lines) > most:
            yield f"    {sign} {style.dim(f'[{len(lines) - most} more lines: -o json shows all]')}"
        if not lines and (before is None or after is None):
            yield f"    {sign} {style.dim('(empty)')}"


def shown_differences(comparison: Comparison, *, whole: bool) -> tuple[tuple[Difference, ...], str | None]:
    """The differences that are to be shown, and a sentence about the others."""
    telling = [each for each in comparison.differences if not each.noise]
    named = sum(bool(each.named_by) for each in telling)
    shown = comparison.differences if whole else tuple(telling[: max(MOST, named)])
    more, noise = len(telling) - len(shown), len(comparison.differences) - len(telling)
    if whole or not (more or noise):
        return shown, None
    told = [
        f"{more} more" if more else "",
        f"{noise} that differ on any two {_THINGS[comparison.same_node]}" if noise else "",
    ]
    return shown, f"And {' and '.join(filter(None, told))}: --all shows them."


def _differences(comparison: Comparison, style: Style, *, whole: bool) -> Iterator[str]:
    """What else is not the same: first what a changed finding names."""
    shown, others = shown_differences(comparison, whole=whole)
    if shown or others:
        yield style.bold(DIFFERENT)
    for each in shown:
        by = f" (named by {', '.join(each.named_by)})" if each.named_by else ""
        yield from (f"  {line}" for line in wrap(harmless(f"{each.name}{by}"), style.width - 2))
        yield from _lines(each.a, each.b, style, None if whole else LINES)
    if others:
        yield from wrap(others, style.width)


def _end(comparison: Comparison, style: Style) -> Iterator[str]:
    status = _VERDICTS[comparison.verdict][1]
    for line in wrap(verdict(comparison), style.width):
        yield style.coloured(line, status)
