"""The vocabulary of a judgement: what was found, how sure we are, and what mends it.

This module imports nothing of ours, so that checks, renderers and plug-ins can all lean on it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


class Status(StrEnum):
    """The five answers of a check, from harmless to bad (`rank` orders them).

    `unknown` outranks `warn`: a thing that nobody could look at may hide a failure.
    """

    SKIP = "skip"
    PASS = "pass"  # noqa: S105 -- a verdict, not a password
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """Position in the order skip < pass < warn < unknown < fail."""
        return _ORDER.index(self)

    @staticmethod
    def worst(statuses: Iterable[Status]) -> Status:
        """The worst of some statuses; of none, `skip`."""
        return max(statuses, key=_ORDER.index, default=Status.SKIP)


_ORDER = tuple(Status)


class Safety(StrEnum):
    """What running a fix may do to a node that is in use."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"  # restarts or interrupts something
    MANUAL = "manual"  # needs a person's decision


class Certainty(StrEnum):
    """How sure a claim about a cause is: seen, or only the best explanation."""

    PROVEN = "proven"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Text as it was seen, and where it was seen (a path, a command, an address)."""

    source: str
    content: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What a person pastes to mend a finding.

    `commands` mend it now, `persist` makes it last over a boot, `verify` prints something that shows success. Each is a
    whole shell line. Running `commands`, then `persist`, makes the next run pass; no line overwrites a file that exists.
    """

    title: str
    commands: tuple[str, ...]
    verify: str
    safety: Safety
    persist: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A claim that a finding causes others, of another check or of its own.

    It holds for each finding of `check` with `reason` whose `traits` include all of `when`; so a cause on bridge `cni0` is
    never blamed for a symptom seen on another bridge. `why` is one sentence that says what the claim rests on.
    """

    check: str
    reason: str
    why: str
    certainty: Certainty = Certainty.LIKELY
    when: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of a check.

    `reason` is CamelCase, stable and public. `message` is one sentence that names the thing and the value seen. `subject`
    is the interface, file, image, address or pod it is about. `traits` are `key:value` words that a `Link` may ask for
    (for example `bridge:cni0`); they are not part of the report.
    """

    status: Status
    reason: str
    message: str
    subject: str | None = None
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    explains: tuple[Link, ...] = ()
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unobserved:
    """Why a fact could not be observed: a public reason (`NotPermitted`, `NotFound`, …) and one sentence.

    The sentence says what would let us look. `traits` are those of the finding that says so, by which a cause may know it.
    """

    reason: str
    message: str
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Harmless:
    """Makes findings of a status that needs no mending: they carry no fix and cause nothing."""

    status: Status

    def __call__(
        self,
        reason: str,
        message: str,
        *,
        subject: str | None = None,
        evidence: Iterable[Evidence] = (),
        traits: Iterable[str] = (),
    ) -> Finding:
        return Finding(self.status, reason, message, subject, tuple(evidence), traits=frozenset(traits))


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Makes findings of a status that a person should do something about."""

    status: Status

    def __call__(  # noqa: PLR0913 -- the parts of a finding
        self,
        reason: str,
        message: str,
        *,
        subject: str | None = None,
        evidence: Iterable[Evidence] = (),
        fix: Fix | None = None,
        explains: Iterable[Link] = (),
        traits: Iterable[str] = (),
    ) -> Finding:
        return Finding(self.status, reason, message, subject, tuple(evidence), fix, tuple(explains), frozenset(traits))


passed = _Harmless(Status.PASS)
"""Looked at, and good."""

skip = _Harmless(Status.SKIP)
"""Does not apply here, or was not asked for; the message says why."""

unknown = _Trouble(Status.UNKNOWN)
"""Could not look; the message says what would let us look."""

warn = _Trouble(Status.WARN)
"""Works now, and will not always."""

fail = _Trouble(Status.FAIL)
"""Looked at, and broken."""
