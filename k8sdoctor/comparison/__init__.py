"""Two reports side by side: of one node at two times, or of two nodes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from k8sdoctor import report as reports
from k8sdoctor.comparison.differences import Difference, differences
from k8sdoctor.comparison.findings import (
    NOT_ASKED,
    NOT_COMPARABLE,
    WORSENED,
    Change,
    EvidenceChange,
    FindingChange,
    changes,
)
from k8sdoctor.comparison.identity import Duplicate, Marks, duplicates, same_node
from k8sdoctor.comparison.noise import Own
from k8sdoctor.comparison.properties import known_as, of_recording, of_report
from k8sdoctor.finding import Status
from k8sdoctor.records import dataclass
from k8sdoctor.report import API_VERSION, finding_document, fix_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.comparison.properties import Property
    from k8sdoctor.host.recording import Recording
    from k8sdoctor.report import Report, Result

__all__ = [
    "WORSENED",
    "Change",
    "Comparison",
    "Difference",
    "Duplicate",
    "EvidenceChange",
    "FindingChange",
    "Side",
    "Verdict",
    "compare",
    "schema",
    "told_time",
]


class Verdict(StrEnum):
    """What B is against A. `unclear`: nothing got worse that both looked at, and not all of it was looked at by both."""

    WORSE = "worse"
    UNCLEAR = "unclear"
    BETTER = "better"
    SAME = "same"


_EXIT_CODES = {Verdict.WORSE: 1, Verdict.UNCLEAR: 3, Verdict.BETTER: 0, Verdict.SAME: 0}


@dataclass(frozen=True)
class Side:
    """One of the two: where it was read from, as it was named, its report, and the recording that the report was made of, if one was given."""

    path: str
    report: Report
    recording: Recording | None = None

    @cached_property
    def marks(self) -> Marks:
        """What tells its node from others."""
        return Marks.of(self.report)

    @cached_property
    def own(self) -> Own:
        """What its node calls its own."""
        return Own(self.marks.words(), are_stand_ins=self.is_anonymized)

    @property
    def is_anonymized(self) -> bool:
        """Whether its names are stand-ins, which say nothing of another's."""
        return self.report.anonymized

    def properties(self, *, recorded: bool) -> dict[str, Property]:
        """What is so on its node: by its recording, or as its report's evidence says."""
        if recorded and self.recording is not None:
            return of_recording(self.recording.entries(), self.own)
        return of_report(self.report, self.own)


@dataclass(frozen=True)
class Comparison:
    """What became of A in B.

    `same_node` is None where names are stand-ins and cannot tell. `remarks` are sentences about what cannot be compared, or is compared under other
    conditions. `duplicates` are marks that two nodes share and must not. `differences` are of all that was recorded, where both were recorded; else of what
    evidence says, less what `changes` tell.
    """

    a: Side
    b: Side
    same_node: bool | None
    remarks: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    changes: tuple[FindingChange, ...]
    differences: tuple[Difference, ...]

    def of(self, *kinds: Change) -> tuple[FindingChange, ...]:
        """The changes of these kinds, in their order."""
        return tuple(change for change in self.changes if change.change in kinds)

    @property
    def verdict(self) -> Verdict:
        """Worse as soon as anything is, whatever got better."""
        if self.duplicates or self.of(*WORSENED):
            return Verdict.WORSE
        if self.of(*NOT_COMPARABLE):
            return Verdict.UNCLEAR
        return Verdict.BETTER if self.of(Change.BETTER, Change.GONE, Change.FIXED) else Verdict.SAME

    @property
    def exit_code(self) -> int:
        """0 B is no worse · 1 B is worse, or the two share what must be unique · 3 no worse, but not all could be compared."""
        return _EXIT_CODES[self.verdict]

    def document(self) -> dict[str, Any]:
        """The comparison as JSON holds it; `k8sdoctor schema diff` describes it."""
        return {
            "apiVersion": API_VERSION,
            "kind": "Comparison",
            "a": _side(self.a),
            "b": _side(self.b),
            "sameNode": self.same_node,
            "verdict": str(self.verdict),
            "summary": {str(kind): len(self.of(kind)) for kind in Change},
            "remarks": list(self.remarks),
            "duplicates": [
                {
                    "what": each.what,
                    "value": each.value,
                    "status": str(each.status),
                    "message": each.message,
                    "fix": fix_document(each.fix),
                }
                for each in self.duplicates
            ],
            "findings": [
                {
                    "change": str(each.change),
                    "check": each.check,
                    "a": each.before and finding_document(each.before),
                    "b": each.after and finding_document(each.after),
                    "evidence": [
                        {"source": changed.source, "a": list(changed.before), "b": list(changed.after)}
                        for changed in each.evidence
                    ],
                    "why": each.why,
                }
                for each in self.changes
            ],
            "differences": [
                {
                    "what": each.name,
                    "a": None if each.a is None else list(each.a),
                    "b": None if each.b is None else list(each.b),
                    "namedBy": list(each.named_by),
                    "noise": each.noise,
                }
                for each in self.differences
            ],
        }


