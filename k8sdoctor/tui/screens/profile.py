"""Which profile the next run has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Button

from k8sdoctor.check import Profile
from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

_DETECTED = "detected"

_WHAT_FOR = {
    _DETECTED: "detected: fits the stage",
    Profile.INIT: "init: before kubeadm init",
    Profile.JOIN: "join: before kubeadm join",
    Profile.NODE: "node: a worker in use",
    Profile.CONTROL_PLANE: "control-plane: one in use",
    Profile.DNS: "dns: only what DNS needs",
}


@dataclass(frozen=True)
class ChosenProfile:
    """A profile, or None for the one that fits the node's stage."""

    profile: Profile | None


class ProfileScreen(Dialog[ChosenProfile | None]):
    """Gives the profile under the cursor, or None when it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "confirm", "Choose")]

    def __init__(self, current: Profile | None) -> None:
        """`current` is what was asked for so far; None: detected."""
        super().__init__("Profile of the next run")
        self.current = current

    def content(self) -> Iterable[Widget]:
        """The profiles."""
        yield Choices(_WHAT_FOR, [self.current or _DETECTED], several=False)

    def buttons(self) -> Iterable[Widget]:
        """Choose, and leave."""
        yield Button("Choose", id="confirm", compact=True, variant="primary")
        yield Button("Cancel", id="close", compact=True)

    @on(Choices.Changed)
    @on(Button.Pressed, "#confirm")
    def action_confirm(self) -> None:
        """Take the profile under the cursor; a click on one, or space, takes it too."""
        value = self.query_one(Choices).value
        if value is not None:
            self.finish(ChosenProfile(None if value == _DETECTED else Profile(value)))

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Leave everything as it was."""
        self.finish(None)
