"""What the kernel holds of its clock: the verb `clock`, by adjtimex(2)."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, cast

from k8sdoctor.host.answers import Clock
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost

UNSYNCHRONISED = 0x40  # STA_UNSYNC of linux/timex.h


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("fraction", ctypes.c_long))


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), up to its last field that is used; the kernel writes the rest, too."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "frequency", "max_error", "estimated_error")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance")),
        ("time", _Time),
        ("rest", ctypes.c_char * 256),
    )


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `clock`. With no bit set in `modes` the call sets nothing, and needs no privilege."""
    del host, verb, arguments
    asked = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked)) < 0:
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.EACCES):
            raise HostError(
                "NotPermitted", "this container may not read the kernel's clock (adjtimex); run on the node itself"
            )
        raise HostError("Unreadable", f"the kernel's clock cannot be read (adjtimex): {os.strerror(number)}")
    return cast(
        "Json",
        Clock(
            unsynchronised=bool(asked.status & UNSYNCHRONISED),
            max_error=asked.max_error / 1e6,
            estimated_error=asked.estimated_error / 1e6,
        ),
    )
