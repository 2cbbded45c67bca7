"""The list of checks by area, with what each says now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style

from k8sdoctor.render.layout import columns, cut, harmless
from k8sdoctor.tui.rows import Row
from k8sdoctor.tui.widgets.line_list import LineList
from k8sdoctor.tui.widgets.palette import CLASSES, WIDTH, Symbols, spinner, symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOM = 24  # columns beside the id from which a message says something
PATIENCE = 0.3  # seconds after which a check that has a result is shown to run again; without, each look would flicker


class CheckList(LineList[Row]):
    """Areas, checks and findings."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"check-list--area", *CLASSES}

    def __init__(self, *, id: str, symbols: Symbols) -> None:  # noqa: A002 -- Textual's own word
        """Empty."""
        super().__init__(id=id)
        self._symbols = symbols
        self._seconds: Mapping[str, float] = {}
        self._deadline: float | None = None

    def show_running(self, running: Mapping[str, float], deadline: float | None) -> None:
        """The checks that run, each with the seconds so far."""
        if running or self._seconds:
            self._seconds, self._deadline = running, deadline
            self.refresh()

    def paint(self, line: Row, width: int, base: Style, *, at_cursor: bool) -> list[Segment]:
        """Cursor, status, name, and on the right what changed or how long it has been running."""
        style = self.get_component_rich_style
        mark = ">" if at_cursor else " "
        if line.kind == "area":
            return [Segment(cut(harmless(line.text), width), base + style("check-list--area", partial=True))]
        state, state_style = self._state(line, base)
        side, side_style = self._side(line, base)
        indent = "  " if line.kind == "finding" else ""
        start = f"{mark}{indent}"
        room = width - columns(start) - columns(state) - 1 - (columns(side) + 1 if side else 0)
        name = harmless(line.text)
        message = ""
        if line.kind == "check" and line.hidden:
            name = f"{name} +{line.hidden}"
        if line.finding is not None and room - columns(name) - 2 >= ROOM:
            message = f"  {cut(harmless(line.finding.message), room - columns(name) - 2)}"
        name = cut(name, max(room, 1))
        gap = " " * max(0, room - columns(name) - columns(message))
        name_style = base + Style(bold=line.kind == "check")
        return [
            Segment(start, base),
            Segment(f"{state} ", state_style),
            Segment(name, name_style),
            Segment(message, base + style("dim", partial=True)),
            Segment(gap, base),
            Segment(f" {side}" if side else "", side_style),
        ]

    def _state(self, line: Row, base: Style) -> tuple[str, Style]:
        if line.kind == "broken":
            return f"! {'broken':{WIDTH}}", base + self.get_component_rich_style("status--unknown", partial=True)
        if line.status is None:
            seconds = self._seconds.get(line.check, 0.0)
            return f"{spinner(seconds, self._symbols)} {'running':{WIDTH}}", base
        word = f"{symbol(line.status, self._symbols)}{line.status:{WIDTH}}"
        return word, base + self.get_component_rich_style(f"status--{line.status}", partial=True)

    def _side(self, line: Row, base: Style) -> tuple[str, Style]:
        seconds = self._seconds.get(line.check)
        if line.kind == "check" and seconds is not None and (line.status is None or seconds >= PATIENCE):
            turning = f"{spinner(seconds, self._symbols)} " if line.status is not None else ""
            limit = f" of {self._deadline:.0f} s" if self._deadline is not None else ""
            return f"{turning}{seconds:.0f} s{limit}", base
        if line.change is None:
            return "", base
        return line.change, base + self.get_component_rich_style(f"change--{line.change}", partial=True)
