"""Reading files below a root: what is refused, and that nothing leads out."""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host import files as module
from k8sdoctor.host.base import LINES_LIMIT, READ_LIMIT
from k8sdoctor.host.fake import FakeHost
from k8sdoctor.host.files import UNPACKED_LIMIT, Files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system of its own."""
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    return folder


def refusal(files: Files, path: str) -> HostError:
    with pytest.raises(HostError) as caught:
        files.read(path)
    return caught.value


def test_an_absolute_link_leads_inside_the_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    (root / "etc/inside").write_text("fine")
    (root / "etc/link").symlink_to("/etc/inside")

    assert Files(str(root)).read("/etc/link") == "fine"


@pytest.mark.parametrize("target", ["../../../outside", "/../outside"])
def test_no_link_climbs_out_of_the_root(root: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    (root / "etc/link").symlink_to(target)

    assert refusal(Files(str(root)), "/etc/link").reason == "NotFound"


def test_dots_in_a_path_do_not_climb_out_of_the_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")

    assert refusal(Files(str(root)), "/etc/../../outside").reason == "NotFound"


def test_a_link_to_a_folder_is_followed_on_the_way(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run/state").write_text("here")
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")

    files = Files(str(root))

    assert files.read("/var/run/state") == "here"
    assert files.stat("/var/run/state")["path"] == "/run/state"


@pytest.mark.parametrize("inside", [True, False], ids=["with a root", "on the machine itself"])
def test_a_loop_of_links_is_unreadable(root: Path, inside: bool) -> None:
    (root / "a").symlink_to("b" if not inside else "/b")
    (root / "b").symlink_to("a" if not inside else "/a")

    error = refusal(Files(str(root)), "/a") if inside else refusal(Files("/"), f"{root}/a")

    assert error.reason == "Unreadable"
    assert "loop" in error.message


def test_a_fifo_is_refused_at_once_and_never_waited_for(root: Path) -> None:
    os.mkfifo(root / "etc/fifo")

    error = refusal(Files(str(root)), "/etc/fifo")

    assert error.reason == "Unreadable"
    assert "fifo" in error.message


def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "etc")  # a socket's path may have 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")

        assert refusal(Files(str(root)), "/etc/s").reason == "Unreadable"


def test_a_folder_is_no_file(root: Path) -> None:
    assert "is a dir" in refusal(Files(str(root)), "/etc").message


def test_a_file_of_a_hundred_megabytes_is_refused_by_its_size(root: Path) -> None:
    with (root / "etc/big").open("wb") as file:
        file.truncate(100 * 1024 * 1024)

    error = refusal(Files(str(root)), "/etc/big")

    assert error.reason == "Unreadable"
    assert "100 MiB" in error.message


def test_a_file_of_just_the_limit_is_read(root: Path) -> None:
    (root / "etc/fits").write_bytes(b"x" * READ_LIMIT)

    assert len(Files(str(root)).read("/etc/fits")) == READ_LIMIT


def test_bytes_that_are_no_text_become_replacement_characters(root: Path) -> None:
    (root / "etc/binary").write_bytes(b"a\xff\x00b")

    assert Files(str(root)).read("/etc/binary") == "a\ufffd\x00b"


def test_names_are_sorted_by_their_bytes(root: Path) -> None:
    for name in ("b", "A", "10-x", "100-x", "é"):
        (root / "etc" / name).touch()

    assert [entry["name"] for entry in Files(str(root)).listdir("/etc")] == ["10-x", "100-x", "A", "b", "é"]


def test_a_folder_of_too_many_names_is_not_listed_by_a_part_of_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8sdoctor.host.files.MOST_NAMES", 3)
    for name in ("a", "b", "c"):
        (root / "many" / name).parent.mkdir(exist_ok=True)
        (root / "many" / name).touch()
    assert len(Files(str(root)).listdir("/many")) == 3
    (root / "many" / "d").touch()

    with pytest.raises(HostError, match="/many holds more than 3 names") as told:
        Files(str(root)).listdir("/many")

    assert told.value.reason == "Unreadable"


def test_a_folder_s_entries_tell_links_from_files(root: Path) -> None:
    (root / "etc/file").touch()
    (root / "etc/link").symlink_to("file")
    (root / "etc/sub").mkdir()

    kinds = {entry["name"]: entry["kind"] for entry in Files(str(root)).listdir("/etc")}

    assert kinds == {"file": "file", "link": "link", "sub": "dir"}


def test_a_missing_parent_is_not_found(root: Path) -> None:
    assert refusal(Files(str(root)), "/no/such/file").reason == "NotFound"


def test_a_file_under_a_file_is_not_found(root: Path) -> None:
    (root / "etc/file").touch()

    assert refusal(Files(str(root)), "/etc/file/below").reason == "NotFound"


def test_the_text_of_a_link_is_read_without_following_it(root: Path) -> None:
    (root / "etc/dangling").symlink_to("/nowhere")

    assert Files(str(root)).readlink("/etc/dangling") == "/nowhere"


def test_the_kernel_s_own_links_are_left_to_the_kernel() -> None:
    files = Files("/proc/self/root")

    assert files.readlink("/proc/self/ns/net").startswith("net:[")
    assert files.stat("/proc/self/ns/net")["inode"] > 0


@pytest.mark.parametrize(
    ("size", "end"),
    [
        (100, "a\nbb\nccc\n"),
        (9, "a\nbb\nccc\n"),
        (8, "bb\nccc\n"),
        (7, "bb\nccc\n"),
        (6, "ccc\n"),
        (4, "ccc\n"),
        (3, ""),
    ],
)
def test_the_end_of_a_file_begins_with_a_whole_line(size: int, end: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a\nbb\nccc\n")

    assert Files(str(tmp_path)).tail("/log", size) == end
    assert FakeHost({"/log": "a\nbb\nccc\n"}).tail("/log", size) == end


@pytest.mark.parametrize("path", ["/etc/a\0b", "/etc/\ud800"])
@pytest.mark.parametrize("root", ["/", "/etc"])
def test_what_can_be_no_path_is_not_found(path: str, root: str) -> None:
    files = Files(root)
    for ask in (files.read, files.stat, files.listdir, files.readlink):
        with pytest.raises(HostError) as caught:
            ask(path)
        assert caught.value.reason == "NotFound"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzip.compress(b"CONFIG_A=y\nCONFIG_B=m\n"), ["CONFIG_B=m"]),
        (gzip.compress(b""), []),
        (b"CONFIG_B=m\n", "no gzip file"),
        (b"", "not whole"),
        (gzip.compress(b"CONFIG_B=m\n" * 9)[:-9], "not whole"),
        (gzip.compress(b"\n" * (UNPACKED_LIMIT + 1)), "not whole, or holds more than 16 MiB"),
    ],
    ids=["lines", "empty", "text", "nothing", "cut", "bomb"],
)
def test_lines_of_a_gzip_file_are_those_that_it_holds(root: Path, content: bytes, expected: list[str] | str) -> None:
    (root / "config.gz").write_bytes(content)

    if isinstance(expected, list):
        assert Files(str(root)).lines("/config.gz", ["CONFIG_B="]) == expected
    else:
        with pytest.raises(HostError, match=f"/config.gz is .*{expected}") as caught:
            Files(str(root)).lines("/config.gz", ["CONFIG_B="])
        assert caught.value.reason == "Unreadable"


@pytest.mark.parametrize("keep", [["a"], ["b", "ab"], [""], ["ü"], ["ba", "no"], []])
def test_lines_are_those_that_one_after_the_other_would_be_found(
    root: Path, keep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE", 8)
    monkeypatch.setattr(module, "_BLOCK", 24)
    random_ = random.Random(0)
    for _ in range(200):
        text = "".join(
            random_.choice(("a", "b", "\n", "c", "ü")) for _ in range(random_.choice((0, 5, 23, 24, 60, 200)))
        )
        (root / "table").write_text(text, "utf-8")

        # A line is taken eight bytes at a time, and what is behind a line's last piece is nothing of its own.
        lines = [line.rstrip(b"\n") for line in io.BytesIO(text.encode())]
        pieces = [line[start : start + 8] for line in lines for start in range(0, max(len(line), 1), 8)]
        expected = [
            piece.decode("utf-8", "replace") for piece in pieces if any(each.encode() in piece for each in keep)
        ]
        assert Files(str(root)).lines("/table", keep) == expected


def test_more_lines_than_anybody_looks_at_are_left_out(root: Path) -> None:
    (root / "table").write_text("a\nb\n" * (LINES_LIMIT + 1))

    assert Files(str(root)).lines("/table", ["b"]) == ["b"] * LINES_LIMIT


def test_a_line_that_never_ends_is_looked_through_in_the_memory_of_a_few_blocks(root: Path) -> None:
    (root / "table").write_bytes(b"x" * 5_000_000 + b"wanted\nwanted\n")

    found = Files(str(root)).lines("/table", ["wanted"])

    assert found[-1] == "wanted"
    assert len(found[0]) <= 1 << 16
