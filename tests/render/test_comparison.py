"""A comparison on a screen and in a ticket: what is worse first, nothing too wide, and nothing of the host obeyed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import Evidence, fail, passed, render
from k8sdoctor.comparison import Comparison, Side, compare
from k8sdoctor.render.comparison_text import MOST
from k8sdoctor.render.style import Style
from tests.comparison.sides import marks, side
from tests.comparison.test_differences import file, node
from tests.render.reports import FIX, SICK, report

if TYPE_CHECKING:
    from k8sdoctor import Finding

GOOD = report(*((result.check, passed("Fine", "All is fine.")) for result in SICK.results))
WORSE = compare(Side("before.json", GOOD), Side("after.json", SICK))
BETTER = compare(Side("before.json", SICK), Side("after.json", GOOD))
SHARED = compare(
    side(("node-identity", marks(machine_id="1" * 32)), node="n1"),
    side(("node-identity", marks(machine_id="1" * 32)), node="n2"),
)
SWITCHES = compare(
    node("n1", *(file(f"/proc/sys/net/x{number}", "0") for number in range(MOST + 5)), file("/etc/hostname", "n1")),
    node("n2", *(file(f"/proc/sys/net/x{number}", "1") for number in range(MOST + 5)), file("/etc/hostname", "n2")),
)


def shown(comparison: Comparison, width: int = 80, *, whole: bool = False) -> str:
    return render.comparison(comparison, "text", Style(width), whole=whole)


@pytest.mark.parametrize("comparison", [WORSE, BETTER, SHARED, SWITCHES])
@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_screen_but_for_commands(comparison: Comparison, width: int) -> None:
    commands = {*FIX.commands, *FIX.persist, FIX.verify}
    commands |= {line for each in comparison.duplicates for line in (*each.fix.commands, each.fix.verify)}

    assert [line for line in shown(comparison, width).splitlines() if len(line) > width and line not in commands] == []


def test_the_cause_is_shown_first_with_its_fix_and_its_symptom_without() -> None:
    text = shown(WORSE)

    assert text.index("NEW IN B") < text.index("BridgeNfCallOff") < text.index("dns-reply-source/UnexpectedSource")
    assert "modprobe br_netfilter" in text
    assert "something-else" not in text
    assert text.splitlines()[-1].startswith("B is worse: ")


def test_what_is_fixed_is_shown_as_it_was_and_without_a_fix() -> None:
    text = shown(BETTER)

    assert "FIXED IN B (3)" in text
    assert re.search(r"^fail +br-netfilter/BridgeNfCallOff \(cni0\)$", text, re.MULTILINE)
    assert "modprobe br_netfilter" not in text


def test_a_shared_mark_comes_before_all_else_with_what_to_do() -> None:
    text = shown(SHARED)

    assert text.index("SHARED, AND MUST BE UNIQUE") < text.index("machine ID") < text.index("systemd-machine-id-setup")


def test_many_differences_are_cut_and_noise_is_counted_unless_all_are_wanted() -> None:
    few, every = shown(SWITCHES), shown(SWITCHES, whole=True)

    assert few.count("net.x") == MOST
    assert "And 5 more and 1 that differ on any two nodes: --all shows them." in few
    assert "/etc/hostname" not in few
    assert every.count("net.x") == MOST + 5
    assert "/etc/hostname" in every


def test_differences_that_findings_name_are_never_cut() -> None:
    sick = fail("Off", " ".join(f"net.x{number}" for number in range(MOST + 5)))
    entries = {value: [file(f"/proc/sys/net/x{number}", value) for number in range(MOST + 5)] for value in "01"}

    text = shown(compare(node("n1", *entries["0"]), node("n2", *entries["1"], finding=sick)))

    assert text.count("(named by subject/Off)") == MOST + 5


@pytest.mark.parametrize("format_", ["text", "markdown"])
def test_nothing_of_a_host_is_obeyed(format_: str) -> None:
    def odd(value: str) -> Finding:
        evidence = [Evidence("/f\x1b[2J", f"\x1b]0;{value}\x07```\n<script>")]
        return fail("Odd", f"It says \x1b[31m<b>{value}</b>.", subject="\x1b[2J", evidence=evidence)

    first, second = (side(("odd", odd(value)), node=f"n{value}\x1b[2J", path="\x1b[2J") for value in "12")

    text = render.comparison(compare(first, second), format_)

    assert "\x1b" not in text
    assert "\x07" not in text
    if format_ == "markdown":
        outside = re.sub(r"(?ms)^(`{3,}).*?^\1", "", text)
        assert "<b>" not in outside.replace("\\<b\\>", "")
