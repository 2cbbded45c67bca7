"""Commands to copy, for terminals that do not let a program fill the clipboard."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType

from k8sdoctor.render.layout import harmless
from k8sdoctor.tui.screens.reader import Reader

if TYPE_CHECKING:
    from typing import Any

    from textual.app import App

ASKED = (
    "Asked the terminal to copy this; terminals do not tell whether they did (in tmux: set -g set-clipboard on). "
    "If pasting gives something else, press t: the text then stands in the terminal itself, where the mouse selects it."
)
NOT_ASKED = (
    "Press y to ask the terminal to copy this, or t to see it in the terminal itself, where the mouse selects it."
)


class CopyScreen(Reader):
    """Shows text to copy, and can put it into the terminal outside of the app."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("t", "terminal", "In the terminal")]

    def __init__(self, text: str, title: str, *, asked: bool = True) -> None:
        """`asked`: the terminal was already asked to copy it (OSC 52, to which there is no answer)."""
        super().__init__(title, text, note=ASKED if asked else NOT_ASKED)

    def action_terminal(self) -> None:
        """Leave the app's screen for a moment."""
        if not in_terminal(self.app, self.title_text, self.body.text):
            self.tell(NO_TERMINAL)


NO_TERMINAL = "This terminal shows nothing but the app."


def in_terminal(app: App[Any], title: str, text: str) -> bool:
    """Leave the app's screen for a moment; False where the terminal has no other.

    Only there is a long line one line for the terminal, too: what it selects from the app's screen has a line break
    wherever the app wraps, and such a command must not be pasted.
    """
    try:
        with app.suspend():
            told = "\n".join(map(harmless, [title, "", *text.split("\n")]))
            show_and_wait(f"{told}\n\nEnter goes back to k8sdoctor. ")
    except SuspendNotSupported:
        return False
    return True


def show_and_wait(text: str) -> None:
    """Print, and wait for Enter, Ctrl-D or Ctrl-C."""
    sys.stdout.write(f"\n{text}")
    sys.stdout.flush()
    try:
        sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
