"""A root file system of its own for the one file: glibc, busybox, nothing else, and no place to write to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIST = Path(__file__).resolve().parents[2] / "dist"
PACKAGES = ("libc6", "busybox-static")
FOLDERS = ("proc", "etc", "usr/bin", "opt", "dev")

# A node of its own: no network, no other process, and a root where nothing can be written, also not in memory.
_ENTER = """
mount --bind "$1" "$1"
for each in null urandom; do mount --bind /dev/$each "$1/dev/$each"; done
[ "$2" = no-proc ] || mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1"
shift 2
exec "$@"
"""


def executable() -> Path:
    """What `make dist` has built."""
    [built] = DIST.glob("k8sdoctor-*-linux-x86_64")
    return built


class BareRoot:
    """A folder with the files of a few Debian packages and the executable as /k8sdoctor."""

    def __init__(self, folder: Path) -> None:
        """Fill it."""
        self.folder = folder
        folder.chmod(0o755)  # pytest's own are root's alone
        for each in FOLDERS:
            (folder / each).mkdir(parents=True, exist_ok=True)
        for each in ("bin", "lib", "lib64"):
            (folder / "usr" / each).mkdir(exist_ok=True)
            (folder / each).symlink_to(f"usr/{each}")
        for each in ("null", "urandom"):
            (folder / "dev" / each).touch()
        for package in PACKAGES:
            self._install(package)
        shutil.copy(executable(), folder / "k8sdoctor")

    def _install(self, package: str) -> None:
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=True).stdout
        for path in map(Path, listed.splitlines()):
            to = self.folder / path.relative_to("/")
            if path.is_file() and not path.is_relative_to("/usr/share"):
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)

    def words(self, *arguments: str, user: int = 0, proc: bool = True) -> list[str]:
        """The words that run the executable in there, as a user, with or without /proc."""
        return [
            *("unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"),
            *("sh", "-ec", _ENTER, "sh", str(self.folder), "proc" if proc else "no-proc"),
            *("chroot", f"--userspec={user}:{user}", str(self.folder), "/k8sdoctor", *arguments),
        ]

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, user: int = 0, proc: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return run(
            self.words(*arguments, user=user, proc=proc), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})}
        )


def run(words: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, and keep what it prints."""
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL, env=env
    )
