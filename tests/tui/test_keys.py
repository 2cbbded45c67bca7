"""Each key of the main screen, pressed in the real app."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.binding import Binding

from k8sdoctor import Status, engine, fail, passed, render, unknown, warn
from k8sdoctor.check import Profile
from k8sdoctor.tui.app import DoctorApp
from k8sdoctor.tui.history import Change
from k8sdoctor.tui.rows import Filter
from k8sdoctor.tui.widgets.checks import CheckList
from k8sdoctor.tui.widgets.details import Details
from k8sdoctor.tui.widgets.diagnoses import Diagnoses
from tests.render.reports import CAUSE, LONG_COMMAND, SYMPTOM
from tests.tui.nodes import Clock, Node, app, examined, screen, the, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import App

pytestmark = pytest.mark.asyncio

FORWARDS = passed("ForwardingOn", "IPv4 forwarding is on.")


def sick() -> Node:
    return Node(
        {
            "br-netfilter": (CAUSE,),
            "dns-reply-source": (SYMPTOM,),
            "ip-forward": (FORWARDS,),
            "pause-image": (
                warn("MirrorIgnored", "The mirror is never asked.", subject="mirror.example:5000"),
                unknown("NotPermitted", "Permission denied: /etc/containerd; run as root to look."),
            ),
        }
    )


def listed(app: App[None]) -> list[str]:
    """The checks and findings that are shown."""
    return [row.text for row in app.query_one(CheckList).lines if row.kind != "area"]


def at(app: App[None]) -> str:
    """Where the cursor stands."""
    row = app.query_one(CheckList).selected
    assert row is not None
    return row.text


async def test_the_first_report_puts_the_cursor_on_the_cause() -> None:
    async with app(sick().case()).run_test(size=(100, 30)) as pilot:
        await examined(pilot)

        assert at(pilot.app) == "br-netfilter"
        shown = screen(pilot.app)
        assert "BridgeNfCallOff" in shown
        assert "explains 1 more" in shown
        assert "modprobe br_netfilter" in shown


@pytest.mark.parametrize(("down", "up"), [("j", "k"), ("down", "up")])
async def test_j_and_k_move_as_the_arrows_do(down: str, up: str) -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("g")
        assert at(pilot.app) == "dns-reply-source"
        await pilot.press(down)
        assert at(pilot.app) == "pause-image"
        await pilot.press(up)
        assert at(pilot.app) == "dns-reply-source"
        await pilot.press(up)
        assert at(pilot.app) == "dns-reply-source"


async def test_g_and_upper_g_go_to_the_ends() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("G")
        assert at(pilot.app) == "ip-forward"
        await pilot.press("home")
        assert at(pilot.app) == "dns-reply-source"
        await pilot.press("end")
        assert at(pilot.app) == "ip-forward"
        await pilot.press("pageup")
        assert at(pilot.app) == "dns-reply-source"
        await pilot.press("pagedown")
        assert at(pilot.app) == "ip-forward"


async def test_enter_goes_to_the_details_and_escape_back() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("enter")
        assert pilot.app.query_one(Details).has_focus
        await pilot.press("escape")
        assert pilot.app.query_one(CheckList).has_focus


async def test_enter_on_a_diagnosis_goes_to_its_cause() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("G")
        pilot.app.query_one(Diagnoses).focus()
        await pilot.pause()
        assert "diagnosis, proven" in screen(pilot.app)
        await pilot.press("enter")
        assert pilot.app.query_one(CheckList).has_focus
        assert at(pilot.app) == "br-netfilter"


async def test_enter_on_a_diagnosis_that_the_filter_hides_shows_all_again() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"forward", "enter")
        assert listed(pilot.app) == ["ip-forward"]
        pilot.app.query_one(Diagnoses).focus()
        await pilot.press("enter")
        assert at(pilot.app) == "br-netfilter"


async def test_search_narrows_while_one_types() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"unexp")
        assert listed(pilot.app) == ["dns-reply-source"]
        await pilot.press("enter")
        assert pilot.app.query_one(CheckList).has_focus
        assert "1 of 4 checks: with “unexp”" in screen(pilot.app)
        await pilot.press("escape")
        assert len(listed(pilot.app)) == 6


async def test_letters_that_are_searched_for_are_no_commands() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"rRwsq")
        assert pilot.app.is_running
        assert len(node.asked) == 1


async def test_keys_that_are_typed_faster_than_the_screen_follows_go_where_they_belong() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        for key in ("slash", *"forward", "enter", "f"):
            the(pilot).post_message(events.Key(key, "/" if key == "slash" else key if len(key) == 1 else None))
        await until(pilot, lambda app: app.board.filter == Filter(not_fine=True, text="forward"))
        for key in ("slash", "escape", "s"):
            the(pilot).post_message(events.Key(key, "/" if key == "slash" else key if len(key) == 1 else None))
        await until(pilot, lambda app: len(node.asked) == 2 and app.board.filter == Filter(not_fine=True))


async def test_a_slash_can_be_searched_for() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"etc", "slash")
        assert the(pilot).board.filter.text == "etc/"


async def test_a_search_finds_one_finding_of_several() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"mirror.example")
        assert listed(pilot.app) == ["pause-image", "MirrorIgnored (mirror.example:5000)"]


async def test_escape_in_the_search_forgets_it() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("slash", *"unexp", "escape")
        assert len(listed(pilot.app)) == 6
        assert pilot.app.query_one(CheckList).has_focus


async def test_f_shows_only_what_is_not_fine() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("f")
        assert "ip-forward" not in listed(pilot.app)
        assert "br-netfilter" in listed(pilot.app)
        await pilot.press("f")
        assert "ip-forward" in listed(pilot.app)


async def test_a_goes_through_the_areas() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        seen = []
        for _ in range(4):
            await pilot.press("a")
            seen.append(listed(pilot.app))
        assert seen[0] == ["dns-reply-source"]
        assert seen[1][0] == "pause-image"
        assert seen[2] == ["br-netfilter", "ip-forward"]
        assert len(seen[3]) == 6


async def test_space_folds_the_findings_of_a_check() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("g", "j", "space")
        assert listed(pilot.app) == ["dns-reply-source", "pause-image", "br-netfilter", "ip-forward"]
        assert "pause-image +2" in screen(pilot.app)
        await pilot.press("space")
        assert len(listed(pilot.app)) == 6


async def test_r_runs_the_check_at_the_cursor_and_no_other() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        node.findings["br-netfilter"] = (passed("Filtered", "Bridged packets pass iptables."),)
        await pilot.press("r")
        await until(pilot, lambda _: len(node.asked) == 2)
        await examined(pilot)

        assert node.asked[1].named == ("br-netfilter",)
        report = the(pilot).report
        assert report is not None
        assert len(report.results) == 4
        assert at(pilot.app) == "br-netfilter"
        assert the(pilot).board.history.of_check("br-netfilter") is Change.FIXED
        assert "fixed" in screen(pilot.app)
        assert [each.cause.check for each in report.diagnoses] == ["dns-reply-source", "pause-image"]


async def test_upper_r_runs_all_and_gives_up_a_run_that_is_on() -> None:
    node = sick()
    node.held = frozenset({"ip-forward"})
    async with app(node.case()).run_test() as pilot:
        await until(pilot, lambda app: "br-netfilter" in app.board.results)
        node.held = frozenset()
        node.findings["br-netfilter"] = (passed("Filtered", "Bridged packets pass iptables."),)
        await pilot.press("R")
        await examined(pilot)
        report = the(pilot).report
        assert report is not None
        assert report.results[0].status is Status.PASS
        node.findings["br-netfilter"] = (CAUSE,)
        node.leave()  # what the first run has to say comes too late
        await pilot.pause(0.2)

        assert the(pilot).report is report


async def test_r_waits_for_a_run_that_is_on() -> None:
    node = sick()
    node.held = frozenset({"ip-forward"})
    async with app(node.case()).run_test(notifications=True) as pilot:
        await until(pilot, lambda app: "br-netfilter" in app.board.results)
        await pilot.press("r", "s")
        await until(pilot, lambda app: "A run is on" in screen(app))
        assert len(node.asked) == 1
        node.leave()
        await examined(pilot)


async def test_w_runs_again_every_few_seconds_until_pressed_again() -> None:
    node, clock = sick(), Clock()
    async with app(node.case(), clock, interval=5.0).run_test() as pilot:
        await examined(pilot)
        await pilot.press("w")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
        await pilot.pause(0.3)
        assert len(node.asked) == 2
        assert "every 5 s" in screen(pilot.app)
        clock.now += 5
        await until(pilot, lambda app: len(node.asked) == 3 and not app.session.running)
        await pilot.press("w")
        clock.now += 50
        await pilot.pause(0.3)
        assert len(node.asked) == 3
        assert "every 5 s" not in screen(pilot.app)


async def test_watching_keeps_the_selection_and_marks_what_changed() -> None:
    node, clock = sick(), Clock()
    async with app(node.case(), clock).run_test() as pilot:
        await examined(pilot)
        await pilot.press("G")
        node.findings["ip-forward"] = (fail("ForwardingOff", "IPv4 forwarding is off."),)
        node.findings["br-netfilter"] = (passed("Filtered", "Bridged packets pass iptables."),)
        await pilot.press("w")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)

        assert at(pilot.app) == "ip-forward"
        changes = {row.text: row.change for row in pilot.app.query_one(CheckList).lines if row.kind == "check"}
        assert changes == {
            "br-netfilter": Change.FIXED,
            "dns-reply-source": Change.STILL,
            "ip-forward": Change.NEW,
            "pause-image": Change.STILL,
        }
        assert "1 fixed · 1 new · 3 still" in screen(pilot.app)


async def test_s_leaves_a_check_out_and_takes_it_in_again() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("s")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
        assert node.asked[1].skipped == {"br-netfilter"}
        assert "SkippedByUser" in screen(pilot.app)
        await pilot.press("s")
        await until(pilot, lambda app: len(node.asked) == 3 and not app.session.running)
        assert node.asked[2].skipped == frozenset()
        assert "BridgeNfCallOff" in screen(pilot.app)


async def test_c_copies_the_commands_that_mend() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("c")
        assert CAUSE.fix is not None
        assert pilot.app.clipboard == "\n".join((*CAUSE.fix.commands, *CAUSE.fix.persist))


async def test_c_says_where_there_is_nothing_to_copy() -> None:
    async with app(sick().case()).run_test(notifications=True) as pilot:
        await examined(pilot)
        await pilot.press("G", "c")
        await until(pilot, lambda app: "There is no fix to copy here" in screen(app))
        assert pilot.app.clipboard == ""


async def test_t_shows_the_commands_in_the_terminal_itself_each_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    @contextlib.contextmanager
    def suspend() -> Iterator[None]:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            yield
        shown.append(printed.getvalue())

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    async with app(sick().case()).run_test(size=(80, 24)) as pilot:
        await examined(pilot)
        assert "c copies it, t shows it unwrapped" in screen(pilot.app)
        monkeypatch.setattr(pilot.app, "suspend", suspend)
        await pilot.press("t")
        await until(pilot, lambda _: bool(shown))
        assert LONG_COMMAND in shown[0].splitlines()


async def test_t_says_where_there_is_nothing_to_show_or_no_terminal_to_show_it_in() -> None:
    async with app(sick().case()).run_test(size=(80, 24), notifications=True) as pilot:
        await examined(pilot)
        await pilot.press("t")
        await until(pilot, lambda app: "This terminal shows nothing but the" in screen(app))
        await pilot.press("G", "t")
        await until(pilot, lambda app: "There is no fix to copy here" in screen(app))


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_the_app_is_left_with_the_code_of_the_last_report(key: str) -> None:
    the_app = app(sick().case())
    async with the_app.run_test() as pilot:
        await examined(pilot)
        await pilot.press(key)
    assert the_app.exit_code == 1


async def test_left_before_the_first_report_the_app_was_interrupted() -> None:
    node = sick()
    node.held = frozenset({"ip-forward"})
    the_app = app(node.case())
    async with the_app.run_test() as pilot:
        await until(pilot, lambda app: "br-netfilter" in app.board.results)
        await pilot.press("q")
    assert the_app.exit_code == 130
    node.leave()


async def test_strict_counts_a_warning() -> None:
    node = Node({"ip-forward": (warn("NotPersistent", "It is off after a boot."),)})
    the_app = app(node.case(strict=True))
    async with the_app.run_test() as pilot:
        await examined(pilot)
        await pilot.press("q")
    assert the_app.exit_code == 1


async def test_what_was_asked_for_on_the_command_line_is_asked_in_every_run() -> None:
    node = sick()
    request = engine.Request(profile=Profile.DNS, skipped=frozenset({"ip-forward"}), deadline=7.0)
    async with app(node.case(request)).run_test() as pilot:
        await examined(pilot)
        await pilot.press("R")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
    assert node.asked == [request, request]


async def test_every_key_is_in_the_command_palette() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
    told = {binding.tooltip for binding in DoctorApp.BINDINGS if isinstance(binding, Binding) and binding.tooltip}
    assert len(told) >= 16
    assert told <= titles


async def test_the_mouse_selects_a_check_and_opens_it() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        place = next(n for n, row in enumerate(pilot.app.query_one(CheckList).lines) if row.text == "ip-forward")
        await pilot.click(CheckList, offset=(5, place))
        assert at(pilot.app) == "ip-forward"
        await pilot.double_click(CheckList, offset=(5, place))
        assert pilot.app.query_one(Details).has_focus


async def test_a_narrow_terminal_still_tells_how_to_open_a_check_get_help_and_leave() -> None:
    async with app(sick().case()).run_test(size=(40, 14)) as pilot:
        await examined(pilot)
        told = screen(pilot.app).splitlines()[-1]
    assert told.startswith("⏎ Open ? Help q Quit / Search")


async def test_a_fix_is_told_in_the_words_of_the_text_report() -> None:
    async with app(sick().case()).run_test(size=(100, 40)) as pilot:
        await examined(pilot)
        told = [line.strip() for line in screen(pilot.app).split("│")]
        report = the(pilot).report
    assert report is not None
    for label in ("Run:", "Make it last:", "Verify:"):
        assert label in told
        assert f"\n  {label}\n" in render.report(report, "text")


async def test_without_a_cause_the_cursor_starts_on_the_worst() -> None:
    hidden = unknown("NotPermitted", "Permission denied: /etc/containerd; run as root to look.")
    node = Node({"br-netfilter": (FORWARDS,), "ip-forward": (hidden,), "pause-image": (FORWARDS,)})
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        assert at(pilot.app) == "ip-forward"


async def test_a_rerun_of_one_keeps_the_others_that_were_named_on_the_command_line() -> None:
    node = sick()
    named = ("br-netfilter", "dns-reply-source", "ip-forward")
    async with app(node.case(engine.Request(named=named))).run_test() as pilot:
        await examined(pilot)
        await pilot.press("r")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)

        assert len(node.asked[1].named) == 1
        report = the(pilot).report
        assert report is not None
        assert [result.check for result in report.results] == list(named)
