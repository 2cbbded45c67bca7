"""What every test may lean on: each report that a test makes is held against the schema, each finding against the documentation.

On a person's machine a test that lacks something is skipped and says what; with `K8SDOCTOR_NO_SKIP=1`, as in CI, it fails instead.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

import k8sdoctor.cli  # noqa: F401 -- it has Python write no bytecode
from k8sdoctor import registry
from k8sdoctor import report as reports
from k8sdoctor.check import Check
from k8sdoctor.documentation import Documentation
from k8sdoctor.finding import Status
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from k8sdoctor.finding import Finding


NO_BYTECODE = sys.dont_write_bytecode

PLACE = pytest.StashKey[int]()
"""A test's place among all that were collected."""


def pytest_configure() -> None:
    """Before the tests' files are imported: what pytest makes of them is kept for the next run."""
    hand_signals_on()
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests themselves run as the doctor runs."""
    sys.dont_write_bytecode = NO_BYTECODE
    for place, item in enumerate(session.items):
        item.stash[PLACE] = place


def hand_signals_on() -> None:
    """Have whatever a test starts hear the signals that a shell ignores for what it starts in the background.

    What is caught is not inherited, unlike what is ignored; and so the run itself still bears it, as under nohup.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail whatever is skipped where no skip is allowed, wherever in a test, a fixture or a marker it was."""
    report = yield
    # pytest tells a failure that is expected (xfail) as a skip, and such a test did run.
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("K8SDOCTOR_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"no skip is allowed here: {report.longreprtext}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Any:
    """Never let a test find what a later one of its file has left behind, such as a lab node that was mended.

    A worker of pytest-xdist takes tests over from the end of another's, and so comes to run `[30, …, 44]` and then `12` of one file. What they
    share is then made anew, as it is for another file.
    """
    if nextitem is None or nextitem.path != item.path or item.stash[PLACE] < nextitem.stash[PLACE]:
        return None
    elsewhere = next((each for each in item.session.items if each.path != item.path), None)
    return item.config.hook.pytest_runtest_protocol(item=item, nextitem=elsewhere)


def _strict(schema: Any) -> Any:
    """The schema without leave for keys that it does not know: readers must bear them, and we must not write them."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("type") == "object" else {}
    return closed | {key: _strict(each) for key, each in schema.items()}


VALIDATOR = Draft202012Validator(_strict(reports.schema()))


@pytest.fixture(autouse=True)
def every_report_fits_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold each report against the schema when the engine makes it, not only those that a test prints."""
    make = reports.make_report

    def checked(*args: Any, **kwargs: Any) -> reports.Report:
        made = make(*args, **kwargs)
        VALIDATOR.validate(made.document())
        return made

    monkeypatch.setattr("k8sdoctor.engine.make_report", checked)


@pytest.fixture(autouse=True)
def every_finding_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold each finding of a built-in check against what the check's docstring says that it can give."""
    call = Check.__call__

    def checked(self: Check[Any], *args: Any, **kwargs: Any) -> Iterator[Finding]:
        for finding in call(self, *args, **kwargs):
            if self.function.__module__.startswith("k8sdoctor.checks."):
                assert (finding.reason, finding.status) in _documented(self), f"{self.id} does not document {finding}"
                for link in finding.explains:
                    assert link.reason in _reasons().get(link.check, ()), f"{self.id}/{finding.reason} explains {link}"
            yield finding

    monkeypatch.setattr(Check, "__call__", checked)


@cache
def _reasons() -> dict[str, frozenset[str]]:
    """What each check may say: a link to anything else would never hold."""
    checks = registry.load(plug_ins=False).checks
    return {check.id: frozenset(reason for reason, _ in _documented(check)) for check in checks}


@cache
def _documented(check: Check[Any]) -> frozenset[tuple[str, Status]]:
    """What a check may say. What keeps it from looking, and that it was told not to, is documented for all of them."""
    common = {(reason, status) for reason in HostError.REASONS for status in (Status.UNKNOWN, Status.SKIP)}
    return frozenset(common | {(each.reason, each.status) for each in Documentation.of(check).reasons})
