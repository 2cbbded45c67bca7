"""The dialogs in which something is chosen: a yes or no, a profile, checks to skip, seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.check import Profile
from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.confirm import ConfirmScreen
from k8sdoctor.tui.screens.profile import ChosenProfile, ProfileScreen
from k8sdoctor.tui.screens.skip import SkipScreen
from k8sdoctor.tui.screens.watch import WatchScreen
from tests.tui.dialogs import SIZES, opened
from tests.tui.nodes import known

if TYPE_CHECKING:
    from k8sdoctor.tui.screens.dialog import Dialog

pytestmark = pytest.mark.asyncio

CHECKS = known().checks


# -- a question --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        ("y", True),
        ("n", False),
        ("escape", False),
        ("q", False),
        ("enter", True),
        ("l enter", False),
        ("right enter", False),
        ("tab enter", False),
        ("l h enter", True),
        ("right left enter", True),
    ],
)
async def test_a_question_is_answered_by_keys(keys: str, answer: bool) -> None:
    async with opened(ConfirmScreen("Leave?")) as there:
        await there.press(*keys.split())

        assert there.result is answer


async def test_a_question_that_one_would_be_sorry_about_is_not_answered_with_yes_by_habit() -> None:
    async with opened(ConfirmScreen("Overwrite?", careful=True)) as there:
        await there.press("enter")

        assert there.result is False


@pytest.mark.parametrize(("button", "answer"), [("#yes", True), ("#no", False)])
async def test_a_question_is_answered_by_the_mouse(button: str, answer: bool) -> None:
    async with opened(ConfirmScreen("Leave?")) as there:
        await there.pilot.click(button)
        await there.pilot.pause()

        assert there.result is answer


async def test_keys_that_are_pressed_twice_answer_once_and_do_not_reach_the_app() -> None:
    async with opened(ConfirmScreen("Leave?")) as there:
        await there.press("x", "k", "w")
        assert there.desk.touched == 0
        await there.press("escape", "escape")

        assert there.results == [False]


async def test_a_question_shows_text_of_the_host_as_it_is_and_sends_none_of_it_to_the_terminal() -> None:
    async with opened(ConfirmScreen("Skip [red]x[/red] \x1b[2J?", details="[link=file:///]a[/]\x07\u202e\nb")) as there:
        shown = there.shown()

        assert r"Skip [red]x[/red] \x1b[2J?" in shown
        assert r"[link=file:///]a[/]\x07\u202e" in shown
        assert not set("\x1b\x07\u202e") & set(shown)


# -- a profile ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("current", [None, *Profile])
async def test_enter_takes_the_profile_that_was_current(current: Profile | None) -> None:
    async with opened(ProfileScreen(current)) as there:
        assert there.shown().count("(x)") == 1
        await there.press("enter")

        assert there.result == ChosenProfile(current)


@pytest.mark.parametrize(
    ("keys", "profile"),
    [
        ("j enter", Profile.INIT),
        ("down down enter", Profile.JOIN),
        ("G enter", Profile.DNS),
        ("end enter", Profile.DNS),
        ("G k enter", Profile.CONTROL_PLANE),
        ("end up enter", Profile.CONTROL_PLANE),
        ("G g enter", None),
        ("end home enter", None),
        ("ctrl+d enter", Profile.DNS),
        ("pagedown pageup enter", None),
        ("pagedown ctrl+u enter", None),
        ("j space", Profile.INIT),
    ],
)
async def test_keys_move_to_a_profile(keys: str, profile: Profile | None) -> None:
    async with opened(ProfileScreen(None)) as there:
        await there.press(*keys.split())

        assert there.result == ChosenProfile(profile)


@pytest.mark.parametrize("key", ["escape", "q"])
async def test_a_profile_is_not_chosen_by_leaving(key: str) -> None:
    async with opened(ProfileScreen(Profile.NODE)) as there:
        await there.press("j", key)

        assert there.result is None


@pytest.mark.parametrize(("row", "profile"), [(0, None), (3, Profile.NODE)])
async def test_a_click_takes_a_profile_also_the_current_one(row: int, profile: Profile | None) -> None:
    async with opened(ProfileScreen(None)) as there:
        await there.pilot.click(Choices, offset=(8, row))
        await there.pilot.pause()

        assert there.result == ChosenProfile(profile)


@pytest.mark.parametrize(("button", "result"), [("#confirm", ChosenProfile(Profile.DNS)), ("#close", None)])
async def test_buttons_take_a_profile_or_leave(button: str, result: ChosenProfile | None) -> None:
    async with opened(ProfileScreen(Profile.DNS)) as there:
        await there.pilot.click(button)
        await there.pilot.pause()

        assert there.result == result


# -- checks to skip ------------------------------------------------------------------------------------------------------------


async def test_checks_are_marked_by_space_and_applied_by_enter() -> None:
    async with opened(SkipScreen(CHECKS, {"cni-config"})) as there:
        assert "> [x] cni-config" in there.shown()
        await there.press("space", "j", "space")
        assert "  [ ] cni-config" in there.shown()
        assert "> [x] dns-reply-source" in there.shown()
        await there.press("enter")

        assert there.result == frozenset({"dns-reply-source"})


async def test_checks_are_marked_by_a_click() -> None:
    async with opened(SkipScreen(CHECKS)) as there:
        await there.pilot.click(Choices, offset=(8, 1))
        await there.pilot.click("#confirm")
        await there.pilot.pause()

        assert there.result == frozenset({"br-netfilter"})


async def test_nothing_is_skipped_by_leaving() -> None:
    async with opened(SkipScreen(CHECKS, {"cni-config"})) as there:
        await there.press("space", "q")

        assert there.result is None


async def test_a_node_without_checks_has_none_to_skip() -> None:
    async with opened(SkipScreen([])) as there:
        assert "There are no checks." in there.shown()
        await there.press("enter")

        assert there.result == frozenset()


# -- seconds -------------------------------------------------------------------------------------------------------------------


async def test_enter_takes_the_seconds_that_were_current() -> None:
    async with opened(WatchScreen(2.5)) as there:
        await there.press("enter")

        assert there.result == 2.5


async def test_what_is_typed_replaces_them() -> None:
    async with opened(WatchScreen()) as there:
        await there.press("3", "0", "enter")

        assert there.result == 30


async def test_seconds_that_make_no_sense_are_told_and_can_be_mended() -> None:
    async with opened(WatchScreen()) as there:
        await there.press("q", "enter")
        assert "'q' is no time from 1 second to a day" in there.shown()
        assert not there.closed
        await there.press("backspace")
        assert "is no time" not in there.shown()
        await there.press("7", "enter")

        assert there.result == 7


async def test_watching_is_left_by_esc_and_by_the_button() -> None:
    for leave in ("key", "button"):
        async with opened(WatchScreen()) as there:
            if leave == "key":
                await there.press("escape")
            else:
                await there.pilot.click("#close")
                await there.pilot.pause()

            assert there.result is None


# -- all of them ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialog", [ConfirmScreen, ProfileScreen, SkipScreen, WatchScreen])
async def test_title_and_buttons_are_on_every_screen(dialog: type[Dialog[Any]], size: tuple[int, int]) -> None:
    dialogs: dict[type[Dialog[Any]], Dialog[Any]] = {
        ConfirmScreen: ConfirmScreen("The title?", details="a line\n" * 100),
        ProfileScreen: ProfileScreen(None),
        SkipScreen: SkipScreen(CHECKS),
        WatchScreen: WatchScreen(),
    }
    made = dialogs[dialog]

    async with opened(made, size) as there:
        await there.until(lambda: made.title_text in there.shown())
        await there.until(lambda: "Cancel" in there.shown() or "No " in there.shown())
        assert max(map(len, there.shown().split("\n"))) <= size[0]


async def test_a_dialog_follows_the_terminal_s_size() -> None:
    async with opened(ProfileScreen(None), (80, 24)) as there:
        for size in ((20, 6), (10, 3), (200, 60), (40, 12)):
            await there.pilot.resize_terminal(*size)
            await there.pilot.pause()
        shown = there.shown()

        assert "Choose" in shown
        assert "control-plane" in shown
