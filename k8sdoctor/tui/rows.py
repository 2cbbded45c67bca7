"""What stands in the list of checks: areas, checks, and the findings of those that have several; as the filter leaves them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from k8sdoctor.tui.history import NOT_FINE, Change, History

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from k8sdoctor.finding import Finding, Status
    from k8sdoctor.report import Broken, Result

BROKEN = "broken parts"
"""The heading of what is at fault of ours or of a plug-in."""

Key: TypeAlias = "tuple[str, ...]"
"""What a row is known by from run to run, so that the selection stays on it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `finding` is what the right side shows; a check that has no result yet has none."""

    key: Key
    kind: Literal["area", "check", "finding", "broken"]
    text: str
    check: str = ""
    finding: Finding | None = None
    status: Status | None = None
    change: Change | None = None
    hidden: int = 0  # findings that are folded away
    broken: Broken | None = None

    @property
    def selectable(self) -> bool:
        """Whether the cursor may stand here."""
        return self.kind != "area"


@dataclass(frozen=True)
class Filter:
    """What is shown."""

    not_fine: bool = False
    area: str | None = None
    text: str = ""

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return self.not_fine or self.area is not None or bool(self.text)

    def shows(self, result: Result, change: Change | None) -> bool:
        """Whether a check may be shown; its findings are held against the text by `finds`."""
        if self.area is not None and result.area != self.area:
            return False
        # What was mended just now is what one waits for.
        return not self.not_fine or result.status in NOT_FINE or change is Change.FIXED

    def names(self, *texts: str | None) -> bool:
        """Whether one of the texts holds what is searched for."""
        wanted = self.text.casefold()
        return not wanted or any(wanted in text.casefold() for text in texts if text)

    def finds(self, finding: Finding) -> bool:
        """Whether a finding holds what is searched for, and is not fine if only that is wanted."""
        if self.not_fine and finding.status not in NOT_FINE:
            return False
        return self.names(finding.reason, finding.message, finding.subject, finding.status)


@dataclass(frozen=True)
class Waiting:
    """A check that runs and has never had a result."""

    check: str
    area: str
    title: str


@dataclass
class Board:
    """All that the list is made of."""

    results: dict[str, Result] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    history: History = field(default_factory=History)
    filter: Filter = field(default_factory=Filter)
    broken: tuple[Broken, ...] = ()
    toggled: set[str] = field(default_factory=set)  # checks whose findings are folded, or unfolded, by hand

    def areas(self) -> list[str]:
        """The areas of all checks."""
        return sorted({each.area for each in self.results.values()} | {each.area for each in self.waiting.values()})

    def rows(self) -> list[Row]:
        """The lines, in order of area and check."""
        everything: list[Result | Waiting] = [
            *self.results.values(),
            *(each for id_, each in self.waiting.items() if id_ not in self.results),
        ]
        everything.sort(key=lambda each: (each.area, each.check))
        found: list[Row] = []
        area = None
        for each in everything:
            rows = [self._waits(each)] if isinstance(each, Waiting) else self._judged(each)
            shown = [row for row in rows if row is not None]
            if shown and each.area != area:
                area = each.area
                found.append(Row(("area", area), "area", area))
            found.extend(shown)
        return [*found, *self._broken()]

    def _broken(self) -> Iterator[Row]:
        """What is at fault of ours or of a plug-in."""
        shown = [each for each in self.broken if self.filter.names(each.what, each.error)]
        if not shown or self.filter.area is not None:
            return
        yield Row(("area", BROKEN), "area", BROKEN)
        for each in shown:
            yield Row(("broken", each.what, each.error), "broken", each.what, broken=each)

    def _waits(self, each: Waiting) -> Row | None:
        if self.filter.area not in (None, each.area) or not self.filter.names(each.check, each.title, each.area):
            return None
        return Row(("check", each.check), "check", each.check, each.check)

    def _judged(self, result: Result) -> list[Row]:
        change = self.history.of_check(result.check)
        if not self.filter.shows(result, change):
            return []
        named = self.filter.names(result.check, result.title, result.area, result.status)
        searched = self.filter if not named else Filter(not_fine=self.filter.not_fine)
        findings = [finding for finding in result.findings if searched.finds(finding)]
        if not findings and not named:
            return []
        worst = max(result.findings, key=lambda finding: finding.status.rank, default=None)
        folded = self.folded(result) and named
        several = len(result.findings) > 1
        row = Row(
            key=("check", result.check),
            kind="check",
            text=result.check,
            check=result.check,
            finding=worst,
            status=result.status,
            change=self._change(result.check, worst) if not several and worst is not None else change,
            hidden=len(findings) if several and folded else 0,
        )
        return [row, *self._findings(result.check, findings)] if several and not folded else [row]

    def folded(self, result: Result) -> bool:
        """Whether the findings of a check are hidden: of what is fine they are, unless asked for."""
        return (result.status not in NOT_FINE) != (result.check in self.toggled)

    def _change(self, check: str, finding: Finding) -> Change | None:
        return self.history.of_finding(check, finding) or self.history.of_check(check)

    def _findings(self, check: str, findings: Iterable[Finding]) -> Iterator[Row]:
        seen: Counter[Key] = Counter()
        for finding in sorted(findings, key=lambda each: -each.status.rank):
            key = ("finding", check, finding.reason, finding.subject or "")
            seen[key] += 1
            yield Row(
                key=(*key, str(seen[key])),
                kind="finding",
                text=f"{finding.reason} ({finding.subject})" if finding.subject else finding.reason,
                check=check,
                finding=finding,
                status=finding.status,
                change=self.history.of_finding(check, finding),
            )


def find(rows: list[Row], key: Key | None) -> int | None:
    """Where a row is now; where it is gone, its check's row."""
    if key is None:
        return None
    places: Mapping[Key, int] = {row.key: place for place, row in enumerate(rows)}
    for wanted in (key, ("check", *key[1:2])):
        if wanted in places:
            return places[wanted]
    return None


def worst(rows: Sequence[Row]) -> int | None:
    """Where the first of the worst is that is not fine; None where all is."""
    amiss = [(row.status.rank, -place) for place, row in enumerate(rows) if row.status in NOT_FINE]
    return -max(amiss)[1] if amiss else None
