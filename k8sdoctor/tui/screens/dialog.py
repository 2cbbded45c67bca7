"""What all dialogs share: a frame that fits into any terminal, a title, a line with the keys, and Esc or q to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from k8sdoctor.render.layout import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import App, ComposeResult
    from textual.widget import Widget

Result = TypeVar("Result")

ROOMY = 16
"""Rows below which a dialog does without its empty lines and its line of keys."""


def plain(text: str) -> Content:
    """Text of the host, or text that names some: never markup, and nothing in it that a terminal would obey."""
    return Content("\n".join(map(harmless, text.split("\n"))))


def draws_ascii(app: App[Any]) -> bool:
    """Whether the app is on a terminal that shows nothing but ASCII."""
    return any(screen.has_class("-ascii") for screen in app.screen_stack)


class Dialog(ModalScreen[Result]):
    """A titled frame over the app. A dialog gives its `title_text` and its `content()`; the keys show themselves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close"),
        Binding("q", "close", "Close", show=False),  # a field one types into keeps its q
    ]

    # The frame is as wide as reads well, and no wider than the terminal. Its middle scrolls where the terminal is low.
    DEFAULT_CSS = """
    Dialog {
        align: center middle;

        & > .dialog--frame {
            width: 100%;
            max-width: 76;
            height: auto;
            max-height: 100%;
            border: round $primary;
            padding: 0 1;
            background: $surface;
        }
        .dialog--title {
            width: 100%;
            height: auto;
            text-style: bold;
        }
        .dialog--content {
            width: 100%;
            height: auto;
            margin-top: 1;
            scrollbar-size-vertical: 1;
        }
        .dialog--buttons {
            width: 100%;
            height: 1;
            margin-top: 1;
            align-horizontal: right;

            & > Button {
                margin-left: 2;
                min-width: 10;
            }
        }
        .dialog--note {
            width: 100%;
            height: auto;
            display: none;
            &.-told { display: block; margin-top: 1; }
            &.-problem { color: $text-error; text-style: bold; }
        }
        & > .dialog--frame > Footer {
            dock: none;
            margin-top: 1;
            background: transparent;
        }
        &.-ascii > .dialog--frame { border: ascii $primary; }
        &.-low {
            .dialog--content, .dialog--buttons, .dialog--note { margin-top: 0; }
            & > .dialog--frame > Footer { display: none; }
        }
    }
    """

    def __init__(self, title: str) -> None:
        """The title is one sentence; it may name things of the host."""
        super().__init__()
        self.title_text = title

    def compose(self) -> ComposeResult:
        """The frame with what the dialog puts in it."""
        with Vertical(classes="dialog--frame"):
            yield Static(plain(self.title_text), classes="dialog--title")
            yield VerticalScroll(*self.content(), classes="dialog--content", can_focus=False)
            yield Static("", classes="dialog--note")
            if buttons := list(self.buttons()):
                yield Horizontal(*buttons, classes="dialog--buttons")
            yield Footer(show_command_palette=False, compact=True)

    def content(self) -> Iterable[Widget]:
        """What stands between the title and the buttons."""
        return ()

    def buttons(self) -> Iterable[Widget]:
        """For the mouse; each does what a key does, too."""
        return ()

    def tell(self, sentence: str, *, problem: bool = True) -> None:
        """Show one sentence below the content: what is wrong with what was typed, or what is being done. Empty: none."""
        note = self.query_one(".dialog--note", Static)
        note.set_class(bool(sentence), "-told")
        note.set_class(problem, "-problem")
        note.update(plain(sentence))
        self._fit()

    def on_resize(self) -> None:
        """Fit into the terminal."""
        self._fit()

    def on_mount(self) -> None:
        """Draw the frame as the app below draws its own."""
        self.set_class(draws_ascii(self.app), "-ascii")

    def _fit(self) -> None:
        self.set_class(self.size.height < ROOMY, "-low")
        self.call_after_refresh(self._shrink)

    def _shrink(self) -> None:
        """Let the content scroll rather than push buttons off the screen: CSS has no `what the others leave`."""
        if not self.is_attached:
            return
        content = self.query_one(".dialog--content")
        others = [each for each in self.query_one(".dialog--frame").children if each is not content and each.display]
        taken = 2 + sum(each.outer_size.height + each.styles.margin.height for each in others)
        content.styles.max_height = max(self.size.height - taken - content.styles.margin.height, 1)

    def action_close(self) -> None:
        """Leave without a choice."""
        self.finish(None)

    def finish(self, result: Result | None) -> None:
        """Leave with a result. Once: keys that were pressed before the dialog was gone do nothing."""
        if self.is_current:
            self.dismiss(result)
