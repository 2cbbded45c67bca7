"""Painting on a terminal that is gone."""

from __future__ import annotations

import os
import threading
from typing import IO, Any, cast

from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from k8sdoctor.tui.driver import Lasting
from tests.tui.terminal import WATCHDOG


def test_painting_comes_to_an_end_though_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    painter = WriterThread(cast("IO[str]", Lasting(os.fdopen(writer, "w", closefd=False))))
    painter.start()

    def paint() -> None:
        for _ in range(2 * MAX_QUEUED_WRITES):
            painter.write("x" * 10_000)
        painter.stop()

    painting = threading.Thread(target=paint, daemon=True)
    painting.start()
    painting.join(WATCHDOG)

    assert not painting.is_alive()
    assert not painter.is_alive()


def test_the_file_is_the_terminal_in_all_else() -> None:
    with open(os.devnull, "w") as file:  # noqa: PTH123 -- as Textual's own is open
        lasting: Any = Lasting(file)
        assert lasting.fileno() == file.fileno()
        assert lasting.write("abc") == 3
        lasting.flush()
