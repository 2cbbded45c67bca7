"""Saving the report: in which formats, where, and what became of it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Button, Input, Static

from k8sdoctor import render
from k8sdoctor.render.files import SUFFIXES, UnfitPathError, writable, write_all
from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.confirm import ConfirmScreen
from k8sdoctor.tui.screens.dialog import Dialog, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from textual.widget import Widget

    from k8sdoctor.report import Report

SUFFIX = {format_: suffix for suffix, format_ in reversed(SUFFIXES.items())}
"""The suffix of each format."""

_WHAT_FOR = {
    "json": "JSON, for programs",
    "markdown": "Markdown, for a ticket",
    "text": "Text, to read",
    "html": "HTML, one page",
    "yaml": "YAML, easier than JSON",
    "junit": "JUnit XML, for CI",
}


def suggested_name(report: Report) -> str:
    """A file's name without suffix that tells the node and when it was examined, in the words of the report."""
    node = re.sub(r"[^A-Za-z0-9._-]+", "-", report.node).strip("-.") or "node"
    return f"k8sdoctor-{node[:64]}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(report.started_at))}"


def file_names(name: str, formats: Sequence[str]) -> dict[str, str]:
    """The file's name for each format: the one typed where its suffix fits, else with the format's own suffix."""
    typed = Path(name).suffix.lower()
    stem = name[: -len(typed)] if typed in SUFFIXES else name
    return {format_: name if SUFFIXES.get(typed) == format_ else stem + SUFFIX[format_] for format_ in formats}


