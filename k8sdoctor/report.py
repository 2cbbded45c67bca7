"""The report: what was run, where, by whom, what it found, and what could not be looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from k8sdoctor.diagnosis import Diagnosis, Links, Reference
from k8sdoctor.finding import Finding, Fix, Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.check import Profile
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Identity

API_VERSION = "k8sdoctor/v1"
INTERRUPTED = 130


@dataclass(frozen=True)
class Broken:
    """Something of ours, or of a plug-in, that did not work: what, the error in a line, and the traceback."""

    what: str
    error: str
    traceback: str


@dataclass(frozen=True)
class Result:
    """A check with its findings. `seconds` is the time from the run's start until they were known."""

    check: str
    area: str
    title: str
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst status of the findings."""
        return Status.worst(finding.status for finding in self.findings)


@dataclass(frozen=True)
class Report:
    """A whole run. `results` are sorted by check id, `diagnoses` by what to look at first."""

    version: str
    node: str
    started_at: float  # seconds since the epoch
    seconds: float
    source: str  # live or bundle
    euid: int
    profile: str
    stage: str
    results: tuple[Result, ...]
    diagnoses: tuple[Diagnosis, ...]
    explains: tuple[tuple[tuple[Reference, ...], ...], ...]  # by result and finding
    contacted: tuple[str, ...]
    broken: tuple[Broken, ...]
    interrupted: bool = False
    anonymized: bool = False  # names, addresses and IDs are stand-ins
    other_distribution: str | None = (
        None  # what shows that kubeadm has no part in this node, such as "k3s-server runs here"
    )

    @property
    def status(self) -> Status:
        """The worst status of the results."""
        return Status.worst(result.status for result in self.results)

    def count(self, status: Status) -> int:
        """How many results have a status."""
        return sum(result.status is status for result in self.results)

    def exit_code(self, *, strict: bool = False) -> int:
        """0 nothing failed · 1 something failed (or warns, when strict) · 3 something is unknown or broken · 130 interrupted."""
        if self.interrupted:
            return INTERRUPTED
        if self.count(Status.FAIL) or (strict and self.count(Status.WARN)):
            return 1
        return 3 if self.count(Status.UNKNOWN) or self.broken else 0

    def document(self) -> dict[str, Any]:
        """The report as JSON holds it; `k8sdoctor schema` describes it."""
        from datetime import UTC, datetime

        return {
            "apiVersion": API_VERSION,
            "kind": "Report",
            "metadata": {
                "tool": {"name": "k8sdoctor", "version": self.version},
                "node": self.node,
                "startedAt": datetime.fromtimestamp(self.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "durationSeconds": round(self.seconds, 3),
                "source": self.source,
                "anonymized": self.anonymized,
                "euid": self.euid,
                "profile": self.profile,
                "stage": self.stage,
                "otherDistribution": self.other_distribution,
                "interrupted": self.interrupted,
            },
            "summary": {"status": str(self.status)} | {str(status): self.count(status) for status in _SUMMARY},
            "diagnoses": [_diagnosis(diagnosis) for diagnosis in self.diagnoses],
            "results": [
                {
                    "check": result.check,
                    "area": result.area,
                    "title": result.title,
                    "status": str(result.status),
                    "seconds": round(result.seconds, 3),
                    "findings": [
                        finding_document(finding, explains)
                        for finding, explains in zip(result.findings, explained, strict=True)
                    ],
                }
                for result, explained in zip(self.results, self.explains, strict=True)
            ],
            "contacted": list(self.contacted),
            "broken": [
                {"what": broken.what, "error": broken.error, "traceback": broken.traceback} for broken in self.broken
            ],
        }


_SUMMARY = (Status.PASS, Status.SKIP, Status.WARN, Status.UNKNOWN, Status.FAIL)


def make_report(  # noqa: PLR0913 -- the parts of a report
    host: Host,
    *,
    identity: Identity,
    started_at: float,
    seconds: float,
    profile: Profile,
    stage: str,
    results: Iterable[Result],
    broken: Iterable[Broken],
    interrupted: bool = False,
    other_distribution: str | None = None,
) -> Report:
    """Put a run's results in order and link causes with symptoms."""
    from k8sdoctor import __version__

    ordered, diagnoses, explains = _linked(results)
    return Report(
        version=__version__,
        node=identity["hostname"],
        started_at=started_at,
        seconds=seconds,
        source=host.source,
        euid=identity["euid"],
        profile=str(profile),
        stage=stage,
        results=ordered,
        diagnoses=diagnoses,
        explains=explains,
        contacted=tuple(host.contacted),
        broken=_in_order(broken),
        interrupted=interrupted,
        anonymized=host.anonymized,
        other_distribution=other_distribution,
    )


