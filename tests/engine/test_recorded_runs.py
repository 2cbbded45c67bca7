"""A recorded run is judged as it went, also where it ended too soon."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor import Finding, Unobserved, check, engine, passed, unknown
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.host import Host, HostError, Json
from k8sdoctor.host.recording import Recorder, Recording
from k8sdoctor.testing import FakeHost
from tests.engine.samples import released

if TYPE_CHECKING:
    from k8sdoctor.report import Report


def silent(name: str) -> Json:
    """A resolver that never answers for one name."""
    if name == "silent":
        released.wait(60)
    if name == "broken":
        raise HostError("Unreadable", "the resolver is broken")
    return {"addresses": ["192.0.2.1"], "error": None}


@dataclass(frozen=True)
class Fast:
    @classmethod
    def observe(cls, host: Host) -> Self:
        host.resolve("fast")
        return cls()


@dataclass(frozen=True)
class Slow:
    @classmethod
    def observe(cls, host: Host) -> Self:
        try:
            host.resolve("silent")
        except HostError as error:  # a fact that can do without the answer; on the node it never got so far
            raise AssertionError("the run was over before there was an error") from error
        return cls()


@dataclass(frozen=True)
class Beside:
    @classmethod
    def observe(cls, host: Host) -> Self:
        side_by_side([lambda: host.resolve("broken"), lambda: host.resolve("silent")])
        return cls()


@check("slow", title="It is fast", area="test")
def slow(slow: Slow, fast: Fast) -> Iterator[Finding]:
    yield passed("Fast", "It is.")


@check("tolerant", title="It is fast", area="test")
def tolerant(fast: Fast, slow: Slow | Unobserved, beside: Beside | Unobserved) -> Iterator[Finding]:
    for each in (slow, beside):
        if isinstance(each, Unobserved):
            yield unknown(each.reason, each.message)
    yield passed("Fast", "It is.")


def judged(host: Host) -> Report:
    return engine.run(host, [slow, tolerant], engine.Request(named=("slow", "tolerant"), deadline=2.0))


def findings(report: Report) -> list[tuple[Finding, ...]]:
    assert report.broken == ()
    return [result.findings for result in report.results]


def test_what_was_late_is_late_again_in_the_same_words() -> None:
    recorder = Recorder(FakeHost(resolve=silent))
    live = judged(recorder)
    [late, *_] = live.results[0].findings
    assert (late.reason, late.message) == (
        "DeadlineExceeded",
        "Slow not seen in time: the run's deadline of 2 s is over; --deadline gives more.",
    )

    again = judged(Recording.of(recorder.entries()))

    assert findings(again) == findings(live)
    assert again.contacted == live.contacted


def test_what_answers_after_the_end_changes_nothing() -> None:
    recorder = Recorder(FakeHost(resolve=silent))
    live = judged(recorder)
    released.set()
    assert recorder.resolve("silent")["addresses"] == ["192.0.2.1"]

    assert findings(judged(Recording.of(recorder.entries()))) == findings(live)
