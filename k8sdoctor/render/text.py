"""A report for a person at a terminal: the diagnosis first, then a line a check, then what was seen.

Commands stand on lines of their own, without a prefix and never wrapped, so that they can be pasted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Safety, Status
from k8sdoctor.render import outline
from k8sdoctor.render.layout import block, columns, cut, harmless, lines, wrap
from k8sdoctor.render.outline import Entry, name_of, origin, standing, worst

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.finding import Evidence, Finding, Fix
    from k8sdoctor.render.outline import Alike, Name
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report

EVIDENCE_LINES = 10
"""Lines of one piece of evidence that are shown; `-o json` holds all of it."""

SAFETY = {
    Safety.SAFE: "safe to run",
    Safety.DISRUPTIVE: "disruptive: restarts or interrupts something",
    Safety.MANUAL: "manual: needs your decision",
}
"""What each word of a fix means to the one who pastes it."""

_ROOM = 20  # columns below which a message beside the id says nothing; it goes below then

_MANY = 6
"""Checks that skip, from which on they are named together: a bare machine skips most of them."""

STATUS_WIDTH = len(Status.UNKNOWN)
"""Columns of a status word."""


def render(report: Report, style: Style) -> str:
    """The whole report, each line at most `style.width` columns, but for commands."""
    parts = [
        _head(report, style),
        *(_diagnosis(number, diagnosis, report, style) for number, diagnosis in enumerate(report.diagnoses, 1)),
        _checks(report, style),
        _details(report, style),
        _not_seen(report, style),
        _broken(report, style),
        _summary(report, style),
    ]
    return "\n".join("".join(f"{line}\n" for line in part) for part in map(list, parts) if part)


def _head(report: Report, style: Style) -> Iterator[str]:
    told = f"k8sdoctor {report.version}: node {harmless(report.node)}, {origin(report)}"
    yield from wrap(f"{told}, {harmless(standing(report))}, profile {report.profile}", style.width)


def _diagnosis(number: int, diagnosis: Diagnosis, report: Report, style: Style) -> Iterator[str]:
    label = f"DIAGNOSIS {number}" if len(report.diagnoses) > 1 else "DIAGNOSIS"
    yield style.coloured(f"{style.symbol(diagnosis.status)}{label}: {diagnosis.status}", diagnosis.status)
    for line in wrap(harmless(diagnosis.title), style.width):
        yield style.bold(line)
    yield from block("Certainty: ", f"{diagnosis.certainty}. {diagnosis.why}", style.width, "  ")
    yield from block("Found by:  ", str(name_of(diagnosis.cause)), style.width, "  ")
    for position, reference in enumerate(diagnosis.explains):
        yield from block("           " if position else "Explains:  ", str(name_of(reference)), style.width, "  ")
    if diagnosis.fix is not None:
        yield from fix(diagnosis.fix, style)


def fix(fix: Fix, style: Style) -> Iterator[str]:
    """What to run, each command on a line of its own that can be pasted."""
    yield from block("Fix:       ", f"{fix.title.rstrip('.')} ({SAFETY[fix.safety]}).", style.width, "  ")
    for label, commands in (
        ("Run:", fix.commands),
        ("Make it last:", fix.persist),
        ("Verify:", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            yield f"  {style.dim(label)}"
            yield from (harmless(command) for command in commands)


def _checks(report: Report, style: Style) -> Iterator[str]:
    if not report.results:
        yield "No check was run."
        return
    yield style.bold("CHECKS")
    longest = max(len(result.check) for result in report.results)
    skipped = [result for result in report.results if result.status is Status.SKIP]
    together = len(skipped) >= _MANY
    for result in report.results:
        if together and result.status is Status.SKIP:
            continue
        start = f"{style.symbol(result.status)}{result.status:{STATUS_WIDTH}}"
        message = harmless(worst(result).message)
        room = style.width - len(start) - longest - 4
        if room >= _ROOM:
            line = f"  {result.check:{longest}}  {cut(message, room)}"
        else:
            name = cut(harmless(result.check), style.width - len(start) - 2)
            line = f"  {name}\n    {cut(message, style.width - 4)}"
        yield f"{style.coloured(start, result.status)}{line}"
    if together:
        start = f"{style.symbol(Status.SKIP)}{Status.SKIP:{STATUS_WIDTH}}  "
        names = ", ".join(harmless(result.check) for result in skipped)
        told = f"{len(skipped)} that do not apply here or were not asked for (k8sdoctor check NAME says why): {names}"
        first, *others = block(start, told, style.width, "")
        yield first.replace(start, style.coloured(start, Status.SKIP), 1)
        yield from others


def _details(report: Report, style: Style) -> Iterator[str]:
    """What was seen of all that fails or warns. A fix is shown once: with the diagnosis."""
    causes = outline.causes(report)
    first = True
    for result in report.results:
        for finding in result.findings:
            if finding.status not in (Status.FAIL, Status.WARN):
                continue
            if first:
                yield style.bold("WHAT WAS SEEN")
                first = False
            yield from _observed(Entry(result, finding), causes, style)


def heading(check: str, finding: Finding, style: Style) -> Iterator[str]:
    """The status and the name of a finding, on one line."""
    subject = f" ({harmless(finding.subject)})" if finding.subject else ""
    start = f"{style.symbol(finding.status)}{finding.status:{STATUS_WIDTH}}"
    named = cut(f"{check}/{finding.reason}{subject}", style.width - columns(start) - 2)
    yield f"{style.coloured(start, finding.status)}  {named}"


def _observed(entry: Entry, causes: Mapping[Name, Name], style: Style) -> Iterator[str]:
    """What a finding says, what caused it, and what was seen."""
    finding = entry.finding
    yield from heading(entry.result.check, finding, style)
    for line in wrap(harmless(finding.message), style.width - 2):
        yield f"  {line}"
    if entry.name in causes:
        cause = causes[entry.name]
        yield from block("Caused by: ", f"{cause.check}/{cause.reason}; mend that first.", style.width, "  ")
    for evidence in finding.evidence:
        yield from _evidence(evidence, style)


def _evidence(evidence: Evidence, style: Style) -> Iterator[str]:
    source = harmless(evidence.source)
    content = lines(evidence.content)
    if len(content) == 1 and columns(source) + columns(content[0]) + 4 <= style.width:
        yield f"  {style.dim(f'{source}:')} {content[0]}".rstrip()
        return
    yield from (f"  {style.dim(line)}" for line in wrap(f"{source}:", style.width - 2))
    # Text of the host is wrapped, too: a page of HTML may be one line.
    shown = [piece for line in content for piece in (wrap(line, style.width - 4) or [""])]
    yield from (f"    {line}".rstrip() for line in shown[:EVIDENCE_LINES])
    if len(shown) > EVIDENCE_LINES:
        yield f"    {style.dim(f'[{len(shown) - EVIDENCE_LINES} more lines: -o json shows all]')}"


def _not_seen(report: Report, style: Style) -> Iterator[str]:
    """What could not be looked at, and what would let us look."""
    causes = outline.causes(report)
    missing = [entry for entry in outline.bad(report) if entry.finding.status is Status.UNKNOWN]
    if missing:
        yield style.bold("COULD NOT BE LOOKED AT")
    alike, others = outline.together(missing, causes)
    for each in alike:
        yield from _alike(each, style)
    shown: list[Fix] = []
    for entry in others:
        finding = entry.finding
        yield from _observed(entry, causes, style)
        if finding.fix is not None and entry.name not in causes:
            if finding.fix in shown:  # a silent runtime leaves more than one check without an answer
                yield "  Fix:       as above."
            else:
                yield from fix(finding.fix, style)
                shown.append(finding.fix)


def _alike(alike: Alike, style: Style) -> Iterator[str]:
    """Checks that one thing would let look: that thing once, and their names."""
    start = f"{style.symbol(Status.UNKNOWN)}{Status.UNKNOWN:{STATUS_WIDTH}}"
    first, *others = block(f"{start}  ", f"{alike.title}:", style.width)
    yield first.replace(start, style.coloured(start, Status.UNKNOWN), 1)
    yield from others
    yield from (f"  {line}" for line in wrap(harmless(", ".join(alike.checks)), style.width - 2))
    yield from (f"  {style.dim(line)}" for line in wrap(_WHAT_EACH, style.width - 2))


_WHAT_EACH = "(k8sdoctor check NAME says what one of them could not see, -o json what each)"


def _broken(report: Report, style: Style) -> Iterator[str]:
    """What did not work of ours or of a plug-in."""
    if not report.broken:
        return
    yield style.bold("BROKEN")
    for entry in report.broken:
        for number, line in enumerate(wrap(harmless(f"{entry.what}: {entry.error}"), style.width - 4)):
            yield f"{'    ' if number else '  '}{line}"
    yield "  (-o json shows the tracebacks)"


def _summary(report: Report, style: Style) -> Iterator[str]:
    counts = [(status, report.count(status)) for status in reversed(Status)]
    told = ", ".join(f"{number} {status}" for status, number in counts if number) or "nothing was judged"
    notes = ""
    if report.broken:
        notes += f", {len(report.broken)} broken"
    if report.interrupted:
        notes += "; interrupted, so this is not all"
    sentence = f"{len(report.results)} checks in {report.seconds:.1f} s: {told}{notes}."
    if len(report.results) == 1:
        sentence = sentence.replace("checks", "check", 1)
    graver = Status.UNKNOWN if report.broken and report.status.rank < Status.UNKNOWN.rank else report.status
    for line in wrap(sentence, style.width):
        yield style.coloured(line, graver)
    if report.diagnoses and report.source == "live":
        cause = report.diagnoses[0].cause
        yield from wrap(f"More about the first: k8sdoctor explain {cause.check}/{cause.reason}", style.width)
    if report.euid > 0 and any(each.reason == "NotPermitted" for result in report.results for each in result.findings):
        root = "Not run as root: sudo k8sdoctor check sees more."
        yield from wrap(root if report.source == "live" else "Not recorded as root, who sees more.", style.width)
