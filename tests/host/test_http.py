"""The HTTP verb against real sockets on loopback, in which every peer misbehaves in its own way."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.dial import dial
from k8sdoctor.host.live import LiveHost
from tests.host.peers import OK, WATCHDOG, ask, drips, full, heard, kind, peer, says, stays_silent
from tests.host.ports import closed_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


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
    with closed_port() as port:
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
