"""The HTTP verb against real sockets on loopback, in which every peer misbehaves in its own way."""

from __future__ import annotations

import datetime as dt
import errno
import ipaddress
import os
import select
import socket
import ssl
import struct
import threading
import time
import traceback
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from k8sdoctor.host import HostError, trust
from k8sdoctor.host import http as http_verb
from k8sdoctor.host.dial import dial
from k8sdoctor.host.files import Files
from k8sdoctor.host.live import LiveHost
from tests.certificates import cluster_ca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from k8sdoctor.host.answers import HttpAnswer

NOW = dt.datetime.now(dt.UTC)
WATCHDOG = 60.0
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
        "limit": 5.0,
    }
    return (host or LiveHost()).http(request | changes)  # type: ignore[arg-type]


def kind(answer: HttpAnswer) -> str | None:
    return answer["failure"]["kind"] if answer["failure"] else None


@contextmanager
def peer(talk: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that says to each caller what `talk` says; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=meet, args=(line,), daemon=True).start()

    def meet(line: socket.socket) -> None:
        with suppress(OSError), closing(line):
            if context is None:
                talk(line)
                return
            with context.wrap_socket(line, server_side=True) as secure:
                talk(secure)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


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


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


# -- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_has_status_headers_body_and_peer() -> None:
    begun = time.time()
    with peer(says(OK)) as port:
        answer = ask(f"http://127.0.0.1:{port}/v2/")

    assert begun <= answer["at"] <= time.time()
    assert {key: value for key, value in answer.items() if key != "at"} == {
        "status": 200,
        "headers": {"content-type": "text/plain", "content-length": "2"},
        "body": "hi",
        "peer": f"127.0.0.1:{port}",
        "failure": None,
    }


def test_a_redirect_is_shown_and_not_followed() -> None:
    with peer(says(b"HTTP/1.1 307 Away\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")) as port:
        answer = ask(f"http://127.0.0.1:{port}/")

    assert (answer["status"], answer["headers"]["location"]) == (307, "http://192.0.2.1/")


def test_a_head_has_no_body_whatever_its_length_says() -> None:
    with peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")) as port:
        answer = ask(f"http://127.0.0.1:{port}/", method="HEAD")

    assert (answer["status"], answer["body"], answer["failure"]) == (200, "", None)


def test_a_body_is_cut_at_its_limit() -> None:
    with peer(says(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000)) as port:
        assert len(ask(f"http://127.0.0.1:{port}/")["body"]) == 64 * 1024


def test_each_line_of_a_repeated_header_is_kept() -> None:
    challenge = b'WWW-Authenticate: Basic realm="a, b"\r\nWWW-Authenticate: Bearer realm=https://token.example/x\r\n'
    with peer(says(b"HTTP/1.1 401 No\r\n" + challenge + b"Content-Length: 0\r\n\r\n")) as port:
        answer = ask(f"http://127.0.0.1:{port}/")

    assert answer["headers"]["www-authenticate"] == 'Basic realm="a, b"\nBearer realm=https://token.example/x'


def test_a_token_never_leaves_the_host_and_reaches_the_peer() -> None:
    seen: list[bytes] = []

    def talk(line: socket.socket) -> None:
        seen.append(heard(line))
        body = b'{"token": "s3cr3t-token"}'
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    host = LiveHost()
    with peer(talk) as port:
        first = ask(f"http://127.0.0.1:{port}/", host)
        placeholder = first["body"].split('"')[3]
        ask(f"http://127.0.0.1:{port}/", host, headers={"Authorization": f"Bearer {placeholder}"})

    assert "s3cr3t" not in str(first)
    assert b"Authorization: Bearer s3cr3t-token\r\n" in seen[1]


def test_a_user_in_the_url_logs_in_and_is_not_in_the_request_line() -> None:
    seen: list[bytes] = []

    def talk(line: socket.socket) -> None:
        seen.append(heard(line))
        line.sendall(OK)

    host = LiveHost()
    password = host.vault.hide_value("a/b@c%40")
    with peer(talk) as port:
        ask(f"http://user:{password}@127.0.0.1:{port}/v2/", host)

    assert seen[0].startswith(b"GET /v2/ HTTP/1.1\r\n")
    assert b"Authorization: Basic dXNlcjphL2JAYyU0MA==\r\n" in seen[0]
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in seen[0]


