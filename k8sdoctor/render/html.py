"""A report as one HTML page that loads nothing from anywhere, and works without scripts."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import harmless, lines
from k8sdoctor.render.outline import (
    Alike,
    Entry,
    Name,
    bad,
    causes,
    counts,
    name_of,
    origin,
    pressing_first,
    standing,
    together,
    worst,
)
from k8sdoctor.render.text import SAFETY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.finding import Finding, Fix
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report

_WORDS = {
    "fail": "something is broken",
    "unknown": "not everything could be looked at",
    "warn": "nothing is broken, and something will not last",
    "pass": "nothing is wrong",
    "skip": "nothing was judged",
}
"""What a report's status means in a heading."""


def render(report: Report, _style: Style) -> str:
    """The whole report."""
    return "\n".join(_Page(report).whole()) + "\n"


class _Page:
    """The parts of the page. Each finding that needs an eye has an anchor, so that causes and symptoms lead to each other."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._bad = pressing_first(bad(report))
        self._causes = causes(report)
        self._anchors: dict[Name, str] = {}
        for number, entry in enumerate(self._bad, 1):
            self._anchors.setdefault(entry.name, f"finding-{number}")
        self._diagnosed = {
            name_of(each.cause): f"diagnosis-{number}" for number, each in enumerate(report.diagnoses, 1)
        }

    def whole(self) -> Iterator[str]:
        report = self._report
        title = f"{_text(report.node)}: {_WORDS[report.status]}"
        css = (resources.files("k8sdoctor") / "data" / "report.css").read_text("utf-8")
        yield "<!DOCTYPE html>"
        yield '<html lang="en"><head><meta charset="utf-8">'
        # A second lock: even if something of the host got past the escaping, nothing would run or load.
        yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<meta name="color-scheme" content="light dark">'
        yield f"<title>{title} - k8sdoctor</title><style>\n{css}</style></head><body>"
        yield from self._header(title)
        yield "<main>"
        for number, diagnosis in enumerate(report.diagnoses, 1):
            if number == 1:
                yield f"<h2>{'Diagnosis' if len(report.diagnoses) == 1 else 'Diagnoses, what to mend first comes first'}</h2>"
            yield from self._diagnosis(number, diagnosis)
        yield from self._findings()
        yield from self._checks()
        yield from self._broken()
        yield from self._contacted()
        yield "</main></body></html>"

    def _header(self, title: str) -> Iterator[str]:
        report = self._report
        yield f"<header><h1>{title}</h1>"
        if report.results:
            told = "".join(
                f'<li><span class="badge {status}">{number} {status}</span></li>' for status, number in counts(report)
            )
            yield f'<ul class="counts" aria-label="How the checks ended">{told}</ul>'
        source = "seen by root" if report.euid == 0 else "not seen by root"
        yield (
            f'<p class="muted">Node {_text(report.node)}, {_text(standing(report))}, profile {_text(report.profile)}, '
            f"{source}, {origin(report)}; {len(report.results)} checks in {report.seconds:.1f} s; "
            f"k8sdoctor {_text(report.version)}</p>"
        )
        if report.interrupted:
            yield "<p><strong>The run was interrupted, so this is not all.</strong></p>"
        if not report.results:
            yield "<p>No check was run.</p>"
        yield "</header>"

    def _diagnosis(self, number: int, diagnosis: Diagnosis) -> Iterator[str]:
        yield f'<article id="diagnosis-{number}" class="edge-{diagnosis.status}">'
        yield f"<h3>{_badge(diagnosis.status)} {_text(diagnosis.title)}</h3>"
        yield f"<dl><dt>Certainty</dt><dd>{diagnosis.certainty.capitalize()}. {_text(diagnosis.why)}</dd>"
        yield f"<dt>Found by</dt><dd>{self._link(name_of(diagnosis.cause))}</dd>"
        if diagnosis.explains:
            items = "".join(f"<li>{self._link(name_of(each))}</li>" for each in diagnosis.explains)
            yield f"<dt>Explains</dt><dd><ul>{items}</ul></dd>"
        yield "</dl>"
        if diagnosis.fix is not None:
            yield from _fix(diagnosis.fix)
        yield "</article>"

    def _findings(self) -> Iterator[str]:
        """By area; the area with what presses most comes first."""
        areas: dict[str, list[Entry]] = {}
        alike, each_alone = together(self._bad, self._causes)
        for entry in each_alone:
            areas.setdefault(entry.result.area, []).append(entry)
        if self._bad:
            yield "<h2>What was found</h2>"
        shown: list[Fix] = []
        for area, entries in areas.items():
            yield f'<h3 class="area">{_text(area)}</h3>'
            for entry in entries:
                yield from self._finding(entry, shown)
        if alike:
            yield '<h3 class="area">what could not be looked at</h3>'
        for each in alike:
            yield from self._alike(each)

    def _finding(self, entry: Entry, shown: list[Fix]) -> Iterator[str]:
        name, finding = entry.name, entry.finding
        yield f'<article id="{self._anchors[name]}" class="finding edge-{finding.status}">'
        yield f"<h4>{_badge(finding.status)} {_text(str(name))}</h4>"
        yield f"<p>{_text(finding.message)}</p>"
        if name in self._causes:
            yield f"<p>Caused by {self._link(self._causes[name])}; mend that first.</p>"
        elif name in self._diagnosed:
            if finding.fix is not None:
                yield f'<p><a href="#{self._diagnosed[name]}">How to mend it stands with the diagnosis.</a></p>'
        elif finding.fix is not None and finding.fix in shown:
            yield "<p>It is mended as above.</p>"
        elif finding.fix is not None:
            shown.append(finding.fix)
            yield from _fix(finding.fix)
        yield from _evidence(finding)
        yield "</article>"

    def _alike(self, alike: Alike) -> Iterator[str]:
        """Checks that one thing would let look, with what each said folded away."""
        yield '<article class="finding edge-unknown">'
        yield f"<h4>{_badge(Status.UNKNOWN)} {_text(alike.title)}</h4>"
        yield f"<p>{_text(', '.join(alike.checks))}</p>"
        anchors = {entry.name: f' id="{self._anchors[entry.name]}"' for entry in alike.entries}
        items = "".join(
            f"<li{anchors.pop(entry.name, '')}>{_text(str(entry.name))}: {_text(entry.finding.message)}</li>"
            for entry in alike.entries
        )
        yield f"<details><summary>What each could not see</summary><ul>{items}</ul></details></article>"

    def _checks(self) -> Iterator[str]:
        """What is fine is folded, and there for the one who asks."""
        results = self._report.results
        if not results:
            return
        yield "<h2>All checks</h2>"
        folded = " open" if not self._bad else ""
        yield f"<details{folded}><summary>{len(results)} check{'' if len(results) == 1 else 's'}, one a line</summary>"
        # With roles of its own: a phone shows rows as blocks, and to a screen reader it is to stay a table.
        yield '<table role="table"><caption>Each check with the worst that it found</caption><thead><tr role="row">'
        yield from (
            f'<th scope="col" role="columnheader">{each}</th>' for each in ("Status", "Check", "What was found")
        )
        yield "</tr></thead><tbody>"
        for result in results:
            yield (
                f'<tr role="row"><td role="cell">{_badge(result.status)}</td>'
                f'<th scope="row" role="rowheader">{_text(result.check)}</th>'
                f'<td role="cell">{_text(worst(result).message)}</td></tr>'
            )
        yield "</tbody></table></details>"

    def _broken(self) -> Iterator[str]:
        if self._report.broken:
            yield "<h2>Broken parts of k8sdoctor or of a plug-in</h2>"
        for entry in self._report.broken:
            yield f'<article class="edge-unknown"><h3>{_text(entry.what)}</h3><p>{_text(entry.error)}</p>'
            yield f"<details><summary>Traceback</summary>{_block(lines(entry.traceback))}</details></article>"

    def _contacted(self) -> Iterator[str]:
        if self._report.contacted:
            yield "<h2>Who was asked</h2>"
            number = len(self._report.contacted)
            yield f"<details><summary>{number} address{'' if number == 1 else 'es'}</summary>"
            yield f"{_block(map(harmless, self._report.contacted))}</details>"

    def _link(self, name: Name) -> str:
        anchor = self._anchors.get(name)
        return f'<a href="#{anchor}">{_text(str(name))}</a>' if anchor else _text(str(name))


def _fix(fix: Fix) -> Iterator[str]:
    yield f'<div class="fix"><p>{_text(fix.title)}</p><div class="muted">{_text(SAFETY[fix.safety])}</div>'
    for label, commands in (
        ("Run", fix.commands),
        ("Make it last", fix.persist),
        ("Verify", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            # One click on a command selects all of it, also where it is shown in several lines.
            told = "\n".join(f"<code>{escape(harmless(command))}</code>" for command in commands)
            yield f'<div class="step">{label}</div><pre class="commands">{told}</pre>'
    yield "</div>"


def _evidence(finding: Finding) -> Iterator[str]:
    if not finding.evidence:
        return
    yield "<details><summary>What was seen, and where</summary>"
    for evidence in finding.evidence:
        yield f'<div class="source">{_text(evidence.source)}</div>{_block(lines(evidence.content))}'
    yield "</details>"


def _badge(status: Status) -> str:
    return f'<span class="badge {status}">{status}</span>'


def _text(text: str) -> str:
    return escape(harmless(text))


def _block(content: Iterable[str]) -> str:
    return "<pre>" + escape("\n".join(content)) + "</pre>"
