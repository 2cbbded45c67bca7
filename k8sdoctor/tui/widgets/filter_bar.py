"""What is searched for, and what else is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from k8sdoctor.render.layout import harmless

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from k8sdoctor.tui.rows import Filter


class FilterBar(Vertical):
    """A search field, shown on request, and a line that says what is left out; nothing where nothing is."""

    class Searched(Message):
        """The text has changed."""

        def __init__(self, text: str) -> None:
            """Say what is searched for."""
            super().__init__()
            self.text = text

    def compose(self) -> ComposeResult:
        """The field, and the line."""
        yield Input(placeholder="search: check, reason, text", id="search", compact=True, select_on_focus=False)
        yield Static(id="filters", markup=False)

    def on_mount(self) -> None:
        """Nothing is left out yet."""
        self.query_one(Input).display = False
        self.query_one(Input).cursor_blink = False  # an app that waits has nothing to paint
        self.query_one("#filters").display = False

    @property
    def searching(self) -> bool:
        """Whether the field has the keys."""
        return self.screen.focused is self.query_one(Input)  # has_focus is told later

    def search(self) -> None:
        """Show the field and give it the keys."""
        field = self.query_one(Input)
        field.display = True
        self.screen.set_focus(field)  # at once: the next keys may be there already, and are what is searched for

    def show(self, filter_: Filter, shown: int, all_: int) -> None:
        """Say what is left out."""
        line = self.query_one("#filters", Static)
        line.display = bool(filter_)
        said = [
            *(["only what is not fine"] if filter_.not_fine else []),
            *([f"area {harmless(filter_.area)}"] if filter_.area is not None else []),
            *([f"with “{harmless(filter_.text)}”"] if filter_.text else []),
        ]
        line.update(f"{shown} of {all_} checks: {', '.join(said)}")
        if not filter_.text and not self.query_one(Input).has_focus:
            self.query_one(Input).display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as one types."""
        event.stop()
        self.post_message(self.Searched(event.value))

    def empty(self) -> None:
        """Forget the text."""
        self.query_one(Input).value = ""

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        """An empty field takes no room."""
        self.query_one(Input).display = bool(self.query_one(Input).value)
