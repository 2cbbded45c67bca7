"""Probes that wait for different peers, waiting at the same time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def side_by_side(probes: Sequence[Callable[[], T]]) -> list[T]:
    """What each probe gives, in their order; each is called in a thread of its own. Raises the first probe's error, if any.

    The threads are daemons: a probe that hangs must not keep the process from ending.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def work(number: int) -> None:
        try:
            results[number] = probes[number]()
        except BaseException as error:  # noqa: BLE001 -- carried over to the caller's thread
            errors[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(probes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in sorted(errors):
        raise errors[number]
    return [results[number] for number in range(len(probes))]
