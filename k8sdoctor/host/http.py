"""One HTTP exchange, as a container runtime would have it: the verb `http`.

The standard library's client reads the answer, on a connection that is made here: everything that can go wrong before the first
byte of an answer has a kind of its own, and the whole exchange has one limit that a peer cannot stretch, neither by silence nor by
one byte a second. (urllib3 offers neither, and its import alone costs 55 ms of CPU more; it helps only through a TLS proxy.)
"""

from __future__ import annotations

import base64
import errno
import http.client
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from k8sdoctor.host import own_limits, resolver, trust, workers
from k8sdoctor.host.answers import HttpAnswer, HttpRequest, NetworkError, NetworkFailure
from k8sdoctor.host.base import HostError, Json, authority
from k8sdoctor.host.dial import dial
from k8sdoctor.host.secrets import is_secret

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost

BODY_LIMIT = 64 * 1024
"""Bytes of a body that are kept: a manifest or an error is far smaller."""

ETCD_READS = frozenset({"/v3/maintenance/status", "/v3/cluster/member/list"})
"""The only paths that are ever sent a POST: etcd's gateway takes every call as one, those that only read, too (etcd
`api/etcdserverpb/rpc.proto`, the `google.api.http` options). Neither call goes through the consensus, so a cluster without a leader answers."""

_PORTS = {"http": 80, "https": 443}

_NUMBERS: dict[int, NetworkError] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",  # no address of the family that is asked for
    errno.EACCES: "unreachable",  # a firewall of the node itself rejects what goes out
    errno.EPERM: "unreachable",
}


class _FailedError(Exception):
    """An exchange that ended without an answer."""

    def __init__(self, kind: NetworkError, message: str) -> None:
        super().__init__(message)
        self.kind: NetworkError = kind


class _LateError(Exception):
    """The exchange's own limit is over."""


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:  # noqa: ARG001 -- one signature for all verbs
    """Answer `http`. Whatever the peer does is an answer; HostError only says that we could not try."""
    request = cast("HttpRequest", arguments)
    method = request["method"]
    if method == "POST" and urlsplit(request["url"]).path not in ETCD_READS:
        msg = f"POST is for {sorted(ETCD_READS)} alone, not for {request['url']}"
        raise ValueError(msg)
    if method not in ("GET", "HEAD", "POST"):  # a peer is asked, and never changed
        msg = f"{method} is no request that only reads"
        raise ValueError(msg)
    return cast("Json", exchange(host, request, method, b"{}" if method == "POST" else None))


def exchange(host: LiveHost, request: HttpRequest, method: str, body: bytes | None = None) -> HttpAnswer:
    """One exchange by a method, whatever the request's own is."""
    having = _Exchange(host, request, method, body)
    try:
        return cast("HttpAnswer", host.bounded(having.run, f"asking {having.where}", limit=request["limit"]))
    except HostError as error:
        if error.reason != "DeadlineExceeded":
            raise
        having.abandon()
        return having.late()


