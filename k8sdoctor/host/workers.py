"""Threads that share the work of a run: few compute at a time, and any number of them wait for a peer meanwhile.

Python lets one thread run at a time and changes hands whenever one calls the system. A hundred threads that each read some small files
change hands ten thousand times, which is a fifth of a run's CPU. So work stands in a queue until a slot is free, and whoever waits for a peer
says so (`waiting`): its slot is another's as long.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Work: TypeAlias = "Callable[[], object]"
"""What is to be done. It raises nothing: whoever wants to know how it ended keeps that inside."""

LOOK = 0.02
"""Seconds after which it is looked at again whether those who hold the slots do anything."""

AT_WORK = 0.2
"""The part of that time for which the process must have computed; with less, somebody hangs in the kernel."""

LONG = 0.25
"""Seconds that work may wait behind work that computes and computes, until both share the processor."""

_mine = threading.local()


class Workers:
    """Threads, as many as are needed, that do work in slots.

    All are daemons: one that hangs in the kernel (a dead network file system) keeps no process from its end.
    """

    def __init__(self, slots: float = math.inf, *, keep: bool = True) -> None:
        """At most `slots` compute at a time. Threads that have nothing to do are kept for the next work until `close`, or not at all."""
        self._slots = slots
        self._keep = keep
        self._lock = threading.Lock()
        self._queue: list[tuple[float, int, Work]] = []  # a heap
        self._numbers = itertools.count()
        self._taken = 0
        self._idle = 0
        self._handed: SimpleQueue[tuple[Work, bool] | None] = SimpleQueue()
        self._looked = time.monotonic(), time.process_time()
        self._begun = self._looked[0]  # when work was last taken from the queue

    def do(self, work: Work, urgency: float = 0) -> None:
        """Have it done when a slot is free: the most urgent first, else in their order."""
        with self._lock:
            heapq.heappush(self._queue, (-urgency, next(self._numbers), work))
        if self._fill():
            return
        while not (_away() or self._taken) and (mine := self._next()) is not None:  # no thread is to be had
            try:
                mine()  # slower, yet whole
            finally:
                self._leave()

    def beside(self, work: Work, *, alone: bool = False) -> None:
        """Have it done at once in another thread, in the slot of the caller, who waits for it.

        `alone`: by a thread that does nothing else, for it may go where it does not come back from: into another network namespace.
        Raises RuntimeError where the node is out of processes.
        """
        self._start(work, slot=False, alone=alone or _away())

    def relieve(self) -> None:
        """Make one more slot if work waits while nobody computes, or for long: to be called every now and then.

        Who holds the slots then hangs in the kernel, waits without saying so, or has much to compute.
        """
        now, used = time.monotonic(), time.process_time()
        seconds = now - self._looked[0]
        if seconds < LOOK:
            return
        at_work = used - self._looked[1] > AT_WORK * seconds
        self._looked = now, used
        self._fill()
        if self._queue and (not at_work or now - self._begun > LONG):
            with self._lock:
                self._slots += 1
            self._fill()

    def add(self, slots: int) -> None:
        """So many slots more, whoever holds the others: more may be held than there were, for who has waited goes on at once."""
        with self._lock:
            self._slots = max(self._slots, self._taken) + slots
        self._fill()

    def close(self) -> None:
        """Let each thread end when it has done what it is at."""
        with self._lock:
            self._keep = False
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._handed.put(None)

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _next(self) -> Work | None:
        """The most urgent work, with a slot for it; None if there is none of either."""
        with self._lock:
            if not self._queue or self._taken >= self._slots:
                return None
            self._taken += 1
            self._begun = time.monotonic()
            return heapq.heappop(self._queue)[-1]

    def _fill(self) -> bool:
        """Have a thread for each slot that is free, as far as work waits. False where no thread is to be had."""
        while (work := self._next()) is not None:
            try:
                self._start(work, slot=True)
            except RuntimeError:  # out of processes, or away: the threads that there are do all of it
                with self._lock:
                    heapq.heappush(self._queue, (-math.inf, next(self._numbers), work))
                self._leave()
                return False
        return True

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1

    # -- threads -------------------------------------------------------------------------------------------------------

    def _start(self, work: Work, *, slot: bool, alone: bool = False) -> None:
        with self._lock:
            idle = self._idle > 0 and not alone
            self._idle -= idle
        if idle:
            self._handed.put((work, slot))
        elif _away() and not alone:
            raise RuntimeError("a thread is in the namespaces of who starts it (clone(2)), and these are not ours")
        else:
            threading.Thread(target=self._live, args=(work, slot, alone), daemon=True).start()

    def _live(self, work: Work, slot: bool, alone: bool) -> None:  # noqa: FBT001 -- called by Thread alone
        _mine.workers, _mine.away = self, alone
        following: tuple[Work, bool] | None = (work, slot)
        while following is not None:
            work, slot = following
            work()
            if slot:
                self._leave()
            following = None if alone else self._following()

    def _following(self) -> tuple[Work, bool] | None:
        work = self._next()
        if work is not None:
            return work, True
        with self._lock:
            if not self._keep:
                return None
            self._idle += 1
        return self._handed.get()

    # -- waiting -------------------------------------------------------------------------------------------------------

    def lend(self) -> None:
        """The caller waits from now on."""
        self._leave()
        if self._queue:
            self._fill()

    def take_back(self) -> None:
        """The caller waits no more, and goes on at once: it may hold what others wait for."""
        with self._lock:
            self._taken += 1


_STRANGERS = Workers(keep=False)


def _away() -> bool:
    """Whether this thread may be in another network namespace than the process."""
    return getattr(_mine, "away", False)


def current() -> Workers:
    """The workers that this thread belongs to. A thread that no run has started belongs to those that have a slot for everybody."""
    mine: Workers = getattr(_mine, "workers", _STRANGERS)
    return mine


class waiting:  # noqa: N801 -- `with waiting():` reads as it is meant
    """While the body waits for a peer, another may compute."""

    __slots__ = ("_workers",)

    def __enter__(self) -> None:
        """Lend the slot."""
        self._workers = current()
        self._workers.lend()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have it back."""
        self._workers.take_back()
