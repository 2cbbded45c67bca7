"""A question that is answered with yes or no."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Button, Static

from k8sdoctor.tui.screens.dialog import Dialog, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget


class ConfirmScreen(Dialog[bool]):
    """Yes by `y`, no by `n` or by leaving; Enter takes the answer that is marked.

    `careful` marks No: for what a person who presses Enter by habit would be sorry about.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n", "answer(False)", "No"),
        Binding("left,h", "app.focus_previous", "Other answer", show=False),
        Binding("right,l", "app.focus_next", "Other answer", show=False),
    ]

    AUTO_FOCUS = ""

    def __init__(self, question: str, *, details: str = "", careful: bool = False) -> None:
        """`details` are lines below the question, such as the files that it is about."""
        super().__init__(question)
        self.details = details
        self.careful = careful

    def content(self) -> Iterable[Widget]:
        """The details."""
        if self.details:
            yield Static(plain(self.details))

    def buttons(self) -> Iterable[Widget]:
        """One an answer."""
        yield Button("Yes", id="yes", compact=True)
        yield Button("No", id="no", compact=True)

    def on_mount(self) -> None:
        """Mark the answer that Enter takes."""
        super().on_mount()
        self.query_one("#no" if self.careful else "#yes").focus()

    @on(Button.Pressed)
    def press(self, event: Button.Pressed) -> None:
        """Take the button's answer."""
        event.stop()
        self.finish(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 -- what a binding gives
        """Take a key's answer."""
        self.finish(answer)

    def action_close(self) -> None:
        """Leaving is no yes."""
        self.finish(result=False)
