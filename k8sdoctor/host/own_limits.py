"""What this process itself has run out of: files it may open, threads, memory.

It is nobody's fault but ours, so it must never be taken for a peer that does not answer: whoever turns an exception into a finding
passes it by `hold` first.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress

from k8sdoctor.host.base import HostError

_FILES = (errno.EMFILE, errno.ENFILE)
ROOM = 128
"""Files that all threads together may come to open while one of them asks a runtime."""

ENOUGH = 65536
"""Files that no run needs; a hard limit may be a thousand times that."""


def lift() -> None:
    """Let this process open as many files as it may: the soft limit is a default of the shell's, often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def hold(error: BaseException) -> None:
    """Raise HostError (`Unreadable`) for an error that says that this process has no more of something; else do nothing."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FILES:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        whose = "the node" if number == errno.ENFILE else f"this process, which may have {limit} (ulimit -n),"
        raise HostError("Unreadable", f"{whose} cannot open more files") from None
    # The dynamic loader's own words (glibc elf/dl-load.c): a library that found no room.
    unmapped = isinstance(error, ImportError) and "failed to map segment" in str(error)
    if number == errno.ENOMEM or isinstance(error, MemoryError) or unmapped:
        raise HostError("Unreadable", "there is no memory left for looking") from None
    # CPython has no type of its own for it (Modules/_threadmodule.c).
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        raise HostError(
            "Unreadable", "this process cannot start more threads (ulimit -u, or the memory it may use)"
        ) from None


def hold_room() -> None:
    """Raise HostError where fewer than `ROOM` more files may be opened: gRPC ends the whole process when it cannot open one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit >= ENOUGH or limit == resource.RLIM_INFINITY:
        return
    with suppress(FileNotFoundError):  # without /proc nobody can tell
        held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the quickest, and asked before each call
        if limit - held < ROOM:
            raise HostError(
                "Unreadable",
                f"this process may have only {limit} files open (ulimit -n); a runtime is asked with {ROOM} to spare",
            )


def hold_if_exhausted() -> None:
    """Raise HostError when no more files can be opened, for who was told of a failure without its number, as by getaddrinfo(3)."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        hold(error)
