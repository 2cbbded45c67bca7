"""What a check's author needs in tests: a machine made of files, and a check run against it.

>>> from k8sdoctor.testing import FakeHost
>>> FakeHost({"/proc/sys/net/ipv4/ip_forward": "0"}).read("/proc/sys/net/ipv4/ip_forward")
'0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor import engine, registry
from k8sdoctor.host import Host, HostError
from k8sdoctor.host.fake import FakeHost
from k8sdoctor.host.recording import Recorder, Recording

if TYPE_CHECKING:
    from k8sdoctor.check import Check
    from k8sdoctor.finding import Finding
    from k8sdoctor.report import Report

__all__ = ["FakeHost", "Host", "HostError", "Recorder", "Recording", "examine", "report_of"]


def report_of(host: Host, *checks: str | Check[Any]) -> Report:
    """The report of some checks (ids of registered ones, or checks themselves) on a host. Raises KeyError for an unknown id."""
    chosen = [_registered(check) if isinstance(check, str) else check for check in checks]
    request = engine.Request(named=tuple(check.id for check in chosen))
    return engine.run(host, chosen, request)


def examine(host: Host, check: str | Check[Any]) -> tuple[Finding, ...]:
    """The findings of one check on a host. An exception in the check or a fact is raised, since a test wants to see it."""
    report = report_of(host, check)
    if report.broken:
        raise AssertionError(report.broken[0].traceback)
    [result] = report.results
    return result.findings


def _registered(id_: str) -> Check[Any]:
    found = registry.load().get(id_)
    if found is None:
        raise KeyError(f"no check has the id {id_!r}")
    return found.check
