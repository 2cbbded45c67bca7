"""The source tree that these tests are about."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """What the repository holds: all that git knows or would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


@cache
def texts() -> dict[str, str]:
    """The repository's text files: path from its root, content."""
    found = {}
    for path in files():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def check_files() -> list[Path]:
    """The files of the built-in checks."""
    return sorted(path for path in (ROOT / "checks").glob("*.py") if not path.name.startswith("_"))


def copy(to: Path) -> Path:
    """A copy of the repository that a test may spoil. Times are kept, so that caches stay good."""
    names = [*(str(path.relative_to(ROOT)) for path in files()), "k8sdoctor/checks"]  # the link last
    subprocess.run(["cp", "--archive", "--parents", "--target-directory", str(to), *names], cwd=ROOT, check=True)
    return to
