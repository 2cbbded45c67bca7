"""Runs the engine beside the screen, and tells what happens.

Each run has a daemon thread of its own, never an executor: one that hangs in the kernel must not keep the app from leaving.
A run that a newer one has replaced goes on until its deadline, for nobody can stop a thread, and is not listened to.
"""

from __future__ import annotations

import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from k8sdoctor import engine
from k8sdoctor.check import Profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.check import Check
    from k8sdoctor.host import Host
    from k8sdoctor.registry import Registry
    from k8sdoctor.report import Report

Examine: TypeAlias = "Callable[[Host, Registry, engine.Request, Callable[[engine.Event], None]], Report]"


@dataclass(frozen=True)
class Loaded:
    """The checks are known."""

    registry: Registry


@dataclass(frozen=True)
class Progressed:
    """The engine has said something about the run that is on."""

    event: engine.Event


@dataclass(frozen=True)
class Ended:
    """The run has ended with a report; `partial` when it was of some checks only."""

    report: Report
    partial: bool


@dataclass(frozen=True)
class Broke:
    """The run itself failed, which is our fault: the error in a line, and the traceback."""

    error: str
    traceback: str


News: TypeAlias = Loaded | Progressed | Ended | Broke


def examine(
    host: Host, registry: Registry, request: engine.Request, on_event: Callable[[engine.Event], None]
) -> Report:
    """Run the engine."""
    return engine.run(host, registry.checks, request, broken=registry.broken, on_event=on_event)


@dataclass(frozen=True)
class Case:
    """What is examined: where a host for each run comes from, the checks, and what was asked for on the command line.

    `load` is called once, by the first run. A test gives `run` to have a report of its own making.
    """

    host: Callable[[], Host]
    load: Callable[[], Registry]
    request: engine.Request = field(default_factory=engine.Request)
    strict: bool = False
    run: Examine = examine


class Session:
    """The runs of a case, one at a time. `tell` is called from their threads, with the run's number."""

    def __init__(
        self, case: Case, tell: Callable[[int, News], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing runs yet."""
        self.case = case
        self.request = case.request
        self.registry: Registry | None = None
        self.running = False
        self.begun = 0.0
        self._tell = tell
        self._clock = clock
        self._number = 0
        self._loading = threading.Lock()

    @property
    def elapsed(self) -> float:
        """Seconds since the run that is on was started."""
        return self._clock() - self.begun if self.running else 0.0

    def check(self, id_: str) -> Check[Any] | None:
        """A check by its id, when the checks are known."""
        entry = self.registry.get(id_) if self.registry is not None else None
        return entry.check if entry is not None else None

    def start(self, *, only: str | None = None, profile: str | None = None) -> None:
        """Start a run of all checks, or of one in a profile; what a run that is on will tell is out of date then."""
        request = self.request
        if only is not None:
            request = replace(
                request, named=(only,), also=frozenset(), profile=Profile(profile) if profile else request.profile
            )
        self._number += 1
        self.running = True
        self.begun = self._clock()
        threading.Thread(
            target=self._run, args=(self._number, request), name=f"run {self._number}", daemon=True
        ).start()

    def takes(self, number: int, news: News) -> bool:
        """Whether news are of the run that is on. With its last ones it is over."""
        if number != self._number:
            return False
        if isinstance(news, Ended | Broke):
            self.running = False
        return True

    def _run(self, number: int, request: engine.Request) -> None:
        try:
            registry = self._load(number)
            report = self.case.run(
                self.case.host(), registry, request, lambda event: self._say(number, Progressed(event))
            )
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the screen must not wait for ever
            line = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            self._say(number, Broke(line, "".join(traceback.format_exception(error))))
        else:
            self._say(number, Ended(report, partial=request.named not in ((), self.request.named)))

    def _load(self, number: int) -> Registry:
        with self._loading:
            if self.registry is None:
                self.registry = self.case.load()
                self._say(number, Loaded(self.registry))
            return self.registry

    def _say(self, number: int, news: News) -> None:
        with suppress(RuntimeError):  # the screen's event loop is closed: nobody listens any more
            self._tell(number, news)
