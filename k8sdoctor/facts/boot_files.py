"""The `*.conf` files that systemd merges at boot from `sysctl.d` and `modules-load.d` below /etc, /run and /usr.

A name found in an earlier folder hides the same name in a later one (a link to /dev/null or to nowhere and an empty file so mask it);
what is left is read in the order of the names, whatever the folder (sysctl.d(5); systemd `src/basic/conf-files.c`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

# /lib is a folder of its own only where /usr is not merged; where it is, every name in it has been met by then.
_PARENTS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")


BLANKS = " \t\r\n"
"""What systemd takes for blank (`WHITESPACE` in src/basic/string-util.h). A no-break space, copied from a page, is part of a name."""

_LINE_END = regex("\r\n|\n\r|[\r\n\0]")  # read_line() in src/basic/fileio.c


@dataclass(frozen=True, slots=True)
class BootFile:
    """One file that is read at boot. `path` is where its text lies: /etc/sysctl.conf for the link 99-sysctl.conf to it."""

    name: str
    path: str
    text: str

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line that is neither empty nor a comment."""
        for number, line in enumerate(_LINE_END.split(self.text), start=1):
            stripped = line.strip(BLANKS)
            if stripped and stripped[0] not in "#;":
                yield number, stripped


@dataclass(frozen=True, slots=True)
class BootFiles:
    """The files of one kind in the order in which they are read.

    `taken` are the names found in any folder, hidden and masked ones too. `unread` says, one sentence each, what could not be
    looked at: what is set at boot is then not known for sure.
    """

    files: tuple[BootFile, ...] = ()
    taken: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()

    @classmethod
    def gather(cls, host: Host, kind: str) -> Self:
        """Read the files of a kind (`sysctl.d`, `modules-load.d`)."""
        found: dict[str, BootFile | None] = {}
        unread: list[str] = []
        for parent in _PARENTS:
            folder = f"{parent}/{kind}"
            try:
                names = [entry["name"] for entry in host.listdir_optional(folder)]
            except HostError as error:
                unread.append(error.message)
                continue
            for name in names:
                # systemd passes hidden files over (FOREACH_DIRENT in src/basic/dirent-util.h), and so does kmod.
                if not name.endswith(".conf") or name.startswith(".") or name in found:
                    continue
                try:
                    found[name] = _file(host, folder, name)
                except HostError as error:
                    found[name] = None
                    if error.reason != "NotFound":  # a link that leads nowhere hides the name, as seen on systemd 252
                        unread.append(error.message)
        files = tuple(file for name in sorted(found, key=str.encode) if (file := found[name]) is not None)
        return cls(files, frozenset(found), tuple(unread))

    def with_file(self, file: BootFile) -> Self:
        """The same with one more file."""
        files = sorted((*self.files, file), key=lambda each: each.name.encode())
        return type(self)(tuple(files), self.taken | {file.name}, self.unread)

    def free_name(self, prefix: str, stem: str) -> str:
        """A file name that is not taken."""
        name, number = f"{prefix}{stem}.conf", 2
        while name in self.taken:
            name, number = f"{prefix}{stem}-{number}.conf", number + 1
        return name


def _file(host: Host, folder: str, name: str) -> BootFile | None:
    """The file, or None for a mask."""
    path = f"{folder}/{name}"
    found = host.stat(path)
    if found["kind"] != "file":  # /dev/null, or a folder of such a name
        return None
    return BootFile(name, found["path"], host.read(path))