class _Exchange:
    """The state of one exchange, so that whoever gives up on it can tell how far it came."""

    def __init__(self, host: LiveHost, request: HttpRequest, method: str, body: bytes | None) -> None:
        self._host = host
        self._method = method
        self._body = body
        self._request = request
        self._url = _split(request["url"])
        self._proxy = _split(request["proxy"]) if request["proxy"] else None
        self._line: socket.socket | None = None
        self._lines: list[socket.socket] = []
        self._peer: str | None = None
        self._responses: list[http.client.HTTPResponse] = []  # each holds its connection open until it is closed
        self._stage = "starting"
        self.where = authority(*_endpoint(self._url))

    def run(self) -> HttpAnswer:
        """Have the exchange."""
        try:
            return self._ask()
        except _FailedError as failed:
            return self._failed(failed.kind, str(failed))
        except _LateError:
            return self.late()
        finally:
            self._close()

    def abandon(self) -> None:
        """Cut the connection, which wakes a thread that waits on it.

        That thread closes it: what is closed here, another thread may have opened anew by the same number, while TLS is made of the old one there.
        """
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self.abandon()
        for line in self._lines:
            line.close()
        for response in self._responses:
            response.close()

    def late(self) -> HttpAnswer:
        """The answer when the limit is over."""
        limit = self._request["limit"]
        if self._stage == "resolving":
            return self._failed("name-not-resolved", f"{self._url.hostname}: {resolver.silence(limit)}")
        kind: NetworkError = "proxy" if self._stage.endswith("proxy") else "timeout"
        return self._failed(kind, f"{self._peer or self.where} gave no answer within {limit:g} s ({self._stage})")

    def _failed(self, kind: NetworkError, message: str) -> HttpAnswer:
        failure = NetworkFailure(kind=kind, message=self._host.vault.hide_echo(message))
        return HttpAnswer(status=0, headers={}, body="", peer=self._peer, failure=failure)

    # -- the steps -----------------------------------------------------------------------------------------------------

    def _ask(self) -> HttpAnswer:
        context = self._context()
        secure = self._url.scheme == "https"
        line = self._connect(context)
        if secure:
            self._stage = "in the TLS handshake"
            line = self._encrypt(line, context, self._url.hostname or "")
        connection = http.client.HTTPConnection(*_endpoint(self._url))
        connection.sock = line
        try:
            self._stage = "waiting for an answer"
            connection.request(self._method, self._target(), self._body, self._headers())
            with workers.waiting():
                response = connection.getresponse()
            came = time.time()
            self._responses.append(response)
            self._stage = "reading the answer"
            with workers.waiting():
                body = response.read(BODY_LIMIT)
            if len(body) < BODY_LIMIT and response.length:  # still owed; a bounded read does not complain
                raise http.client.IncompleteRead(body, response.length)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _classified(error, self._peer or self.where) from None
        hide = self._host.vault.hide_echo
        hide_value = self._host.vault.hide_value
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            # A challenge holds no secret, yet reads like one: `Bearer realm=https://…`.
            plain = name.lower() in ("www-authenticate", "proxy-authenticate")
            shown = value if plain else hide_value(value) if is_secret(name) else hide(value)
            headers[name.lower()] = f"{headers[name.lower()]}\n{shown}" if name.lower() in headers else shown
        text = hide(body.decode("utf-8", "replace"))
        return HttpAnswer(status=response.status, headers=headers, body=text, peer=self._peer, failure=None, at=came)

    def _context(self) -> ssl.SSLContext:
        request = self._request
        try:
            if self._url.scheme != "https":
                return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used
            pair = request["client_certificate"]
            return trust.context(
                self._host.files,
                ca_files=request["ca_files"],
                client_certificate=(pair[0], pair[1]) if pair else None,
                verify=request["verify"],
                system=not request.get("only_ca_files"),
            )
        except trust.CaUnreadableError as error:
            raise _FailedError("ca-unreadable", str(error)) from None
        except trust.ClientCertificateUnreadableError as error:
            raise _FailedError("client-certificate-unreadable", str(error)) from None

    def _connect(self, context: ssl.SSLContext) -> socket.socket:
        del context
        if self._proxy is None:
            return self._dial(*_endpoint(self._url))
        if self._proxy.scheme not in _PORTS:
            msg = f"the proxy speaks {self._proxy.scheme}; only HTTP and HTTPS proxies can be asked through"
            raise HostError("Unreadable", msg)
        where = authority(*_endpoint(self._proxy))
        try:
            self._stage = "connecting to the proxy"
            line = self._dial(*_endpoint(self._proxy))
            if self._proxy.scheme == "https":
                context = trust.context(self._host.files, ca_files=(), client_certificate=None, verify=True)
                line = self._encrypt(line, context, self._proxy.hostname or "")
            return self._tunnel(line, where) if self._url.scheme == "https" else line
        except _FailedError as failed:
            kind: NetworkError = failed.kind if failed.kind == "proxy-refused" else "proxy"
            raise _FailedError(kind, f"proxy {where}: {failed}") from None

    def _dial(self, name: str, port: int) -> socket.socket:
        if self._proxy is None:
            self._stage = "resolving"
        try:
            addresses = resolver.addresses(self._host, name)
        except resolver.NameNotResolvedError as error:
            raise _FailedError("name-not-resolved", f"{name}: {error}") from None
        if self._proxy is None:
            self._stage = "connecting"
        if len(addresses) == 1:
            self._peer = authority(addresses[0], port)
        try:
            with workers.waiting():
                line = dial(addresses, port, self._request["limit"])
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:  # with a number it is the kernel that gave up
                raise _LateError from None
            raise _classified(error, self._peer or authority(name, port)) from None
        # The copy shares the connection: it can be looked at and cut whatever TLS makes of the original.
        self._line = line.dup()
        self._lines += [line, self._line]
        found = line.getpeername()
        self._peer = authority(str(found[0]), port)
        return line

    def _tunnel(self, line: socket.socket, where: str) -> socket.socket:
        """Ask the proxy for a way through, and give back the line that then leads to the other side."""
        assert self._proxy is not None  # noqa: S101 -- only called with one
        self._stage = "waiting for the proxy"
        connection = http.client.HTTPConnection(*_endpoint(self._proxy))
        connection.sock = line
        target = authority(*_endpoint(self._url))
        kept = line if isinstance(line, ssl.SSLSocket) else line.dup()  # the client closes its own
        self._lines.append(kept)
        try:
            connection.request("CONNECT", target, headers={"Host": target, **self._proxy_login()})
            with workers.waiting():
                response = connection.getresponse()
            self._responses.append(response)
        except (OSError, http.client.HTTPException) as error:
            raise _classified(error, where) from None
        if response.status // 100 != 2:  # noqa: PLR2004 -- RFC 9110, 9.3.6
            words = f"answered CONNECT {target} with {response.status} {response.reason}".rstrip()
            raise _FailedError("proxy-refused", words)
        return kept

    def _encrypt(self, line: socket.socket, context: ssl.SSLContext, name: str) -> socket.socket:
        where = self._peer or self.where
        try:
            if isinstance(line, ssl.SSLSocket):
                from urllib3.util.ssltransport import SSLTransport  # TLS inside of TLS; the standard library has none

                with workers.waiting():
                    return cast("socket.socket", SSLTransport(line, context, server_hostname=name))
            secure = wrapped(line, context, server_hostname=name, do_handshake_on_connect=False)
            self._lines.append(secure)
            with workers.waiting():
                secure.do_handshake()
        except ssl.SSLCertVerificationError as error:
            kind = cast("NetworkError", trust.verdict(error))
            raise _FailedError(kind, f"the certificate of {where} was refused: {error.verify_message}") from None
        except (OSError, ValueError) as error:
            if isinstance(error, ssl.SSLError) and self._answered_in_plain_http():
                raise _FailedError("tls-plain", f"{where} answered a TLS hello in plain HTTP") from None
            raise _classified(error, where) from None
        return secure

    def _answered_in_plain_http(self) -> bool:
        """Whether what broke the handshake was `HTTP/1.…`: Go looks at the first five bytes, too (net/http `transport.go`).

        OpenSSL has taken those five, the size of a TLS record's head, and left the rest on the line.
        """
        assert self._line is not None  # noqa: S101 -- connected
        with suppress(OSError):
            return self._line.recv(4, socket.MSG_PEEK | socket.MSG_DONTWAIT) in (b"1.0 ", b"1.1 ")
        return False

    # -- the request ---------------------------------------------------------------------------------------------------

    def _target(self) -> str:
        path = self._url.path or "/"
        target = self._host.vault.reveal(f"{path}?{self._url.query}" if self._url.query else path)
        if self._proxy is not None and self._url.scheme == "http":
            return f"http://{self.where if self._url.port else self._url.hostname}{target}"
        return target

    def _headers(self) -> dict[str, str]:
        host = self._url.hostname or ""
        name = f"[{host}]" if ":" in host else host
        headers = {"Host": name if self._url.port is None else authority(host, self._url.port)}
        headers |= {"User-Agent": "k8sdoctor", "Connection": "close"}
        if self._url.username is not None:
            reveal = (
                self._host.vault.reveal
            )  # a registry's password is a secret as it is, and only its placeholder is quoted
            password = reveal(unquote(self._url.password or ""))
            self._host.vault.tell(password)
            headers["Authorization"] = _basic(reveal(unquote(self._url.username)), password)
        if self._proxy is not None and self._url.scheme == "http":
            headers |= self._proxy_login()
        headers |= {name: self._host.vault.reveal(value) for name, value in self._request["headers"].items()}
        self._host.vault.tell(*(value.rpartition(" ")[2] for name, value in headers.items() if is_secret(name)))
        return headers

    def _proxy_login(self) -> dict[str, str]:
        if self._proxy is None or self._proxy.username is None:
            return {}
        reveal = self._host.vault.reveal  # a proxy's is a part of its URL, so the secret itself is quoted
        password = unquote(reveal(self._proxy.password or ""))
        login = _basic(unquote(reveal(self._proxy.username)), password)
        self._host.vault.tell(password, login.rpartition(" ")[2])
        return {"Proxy-Authorization": login}


