"""A report for a disk that is full is not lost, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.doctor import WATCHDOG, command, environment, named

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab


def test_a_report_that_finds_the_disk_full_is_printed_and_what_was_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    # The disk has two blocks; an old report takes one, and a new one would take more than what is left.
    script = f'mount -t tmpfs -o size=8k none {folder} && echo old > {folder}/r.html && "$@"; code=$?; ls -A {folder}; cat {folder}/r.html; exit $code'
    done = subprocess.run(
        [
            *("unshare", "--mount", "--net", "sh", "-c", script, "sh"),
            *command(*named(tmp_path, "fine"), "--report", str(folder / "r.html")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=WATCHDOG,
        env=environment(),
    )

    assert done.returncode == 3
    assert done.stderr == f"k8sdoctor: the report could not be written to {folder}/r.html: No space left on device\n"
    printed, _, page = done.stdout.partition("<!DOCTYPE html>")
    assert "1 pass" in printed
    assert page.split("</html>\n")[1] == "r.html\nold\n"
