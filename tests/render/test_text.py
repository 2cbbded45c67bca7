"""The text report: the diagnosis first, commands that paste, and nothing that a terminal would obey."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from k8sdoctor import Evidence, Link, Status, fail, passed, render, skip, unknown
from k8sdoctor.render.layout import columns, cut, harmless, wrap
from k8sdoctor.render.style import Style
from tests.render.reports import BLIND, FIX, HEALTHY, LONG_COMMAND, SICK, SYMPTOM, report, wanting_root

if TYPE_CHECKING:
    from k8sdoctor.report import Report

Symbols: TypeAlias = Literal["unicode", "ascii", "none"]
SYMBOLS: tuple[Symbols, ...] = ("unicode", "ascii", "none")
COMMANDS = {*FIX.commands, *FIX.persist, FIX.verify}


def text(of: Report = SICK, style: Style | None = None) -> str:
    return render.report(of, "text", style)


def test_the_order_is_diagnosis_checks_evidence_what_was_not_seen_and_the_sum() -> None:
    lines = text().splitlines()

    headings = [line for line in lines if line.partition(":")[0].partition(" ")[0].isupper()]
    assert headings == [
        "DIAGNOSIS 1: fail",
        "DIAGNOSIS 2: warn",
        "CHECKS",
        "WHAT WAS SEEN",
        "COULD NOT BE LOOKED AT",
        "BROKEN",
    ]
    assert lines[-2] == "5 checks in 0.2 s: 2 fail, 1 unknown, 1 pass, 1 skip, 1 broken."
    assert lines[-1] == "More about the first: k8sdoctor explain br-netfilter/BridgeNfCallOff"


@pytest.mark.parametrize(
    ("euid", "source", "told"),
    [
        (0, "live", "1 check in 0.2 s: 1 unknown."),
        (-1, "live", "1 check in 0.2 s: 1 unknown."),  # who ran it is not known
        (1000, "live", "Not run as root: sudo k8sdoctor check sees more."),
        (1000, "bundle", "Not recorded as root, who sees more."),
    ],
)
def test_who_was_not_root_is_told_at_the_end_what_would_see_more(
    euid: int, source: Literal["live", "bundle"], told: str
) -> None:
    blind = dataclasses.replace(report(("certificates", BLIND)), euid=euid, source=source)
    seeing = dataclasses.replace(HEALTHY, euid=euid, source=source)

    assert text(blind).splitlines()[-1] == told
    assert "root" not in text(seeing)


def test_a_diagnosis_says_what_how_sure_why_what_follows_and_how_to_mend_it() -> None:
    assert text().partition("\nDIAGNOSIS 2")[0].splitlines()[2:] == [
        "DIAGNOSIS 1: fail",
        "net.bridge.bridge-nf-call-iptables is 0, so packets between pods on the bridge",
        "cni0 do not pass iptables at all.",
        "  Certainty: proven. The reply stays on the bridge.",
        "  Found by:  br-netfilter/BridgeNfCallOff (cni0)",
        "  Explains:  dns-reply-source/UnexpectedSource (10.96.0.10)",
        "  Fix:       Let bridged packets pass iptables (disruptive: restarts or",
        "             interrupts something).",
        "  Run:",
        "modprobe br_netfilter",
        "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        "  Make it last:",
        LONG_COMMAND,
        "  Verify:",
        "sysctl -n net.bridge.bridge-nf-call-iptables",
    ]


def test_every_command_stands_alone_on_its_line_so_that_it_pastes() -> None:
    for style in (Style(), Style(width=40), Style(colour=True, symbols="unicode")):
        assert set(text(style=style).splitlines()) >= COMMANDS


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("symbols", SYMBOLS)
def test_nothing_but_commands_is_wider_than_the_screen(width: int, symbols: Symbols) -> None:
    for line in text(style=Style(width=width, symbols=symbols)).splitlines():
        assert cell_len(line) <= width or line in COMMANDS


def test_wide_characters_count_twice() -> None:
    wide = fail("Wide", "日本語" * 40, subject="日本" * 30, evidence=[Evidence("語" * 50, "本" * 200)])

    for line in text(report(("wide", wide))).splitlines():
        assert cell_len(line) <= 80


def test_a_check_is_one_line_with_its_worst_finding() -> None:
    lines = text().partition("CHECKS\n")[2].partition("\n\n")[0].splitlines()

    assert [line.split()[:2] for line in lines] == [
        ["skip", "apiserver-san"],
        ["fail", "br-netfilter"],
        ["fail", "dns-reply-source"],
        ["pass", "ip-forward"],
        ["unknown", "pause-image"],
    ]
    assert lines[-1].endswith("Permission denied: /etc/kubernetes/pki; run as roo...")
    assert len(lines[-1]) == 80


def test_many_checks_that_skip_are_named_together_after_the_others() -> None:
    names = [f"check-{number}" for number in range(6)]
    idle = [(name, skip("NotHere", "This machine has none.")) for name in names]
    some, many = text(report(*idle[1:], ("zz", BLIND))), text(report(*idle, ("zz", BLIND)))

    assert some.count("This machine has none.") == 5
    lines = many.partition("CHECKS\n")[2].partition("\n\n")[0].splitlines()
    assert lines[0].startswith("unknown  zz  ")
    assert " ".join(" ".join(lines[1:]).split()) == (
        f"skip 6 that do not apply here or were not asked for (k8sdoctor check NAME says why): {', '.join(names)}"
    )
    assert all(line.startswith("         ") for line in lines[2:])
    assert "7 checks in 0.2 s: 1 unknown, 6 skip." in many


def test_a_symptom_names_its_cause_and_its_own_fix_is_not_offered() -> None:
    assert "  Caused by: br-netfilter/BridgeNfCallOff; mend that first." in text().splitlines()
    assert "something-else" not in text()
    assert "something-else" in text(report(("dns-reply-source", SYMPTOM)))


def test_long_evidence_is_cut_and_says_where_the_rest_is() -> None:
    assert "line 9\n" in text()
    assert "line 10\n" not in text()
    assert "[30 more lines: -o json shows all]" in text()


def test_what_would_let_many_checks_look_is_said_once_with_their_names() -> None:
    told = text(report(*wanting_root(12), ("zz", unknown("Odd", "Nobody knows."))))

    after = told.partition("COULD NOT BE LOOKED AT\n")[2].splitlines()
    assert after[:6] == [
        "unknown  12 checks; run as root to look:",
        "  check-0, check-1, check-10, check-11, check-2, check-3, check-4, check-5,",
        "  check-6, check-7, check-8, check-9",
        "  (k8sdoctor check NAME says what one of them could not see, -o json what each)",
        "unknown  zz/Odd",
        "  Nobody knows.",
    ]
    assert "".join(after).count("run as root") == 1


def test_two_checks_that_want_the_same_say_so_themselves() -> None:
    told = text(report(*wanting_root(2)))

    assert "unknown  check-1/NotPermitted\n  Permission denied: /1; run as root to look.\n" in told


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        (
            "DeadlineExceeded",
            "Pods {} not seen in time: the run's deadline of 15.0 s is over; --deadline gives more.",
            "--deadline gives more",
        ),
        ("DeadlineExceeded", "Pods {} not seen in time: the run was interrupted.", "the run was interrupted"),
        (
            "NotRecorded",
            "The recording does not hold read /{}.",
            "the recording does not hold what they ask for; record anew, with this version",
        ),
    ],
)
def test_the_end_of_a_run_and_a_recording_that_lacks_answers_are_said_once(
    reason: str, message: str, told: str
) -> None:
    cut_off = report(*((f"check-{each}", unknown(reason, message.format(each))) for each in range(3)))

    assert f"unknown 3 checks; {told}: check-0, check-1, check-2 (" in " ".join(text(cut_off).split())


def test_what_only_looks_alike_stays_apart() -> None:
    messages = [f"Permission denied: /{each}; run as {who} to look." for each, who in enumerate(("root", "etcd", "me"))]
    other = report(*((f"check-{each}", unknown("NotPermitted", message)) for each, message in enumerate(messages)))
    plain = report(*((f"check-{each}", unknown("Odd", "Nobody knows.")) for each in range(5)))
    mended = report(*((f"check-{each}", dataclasses.replace(found, fix=FIX)) for each, found in wanting_root(5)))

    assert all(message in " ".join(text(other).split()) for message in messages)
    assert text(plain).partition("COULD NOT")[2].count("Nobody knows.") == 5
    assert text(mended).partition("COULD NOT")[2].count("run as root to look.") == 5


def caused(number: int) -> Report:
    """Six checks that could not look, the first of them for a cause that is told."""
    links = [Link(f"check-{each}", "NotPermitted", "it is gone") for each in range(number)]
    return report(("aa", fail("Gone", "It is gone.", explains=links)), *wanting_root(6))


def test_what_one_cause_keeps_many_checks_from_seeing_is_said_once_apart_from_what_root_would_see() -> None:
    after = text(caused(3)).partition("COULD NOT BE LOOKED AT\n")[2].splitlines()

    assert [after[0], after[1]] == ["unknown  3 checks; mend aa/Gone first:", "  check-0, check-1, check-2"]
    assert [after[3], after[4]] == ["unknown  3 checks; run as root to look:", "  check-3, check-4, check-5"]


def test_what_a_cause_keeps_two_checks_from_seeing_is_told_under_their_own_names() -> None:
    after = text(caused(2)).partition("COULD NOT BE LOOKED AT\n")[2]

    assert after.startswith("unknown  4 checks; run as root to look:\n  check-2, check-3, check-4, check-5\n")
    assert after.count("Caused by: aa/Gone; mend that first.") == 2


def test_what_could_not_be_looked_at_says_what_would_let_us() -> None:
    after = text().partition("COULD NOT BE LOOKED AT\n")[2]

    assert after.startswith(
        "unknown  pause-image/NotPermitted\n  Permission denied: /etc/kubernetes/pki; run as root to look.\n"
    )


def test_the_same_next_step_is_told_once() -> None:
    silent = unknown("RuntimeUnreachable", "Nobody listens.", fix=FIX)
    after = text(report(("cni-config", silent), ("pause-image", silent))).partition("COULD NOT BE LOOKED AT\n")[2]

    assert after.count("modprobe br_netfilter") == 1
    assert "unknown  pause-image/RuntimeUnreachable\n  Nobody listens.\n  Fix:       as above.\n" in after


def test_what_is_broken_is_one_line_without_its_traceback() -> None:
    assert "  plug-in acme (acme.checks): ImportError: no acme\n" in text()
    assert "Traceback" not in text()


def test_a_healthy_node_is_told_in_four_lines() -> None:
    assert text(HEALTHY).splitlines() == [
        "k8sdoctor 0.1.0: node node1, 2026-05-28 20:26 UTC, stage worker, profile node",
        "",
        "CHECKS",
        "pass     ip-forward  IPv4 forwarding is on.",
        "",
        "1 check in 0.2 s: 1 pass.",
    ]


def test_a_report_without_checks_says_so() -> None:
    assert "No check was run." in text(report())


def test_a_status_is_a_word_with_and_without_colour_and_symbol() -> None:
    for style in (Style(), Style(colour=True), Style(symbols="ascii"), Style(colour=True, symbols="unicode")):
        for status in ("pass", "skip", "unknown", "fail"):
            assert status in text(style=style)
    assert "\x1b" not in text(style=Style(symbols="unicode"))
    assert {len(Style(symbols=kind).symbol(status)) for kind in SYMBOLS[:2] for status in Status} == {2}


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \r\b\x00 \u202e\u2028\udc80"


def test_nothing_of_the_host_reaches_the_terminal_as_a_command() -> None:
    sick = fail("Odd", HOSTILE, subject=HOSTILE, evidence=[Evidence(HOSTILE, f"{HOSTILE}\n{HOSTILE}")])
    for format_ in render.FORMATS:
        shown = render.report(report(("odd", (sick, BLIND))), format_)

        assert not [character for character in shown if not (character.isprintable() or character == "\n")], format_
        shown.encode("utf-8")


@given(st.text(), st.integers(8, 100))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(sample: str, width: int) -> None:
    clean = harmless(sample)
    lines = wrap(clean, width)

    assert all(columns(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == clean.replace(" ", "")


@given(st.text(), st.integers(4, 100))
def test_cut_text_fits(sample: str, width: int) -> None:
    assert columns(cut(harmless(sample), width)) <= width


@given(st.text())
def test_harmless_text_is_printable_and_stays_so(sample: str) -> None:
    assert harmless(sample).isprintable()
    assert harmless(harmless(sample)) == harmless(sample)


def test_an_interrupted_report_says_that_it_is_not_all() -> None:
    stopped = dataclasses.replace(report(("ip-forward", passed("ForwardingOn", "On."))), interrupted=True)

    assert "interrupted, so this is not all" in text(stopped)