def wrapped(line: socket.socket, context: ssl.SSLContext, **options: Any) -> ssl.SSLSocket:
    """`SSLContext.wrap_socket`, which leaves open what it has begun to make of a line that is reset meanwhile (ssl.py, SSLSocket._create)."""
    try:
        return context.wrap_socket(line, **options)
    except OSError as error:
        import traceback

        for frame, _ in traceback.walk_tb(error.__traceback__):
            begun = frame.f_locals.get("self")
            if isinstance(begun, ssl.SSLSocket):
                begun.close()
        raise


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise HostError("Unreadable", f"{url!r} is no URL: {error}") from None
    return parts


def _endpoint(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or _PORTS.get(url.scheme, 1080)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _classified(error: Exception, where: str) -> _FailedError:
    """The kind of failure that an exception of sockets, TLS or HTTP is, by type and number."""
    own_limits.hold(error)
    if isinstance(error, (http.client.RemoteDisconnected, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _FailedError("reset", f"{where} closed the connection without an answer")
    if isinstance(error, http.client.IncompleteRead):
        return _FailedError("reset", f"{where} closed the connection in the middle of its answer")
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return _FailedError("protocol", f"{where} does not speak HTTP: {type(error).__name__} {error}".rstrip())
    if isinstance(error, ssl.SSLError):
        return _FailedError("tls", f"TLS with {where} failed: {error.reason or error}")
    number = error.errno if isinstance(error, OSError) and error.errno else 0
    kind = _NUMBERS.get(number)
    if kind is None:
        return _FailedError("protocol", f"{where}: {error}")
    return _FailedError(kind, f"{where}: {os.strerror(number)}")
