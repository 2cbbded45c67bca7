"""A real pseudo-terminal, and a screen that shows what a program paints on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pyte

from tests.lab.node import wait_for

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

WATCHDOG = 60.0


class Terminal:
    """Runs a program on a terminal of its own: `with Terminal(argv) as terminal:`."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        size: tuple[int, int] = (100, 30),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        """Keep what is to be run."""
        self._argv = list(argv)
        self._size = size
        self._env = dict(env or {})
        self._cwd = cwd
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self.written = b""

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._resize(slave)
        self._open = [slave, self._master]
        self._slave = slave  # kept open, so that its settings can be asked for when the program has ended
        self.settings_before = termios.tcgetattr(slave)
        base = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *self._argv],  # the terminal is the program's own, so that a hang-up reaches it
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=base | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | self._env,
            cwd=self._cwd,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WATCHDOG)
        self._close()

    def _close(self) -> None:
        for descriptor in self._open:
            self._open = self._open[1:]
            os.close(descriptor)
            self._reader.join(WATCHDOG)  # after our side of the slave is closed, it reads what is left, and ends

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        self._gone.set()
        self._reader.join(WATCHDOG)
        self._close()

    def _read(self) -> None:
        while not self._gone.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last one who held the other side has closed it
                return
            if not data:
                return
            with self._lock:
                self.written += data
                self._stream.feed(data)

    def _resize(self, descriptor: int) -> None:
        columns, lines = self._size
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def text(self) -> str:
        """What the screen shows."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def settings(self) -> list[Any]:
        """The terminal's settings: echo, line mode and the like."""
        return termios.tcgetattr(self._slave)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def see(self, *texts: str) -> str:
        """Wait until the screen shows all of the texts."""
        try:
            return wait_for(lambda: shown if all(text in (shown := self.text) for text in texts) else None, str(texts))
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen shows:\n{self.text}") from None

    def end(self) -> tuple[int, float]:
        """Wait for the program's end: its exit code, and how long that took."""
        begun = time.monotonic()
        code = self.process.wait(WATCHDOG)
        return code, time.monotonic() - begun

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        self.process.send_signal(number)
