"""The terminal that the app paints on; it may go while the app is open."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class TerminalDriver(LinuxDriver):
    """Textual's own, painting into the void when the terminal is gone.

    Textual writes in a thread, by way of a short queue. If the thread fell over, the app would wait for room in that queue
    for ever: nothing could make it end, and nobody would see that it runs.
    """

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        """As Textual makes it."""
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", Lasting(cast("IO[str]", self._file)))


class Lasting:
    """A file to which everything can be written, always."""

    def __init__(self, file: IO[str]) -> None:
        """Of a file that may break."""
        self._file = file

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
