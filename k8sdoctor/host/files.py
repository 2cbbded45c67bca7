"""Reading files below a root directory, with every link resolved inside it."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import zlib
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from k8sdoctor.host.answers import DirEntry, FileStat
from k8sdoctor.host.base import LINES_LIMIT, READ_LIMIT, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Literal

UNPACKED_LIMIT = 16 * 1024 * 1024  # a kernel's configuration is 0.3 MiB at most

MOST_NAMES = 20_000
"""Of a folder that is listed; those that are looked into hold tens."""

_LINE = 1 << 16
"""Bytes of a line, which is never longer in the tables that we look through."""

_BLOCK = 1 << 18
"""Bytes of a file that are looked through at once."""

MAX_LINKS = 40  # as the kernel's MAXSYMLINKS (include/linux/namei.h)


class Files:
    """The file system below `root` ("/" for the machine that we run on)."""

    def __init__(self, root: str) -> None:
        """Keep the root; nothing is touched yet."""
        self.root = root.rstrip("/")

    def real(self, path: str) -> str:
        """The path outside the root that `path` leads to, its last link included.

        With a root other than `/`, links are walked by hand, since an absolute one means the root's own. Raises Unreadable for a loop.
        """
        if not path.startswith("/"):
            msg = f"{path!r} is not absolute"
            raise ValueError(msg)
        if not _can_be(path):  # from a file that anybody may have written
            raise HostError("NotFound", f"{path!r} is no path of a file")
        return path if not self.root else self.root + self._resolved(path)

    def _resolved(self, path: str) -> str:
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:]  # as in a chroot, `..` of the root is the root
                continue
            here = f"{self.root}/{'/'.join([*done, part])}"
            try:
                target = os.readlink(here)  # noqa: PTH115 -- a path object would normalise the text
            except OSError:  # no link, or not there: whoever opens it will tell
                done.append(part)
                continue
            if _is_magic(path, done, target):
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise HostError("Unreadable", f"{path} is a loop of symbolic links")
            if target.startswith("/"):
                done.clear()
            todo.extend(piece for piece in reversed(target.split("/")) if piece not in ("", "."))
        return "/" + "/".join(done)

    def read(self, path: str) -> str:
        """See `Host.read`."""
        descriptor = self._open(path)
        try:
            size = os.fstat(descriptor).st_size
            if size > READ_LIMIT:
                raise HostError("Unreadable", _too_big(path, size))
            return self._drain(descriptor, path)
        except OSError as error:
            refuse(error, path)
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        """A descriptor of a regular file. Raises HostError for anything else."""
        real = self.real(path)
        try:
            # Not blocking, since opening a FIFO would wait for a writer, and a socket or device must not be touched at all.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            refuse(error, path)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise HostError("Unreadable", f"{path} is a {_kind(mode)}, not a regular file")
        return descriptor

    def _drain(self, descriptor: int, path: str) -> str:
        chunks: list[bytes] = []
        size = 0
        while chunk := os.read(descriptor, 65536):  # files of /proc say size 0, so the limit is held while reading
            size += len(chunk)
            if size > READ_LIMIT:
                raise HostError("Unreadable", _too_big(path, size))
            chunks.append(chunk)
        return b"".join(chunks).decode("utf-8", "replace")

    def lines(self, path: str, keep: Sequence[str]) -> list[str]:
        """See `Host.lines`."""
        wanted = [text.encode() for text in keep]
        try:
            with os.fdopen(self._open(path), "rb") as raw:
                file = _unpacked(raw.read(READ_LIMIT), path) if path.endswith(".gz") else raw
                return [line.decode("utf-8", "replace") for line in islice(_matching(file, wanted), LINES_LIMIT)]
        except OSError as error:
            refuse(error, path)

    def tail(self, path: str, size: int) -> str:
        """See `Host.tail`."""
        descriptor = self._open(path)
        try:
            start = max(0, os.fstat(descriptor).st_size - size)
            # One byte more tells whether the first line is whole.
            data = os.pread(descriptor, size + 1, start - 1) if start else os.pread(descriptor, size, 0)
        except OSError as error:
            refuse(error, path)
        finally:
            os.close(descriptor)
        return (data.partition(b"\n")[2] if start else data).decode("utf-8", "replace")

    def listdir(self, path: str) -> list[DirEntry]:
        """See `Host.listdir`."""
        real = self.real(path)
        try:
            with os.scandir(real) as entries:
                found = [
                    DirEntry(name=entry.name, kind=_entry_kind(entry)) for entry in islice(entries, MOST_NAMES + 1)
                ]
        except OSError as error:
            refuse(error, path)
        if len(found) > MOST_NAMES:  # memory is bounded, and a part would be taken for the whole
            raise HostError("Unreadable", f"{path} holds more than {MOST_NAMES:,} names")
        return sorted(found, key=lambda entry: os.fsencode(entry["name"]))

    def stat(self, path: str) -> FileStat:
        """See `Host.stat`."""
        real = self.real(path)
        try:
            found = os.stat(real)  # noqa: PTH116 -- a path object buys nothing here
        except OSError as error:
            refuse(error, path)
        return FileStat(
            kind=_kind(found.st_mode),
            size=found.st_size,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            mtime=found.st_mtime,
            inode=found.st_ino,
            path=os.path.realpath(real) if not self.root else real.removeprefix(self.root),
        )

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        parent, _, name = path.rpartition("/")
        if not _can_be(name):
            raise HostError("NotFound", f"{path!r} is no path of a file")
        try:
            return os.readlink(  # noqa: PTH115 -- a path object would normalise what the kernel must see
                f"{self.real(parent or '/').rstrip('/')}/{name}"
            )
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise HostError("Unreadable", f"{path} is not a symbolic link") from None
            refuse(error, path)


def _matching(file: IO[bytes], wanted: Sequence[bytes]) -> Iterator[bytes]:
    """The lines with one of some texts in them, without their ends. One that is longer than `_LINE` counts as several.

    They are looked for in blocks of whole lines: a kernel's configuration has ten thousand, and each of them in hand costs a hundred times as much.
    """
    if not wanted:
        return
    pattern = re.compile(b"|".join(map(re.escape, wanted)))
    rest = b""
    while block := file.read(_BLOCK):
        data = rest + block
        whole = data.rfind(b"\n") + 1 or (len(data) - 1) // _LINE * _LINE  # a line without an end is not waited for
        yield from _matching_in(data[:whole], pattern)
        rest = data[whole:]
    yield from _matching_in(rest, pattern)


def _matching_in(data: bytes, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    position = 0
    while position < len(data) and (match := pattern.search(data, position)):
        begin = data.rfind(b"\n", position, match.start()) + 1 or position
        end = data.find(b"\n", match.start())
        end = end if end >= 0 else len(data)
        if end - begin <= _LINE:
            yield data[begin:end]
        else:
            pieces = (data[start : min(start + _LINE, end)] for start in range(begin, end, _LINE))
            yield from filter(pattern.search, pieces)
        position = end + 1


def _unpacked(data: bytes, path: str) -> io.BytesIO:
    """What a gzip file holds. Raises Unreadable for what is none, or not whole, or grows beyond UNPACKED_LIMIT."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: a gzip header, not zlib's own
    try:
        text = unpacker.decompress(data, UNPACKED_LIMIT)
    except zlib.error as error:
        raise HostError("Unreadable", f"{path} is no gzip file: {error}") from None
    if not unpacker.eof:
        raise HostError("Unreadable", f"{path} is not whole, or holds more than {UNPACKED_LIMIT >> 20} MiB")
    return io.BytesIO(text)


