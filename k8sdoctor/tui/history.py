"""What changed from run to run: fixed, new or still, and how many checks failed each time."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from k8sdoctor.diagnosis import Reference
from k8sdoctor.finding import Finding, Status

if TYPE_CHECKING:
    from k8sdoctor.report import Report, Result

KEPT = 60
"""Runs whose count of failures is kept: five minutes of watching, each five seconds."""

NOT_FINE = frozenset({Status.WARN, Status.UNKNOWN, Status.FAIL})
_NOT_RUN = frozenset({"SkippedByUser", "Offline"})


class Change(StrEnum):
    """What became of a thing since the run before."""

    NEW = "new"
    STILL = "still"
    FIXED = "fixed"


def name(check: str, finding: Finding) -> Reference:
    """What a finding is known by from run to run."""
    return Reference(check, finding.reason, finding.subject)


@dataclass
class History:
    """The reports of a session, as far as they are needed to tell what changed."""

    failing: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    _judged: frozenset[str] = frozenset()
    _before: dict[Reference, str] = field(default_factory=dict)
    _now: dict[Reference, str] = field(default_factory=dict)
    _results: dict[str, Result] = field(default_factory=dict)
    _counts: Counter[Change | None] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """A run has ended with this report."""
        self.failing.append(report.count(Status.FAIL))
        self._judged = frozenset(self._results)
        self._before = self._now
        self._now = {
            name(result.check, finding): finding.message
            for result in report.results
            for finding in result.findings
            if finding.status in NOT_FINE
        }
        self._results = {result.check: result for result in report.results}
        self._counts = self._count()

    def of_finding(self, check: str, finding: Finding) -> Change | None:
        """What became of a finding; None for what is fine, and where there is nothing to compare with."""
        if check not in self._judged or finding.status not in NOT_FINE:
            return None
        return Change.STILL if name(check, finding) in self._before else Change.NEW

    def of_check(self, check: str) -> Change | None:
        """What became of a check: fixed when nothing is left of what was wrong."""
        result = self._results.get(check)
        if result is None or check not in self._judged:
            return None
        was_bad = any(reference.check == check for reference in self._before)
        if result.status in NOT_FINE:
            return Change.STILL if was_bad else Change.NEW
        not_run = all(finding.reason in _NOT_RUN for finding in result.findings)  # nobody looked, so nothing is fixed
        return Change.FIXED if was_bad and not not_run else None

    def fixed(self, check: str) -> tuple[str, ...]:
        """What was wrong before with a check that was run, and is gone: `Reason (subject)`."""
        result = self._results.get(check)
        if result is None or any(finding.reason in _NOT_RUN for finding in result.findings):
            return ()
        gone = [each for each in self._before if each.check == check and each not in self._now]
        return tuple(f"{each.reason} ({each.subject})" if each.subject else each.reason for each in gone)

    def count(self, change: Change) -> int:
        """How many findings are new or still there, or checks fixed."""
        return self._counts[change]

    def _count(self) -> Counter[Change | None]:
        """Counted once a run: the top of the screen asks many times a second."""
        counts = Counter(
            self.of_finding(result.check, finding) for result in self._results.values() for finding in result.findings
        )
        counts[Change.FIXED] = sum(self.of_check(check) is Change.FIXED for check in self._results)
        return counts

    @property
    def compared(self) -> bool:
        """Whether there is a run to compare the last one with."""
        return bool(self._judged)


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(counts: list[int], width: int, *, ascii_only: bool = False) -> str:
    """Counts as bars of eight heights, or as digits where a terminal has no bars; the newest is on the right.

    >>> sparkline([4, 2, 0], 10)
    '█▄▁'
    >>> sparkline([12, 2, 0], 10, ascii_only=True)
    '920'
    """
    shown = counts[-width:] if width > 0 else []
    if ascii_only:
        return "".join(str(min(count, 9)) for count in shown)
    highest = max(shown, default=0)
    return "".join(_BARS[round(count / highest * 7) if highest else 0] for count in shown)
