"""A list that was given on the command line, in the app: how far it has come, and what asks for it again."""

from __future__ import annotations

import pytest

from k8sdoctor import engine
from tests.tui.nodes import app, examined, screen, until
from tests.tui.test_keys import sick

pytestmark = pytest.mark.asyncio

LISTED = engine.Request(also=frozenset({"image-list"}), lifted=True)


async def test_how_far_a_list_has_come_is_shown_without_a_deadline_that_is_lifted() -> None:
    node = sick()
    node.held = frozenset({"dns-reply-source"})
    node.advanced = tuple(engine.Advanced("images", done, 500) for done in (1, 60, 120))
    async with app(node.case(LISTED)).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda app: "120 of 500 images" in screen(app))
        assert "0 s of" not in screen(pilot.app)
        node.leave()
        await examined(pilot)
        assert "of 500 images" not in screen(pilot.app)


async def test_a_deadline_that_was_not_lifted_is_shown() -> None:
    node = sick()
    node.held = frozenset({"dns-reply-source"})
    async with app(node.case()).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda app: "s of 15 s" in screen(app))
        node.leave()


async def test_a_check_that_is_run_again_does_not_take_the_list_along_and_all_of_them_do() -> None:
    node = sick()
    async with app(node.case(LISTED)).run_test() as pilot:
        await examined(pilot)
        await pilot.press("r")
        await until(pilot, lambda app: len(node.asked) == 2 and not app.session.running)
        await pilot.press("R")
        await until(pilot, lambda app: len(node.asked) == 3 and not app.session.running)

    assert [request.also for request in node.asked] == [LISTED.also, frozenset(), LISTED.also]
