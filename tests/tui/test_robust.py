"""What goes wrong beside the screen, or on it, must not take the app along."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from k8sdoctor import Evidence, Fix, Safety, engine, fail, passed, unknown
from k8sdoctor.testing import FakeHost
from k8sdoctor.tui import last_words
from k8sdoctor.tui.ascii import ascii_of
from k8sdoctor.tui.session import Case, Ended, Session
from k8sdoctor.tui.widgets.checks import CheckList
from k8sdoctor.tui.widgets.diagnoses import Diagnoses
from k8sdoctor.tui.widgets.line_list import LineList
from tests.render.reports import BROKEN, HEALTHY, SICK
from tests.tui.nodes import AREAS, WATCHDOG, Node, app, demo, examined, known, screen, settled, until
from tests.tui.test_keys import at, sick

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.host import Host
    from k8sdoctor.registry import Registry
    from k8sdoctor.report import Report
    from k8sdoctor.tui.app import DoctorApp
    from k8sdoctor.tui.session import Examine

MANY = 10_000


@pytest.mark.asyncio
async def test_a_run_that_falls_over_is_told_and_can_be_repeated() -> None:
    node = sick()
    node.error = ValueError("[red]our bug[/red]")
    the_app = app(node.case())
    async with the_app.run_test() as pilot:
        await until(pilot, lambda app: app.trouble)
        assert "ValueError: [red]our bug[/red]" in screen(the_app)
        assert the_app.exit_code == 3
        node.error = None
        await pilot.press("R")
        await examined(pilot)
        assert "our bug" not in screen(the_app)
    assert the_app.exit_code == 1


@pytest.mark.asyncio
async def test_a_check_that_raises_is_shown_with_its_traceback() -> None:
    node = Node({"ip-forward": (unknown("CheckBroke", "The check ip-forward is at fault: ValueError: no."),)})
    node.broken = (BROKEN,)
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        assert "1 broken" in screen(pilot.app)
        await pilot.press("G")
        assert at(pilot.app) == BROKEN.what
        await until(pilot, lambda app: "Traceback (most recent call last)" in screen(app))
        await pilot.press("r", "s", "c", "e")
    assert len(node.asked) == 1


@pytest.mark.asyncio
async def test_text_of_the_host_is_neither_markup_nor_obeyed() -> None:
    evil = "[bold]\x1b[2J\x07[/nothing] \u202e"
    finding = fail(
        "Evil",
        f"It says {evil}.",
        subject=evil,
        evidence=[Evidence(evil, f"{evil}\nsecond line")],
        fix=Fix(evil, (f"echo {evil}",), evil, Safety.SAFE),
    )
    async with app(Node({"ip-forward": (finding, finding)}).case()).run_test(size=(120, 40)) as pilot:
        await examined(pilot)
        await pilot.press("G")
        shown = screen(pilot.app)
    assert "[bold]\\x1b[2J\\x07[/nothing] \\u202e" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.mark.asyncio
async def test_of_ten_thousand_findings_only_those_in_sight_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = tuple(fail("Off", f"Number {number} is off.", subject=f"if{number}") for number in range(MANY))
    painted = []
    paint = CheckList.paint

    def counted(self: CheckList, *args: Any, **kwargs: Any) -> Any:
        painted.append(1)
        return paint(self, *args, **kwargs)

    monkeypatch.setattr(CheckList, "paint", counted)
    async with app(Node({"ip-forward": findings}).case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("G")
        assert at(pilot.app) == f"Off (if{MANY - 1})"
        painted.clear()
        await pilot.press("k", "k", "k")
        assert at(pilot.app) == f"Off (if{MANY - 4})"
        assert len(painted) <= 3 * 2 * 24
        await pilot.press("slash", *"if777", "enter")
        assert len(pilot.app.query_one(CheckList).lines) == 2 + 1 + 10  # if777, if7770 … if7779


@pytest.mark.asyncio
async def test_a_storm_of_resizes_leaves_the_screen_whole() -> None:
    async with app(sick().case()).run_test() as pilot:
        await examined(pilot)
        for width, height in [(1, 1), (200, 60), (3, 2), (46, 20), (0, 0), (80, 3), (20, 80), (300, 5)] * 2:
            await pilot.resize_terminal(width, height)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        shown = screen(pilot.app)
    assert "br-netfilter" in shown
    assert "BridgeNfCallOff" in shown


@pytest.mark.asyncio
async def test_what_is_told_after_the_end_reaches_nobody() -> None:
    node = sick()
    node.held = frozenset({"ip-forward"})
    before = set(threading.enumerate())
    async with app(node.case()).run_test() as pilot:
        await until(pilot, lambda app: "br-netfilter" in app.board.results)
        [run] = [thread for thread in set(threading.enumerate()) - before if thread.name == "run 1"]
    node.leave()
    run.join(WATCHDOG)
    assert not run.is_alive()  # and what it raised, had it, would fail this test


@pytest.mark.asyncio
async def test_a_list_that_shrinks_keeps_the_cursor_on_what_is_left() -> None:
    node = sick()
    async with app(node.case()).run_test() as pilot:
        await examined(pilot)
        await pilot.press("g", "j", "j", "j")
        assert at(pilot.app).startswith("MirrorIgnored")
        node.findings["pause-image"] = (passed("Present", "The image is here."),)
        await pilot.press("R")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
        assert at(pilot.app) == "pause-image"


def session(run: Any, made: list[Host], loaded: list[int]) -> tuple[Session, list[tuple[int, object]], threading.Event]:
    told: list[tuple[int, object]] = []
    ended = threading.Event()

    def host() -> Host:
        made.append(FakeHost())
        return made[-1]

    def load() -> Registry:
        loaded.append(1)
        return known()

    def tell(number: int, news: object) -> None:
        told.append((number, news))
        if isinstance(news, Ended):
            ended.set()

    return Session(Case(host, load, engine.Request(), run=run), tell), told, ended


def test_each_run_has_a_host_of_its_own_and_the_checks_are_loaded_once() -> None:
    made: list[Host] = []
    loaded: list[int] = []
    the_session, _told, ended = session(lambda *_: HEALTHY, made, loaded)
    for _ in range(2):
        ended.clear()
        the_session.start()
        assert ended.wait(WATCHDOG)

    assert len(made) == 2
    assert made[0] is not made[1]
    assert loaded == [1]


def test_news_of_a_run_that_another_has_replaced_are_not_taken() -> None:
    the_session, told, ended = session(lambda *_: HEALTHY, [], [])
    the_session.start()
    assert ended.wait(WATCHDOG)
    [(number, news)] = [(number, news) for number, news in told if isinstance(news, Ended)]
    the_session.start()

    assert not the_session.takes(number, news)
    assert the_session.running
    assert the_session.takes(number + 1, news)
    assert not the_session.running


def test_ascii_is_as_wide_as_what_it_stands_for() -> None:
    text = "✘ │ 日本語 · “Größe” ⠋…"

    assert ascii_of(text).isascii()
    assert cell_len(ascii_of(text)) == cell_len(text)


def test_the_last_words_name_the_node_and_the_cause_in_one_line() -> None:
    assert last_words(SICK) == (
        "k8sdoctor: node node1: fail (2 fail, 1 unknown, 1 pass, 1 skip, 1 broken): net.bridge.bridge-nf-call-iptables is 0, "
        "so packets between pods on the bridge cni0 do not pass iptables at all. And 1 more diagnosis."
    )
    assert last_words(HEALTHY) == "k8sdoctor: node node1: pass (1 pass)"
    assert last_words(None) == "k8sdoctor: left before the node was examined"


@pytest.mark.asyncio
@pytest.mark.parametrize("place", [0, 2, 5])
async def test_what_a_low_list_shows_does_not_depend_on_which_check_was_first_to_end(place: int) -> None:
    case, shown = demo(), []
    for first in (place, 1):
        painted = threading.Semaphore(0)
        async with app(replace(case, run=one_by_one(case, first, painted))).run_test(size=(80, 10)) as pilot:
            for known_so_far in range(1, len(AREAS) + 1):
                painted.release()
                await until(pilot, partial(knows, known_so_far))
                await settled(pilot)
            before = screen(pilot.app)
            painted.release()
            await examined(pilot)
            shown.append((before, screen(pilot.app)))

    assert shown[0] == shown[1]
    assert ">✘ fail" in shown[0][0]


def knows(number: int, the_app: DoctorApp) -> bool:
    return len(the_app.board.results) == number


def one_by_one(case: Case, first: int, painted: threading.Semaphore) -> Examine:
    """The case's run, whose results come one at a time, each when the last is on the screen, as does its end; `first` comes before the others."""

    def run(host: Host, checks: Registry, request: engine.Request, on_event: Callable[[engine.Event], None]) -> Report:
        report = case.run(host, checks, request, lambda _: None)
        results = list(report.results)
        for result in (results.pop(first), *reversed(results)):
            assert painted.acquire(timeout=WATCHDOG)
            on_event(engine.Started(result.check))
            on_event(engine.Finished(result))
        assert painted.acquire(timeout=WATCHDOG)
        return report

    return run


