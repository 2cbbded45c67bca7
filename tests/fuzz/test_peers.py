"""Whatever a peer answers, and wherever it stops, a verb gives a typed answer or says that it could not look; it ends by itself.

The peer is a server on loopback: noise, half an answer and then the end or a reset, drips, floods, wrong lengths. No time is measured: a verb that
never ends meets the watchdog.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from k8sdoctor.host import HostError, http, shapes, trust
from k8sdoctor.host.live import LiveHost
from tests.certificates import DAY, issue
from tests.fuzz import mutations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.host import Json

WATCHDOG = 120.0
LIMIT = 0.5
PEERS_CA = issue("peers", authority=True, start=time.time() - DAY)
MOST = 32 * 1024 * 1024
"""Bytes that a peer floods with at most, should nobody hang up."""

HTTP = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"health":"true","x":[1,2]}'
DNS = bytes.fromhex("0000818000010001000000000161076578616d706c650000010001c00c000100010000001e00040a000001")
H2 = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64" + b"\0\0\0\x04\x01\0\0\0\0"  # SETTINGS, and its acknowledgement
HELLO = bytes.fromhex("160303003d020000390303") + b"\x07" * 32 + bytes.fromhex("0013010000110010000b0009") + b"\x02" * 9

ODD = {
    "deep": b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":' * 5000,
    "less deep": b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":' * 900 + b"1" + b"}" * 900,
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500,
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "vast length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "vast chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
    "bad packing": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "bad status": b"HTTP/1.1 99999 \xff\r\n\r\n",
    "continues": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "an upload begun nowhere": b"HTTP/1.1 202 Accepted\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    "an upload begun": b"HTTP/1.1 202 Accepted\r\nLocation: /v2/\xff?\r\nContent-Length: 0\r\n\r\n",
    "a tunnel to noise": b"HTTP/1.1 200 OK\r\n\r\n" + b"\x16\x03\x03\x00\x02" + b"\x00" * 500,
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    "vast TLS record": b"\x16\x03\x03\xff\xff" + b"\x0b" * 70_000,
    "TLS alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "vast HTTP/2 frame": H2 + b"\xff\xff\xff\0\0\0\0\0\x01" + b"x" * 1000,
    "long DNS message": b"\xff\xff" + DNS,
    "DNS loop": b"\0\x1e" + DNS[:12] + b"\xc0\x0c\x00\x01\x00\x01" + b"\xc0\x0e" * 6,
}


@dataclass(frozen=True)
class Peer:
    """What to send, and how to end."""

    data: bytes
    end: str  # close, reset, drip, flood, silence
    secure: ssl.SSLContext | None = None
    drained: list[str] = field(default_factory=list)
    """An entry for each flood that somebody took to its end."""

    def talk(self, line: socket.socket, over: threading.Event) -> None:
        line.settimeout(5)
        if self.secure:
            with http.wrapped(line, self.secure, server_side=True) as inside:
                self._answer(inside, over)
        else:
            self._answer(line, over)

    def _answer(self, line: socket.socket, over: threading.Event) -> None:
        line.recv(65536)
        if self.end == "drip":
            for byte in self.data * 10:
                line.sendall(bytes([byte]))
                if over.wait(0.02):
                    return
        line.sendall(self.data)
        for _ in range(MOST // 65536 if self.end == "flood" else 0):
            line.sendall(self.data[-1:] * 65536 or b"x" * 65536)
        if self.end == "flood":
            self.drained.append(f"{MOST} bytes were taken")
        if self.end in ("silence", "drip"):
            over.wait(WATCHDOG)
        if self.end == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def peers(seed: int, secure: ssl.SSLContext) -> Peer:
    r = Random(seed)
    data = r.choice((HTTP, HTTP, DNS, struct.pack("!H", len(DNS)) + DNS, H2, HELLO))
    match r.randrange(4):
        case 0:
            data = r.randbytes(r.choice((1, 20, 5000)))
        case 1:
            data = data[: r.randrange(len(data) + 1)]
        case 2:
            data = mutations.text(r, data.decode("latin-1")).encode("utf-8", "replace")
        case _:
            changed = bytearray(data)
            for _ in range(3):
                changed[r.randrange(len(changed))] = r.randrange(256)
            data = bytes(changed)
    return Peer(
        data,
        r.choice(("close", "close", "reset", "reset", "drip", "flood", "silence")),
        secure if seed % 5 == 0 else None,
    )


@contextlib.contextmanager
def serving(peer: Peer, address: str | tuple[str, int]) -> Iterator[Any]:
    """The peer at a path or at a port of loopback ; gives path or port."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(over.set)
        server = stack.enter_context(socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET))
        server.bind(address)
        server.listen()
        where = server.getsockname() if isinstance(address, str) else server.getsockname()[1]

        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=handle, args=(line,), daemon=True))
                threads[-1].start()

        def handle(line: socket.socket) -> None:
            with contextlib.suppress(OSError, ValueError), line:
                peer.talk(line, over)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield where
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(WATCHDOG)


