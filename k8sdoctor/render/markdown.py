"""A report as Markdown, for a ticket: short enough for one, with what was seen folded away."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from k8sdoctor.records import dataclass
from k8sdoctor.render.layout import harmless, lines
from k8sdoctor.render.outline import bad, causes, counts, name_of, origin, pressing_first, standing, together, worst
from k8sdoctor.render.text import SAFETY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.finding import Fix
    from k8sdoctor.render.outline import Alike, Entry, Name
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report

LIMIT = 65_536
"""Bytes of the whole: GitHub takes no issue or comment of more characters."""

EVIDENCE_SHARE = 6_000
"""Bytes of one piece of evidence where not all of it fits and there is much, so that one log does not crowd out the rest."""

_NOTE = 600  # bytes that are kept free for what must be said about cuts
_LEAST = 200  # bytes of evidence below which a piece of it says nothing
_LONGEST = 2_000  # characters of a sentence


def render(report: Report, _style: Style) -> str:
    """The whole report, or as much as a ticket takes, the most telling first; what was cut is said at its head."""
    parts = list(_parts(report))
    whole = "".join(part.told([each.told() for each in part.evidence]) for part in parts)
    return whole if _size(whole) <= LIMIT else _cut(parts)


@dataclass()
class _Seen:
    """A piece of evidence: where from, and lines for a fence that none of them ends."""

    source: str
    content: list[str]

    def told(self, room: int | None = None) -> str:
        """As Markdown; with the first lines only where it may take no more than some bytes."""
        # Not at the start of the line, where backticks may begin a block.
        opening = f"\nFrom {code(self.source)}:\n\n"
        whole = opening + _joined(code_block("", self.content))
        if room is None or _size(whole) <= room:
            return whole
        spare = room - _size(whole) + sum(_size(line) + 1 for line in self.content) - len(_MISSING) - 8
        shown: list[str] = []
        for line in self.content:
            part = line if _size(line) < spare else line.encode()[: max(spare, 0)].decode("utf-8", "ignore")
            shown.append(part)
            spare -= _size(part) + 1
            if part != line or spare <= 0:
                break
        return opening + _joined(code_block("", [*shown, _MISSING.format(len(self.content) - len(shown))]))


_MANY = {
    "a diagnosis": "{} diagnoses",
    "a finding": "{} findings",
    "a piece of evidence": "{} pieces of evidence",
}

_MISSING = "[... and {} more lines: -o json has all]"


@dataclass()
class _Part:
    """A piece of the report that stands or falls as a whole: `kind` in the words of the one who reads that it is gone.

    `evidence` goes before `end`, and may be cut, or left out.
    """

    kind: str
    text: str
    evidence: list[_Seen] = field(default_factory=list)
    end: str = ""

    def told(self, evidence: Iterable[str] = ()) -> str:
        return f"{self.text}{''.join(evidence)}{self.end}"


def _cut(parts: list[_Part]) -> str:
    head, *others = parts
    room = LIMIT - _NOTE - _size(head.text)
    kept: list[_Part] = []
    gone: Counter[str] = Counter()
    for part in others:
        size = _size(part.told())
        if size <= room and not gone:
            kept.append(part)
            room -= size
        else:
            gone[part.kind] += 1
    told = []
    left = sum(len(part.evidence) for part in kept)
    for part in kept:
        shown = []
        for seen in part.evidence:
            allowed = min(max(EVIDENCE_SHARE, room // left), room)
            left -= 1
            block = seen.told(allowed) if allowed >= _LEAST else ""
            if _size(block) > room:  # a source of many characters leaves no room for a line of what it said
                block = ""
            if block != seen.told():
                gone["a piece of evidence"] += 1
            room -= _size(block)
            shown.append(block)
        told.append(part.told(shown))
    missing = ", ".join(_MANY[kind].format(number) if number > 1 else kind for kind, number in gone.items())
    note = f"Left out or shortened, so that this fits into a ticket of {LIMIT:,} characters: {missing}. `-o json` has everything."
    return f"{head.text}\n**This is not all.** {note}\n{''.join(told)}"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


# -- the parts, the most telling first -----------------------------------------------------------------------------------


def _parts(report: Report) -> Iterator[_Part]:
    yield _Part("", _joined(_head(report)))
    for number, diagnosis in enumerate(report.diagnoses, 1):
        heading = f"Diagnosis {number}" if len(report.diagnoses) > 1 else "Diagnosis"
        yield _Part("a diagnosis", _joined(_diagnosis(heading, diagnosis)))
    caused = causes(report)
    diagnosed = {name_of(each.cause) for each in report.diagnoses}
    alike, entries = together(pressing_first(bad(report)), caused)
    title = "\n## What was found\n"
    for entry in entries:
        evidence = [_Seen(_bounded(harmless(each.source)), lines(each.content)) for each in entry.finding.evidence]
        told = title + _joined(_finding(entry, caused, diagnosed))
        title = ""
        if evidence:
            told += "\n<details><summary>What was seen, and where</summary>\n"
        yield _Part("a finding", told, evidence, "\n</details>\n" if evidence else "")
    for each in alike:
        yield _Part("a finding", title + _joined(_alike(each)))
        title = ""
    if report.broken:
        yield _Part("what is broken", _joined(_broken(report)))
    if report.results:
        yield _Part("the list of checks", _joined(_checks(report)))
    if report.contacted:
        yield _Part("who was asked", _joined(_contacted(report)))


def _joined(told: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in told)


def _head(report: Report) -> Iterator[str]:
    yield f"# k8sdoctor: {plain(report.node)} is {report.status}"
    yield ""
    told = ", ".join(f"{number} {status}" for status, number in counts(report)) or "no check was run"
    stands = standing(report)
    yield (
        f"**{told}.** {plain(stands[:1].upper() + stands[1:])}, profile {plain(report.profile)}, {origin(report)}; "
        f"k8sdoctor {plain(report.version)}."
    )
    if report.interrupted:
        yield from ("", "**The run was interrupted, so this is not all.**")


def _diagnosis(heading: str, diagnosis: Diagnosis) -> Iterator[str]:
    yield from ("", f"## {heading} ({diagnosis.status}): {plain(diagnosis.title)}", "")
    yield f"- **Certainty:** {diagnosis.certainty}. {plain(diagnosis.why)}"
    yield f"- **Found by:** {_named(name_of(diagnosis.cause))}"
    if diagnosis.explains:
        yield "- **Explains:**"
        yield from (f"  - {_named(name_of(each))}" for each in diagnosis.explains)
    if diagnosis.fix is not None:
        yield from fix(diagnosis.fix)


def fix(fix: Fix) -> Iterator[str]:
    """What to run, in blocks that can be copied."""
    yield from ("", f"**{plain(fix.title.rstrip('.'))}** ({SAFETY[fix.safety]}).")
    for label, commands in (
        ("Run", fix.commands),
        ("Make it last", fix.persist),
        ("Verify", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            yield from ("", f"{label}:", "")
            yield from code_block("sh", [harmless(command) for command in commands])


def _finding(entry: Entry, caused: dict[Name, Name], diagnosed: set[Name]) -> Iterator[str]:
    name, finding = entry.name, entry.finding
    yield from ("", f"### {finding.status}: {_named(name)}", "", plain(finding.message))
    if name in caused:
        yield from ("", f"Caused by {_named(caused[name])}; mend that first.")
    elif finding.fix is not None and name not in diagnosed:
        yield from fix(finding.fix)


def _alike(alike: Alike) -> Iterator[str]:
    """Checks that one thing would let look, with what each said folded away."""
    yield from ("", f"### unknown: {plain(alike.title)}", "", ", ".join(plain(check) for check in alike.checks))
    yield from ("", "<details><summary>What each could not see</summary>", "")
    yield from (f"- {_named(entry.name)}: {plain(entry.finding.message)}" for entry in alike.entries)
    yield from ("", "</details>")


def _checks(report: Report) -> Iterator[str]:
    number = len(report.results)
    yield from ("", f"<details><summary>{'The check' if number == 1 else f'All {number} checks'}</summary>", "")
    yield from ("| Status | Check | What was found |", "| --- | --- | --- |")
    for result in report.results:
        yield f"| {result.status} | {plain(result.check)} | {plain(worst(result).message)} |"
    yield from ("", "</details>")


def _broken(report: Report) -> Iterator[str]:
    yield from ("", "## Broken", "")
    yield from (f"- {plain(entry.what)}: {plain(entry.error)}" for entry in report.broken)


def _contacted(report: Report) -> Iterator[str]:
    yield from ("", "<details><summary>Who was asked</summary>", "")
    yield from (f"- {code(harmless(peer))}" for peer in report.contacted)
    yield from ("", "</details>")


# -- what Markdown would obey --------------------------------------------------------------------------------------------


def _named(name: Name) -> str:
    subject = f" ({plain(name.subject)})" if name.subject else ""
    return f"{code(harmless(f'{name.check}/{name.reason}'))}{subject}"


def code_block(language: str, content: list[str]) -> Iterator[str]:
    """Lines in a fence that none of them ends."""
    longest = max((len(ticks) for line in content for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)  # CommonMark: a fence is longer than any run of backticks in the block
    yield f"{fence}{language}"
    yield from content
    yield fence


def code(text: str) -> str:
    """A text in one line of code."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    # CommonMark takes one space off each side where there is one on both.
    padding = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{ticks}{padding}{text}{padding}{ticks}"


def plain(text: str) -> str:
    """A sentence on one line with nothing in it that Markdown, or HTML in it, would obey, and that calls nobody by name."""
    told = _bounded(harmless(" ".join(text.split())))
    told = re.sub(r"([\\`*_{}\[\]<>#|~!&$])", r"\\\1", told)
    told = re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", told)  # a list's number
    told = re.sub(r"^([-+=:])", r"\\\1", told)
    # On GitHub and GitLab, @name tells a person, and #12 another ticket, that they were mentioned.
    return re.sub(r"(?<![\w/])(@|\\#)(?=\w)", r"\1<!-- -->", told)


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