class SaveScreen(Dialog[list[Path] | None]):
    """Asks for formats and a path, writes, and says where the report went.

    Gives the files written, or None. Looking at the disk and writing happen in a daemon thread: a dead file system holds
    neither the app nor its end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "confirm", "Save"),
        Binding("enter", "confirm", "Save", show=False),
    ]
    AUTO_FOCUS = "Input"

    DEFAULT_CSS = """
    SaveScreen {
        Input { margin-bottom: 1; }
        #files, #outcome { height: auto; margin-top: 1; }
        #outcome { display: none; }
        &.-saved #outcome { display: block; }
        &.-saved .save--form, &.-saved #save { display: none; }
    }
    """

    @dataclass
    class Looked(Message):
        """The disk was looked at: where files would go, which of them are there, or why they cannot go there."""

        attempt: int
        targets: Mapping[str, Path]
        present: tuple[Path, ...] = ()
        problem: str = ""

    @dataclass
    class Written(Message):
        """The files were written, or why not."""

        attempt: int
        paths: list[Path]
        problem: str = ""

    def __init__(self, report: Report, folder: Path | None = None) -> None:
        """The folder is where a relative path begins: by default, where the app was started."""
        super().__init__("Save the report")
        self.report = report
        self.folder = folder or _here()
        self.saved: list[Path] | None = None
        self._attempt = 0  # what an abandoned thread has to say does not concern a later one
        self._busy = False

    def content(self) -> Iterable[Widget]:
        """The form, and in its place afterwards where the report went."""
        yield Static("File (a suffix is added for each format):", classes="save--form")
        yield Input(suggested_name(self.report), id="file", compact=True, classes="save--form")
        yield Static("Formats (space chooses):", classes="save--form")
        yield Choices(_WHAT_FOR, ["json"], several=True, id="formats", classes="save--form")
        yield Static("", id="files", classes="save--form")
        yield Static("", id="outcome")

    def buttons(self) -> Iterable[Widget]:
        """Save, and leave."""
        yield Button("Save", id="save", compact=True, variant="primary")
        yield Button("Cancel", id="close", compact=True)

    # -- what is asked for -------------------------------------------------------------------------------------------------

    def wanted(self) -> dict[str, str]:
        """The absolute path as typed for each format chosen. Raises UnfitPathError."""
        typed = self.query_one(Input).value.strip()
        if not typed:
            raise UnfitPathError("the file needs a name")
        if typed.endswith("/"):
            raise UnfitPathError(f"{typed} is a folder; give a file in it")
        try:
            path = Path(typed).expanduser()
        except RuntimeError:
            raise UnfitPathError(f"nobody here is called {typed.split('/')[0]}") from None
        formats = self.query_one(Choices).chosen
        if not formats:
            raise UnfitPathError("no format is chosen")
        return file_names(str(self.folder / path), formats)

    @on(Input.Changed)
    def choose_by_suffix(self, event: Input.Changed) -> None:
        """Who types `report.md` wants Markdown."""
        event.stop()
        format_ = SUFFIXES.get(Path(event.value.strip()).suffix.lower())
        if format_ is not None:
            self.query_one(Choices).choose(format_)
        self.show_files()

    @on(Choices.Changed)
    def show_files(self) -> None:
        """Say in full which files would be written."""
        if self._busy:
            return
        self.tell("")
        try:
            told = "\n".join(["Will write:", *self.wanted().values()])
        except UnfitPathError as error:
            told = f"Nothing to write: {error}."
        self.query_one("#files", Static).update(plain(told))

    # -- saving ------------------------------------------------------------------------------------------------------------

    @on(Input.Submitted)
    @on(Button.Pressed)
    def take(self, event: Input.Submitted | Button.Pressed) -> None:
        """Enter in the field, or a button."""
        event.stop()
        if isinstance(event, Button.Pressed) and event.button.id == "close":
            self.action_close()
        else:
            self.action_confirm()

    def action_confirm(self) -> None:
        """Look at where the files would go; what comes next is decided by what is there."""
        if self.saved is not None:
            self.action_close()
            return
        if self._busy:
            return
        try:
            wanted = self.wanted()
        except UnfitPathError as error:
            self._tell(f"Not saved: {error}.")
            return
        self._busy = True
        self._wait_for("Looking at the folder")
        self._aside(_look, wanted)

    @on(Looked)
    def decide(self, looked: Looked) -> None:
        """Write at once where no file is lost; else ask."""
        if looked.attempt != self._attempt:
            return
        if looked.problem:
            self._tell(looked.problem)
            return
        if not looked.present:
            self._write(looked.targets, ())
            return

        def answered(overwrite: bool | None) -> None:  # noqa: FBT001 -- textual's callback
            if overwrite:
                self._write(looked.targets, looked.present)
            else:
                self._tell("Nothing was written. Give another name, or save again and say yes.")

        many = len(looked.present) > 1
        self.app.push_screen(
            ConfirmScreen(
                "Overwrite these files?" if many else "Overwrite this file?",
                details="\n".join(map(str, looked.present)),
                careful=True,
            ),
            answered,
        )

    @on(Written)
    def conclude(self, written: Written) -> None:
        """Say where the report went, or why it did not."""
        if written.attempt != self._attempt:
            return
        if written.problem:
            self._tell(written.problem)
            return
        self._busy = False
        self.tell("")
        self.saved = written.paths
        self.add_class("-saved")
        self.query_one("#outcome", Static).update(plain("\n".join(["Saved:", *map(str, written.paths)])))
        close = self.query_one("#close", Button)
        close.label = "Close"
        close.focus()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 -- textual's
        """There is nothing to save any more once it is."""
        return not (action == "confirm" and self.saved is not None)

    def action_close(self) -> None:
        """Leave; what was saved is the result."""
        self.finish(self.saved)

    def _write(self, targets: Mapping[str, Path], replace: Sequence[Path]) -> None:
        self._wait_for("Writing")
        self._aside(_write, targets, self.report, replace)

    def _wait_for(self, what: str) -> None:
        self.tell(f"{what}... (Esc stops waiting)", problem=False)

    def _tell(self, problem: str) -> None:
        self._busy = False
        self.tell(problem)

    def _aside(self, work: Callable[..., Message], *arguments: object) -> None:
        self._attempt += 1
        attempt = self._attempt
        # Not a worker of Textual's: those run in an executor, which Python joins at exit.
        threading.Thread(target=lambda: self.post_message(work(attempt, *arguments)), daemon=True).start()


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # the folder in which we were started is gone
        return Path("/")


def _look(attempt: int, wanted: Mapping[str, str]) -> SaveScreen.Looked:
    try:
        targets = {format_: writable(path) for format_, path in wanted.items()}
        present = tuple(target for target in targets.values() if target.exists())
    except UnfitPathError as error:
        return SaveScreen.Looked(attempt, {}, problem=f"Not saved: {error}.")
    except OSError as error:
        return SaveScreen.Looked(attempt, {}, problem=f"Not saved: {_told(error)}.")
    return SaveScreen.Looked(attempt, targets, present)


def _write(attempt: int, targets: Mapping[str, Path], report: Report, replace: Sequence[Path]) -> SaveScreen.Written:
    try:
        texts = {target: render.report(report, format_) for format_, target in targets.items()}
        write_all(texts, replace)
    except FileExistsError as error:
        told = f"{error.filename} has come to be there meanwhile; save again to be asked about it"
        return SaveScreen.Written(attempt, [], f"Not saved: {told}.")
    except OSError as error:
        return SaveScreen.Written(attempt, [], f"Not saved: {_told(error)}. Nothing is left half-written.")
    except Exception as error:  # noqa: BLE001 -- a renderer's fault must reach the dialog, not end in a dead thread
        return SaveScreen.Written(attempt, [], f"Not saved: a fault of k8sdoctor: {type(error).__name__}: {error}.")
    return SaveScreen.Written(attempt, list(targets.values()))


def _told(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
