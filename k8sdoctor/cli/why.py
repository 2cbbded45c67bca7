"""`k8sdoctor why`: what is known about lines of a log."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from k8sdoctor import registry
from k8sdoctor.cli import terminal
from k8sdoctor.cli.values import WrongUsageError
from k8sdoctor.documentation import Documentation
from k8sdoctor.render import why as render
from k8sdoctor.troubles import NotALogError, Troubles, lines_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

FOUND = 0
NOTHING_FOUND = 1  # as grep
UNREADABLE = 3
INTERRUPTED = 130

_STDIN = "-"


def why(arguments: argparse.Namespace) -> int:
    """Recognise what was given: text, files, or stdin; and return the exit code."""
    files, texts = _told_apart(arguments.what)
    seen = Troubles()
    code = FOUND
    try:
        if texts:
            seen.read("", " ".join(texts).split("\n"))
        for path in files:
            trouble = _read(seen, path, named=len(files) > 1 or bool(texts))
            if trouble:
                terminal.remark(f"k8sdoctor: {path}: {trouble}")
                code = UNREADABLE
    except KeyboardInterrupt:  # `journalctl -f | k8sdoctor why` ends so, and what was seen is worth telling
        code = INTERRUPTED
    style = terminal.style_of(terminal.stdout(), colour=not arguments.no_color)
    documented = _documented(check for trouble in seen.told() for check in trouble.checks)
    shown = render.document(seen, documented) if arguments.output == "json" else render.text(seen, documented, style)
    unwritten = terminal.show(shown)
    if unwritten is not None:
        terminal.remark(f"k8sdoctor: the output could not be written: {unwritten}")
        return UNREADABLE
    return code or (FOUND if seen.known else NOTHING_FOUND)


def _told_apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files and text. Raises WrongUsageError for a file that cannot be read, and for a word that can only be meant for one."""
    files, texts = [], []
    for word in words:
        kind = _kind(word)
        if word == _STDIN or kind is not None:
            _refuse(word, kind)
            files.append(word)
        elif (" " not in word and word.startswith(("/", "./", "../", "~"))) or word.endswith((".log", ".txt", ".gz")):
            raise WrongUsageError(f"{word}: No such file or directory; see k8sdoctor why --help")
        else:
            texts.append(word)
    if not words:
        files = [_STDIN]
    return files, texts


def _kind(word: str) -> int | None:
    try:
        return Path(word).stat().st_mode
    except (OSError, ValueError):  # a whole log as one word is no name of a file
        return None


def _refuse(word: str, kind: int | None) -> None:
    if word == _STDIN:
        return
    if kind is not None and stat.S_ISDIR(kind):
        raise WrongUsageError(f"{word} is a folder; name the files in it that are logs")
    if kind is not None and stat.S_ISBLK(kind):
        raise WrongUsageError(f"{word} is a disk, and no log")
    if not os.access(word, os.R_OK):
        raise WrongUsageError(f"{word}: Permission denied")


def _read(seen: Troubles, path: str, *, named: bool) -> str | None:
    """Go through a file; what kept us from its end, or None."""
    name = ("stdin" if path == _STDIN else path) if named else ""
    try:
        if path != _STDIN:
            with Path(path).open("rb", buffering=0) as file:
                seen.read(name, lines_of(file))
            return None
        if sys.stdin is None:
            return "it is closed"
        if sys.stdin.isatty():
            terminal.remark(
                "Paste the lines, then press Enter and Ctrl-D. (A terminal cuts lines at 4,095 characters.)"
            )
        seen.read(name, lines_of(sys.stdin.buffer))
    except NotALogError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _documented(ids: Iterable[str]) -> dict[str, Documentation]:
    """The documentation of the checks, as far as they load."""
    wanted = frozenset(ids)
    if not wanted:
        return {}
    with terminal.quiet_stdout():
        known = registry.load(only=wanted, plug_ins=False)
    return {entry.check.id: Documentation.of(entry.check) for entry in known.entries if entry.check.id in wanted}
