"""How the screen looks, held against pictures that were looked at. `make pictures` makes them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from k8sdoctor import passed, skip
from tests.tui.nodes import Clock, Node, app, demo, examined, settled, until
from tests.tui.test_keys import sick

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    Compare: TypeAlias = Callable[..., bool]
    Steps: TypeAlias = Callable[[Pilot[Any]], Awaitable[None]]

STANDARD = (80, 24)
ROOMY = (120, 36)


def after(*keys: str) -> Steps:
    """When the first run has ended, press keys."""

    async def steps(pilot: Pilot[Any]) -> None:
        await examined(pilot)
        if keys:
            await pilot.press(*keys)
            await settled(pilot)

    return steps


def healthy() -> Node:
    return Node(
        {
            "apiserver-san": (skip("NoCertificateYet", "Nothing serves there yet."),),
            "br-netfilter": (passed("Filtered", "Bridged packets pass iptables."),),
            "ip-forward": (passed("ForwardingOn", "IPv4 forwarding is on."),),
        }
    )


def test_a_sick_node(snap_compare: Compare) -> None:
    assert snap_compare(app(demo()), terminal_size=ROOMY, run_before=after())


def test_a_sick_node_on_80_by_24(snap_compare: Compare) -> None:
    assert snap_compare(app(demo()), terminal_size=STANDARD, run_before=after())


def test_a_sick_node_on_a_wide_screen(snap_compare: Compare) -> None:
    assert snap_compare(app(demo()), terminal_size=(180, 45), run_before=after())


def test_a_healthy_node(snap_compare: Compare) -> None:
    assert snap_compare(app(healthy().case()), terminal_size=STANDARD, run_before=after())


def test_several_findings_of_a_check_and_what_could_not_be_looked_at(snap_compare: Compare) -> None:
    assert snap_compare(app(sick().case()), terminal_size=(100, 30), run_before=after("g", "j"))


@pytest.mark.parametrize("keys", [(), ("enter",)], ids=["list", "details"])
def test_a_narrow_terminal_shows_the_list_or_the_details(snap_compare: Compare, keys: tuple[str, ...]) -> None:
    assert snap_compare(app(demo()), terminal_size=(46, 20), run_before=after(*keys))


def test_a_low_terminal_shows_the_list(snap_compare: Compare) -> None:
    assert snap_compare(app(demo()), terminal_size=(80, 10), run_before=after())


def test_without_colour_nothing_is_lost(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert snap_compare(app(demo()), terminal_size=STANDARD, run_before=after())


def test_without_unicode_symbols(snap_compare: Compare) -> None:
    assert snap_compare(app(demo(), symbols="ascii"), terminal_size=STANDARD, run_before=after())


def test_on_a_light_terminal(snap_compare: Compare) -> None:
    assert snap_compare(app(demo(), light=True), terminal_size=STANDARD, run_before=after())


def test_the_start(snap_compare: Compare) -> None:
    """Nothing is known yet, not even which checks there are."""
    node = Node({})
    node.held = frozenset()
    case = node.case()

    def never(*_: object) -> Any:
        import threading

        threading.Event().wait()

    object.__setattr__(case, "run", never)
    assert snap_compare(app(case), terminal_size=STANDARD)


def test_a_run_that_is_on(snap_compare: Compare) -> None:
    node, clock = sick(), Clock()
    node.held = frozenset({"dns-reply-source", "pause-image"})
    node.waiting_for = ("dns replies", "pull")

    async def running(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda app: "ip-forward" in app.board.results and app._waiting_for)
        clock.now += 2.25
        pilot.app._tick()  # type: ignore[attr-defined]  # now, and not when the timer does
        await settled(pilot)

    assert snap_compare(app(node.case(), clock), terminal_size=STANDARD, run_before=running)
    node.leave()


def test_watching_after_a_fix(snap_compare: Compare) -> None:
    node, clock = sick(), Clock()

    async def watching(pilot: Pilot[Any]) -> None:
        await examined(pilot)
        await pilot.press("w")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
        node.findings["br-netfilter"] = (passed("Filtered", "Bridged packets pass iptables."),)
        node.findings["dns-reply-source"] = (passed("RepliesMatch", "Every reply came from the address asked."),)
        clock.now += 5
        await until(pilot, lambda app: len(node.asked) == 3 and not app.session.running)
        await settled(pilot)

    assert snap_compare(app(node.case(), clock), terminal_size=(100, 30), run_before=watching)


def test_a_search(snap_compare: Compare) -> None:
    assert snap_compare(app(sick().case()), terminal_size=STANDARD, run_before=after("f", "slash", *"mirror"))
