"""Saving the report from the app: files, overwriting, and everything that a disk may refuse."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from textual.widgets import Input

from k8sdoctor import render
from k8sdoctor.render.files import SUFFIXES, write_all
from k8sdoctor.tui.screens import save
from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.confirm import ConfirmScreen
from k8sdoctor.tui.screens.save import SUFFIX, SaveScreen, suggested_name
from tests.render.reports import SICK
from tests.tui.dialogs import SIZES, Opened, opened

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.asyncio


def typed(there: Opened[SaveScreen], name: str) -> None:
    """Replace what stands in the field."""
    there.dialog.query_one(Input).value = name


def choose(there: Opened[SaveScreen], formats: Iterable[str]) -> None:
    for format_ in formats:
        there.dialog.query_one(Choices).choose(format_)


async def saved(there: Opened[SaveScreen]) -> None:
    await there.until(lambda: "Saved:" in there.shown())


async def refused(there: Opened[SaveScreen], sentence: str) -> None:
    """The sentence is shown, what was typed is still there, and nothing was given back."""
    before = there.dialog.query_one(Input).value
    await there.until(lambda: there.says(sentence))
    assert there.dialog.query_one(Input).value == before
    assert not there.closed


async def test_the_file_holds_what_the_command_line_prints(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        await there.press("enter")
        await saved(there)
        target = tmp_path / f"{suggested_name(SICK)}.json"
        assert there.says(f"Saved: {target}")
        await there.press("enter")

        assert there.result == [target]
        assert target.read_text() == render.report(SICK, "json")


async def test_all_formats_are_written_side_by_side_and_nothing_else(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        typed(there, "r")
        await there.press("tab", *("space", "j") * 5, "space", "g", "space")  # json let go of, and chosen again
        await there.press("enter")
        await saved(there)
        await there.press("escape")

        written = there.result
    assert written is not None
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert {path.name for path in written} == {f"r{suffix}" for suffix in SUFFIX.values()}
    assert set(SUFFIX) == set(render.FORMATS)
    for path in written:
        assert path.read_text() == render.report(SICK, SUFFIXES[path.suffix])
    assert yaml.safe_load((tmp_path / "r.yaml").read_text()) == json.loads((tmp_path / "r.json").read_text())


async def test_a_suffix_that_is_typed_chooses_its_format(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        typed(there, "ticket.md")
        await there.pilot.pause()
        assert "[x] Markdown" in there.shown()
        await there.press("tab", "space", "enter")  # JSON let go of
        await saved(there)
        await there.press("q")

        assert there.result == [tmp_path / "ticket.md"]


async def test_every_file_is_named_in_full_before_it_is_written(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path), (200, 60)) as there:
        typed(there, "r")
        choose(there, ["markdown"])
        await there.pilot.pause()

        assert there.says(f"Will write: {tmp_path}/r.json {tmp_path}/r.md")


async def test_an_absolute_path_and_a_home_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(tmp_path / "a"), "~/b"):
        async with opened(SaveScreen(SICK, Path("/nowhere"))) as there:
            typed(there, name)
            await there.press("enter")
            await saved(there)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


# -- what is there is not lost -----------------------------------------------------------------------------------------------


async def test_a_file_that_is_there_is_kept_unless_a_person_says_yes(tmp_path: Path) -> None:
    there_before = tmp_path / "r.json"
    there_before.write_text("mine")
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        typed(there, "r")
        await there.press("enter")
        await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
        assert "Overwrite this file?" in there.shown()
        await there.press("enter")  # by habit

        await refused(there, "Nothing was written. Give another name, or save again and say yes.")
        assert there_before.read_text() == "mine"

        await there.press("enter")
        await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
        await there.press("y")
        await saved(there)
        assert there_before.read_text() == render.report(SICK, "json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


async def test_only_the_files_that_are_there_are_asked_about(tmp_path: Path) -> None:
    (tmp_path / "r.md").write_text("mine")
    async with opened(SaveScreen(SICK, tmp_path), (200, 60)) as there:
        typed(there, "r")
        choose(there, ["markdown"])
        await there.press("enter")
        await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
        assert isinstance(there.desk.screen, ConfirmScreen)
        assert there.desk.screen.details == str(tmp_path / "r.md")
        await there.press("escape")
        await refused(there, "Nothing was written.")

    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]


async def test_a_file_that_comes_to_be_there_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: object) -> None:
        (tmp_path / "r.md").write_text("mine")
        write_all(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(save, "write_all", late)
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        typed(there, "r")
        choose(there, ["markdown", "html"])
        await there.press("enter")
        await refused(there, "has come to be there meanwhile")

    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]
    assert (tmp_path / "r.md").read_text() == "mine"


async def test_a_link_stays_and_what_it_leads_to_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("mine")
    (tmp_path / "r.json").symlink_to("real.json")
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        typed(there, "r")
        await there.press("enter")
        await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
        await there.press("y")
        await saved(there)
        await there.press("escape")

        assert there.result == [tmp_path / "real.json"]
    assert (tmp_path / "r.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == render.report(SICK, "json")


# -- what a disk may refuse -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no/r", "no is not there."),
        ("folder/", "is a folder; give a file in it."),
        ("pipe", "is not a regular file."),
        ("n" * 300, "File name too long."),
        ("  ", "Not saved: the file needs a name."),
        ("~nobody-of-that-name/r", "nobody here is called ~nobody-of-that-name."),
        ("a\0b", "is no path"),
    ],
)
async def test_a_path_that_cannot_be_is_told_in_a_sentence_and_nothing_is_lost(
    tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    async with opened(SaveScreen(SICK, tmp_path), (200, 60)) as there:
        typed(there, name)
        await there.press("enter")
        await refused(there, sentence)
        typed(there, "r")
        await there.press("enter")
        await saved(there)

    assert (tmp_path / "r.json").exists()


async def test_no_format_is_nothing_to_save(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        await there.press("tab", "space", "enter")
        await refused(there, "Not saved: no format is chosen.")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
async def test_a_disk_that_fails_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "r.json").write_text("mine")

    def full(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    async with opened(SaveScreen(SICK, tmp_path), (200, 60)) as there:
        typed(there, "r")
        choose(there, ["markdown"])
        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", full)
            await there.press("enter")
            await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
            await there.press("y")
            await refused(there, f"Not saved: {tmp_path}/r.json: {os.strerror(code)}. Nothing is left half-written.")
        assert (tmp_path / "r.json").read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == ["r.json"]

        await there.press("enter")
        await there.until(lambda: isinstance(there.desk.screen, ConfirmScreen))
        await there.press("y")
        await saved(there)
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", "r.md"}


async def test_a_fault_of_ours_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> str:
        raise ValueError("[bold]oops")

    monkeypatch.setattr(render, "report", broken)
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        await there.press("enter")
        await refused(there, "a fault of k8sdoctor: ValueError: [bold]oops.")


async def test_a_disk_that_hangs_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    first = threading.Event()

    def dead(path: str) -> Path:
        if not first.is_set():
            first.set()
            hangs.wait()
        return Path(path)

    monkeypatch.setattr(save, "writable", dead)
    try:
        async with opened(SaveScreen(SICK, tmp_path)) as there:
            typed(there, "r")
            await there.press("enter")
            await there.until(lambda: "Looking at the folder... (Esc stops waiting)" in there.shown())
            assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
            await there.press("enter", "escape")

            assert there.result is None
    finally:
        hangs.set()
    assert list(tmp_path.iterdir()) == []


# -- the form -------------------------------------------------------------------------------------------------------------------


async def test_q_is_a_letter_in_the_field_and_leaves_from_the_list(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        await there.press("q")
        assert there.dialog.query_one(Input).value.endswith("q")
        await there.press("tab", "q")

        assert there.result is None


async def test_buttons_save_and_leave(tmp_path: Path) -> None:
    async with opened(SaveScreen(SICK, tmp_path)) as there:
        await there.pilot.click("#save")
        await saved(there)
        await there.pilot.click("#close")
        await there.pilot.pause()

        assert there.result == list(tmp_path.iterdir())


@pytest.mark.parametrize("size", SIZES)
async def test_the_buttons_are_on_every_screen_before_and_after(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(SaveScreen(SICK, tmp_path), size) as there:
        assert "Save the report" in there.shown()
        assert "Cancel" in there.shown()
        await there.press("ctrl+s")
        await saved(there)

        assert "Close" in there.shown()
