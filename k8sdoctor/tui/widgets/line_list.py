"""A list of which only the lines in sight are painted, so that ten thousand cost no more than ten."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.segment import Segment
    from rich.style import Style
    from textual import events
    from textual.binding import BindingType


class Line(Protocol):
    """What a list holds."""

    @property
    def key(self) -> tuple[str, ...]:
        """What it is known by when the list changes."""

    @property
    def selectable(self) -> bool:
        """Whether the cursor may stand on it."""


L = TypeVar("L", bound=Line)

DOUBLE = 2  # clicks


class LineList(ScrollView, Generic[L], can_focus=True):
    """Lines with a cursor. A subclass paints a line in `paint`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+f,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+b,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-list--cursor"}

    cursor: reactive[int | None] = reactive(None)

    class Moved(Message):
        """The cursor stands on another line, or on the same one with other content."""

        def __init__(self, line: Line) -> None:
            """Say where."""
            super().__init__()
            self.line = line

    class Chosen(Message):
        """Enter or a double click on a line."""

        def __init__(self, line: Line) -> None:
            """Say which."""
            super().__init__()
            self.line = line

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own word
        """Empty."""
        super().__init__(id=id)
        self.lines: Sequence[L] = ()
        self.touched = False  # by a person: then the cursor is theirs

    @property
    def selected(self) -> L | None:
        """The line at the cursor."""
        return self.lines[self.cursor] if self.cursor is not None and self.cursor < len(self.lines) else None

    def show(self, lines: Sequence[L], cursor: int | None) -> None:
        """Replace the lines; the line at the cursor stays where it is on the screen, if that can be.

        Until a person has moved, how far the list is scrolled depends on the lines and the cursor alone.
        """
        before = self.cursor
        height = self.scrollable_content_region.height
        # Where it was out of sight, the view stays instead.
        seen = before is not None and self.scroll_offset.y <= before < self.scroll_offset.y + height
        self.lines = lines
        self.virtual_size = Size(0, len(lines))
        wanted = self._near(cursor if cursor is not None else (before or 0))
        if not self.touched:
            self.to_the_top()
        elif seen and wanted is not None and before is not None and wanted != before:
            self.scroll_to(y=max(0, self.scroll_offset.y + wanted - before), animate=False, force=True, immediate=True)
        self.set_reactive(LineList.cursor, wanted)
        if seen or before is None or not self.touched:
            self._reveal()
        self.refresh()
        if self.selected is not None:
            self.post_message(self.Moved(self.selected))

    def to_the_top(self) -> None:
        """Show the first lines: where lines came one after another, the view has moved along with the one at the cursor."""
        self.scroll_to(y=0, animate=False, force=True, immediate=True)

    def select(self, place: int) -> None:
        """Put the cursor on a line, and show it, also where it stands there already."""
        self.cursor = self._near(place)
        self._reveal()

    def watch_cursor(self) -> None:
        """Show where the cursor went, and tell."""
        self._reveal()
        self.refresh()
        if self.selected is not None:
            self.post_message(self.Moved(self.selected))

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:  # noqa: FBT001 -- Textual gives a watcher the value
        """A scroll bar that comes up stands where the list is: Textual moves it along only while it is shown."""
        if shown:
            self.vertical_scrollbar.position = self.scroll_y

    def on_resize(self) -> None:
        """What was in sight may be no longer.

        Until a person has moved, it is as if the lines had come after the last of a layout's several sizes: how far the list is
        scrolled must not depend on which of them was there first.
        """
        if not self.touched:
            self.to_the_top()
        self._reveal()

    def on_focus(self) -> None:
        """What the cursor stands on is what is looked at now."""
        self.refresh()
        if self.selected is not None:
            self.post_message(self.Moved(self.selected))

    def _reveal(self) -> None:
        if self.cursor is None:
            return
        # By force: a list that has just got its lines has no scroll bar before it is laid out, and would not scroll without one.
        # The heading above the first line of a group is worth seeing, too.
        top = self.cursor - 1 if self.cursor and not self.lines[self.cursor - 1].selectable else self.cursor
        self.scroll_to_region(Region(0, top, 1, self.cursor - top + 1), animate=False, force=True, immediate=True)

    def _near(self, place: int, step: int = 1) -> int | None:
        """The nearest line that can be selected, first in the direction of `step`."""
        place = max(0, min(place, len(self.lines) - 1))
        ahead = range(place, len(self.lines) if step > 0 else -1, step)
        behind = range(place - step, -1 if step > 0 else len(self.lines), -step)
        return next(
            (each for way in (ahead, behind) for each in way if each >= 0 and self.lines[each].selectable), None
        )

    def action_move(self, step: int) -> None:
        """Go to the next or previous line."""
        self.touched = True
        if self.cursor is None:
            self.cursor = self._near(0)
            return
        place = self.cursor + step
        if not 0 <= place < len(self.lines) or self._near(place, step) == self.cursor:
            self.scroll_to(y=self.scroll_offset.y + step, animate=False)
            return
        self.cursor = self._near(place, step)

    def action_page(self, direction: int) -> None:
        """Go a screenful on or back."""
        self.touched = True
        step = max(1, self.scrollable_content_region.height - 1) * direction
        self.cursor = self._near((self.cursor or 0) + step, direction)

    def action_edge(self, direction: int) -> None:
        """Go to the first or the last line."""
        self.touched = True
        self.cursor = self._near(0 if direction < 0 else len(self.lines) - 1, -direction)

    def action_choose(self) -> None:
        """Open the line at the cursor."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        place = offset.y + self.scroll_offset.y
        if 0 <= place < len(self.lines) and self.lines[place].selectable:
            self.touched = True
            self.cursor = place
            if event.chain == DOUBLE:
                self.action_choose()

    def render_line(self, y: int) -> Strip:
        """Paint one line of the screen."""
        place = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if place >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        base = self.rich_style
        at_cursor = place == self.cursor
        if at_cursor:
            base += self.get_component_rich_style("line-list--cursor", partial=True)
        segments = self.paint(self.lines[place], width, base, at_cursor=at_cursor)
        return Strip(segments).adjust_cell_length(width, base).crop(0, width)

    @abstractmethod  # held by mypy alone: Textual's metaclass leaves no room for ABC's
    def paint(self, line: L, width: int, base: Style, *, at_cursor: bool) -> list[Segment]:
        """The line, at most `width` columns; each segment's style starts from `base`."""
