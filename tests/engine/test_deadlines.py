"""When a run ends: at its deadline, with what may outlast it, or when a person interrupts it; and what that person is told meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest

from k8sdoctor import Finding, Status, Unobserved, check, engine, passed, warn
from k8sdoctor.engine import Event, Finished, Late, Request, Started
from k8sdoctor.facts import stage
from k8sdoctor.host import Host  # noqa: TC001 -- resolved at run time
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import FakeHost
from tests.engine.samples import NODE, Hung, Name, hanging, long, named, outcome, released, run

if TYPE_CHECKING:
    from k8sdoctor.host.answers import Identity


@check("half-hanging", title="Nothing hangs", area="test")
def half_hanging(hung: Hung | Unobserved, name: Name) -> Iterator[Finding]:
    yield warn("Half", f"{name.text}: {hung.reason if isinstance(hung, Unobserved) else 'all'}")


@check("endless", title="The check ends", area="test")
def endless(name: Name) -> Iterator[Finding]:
    released.wait(60)
    yield passed("Fine", "It ended.")


def test_a_fact_that_hangs_is_unknown_at_the_deadline_and_the_rest_is_whole() -> None:
    report = run(NODE, hanging, half_hanging, named, deadline=2.0)

    assert outcome(report) == {
        "hanging": (Status.UNKNOWN, "DeadlineExceeded"),
        "half-hanging": (Status.WARN, "Half"),
        "named": (Status.PASS, "Named"),
    }
    assert "node1: DeadlineExceeded" in report.results[0].findings[0].message
    assert "--deadline gives more" in report.results[1].findings[0].message


@dataclass(frozen=True)
class Crowded:
    """Looks on and on, at one thing after the other."""

    @classmethod
    def observe(cls, host: Host) -> Self:
        looking.append(threading.current_thread())
        while not released.is_set():
            host.stat("/")
        return cls()


@check("crowded", title="All of a crowd is seen", area="test")
def crowded(crowd: Crowded) -> Iterator[Finding]:
    yield passed("Seen", "All were seen.")


looking: list[threading.Thread] = []


def test_a_fact_that_is_late_on_a_live_node_looks_no_more_once_the_run_is_over() -> None:
    report = engine.run(LiveHost(), [crowded], Request(named=("crowded",), deadline=0.2))

    assert [finding.reason for finding in report.results[0].findings] == ["DeadlineExceeded"]
    assert report.node
    looking[-1].join(60)
    assert not looking[-1].is_alive()


def test_a_check_that_does_not_end_is_unknown_at_the_deadline() -> None:
    report = run(NODE, endless, named, deadline=2.0)

    assert outcome(report) == {"endless": (Status.UNKNOWN, "DeadlineExceeded"), "named": (Status.PASS, "Named")}


class Nameless(FakeHost):
    """Its name is in a file that hangs."""

    def identity(self) -> Identity:
        released.wait(60)
        return super().identity()


def test_a_host_whose_name_hangs_has_none_at_the_deadline_and_the_rest_is_whole() -> None:
    report = run(Nameless({"/etc/name": "node1\n"}), named, deadline=2.0)

    assert not released.is_set()
    assert report.node == "unknown"
    assert outcome(report) == {"named": (Status.PASS, "Named")}


def test_a_stage_that_hangs_keeps_no_check_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.Stage, "observe", classmethod(lambda _cls, _host: released.wait(60)))

    report = run(NODE, named, long, deadline=3.0)

    assert outcome(report) == {"named": (Status.PASS, "Named"), "long": (Status.PASS, "Long")}
    assert (report.stage, report.profile) == ("unknown", "node")


def test_a_person_is_told_what_a_run_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LATE", 0.0)
    late: list[Late] = []

    def listen(event: Event) -> None:
        if isinstance(event, Late):
            late.append(event)
            if event.waiting_for == ("hung",):  # the others are on their way yet, when the machine is slow
                released.set()

    report = engine.run(NODE, [hanging], on_event=listen)

    assert late[-1].waiting_for == ("hung",)
    assert report.count(Status.PASS) == 1


def test_events_tell_of_the_start_and_the_end_of_each_check() -> None:
    events: list[Event] = []

    engine.run(NODE, [named, long], on_event=events.append)

    assert {event.check for event in events if isinstance(event, Started)} == {"named", "long"}
    assert {event.result.check for event in events if isinstance(event, Finished)} == {"named", "long"}


def test_an_interrupted_run_tells_what_is_known() -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Finished) and event.result.check == "named":
            raise KeyboardInterrupt

    report = engine.run(NODE, [named, hanging], on_event=interrupt)

    assert outcome(report) == {"named": (Status.PASS, "Named"), "hanging": (Status.UNKNOWN, "DeadlineExceeded")}
    assert "interrupted" in report.results[0].findings[0].message
    assert report.interrupted
    assert report.exit_code() == 130


@dataclass(frozen=True)
class Interrupted:
    @classmethod
    def observe(cls, host: Host) -> Self:
        signal.raise_signal(signal.SIGINT)
        return cls()


@check("interrupted", title="Nobody interrupts", area="test")
def interrupted(fact: Interrupted) -> Iterator[Finding]:
    yield passed("Fine", "Nobody did.")


def test_an_interruption_ends_a_run_that_has_no_threads_and_is_no_bug_of_what_it_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)

    report = run(NODE, interrupted)

    assert report.interrupted
    assert not report.broken


# -- what takes as long as it is long ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lasting:
    lasting = True

    number: int = 0

    @classmethod
    def observe(cls, host: Host) -> Self:
        for done in (1, 2, 3):
            host.advanced("steps", done, 3)
        released.wait(0.6)
        return cls(3)


@dataclass(frozen=True)
class AfterLasting:
    number: int

    @classmethod
    def observe(cls, host: Host, lasting: Lasting) -> Self:
        return cls(lasting.number + 1)


@check("lasting", title="It is long", area="test", profiles=frozenset())
def lasting(fact: AfterLasting) -> Iterator[Finding]:
    yield passed("Seen", f"It came to {fact.number}.")


def test_a_lasting_fact_outlasts_the_deadline_and_one_that_hangs_does_not() -> None:
    report = engine.run(
        FakeHost(), [lasting, hanging], Request(named=("lasting", "hanging"), deadline=0.2, lifted=True)
    )

    assert {result.check: result.findings[0].reason for result in report.results} == {
        "lasting": "Seen",
        "hanging": "DeadlineExceeded",
    }


@dataclass(frozen=True)
class SlowAfterLasting(AfterLasting):
    @classmethod
    def observe(cls, host: Host, lasting: Lasting) -> Self:
        released.wait(0.6)
        return cls(lasting.number + 1)


@check("lasting-slowly", title="It is long", area="test", profiles=frozenset())
def lasting_slowly(fact: SlowAfterLasting) -> Iterator[Finding]:
    yield passed("Seen", f"It came to {fact.number}.")


def test_what_is_made_of_a_lasting_fact_is_not_lost_where_it_takes_longer_than_the_deadline() -> None:
    report = engine.run(FakeHost(), [lasting_slowly], Request(named=("lasting-slowly",), deadline=0.01, lifted=True))

    assert [result.findings[0].message for result in report.results] == ["It came to 4."]


def test_a_lasting_fact_ends_with_a_deadline_that_was_meant() -> None:
    report = engine.run(FakeHost(), [lasting], Request(named=("lasting",), deadline=0.2))

    assert [result.findings[0].reason for result in report.results] == ["DeadlineExceeded"]


@dataclass(frozen=True)
class Interruptible:
    interruptible = True

    number: int = 0

    @classmethod
    def observe(cls, host: Host) -> Self:
        host.advanced("steps", 1, 9)
        return cls(7 if host.stopping.wait(5) else 0)


@check("interruptible", title="It ends when it is told to", area="test")
def interruptible(fact: Interruptible) -> Iterator[Finding]:
    yield passed("Seen", f"It came to {fact.number}.")


def test_an_interruption_lets_a_look_that_heeds_it_hand_out_what_it_has() -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, engine.Advanced):
            raise KeyboardInterrupt

    report = engine.run(FakeHost(), [interruptible], Request(named=("interruptible",)), on_event=interrupt)

    assert report.interrupted
    assert [result.findings[0].message for result in report.results] == ["It came to 7."]


@dataclass(frozen=True)
class LastingInterruptible(Interruptible):
    lasting = True


@dataclass(frozen=True)
class AfterInterruptible:
    number: int

    @classmethod
    def observe(cls, host: Host, before: LastingInterruptible) -> Self:
        return cls(before.number)


@check("until-ended", title="It ends when it is told to", area="test", profiles=frozenset())
def until_ended(fact: AfterInterruptible) -> Iterator[Finding]:
    yield passed("Seen", f"It came to {fact.number}.")


@pytest.mark.parametrize("deadline", [0.01, 60.0])  # the look outlasts it, or is interrupted before
def test_who_has_seen_enough_of_a_long_look_ends_it_early_and_the_run_is_whole(deadline: float) -> None:
    events: list[Event] = []

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, engine.Advanced):
            raise KeyboardInterrupt

    request = Request(named=("until-ended",), deadline=deadline, lifted=True, ends_early=True)
    report = engine.run(FakeHost(), [until_ended], request, on_event=interrupt)

    assert engine.EndedEarly() in events
    assert not report.interrupted
    assert [result.findings[0].message for result in report.results] == ["It came to 7."]


def test_who_ends_a_long_look_early_still_gets_what_else_is_looked_at_and_who_interrupts_again_does_not() -> None:
    def interrupt_once(event: Event) -> None:
        if isinstance(event, engine.Advanced):
            raise KeyboardInterrupt
        if isinstance(event, Finished) and event.result.check == "until-ended":
            released.set()

    def interrupt_twice(event: Event) -> None:
        if isinstance(event, engine.Advanced) or (isinstance(event, Finished) and event.result.check == "until-ended"):
            raise KeyboardInterrupt

    request = Request(named=("until-ended", "hanging"), deadline=60.0, lifted=True, ends_early=True)
    once = engine.run(FakeHost(), [until_ended, hanging], request, on_event=interrupt_once)
    released.clear()
    twice = engine.run(FakeHost(), [until_ended, hanging], request, on_event=interrupt_twice)

    assert not once.interrupted
    assert [result.status for result in once.results] == [Status.PASS, Status.PASS]
    assert twice.interrupted
    assert [result.status for result in twice.results] == [Status.UNKNOWN, Status.PASS]


def test_an_interruption_ends_the_run_where_no_look_could_end_early() -> None:
    def interrupt(event: Event) -> None:
        if event == engine.Advanced("steps", 1, 3):
            raise KeyboardInterrupt

    request = Request(named=("lasting",), lifted=True, ends_early=True)
    assert engine.run(FakeHost(), [lasting], request, on_event=interrupt).interrupted


def test_how_far_a_fact_has_come_is_told_in_the_callers_thread() -> None:
    told: list[tuple[str, Event]] = []

    engine.run(
        FakeHost(),
        [lasting],
        Request(named=("lasting",)),
        on_event=lambda event: told.append((threading.current_thread().name, event)),
    )

    steps = [(thread, event) for thread, event in told if isinstance(event, engine.Advanced)]
    assert steps == [(threading.current_thread().name, engine.Advanced("steps", done, 3)) for done in (1, 2, 3)]
