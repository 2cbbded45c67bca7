"""How much room a file system has left, and what kind it is: the verb `space`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from k8sdoctor.host import netns
from k8sdoctor.host.answers import Space
from k8sdoctor.host.base import HostError, Json
from k8sdoctor.host.files import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host.live import LiveHost


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `space`. In a thread of its own, for a dead network file system never answers."""
    del verb
    path = cast("str", arguments["path"])
    what = f"asking for the room at {path}"
    return cast("Json", netns.call(lambda: _space(host, path), namespace=None, limit=host.probe_limit, what=what))


def _space(host: LiveHost, path: str) -> Space:
    try:
        # O_PATH opens nothing: neither a device nor a FIFO notices.
        descriptor = os.open(host.files.real(path), os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        refuse(error, path)
    try:
        told = os.fstatvfs(descriptor)
        mount, kind, source = _mount(host, descriptor)
    except OSError as error:
        refuse(error, path)
    finally:
        os.close(descriptor)
    return Space(
        total=told.f_blocks * told.f_frsize,
        free=told.f_bfree * told.f_frsize,
        available=told.f_bavail * told.f_frsize,
        inodes=told.f_files,
        inodes_free=told.f_ffree,
        read_only=bool(told.f_flag & os.ST_RDONLY),
        no_exec=bool(told.f_flag & os.ST_NOEXEC),
        mount=mount,
        type=kind,
        source=source,
    )


def _mount(host: LiveHost, descriptor: int) -> tuple[str, str, str]:
    """Mount point, type and source of what a descriptor is on, by the mount's number; empty where no table that we see lists it."""
    words = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").split()
    number = words[words.index("mnt_id:") + 1]
    for table in _tables(host):
        for line in table.splitlines():
            fields = line.split(" ")
            if fields[0] == number and "-" in fields:
                kind, source = fields[fields.index("-") + 1 :][:2]
                return _unescaped(fields[4]), kind, _unescaped(source)
    return "", "", ""


def _tables(host: LiveHost) -> Iterator[str]:
    """The mounts of the root's own first process, since a root below /proc is another mount namespace, then ours."""
    if host.root:
        with suppress(HostError):
            yield host.files.read("/proc/1/mountinfo")
    yield Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")


def _unescaped(field: str) -> str:
    r"""A field of mountinfo as it is (proc_pid_mountinfo(5)).

    >>> _unescaped("/mnt/my\\040disk")
    '/mnt/my disk'
    """
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