def test_a_question_to_etcds_gateway_is_a_post_with_an_empty_object() -> None:
    seen: list[bytes] = []

    def talk(line: socket.socket) -> None:
        seen.append(heard(line))
        line.sendall(OK)

    with peer(talk) as port:
        answer = ask(f"http://127.0.0.1:{port}/v3/maintenance/status", method="POST")

    assert answer["status"] == 200
    assert seen[0].startswith(b"POST /v3/maintenance/status HTTP/1.1\r\n")
    assert b"Content-Length: 2\r\n" in seen[0]


@pytest.mark.parametrize(
    "path", ["/", "/v3/kv/put", "/v3/maintenance/alarm", "/v3/maintenance/defragment", "/v3/cluster/member/remove"]
)
def test_a_post_that_could_change_anything_is_refused_before_it_is_sent(path: str) -> None:
    with pytest.raises(ValueError, match="POST is for"):
        ask(f"http://127.0.0.1:1{path}", method="POST")


# -- silence, and what does not end ----------------------------------------------------------------------------------


def test_a_peer_that_accepts_and_says_nothing_is_a_timeout() -> None:
    with peer(stays_silent) as port:
        answer = ask(f"http://127.0.0.1:{port}/", limit=1.5)

    assert kind(answer) == "timeout"
    assert answer["peer"] == f"127.0.0.1:{port}"
    assert answer["failure"]
    assert "1.5 s (waiting for an answer)" in answer["failure"]["message"]


def test_a_connection_that_is_not_accepted_within_the_limit_says_so_whichever_of_two_clocks_ends_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def soon(addresses: Sequence[str], port: int, limit: float) -> socket.socket:
        assert limit == WATCHDOG
        return dial(addresses, port, 0.1)

    monkeypatch.setattr("k8sdoctor.host.http.dial", soon)
    with full() as port:
        answer = ask(f"http://127.0.0.1:{port}/", limit=WATCHDOG)
        through = ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}", limit=WATCHDOG)

    assert answer["failure"] == {
        "kind": "timeout",
        "message": f"127.0.0.1:{port} gave no answer within {WATCHDOG:g} s (connecting)",
    }
    assert through["failure"] == {
        "kind": "proxy",
        "message": f"127.0.0.1:{port} gave no answer within {WATCHDOG:g} s (connecting to the proxy)",
    }


def test_a_connection_that_the_kernel_gives_up_is_a_timeout_that_is_not_said_to_be_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def given_up(*_: object) -> socket.socket:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr("k8sdoctor.host.http.dial", given_up)

    assert ask("http://127.0.0.1:5000/")["failure"] == {
        "kind": "timeout",
        "message": "127.0.0.1:5000: Connection timed out",
    }


def test_a_peer_that_is_silent_in_the_handshake_is_a_timeout() -> None:
    with peer(stays_silent) as port:
        answer = ask(f"https://127.0.0.1:{port}/", limit=1.5)

    assert kind(answer) == "timeout"
    assert answer["failure"]
    assert "TLS handshake" in answer["failure"]["message"]


@pytest.mark.parametrize(
    ("start", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "status line", "header", "endless 100 Continue"],
)
def test_a_peer_that_drips_cannot_stretch_the_limit(start: bytes, then: bytes) -> None:
    with peer(drips(start, then)) as port:
        assert kind(ask(f"http://127.0.0.1:{port}/", limit=0.4)) == "timeout"


def test_endless_headers_are_no_http() -> None:
    with peer(drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 200)) as port:
        assert kind(ask(f"http://127.0.0.1:{port}/")) == "protocol"


def test_the_cut_ends_the_thread_that_was_waiting() -> None:
    ended = threading.Event()

    def talk(line: socket.socket) -> None:
        heard(line)
        line.recv(1)  # returns when the other side is gone
        ended.set()

    with peer(talk) as port:
        ask(f"http://127.0.0.1:{port}/", limit=0.2)
        assert ended.wait(10)


