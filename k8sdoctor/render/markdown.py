"""A report as Markdown, for a ticket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import harmless, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.finding import Finding, Fix
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report, Result

_BAD = (Status.FAIL, Status.UNKNOWN, Status.WARN)


def render(report: Report, _style: Style) -> str:
    """The whole report; what was seen is in code blocks, so that nothing of the host is read as markup."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# k8sdoctor: {plain(report.node)} is {report.status}"
    yield ""
    yield f"Version {report.version}, stage {report.stage}, profile {report.profile}, source {report.source}."
    for diagnosis in report.diagnoses:
        yield from _diagnosis(diagnosis)
    yield from ("", "## Checks", "", "| Status | Check | Finding |", "| --- | --- | --- |")
    for result in report.results:
        worst = next(finding for finding in result.findings if finding.status is result.status)
        yield f"| {result.status} | {result.check} | {plain(worst.message)} |"
    for result in report.results:
        for finding in result.findings:
            if finding.status in _BAD:
                yield from _finding(result, finding)
    if report.broken:
        yield from ("", "## Broken", "")
        yield from (f"- {plain(entry.what)}: {plain(entry.error)}" for entry in report.broken)
    if report.contacted:
        yield from ("", "## Contacted", "")
        yield from (f"- {_code(peer)}" for peer in report.contacted)


def _diagnosis(diagnosis: Diagnosis) -> Iterator[str]:
    yield from ("", f"## Diagnosis ({diagnosis.status}): {plain(diagnosis.title)}", "")
    yield f"{diagnosis.certainty.capitalize()}: {plain(diagnosis.why)}"
    if diagnosis.explains:
        yield from ("", "Explains:", "")
        for reference in diagnosis.explains:
            subject = f" ({plain(reference.subject)})" if reference.subject else ""
            yield f"- {reference.check}/{reference.reason}{subject}"
    if diagnosis.fix is not None:
        yield from fix(diagnosis.fix)


def fix(fix: Fix) -> Iterator[str]:
    """What to run, in code blocks."""
    yield from ("", f"Fix ({fix.safety}): {plain(fix.title)}")
    for label, commands in (
        ("Run", fix.commands),
        ("Make it last", fix.persist),
        ("Verify", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            yield from ("", f"{label}:", "")
            yield from code_block("sh", [harmless(command) for command in commands])


def _finding(result: Result, finding: Finding) -> Iterator[str]:
    yield from ("", f"## {result.check}/{finding.reason} ({finding.status})", "", plain(finding.message))
    for evidence in finding.evidence:
        # Not at the start of the line, where backticks may begin a block.
        yield from ("", f"From {_code(harmless(evidence.source))}:", "")
        yield from code_block("", lines(evidence.content))


def code_block(language: str, content: list[str]) -> Iterator[str]:
    """Lines that nothing of Markdown reads."""
    longest = max((len(ticks) for line in content for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)  # CommonMark: a fence is longer than any run of backticks in the block
    yield f"{fence}{language}"
    yield from content
    yield fence


def _code(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{padding}{text}{padding}{ticks}"


def plain(text: str) -> str:
    """A sentence on one line with nothing in it that Markdown, or HTML in it, would obey."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", harmless(" ".join(text.split())))
