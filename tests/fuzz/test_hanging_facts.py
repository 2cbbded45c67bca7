"""A fact that never comes costs the checks that need it their judgement, and the report nothing else."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import pytest

from k8sdoctor import engine, registry
from k8sdoctor.check import Profile, needs_of
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Status
from k8sdoctor.host import Host
from k8sdoctor.host.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.host import Json
    from k8sdoctor.report import Report

CHECKS = registry.load(plug_ins=False).checks
RUNS_AT_ONCE = 8
DEADLINE = 0.3


def needs(of: Callable[..., object], *, skip: int = 0, strictly: bool = False) -> frozenset[type]:
    """All facts that a function needs, by way of others, too; `strictly`: those without which it is not called."""
    found: set[type] = set()
    for need in needs_of(of, skip=skip).values():
        if not (strictly and need.tolerant):
            found |= {need.fact, *needs_of_fact(need.fact, strictly)}
    return frozenset(found)


@functools.cache
def needs_of_fact(fact: type, strictly: bool) -> frozenset[type]:
    return needs(cast("Any", fact).observe, skip=1, strictly=strictly)


FACTS = sorted(frozenset().union(*(needs(check.function) for check in CHECKS)), key=lambda fact: fact.__name__)


class Demo(Host):
    """The demo's node, on which one fact hangs."""

    def __init__(self, recording: Recording, hanging: type) -> None:
        super().__init__()
        self.recording, self.hanging = recording, hanging

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        return self.recording.ask(verb, arguments)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type], Demo]]:
    """Makes the node. What does not rest on the fact that hangs is the same in each run, and observed once for all of them."""
    recording = Recording((resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8"))
    released = threading.Event()
    known: dict[type, object] = {}

    def patched(fact: Any) -> Any:
        plain = fact.__dict__["observe"].__func__

        @functools.wraps(plain)
        def observe(cls: Any, host: Demo, **others: object) -> object:
            if fact is host.hanging:
                released.wait()
            if host.hanging in needs_of_fact(fact, strictly=False):
                return plain(cls, host, **others)
            if fact not in known:
                known[fact] = plain(cls, host, **others)
            return known[fact]

        return classmethod(cast("Any", observe))

    for fact in FACTS:
        monkeypatch.setattr(fact, "observe", patched(fact))
    yield lambda hanging: Demo(recording.again(), hanging)
    released.set()


def run(host: Demo) -> Report:
    """All checks; where what the profile is detected by hangs, those of the profile that is taken then."""
    detecting = host.hanging in (Stage, KubeadmConfig)
    named = () if detecting else tuple(check.id for check in CHECKS)
    return engine.run(host, CHECKS, engine.Request(named=named, deadline=DEADLINE))


def test_whichever_fact_hangs_the_report_is_whole(demo: Callable[[type], Demo]) -> None:
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        reports = dict(zip(FACTS, pool.map(lambda fact: run(demo(fact)), FACTS), strict=True))

    assert len(reports) > 100
    for fact, report in reports.items():
        assert [entry.traceback for entry in report.broken] == [], fact.__name__
        found = {result.check: result for result in report.results}
        for check in CHECKS:
            if fact in (Stage, KubeadmConfig) and Profile.NODE not in check.profiles:
                continue
            judged = {finding.status for finding in found[check.id].findings}
            reasons = {finding.reason for finding in found[check.id].findings}
            if fact in needs(check.function, strictly=True):
                assert judged <= {Status.UNKNOWN, Status.SKIP}, f"{check.id} judged without {fact.__name__}"
            if any(need.fact is fact and not need.tolerant for need in check.needs().values()):
                assert "DeadlineExceeded" in reasons, f"{check.id} without {fact.__name__}: {reasons}"
