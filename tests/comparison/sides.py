"""Reports with little in them, to be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from k8sdoctor import Evidence, passed
from k8sdoctor.comparison import Comparison, Side, compare
from k8sdoctor.facts.machine import FILES
from k8sdoctor.facts.machine_marks import AUTHORITY, CLIENT_CERTIFICATE, LINKS, NODE, POD_CIDRS, PRODUCT_UUID
from tests.render.reports import report

if TYPE_CHECKING:
    from k8sdoctor import Finding

SOURCES = {
    "machine_id": FILES[0],
    "product_uuid": PRODUCT_UUID,
    "links": LINKS,
    "node_name": NODE,
    "pod_cidrs": POD_CIDRS,
    "client_certificate": CLIENT_CERTIFICATE,
    "authority": AUTHORITY,
}


def marks(**values: str) -> Finding:
    """What node-identity says of a machine with these marks."""
    evidence = [Evidence(SOURCES[name], value) for name, value in values.items()]
    return passed("MachineIdPresent", "This machine has an ID.", evidence=evidence)


def side(*findings: tuple[str, Finding | tuple[Finding, ...]], path: str = "a.json", **fields: Any) -> Side:
    """A report of these checks with these findings; `fields` are the report's own."""
    return Side(path, replace(report(*findings), **fields))


def compared(
    a: Finding | tuple[Finding, ...] | None, b: Finding | tuple[Finding, ...] | None, check: str = "subject"
) -> Comparison:
    """Two reports of one node that differ by the findings of one check; None is a report that does not hold the check."""
    first, second = (side(*([] if found is None else [(check, found)])) for found in (a, b))
    return compare(first, second)
