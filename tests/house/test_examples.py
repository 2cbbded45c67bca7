"""The examples of the documents run, exactly as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import registry
from tests.house.examples import ROOT, blocks, commands, write_plug_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # An editable install is found by a hook of setuptools, which mypy does not follow.
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_plug_in_of_contributing_has_a_check_and_a_test() -> None:
    assert [block.file for block in blocks("CONTRIBUTING.md", "python")] == [
        "machine_id.py",
        "tests/test_machine_id.py",
    ]


def test_the_plug_in_s_own_tests_pass(tmp_path: Path) -> None:
    write_plug_in(tmp_path)

    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_plug_in_is_loaded_from_its_folder(tmp_path: Path) -> None:
    write_plug_in(tmp_path)

    loaded = registry.load([tmp_path])

    assert loaded.broken == []
    assert loaded.get("machine-id") is not None


def test_the_plug_in_pleases_our_own_tools(tmp_path: Path) -> None:
    write_plug_in(tmp_path)
    config = str(ROOT / "pyproject.toml")
    cache = str(ROOT / ".mypy_cache" / "plug-in")

    typed = run(tmp_path, "-m", "mypy", "--config-file", config, "--cache-dir", cache, "machine_id.py")
    linted = run(tmp_path, "-m", "ruff", "check", "--no-cache", "--config", config, "machine_id.py")
    formatted = run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", "--config", config, ".")

    assert typed.returncode == 0, typed.stdout
    assert linted.returncode == 0, linted.stdout
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_each_make_command_of_a_page_exists(page: str) -> None:
    for command in commands(page):
        if command.startswith("make "):
            done = subprocess.run(
                [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
