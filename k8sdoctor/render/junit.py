"""A report as JUnit XML, as CI systems show it: one test case a check."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import harmless
from k8sdoctor.render.outline import worst

if TYPE_CHECKING:
    from k8sdoctor.finding import Finding
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report, Result


def render(report: Report, _style: Style) -> str:
    """The report: fail is a failure, unknown and what is broken an error, skip is skipped, warn passes with its text kept."""
    errors = report.count(Status.UNKNOWN) + len(report.broken)
    counts = {
        "tests": str(len(report.results) + len(report.broken)),
        "failures": str(report.count(Status.FAIL)),
        "errors": str(errors),
        "time": f"{report.seconds:.3f}",
    }
    about = {
        "skipped": str(report.count(Status.SKIP)),  # of a suite only, by the schema of Jenkins' xUnit plug-in
        "timestamp": datetime.fromtimestamp(report.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": harmless(report.node),
    }
    suite = ET.Element("testsuite", {"name": "k8sdoctor", **counts, **about})
    properties = ET.SubElement(suite, "properties")
    for name, value in report.document()["metadata"].items():
        if not isinstance(value, dict):
            told = value if isinstance(value, str) else json.dumps(value)
            ET.SubElement(properties, "property", {"name": name, "value": harmless(told)})
    for result in report.results:
        _case(suite, result)
    for entry in report.broken:
        case = ET.SubElement(suite, "testcase", {"classname": "broken", "name": harmless(entry.what), "time": "0.000"})
        error = ET.SubElement(case, "error", {"type": "Broken", "message": harmless(entry.error)})
        error.text = _lines(entry.traceback)
    root = ET.Element("testsuites", {"name": "k8sdoctor", **counts})
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(
        suite, "testcase", {"classname": result.area, "name": result.check, "time": f"{result.seconds:.3f}"}
    )
    finding = worst(result)
    told = {"type": finding.reason, "message": harmless(finding.message)}
    everything = "\n\n".join(map(_told, result.findings))
    match result.status:
        case Status.FAIL:
            ET.SubElement(case, "failure", told).text = everything
        case Status.UNKNOWN:
            ET.SubElement(case, "error", told).text = everything
        case Status.SKIP:
            ET.SubElement(case, "skipped", {"message": harmless(finding.message)})
        case _:
            ET.SubElement(case, "system-out").text = everything


def _told(finding: Finding) -> str:
    told = [f"{finding.status} {finding.reason}: {harmless(finding.message)}"]
    told += [f"{harmless(evidence.source)}: {_lines(evidence.content)}" for evidence in finding.evidence]
    if finding.fix is not None:
        commands = [*finding.fix.commands, *finding.fix.persist]
        told += [f"Fix ({finding.fix.safety}): {harmless(finding.fix.title)}", *map(harmless, commands)]
    return "\n".join(told)


def _lines(text: str) -> str:
    """XML 1.0 cannot hold control characters at all, not even escaped, so they are written out."""
    return "\n".join(map(harmless, text.split("\n")))