def merged(old: Report, new: Report) -> Report:
    """A report in which the results of a later run of some checks stand for those of an earlier run of more.

    Causes and symptoms are linked anew, and what broke then in the checks that were run again is forgotten. Time, duration and
    stage are those of the later run, the profile is the earlier one's.
    """
    results = {result.check: result for result in (*old.results, *new.results)}
    replaced = {result.check for result in new.results}
    kept = _broke(result for result in old.results if result.check not in replaced)
    gone = _broke(result for result in old.results if result.check in replaced)
    broken = {
        (entry.what, entry.error): entry
        for entry in (*old.broken, *new.broken)
        if entry in new.broken or not any(entry.what in message for message in gone - kept)
    }
    ordered, diagnoses, explains = _linked(results.values())
    return replace(
        new,
        profile=old.profile,
        results=ordered,
        diagnoses=diagnoses,
        explains=explains,
        contacted=tuple(sorted({*old.contacted, *new.contacted})),
        broken=_in_order(broken.values()),
        interrupted=old.interrupted or new.interrupted,
        other_distribution=new.other_distribution or old.other_distribution,  # which few checks ask
    )


def _linked(
    results: Iterable[Result],
) -> tuple[tuple[Result, ...], tuple[Diagnosis, ...], tuple[tuple[tuple[Reference, ...], ...], ...]]:
    """Results in order, the diagnoses, and what each finding explains."""
    ordered = tuple(sorted(results, key=lambda result: result.check))
    flat = [(result.check, finding) for result in ordered for finding in result.findings]
    links = Links(flat)
    positions = iter(range(len(flat)))
    explains = tuple(tuple(links.explained_by(next(positions)) for _ in result.findings) for result in ordered)
    return ordered, links.diagnoses(), explains


def _in_order(broken: Iterable[Broken]) -> tuple[Broken, ...]:
    return tuple(sorted(broken, key=lambda entry: entry.what))


def _broke(results: Iterable[Result]) -> set[str]:
    """What the results say of parts that broke: each names the entry that tells more."""
    return {finding.message for result in results for finding in result.findings if finding.reason == "CheckBroke"}


def schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    from importlib import resources

    found: dict[str, Any] = json.loads((resources.files("k8sdoctor") / "report.schema.json").read_text("utf-8"))
    return found


def _reference(reference: Reference) -> dict[str, str | None]:
    return {"check": reference.check, "reason": reference.reason, "subject": reference.subject}


def fix_document(fix: Fix | None) -> dict[str, Any] | None:
    """A fix as JSON holds it."""
    if fix is None:
        return None
    return {
        "title": fix.title,
        "commands": list(fix.commands),
        "persist": list(fix.persist),
        "verify": fix.verify,
        "safety": str(fix.safety),
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "title": diagnosis.title,
        "status": str(diagnosis.status),
        "certainty": str(diagnosis.certainty),
        "why": diagnosis.why,
        "cause": _reference(diagnosis.cause),
        "explains": [_reference(reference) for reference in diagnosis.explains],
        "fix": fix_document(diagnosis.fix),
    }


def finding_document(finding: Finding, explains: Iterable[Reference] = ()) -> dict[str, Any]:
    """A finding as JSON holds it, with the findings that it explains in its report."""
    return {
        "status": str(finding.status),
        "reason": finding.reason,
        "message": finding.message,
        "subject": finding.subject,
        "evidence": [{"source": evidence.source, "content": evidence.content} for evidence in finding.evidence],
        "fix": fix_document(finding.fix),
        "explains": [_reference(reference) for reference in explains],
    }
