"""Running a function in another thread, in a network namespace if one is named, for no longer than a limit.

Python 3.11 has no `os.setns`, so the call goes through libc. A namespace belongs to the thread that entered it and ends
with it, while a socket made there keeps living there: so a probe in a pod's namespace needs no process of its own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from k8sdoctor.host.base import HostError
from k8sdoctor.host.workers import current

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # linux/sched.h


def call(function: Callable[[], T], *, namespace: str | None, limit: float, what: str) -> T:
    """Call `function` in a daemon thread, first entering the network namespace at path `namespace`.

    Raises DeadlineExceeded after `limit` seconds (the thread is left behind: it may hang in the kernel), NotFound or
    NotPermitted for the namespace, and whatever the function raises. `what` names the probe in those errors.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            if namespace is not None:
                _enter(namespace)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 -- carried over to the caller's thread
            errors.append(error)
        finally:
            done.set()

    try:
        current().beside(work, alone=namespace is not None)  # whoever has entered one does not come back
    except RuntimeError:
        raise HostError("Unreadable", f"{what} needs a thread, and the node's limit of processes is reached") from None
    if not done.wait(limit):
        raise HostError("DeadlineExceeded", f"{what} did not end within {limit:g} s")
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: str) -> None:
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error.errno or 0, namespace) from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise _refusal(ctypes.get_errno(), namespace)
    finally:
        os.close(descriptor)


def _refusal(number: int, namespace: str) -> HostError:
    if number in (errno.ENOENT, errno.ESRCH):
        return HostError("NotFound", f"the network namespace {namespace} is gone")
    if number in (errno.EPERM, errno.EACCES):
        return HostError(
            "NotPermitted", f"entering the network namespace {namespace} needs root (CAP_SYS_ADMIN and CAP_SYS_PTRACE)"
        )
    return HostError("Unreadable", f"the network namespace {namespace} cannot be entered: {os.strerror(number)}")
