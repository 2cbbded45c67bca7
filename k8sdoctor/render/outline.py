"""What the formats for people have in common: what comes first, and what a finding is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from k8sdoctor.finding import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.diagnosis import Reference
    from k8sdoctor.finding import Finding
    from k8sdoctor.report import Report, Result

BAD = (Status.FAIL, Status.UNKNOWN, Status.WARN)
"""The statuses of what a person should look at."""

PRESSING = (Status.FAIL, Status.WARN, Status.UNKNOWN)
"""The same, what is known to be wrong before what could not be seen."""


class Name(NamedTuple):
    """What a finding is known by in a report."""

    check: str
    reason: str
    subject: str | None

    def __str__(self) -> str:
        """`check/Reason (subject)`."""
        return f"{self.check}/{self.reason}" + (f" ({self.subject})" if self.subject else "")


class Entry(NamedTuple):
    """A finding with its check's result."""

    result: Result
    finding: Finding

    @property
    def name(self) -> Name:
        """The finding's name."""
        return Name(self.result.check, self.finding.reason, self.finding.subject)


def name_of(reference: Reference) -> Name:
    """The name of what a diagnosis refers to."""
    return Name(reference.check, reference.reason, reference.subject)


def worst(result: Result) -> Finding:
    """The finding that gives a result its status."""
    return next(finding for finding in result.findings if finding.status is result.status)


def bad(report: Report) -> list[Entry]:
    """Each finding that a person should look at, by check."""
    return [Entry(result, finding) for result in report.results for finding in result.findings if finding.status in BAD]


def pressing_first(entries: Iterable[Entry]) -> list[Entry]:
    """What fails, then what warns, then what could not be seen."""
    return sorted(entries, key=lambda entry: PRESSING.index(entry.finding.status))


def causes(report: Report) -> dict[Name, Name]:
    """The cause of each symptom, by the symptom's name; of two, that of the earlier diagnosis."""
    return {
        name_of(symptom): name_of(diagnosis.cause)
        for diagnosis in reversed(report.diagnoses)
        for symptom in diagnosis.explains
    }


def remedy(finding: Finding) -> str:
    """What would let us look, as the last clause of an unknown finding's message says it; nothing where it says nothing of the kind.

    The end of a run, and a recording that lacks an answer, are told as such: no clause of theirs says what to do.

    >>> from k8sdoctor import unknown
    >>> remedy(unknown("NotPermitted", "Permission denied: /etc/kubernetes/pki; run as root to look."))
    'run as root to look'
    """
    told = finding.message.rstrip(".")
    if finding.status is not Status.UNKNOWN or finding.fix is not None:
        return ""
    if finding.reason == "NotRecorded":
        return "the recording does not hold what they ask for; record anew, with this version"
    if finding.reason == "DeadlineExceeded" and "; " not in told:
        return told.rpartition(": ")[2]
    return told.rpartition("; ")[2] if "; " in told else ""


FEW = 2
"""Checks that may each say what would have let them look; more of them that want the same are told together."""


class Alike(NamedTuple):
    """Findings of several checks that could not look, and that one thing would let look."""

    remedy: str
    entries: tuple[Entry, ...]

    @property
    def checks(self) -> list[str]:
        """The checks, each once."""
        return list(dict.fromkeys(entry.result.check for entry in self.entries))

    @property
    def title(self) -> str:
        """How many they are, and what would let them look."""
        return f"{len(self.checks)} checks; {self.remedy}"


def together(entries: Iterable[Entry], caused: Mapping[Name, Name]) -> tuple[list[Alike], list[Entry]]:
    """What is better told once than once a check, and all other entries, in their order.

    What a cause keeps from being seen stands under its diagnosis already, and mending that lets us look.
    """
    groups: dict[str, list[Entry]] = {}
    every = list(entries)
    for entry in every:
        cause = caused.get(entry.name) if entry.finding.status is Status.UNKNOWN else None
        if words := f"mend {cause.check}/{cause.reason} first" if cause else remedy(entry.finding):
            groups.setdefault(words, []).append(entry)
    found = [Alike(words, tuple(group)) for words, group in groups.items()]
    found = [each for each in found if len(each.checks) > FEW]
    told = {id(entry) for each in found for entry in each.entries}
    return found, [entry for entry in every if id(entry) not in told]


def counts(report: Report) -> list[tuple[Status, int]]:
    """How many checks ended so, the worst status first; none that no check has."""
    return [(status, number) for status in reversed(Status) if (number := report.count(status))]


def standing(report: Report) -> str:
    """How far the machine has come on its way to being a node of kubeadm's, or that it is somebody else's."""
    other = report.other_distribution
    return f"no node of kubeadm's ({other.partition(': ')[0]})" if other else f"stage {report.stage}"


def moment(report: Report) -> str:
    """When the node was looked at, to the minute."""
    return datetime.fromtimestamp(report.started_at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def origin(report: Report) -> str:
    """When the node was looked at, whether what is told comes from a recording, and whether its names are the node's own.

    Who pastes a fix must know of stand-ins: the node has other names than the commands.
    """
    recorded = "recorded " if report.source == "bundle" else ""
    return f"{recorded}{moment(report)}" + (", with stand-ins for names and addresses" if report.anonymized else "")
