"""A bundle while it is written."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.render.files import growing, write_all

if TYPE_CHECKING:
    from pathlib import Path


def given_to(monkeypatch: pytest.MonkeyPatch, path: Path, *, euid: int, sudo: dict[str, str]) -> list[tuple[int, int]]:
    """Whom a file was given to that root, or another, wrote with these variables of sudo."""
    given: list[tuple[int, int]] = []

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        assert os.fstat(descriptor).st_size == 0
        given.append((uid, gid))

    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "fchown", fchown)
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in sudo.items():
        monkeypatch.setenv(name, value)
    with growing(path, replace=False) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"
    return given


def test_who_ran_sudo_owns_the_file_in_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getuid()

    given = given_to(monkeypatch, tmp_path / "f", euid=0, sudo={"SUDO_UID": f"{me}", "SUDO_GID": "100"})

    assert given == [(me, 100)]


@pytest.mark.parametrize(
    ("euid", "sudo"),
    [
        (0, {}),
        (0, {"SUDO_UID": f"{os.getuid() + 1}", "SUDO_GID": "100"}),  # the folder is another's
        (0, {"SUDO_UID": f"{os.getuid()}", "SUDO_GID": ""}),
        (0, {"SUDO_UID": "-1", "SUDO_GID": "100"}),
        (1000, {"SUDO_UID": f"{os.getuid()}", "SUDO_GID": "100"}),
    ],
    ids=["no sudo", "another's folder", "no group", "no number", "not root"],
)
def test_otherwise_it_stays_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, euid: int, sudo: dict[str, str]
) -> None:
    assert given_to(monkeypatch, tmp_path / "f", euid=euid, sudo=sudo) == []


@pytest.mark.parametrize("whole", [True, False])
def test_an_interruption_as_soon_as_the_file_is_there_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    make = os.open

    def interrupted(*words: Any, **more: Any) -> int:
        os.close(make(*words, **more))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    write = partial(write_all, {tmp_path / "f": "x"}) if whole else growing(tmp_path / "f", replace=False).__enter__
    with pytest.raises(KeyboardInterrupt):
        write()

    assert list(tmp_path.iterdir()) == []
