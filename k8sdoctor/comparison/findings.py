"""Which finding of one report is which of another, and what became of it."""

from __future__ import annotations

from difflib import SequenceMatcher
from enum import StrEnum
from typing import TYPE_CHECKING

from k8sdoctor.finding import Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from k8sdoctor.comparison.noise import Own
    from k8sdoctor.finding import Evidence, Finding
    from k8sdoctor.report import Report, Result


class Change(StrEnum):
    """What became of a finding from A to B, worst first.

    Where a side did not look, or could not, nothing is said of better or worse.
    """

    NEW = "new"  # A looked and found nothing
    WORSE = "worse"
    UNSEEN_IN_A = "unseen-in-a"  # B has it; A did not look
    UNSEEN_IN_B = "unseen-in-b"  # A has it and B did not look, or A could look and B could not
    CHANGED = "changed"  # as bad as before, for another reason
    STILL = "still"
    BETTER = "better"
    GONE = "gone"  # the check no longer applies
    FIXED = "fixed"


WORSENED = (Change.NEW, Change.WORSE)
NOT_COMPARABLE = (Change.UNSEEN_IN_A, Change.UNSEEN_IN_B)

NOT_ASKED = ("Offline", "SkippedByUser")
"""Reasons of what nobody looked at because the user said so."""

_BADNESS = {Status.SKIP: 0, Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True)
class EvidenceChange:
    """Lines of one piece of evidence that one side alone has. What differs by noise alone is no change."""

    source: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class FindingChange:
    """A finding of either report or of both, and what became of it. `why` says why a side did not look."""

    change: Change
    check: str
    before: Finding | None
    after: Finding | None
    evidence: tuple[EvidenceChange, ...] = ()
    why: str | None = None

    @property
    def told(self) -> Finding:
        """The finding that tells what this is about: B's, but A's of what is good or better in B."""
        better = self.change in (Change.BETTER, Change.GONE, Change.FIXED)
        told = (self.before or self.after) if better else (self.after or self.before)
        if told is None:
            raise ValueError("a change of nothing")
        return told


def changes(a: Report, b: Report, own_a: Own, own_b: Own) -> tuple[FindingChange, ...]:
    """What became of all that fails, warns or is unknown in either report; the worst change first, causes before symptoms.

    Where names in a report are stand-ins, findings of one reason are held against each other whatever they are about.
    """
    before, after = ({result.check: result for result in report.results} for report in (a, b))
    found = [
        change
        for check in sorted({*before, *after})
        for change in _of_check(check, before.get(check), after.get(check), own_a, own_b)
    ]
    order = list(Change)
    ranks = _ranks(a), _ranks(b)

    def key(change: FindingChange) -> tuple[object, ...]:
        report = ranks[change.told is change.after]
        name = (change.check, change.told.reason, change.told.subject)
        return order.index(change.change), -change.told.status.rank, report.get(name, (len(report), 0)), change.check

    return tuple(sorted(found, key=key))


def _ranks(report: Report) -> dict[tuple[str, str, str | None], tuple[int, int]]:
    """Where a finding stands among the report's diagnoses: causes in their order, each before its symptoms."""
    ranks: dict[tuple[str, str, str | None], tuple[int, int]] = {}
    for number, diagnosis in enumerate(report.diagnoses):
        for place, reference in enumerate((diagnosis.cause, *diagnosis.explains)):
            ranks.setdefault((reference.check, reference.reason, reference.subject), (number, place))
    return ranks


def _of_check(check: str, a: Result | None, b: Result | None, own_a: Own, own_b: Own) -> Iterator[FindingChange]:
    pairs = _pairs(a.findings if a else (), b.findings if b else (), own_a, own_b)
    # What a side newly could not look at may hide any finding of the other side.
    hidden_a = _blind(a) or _unseen(left for left, right in pairs if right is None)
    hidden_b = _blind(b) or _unseen(right for left, right in pairs if left is None)
    bad_a = any(left is not None and right is None and _badness(left) for left, right in pairs)
    bad_b = any(left is None and right is not None and _badness(right) for left, right in pairs)
    for left, right in pairs:
        why = None
        if left is not None and right is not None:
            change = _between(left, right)
            if change is Change.UNSEEN_IN_A:
                why = left.message
        elif left is not None:
            change = _of_a_alone(left, b, hidden=hidden_b is not None, hides=bad_b)
            why = hidden_b if change is Change.UNSEEN_IN_B else None
        elif right is not None:
            change = _of_b_alone(right, hidden=hidden_a is not None, hides=bad_a)
            why = hidden_a if change is Change.UNSEEN_IN_A else None
        else:
            continue
        if change is not None:
            yield FindingChange(change, check, left, right, evidence_changes(left, right, own_a, own_b), why)


def _of_a_alone(finding: Finding, b: Result | None, *, hidden: bool, hides: bool) -> Change | None:
    """What became of a finding that B does not hold. One that is unknown and `hides` others is told with those."""
    if finding.status is Status.UNKNOWN:
        return None if hidden or hides else Change.BETTER
    if not _BADNESS[finding.status]:
        return None
    if hidden:
        return Change.UNSEEN_IN_B
    return Change.GONE if b is not None and b.status is Status.SKIP else Change.FIXED


def _of_b_alone(finding: Finding, *, hidden: bool, hides: bool) -> Change | None:
    """As the above, of a finding that A does not hold."""
    if finding.status is Status.UNKNOWN:
        return None if hidden or hides else Change.UNSEEN_IN_B
    if not _BADNESS[finding.status]:
        return None
    return Change.UNSEEN_IN_A if hidden else Change.NEW


