"""The top of the screen: which node, how it is, and what goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import columns, cut, harmless
from k8sdoctor.render.outline import moment
from k8sdoctor.tui.history import Change, History, sparkline
from k8sdoctor.tui.widgets.palette import COLOURS, Symbols, spinner, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.report import Report

BARS = 20
"""Runs whose failures are drawn."""

NAME = 12
"""Columns that a node's name gets at least."""

ROOMY = 90
"""Columns from which the third line is written in full."""


@dataclass(frozen=True)
class Progress:
    """A run that is on."""

    seconds: float
    deadline: float | None
    done: int
    all: int
    waiting_for: tuple[str, ...] = ()
    advanced: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of what many things (`images`), how many are done of how many."""


@dataclass(frozen=True)
class Vitals:
    """What the top tells. Without a report, nothing is known yet."""

    report: Report | None = None
    progress: Progress | None = None
    history: History = field(default_factory=History)
    watch: float | None = None  # seconds between runs
    next_in: float | None = None
    trouble: str = ""


class Overview(Static):
    """Paints the vitals it is given, in two lines; a third tells what changed."""

    def __init__(self, *, id: str, symbols: Symbols) -> None:  # noqa: A002 -- Textual's own word
        """Empty."""
        super().__init__(id=id, markup=False)
        self._symbols = symbols
        self._vitals = Vitals()
        self._painted: list[str | tuple[str, str]] = []

    def on_resize(self) -> None:
        """There may be room for more words, or less."""
        self.show(self._vitals)

    def show(self, vitals: Vitals) -> None:
        """Paint."""
        self._vitals = vitals
        lines = [self._who(vitals), self._how(vitals)]
        if vitals.watch is not None or vitals.history.compared:
            lines.append(list(self._changes(vitals)))
        parts: list[str | tuple[str, str]] = []
        for number, line in enumerate(lines):
            parts += ["\n", *line] if number else line
        if parts != self._painted:
            self._painted = parts
            self.update(Content.assemble(*parts))

    def _who(self, vitals: Vitals) -> list[str | tuple[str, str]]:
        report = vitals.report
        if report is None:
            return [("k8sdoctor", "bold")]
        other = report.other_distribution
        stands = harmless(other.partition(",")[0]) if other else f"stage {report.stage}"
        told = f" · {stands} · profile {report.profile}"
        if report.source == "bundle":
            told = f" · recorded {moment(report)}{told}"
        if report.euid > 0:
            told += " · not root"
        if report.anonymized:
            told += " · stand-ins for names"
        # A name may have 253 characters, and what follows it must be seen.
        room = max(NAME, self.content_size.width - columns(told))
        return [(cut(harmless(report.node), room) if self.content_size.width else harmless(report.node), "bold"), told]

    def _how(self, vitals: Vitals) -> list[str | tuple[str, str]]:
        return [*self._verdict(vitals.report), *self._progress(vitals)]

    def _verdict(self, report: Report | None) -> Iterator[str | tuple[str, str]]:
        if report is None:
            return
        worst = Status.UNKNOWN if report.broken and report.status.rank < Status.UNKNOWN.rank else report.status
        yield (f"{symbol(worst, self._symbols)}{worst.upper()}", COLOURS[worst])
        counts = [(status, report.count(status)) for status in reversed(Status)]
        told = " · ".join(f"{number} {status}" for status, number in counts if number) or "nothing was judged"
        yield f"  {told}"
        if report.broken:
            yield f" · {len(report.broken)} broken"

    def _progress(self, vitals: Vitals) -> Iterator[str | tuple[str, str]]:
        gap = "   " if vitals.report is not None else ""
        progress = vitals.progress
        if vitals.trouble:
            yield (f"{gap}{harmless(vitals.trouble)}", "bold $text-error")
        elif progress is not None:
            yield f"{gap}{spinner(progress.seconds, self._symbols)} examining"
            if progress.all:
                yield f", {progress.done} of {progress.all} checks done"
            for what, (done, of) in progress.advanced.items():
                yield f", {done} of {of} {harmless(what)}"
            yield f", {progress.seconds:.0f} s"
            if progress.deadline is not None:
                yield f" of {progress.deadline:.0f} s"
            if progress.waiting_for:
                yield (f", waiting for {harmless(', '.join(progress.waiting_for))}", "$foreground-muted")
        elif vitals.report is not None:
            yield (f"{gap}{len(vitals.report.results)} checks in {vitals.report.seconds:.1f} s", "$foreground-muted")

    def _changes(self, vitals: Vitals) -> Iterator[str | tuple[str, str]]:
        history = vitals.history
        if vitals.watch is not None:
            yield (f"every {vitals.watch:g} s", "bold")
            roomy = self.app.size.width >= ROOMY and vitals.next_in is not None
            yield f", next in {vitals.next_in:.0f} s · " if roomy else " · "
        if history.compared:
            yield "since the last run: " if self.app.size.width >= ROOMY else ""
            for position, change in enumerate((Change.FIXED, Change.NEW, Change.STILL)):
                yield " · " if position else ""
                yield f"{history.count(change)} {change}"
            yield " · "
        bars = sparkline(list(history.failing), BARS, ascii_only=self._symbols == "ascii")
        yield "failing "
        yield (bars, "$text-error")
        yield f" {history.failing[-1] if history.failing else 0}"
