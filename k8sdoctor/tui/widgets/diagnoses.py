"""The list of diagnoses: each cause, and how many symptoms it explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment

from k8sdoctor.render.layout import columns, cut, harmless
from k8sdoctor.tui.widgets.line_list import LineList
from k8sdoctor.tui.widgets.palette import CLASSES, Symbols, symbol

if TYPE_CHECKING:
    from rich.style import Style

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.report import Report

MOST = 4
"""Diagnoses in sight at once; more are scrolled to."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A diagnosis as a line."""

    diagnosis: Diagnosis
    key: tuple[str, ...]
    selectable: bool = True


def causes(report: Report) -> list[Cause]:
    """The lines of a report."""
    return [Cause(each, (each.cause.check, each.cause.reason, each.cause.subject or "")) for each in report.diagnoses]


class Diagnoses(LineList[Cause]):
    """What is behind all that is wrong."""

    COMPONENT_CLASSES: ClassVar[set[str]] = CLASSES

    def __init__(self, *, id: str, symbols: Symbols) -> None:  # noqa: A002 -- Textual's own word
        """Empty."""
        super().__init__(id=id)
        self._symbols = symbols
        self.border_title = "Diagnoses"

    def show_report(self, report: Report) -> None:
        """Show the diagnoses of a report; where there is none, nothing."""
        lines = causes(report)
        keys = [line.key for line in lines]
        cursor = keys.index(self.selected.key) if self.selected is not None and self.selected.key in keys else None
        self.set_class(bool(lines), "-some")
        self.styles.height = min(len(lines), MOST) + 2  # the border
        self.border_title = "Diagnosis" if len(lines) == 1 else f"{len(lines)} diagnoses"
        self.show(lines, cursor)

    def paint(self, line: Cause, width: int, base: Style, *, at_cursor: bool) -> list[Segment]:
        """Status, the cause in a sentence, and what it explains."""
        diagnosis = line.diagnosis
        number = len(diagnosis.explains)
        explains = f" explains {number} more" if number else ""
        start = ">" if at_cursor and self.has_focus else " "
        status = f"{symbol(diagnosis.status, self._symbols)}{diagnosis.status} "
        room = max(1, width - columns(start) - columns(status) - columns(explains))
        title = cut(harmless(diagnosis.title), room)
        gap = " " * max(0, room - columns(title))
        colour = base + self.get_component_rich_style(f"status--{diagnosis.status}", partial=True)
        return [
            Segment(start, base),
            Segment(status, colour),
            Segment(title, base),
            Segment(gap, base),
            Segment(explains, base + self.get_component_rich_style("dim", partial=True)),
        ]
