"""Facts and checks for the engine's tests: a name and its length, and what hangs until a test lets it go."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from k8sdoctor import Check, Finding, Status, check, engine, fail, passed
from k8sdoctor.engine import Request
from k8sdoctor.host import Host  # noqa: TC001 -- resolved at run time
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.report import Report

observed: Counter[str] = Counter()
released = threading.Event()


@dataclass(frozen=True)
class Name:
    text: str

    @classmethod
    def observe(cls, host: Host) -> Self:
        observed["Name"] += 1
        return cls(host.read("/etc/name").strip())


@dataclass(frozen=True)
class Length:
    number: int

    @classmethod
    def observe(cls, host: Host, name: Name) -> Self:
        observed["Length"] += 1
        return cls(len(name.text))


@dataclass(frozen=True)
class Hung:
    @classmethod
    def observe(cls, host: Host) -> Self:
        released.wait(60)
        return cls()


@check("named", title="The machine has a name", area="test")
def named(name: Name) -> Iterator[Finding]:
    yield passed("Named", f"It is called {name.text}.")


@check("long", title="The name is long", area="test")
def long(length: Length, name: Name) -> Iterator[Finding]:
    if length.number > 3:
        yield passed("Long", f"{name.text} is long.")
    else:
        yield fail("Short", f"{name.text} is short.", subject=name.text)


@check("hanging", title="Nothing hangs", area="test")
def hanging(hung: Hung) -> Iterator[Finding]:
    yield passed("Fine", "It did not hang.")


NODE = FakeHost({"/etc/name": "node1\n"})


def run(host: Host, *checks: Check[Any], **request: Any) -> Report:
    return engine.run(host, checks, Request(**request))


def outcome(report: Report) -> dict[str, tuple[Status, str]]:
    return {result.check: (result.status, result.findings[0].reason) for result in report.results}
