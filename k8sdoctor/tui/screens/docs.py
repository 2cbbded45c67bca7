"""A check's documentation: what `k8sdoctor explain` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor.documentation import Documentation
from k8sdoctor.render.explanation import explanation
from k8sdoctor.render.style import Style
from k8sdoctor.tui.screens.reader import Reader

if TYPE_CHECKING:
    from k8sdoctor.check import Check


class DocsScreen(Reader):
    """Shows the documentation, filled to the terminal's width."""

    LAID_OUT = True

    def __init__(self, check: Check[Any]) -> None:
        """The check's file is where its documentation stands."""
        super().__init__(f"{check.id}: {check.title}")
        self.documentation = Documentation.of(check)
        self._width = 0

    def fill(self, width: int) -> None:
        """Stay in the same section."""
        if width == self._width:
            return
        self._width = width
        section = sum(row <= self.body.cursor_location[0] for row in self.body.headings)
        _name, _, text = explanation(self.documentation, None, Style(width=width)).partition("\n")
        names = {name.upper() for name in self.documentation.sections}
        headings = [number for number, line in enumerate(text.split("\n")) if line in names]
        self.body.show_text(text, headings=headings)
        if section:
            self.body.move_cursor((headings[section - 1], 0))
