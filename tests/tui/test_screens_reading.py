"""The dialogs in which something is read: evidence, documentation, keys, commands to copy."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from k8sdoctor import Evidence, fail, passed, registry
from k8sdoctor.documentation import Documentation
from k8sdoctor.tui.screens.copy import CopyScreen, show_and_wait
from k8sdoctor.tui.screens.docs import DocsScreen
from k8sdoctor.tui.screens.evidence import EvidenceScreen
from k8sdoctor.tui.screens.help import HelpScreen, groups
from tests.render.reports import FIX, SYMPTOM
from tests.tui.dialogs import SIZES, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.tui.screens.reader import Reader

pytestmark = pytest.mark.asyncio

CHECKS = registry.load(plug_ins=False).checks
TWO_SOURCES = fail(
    "Failed",
    "It is [bold]off[/bold].",
    evidence=[
        Evidence("/proc/[red]switch", "\n".join(f"line {number}" for number in range(60)) + "\n"),
        Evidence("the server\x1b[2J", "\x1b]0;owned\x07\u202e[link]x[/link]\ttab\r\nGröße 日本語"),
    ],
)
COMMANDS = "\n".join((*FIX.commands, *FIX.persist))

READERS: dict[str, Callable[[], Reader]] = {
    "evidence": lambda: EvidenceScreen(SYMPTOM, "dns-reply-source"),
    "docs": lambda: DocsScreen(CHECKS[0]),
    "copy": lambda: CopyScreen(COMMANDS, FIX.title),
}


# -- all of them -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["escape", "q", "enter"])
@pytest.mark.parametrize("name", READERS)
async def test_a_reader_is_left_by_keys(name: str, key: str) -> None:
    async with opened(READERS[name]()) as there:
        await there.press("x", key, key)

        assert there.results == [None]
        assert there.desk.touched == 0


@pytest.mark.parametrize("size", [*SIZES, (10, 4)])
@pytest.mark.parametrize("name", READERS)
async def test_title_text_and_keys_fit_every_terminal(name: str, size: tuple[int, int]) -> None:
    async with opened(READERS[name](), size) as there:
        lines = there.shown().split("\n")

        assert max(map(len, lines)) <= size[0]
        assert lines[0].startswith(there.dialog.title_text[: size[0] - 10].split(" ")[0][: size[0]])
        if size[1] > 10:
            assert "esc Close" in lines[-1]


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        ("j", 1),
        ("down down", 2),
        ("j j k", 1),
        ("down up", 0),
        ("G", 60),
        ("ctrl+end", 60),
        ("G g", 0),
        ("G ctrl+home", 0),
    ],
)
async def test_keys_move_through_a_text(keys: str, row: int) -> None:
    async with opened(EvidenceScreen(fail("F", "M.", evidence=[TWO_SOURCES.evidence[0]]))) as there:
        await there.press(*keys.split())

        assert there.dialog.body.cursor_location[0] == row


@pytest.mark.parametrize("down", ["space", "pagedown", "ctrl+f", "ctrl+d"])
@pytest.mark.parametrize("up", ["b", "pageup", "ctrl+b", "ctrl+u"])
async def test_pages_are_turned_there_and_back(down: str, up: str) -> None:
    async with opened(EvidenceScreen(TWO_SOURCES)) as there:
        await there.press(down)
        there_row = there.dialog.body.cursor_location[0]
        await there.press(up)

        assert there_row >= 10
        assert there.dialog.body.cursor_location[0] == 0


async def test_a_long_line_is_wrapped_or_panned_along() -> None:
    async with opened(EvidenceScreen(fail("F", "M.", evidence=[Evidence("/f", "x" * 300 + "END")]))) as there:
        assert "END" in there.shown()
        await there.press("w")
        assert "END" not in there.shown()
        await there.press("j", "$")
        assert "END" in there.shown()
        await there.press("0")
        assert "END" not in there.shown()
        await there.press("l", "right", "h", "left", "w")
        assert "END" in there.shown()


@pytest.mark.parametrize("key", ["y", "c"])
async def test_all_of_a_text_is_copied_where_nothing_is_selected(key: str) -> None:
    async with opened(CopyScreen(COMMANDS, FIX.title)) as there:
        await there.press(key)

        assert there.desk.copied == [COMMANDS]
        assert there.says("Asked the terminal to copy 3 lines; terminals do not tell whether they did.")


async def test_what_is_selected_by_keys_is_copied() -> None:
    async with opened(CopyScreen("one\ntwo\nthree", "T")) as there:
        await there.press("shift+down", "y")
        await there.press("g", "J", "L", "K", "H", "y")
        await there.press("ctrl+a", "c")

        assert there.desk.copied == ["one\n", "one\ntwo\nthree", "one\ntwo\nthree"]


async def test_what_is_selected_by_the_mouse_is_copied() -> None:
    async with opened(CopyScreen("one\ntwo\nthree", "T")) as there:
        body = there.dialog.body
        await there.pilot.mouse_down(body, offset=(0, 1))
        await there.pilot.hover(body, offset=(3, 1))
        await there.pilot.mouse_up(body, offset=(3, 1))
        await there.press("y")

        assert there.desk.copied == ["two"]
        assert there.says("Asked the terminal to copy the selection")


async def test_nothing_of_a_text_can_be_changed() -> None:
    async with opened(CopyScreen(COMMANDS, FIX.title)) as there:
        await there.press("x", "backspace", "delete", "ctrl+k", "ctrl+x", "ctrl+z")

        assert there.dialog.body.text == COMMANDS


# -- evidence ----------------------------------------------------------------------------------------------------------------


async def test_evidence_is_shown_whole_under_its_sources_and_nothing_of_it_is_obeyed() -> None:
    async with opened(EvidenceScreen(TWO_SOURCES, "my-check")) as there:
        shown = there.shown()
        assert "fail: my-check/Failed" in shown
        assert "It is [bold]off[/bold]." in shown
        assert "==> /proc/[red]switch <==" in shown
        await there.press("G")
        end = there.shown()

        assert r"==> the server\x1b[2J <==" in end
        assert r"\x1b]0;owned\x07\u202e[link]x[/link]" in end
        assert "Größe 日本語" in end
        assert not set("\x1b\x07\u202e\t\r") & set(shown + end)


@pytest.mark.parametrize(("next_", "before"), [("n", "p"), ("]", "[")])
async def test_keys_go_from_source_to_source(next_: str, before: str) -> None:
    async with opened(EvidenceScreen(TWO_SOURCES)) as there:
        await there.press(next_)
        assert there.dialog.body.cursor_location == (62, 0)
        await there.press(next_)
        assert there.dialog.body.cursor_location == (62, 0)
        await there.press(before)

        assert there.dialog.body.cursor_location == (0, 0)


async def test_a_finding_without_evidence_says_so() -> None:
    async with opened(EvidenceScreen(passed("Fine", "All is fine."))) as there:
        assert "This finding rests on no text." in there.shown()
        assert "Next part" not in there.shown()


async def test_a_very_long_text_is_shown_at_once_and_to_its_end() -> None:
    text = "\n".join(f"line {number}" for number in range(100_000))
    async with opened(EvidenceScreen(fail("F", "M.", evidence=[Evidence("/var/log/x", text)]))) as there:
        assert "line 10" in there.shown()
        await there.press("G")

        assert "line 99999" in there.shown()


# -- documentation -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_documentation_is_filled_to_the_width_under_its_headings(size: tuple[int, int]) -> None:
    async with opened(DocsScreen(CHECKS[0]), size) as there:
        body = there.dialog.body
        for check in CHECKS:
            # One dialog is given each check's text: to open one takes a hundred times as long as to fill it.
            there.dialog.documentation, there.dialog._width = Documentation.of(check), 0
            there.dialog.on_resize()
            text = body.text.split("\n")

            assert [text[row] for row in sorted(body.headings)] == [
                name.upper() for name in Documentation.of(check).sections
            ]
            assert body.wrapped_document.height <= len(text) + 2  # nothing is broken a second time but a long word


async def test_the_section_stays_when_the_terminal_changes() -> None:
    async with opened(DocsScreen(CHECKS[0])) as there:
        await there.press("n", "n", "n")
        before = there.dialog.body.cursor_location[0]
        heading = there.dialog.body.document.get_line(before)
        await there.pilot.resize_terminal(40, 24)
        await there.pilot.pause()
        row = there.dialog.body.cursor_location[0]

        assert heading == "HOW IT IS DECIDED"
        assert there.dialog.body.document.get_line(row) == heading
        assert row != before


# -- keys ----------------------------------------------------------------------------------------------------------------------


class Part(Static):
    """A widget of ours, as far as the help is concerned."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "go", "Down", show=False),
        Binding("z", "zoom", "Zoom", tooltip="See it [bold]bigger"),
        Binding("hidden", "nothing"),
    ]


