"""The processes of a node, where there may be none to be seen, and the commands that are run on it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.processes import OUTPUT_LIMIT
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("folder", [True, False])
def test_a_file_tree_without_processes_could_not_be_looked_at(tmp_path: Path, *, folder: bool) -> None:
    """As under the root of a disk that is mounted elsewhere: /proc is empty there, or was not copied."""
    if folder:
        (tmp_path / "proc").mkdir()

    with pytest.raises(HostError, match="is it mounted") as refused:
        LiveHost(root=str(tmp_path)).processes()

    assert refused.value.reason == "Unreadable"


def test_of_a_long_output_only_the_lines_are_kept_that_hold_what_is_looked_for() -> None:
    said = LiveHost(probe_limit=60).run("sh", "-c", "seq 300000; echo one 77777 >&2", keep=["77777", "no such"])

    assert (said["out"].splitlines(), said["err"].splitlines(), said["code"]) == (
        ["77777", "177777", "277777"],
        ["one 77777"],
        0,
    )


def test_of_an_output_that_is_too_long_no_part_is_taken_for_the_whole() -> None:
    with pytest.raises(HostError, match=r"`head -c 5000000 /dev/zero` printed more than 4 MiB") as refused:
        LiveHost(probe_limit=60).run("head", "-c", "5000000", "/dev/zero")

    assert refused.value.reason == "Unreadable"
    assert (
        len(LiveHost(probe_limit=60).run("head", "-c", f"{OUTPUT_LIMIT - 1}", "/dev/zero")["out"]) == OUTPUT_LIMIT - 1
    )


@pytest.mark.parametrize("text", ["sleep 600.0625", "sleep 600.0625 & echo started", "yes"])
def test_a_command_that_does_not_end_is_ended_with_its_children(text: str) -> None:
    host = LiveHost(probe_limit=0.2)

    with pytest.raises(HostError, match=r"did not end within 0\.2 s") as late:
        host.run("sh", "-c", text)

    assert late.value.reason == "DeadlineExceeded"
    wait_for(
        lambda: not [each for each in host.processes() if "600.0625" in each["cmdline"]], "the end of what it started"
    )


def test_nobody_waits_for_a_command_that_hangs_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that kills is not heeded there, for as long as it takes."""
    spared: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _signal: spared.append(group))

    with pytest.raises(HostError, match=r"did not end within 0\.2 s"):
        LiveHost(probe_limit=0.2).run("sleep", "600.125")

    os.kill(spared[0], 0)  # it is there yet
    os.kill(spared[0], signal.SIGKILL)


def test_a_command_that_is_not_installed_could_not_be_run() -> None:
    with pytest.raises(HostError, match="no-such-command is not installed") as refused:
        LiveHost().run("no-such-command")

    assert refused.value.reason == "NotFound"
