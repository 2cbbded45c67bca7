"""Opening a TCP connection to whichever address of a name accepts first."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305, section 5; Go's dialer takes 0.3)."""


def dial(addresses: Sequence[str], port: int, limit: float) -> socket.socket:
    """A blocking socket, connected to the first address that accepts.

    Raises what the first address met when all refuse, and TimeoutError without a number when one of them is
    silent for `limit` seconds: with one, ETIMEDOUT, it was the kernel that gave up.
    """
    deadline = time.monotonic() + limit
    waiting = list(addresses)
    errors: list[OSError] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting:
                    _start(selector, waiting.pop(0), port, errors)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if not selector.get_map():
                    continue
                for key, _ in selector.select(min(left, HEAD_START) if waiting else left):
                    line = key.fileobj
                    assert isinstance(line, socket.socket)  # noqa: S101 -- only sockets were registered
                    selector.unregister(line)
                    number = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if number == 0:
                        line.setblocking(True)  # noqa: FBT003 -- the standard library's signature
                        return line
                    line.close()
                    errors.append(OSError(number, os.strerror(number)))
        finally:
            for key in list(selector.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 -- as above
                key.fileobj.close()
    raise errors[0] if errors else OSError(errno.EADDRNOTAVAIL, "no address")


def _start(selector: selectors.BaseSelector, address: str, port: int, errors: list[OSError]) -> None:
    line = socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    )
    try:
        line.connect((address, port))
    except BlockingIOError:
        pass
    except OSError as error:
        errors.append(error)
        line.close()
        return
    selector.register(line, selectors.EVENT_WRITE)
