"""The JUnit report, read by a library as CI systems read it, and held against what Jenkins' schema allows."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k8sdoctor import Evidence, fail, passed, render, skip, unknown
from k8sdoctor.report import Broken
from tests.render.reports import HEALTHY, SICK, SPIKED, long_report, report

if TYPE_CHECKING:
    from k8sdoctor.report import Report

# What jenkinsci/xunit-plugin's junit-10.xsd allows, of what we write; the first attributes of each must be there.
ALLOWED: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname"},
        {"properties", "testcase"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"time", "classname"}, {"skipped", "error", "failure", "system-out"}),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def interrupted(shown: Report) -> str:
    properties = ET.fromstring(render.report(shown, "junit")).iter("property")
    return next(each.attrib["value"] for each in properties if each.attrib["name"] == "interrupted")


@pytest.mark.parametrize("shown", [SICK, HEALTHY, SPIKED, long_report(9), report()], ids=range(5))
def test_nothing_stands_there_that_the_schema_does_not_allow(shown: Report) -> None:
    root = ET.fromstring(render.report(shown, "junit"))

    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, children = ALLOWED[element.tag]
        assert needed <= element.attrib.keys() <= needed | allowed
        assert {child.tag for child in element} <= children
        assert TIME.fullmatch(element.attrib.get("time", ""))


def test_a_ci_system_sees_what_failed_what_is_unknown_and_what_was_skipped() -> None:
    read = junitparser.JUnitXml.fromstring(render.report(SICK, "junit").encode())
    [suite] = read
    cases = {case.name: [type(each) for each in case.result] for case in suite}

    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 2, 2, 1)
    assert (suite.hostname, suite.timestamp) == ("node1", "2026-05-28T20:26:40")
    assert cases == {
        "apiserver-san": [junitparser.Skipped],
        "br-netfilter": [junitparser.Failure],
        "dns-reply-source": [junitparser.Failure],
        "ip-forward": [],
        "pause-image": [junitparser.Error],
        "plug-in acme (acme.checks)": [junitparser.Error],
    }
    [failure] = next(case for case in suite if case.name == "br-netfilter").result
    assert "modprobe br_netfilter" in failure.text
    assert interrupted(SICK) == "false"


def test_an_interrupted_run_is_told() -> None:
    assert interrupted(dataclasses.replace(HEALTHY, interrupted=True)) == "true"


@given(st.text(max_size=40).filter(lambda text: bool(text.strip())))
@settings(deadline=None, max_examples=100)
def test_any_character_of_the_host_can_be_read_again(odd: str) -> None:
    shown = render.report(
        report(
            ("a", fail("Odd", odd, evidence=[Evidence(odd, odd)])),
            ("b", unknown("Odd", odd)),
            ("c", skip("Odd", odd)),
            ("d", passed("Odd", odd)),
            broken=(Broken(odd, odd, odd),),
        ),
        "junit",
    )
    [suite] = junitparser.JUnitXml.fromstring(shown.encode("utf-8", "backslashreplace"))

    assert [len(case.result) for case in suite] == [1, 1, 1, 0, 1]


def test_a_control_character_is_written_out() -> None:
    shown = render.report(report(("a", fail("Odd", "a\x00b\x1b[2J\ufffe\udcff."))), "junit")
    failure = ET.fromstring(shown).find(".//failure")

    assert failure is not None
    assert failure.attrib["message"] == "a\\x00b\\x1b[2J\\ufffe\\udcff."
