"""The tools look where we think they look: a fault planted in checks/ is found, although a link leads there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house import source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source


def run(folder: Path, *command: str) -> str:
    """What a tool prints in a copy of the tree, which must not please it."""
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return source.copy(tmp_path)


def test_a_wrong_type_in_a_check_and_in_a_test_is_found(tree: Path) -> None:
    (tree / "checks" / "planted.py").write_text('"""Planted."""\n\nCOUNT: int = "three"\n')
    (tree / "tests" / "checks" / "test_planted.py").write_text("def test_nothing():\n    pass\n")

    # The cache is the real tree's: the copy has the same paths and content.
    said = run(tree, "-m", "mypy", "--cache-dir", str(source.ROOT / ".mypy_cache"))

    assert "checks/planted.py:3: error: Incompatible types" in said
    assert "tests/checks/test_planted.py:1: error: Function is missing a return type annotation" in said


@pytest.mark.parametrize("module", ["k8sdoctor.engine", "k8sdoctor.host.live", "subprocess", "textual"])
def test_a_wrong_import_in_a_check_is_found(tree: Path, module: str) -> None:
    (tree / "checks" / "planted.py").write_text(f'"""Planted."""\n\nimport {module}\n')

    said = run(tree, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")

    assert f"k8sdoctor.checks.planted -> {module}" in said


def test_a_lint_in_a_check_is_found(tree: Path) -> None:
    (tree / "checks" / "planted.py").write_text("import os\n")

    said = run(tree, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", ".")

    assert "checks/planted.py:1:8: F401" in said