class SamePart(Part):
    """Has the keys of another."""


class OtherPart(Static):
    """Has a title of its own."""

    BINDING_GROUP_TITLE = "The other part"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "open", "Open")]


for kind in (Part, SamePart, OtherPart):
    kind.__module__ = "k8sdoctor.tui.widgets.of_a_test"


class Keys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help"),
        Binding("q", "leave", "Quit", tooltip="Leave"),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),
    ]

    def compose(self) -> ComposeResult:
        yield Part()
        yield SamePart()
        yield OtherPart()


async def test_help_tells_what_the_app_and_its_parts_declare() -> None:
    app = Keys()
    async with app.run_test() as pilot:
        found = groups(app.screen)
        await app.push_screen(HelpScreen(app.screen))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        text = app.screen.body.text

    everywhere = found["Everywhere"]
    assert everywhere["?"] == "Help"
    assert [does for keys, does in everywhere.items() if set(keys.split()) == {"q", "^c"}] == ["Quit"]
    assert "^p" in everywhere
    assert found["Part, Same part"] == {"↓ j": "Down", "z": "See it [bold]bigger"}
    assert found["The other part"] == {"o": "Open"}
    for title, keys in found.items():
        assert title in text
        for told in keys:
            assert f"  {told} " in text
    assert "See it [bold]bigger" in text