# -- connections -----------------------------------------------------------------------------------------------------


def test_a_port_where_nobody_listens_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert kind(ask(f"http://127.0.0.1:{port}/")) == "refused"


def test_a_peer_that_hangs_up_is_a_reset() -> None:
    with peer(heard_and_gone) as port:
        assert kind(ask(f"http://127.0.0.1:{port}/")) == "reset"
        assert kind(ask(f"https://127.0.0.1:{port}/")) == "reset"


def heard_and_gone(line: socket.socket) -> None:
    line.recv(100_000)


def test_a_body_that_stops_short_is_a_reset() -> None:
    with peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nshort")) as port:
        assert kind(ask(f"http://127.0.0.1:{port}/")) == "reset"


def test_a_peer_that_speaks_something_else_is_no_http() -> None:
    with peer(says(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as port:
        assert kind(ask(f"http://127.0.0.1:{port}/")) == "protocol"


def test_the_second_address_is_tried_when_the_first_is_refused() -> None:
    with peer(says(OK)) as port:
        answer = ask(f"http://localhost:{port}/")  # ::1 refuses where it exists at all

    assert answer["peer"] == f"127.0.0.1:{port}"


def test_an_unknown_name_is_not_resolved() -> None:
    assert kind(ask("http://no-such-host.invalid/")) == "name-not-resolved"


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_a_ca_file_of_the_request_is_trusted(authority: Authority) -> None:
    with peer(says(OK), authority.server(LOOPBACK)) as port:
        assert ask(f"https://127.0.0.1:{port}/", ca_files=[str(authority.file)])["status"] == 200


def test_the_nodes_trust_store_does_not_count_where_the_request_says_so(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "FILES", (str(authority.file),))
    other = tmp_path / "other.crt"
    other.write_text(cluster_ca("other").pem)
    with peer(says(OK), authority.server(LOOPBACK)) as port:
        url = f"https://127.0.0.1:{port}/"
        assert ask(url, ca_files=[str(other)])["status"] == 200
        assert kind(ask(url, ca_files=[str(other)], only_ca_files=True)) == "tls-untrusted"


def test_an_unknown_ca_is_untrusted(authority: Authority) -> None:
    with peer(says(OK), authority.server(LOOPBACK)) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/")) == "tls-untrusted"
        assert ask(f"https://127.0.0.1:{port}/", verify=False)["status"] == 200


def test_a_leaf_may_be_its_own_anchor_as_for_go(authority: Authority, tmp_path: Path) -> None:
    with peer(says(OK), authority.server(LOOPBACK)) as port:
        answer = ask(f"https://127.0.0.1:{port}/", ca_files=[str(tmp_path / "leaf.crt")])

    assert answer["status"] == 200


def test_the_trust_store_of_another_root_counts(authority: Authority, tmp_path: Path) -> None:
    for path in ("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/ssl/certs/lab.pem", "etc/ssl/ca-bundle.pem"):
        root = tmp_path / path.replace("/", "-")
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(
            "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n" + authority.file.read_text()
        )
        made = trust.context(Files(str(root)), ca_files=(), client_certificate=None, verify=True)

        assert [item["subject"] for item in made.get_ca_certs()] == [((("commonName", "lab CA"),),)], path


def test_a_trust_store_is_loaded_once_and_anew_when_it_changed(authority: Authority, tmp_path: Path) -> None:
    files = Files("/")
    first = trust.context(files, ca_files=[str(authority.file)], client_certificate=None, verify=True)
    again = trust.context(files, ca_files=[str(authority.file)], client_certificate=None, verify=True)
    other = Authority(tmp_path)  # a file of the same name
    os.utime(other.file, (1, 1))
    changed = trust.context(files, ca_files=[str(authority.file)], client_certificate=None, verify=True)

    assert first is again
    assert changed is not first


@pytest.mark.parametrize(
    ("sans", "common_name"),
    [
        ([x509.DNSName("mirror.example")], "leaf"),
        ([x509.DNSName("127.0.0.1")], "leaf"),  # an address only matches an address
        ([], "127.0.0.1"),  # a common name is no host name
        ([LOCALHOST], "127.0.0.1"),
    ],
)
def test_a_certificate_for_another_name_is_refused(
    authority: Authority, sans: list[x509.GeneralName], common_name: str
) -> None:
    with peer(says(OK), authority.server(*sans, common_name=common_name)) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/", ca_files=[str(authority.file)])) == "tls-name"


def test_a_common_name_without_san_is_refused_for_a_name_too(authority: Authority) -> None:
    with peer(says(OK), authority.server(common_name="localhost")) as port:
        assert kind(ask(f"https://localhost:{port}/", ca_files=[str(authority.file)])) == "tls-name"
    with peer(says(OK), authority.server(LOCALHOST)) as port:
        assert ask(f"https://localhost:{port}/", ca_files=[str(authority.file)])["status"] == 200


def test_an_expired_certificate_and_one_of_the_future_are_told_apart(authority: Authority) -> None:
    with peer(says(OK), authority.server(LOOPBACK, end=NOW - DAY)) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/", ca_files=[str(authority.file)])) == "tls-expired"
    with peer(says(OK), authority.server(LOOPBACK, end=NOW + 21 * DAY)) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/", ca_files=[str(authority.file)])) == "tls-not-yet-valid"


def test_plain_http_where_tls_is_spoken_is_its_own_kind() -> None:
    def talk(line: socket.socket) -> None:
        line.recv(100_000)
        line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with peer(talk) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/")) == "tls-plain"


def test_another_protocol_where_tls_is_spoken_is_not_called_http() -> None:
    with peer(greets_like_ssh) as port:
        assert kind(ask(f"https://127.0.0.1:{port}/")) in ("tls", "reset")


@pytest.mark.parametrize("verify", [True, False])
def test_a_ca_file_that_cannot_be_read_is_an_answer_that_names_it(tmp_path: Path, *, verify: bool) -> None:
    (tmp_path / "empty.crt").write_text("no certificate\n")
    for name in ("missing.crt", "empty.crt", "."):
        answer = ask("https://127.0.0.1:1/", ca_files=[str(tmp_path / name)], verify=verify)
        assert kind(answer) == "ca-unreadable"
        assert answer["failure"]
        assert str(tmp_path / name) in answer["failure"]["message"]


def test_a_client_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    context = authority.server(LOOPBACK)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(authority.file))
    with peer(says(OK), context) as port:
        url, ca = f"https://127.0.0.1:{port}/", [str(authority.file)]
        pair = (str(tmp_path / "leaf.crt"), str(tmp_path / "leaf.key"))
        assert ask(url, ca_files=ca, client_certificate=pair)["status"] == 200
        assert kind(ask(url, ca_files=ca)) in ("tls", "reset")
        assert kind(ask(url, ca_files=ca, client_certificate=(pair[0], "/nowhere"))) == "client-certificate-unreadable"


# -- proxies ---------------------------------------------------------------------------------------------------------


def test_a_proxy_is_asked_for_a_way_through_with_its_password(authority: Authority) -> None:
    seen: list[bytes] = []
    context = authority.server(x509.DNSName("registry.invalid"))

    def talk(line: socket.socket) -> None:
        seen.append(heard(line))
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(line, server_side=True) as secure:
            seen.append(heard(secure))
            secure.sendall(OK)

    host = LiveHost()
    password = host.vault.hide_value("p%40ss")
    with peer(talk) as port:
        proxy = f"http://user:{password}@127.0.0.1:{port}"
        answer = ask("https://registry.invalid/v2/", host, proxy=proxy, ca_files=[str(authority.file)])

    assert (answer["status"], answer["failure"]) == (200, None)
    assert seen[0].startswith(b"CONNECT registry.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in seen[0]
    assert b"Proxy-Authorization" not in seen[1]


def test_plain_http_goes_through_a_proxy_by_its_whole_url() -> None:
    seen: list[bytes] = []

    def talk(line: socket.socket) -> None:
        seen.append(heard(line))
        line.sendall(OK)

    with peer(talk) as port:
        ask("http://registry.invalid:5000/v2/?ns=a", proxy=f"http://127.0.0.1:{port}")

    assert seen[0].startswith(b"GET http://registry.invalid:5000/v2/?ns=a HTTP/1.1\r\n")
    assert b"\r\nHost: registry.invalid:5000\r\n" in seen[0]


def test_a_proxy_over_tls_carries_tls_inside(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "FOLDERS", (str(tmp_path),))
    context = authority.server(LOCALHOST)

    def talk(line: socket.socket) -> None:
        heard(line)
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        answers_inside(line, context)

    with peer(talk, context) as port:
        assert ask("https://localhost:5000/v2/", proxy=f"https://localhost:{port}")["body"] == "hi"


def test_a_line_that_was_reset_before_tls_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        select.select([line], [], [], 60)  # the reset has come

    with pytest.raises(ConnectionResetError) as raised:
        http_verb.wrapped(line, ssl.create_default_context(), server_hostname="a")

    begun = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(raised.tb)]
    assert [each.fileno() for each in begun if isinstance(each, ssl.SSLSocket)], "Python has begun to make none"
    assert {each.fileno() for each in begun if isinstance(each, ssl.SSLSocket)} == {-1}


@pytest.mark.parametrize(
    ("inside", "kinds"),
    [(b"", ("reset",)), (b"noise", ("tls", "reset")), (b"HTTP/1.1 200 OK\r\n\r\n" * 20, ("tls", "tls-plain", "reset"))],
    ids=["end", "noise", "HTTP"],
)
def test_a_tunnel_of_a_proxy_over_tls_that_leads_to_no_tls_is_an_answer(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inside: bytes,
    kinds: tuple[str, ...],
) -> None:
    monkeypatch.setattr(trust, "FOLDERS", (str(tmp_path),))

    def talk(line: socket.socket) -> None:
        heard(line)
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + inside)

    with peer(talk, authority.server(LOCALHOST)) as port:
        answer = ask("https://registry.invalid/v2/", proxy=f"https://localhost:{port}")

    assert kind(answer) in kinds
    assert answer["status"] == 0


