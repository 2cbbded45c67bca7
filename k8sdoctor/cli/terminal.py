"""Where output goes: what the terminal can show, progress on stderr, a report to stdout."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

from k8sdoctor.render.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rich.progress

PIPED_WIDTH = 80
NARROWEST = 40
WIDEST = 100  # longer lines are hard to read

_CLEAR_LINE = "\r\x1b[K"

# What our own sentences may hold, for terminals that cannot show it. Anything else is escaped.
_ASCII = str.maketrans(
    {"…": "...", "→": "->", "·": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "≥": ">=", "≤": "<=", "“": '"', "”": '"'}
)


def style_of(stream: TextIO | None, *, colour: bool = True) -> Style:
    """How to write on a stream: width, colour and symbols only where a terminal shows them."""
    shown = _is_terminal(stream)
    return Style(
        width=_width(stream) if shown else PIPED_WIDTH,
        colour=shown and colour and not os.environ.get("NO_COLOR"),
        symbols=("unicode" if _shows_unicode(stream) else "ascii") if shown else "none",
    )


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _width(stream: TextIO | None) -> int:
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdecimal() else 0
    if not width and stream is not None:
        with contextlib.suppress(OSError, ValueError):
            width = os.get_terminal_size(stream.fileno()).columns
    return min(max(width or PIPED_WIDTH, NARROWEST), WIDEST)


def _shows_unicode(stream: TextIO | None) -> bool:
    # Python speaks UTF-8 in the C locale (PEP 538, PEP 540), but a terminal set up for that locale need not.
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    return locale not in ("C", "POSIX") and (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def encodable(text: str, encoding: str) -> str:
    """The text with what the encoding lacks written in ASCII, so that writing it cannot fail."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text


def remark(text: str) -> None:
    """Tell a person something that is no part of the report."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(encodable(text.rstrip("\n"), sys.stderr.encoding or "ascii") + "\n")
        sys.stderr.flush()


def show(text: str) -> str | None:
    """Write to stdout. What went wrong, or None: a reader that has seen enough is nothing wrong."""
    if sys.stdout is None:
        return "stdout is closed"
    try:
        sys.stdout.write(encodable(text, sys.stdout.encoding or "ascii"))
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except (OSError, ValueError) as error:
        _forget_stdout()
        return (error.strerror if isinstance(error, OSError) else None) or str(error)
    return None


def _forget_stdout() -> None:
    """Let nothing that is still buffered be tried again, which would raise again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class Progress:
    """What a run waits for, and how far it has come: on stderr, only on a terminal, and gone afterwards."""

    def __init__(self, *, colour: bool = True) -> None:
        """Write nothing yet."""
        self._shown = _is_terminal(sys.stderr)
        self._colour = colour
        self._dirty = False
        self._bars: rich.progress.Progress | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def advanced(self, what: str, done: int, of: int) -> None:
        """Show a bar for what is looked at, next to those for other things."""
        if not self._shown:
            return
        if self._bars is None:
            self.erase()
            self._bars = _bars(style_of(sys.stderr, colour=self._colour))
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._tasks[what], completed=done, total=of, refresh=True)

    def waiting(self, names: tuple[str, ...], seconds: float) -> None:
        """Replace the line. Bars say more than that."""
        if not self._shown or not names or self._bars is not None:
            return
        style = style_of(sys.stderr)
        line = f"waiting for {', '.join(names)} ({seconds:.0f} s)..."
        if len(line) >= style.width:
            tail = f" ({seconds:.0f} s)..."
            line = line[: style.width - 1 - len(tail) - 4].rstrip(", ") + " ..." + tail
        self._write(_CLEAR_LINE + line)
        self._dirty = True

    def erase(self) -> None:
        """Leave no trace."""
        if self._bars is not None:
            with contextlib.suppress(OSError, ValueError):
                self._bars.stop()
            self._bars = None
        if self._dirty:
            self._write(_CLEAR_LINE)
            self._dirty = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _bars(style: Style) -> rich.progress.Progress:
    """Bars that are drawn when they are told something, and wiped away in the end. Only here is rich's drawing imported."""
    import rich.console
    import rich.progress

    class AsciiConsole(rich.console.Console):
        @property
        def encoding(self) -> str:
            return "ascii"

    make = AsciiConsole if style.symbols == "ascii" else rich.console.Console
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        console=make(file=sys.stderr, no_color=not style.colour, highlight=False),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """What a plug-in prints goes to stderr, so that stdout holds the report and nothing else."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def stdout() -> TextIO | None:
    """This process' stdout; None when it was started without one."""
    return sys.stdout