@pytest.mark.asyncio
@pytest.mark.parametrize("message", [LineList.Moved, LineList.Chosen])
async def test_what_a_list_tells_while_the_app_closes_is_no_fault(
    message: type[LineList.Moved | LineList.Chosen],
) -> None:
    async with app(demo()).run_test() as pilot:
        await examined(pilot)
        listed = pilot.app.query_one(CheckList)
        assert listed.selected is not None
        await pilot.app.query_one(Diagnoses).remove()
        listed.post_message(message(listed.selected))
        await settled(pilot)

        assert listed.is_mounted


@pytest.mark.asyncio
async def test_how_far_a_list_is_scrolled_that_nobody_has_moved_does_not_depend_on_sizes_before() -> None:
    shown = []
    for height in (10, 7, 30):
        async with app(demo()).run_test(size=(80, height)) as pilot:
            await examined(pilot)
            await pilot.resize_terminal(80, 10)
            await settled(pilot)
            shown.append(screen(pilot.app))

    assert shown[0] == shown[1] == shown[2]


@pytest.mark.asyncio
async def test_a_line_that_is_chosen_before_the_list_is_laid_out_is_in_sight_afterwards() -> None:
    async with app(demo()).run_test(size=(80, 10)) as pilot:
        await examined(pilot)
        listed = pilot.app.query_one(CheckList)
        lines, last = listed.lines, len(listed.lines) - 1
        listed.show((), None)
        await settled(pilot)
        listed.show(lines, None)  # all at once, as from an engine that is quicker than the screen
        listed.select(last)
        await settled(pilot)

        assert listed.cursor == last
        assert listed.scroll_offset.y <= last < listed.scroll_offset.y + listed.size.height


@pytest.mark.asyncio
async def test_a_scroll_bar_that_comes_up_after_the_list_was_scrolled_stands_where_the_list_is() -> None:
    async with app(demo()).run_test(size=(80, 10)) as pilot:
        await examined(pilot)
        listed = pilot.app.query_one(CheckList)
        lines = listed.lines
        listed.show((), None)
        await settled(pilot)
        assert not listed.show_vertical_scrollbar
        listed.show(lines, None)
        listed.select(len(lines) - 1)
        await settled(pilot)

        assert listed.show_vertical_scrollbar
        assert listed.vertical_scrollbar.position == listed.scroll_y > 0
