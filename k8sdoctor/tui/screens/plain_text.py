"""Text to read, to select and to copy: as it is, with nothing of it obeyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from k8sdoctor.render.layout import lines

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.text import Text


class PlainText(TextArea, inherit_bindings=False):
    """A text with a cursor, as in `less` and vim. Long lines are wrapped, or the view pans along them.

    Only what is in sight is painted, so a long log is no trouble. Shift and the arrows select, and so does the mouse.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False),
        Binding("up,k", "cursor_up", "Up", show=False),
        Binding("left,h", "cursor_left", "Left", show=False),
        Binding("right,l", "cursor_right", "Right", show=False),
        Binding("pagedown,space,ctrl+f,ctrl+d", "cursor_page_down", "Page down", show=False),
        Binding("pageup,b,ctrl+b,ctrl+u", "cursor_page_up", "Page up", show=False),
        Binding("home,0", "cursor_line_start", "Start of the line", show=False),
        Binding("end,$", "cursor_line_end", "End of the line", show=False),
        Binding("g,ctrl+home", "top", "Top", show=False),
        Binding("G,ctrl+end", "bottom", "Bottom", show=False),
        Binding("shift+down,J", "cursor_down(True)", "Select down", show=False),
        Binding("shift+up,K", "cursor_up(True)", "Select up", show=False),
        Binding("shift+left,H", "cursor_left(True)", "Select left", show=False),
        Binding("shift+right,L", "cursor_right(True)", "Select right", show=False),
        Binding("ctrl+a", "select_all", "Select all", show=False),
    ]

    # No frame: what a terminal selects by itself must hold the text and nothing else.
    DEFAULT_CSS = """
    PlainText, PlainText:focus {
        width: 100%;
        height: 1fr;
        border: none;
        padding: 0;
        background: $background;
        scrollbar-size: 1 1;
    }
    PlainText .text-area--cursor { text-style: reverse; }
    """

    def __init__(self, text: str, *, headings: Collection[int] = ()) -> None:
        """`headings` are the numbers of lines, from 0, that are headings."""
        super().__init__(read_only=True, soft_wrap=True, highlight_cursor_line=False)
        self.cursor_blink = False  # an app that nobody touches must not wake up
        self.show_text(text, headings=headings)

    def show_text(self, text: str, *, headings: Collection[int] = ()) -> None:
        """Show another text from its top."""
        self.headings = frozenset(headings)
        self.load_text("\n".join(lines(text)))

    def get_line(self, line_index: int) -> Text:
        """A line as it is painted."""
        line = super().get_line(line_index)
        if line_index in self.headings:
            line.stylize("bold underline")
        return line

    @property
    def wanted_text(self) -> str:
        """What is selected, or else everything."""
        return self.selected_text or self.text

    def action_top(self) -> None:
        """Go to the first line."""
        self.move_cursor((0, 0))

    def action_bottom(self) -> None:
        """Go to the last line."""
        self.move_cursor(self.document.end)

    def go_to_heading(self, step: int) -> None:
        """Go to the next heading (1) or the one before (-1), and show it at the top."""
        here = self.cursor_location[0]
        ahead = [row for row in self.headings if (row - here) * step > 0]
        if ahead:
            row = min(ahead, key=lambda row: abs(row - here))
            self.move_cursor((row, 0))
            self.scroll_to(y=self.wrapped_document.location_to_offset((row, 0)).y, animate=False)
