"""Peers on loopback for the HTTP verb's tests, each misbehaving in its own way, and an authority for those that speak TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from k8sdoctor.host.live import LiveHost
from tests.tls_server import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from k8sdoctor.host.answers import HttpAnswer


NOW = dt.datetime.now(dt.UTC)
WATCHDOG = 60.0
"""Seconds that no exchange takes, however busy the machine is; who waits for silence asks for less."""

DAY = dt.timedelta(days=1)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"


def ask(url: str, host: LiveHost | None = None, **changes: Any) -> HttpAnswer:
    request: dict[str, Any] = {
        "method": "GET",
        "url": url,
        "headers": {},
        "ca_files": [],
        "client_certificate": None,
        "verify": True,
        "proxy": None,
        "limit": WATCHDOG,
    }
    return (host or LiveHost()).http(request | changes)  # type: ignore[arg-type]


def kind(answer: HttpAnswer) -> str | None:
    return answer["failure"]["kind"] if answer["failure"] else None


@contextmanager
def peer(talk: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that says to each caller what `talk` says; yields its port."""

    def serve(line: socket.socket) -> None:
        if context is None:
            talk(line)
            return
        with context.wrap_socket(line, server_side=True) as secure:
            talk(secure)

    with listening(serve) as port:
        yield port


@contextmanager
def full() -> Iterator[int]:
    """A port that accepts nobody more: Linux leaves a SYN unanswered while the queue of those to be accepted is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def heard(line: socket.socket) -> bytes:
    """All of a request's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = line.recv(4096)
        if not more:
            break
        data += more
    return data


def says(data: bytes) -> Callable[[socket.socket], None]:
    def talk(line: socket.socket) -> None:
        heard(line)
        line.sendall(data)

    return talk


def drips(data: bytes, then: bytes) -> Callable[[socket.socket], None]:
    """Sends a byte now and then for ever; the reader's cut ends it."""

    def talk(line: socket.socket) -> None:
        heard(line)
        line.sendall(data)
        while True:
            line.sendall(then)
            threading.Event().wait(0.02)

    return talk


def answers_inside(line: socket.socket, context: ssl.SSLContext) -> None:
    """Speaks TLS inside of a TLS connection, by hand, as the standard library has no socket for that."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = context.wrap_bio(incoming, outgoing, server_side=True)
    for step in (inner.do_handshake, lambda: inner.read(65536), lambda: inner.write(OK)):
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                line.sendall(outgoing.read())
                incoming.write(line.recv(65536))
                continue
            break
    line.sendall(outgoing.read())


def stays_silent(line: socket.socket) -> None:
    while line.recv(100_000):
        pass


def greets_like_ssh(line: socket.socket) -> None:
    line.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    line.recv(100_000)


class Authority:
    """A CA, and leaves of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab CA")])
        made = (
            self._builder(self._name, self._key, NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.crt"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: dt.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - 20 * DAY)
            .not_valid_after(end)
        )

    def files(
        self, *sans: x509.GeneralName, common_name: str = "leaf", end: dt.datetime = NOW + DAY
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]), key, end)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        certificate, secret = self._folder / "leaf.crt", self._folder / "leaf.key"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret

    def server(self, *sans: x509.GeneralName, **changes: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(*sans, **changes))
        return context


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
LOCALHOST = x509.DNSName("localhost")
