"""What the dialogs for reading share: a title, a text over the whole screen, and a line with the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from k8sdoctor.tui.screens.dialog import ROOMY, plain
from k8sdoctor.tui.screens.plain_text import PlainText

if TYPE_CHECKING:
    from textual.app import ComposeResult

NARROWEST, WIDEST = 20, 100  # longer lines are hard to read


class Reader(ModalScreen[None]):
    """Shows a text over the whole screen. Gives nothing back.

    A subclass whose text is laid out here and not there says so by `LAID_OUT`, and does it in `fill`.
    """

    LAID_OUT: ClassVar[bool] = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close"),
        Binding("q,enter", "close", "Close", show=False),
        Binding("y,c", "copy", "Copy"),
        Binding("w", "wrap", "Wrap"),
        Binding("n,right_square_bracket", "part(1)", "Next part"),
        Binding("p,left_square_bracket", "part(-1)", "Previous part", show=False),
    ]

    DEFAULT_CSS = """
    Reader {
        background: $background;

        .reader--title {
            width: 100%;
            height: auto;
            max-height: 4;
            background: $panel;
            text-style: bold;
        }
        .reader--note {
            width: 100%;
            height: auto;
            max-height: 6;
            background: $panel;
            &.-empty { display: none; }
        }
        PlainText { margin-top: 1; }
        &.-low {
            PlainText { margin-top: 0; }
            .reader--note { max-height: 2; }
        }
    }
    """

    def __init__(self, title: str, text: str = "", *, note: str = "") -> None:
        """The title and the note may name things of the host, and the text may be the host's."""
        super().__init__()
        self.title_text = title
        self.note = note
        self.body = PlainText(text)

    def compose(self) -> ComposeResult:
        """Title, note, text, keys."""
        yield Static(plain(self.title_text), classes="reader--title")
        yield Static(plain(self.note), classes="reader--note" if self.note else "reader--note -empty")
        yield self.body
        yield Footer(show_command_palette=False, compact=True)

    def on_resize(self) -> None:
        """Spend no line on emptiness where there are few."""
        self.set_class(self.size.height < ROOMY, "-low")
        self.fill(min(max(self.size.width - 2, NARROWEST), WIDEST))  # the scroll bar's column, and the cursor's

    def fill(self, width: int) -> None:
        """Lay the text out for a width."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 -- textual's
        """There is no next part of one, and nothing to wrap where all fits."""
        return not ((action == "wrap" and self.LAID_OUT) or (action == "part" and len(self.body.headings) <= 1))

    def tell(self, note: str) -> None:
        """Show another note."""
        self.note = note
        shown = self.query_one(".reader--note", Static)
        shown.set_class(not note, "-empty")
        shown.update(plain(note))

    def action_close(self) -> None:
        """Back to the app."""
        if self.is_current:
            self.dismiss(None)

    def action_copy(self) -> None:
        """Ask the terminal to copy what is selected, or everything."""
        text = self.body.wanted_text
        self.app.copy_to_clipboard(text)
        count = text.rstrip("\n").count("\n") + 1
        what = "the selection" if self.body.selected_text else f"{count} line{'' if count == 1 else 's'}"
        self.tell(f"Asked the terminal to copy {what}; terminals do not tell whether they did.")

    def action_wrap(self) -> None:
        """Wrap long lines, or pan along them."""
        self.body.soft_wrap = not self.body.soft_wrap

    def action_part(self, step: int) -> None:
        """Go to the next heading, or the one before."""
        self.body.go_to_heading(step)
