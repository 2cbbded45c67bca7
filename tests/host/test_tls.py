"""One TLS hello against real sockets on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host.live import LiveHost
from tests.certificates import cluster_ca, issue
from tests.host.ports import closed_port
from tests.tls_server import listening, tls

if TYPE_CHECKING:
    from pathlib import Path

    from k8sdoctor.host.answers import TlsAnswer

LEAF = issue("kube-apiserver", cluster_ca(), dns=["kubernetes"], ips=["127.0.0.1"])


def silent(release: threading.Event) -> None:
    release.wait(10)


def hello(port: int, address: str = "127.0.0.1", server_name: str | None = None, limit: float = 5.0) -> TlsAnswer:
    return LiveHost(probe_limit=limit).tls(address, port, server_name=server_name)


def test_the_chain_is_kept_leaf_first_with_its_intermediates() -> None:
    middle = issue("middle", cluster_ca(), authority=True)
    leaf = issue("kube-apiserver", middle, ips=["127.0.0.1"])
    with listening(tls(leaf, middle)) as port:
        reply = hello(port)

    assert reply == {"peer": f"127.0.0.1:{port}", "chain": [leaf.pem, middle.pem], "client_cas": [], "failure": None}


def test_the_authorities_that_a_server_wants_of_clients_are_named() -> None:
    with listening(tls(LEAF, client_ca=cluster_ca())) as port:
        reply = hello(port)

    assert reply["client_cas"] == ["CN=kubernetes"]
    assert reply["failure"] is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_any_client_certificate_is_told_from_one_that_asks_for_none(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = tmp_path / "leaf.pem"
    path.write_text(LEAF.pem + LEAF.key_pem)
    context.load_cert_chain(path)
    context.maximum_version = version
    context.load_verify_locations(cadata=cluster_ca().pem)
    context.verify_mode = ssl.CERT_OPTIONAL  # `ssl` names no authority when it asks

    def serve(stream: socket.socket) -> None:
        with context.wrap_socket(stream, server_side=True) as secure:
            secure.recv(1)

    with listening(serve) as port:
        assert hello(port)["client_cas"] == [""]


def test_a_server_that_insists_on_a_client_certificate_has_shown_its_own() -> None:
    with listening(tls(LEAF, client_ca=cluster_ca(), demand=True)) as port:
        assert hello(port)["chain"] == [LEAF.pem]


@pytest.mark.parametrize(("name", "sent"), [("lb.example.", "lb.example"), ("10.0.0.9", None), (None, None)])
def test_only_a_name_is_sent_as_server_name(tmp_path: Path, name: str | None, sent: str | None) -> None:
    seen: list[str | None] = []
    path = tmp_path / "server.pem"
    path.write_text(LEAF.pem + LEAF.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.sni_callback = lambda _socket, server_name, _context: seen.append(server_name)

    def serve(stream: socket.socket) -> None:
        with context.wrap_socket(stream, server_side=True) as secure:
            secure.recv(1)

    with listening(serve) as port:
        assert hello(port, server_name=name)["chain"] == [LEAF.pem]
    assert seen == [sent]


def test_ipv6_is_spoken() -> None:
    with listening(tls(LEAF), "::1") as port:
        assert hello(port, "::1")["peer"] == f"[::1]:{port}"


def test_a_peer_that_accepts_and_says_nothing_is_a_timeout() -> None:
    release = threading.Event()
    with listening(lambda _stream: silent(release)) as port:
        reply = hello(port, limit=1.5)
    release.set()

    assert reply["failure"] is not None
    assert reply["failure"]["kind"] == "timeout"
    assert reply["peer"] == f"127.0.0.1:{port}"


def test_a_peer_that_drips_is_a_timeout() -> None:
    release = threading.Event()

    def drip(stream: socket.socket) -> None:
        while not release.wait(0.05):
            stream.sendall(b"\x16")

    with listening(drip) as port:
        reply = hello(port, limit=1.5)
    release.set()

    assert reply["failure"] is not None
    assert reply["failure"]["kind"] in ("timeout", "tls")  # a record of type 0x16 and version 0x1616 is no TLS either
    assert reply["chain"] == []


def test_a_port_where_nobody_listens_is_refused() -> None:
    with closed_port() as port:
        reply = hello(port)

    assert reply["failure"] is not None
    assert reply["failure"]["kind"] == "refused"
    assert reply["peer"] is None


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "tls-plain"),
        (b"<html>\r\n<head><title>400 Bad Request</title></head>", "tls-plain"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "protocol"),
        (b"", "reset"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "tls"),  # alert: handshake failure
        (b"\x16\x03\x03\xff\xff" + b"\x00" * 100, "tls"),
    ],
)
def test_what_is_no_handshake_is_told_apart(said: bytes, kind: str) -> None:
    def serve(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(said)
        stream.shutdown(socket.SHUT_WR)
        stream.recv(4096)

    with listening(serve) as port:
        reply = hello(port)

    assert reply["failure"] is not None
    assert reply["failure"]["kind"] == kind
    assert reply["peer"] == f"127.0.0.1:{port}"


def test_an_unresolved_name_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    host = LiveHost()
    ask = host.ask
    monkeypatch.setattr(
        host,
        "ask",
        lambda verb, arguments: (
            {"addresses": [], "error": "no such name"} if verb == "resolve" else ask(verb, arguments)
        ),
    )

    reply = host.tls("lb.example", 6443)

    assert reply["failure"] == {"kind": "name-not-resolved", "message": "lb.example was not resolved: no such name"}