def _unseen(findings: Iterable[Finding | None]) -> str | None:
    """What the first unknown finding says."""
    return next((each.message for each in findings if each is not None and each.status is Status.UNKNOWN), None)


def _blind(result: Result | None) -> str | None:
    """Why a report does not judge a check at all; None where it does, or tried to."""
    if result is None:
        return "the check was not run"
    if all(finding.status is Status.SKIP and finding.reason in NOT_ASKED for finding in result.findings):
        return result.findings[0].message
    return None


def _between(left: Finding, right: Finding) -> Change | None:
    """What became of a finding that both reports hold; None where both are good, or neither side looked."""
    was, is_ = _badness(left), _badness(right)
    if was is None or is_ is None:
        if was == is_:
            return Change.STILL if left.status is Status.UNKNOWN is right.status else None
        if was is None:
            return Change.UNSEEN_IN_A if is_ else Change.BETTER if left.status is Status.UNKNOWN else None
        return Change.UNSEEN_IN_B if was or right.status is Status.UNKNOWN else None
    if was < is_:
        return Change.WORSE if was else Change.NEW
    if was == is_:
        return (Change.STILL if left.reason == right.reason else Change.CHANGED) if was else None
    if is_:
        return Change.BETTER
    return Change.GONE if right.status is Status.SKIP else Change.FIXED


def _badness(finding: Finding) -> int | None:
    """How bad it is; None where nobody looked."""
    unasked = finding.status is Status.SKIP and finding.reason in NOT_ASKED
    return None if unasked else _BADNESS.get(finding.status)


# -- which is which ------------------------------------------------------------------------------------------------------


def _pairs(
    a: Iterable[Finding], b: Iterable[Finding], own_a: Own, own_b: Own
) -> list[tuple[Finding | None, Finding | None]]:
    """Findings of one check side by side: the same reason and subject, else the same subject, each subject less its noise.

    So a subject that names a process by its pid, or the node itself, is the same one; and one that fails for another reason now is too.
    Where names are stand-ins, those that are left go by their reason alone, in their order, which stand-ins keep.
    """
    left, right = list(a), list(b)
    pairs: list[tuple[Finding | None, Finding | None]] = []

    def take(key_a: Callable[[Finding], Hashable], key_b: Callable[[Finding], Hashable]) -> None:
        waiting: dict[Hashable, list[Finding]] = {}
        for finding in right:
            waiting.setdefault(key_b(finding), []).append(finding)
        for finding in list(left):
            if others := waiting.get(key_a(finding)):
                other = others.pop(0)
                pairs.append((finding, other))
                _remove(left, finding)
                _remove(right, other)

    take(lambda each: (each.reason, each.subject), lambda each: (each.reason, each.subject))
    take(
        lambda each: (each.reason, own_a.stable(each.subject or "")),
        lambda each: (each.reason, own_b.stable(each.subject or "")),
    )
    take(lambda each: own_a.stable(each.subject or ""), lambda each: own_b.stable(each.subject or ""))
    if own_a.are_stand_ins or own_b.are_stand_ins:
        take(lambda each: each.reason, lambda each: each.reason)
    return [*pairs, *((finding, None) for finding in left), *((None, finding) for finding in right)]


def _remove(findings: list[Finding], finding: Finding) -> None:
    """Take out this very one: equal findings may stand in one report."""
    del findings[next(place for place, each in enumerate(findings) if each is finding)]


# -- evidence ------------------------------------------------------------------------------------------------------------


def evidence_changes(left: Finding | None, right: Finding | None, own_a: Own, own_b: Own) -> tuple[EvidenceChange, ...]:
    """What the evidence of a finding that both reports hold says differently. A source that one side alone names is all new, or gone."""
    if left is None or right is None:
        return ()
    before, after = _by_source(left.evidence, own_a), _by_source(right.evidence, own_b)
    found = []
    for key in dict.fromkeys([*after, *before]):
        old_source, old = before.get(key, ("", []))
        new_source, new = after.get(key, ("", []))
        keys = [own_a.stable(line) for line in old], [own_b.stable(line) for line in new]
        removed, added = lines_changed(old, new, *keys)
        if removed or added:
            found.append(EvidenceChange(new_source or old_source, tuple(removed), tuple(added)))
    return tuple(found)


def _by_source(evidence: Iterable[Evidence], own: Own) -> dict[str, tuple[str, list[str]]]:
    found: dict[str, tuple[str, list[str]]] = {}
    for each in evidence:
        found.setdefault(own.stable(each.source), (each.source, []))[1].extend(each.content.splitlines())
    return found


MOST_LINES = 400
"""Lines of one text that are compared in their order; of longer ones the sets of lines are, which takes no time that grows with its square."""


def lines_changed(
    old: Sequence[str], new: Sequence[str], old_keys: Sequence[str], new_keys: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The lines that one side alone has, as they stand there; lines with the same key are the same."""
    if old_keys == new_keys:
        return [], []
    if max(len(old), len(new)) > MOST_LINES:
        known_old, known_new = set(old_keys), set(new_keys)
        return (
            [line for line, key in zip(old, old_keys, strict=True) if key not in known_new],
            [line for line, key in zip(new, new_keys, strict=True) if key not in known_old],
        )
    removed: list[str] = []
    added: list[str] = []
    for kind, from_a, to_a, from_b, to_b in SequenceMatcher(None, old_keys, new_keys, autojunk=False).get_opcodes():
        if kind != "equal":
            removed += old[from_a:to_a]
            added += new[from_b:to_b]
    return removed, added
