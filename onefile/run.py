"""Commands that a build runs, and the folders that it works in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "onefile"
"""What a build leaves for the next: Debian's packages, and what the linker keeps."""


def fresh(folder: Path) -> Path:
    """An empty folder at this path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run(
    *command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, stdout: int | None = None
) -> None:
    """Run a command, and end with its code when it fails; it says by itself why."""
    done = subprocess.run([str(part) for part in command], env=env, cwd=cwd, stdout=stdout, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(str(part) for part in command[:6])} … ended with code {done.returncode}")
