"""The HTTP verb by TLS and through proxies: who is trusted, and whose fault it is."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import traceback
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from k8sdoctor.host import HostError, trust
from k8sdoctor.host import http as http_verb
from k8sdoctor.host.files import Files
from k8sdoctor.host.live import LiveHost
from tests.certificates import cluster_ca
from tests.host.peers import (
    DAY,
    LOCALHOST,
    LOOPBACK,
    NOW,
    OK,
    Authority,
    answers_inside,
    ask,
    greets_like_ssh,
    heard,
    kind,
    peer,
    says,
    stays_silent,
)
from tests.host.ports import closed_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


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
    with closed_port() as port:
        assert kind(ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}")) == "proxy"
    assert kind(ask("https://registry.invalid/", proxy="http://no-such-proxy.invalid:3128")) == "proxy"


def test_a_proxy_that_says_nothing_is_the_proxys_fault() -> None:
    with peer(stays_silent) as port:
        assert kind(ask("https://registry.invalid/", proxy=f"http://127.0.0.1:{port}", limit=1.5)) == "proxy"


def test_a_socks_proxy_is_said_to_be_beyond_us() -> None:
    with pytest.raises(HostError, match="socks5"):
        ask("https://registry.invalid/", proxy="socks5://127.0.0.1:1080")
