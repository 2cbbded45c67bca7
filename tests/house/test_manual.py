"""The man page and the completions say what `--help` says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import __version__
from k8sdoctor.cli.arguments import parser
from tests.house import source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    script = source.ROOT / "docs" / "manual.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def shown(written: Path) -> str:
    """What a reader of the page sees, on one long line."""
    if shutil.which("mandoc") is None:
        # On a person's machine; where no skip is allowed, tests/conftest.py makes it a failure.
        pytest.skip("needs mandoc")
    done = subprocess.run(
        ["mandoc", "-T", "utf8", str(written / "k8sdoctor.8")], check=True, capture_output=True, text=True
    )
    return " ".join(re.sub(".\x08", "", done.stdout).replace("\N{SOFT HYPHEN}", "").split())


def test_the_man_page_names_every_command_and_every_option(shown: str) -> None:
    commands = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))

    for command, options in commands.items():
        assert f"k8sdoctor {command}" in shown
        for word in re.findall(r"--[a-z-]+", options.format_usage()):
            assert word in shown


def test_the_man_page_says_which_version_it_is_about_and_what_the_exit_codes_mean(shown: str) -> None:
    assert f"k8sdoctor {__version__}" in shown
    for line in re.findall(r"^  (\d+) +(.*)$", parser().epilog or "", re.MULTILINE):
        assert " ".join(line) in shown


def test_the_man_page_is_sound_troff(written: Path, shown: str) -> None:
    assert shown
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(written / "k8sdoctor.8")],
        check=False,
        capture_output=True,
        text=True,
    )

    # argparse-manpage writes the date's hyphens as troff's minus signs, which every reader of pages shows rightly.
    assert [line for line in done.stdout.splitlines() if "cannot parse date" not in line] == []


def test_the_same_source_gives_the_same_page(written: Path, tmp_path: Path) -> None:
    script = source.ROOT / "docs" / "manual.py"
    for name in ("one", "two"):
        subprocess.run(
            [sys.executable, str(script), str(tmp_path / name)],
            check=True,
            capture_output=True,
            env={"SOURCE_DATE_EPOCH": "1700000000", "PATH": "/usr/bin:/bin"},
        )

    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert sorted(one) == sorted(path.name for path in written.iterdir())
    assert b"2023" in one["k8sdoctor.8"]