@contextlib.contextmanager
def datagrams(peer: Peer, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """A port where each datagram is answered by what the peer says, several times where it floods."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)

        def serve() -> None:
            while (came := server.recvfrom(65536))[0] != b"over":
                for start in (b"", came[0][:2]):  # the second has the query's own id
                    for _ in range(200 if peer.end == "flood" else 1):
                        server.sendto((start + peer.data[len(start) :])[:60_000], came[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            while thread.is_alive():  # a full queue loses one
                end.sendto(b"over", server.getsockname())
                thread.join(0.2)


def asked(verb: str, ask: Callable[[], object]) -> str | None:
    """What is wrong with how a verb ended; None for an answer of its shape, and for a HostError."""
    try:
        shapes.hold(verb, cast("Json", ask()))
    except HostError:
        return None
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it is what we look for
        return f"{verb}: {type(error).__name__}: {error}"
    return None


def faults(peer: Peer) -> list[str]:
    """All verbs at one peer."""
    host = LiveHost(probe_limit=LIMIT, given={"config": None, "kubeconfig": None, "endpoints": [], "intrusive": True})
    found: list[str | None] = []
    with (
        tempfile.TemporaryDirectory() as name,
        serving(peer, ("127.0.0.1", 0)) as port,
        serving(peer, f"{name}/s") as path,
        datagrams(peer) as udp,
    ):
        config = Path(name) / "kubeconfig"
        scheme = "https" if peer.secure else "http"
        config.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                    "clusters": [
                        {
                            "name": "k",
                            "cluster": {"server": f"{scheme}://127.0.0.1:{port}", "insecure-skip-tls-verify": True},
                        }
                    ],
                    "users": [{"name": "u", "user": {}}],
                }
            )
        )
        request: Any = {"method": "GET", "url": f"{scheme}://127.0.0.1:{port}/v2/", "headers": {}, "ca_files": []}
        request |= {"client_certificate": None, "verify": False, "proxy": None, "limit": LIMIT}
        etcd = {**request, "method": "POST", "url": f"{scheme}://127.0.0.1:{port}/v3/maintenance/status"}
        proxied = {**request, "url": "https://registry.example/v2/", "proxy": f"http://127.0.0.1:{port}"}
        query: Any = {
            "server": "127.0.0.1",
            "port": port,
            "transport": "tcp",
            "name": "a.example.",
            "type": "A",
            "attempt": 0,
        }
        encrypted = {**proxied, "proxy": f"https://127.0.0.1:{port}"}
        forwarded = {**encrypted, "url": "http://registry.example/v2/"}
        requests: list[Any] = [request, etcd, proxied, encrypted, forwarded]
        found += [asked("http", partial(host.http, each)) for each in requests]
        upload: Any = {
            "base_url": f"{scheme}://127.0.0.1:{port}/v2",
            "repository": "a",
            "ca_files": [],
            "verify": False,
        }
        upload |= {"proxy": None, "limit": LIMIT}
        for each in (upload, {**upload, "proxy": f"http://127.0.0.1:{port}"}):
            found.append(asked("upload", partial(host.upload, cast("Any", each))))
        found.append(asked("tls", lambda: host.tls("127.0.0.1", port, server_name="a.example")))
        found.append(asked("kube", lambda: host.kube("/api/v1/nodes", kubeconfig=str(config))))
        queries = [query, query | {"transport": "udp", "port": udp}]
        found.append(asked("dns", lambda: host.dns(queries)))
        found.append(asked("watch_dns", lambda: host.watch_dns(queries, seconds=0.1, every=0.1)))
        found.append(asked("cri", lambda: host.cri(f"unix://{path}", "RuntimeService/Version")))
    return [each for each in [*found, *peer.drained] if each]


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    folder = tmp_path
    issued = issue("peer", PEERS_CA, ips=["127.0.0.1"], start=time.time() - DAY)
    (folder / "crt").write_text(issued.pem)
    (folder / "key").write_text(issued.key_pem)
    store = folder / "store"
    store.mkdir()
    (store / "ca.crt").write_text(PEERS_CA.pem)
    monkeypatch.setattr(trust, "FOLDERS", (str(store),))  # a proxy's certificate is held against the node's own store
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_whatever_a_peer_answers_is_an_answer(secure: ssl.SSLContext) -> None:
    all_ = {f"seed {seed}": peers(seed, secure) for seed in range(20)}
    all_ |= {name: Peer(data, "close") for name, data in ODD.items()}
    tunnel = ODD["a tunnel to noise"]
    all_ |= {f"a tunnel to noise over TLS, {end}": Peer(tunnel, end, secure) for end in ("close", "silence", "drip")}
    found: dict[str, list[str]] = {}

    def ask(name: str) -> None:
        found[name] = faults(all_[name])

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in all_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG)

    assert set(all_) - set(found) == set(), "a verb does not end, or the peer broke"
    assert {name: each for name, each in found.items() if each} == {}