def test_a_proxy_whose_certificate_is_not_trusted_is_not_used(authority: Authority) -> None:
    with peer(says(OK), authority.server(LOCALHOST)) as port:
        assert kind(ask("https://registry.invalid/v2/", proxy=f"https://localhost:{port}")) == "proxy"


def test_a_proxy_that_refuses_and_one_that_is_not_there_are_told_apart() -> None:
    with peer(says(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")) as port:
        answer = ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}")
        assert kind(answer) == "proxy-refused"
        assert answer["failure"]
        assert "407 Proxy Authentication Required" in answer["failure"]["message"]
    assert kind(ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}")) == "proxy"
    assert kind(ask("https://registry.invalid/", proxy="http://no-such-proxy.invalid:3128")) == "proxy"


def test_a_proxy_that_says_nothing_is_the_proxys_fault() -> None:
    with peer(stays_silent) as port:
        assert kind(ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}", limit=1.5)) == "proxy"


def test_a_socks_proxy_is_said_to_be_beyond_us() -> None:
    with pytest.raises(HostError, match="socks5"):
        ask("https://registry.invalid/", proxy="socks5://127.0.0.1:1080")


# -- the resolver ----------------------------------------------------------------------------------------------------


def test_the_node_resolves_its_own_names() -> None:
    assert "127.0.0.1" in LiveHost().resolve("localhost")["addresses"]
    assert LiveHost().resolve("::1") == {"addresses": ["::1"], "error": None}


def test_a_name_that_does_not_resolve_comes_with_the_resolvers_words() -> None:
    answer = LiveHost().resolve("no-such-host.invalid")

    assert answer["addresses"] == []
    assert answer["error"]


def test_offline_nobody_is_asked() -> None:
    with pytest.raises(HostError) as raised:
        ask("http://127.0.0.1:1/", LiveHost(offline=True))
    assert raised.value.reason == "Offline"
