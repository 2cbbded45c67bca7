"""Ports of loopback that are a test's own while it needs them, though nobody listens there."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def closed_port(address: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses, over TCP and over UDP.

    It is held all the while, for a port that was only free a moment ago may be given to anybody on the machine, even to the client that asks it: TCP
    refuses for a socket that is bound and does not listen, UDP for one that belongs to a single peer.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        while True:
            tcp = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            tcp.bind((address, 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):  # held by another over UDP
                udp.bind((address, port))
                udp.connect((address, 1))
                break
        yield port
