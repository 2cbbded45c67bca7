"""The Markdown report, read by a library that reads it as GitHub and GitLab do."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from k8sdoctor import Evidence, Fix, Safety, fail, passed, render, unknown, warn
from k8sdoctor.render.markdown import EVIDENCE_SHARE, LIMIT
from tests.render.reports import BROKEN, LONG_COMMAND, MARKUP, SICK, SPIKED, long_report, report

if TYPE_CHECKING:
    from markdown_it.token import Token

    from k8sdoctor.report import Report

FOLDING = re.compile(r"(?:<details><summary>[\w, ]+</summary>|</details>)\n")


def tokens(shown: Report) -> list[Token]:
    # js-default has raw HTML off; what a ticket shows is CommonMark with HTML, tables and strikethrough.
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return reader.parse(render.report(shown, "markdown"))


def inline(found: list[Token]) -> list[Token]:
    return [child for token in found for child in token.children or ()]


def text(found: list[Token]) -> str:
    """What a reader sees, code included."""
    shown = [token.content for token in found if token.type == "fence"]
    return "\n".join([*shown, "".join(each.content for each in inline(found) if each.type in ("text", "code_inline"))])


def fences(found: list[Token]) -> list[str]:
    return [token.content for token in found if token.type == "fence"]


def test_diagnosis_and_fix_come_first_and_commands_can_be_copied() -> None:
    found = tokens(SICK)
    headings = [after.content for token, after in itertools.pairwise(found) if token.type == "heading_open"]
    commands = [token.content for token in found if token.type == "fence" and token.info == "sh"]

    assert headings[0] == "k8sdoctor: node1 is fail"
    assert headings[1].startswith("Diagnosis 1 (fail): net.bridge.bridge")
    assert headings[3:5] == ["What was found", "fail: `br-netfilter/BridgeNfCallOff` (cni0)"]
    assert commands == [
        "modprobe br_netfilter\nsysctl -w net.bridge.bridge-nf-call-iptables=1\n",
        f"{LONG_COMMAND}\n",
        "sysctl -n net.bridge.bridge-nf-call-iptables\n",
    ]


def test_evidence_the_list_of_checks_and_who_was_asked_are_folded() -> None:
    found = tokens(dataclasses.replace(SICK, contacted=("udp://192.0.2.10:53",)))
    folded = 0
    inside = []
    for token in found:
        if token.type == "html_block":
            assert FOLDING.fullmatch(token.content)
            folded += token.content.count("<details>") - token.content.count("</details>")
        elif token.type in ("fence", "table_open", "code_inline"):
            inside.append((token.type, token.info, folded))
    assert folded == 0
    assert ("table_open", "", 1) in inside
    assert [depth for kind, info, depth in inside if kind == "fence" and info != "sh"] == [1, 1]
    assert [depth for kind, info, depth in inside if kind == "fence" and info == "sh"] == [0, 0, 0]


def test_the_table_has_a_row_a_check_whatever_stands_in_it() -> None:
    odd = "a | b `c | d` \n| e |\\| \r\n--- | --- <td> \\"
    found = tokens(report(("one", passed("Fine", odd)), ("two", warn("Odd", f"| {odd} |"))))

    # Cells beyond those of the head are dropped without a word, so it is their text that counts.
    cells = [text([after]) for token, after in itertools.pairwise(found) if token.type == "td_open"]

    assert [cell.strip() for cell in cells] == [
        *("pass", "one", " ".join(odd.split())),
        *("warn", "two", f"| {' '.join(odd.split())} |"),
    ]


def test_markup_of_the_host_is_text() -> None:
    found = tokens(SPIKED)
    kinds = {each.type for each in inline(found)}

    assert kinds <= {"text", "softbreak", "code_inline", "strong_open", "strong_close", "text_special", "html_inline"}
    assert {each.content for each in inline(found) if each.type == "html_inline"} <= {"<!-- -->"}
    assert f"{MARKUP}\n```\n</pre>{MARKUP}\n" in fences(found)
    assert f"echo '{MARKUP}'\n" in fences(found)


@given(
    st.text(alphabet="ab 1.)-+*_`~|<>[]()#!&\\\"'@:=$\n\r\t\0\x1b\u202e日é", min_size=1, max_size=60),
    st.text(alphabet="ab `~<>/\n#-|", max_size=60),
)
@settings(deadline=None, max_examples=100)
def test_no_text_of_the_host_changes_the_structure(told: str, seen: str) -> None:
    def of(message: str, content: str) -> Report:
        return report(
            (
                "odd",
                fail(
                    "Odd",
                    f"a{message}",
                    subject=message,
                    evidence=[Evidence(f"b{message}", content)],
                    fix=Fix(f"c{message}", (f"d{message}",), "true", Safety.SAFE),
                ),
            ),
            ("other", unknown("Odd", f"{message}")),
        )

    plain, odd = tokens(of("x", "y")), tokens(of(told, seen))

    if told.split():  # nothing at all makes no paragraph
        assert [(token.type, token.tag, token.info) for token in odd] == [
            (token.type, token.tag, token.info) for token in plain
        ]
    assert not {each.type for each in inline(odd)} & {"image", "link_open", "em_open", "s_open"}


def test_nobody_is_mentioned_and_no_other_ticket() -> None:
    shown = render.report(report(("odd", fail("Odd", "Ask @admin about #12, and user@host about a#b."))), "markdown")

    assert not re.search(r"(?<![\w/])@\w", shown)
    assert not re.search(r"(?<!\w)#\d", shown)
    assert "user@host" in shown


@pytest.mark.parametrize(("checks", "lines"), [(9, 60), (40, 60), (200, 1), (3, 5_000)])
def test_a_long_report_fits_into_a_ticket_and_says_what_is_missing(checks: int, lines: int) -> None:
    long = long_report(checks, lines)
    shown = render.report(long, "markdown")
    found = tokens(long)

    assert len(shown.encode()) <= LIMIT
    assert len(shown.encode()) > LIMIT * 0.9
    assert "**This is not all.**" in shown.split("\n## ")[0]
    assert "`-o json` has everything" in shown
    assert shown.count("<details>") == shown.count("</details>")
    assert [
        token.content for token in found if token.type == "html_block" and not FOLDING.fullmatch(token.content)
    ] == []
    for diagnosis in long.diagnoses[:10]:  # the conclusions outlive the evidence
        assert diagnosis.fix is not None
        assert diagnosis.fix.title in shown


def test_of_long_evidence_the_start_is_kept_and_the_rest_counted() -> None:
    evidence = [Evidence("a.log", "\n".join(f"line {number}" for number in range(20_000))), Evidence("b.log", "short")]
    shown = report(("one", fail("Odd", "It is odd.", evidence=evidence)))
    long, short = fences(tokens(shown))

    assert long.startswith("line 0\nline 1\n")
    kept = long.rstrip("\n").split("\n")
    assert kept[-1] == f"[... and {20_000 - len(kept) + 1} more lines: -o json has all]"
    assert EVIDENCE_SHARE < len(long) < LIMIT / 2
    assert short == "short\n"
    assert "characters: a piece of evidence." in render.report(shown, "markdown")


def test_a_report_that_fits_is_whole() -> None:
    shown = render.report(long_report(3, 10), "markdown")

    assert "not all" not in shown
    assert shown.count("\n9 zzz") == 3


def test_what_broke_and_an_interrupted_run_are_told() -> None:
    shown = render.report(dataclasses.replace(SICK, interrupted=True), "markdown")

    assert "**The run was interrupted, so this is not all.**" in shown
    assert f"- {BROKEN.what}: {BROKEN.error}" in shown
