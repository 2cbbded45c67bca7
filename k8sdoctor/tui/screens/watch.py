"""How often the app examines the node again by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Button, Input, Static

from k8sdoctor.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

SHORTEST, LONGEST = 1.0, 86_400.0
USUAL = 10.0


def seconds(text: str) -> float | None:
    """The seconds that a text says, such as `30`, `2.5`, `30s`, `5m` or `1h`; None where it says none that would do."""
    text = text.strip().lower()
    number, factor = text, 1.0
    for unit, each in (("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(unit):
            number, factor = text[:-1].strip(), each
    if not number.isascii() or not number.replace(".", "", 1).isdecimal():  # float() takes 1e3, nan, 1_0 and +1, too
        return None
    found = float(number) * factor
    return found if math.isfinite(found) and SHORTEST <= found <= LONGEST else None


class WatchScreen(Dialog[float | None]):
    """Gives the seconds between runs, or None when it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "confirm", "Watch")]
    AUTO_FOCUS = "Input"

    def __init__(self, current: float | None = None) -> None:
        """`current` are the seconds so far."""
        super().__init__("Examine the node again and again")
        self.current = current or USUAL

    def content(self) -> Iterable[Widget]:
        """The field."""
        yield Static("Seconds between runs (or 5m, 1h):")
        yield Input(f"{self.current:g}", compact=True, max_length=20)

    def buttons(self) -> Iterable[Widget]:
        """Begin, and leave."""
        yield Button("Watch", id="confirm", compact=True, variant="primary")
        yield Button("Cancel", id="close", compact=True)

    @on(Input.Changed)
    def forgive(self, event: Input.Changed) -> None:
        """What was wrong is being changed."""
        event.stop()
        self.tell("")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """Enter in the field."""
        event.stop()
        self.action_confirm()

    @on(Button.Pressed, "#confirm")
    def action_confirm(self) -> None:
        """Take the seconds, or say what would be right."""
        typed = self.query_one(Input).value
        found = seconds(typed)
        if found is None:
            self.tell(f"{typed.strip()!r} is no time from {SHORTEST:g} second to a day, such as 10, 2.5, 5m or 1h.")
        else:
            self.finish(found)

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Go on without watching."""
        self.finish(None)
