"""Which checks the next run leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Button, Static

from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from textual.widget import Widget

    from k8sdoctor.check import Check


class SkipScreen(Dialog[frozenset[str] | None]):
    """Gives the ids of the checks to skip, or None when it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "confirm", "Apply")]

    def __init__(self, checks: Sequence[Check[Any]], skipped: AbstractSet[str] = frozenset()) -> None:
        """`skipped` are the ids that are skipped so far."""
        super().__init__("Checks to skip in the next run")
        self.checks = sorted(checks, key=lambda check: check.id)
        self.skipped = skipped

    def content(self) -> Iterable[Widget]:
        """The checks by their ids."""
        if self.checks:
            yield Choices({check.id: check.id for check in self.checks}, self.skipped, several=True)
        else:
            yield Static("There are no checks.")

    def buttons(self) -> Iterable[Widget]:
        """Apply, and leave."""
        yield Button("Apply", id="confirm", compact=True, variant="primary")
        yield Button("Cancel", id="close", compact=True)

    @on(Button.Pressed, "#confirm")
    def action_confirm(self) -> None:
        """Skip exactly what is chosen."""
        lists = self.query(Choices)
        self.finish(frozenset(lists.first().chosen) if lists else frozenset())

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Leave everything as it was."""
        self.finish(None)
