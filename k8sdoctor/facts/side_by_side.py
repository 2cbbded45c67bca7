"""Probes that wait for different peers, waiting at the same time."""

from __future__ import annotations

import math
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from k8sdoctor.host.workers import current, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def side_by_side(probes: Sequence[Callable[[], T]], at_once: int | None = None) -> list[T]:
    """What each probe gives, in their order; called in threads, no more than `at_once` of them. Raises the first probe's error, if any."""
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    left = deque(range(len(probes)))
    ended = threading.Event()

    def work() -> None:
        with suppress(IndexError):  # none is left
            while True:
                number = left.popleft()
                try:
                    results[number] = probes[number]()
                except BaseException as error:  # noqa: BLE001 -- carried over to the caller's thread
                    errors[number] = error
                if len(results) + len(errors) == len(probes):
                    ended.set()

    for _ in range(min(at_once or len(probes), len(probes)) - 1):
        current().do(work, urgency=math.inf)  # the caller holds a slot until all of them have ended
    work()  # we ourselves are one of them, and where no thread is to be had, all
    if probes:
        with waiting():
            ended.wait()
    # What is no Exception first: a probe of a recorded run that had not ended. All of the others waited for it.
    for number in sorted(errors, key=lambda number: (isinstance(errors[number], Exception), number)):
        raise errors[number]
    return [results[number] for number in range(len(probes))]
