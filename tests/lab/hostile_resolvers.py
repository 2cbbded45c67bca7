"""Say what `resolve` answers where the node's DNS server says rubbish in every way: run on a lab node, whose port 53 and resolv.conf are its own.

Prints, by the name of the server, the answer of libc and that by another root's resolv.conf, or what is wrong with it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rrset

from k8sdoctor.host.live import LiveHost
from tests.fuzz.test_peers import ODD, Peer, asked, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "registry.example"
LIMIT = 0.5
OTHER_ROOT = "/run/other"
"""A folder with `etc` and `proc`."""
_OVER = b"over"


def good(query: bytes) -> bytes:
    """The answer to a query."""
    reply = dns.message.make_response(dns.message.from_wire(query))
    if query[-4:-2] == b"\0\1":  # the type: A
        reply.answer.append(dns.rrset.from_text(f"{NAME}.", 30, "IN", "A", "10.0.0.9"))
    return reply.to_wire()


def truncated(query: bytes) -> bytes:
    """An answer that sends whoever asks to TCP."""
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.flags |= dns.flags.TC
    return reply.to_wire()


BY_UDP: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda _: bytes(range(200)),
    "noise with the query's id": lambda query: query[:2] + bytes(range(200)),
    "half": lambda query: good(query)[:20],
    "a loop of names": lambda query: query[:2] + ODD["DNS loop"][4:],
    "an answer and 60,000 bytes": lambda query: good(query) + b"\xff" * 60_000,
    "silence": lambda _: b"",
}
BY_TCP = {end: Peer(b"\xff\xff" + ODD["DNS loop"][2:], end) for end in ("close", "reset", "drip", "flood", "silence")}


@contextlib.contextmanager
def answering(address: str, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Answer queries by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))

        def serve() -> None:
            while (came := server.recvfrom(65536))[0] != _OVER:
                if said := answer(came[0]):
                    server.sendto(said, came[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        while thread.is_alive():
            server.sendto(_OVER, server.getsockname())
            thread.join(0.2)


def resolved(address: str) -> list[str | list[str]]:
    """What libc makes of the name with this server, and what we make of it by another root's resolv.conf."""
    said: list[str | list[str]] = []
    for root in ("", OTHER_ROOT):
        Path(f"{root}/etc/resolv.conf").write_text(f"nameserver {address}\n", encoding="utf-8")
        host = LiveHost(root, probe_limit=LIMIT)
        wrong = asked("resolve", partial(host.resolve, NAME))
        said.append(wrong or host.resolve(NAME)["addresses"])
    return said


def main() -> None:
    found = {}
    for number, (name, answer) in enumerate({"good": good, **BY_UDP, "good again": good}.items(), 1):
        with answering(f"127.0.1.{number}", answer):
            found[name] = resolved(f"127.0.1.{number}")
    for number, (end, peer) in enumerate(BY_TCP.items(), 1):
        address = f"127.0.2.{number}"
        with answering(address, truncated), serving(peer, (address, 53)):
            found[f"by TCP {end}"] = resolved(address)
        if peer.drained:
            found[f"by TCP {end}"].append(peer.drained[0])
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