def _can_be(path: str) -> bool:
    r"""Whether the kernel could have a file of this name.

    >>> _can_be("/a"), _can_be("/a\0b"), _can_be("/\ud800")
    (True, False, False)
    """
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _is_magic(path: str, done: list[str], target: str) -> bool:
    """Whether a link below /proc is one of the kernel's that lead to an object and not to a path.

    `/proc/1/ns/net` reads as `net:[4026531840]`, `/proc/1/root` as a path that only the kernel may follow.
    """
    return path.startswith("/proc/") and len(done) >= 2 and (":[" in target or done[2:] == [])  # noqa: PLR2004


def _kind(mode: int) -> Literal["file", "dir", "fifo", "socket", "device", "other"]:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "device"
    return "other"


def _entry_kind(entry: os.DirEntry[str]) -> Literal["file", "dir", "link", "other"]:
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "dir" if entry.is_dir(follow_symlinks=False) else "other"


def _too_big(path: str, size: int) -> str:
    return f"{path} holds {size // 1024 // 1024} MiB or more; a configuration of over {READ_LIMIT // 1024 // 1024} MiB is not read"


def refuse(error: OSError, path: str) -> NoReturn:
    """Raise the HostError for what the kernel answered."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            raise HostError("NotFound", f"{path} does not exist") from None
        case errno.EACCES | errno.EPERM:
            needs = (
                "run as root to look" if os.geteuid() else "this root may not look (a container or a security module?)"
            )
            raise HostError("NotPermitted", f"Permission denied: {path}; {needs}") from None
        case errno.ELOOP:
            raise HostError("Unreadable", f"{path} is a loop of symbolic links") from None
        case errno.ENXIO:
            raise HostError("Unreadable", f"{path} is a socket, not a regular file") from None
        case _:
            raise HostError("Unreadable", f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None
