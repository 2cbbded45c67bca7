"""A check's documentation: the docstring of its file, in parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from k8sdoctor.finding import Status
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.check import Check

HEADINGS = (
    "What it looks at",
    "Why it matters",
    "How it is decided",
    "Reasons",
    "What it sends",
    "How to fix",
    "How to verify",
    "References",
)
"""The headings of a check's docstring, in this order."""

REASONS = "Reasons"

# "- `ForwardingOn` (pass), `NoIPv4Pods` (skip): what they mean". A name without a status has that of the next one; "(fail or
# warn)" where it depends.
_NAMED = regex(r"(?:,|and|or|\s)*`(?P<reason>[A-Z]\w*)`(?: \((?P<status>[^)]*)\))?")

MENDING = "How to fix"

# "`RuntimeDown`, `RuntimeNotReady`: start the runtime"; a paragraph without such a head is for all reasons that have none of their own.
_HEAD = regex(r"`[A-Z]\w*`(?:, `[A-Z]\w*`)*: (?=\S)")


@dataclass(frozen=True)
class Reason:
    """One thing that a check can find, as its documentation tells."""

    reason: str
    status: Status
    text: str


@dataclass(frozen=True)
class Documentation:
    """What `k8sdoctor explain` prints. `introduction` is what stands above the first heading."""

    check: Check[Any]
    introduction: str
    sections: Mapping[str, str]

    @classmethod
    def of(cls, check: Check[Any]) -> Documentation:
        """The docstring of the file that holds a check, in parts."""
        introduction, *rest = re.split(r"^## ", check.documentation, flags=re.MULTILINE)
        sections = {}
        for part in rest:
            heading, _, body = part.partition("\n")
            sections[heading.strip()] = body.strip("\n")
        return cls(check, introduction.strip(), sections)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons in the order in which they are told; one that has two statuses is told twice."""
        return tuple(each for item in _items(self.sections.get(REASONS, "")) for each in _reasons(item))

    def each_reason(self) -> Iterator[tuple[str, str, tuple[Status, ...]]]:
        """Each reason once: its name, what it means, and the statuses that it may have, the worst last."""
        told: dict[tuple[str, str], list[Status]] = {}
        for each in self.reasons:
            told.setdefault((each.reason, each.text), []).append(each.status)
        yield from ((reason, text, tuple(statuses)) for (reason, text), statuses in told.items())

    def mending(self, reason: str = "") -> str:
        """How to mend what one reason tells: the paragraphs with its name at their head, else those without a head."""
        paragraphs = [(_HEAD.match(each), each) for each in self.sections.get(MENDING, "").strip().split("\n\n")]
        own = [
            each[head.end()].upper() + each[head.end() + 1 :]
            for head, each in paragraphs
            if head and f"`{reason}`" in head[0]
        ]
        return "\n\n".join(own or [each for head, each in paragraphs if not head])

    def document(self, source: str, reason: str | None = None) -> dict[str, Any]:
        """The documentation as JSON holds it; with a reason, no other reason."""
        return {
            "id": self.check.id,
            "area": self.check.area,
            "title": self.check.title,
            "profiles": sorted(self.check.profiles),
            "source": source,
            "reasons": [
                {"reason": each.reason, "status": str(each.status), "text": each.text}
                for each in self.reasons
                if reason in (None, each.reason)
            ],
            "sections": dict(self.sections),
        }


def _items(section: str) -> Iterator[str]:
    """The items of a list, each on one line."""
    for item in re.split(r"^- ", section, flags=re.MULTILINE)[1:]:
        yield " ".join(item.split())


def _reasons(item: str) -> Iterator[Reason]:
    """The reasons that an item begins with. What follows them is said of each."""
    names: list[tuple[str, str]] = []
    end = 0
    while named := _NAMED.match(item, end):
        names.append((named["reason"], named["status"] or ""))
        end = named.end()
    text = item[end:].lstrip(":. ").strip()
    for position, (name, _) in enumerate(names):
        told = next((status for _, status in names[position:] if status), "")
        yield from (Reason(name, status, text) for status in Status if re.search(rf"\b{status}\b", told))
