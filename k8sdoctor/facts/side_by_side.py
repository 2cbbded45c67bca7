"""Probes that wait for different peers, waiting at the same time."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def side_by_side(probes: Sequence[Callable[[], T]], at_once: int | None = None) -> list[T]:
    """What each probe gives, in their order; called in threads, no more than `at_once` of them. Raises the first probe's error, if any.

    The threads are daemons: a probe that hangs must not keep the process from ending.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    waiting = deque(range(len(probes)))

    def work() -> None:
        with suppress(IndexError):  # none is left
            while True:
                number = waiting.popleft()
                try:
                    results[number] = probes[number]()
                except BaseException as error:  # noqa: BLE001 -- carried over to the caller's thread
                    errors[number] = error

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once or len(probes), len(probes)))]
    started = []
    with suppress(RuntimeError):  # the node is out of processes: those that there are do all of it, or we ourselves
        for thread in threads:
            thread.start()
            started.append(thread)
    if not started:
        work()
    for thread in started:
        thread.join()
    # What is no Exception first: a probe of a recorded run that had not ended. All of the others waited for it.
    for number in sorted(errors, key=lambda number: (isinstance(errors[number], Exception), number)):
        raise errors[number]
    return [results[number] for number in range(len(probes))]
