"""Nodes for the app to examine: what they answer is known, and so is when."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING

from textual.widget import Widget

from k8sdoctor import Finding, engine, registry, skip
from k8sdoctor.check import Profile
from k8sdoctor.report import Broken, Report, Result, make_report
from k8sdoctor.testing import FakeHost, Recording
from k8sdoctor.tui.app import DoctorApp
from k8sdoctor.tui.session import Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App
    from textual.pilot import Pilot

    from k8sdoctor.host import Host
    from k8sdoctor.registry import Registry

WATCHDOG = 60.0
CALM = 3
"""So many looks in a row show the same before a screen counts as laid out."""

TURN = 0.01

DEMO = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")

AREAS = {
    "apiserver-san": "control plane",
    "br-netfilter": "pod network",
    "cni-config": "pod network",
    "dns-reply-source": "DNS",
    "ip-forward": "pod network",
    "pause-image": "images",
}


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """Answers each run of the app by what the test put into `findings`, and keeps what was asked for.

    While `hold` is set, the checks in `held` have no answer; `leave` lets them go on.
    """

    findings: dict[str, tuple[Finding, ...]]
    held: frozenset[str] = frozenset()
    broken: tuple[Broken, ...] = ()
    error: Exception | None = None
    asked: list[engine.Request] = field(default_factory=list)
    waiting_for: tuple[str, ...] = ()
    advanced: tuple[engine.Advanced, ...] = ()
    _go: threading.Event = field(default_factory=threading.Event)

    def leave(self) -> None:
        """Let the checks that are held answer."""
        self._go.set()

    def run(
        self, host: Host, _known: Registry, request: engine.Request, on_event: Callable[[engine.Event], None]
    ) -> Report:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        chosen = [id_ for id_ in self.findings if not request.named or id_ in request.named]
        for id_ in chosen:
            on_event(engine.Started(id_))
        results = [self._result(id_, request) for id_ in chosen]
        for result in results:
            if result.check not in self.held:
                on_event(engine.Finished(result))
        if self.held & set(chosen):
            for each in self.advanced:
                on_event(each)
            if self.waiting_for:
                on_event(engine.Late(self.waiting_for, 2.0))
            assert self._go.wait(WATCHDOG)
        return make_report(
            host,
            identity=host.identity(),
            started_at=host.now(),
            seconds=0.25,
            profile=request.profile or Profile.NODE,
            stage="worker",
            results=results,
            broken=self.broken,
        )

    def _result(self, id_: str, request: engine.Request) -> Result:
        found = self.findings[id_]
        if id_ in request.skipped:
            found = (skip("SkippedByUser", f"Not run: --skip {id_} was given."),)
        return Result(id_, AREAS.get(id_, "other"), f"{id_} is fine", 0.1, found)

    def case(self, request: engine.Request | None = None, *, strict: bool = False) -> Case:
        """What the app is given."""
        return Case(FakeHost, known, request or engine.Request(), strict=strict, run=self.run)


def known() -> Registry:
    """Some of the checks that come with the package, the same ones however many there are: a screen holds no more."""
    return registry.load(plug_ins=False, only=frozenset(AREAS))


def demo() -> Case:
    """The recorded sick node, judged by the real engine; only how long it took is made up."""

    def run(host: Host, checks: Registry, request: engine.Request, on_event: Callable[[engine.Event], None]) -> Report:
        report = engine.run(host, checks.checks, request, broken=checks.broken, on_event=on_event)
        return replace(report, seconds=0.25)

    return Case(lambda: Recording(DEMO), known, run=run)


def app(case: Case, clock: Clock | None = None, **more: object) -> DoctorApp:
    """The app on a case, at a time that stands still."""
    return DoctorApp(case, clock=clock or Clock(), **more)  # type: ignore[arg-type]  # the app's own keywords


def the(pilot: Pilot[None]) -> DoctorApp:
    """The app that a pilot drives."""
    assert isinstance(pilot.app, DoctorApp)
    return pilot.app


async def until(pilot: Pilot[None], true: Callable[[DoctorApp], object]) -> None:
    """Let the app work until something is true."""
    the_app = the(pilot)
    end = time.monotonic() + WATCHDOG
    while time.monotonic() < end:
        await pilot.pause()
        if true(the_app):
            await pilot.pause()
            return
        await pilot.pause(TURN)
    raise AssertionError("it did not come true in time")


async def settled(pilot: Pilot[None]) -> None:
    """Let the screen come to rest: a layout may take several rounds of messages."""
    before, calm = None, 0
    end = time.monotonic() + WATCHDOG
    while calm < CALM and time.monotonic() < end:
        await pilot.pause(TURN)
        now = screen(the(pilot))
        calm = calm + 1 if now == before and not _at_work(the(pilot)) else 0
        before = now


def _at_work(app: App[None]) -> bool:
    """Whether a message waits, or a layout, a scroll or a painting is still to be done. Textual has no public word for it."""
    if not app.screen_stack:
        return False
    everyone = (app, app.screen, *app.screen.walk_children(Widget))
    waiting = any(each.message_queue_size or each._next_callbacks for each in everyone)
    shown = (app.screen, *app.screen.walk_children(Widget))
    due = any(each._layout_required or each._scroll_required or each._repaint_required for each in shown)
    return bool(waiting or due or app.screen._dirty_widgets or app.screen._callbacks)


async def examined(pilot: Pilot[None]) -> None:
    """Let the run that is on come to its end."""
    await until(pilot, lambda app: not app.session.running and app.report is not None)
    await settled(pilot)


def screen(app: App[None]) -> str:
    """The text that the screen shows."""
    width, height = app.size
    return "\n".join(
        "".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips()
    )[: width * height * 4]
