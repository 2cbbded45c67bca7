"""Reports for tickets, CI and browsers: all of it is there, and nothing of the host is read as markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from k8sdoctor import Evidence, Link, fail, render
from k8sdoctor.stored_report import read_report
from tests.conftest import VALIDATOR
from tests.render.reports import LONG_COMMAND, MARKUP, SICK, SPIKED, report, wanting_root

if TYPE_CHECKING:
    from k8sdoctor.report import Report


@pytest.mark.parametrize("format_", render.FORMATS)
def test_every_format_tells_cause_fix_and_what_is_broken(format_: str) -> None:
    shown = render.report(SICK, format_)

    for word in ("BridgeNfCallOff", "cni0", "modprobe br_netfilter", "ImportError: no acme", "NotPermitted"):
        assert word in shown
    assert shown.endswith("\n")
    assert LONG_COMMAND.split(" > ")[1].partition(" ")[0] in shown


@pytest.mark.parametrize("format_", render.FORMATS)
def test_every_format_is_the_same_text_for_the_same_report(format_: str) -> None:
    assert render.report(SICK, format_) == render.report(SICK, format_)


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
def test_a_format_for_people_says_when_a_recording_was_made_and_whether_its_names_are_stand_ins(format_: str) -> None:
    def told(made: Report) -> str:
        return " ".join(render.report(made, format_).split())

    recorded = replace(SICK, source="bundle")
    assert ", 2026-05-28 20:26 UTC" in told(SICK)
    assert ", recorded 2026-05-28 20:26 UTC" in told(recorded)
    assert "stand-ins" not in told(recorded)
    assert "UTC, with stand-ins for names and addresses" in told(replace(recorded, anonymized=True))


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
def test_a_format_for_people_says_of_a_node_of_another_distribution_that_it_is_none_of_kubeadms(format_: str) -> None:
    def told(made: Report) -> str:
        return " ".join(render.report(made, format_).replace("&#x27;", "'").split())

    other = replace(SICK, stage="prepared", other_distribution="k3s-server runs here")

    assert "o node of kubeadm's (k3s-server runs here), profile node" in told(other)
    assert "stage prepared" not in told(other).lower()
    assert "stage worker, profile node" in told(SICK).lower()
    assert read_report(render.report(other, "json")).document() == other.document()


@pytest.mark.parametrize("format_", ["markdown", "html"])
def test_what_would_let_many_checks_look_is_a_heading_once_and_what_each_said_is_folded(format_: str) -> None:
    shown = render.report(report(*wanting_root(7)), format_)

    assert shown.count("7 checks; run as root to look") == 1
    before, _, folded = shown.partition("<details><summary>What each could not see</summary>")
    assert "check-0, check-1, check-2, check-3, check-4, check-5, check-6" in before
    assert "Permission denied" not in before
    said = folded.partition("</details>")[0]
    assert [f"Permission denied: /{number}; run as root to look." in said for number in range(7)] == [True] * 7
    assert "What each could not see" not in render.report(report(*wanting_root(2)), format_)


def test_what_a_diagnosis_explains_is_led_to_also_where_it_is_folded() -> None:
    links = [Link(f"check-{each}", "NotPermitted", "it is gone") for each in range(4)]
    shown = render.report(report(("aa", fail("Gone", "It is gone.", explains=links)), *wanting_root(4)), "html")

    assert "4 checks; mend aa/Gone first" in shown
    led_to = set(re.findall(r'href="#(finding-\d+)"', shown))
    assert len(led_to) == 5
    assert [shown.count(f'id="{anchor}"') for anchor in led_to] == [1] * 5


@pytest.mark.parametrize("format_", ["json", "yaml", "junit"])
def test_what_programs_read_has_each_finding_that_wants_the_same(format_: str) -> None:
    shown = render.report(report(*wanting_root(7)), format_)

    assert all(f"Permission denied: /{number}; run as root to look." in shown for number in range(7))


def test_json_and_yaml_hold_the_same_document() -> None:
    for sample in (SICK, SPIKED):
        read = yaml.safe_load(render.report(sample, "yaml"))

        assert read == yaml.safe_load(render.report(sample, "json")) == sample.document()
        VALIDATOR.validate(read)


def test_yaml_shows_long_texts_as_blocks() -> None:
    assert "content: |-\n" in render.report(SICK, "yaml")


def test_junit_is_a_case_a_check_and_counts_right() -> None:
    root = ET.fromstring(render.report(SICK, "junit"))
    [suite] = root

    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "2",
        "errors": "2",
        "skipped": "1",
    }
    kinds = {case.attrib["name"]: [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds == {
        "br-netfilter": ["failure"],
        "dns-reply-source": ["failure"],
        "ip-forward": ["system-out"],
        "apiserver-san": ["skipped"],
        "pause-image": ["error"],
        "plug-in acme (acme.checks)": ["error"],
    }


def test_markup_of_the_host_is_text_in_junit() -> None:
    root = ET.fromstring(render.report(SPIKED, "junit"))

    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == MARKUP


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_markup_of_the_host_is_text_in_html_and_the_page_loads_nothing() -> None:
    parser = Tags()
    parser.feed(render.report(SPIKED, "html"))

    assert "script" not in parser.seen
    assert parser.links
    assert [link for link in parser.links if not link.startswith("#")] == []


def test_markup_of_the_host_is_text_in_markdown() -> None:
    lines = render.report(SPIKED, "markdown").splitlines()
    fence, inside = "", []
    for line in lines:
        if fence:
            if line == fence:
                fence = ""
            else:
                inside.append(line)
        elif line.startswith("```"):
            fence = line.rstrip("sh")
        elif MARKUP[:8] in line:
            assert line.startswith("From `")  # in a code span; elsewhere it is escaped

    assert fence == ""
    assert "```" in inside  # the host's own fence did not end ours


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=30)
def test_yaml_holds_any_text_as_it_is(odd: str) -> None:
    shown = report(("odd", fail("Odd", odd, subject=odd, evidence=[Evidence(odd, f"{odd}\n{odd}")])))
    written = render.report(shown, "yaml").encode("utf-8", "backslashreplace").decode("utf-8")

    assert yaml.safe_load(written) == shown.document()
