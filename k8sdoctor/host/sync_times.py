"""How long a disk takes to keep small records: the verb `sync_times`, under `--intrusive` alone."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, cast

from k8sdoctor.host import netns
from k8sdoctor.host.base import HostError, Json
from k8sdoctor.host.files import refuse

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost

RECORD = 2048
"""Bytes of one record: etcd's log is written in some KiB at a time (etcd.io "Tuning", fio with 2300 bytes)."""

MOST = 1000
"""Records, so that 2 MiB are written at most."""

SECONDS = 2.0

ROOM = 128 * 1024 * 1024
"""Bytes that must be free, so that etcd next to it is never short for us."""


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `sync_times`."""
    del verb
    folder = cast("str", arguments["folder"])
    what = f"writing to the disk of {folder}"
    return cast(
        "Json",
        netns.call(lambda: _times(host, folder), namespace=None, limit=max(host.probe_limit, 2 * SECONDS), what=what),
    )


def _times(host: LiveHost, folder: str) -> list[float]:
    try:
        descriptor = os.open(host.files.real(folder), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            raise HostError(
                "Unreadable",
                f"the file system of {folder} makes no file without a name, and none with one is made there",
            ) from None
        refuse(error, folder)
    try:
        room = os.fstatvfs(descriptor)
        if room.f_bavail * room.f_frsize < ROOM:
            raise HostError(
                "Unreadable", f"the file system of {folder} has less than {ROOM >> 20} MiB left; nothing is written"
            )
        # etcd makes its log's file whole at first, so that a write changes no size on the disk.
        os.posix_fallocate(descriptor, 0, RECORD * MOST)
        os.fsync(descriptor)
        return _measured(descriptor)
    except OSError as error:
        refuse(error, folder)
    finally:
        os.close(descriptor)


def _measured(descriptor: int) -> list[float]:
    record = os.urandom(RECORD)
    found: list[float] = []
    end = time.monotonic() + SECONDS
    while len(found) < MOST and time.monotonic() < end:
        begun = time.perf_counter()
        os.write(descriptor, record)
        os.fdatasync(descriptor)
        found.append(round(time.perf_counter() - begun, 6))
    return found