@pytest.mark.parametrize("size", SIZES)
async def test_help_fits_every_terminal_and_is_left_by_the_key_that_opened_it(size: tuple[int, int]) -> None:
    app = Keys()
    async with app.run_test(size=size) as pilot:
        await app.push_screen(HelpScreen(app.screen))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        body = app.screen.body
        assert body.wrapped_document.height == body.document.line_count
        await pilot.press("question_mark")
        await pilot.pause()

        assert not isinstance(app.screen, HelpScreen)


# -- commands to copy -------------------------------------------------------------------------------------------------------------


async def test_commands_are_shown_with_what_is_known_of_the_clipboard() -> None:
    async with opened(CopyScreen(COMMANDS, "Fix: [red]x")) as there:
        assert "Fix: [red]x" in there.shown()
        assert there.says(COMMANDS)
        assert there.says("Asked the terminal to copy this; terminals do not tell whether they did")
    async with opened(CopyScreen(COMMANDS, "Fix", asked=False)) as there:
        assert there.says("Press y to ask the terminal to copy this")


async def test_commands_go_to_the_terminal_itself_and_the_app_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    suspended: list[str] = []

    @contextlib.contextmanager
    def suspend() -> Iterator[None]:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            yield
        suspended.append(printed.getvalue())

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    async with opened(CopyScreen(COMMANDS, FIX.title)) as there:
        monkeypatch.setattr(there.desk, "suspend", suspend)
        await there.press("t")

        assert len(suspended) == 1
        assert f"\n{COMMANDS}\n" in suspended[0]  # each command one line, however long
        assert not there.closed


async def test_a_terminal_that_cannot_be_left_for_a_moment_is_told_of() -> None:
    async with opened(CopyScreen(COMMANDS, FIX.title)) as there:
        await there.press("t")

        assert there.says("This terminal shows nothing but the app.")


async def test_ctrl_c_and_the_end_of_input_go_back_to_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def readline(self) -> str:
            raise KeyboardInterrupt

    for stdin in (Interrupted(), io.StringIO("")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            show_and_wait("text")

        assert "text" in printed.getvalue()
