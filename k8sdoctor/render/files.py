"""Reports in files: which format a name asks for, whether it can be written there, and writing it whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

SUFFIXES = {
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".md": "markdown",
    ".xml": "junit",
    ".html": "html",
    ".txt": "text",
}
"""The format of a report by its file's suffix. The first of a format is the one to give it."""


class UnfitPathError(Exception):
    """No report can be written there; the message is one sentence that says why."""


def writable(path: str) -> Path:
    """Where a report would really go: its folder must be there, and it must not be anything but a regular file.

    A link stays a link: what it leads to is written. Raises UnfitPathError, and OSError where even looking fails.
    """
    try:
        target = Path(os.path.realpath(path))
        is_folder = target.is_dir()
    except ValueError as error:  # a NUL in it
        raise UnfitPathError(f"{path!r} is no path: {error}") from None
    parent = target.parent
    if not path or path.endswith("/") or is_folder:
        raise UnfitPathError(f"{path or repr('')} is a folder; give a file in it")
    if not parent.is_dir():
        raise UnfitPathError(f"the folder {parent} is not there")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UnfitPathError(f"the folder {parent} may not be written to")
    if os.path.lexists(target) and not stat.S_ISREG(target.stat().st_mode):
        raise UnfitPathError(f"{path} is not a regular file")
    return target


def write_whole(path: str, text: str) -> None:
    """Replace a file in one step, so that nobody ever reads half a report. Raises OSError."""
    target = Path(path)
    write_all({target: text}, replace={target})


def write_all(texts: Mapping[Path, str], replace: Collection[Path] = ()) -> None:
    """Write all of these files or none of them, each in one step. Only those in `replace` may be there before.

    Raises OSError, whose `filename` is the file's that could not be written; nothing of it is left then.
    """
    staged: dict[Path, Path] = {}
    claimed: list[Path] = []
    try:
        for target, text in texts.items():
            with _blamed_on(target):
                staged[target] = _staged(target, text)
        for target in staged:
            if target not in replace:
                with _blamed_on(target):
                    # Exclusive creation works on every file system; a hard link, the other way to take a name, does not.
                    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
                    claimed.append(target)
        for target, temporary in staged.items():
            with _blamed_on(target):
                temporary.replace(target)
    except BaseException:
        for leftover in (*staged.values(), *claimed):
            with contextlib.suppress(OSError):
                leftover.unlink()
        raise


@contextlib.contextmanager
def growing(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to write to that takes its name when the block ends; nothing of it is left when the block raises.

    Only its owner may read it: who ran sudo, in a folder of their own. Unless `replace`, nothing may have the name by then. Raises OSError, whose `filename` is the target.
    """
    claimed = False
    with _blamed_on(target):
        temporary = _beside(target)
        try:
            with os.fdopen(_made(temporary, 0o600), "wb") as file:
                _give_to_who_ran_sudo(file.fileno(), temporary)
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not replace:
                os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                claimed = True
            temporary.replace(target)
        except BaseException:
            for leftover in (temporary, *([target] if claimed else [])):
                with contextlib.suppress(OSError):
                    leftover.unlink()
            raise


def _give_to_who_ran_sudo(descriptor: int, path: Path) -> None:
    """Let the person behind sudo (sudo(8), SUDO_UID) own a new file, where its folder is their own.

    Elsewhere they would get a file in a folder that they may not write to.
    """
    owner, group = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    if os.geteuid() != 0 or not (owner.isdecimal() and group.isdecimal()):
        return
    with contextlib.suppress(OSError):  # a file system without owners
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            here = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            if os.fstat(folder).st_uid == int(owner) and os.path.samestat(here, os.fstat(descriptor)):
                os.fchown(descriptor, int(owner), int(group))
        finally:
            os.close(folder)


def _beside(target: Path) -> Path:
    """The path of a file that is still to be made, in the folder of another: who makes it takes it away, also where that is interrupted."""
    # The name is new each time: a write before this one may hang in a dead file system for good.
    return target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}.tmp")


def _made(path: Path, mode: int) -> int:
    """The descriptor of a new file."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def _staged(target: Path, text: str) -> Path:
    """The text in a new file beside its target, safely on the disk."""
    temporary = _beside(target)
    try:
        with os.fdopen(_made(temporary, 0o666), "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


@contextlib.contextmanager
def _blamed_on(target: Path) -> Iterator[None]:
    """An error names the file that was wanted, not the one beside it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise
