"""The verb sync_times: really written, and nothing left."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError, sync_times
from k8sdoctor.host.live import NOTHING_GIVEN, LiveHost

if TYPE_CHECKING:
    from pathlib import Path

INTRUSIVE = LiveHost(given=NOTHING_GIVEN | {"intrusive": True})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_times, "MOST", 20)
    monkeypatch.setattr(sync_times, "SECONDS", 0.2)


def test_small_writes_are_timed_and_no_file_is_left(tmp_path: Path) -> None:
    times = INTRUSIVE.sync_times(str(tmp_path))

    assert 1 <= len(times) <= 20
    assert min(times) > 0
    assert list(tmp_path.iterdir()) == []


def test_no_name_is_ever_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    real = os.fdatasync

    def look(descriptor: int) -> None:
        seen.append(list(tmp_path.iterdir()))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", look)

    INTRUSIVE.sync_times(str(tmp_path))

    assert seen
    assert not any(seen)


def test_it_is_refused_unless_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="--intrusive allows it") as caught:
        LiveHost().sync_times(str(tmp_path))

    assert caught.value.reason == "NotPermitted"


def test_nothing_is_written_where_little_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_times, "ROOM", 2**60)

    with pytest.raises(HostError, match="nothing is written"):
        INTRUSIVE.sync_times(str(tmp_path))


@pytest.mark.parametrize(("folder", "reason"), [("/nowhere", "NotFound"), ("/etc/hostname", "NotFound")])
def test_a_folder_that_cannot_have_such_a_file_is_told(folder: str, reason: str) -> None:
    with pytest.raises(HostError) as caught:
        INTRUSIVE.sync_times(folder)

    assert caught.value.reason == reason


def test_a_file_system_without_nameless_files_gets_none_with_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(HostError, match="without a name") as caught:
        INTRUSIVE.sync_times(str(tmp_path))
    assert caught.value.reason == "Unreadable"