def compare(a: Side, b: Side) -> Comparison:
    """Hold two reports against each other."""
    same = None if a.is_anonymized or b.is_anonymized else same_node(a.marks, b.marks)
    changed = changes(a.report, b.report, a.own, b.own)
    return Comparison(
        a=a,
        b=b,
        same_node=same,
        remarks=tuple(_remarks(a, b, same_node=same)),
        duplicates=duplicates(a.marks, b.marks) if same is False else (),
        changes=changed,
        differences=tuple(_differences(a, b, changed)),
    )


def _differences(a: Side, b: Side, changed: tuple[FindingChange, ...]) -> Iterator[Difference]:
    recorded = a.recording is not None and b.recording is not None
    told = {(known_as(each.source), each.before, each.after) for change in changed for each in change.evidence}
    first, second = (side.properties(recorded=recorded) for side in (a, b))
    for each in differences(first, second, changed, a.own, b.own):
        if recorded or (each.name, each.a, each.b) not in told:
            yield each


def schema() -> dict[str, Any]:
    """The JSON Schema of a comparison; what a report has as well is defined as there."""
    from importlib import resources

    found: dict[str, Any] = json.loads((resources.files(__name__) / "schema.json").read_text("utf-8"))
    found["$defs"] |= reports.schema()["$defs"]
    return found


def told_time(report: Report) -> str:
    """When a run began, as all of the output writes it."""
    return datetime.fromtimestamp(report.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _side(side: Side) -> dict[str, Any]:
    report = side.report
    return {
        "path": side.path,
        "node": report.node,
        "startedAt": told_time(report),
        "tool": {"name": "k8sdoctor", "version": report.version},
        "source": report.source,
        "anonymized": report.anonymized,
        "euid": report.euid,
        "profile": report.profile,
        "stage": report.stage,
        "status": str(report.status),
    }


def _remarks(a: Side, b: Side, *, same_node: bool | None) -> Iterator[str]:
    """What keeps the two from being held against each other in full, and what may look like a change of the node and is none."""
    first, second = a.report, b.report
    yield from _kinds(a, b)
    if first == second or a.path == b.path:
        yield "Both are the same."
        return
    if same_node and second.started_at < first.started_at:
        yield "B was made before A: what got worse from A to B got better in time."
    if same_node and a.marks.machine_id and b.marks.machine_id and a.marks.machine_id != b.marks.machine_id:
        yield "The machine IDs differ: the machine was set up anew, or these are two machines of one name."
    yield from _conditions(first, second)
    for name, report, other in (("A", first, second), ("B", second, first)):
        alone = {result.check for result in report.results} - {result.check for result in other.results}
        if alone:
            yield f"{name} alone ran {_listed(sorted(alone))}."
        unasked = [result.check for result in report.results if _holds_unasked(result)]
        if unasked:
            yield f"{name} was told not to ask all (--offline, --skip): {_listed(unasked)}."
        if report.interrupted:
            yield f"{name} was interrupted, so it is not all."
        if report.broken:
            yield f"In {name}, something did not work: {_listed([entry.what for entry in report.broken])}."


def _kinds(a: Side, b: Side) -> Iterator[str]:
    """What the two files allow to be said."""
    sides = (("A", a), ("B", b))
    stand_ins = [name for name, each in sides if each.is_anonymized]
    if stand_ins:
        yield (
            f"{' and '.join(stand_ins)} {'is' if len(stand_ins) == 1 else 'are'} anonymized: names, addresses and IDs are stand-ins of one run "
            "alone, so whether these are one node or two, and what they share, cannot be told."
        )
        yield (
            "Findings cannot be matched by what they name, then: those of one check and reason are taken for the same, and where they differ in names alone, "
            "nothing need have changed."
        )
    reports = [name for name, each in sides if each.recording is None]
    if len(reports) == 1:
        yield f"{reports[0]} is a report, so only what evidence says is compared; two recordings (k8sdoctor record) tell all that differs."
    for name, each in sides:
        recorder = each.recording.manifest["tool"] if each.recording is not None else ""
        if recorder not in ("", each.report.version):
            yield f"{name} was recorded by k8sdoctor {recorder}: what the checks of {each.report.version} look at besides is unknown there."


def _conditions(a: Report, b: Report) -> Iterator[str]:
    """Under which other conditions B was made."""
    if a.version != b.version:
        yield (
            f"k8sdoctor {a.version} made A and {b.version} made B: a finding may be there in one alone because its check "
            "looks at more there."
        )
    if min(a.euid, b.euid) >= 0 and (a.euid == 0) != (b.euid == 0):  # -1: not told
        root, other = ("A", "B") if a.euid == 0 else ("B", "A")
        yield f"{root} was made as root and {other} was not, so {other} saw less."
    if a.profile != b.profile:
        yield f"A judges by the profile {a.profile}, B by {b.profile}."
    if a.stage != b.stage:
        yield f"A's node is at the stage {a.stage}, B's at {b.stage}."


def _holds_unasked(result: Result) -> bool:
    return any(finding.status is Status.SKIP and finding.reason in NOT_ASKED for finding in result.findings)


_NAMED = 8


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return f"{', '.join(words[:_NAMED])}{more}"
