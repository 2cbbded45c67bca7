"""The keys that open a dialog, and what becomes of its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import passed
from k8sdoctor.check import Profile
from k8sdoctor.tui.screens.copy import CopyScreen
from k8sdoctor.tui.screens.docs import DocsScreen
from k8sdoctor.tui.screens.evidence import EvidenceScreen
from k8sdoctor.tui.screens.help import HelpScreen
from k8sdoctor.tui.screens.profile import ProfileScreen
from k8sdoctor.tui.screens.save import SaveScreen
from k8sdoctor.tui.screens.skip import SkipScreen
from k8sdoctor.tui.screens.watch import WatchScreen
from tests.render.reports import CAUSE
from tests.tui.nodes import Clock, Node, app, examined, screen, the, until
from tests.tui.test_keys import sick

if TYPE_CHECKING:
    from pathlib import Path

    from textual.screen import Screen

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("key", "dialog", "words"),
    [
        ("question_mark", HelpScreen, "Run this check again"),
        ("d", DocsScreen, "WHY IT MATTERS"),
        ("e", EvidenceScreen, "/proc/sys/net/bridge/bridge-nf-call-iptables"),
        ("p", ProfileScreen, "control-plane"),
        ("S", SaveScreen, "Save the report"),
        ("ctrl+s", SaveScreen, "Save the report"),
        ("K", SkipScreen, "br-netfilter"),
        ("W", WatchScreen, "again and again"),
        ("c", CopyScreen, "modprobe br_netfilter"),
    ],
)
async def test_a_key_opens_its_dialog_and_escape_leaves_it(key: str, dialog: type[Screen[object]], words: str) -> None:
    async with app(sick().case()).run_test(size=(100, 40)) as pilot:
        await examined(pilot)
        await pilot.press(key)
        await until(pilot, lambda app: isinstance(app.screen, dialog) and words in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda app: app.screen is app.default_screen)


async def test_control_c_leaves_from_a_dialog_too() -> None:
    the_app = app(sick().case())
    async with the_app.run_test() as pilot:
        await examined(pilot)
        await pilot.press("S")
        await until(pilot, lambda app: isinstance(app.screen, SaveScreen))
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not the_app.is_running
    assert the_app.exit_code == 1


async def test_news_of_a_run_are_shown_behind_a_dialog() -> None:
    node, clock = sick(), Clock()
    async with app(node.case(), clock).run_test() as pilot:
        await examined(pilot)
        await pilot.press("w", "question_mark")
        await until(pilot, lambda app: isinstance(app.screen, HelpScreen) and not app.session.running)
        node.findings["br-netfilter"] = (passed("Filtered", "Bridged packets pass iptables."),)
        clock.now += 5
        await until(pilot, lambda app: len(node.asked) == 3 and not app.session.running)
        await pilot.press("escape")
        await until(pilot, lambda app: "fixed" in screen(app))


async def test_keys_of_the_main_screen_do_nothing_behind_a_dialog() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda app: isinstance(app.screen, HelpScreen))
        await pilot.press("R", "s", "r", "slash", "f")
        await pilot.pause()
        assert isinstance(pilot.app.screen, HelpScreen)
        assert len(node.asked) == 1
        assert not the(pilot).board.filter


async def test_a_chosen_profile_is_run() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("p")
        await until(pilot, lambda app: isinstance(app.screen, ProfileScreen))
        await pilot.press("G", "enter")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
    assert node.asked[1].profile is list(Profile)[-1]


async def test_checks_that_are_chosen_to_be_skipped_are_left_out() -> None:
    node = sick()
    async with app(node.case()).run_test(size=(100, 40)) as pilot:
        await examined(pilot)
        await pilot.press("K")
        await until(pilot, lambda app: isinstance(app.screen, SkipScreen))
        await pilot.press("space", "enter")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
    assert node.asked[1].skipped == {"apiserver-san"}


async def test_the_pause_between_runs_can_be_chosen() -> None:
    node = sick()
    async with app(node.case()).run_test(size=(100, 40)) as pilot:
        await examined(pilot)
        await pilot.press("W")
        await until(pilot, lambda app: isinstance(app.screen, WatchScreen))
        await pilot.press("ctrl+u")
        await pilot.press("3", "0", "enter")
        await until(pilot, lambda app: "every 30 s" in screen(app))


async def test_the_report_is_saved_and_the_app_says_where(tmp_path: Path) -> None:
    async with app(sick().case()).run_test(size=(100, 40), notifications=True) as pilot:
        await examined(pilot)
        await pilot.press("S")
        await until(pilot, lambda app: isinstance(app.screen, SaveScreen))
        await pilot.press("ctrl+u")
        await pilot.press(*str(tmp_path / "r.json"), "enter")
        await until(pilot, lambda _: (tmp_path / "r.json").exists())
        await until(pilot, lambda app: "Saved" in screen(app))
        report = the(pilot).report
    assert report is not None
    assert json.loads((tmp_path / "r.json").read_text()) == report.document()


async def test_without_a_report_there_is_nothing_to_save_or_read() -> None:
    node = Node({"br-netfilter": (CAUSE,)})
    node.held = frozenset({"br-netfilter"})
    async with app(node.case()).run_test(notifications=True) as pilot:
        await until(pilot, lambda app: app.board.waiting)
        await pilot.press("S", "e", "c")
        await until(pilot, lambda app: "There is no report yet" in screen(app))
        assert pilot.app.screen is the(pilot).default_screen
    node.leave()
