"""Threads that share the work of a run."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.host import workers
from k8sdoctor.host.workers import Workers, current, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG = 60
"""Seconds that no test waits unless it fails."""


@pytest.fixture
def two() -> Iterator[Workers]:
    """Workers with two slots."""
    made = Workers(2)
    yield made
    made.close()


@pytest.fixture
def one() -> Iterator[Workers]:
    """Workers with one slot."""
    made = Workers(1)
    yield made
    made.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def done_by(crew: Workers, *works: Callable[[], object]) -> None:
    """Have works done, and wait for all of them."""
    left = threading.Semaphore(0)

    def told(work: Callable[[], object]) -> Callable[[], None]:
        def tell() -> None:
            work()
            left.release()

        return tell

    for work in works:
        crew.do(told(work))
    for _ in works:
        assert left.acquire(timeout=LONG)


def beside(crew: Workers, work: Callable[[], object], *, alone: bool = False) -> None:
    """Have work done beside us, and wait for it."""
    done = threading.Event()

    def tell() -> None:
        work()
        done.set()

    crew.beside(tell, alone=alone)
    assert done.wait(LONG)


def test_no_more_compute_at_a_time_than_there_are_slots(two: Workers) -> None:
    at_work: list[int] = []
    most: list[int] = []

    def work() -> None:
        at_work.append(1)
        for _ in range(100):
            most.append(len(at_work))
            time.sleep(0)  # gives others the chance to be there, too
        at_work.pop()

    done_by(two, *[work] * 20)

    assert max(most) <= 2


def test_whoever_waits_for_a_peer_lends_its_slot(one: Workers) -> None:
    all_of_them = threading.Barrier(8)

    def work() -> None:
        with waiting():
            all_of_them.wait(LONG)

    done_by(one, *[work] * 8)

    assert not all_of_them.broken


def test_a_slot_that_was_lent_counts_again_afterwards(one: Workers) -> None:
    begun, back, third = threading.Event(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def first() -> None:
        with waiting():
            assert begun.wait(LONG)
        back.set()
        until(lambda: bool(seen))

    def second() -> None:
        begun.set()
        assert back.wait(LONG)  # the first one goes on beside us
        one.do(third.set)
        seen.append(third.is_set())

    done_by(one, first, second)

    assert seen == [False]
    assert third.wait(LONG)


def test_work_that_hangs_without_a_word_keeps_its_slot_and_makes_room(one: Workers) -> None:
    hangs, done = threading.Event(), threading.Event()
    one.do(lambda: hangs.wait(LONG))
    one.do(done.set)
    assert not done.is_set()

    def relieved() -> bool:
        one.relieve()
        return done.is_set()

    until(relieved)
    hangs.set()


class Clock:
    """Stands in for the module `time`."""

    def __init__(self, crew: Workers) -> None:
        self.now, self.used = crew._looked

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.used


@pytest.mark.parametrize(("computing", "looks"), [(0.0, 1), (0.1, 1), (0.5, 7), (1.0, 7)])
def test_work_makes_room_soon_where_it_hangs_and_later_where_it_computes(
    one: Workers, monkeypatch: pytest.MonkeyPatch, computing: float, looks: int
) -> None:
    clock = Clock(one)
    monkeypatch.setattr(workers, "time", clock)
    goes_on, done = threading.Event(), threading.Event()
    one.do(lambda: goes_on.wait(LONG))
    one.do(done.set)

    def look() -> None:
        clock.now += 2 * workers.LOOK
        clock.used += 2 * workers.LOOK * computing
        one.relieve()

    for _ in range(looks - 1):
        look()
        assert one._slots == 1
    look()

    assert one._slots == 2
    assert done.wait(LONG)
    goes_on.set()


def test_nobody_is_relieved_where_no_work_waits(one: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(one)
    monkeypatch.setattr(workers, "time", clock)
    goes_on = threading.Event()
    one.do(lambda: goes_on.wait(LONG))

    clock.now += 60
    one.relieve()

    assert one._slots == 1
    goes_on.set()


def test_what_is_urgent_is_done_first_and_the_rest_in_its_order(one: Workers) -> None:
    gate, ended = threading.Event(), threading.Event()
    order: list[str] = []
    one.do(lambda: gate.wait(LONG))
    for name, urgency in (("first", 0), ("second", 0), ("last", -1), ("urgent", 3)):
        one.do(partial(order.append, name), urgency)
    one.do(ended.set, -2)

    gate.set()

    assert ended.wait(LONG)
    assert order == ["urgent", "first", "second", "last"]


def test_a_thread_without_work_takes_the_next_one(one: Workers) -> None:
    threads: list[int] = []

    done_by(one, lambda: threads.append(threading.get_ident()))
    until(lambda: one._idle == 1)
    done_by(one, lambda: threads.append(threading.get_ident()))
    until(lambda: one._idle == 1)
    beside(one, lambda: threads.append(threading.get_ident()))

    assert len(set(threads)) == 1


def test_work_that_must_be_alone_has_a_thread_that_ends_with_it(one: Workers) -> None:
    threads: list[threading.Thread] = []
    done_by(one, lambda: threads.append(threading.current_thread()))
    until(lambda: one._idle == 1)

    beside(one, lambda: threads.append(threading.current_thread()), alone=True)

    threads[1].join(LONG)
    assert [thread.is_alive() for thread in threads] == [True, False]


def test_work_beside_its_caller_has_the_slot_of_the_caller(one: Workers) -> None:
    seen: list[float] = []

    done_by(one, lambda: beside(current(), lambda: seen.append(one._taken)))

    assert seen == [1]


def test_all_threads_end_when_they_are_told_to() -> None:
    crew = Workers(4)
    threads: list[threading.Thread] = []
    meet = threading.Barrier(4)

    def work() -> None:
        threads.append(threading.current_thread())
        meet.wait(LONG)

    done_by(crew, *[work] * 4)
    crew.close()

    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_of_no_run_end_with_their_work() -> None:
    threads: list[threading.Thread] = []

    side_by_side([lambda: threads.append(threading.current_thread())] * 3)

    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(LONG)
            assert not thread.is_alive()


def test_without_a_thread_to_be_had_all_is_done_by_the_caller(one: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    done: list[int] = []

    for number in range(3):
        one.do(partial(done.append, number))

    assert done == [0, 1, 2]
    assert one._taken == 0
    with pytest.raises(RuntimeError, match="thread"):
        one.beside(lambda: None)


def test_work_is_never_the_callers_own_while_a_thread_is_to_be_had() -> None:
    """What hangs would hang whoever waits for the deadline."""
    asked, left, back = threading.Event(), threading.Event(), threading.Event()
    doers: list[threading.Thread] = []
    caller = threading.current_thread()

    class Unlucky(Workers):
        """The slot becomes free in the very moment in which the caller has found none."""

        def _fill(self) -> bool:
            found = super()._fill()
            if threading.current_thread() is caller and self._queue:
                asked.set()
                assert left.wait(LONG)
            return found

        def _leave(self) -> None:
            super()._leave()
            if not left.is_set() and threading.current_thread() is not caller:
                left.set()
                assert back.wait(LONG)

    crew, done = Unlucky(1), threading.Event()

    def told() -> None:
        doers.append(threading.current_thread())
        done.set()

    crew.do(lambda: asked.wait(LONG))
    crew.do(told)
    back.set()

    assert done.wait(LONG)
    assert doers != [caller]
    crew.close()


def test_slots_are_added_to_those_that_are_held_and_not_to_those_that_there_were(one: Workers) -> None:
    waits, hangs, done = threading.Event(), threading.Event(), threading.Event()
    waiting_, back = threading.Semaphore(0), threading.Semaphore(0)

    def hang_after_waiting() -> None:
        with waiting():
            waiting_.release()
            assert waits.wait(LONG)
        back.release()
        hangs.wait(LONG)

    for _ in range(5):
        one.do(hang_after_waiting)
    for _ in range(5):
        assert waiting_.acquire(timeout=LONG)
    waits.set()
    for _ in range(5):
        assert back.acquire(timeout=LONG)

    one.add(1)
    one.do(done.set)

    assert done.wait(LONG)
    hangs.set()


def test_a_slot_is_free_again_where_the_caller_itself_was_interrupted(
    one: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", refused)

    with pytest.raises(KeyboardInterrupt):
        one.do(interrupted)

    assert one._taken == 0


def test_probes_of_a_run_with_one_slot_wait_at_the_same_time(one: Workers) -> None:
    meet = threading.Barrier(5)
    found: list[list[int]] = []

    def probe(number: int) -> int:
        with waiting():
            meet.wait(LONG)
        return number

    done_by(one, lambda: found.append(side_by_side([partial(probe, number) for number in range(5)])))

    assert found == [[0, 1, 2, 3, 4]]


def test_a_thread_that_may_be_in_another_namespace_starts_none_of_the_others(
    one: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    starters: list[threading.Thread] = []
    plain = threading.Thread.start

    def start(self: threading.Thread) -> None:
        starters.append(threading.current_thread())
        plain(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    away: list[threading.Thread] = []
    ran: list[threading.Thread] = []
    begun, ended = threading.Event(), threading.Event()

    def other() -> None:
        ran.append(threading.current_thread())
        ended.set()

    def abroad() -> None:
        away.append(threading.current_thread())
        one.do(other)
        begun.set()
        with waiting():
            assert ended.wait(LONG)

    one.do(lambda: beside(one, abroad, alone=True))
    assert begun.wait(LONG)

    def relieved() -> bool:
        one.relieve()
        return ended.is_set()

    until(relieved)
    assert away[0] not in [*starters, *ran]


def test_what_a_thread_in_another_namespace_starts_for_itself_stays_there_and_ends(one: Workers) -> None:
    threads: list[threading.Thread] = []

    def abroad() -> None:
        beside(one, lambda: threads.append(threading.current_thread()))

    beside(one, abroad, alone=True)

    threads[0].join(LONG)
    assert not threads[0].is_alive()
