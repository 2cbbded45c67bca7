"""A comparison as Markdown, for a ticket; the lines that changed are folded in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.comparison import WORSENED, Change
from k8sdoctor.render.comparison_text import (
    DIFFERENT,
    is_cause,
    leading,
    shown_differences,
    side,
    telling,
    titles,
    verdict,
)
from k8sdoctor.render.layout import cut, harmless
from k8sdoctor.render.markdown import code, code_block, fix, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.comparison import Comparison, FindingChange
    from k8sdoctor.render.style import Style


def render(comparison: Comparison, _style: Style, *, whole: bool = False) -> str:
    """The comparison; what was seen is in code blocks, so that nothing of the host is read as markup."""
    return "\n".join(_lines(comparison, whole=whole)) + "\n"


def _lines(comparison: Comparison, *, whole: bool) -> Iterator[str]:
    yield f"# k8sdoctor diff: {plain(verdict(comparison))}"
    yield ""
    yield f"- {plain(side('A', comparison.a))}"
    yield f"- {plain(side('B', comparison.b))}"
    yield from (f"- Note: {plain(remark)}" for remark in comparison.remarks)
    if comparison.duplicates:
        yield from ("", "## Shared, and must be unique")
        for duplicate in comparison.duplicates:
            yield from ("", f"### {plain(duplicate.what)} ({duplicate.status})", "", plain(duplicate.message))
            yield from fix(duplicate.fix)
    for kind in Change:
        found = comparison.of(kind)
        if found:
            yield from (
                "",
                f"## {titles(comparison)[kind].capitalize().replace(' b', ' B').replace(' a,', ' A,')} ({len(found)})",
            )
        for change in found:
            yield from _change(change, comparison)
    shown, others = shown_differences(comparison, whole=whole)
    if shown or others:
        yield from ("", f"## {DIFFERENT}")
    for each in shown:
        by = f" (named by {', '.join(each.named_by)})" if each.named_by else ""
        yield from ("", f"{code(harmless(each.name))}{plain(by)}:", "")
        yield from code_block("diff", [*_signed("-", each.a), *_signed("+", each.b)])
    if others:
        yield from ("", others)


LINES = 30
"""Lines of one side that are shown of each difference: a ticket takes some 65,000 characters."""

_WIDEST = 300


def _signed(sign: str, lines: tuple[str, ...] | None) -> list[str]:
    if lines is None:
        return [f"{sign} (not there)"]
    more = [f"{sign} [{len(lines) - LINES} more lines: -o json shows all]"] if len(lines) > LINES else []
    return [f"{sign} {cut(harmless(line), _WIDEST)}" for line in lines[:LINES]] + more


def _change(change: FindingChange, comparison: Comparison) -> Iterator[str]:
    led, other = leading(change)
    subject = f" ({plain(led.subject)})" if led.subject else ""
    yield from ("", f"### {change.check}/{led.reason}{subject}: {led.status}", "", plain(led.message))
    if other is not None:
        side_name = "A" if other is change.before else "B"
        yield from ("", f"In {side_name}: {other.status}, {other.reason}: {plain(other.message)}")
    if change.why:
        yield from ("", f"Not looked at in {'A' if change.change is Change.UNSEEN_IN_A else 'B'}: {plain(change.why)}")
    evidence = telling(change)
    if evidence:
        lines = [
            line
            for each in evidence
            for line in (
                f"  {harmless(each.source)}",
                *_signed("-", each.before),
                *_signed("+", each.after),
            )
        ]
        yield ""
        yield from code_block("diff", lines)
    if change.change in WORSENED and led.fix is not None and is_cause(change, comparison):
        yield from fix(led.fix)
