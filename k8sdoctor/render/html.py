"""A report as one HTML page that loads nothing from anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import harmless, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.diagnosis import Diagnosis
    from k8sdoctor.finding import Finding, Fix
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report, Result

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { background: #f4f4f4; color: #111; padding: .6rem; overflow-x: auto; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
.fail { color: #b00020; } .warn { color: #8a5a00; } .unknown { color: #7b1fa2; } .pass { color: #1b6e20; }
.fail, .warn, .unknown { font-weight: bold; }"""


def render(report: Report, _style: Style) -> str:
    """The whole report."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterator[str]:
    title = f"k8sdoctor: {_text(report.node)} is {report.status}"
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    # A second lock: even if something of the host got past the escaping, nothing would run or load.
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{title}</title><style>\n{_STYLE}\n</style></head><body>"
    yield f"<h1>{title}</h1>"
    yield (
        f"<p>Version {_text(report.version)}, stage {report.stage}, profile {_text(report.profile)}, "
        f"source {report.source}.</p>"
    )
    for diagnosis in report.diagnoses:
        yield from _diagnosis(diagnosis)
    yield "<h2>Checks</h2><table><tr><th>Status</th><th>Check</th><th>Finding</th></tr>"
    for result in report.results:
        worst = next(finding for finding in result.findings if finding.status is result.status)
        yield f"<tr><td>{_status(result.status)}</td><td>{_text(result.check)}</td><td>{_text(worst.message)}</td></tr>"
    yield "</table>"
    for result in report.results:
        for finding in result.findings:
            yield from _finding(result, finding)
    if report.broken:
        yield "<h2>Broken</h2>"
        for entry in report.broken:
            yield f"<p>{_text(entry.what)}: {_text(entry.error)}</p>{_block(lines(entry.traceback))}"
    if report.contacted:
        yield f"<h2>Contacted</h2>{_block(report.contacted)}"
    yield "</body></html>"


def _diagnosis(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"<h2>Diagnosis: {_status(diagnosis.status)}</h2><p><strong>{_text(diagnosis.title)}</strong></p>"
    yield f"<p>{diagnosis.certainty.capitalize()}: {_text(diagnosis.why)}</p>"
    if diagnosis.explains:
        names = (
            f"{each.check}/{each.reason}" + (f" ({each.subject})" if each.subject else "")
            for each in diagnosis.explains
        )
        yield "<p>Explains:</p><ul>" + "".join(f"<li>{_text(name)}</li>" for name in names) + "</ul>"
    if diagnosis.fix is not None:
        yield from _fix(diagnosis.fix)


def _fix(fix: Fix) -> Iterator[str]:
    yield f"<p>Fix ({fix.safety}): {_text(fix.title)}</p>"
    for label, commands in (
        ("Run", fix.commands),
        ("Make it last", fix.persist),
        ("Verify", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            yield f"<p>{label}:</p>{_block(map(harmless, commands))}"


def _finding(result: Result, finding: Finding) -> Iterator[str]:
    if finding.status in (Status.PASS, Status.SKIP):
        return
    yield f"<h3>{_status(finding.status)} {_text(result.check)}/{_text(finding.reason)}</h3><p>{_text(finding.message)}</p>"
    for evidence in finding.evidence:
        yield f"<p>{_text(evidence.source)}:</p>{_block(lines(evidence.content))}"


def _status(status: Status) -> str:
    return f'<span class="{status}">{status}</span>'


def _text(text: str) -> str:
    return escape(harmless(text))


def _block(content: Iterable[str]) -> str:
    return "<pre>" + escape("\n".join(content)) + "</pre>"
