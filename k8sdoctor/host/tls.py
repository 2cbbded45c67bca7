"""One TLS hello, keeping what is served.

pyOpenSSL and not `ssl`: Python 3.11 tells the leaf alone by public means, while clients written in Go build their chain from every certificate
served, so an intermediate decides whether they trust the server. It also tells which authorities the server names when it asks for
a client's certificate: an API server names its own, a balancer that ends TLS usually asks for none.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from typing import TYPE_CHECKING, cast

from k8sdoctor.host import own_limits, workers
from k8sdoctor.host.answers import NetworkError, NetworkFailure, ResolveAnswer, TlsAnswer
from k8sdoctor.host.base import Json, authority

if TYPE_CHECKING:
    from OpenSSL import SSL

    from k8sdoctor.host.live import LiveHost

SLACK = 0.5
"""Seconds beyond the probe's limit for which the thread may live: the limit is held inside, so that silence becomes an answer."""

HELLO_LIMIT = 1024 * 1024
"""Bytes of handshake that we are willing to take; a chain of certificates is a few KiB."""

# RFC 8446, section 5.1: change_cipher_spec, alert, handshake, application_data.
_RECORD_TYPES = frozenset({0x14, 0x15, 0x16, 0x17})


_ASKED = b"SSLv3/TLS read server certificate request"
"""OpenSSL's name of the state (ssl/ssl_stat.c), for every version of TLS."""


class _Failed(Exception):  # noqa: N818 -- reads as what happened, not as a bug of ours
    """The hello came to an end without a handshake."""

    def __init__(self, kind: NetworkError, message: str) -> None:
        super().__init__(message)
        self.failure = NetworkFailure(kind=kind, message=message)


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `tls`."""
    del verb
    address, port = cast("str", arguments["address"]), cast("int", arguments["port"])
    server_name = cast("str | None", arguments["server_name"])
    deadline = time.monotonic() + host.probe_limit
    if not _is_address(address):
        found = cast("ResolveAnswer", host.ask("resolve", {"name": address}))
        if not found["addresses"]:
            message = f"{address} was not resolved: {found['error'] or 'the resolver knows no address'}"
            return _said(
                TlsAnswer(peer=None, chain=[], client_cas=None, failure=_failure("name-not-resolved", message))
            )
        address = found["addresses"][0]
    what = f"the TLS hello to {authority(address, port)}"
    limit = max(deadline - time.monotonic(), 0.1)
    hello = host.bounded(lambda: _hello(address, port, server_name, limit), what, limit=limit + SLACK)
    return _said(cast("TlsAnswer", hello))


def _said(reply: TlsAnswer) -> Json:
    return cast("Json", reply)


def _failure(kind: NetworkError, message: str) -> NetworkFailure:
    return NetworkFailure(kind=kind, message=message)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _hello(address: str, port: int, server_name: str | None, limit: float) -> TlsAnswer:
    """Connect, say hello, and take the chain, also where the handshake then fails (a server that insists on a client's certificate)."""
    deadline = time.monotonic() + limit
    where = authority(address, port)
    reply = TlsAnswer(peer=None, chain=[], client_cas=None, failure=None)
    try:
        with _connect(address, port, limit) as stream:
            reply["peer"] = authority(*stream.getpeername()[:2])
            states: set[bytes] = set()
            connection = _client(server_name, states)
            try:
                _handshake(connection, stream, deadline, where)
            finally:
                reply["chain"] = _chain(connection)
                if reply["chain"]:
                    reply["client_cas"] = _client_authorities(connection) or [""] * (_ASKED in states)
    except _Failed as error:
        reply["failure"] = error.failure
    except OSError as error:
        own_limits.hold(error)
        reply["failure"] = _os_failure(error, where, limit)
    return reply


def _connect(address: str, port: int, limit: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    stream = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        stream.settimeout(limit)
        # getaddrinfo and not the bare pair, for the scope of a link-local address (fe80::1%eth0).
        target = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
        with workers.waiting():
            stream.connect(target)
    except BaseException:
        stream.close()
        raise
    return stream


def _client(server_name: str | None, states: set[bytes]) -> SSL.Connection:
    """A connection that notes each state through which its handshake goes."""
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # As Go's clients since 1.18, and API servers: nothing below TLS 1.2. Weak keys are shown and not refused: we only look.
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_verify(SSL.VERIFY_NONE)
    context.set_info_callback(lambda one, _where, _code: states.add(one.get_state_string()))
    connection = SSL.Connection(
        context, None
    )  # without a socket: the bytes pass through our hands, and a deadline holds
    connection.set_connect_state()
    if server_name and not _is_address(server_name):
        # RFC 6066, section 3: never an address, and no trailing dot; Go's clients do the same (crypto/tls hostnameInSNI).
        try:
            name = server_name.rstrip(".").encode("idna" if not server_name.isascii() else "ascii")
        except UnicodeError:
            raise _Failed("tls-name", f"{server_name!r} is no name of a host") from None
        connection.set_tlsext_host_name(name)
    return connection


def _handshake(connection: SSL.Connection, stream: socket.socket, deadline: float, where: str) -> None:
    from OpenSSL import SSL

    size = 0
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _flush(connection, stream)
        except SSL.Error as error:
            raise _Failed("tls", f"{where} ended the TLS handshake: {_words(error)}") from None
        else:
            _flush(connection, stream)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        stream.settimeout(left)
        with workers.waiting():
            data = stream.recv(16384)
        if not data:
            raise _Failed("reset", f"{where} closed the connection during the TLS handshake")
        if not size and data[0] not in _RECORD_TYPES:
            raise _not_tls(data, where)
        size += len(data)
        if size > HELLO_LIMIT:
            raise _Failed("protocol", f"{where} sends more than a handshake holds")
        connection.bio_write(data)


def _flush(connection: SSL.Connection, stream: socket.socket) -> None:
    from OpenSSL import SSL

    while True:
        try:
            data = connection.bio_read(65536)
        except SSL.WantReadError:
            return
        stream.sendall(data)


def _not_tls(start: bytes, where: str) -> _Failed:
    line = start.splitlines()[0][:80].decode("latin-1") if start.splitlines() else ""
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    # nginx answers a hello that it cannot read as HTTP/0.9 would: the page alone.
    if start.startswith(b"HTTP/") or start.lstrip()[:1] == b"<":
        return _Failed("tls-plain", f"{where} answered the TLS hello in plain HTTP: {shown!r}")
    return _Failed("protocol", f"{where} answered the TLS hello with something else: {shown!r}")


def _chain(connection: SSL.Connection) -> list[str]:
    """As it was served, read by nobody: OpenSSL takes certificates that the library that judges them refuses."""
    from OpenSSL import crypto

    found = connection.get_peer_cert_chain() or []
    return [crypto.dump_certificate(crypto.FILETYPE_PEM, certificate).decode() for certificate in found]


def _client_authorities(connection: SSL.Connection) -> list[str]:
    names = []
    for name in connection.get_client_ca_list():
        parts = name.get_components()
        names.append(",".join(f"{key.decode()}={value.decode('utf-8', 'replace')}" for key, value in parts))
    return names


def _words(error: Exception) -> str:
    """OpenSSL's last words, such as `sslv3 alert handshake failure`."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in queue) or str(error) or "no reason given"


def _os_failure(error: OSError, where: str, limit: float) -> NetworkFailure:
    if isinstance(error, TimeoutError):
        return _failure("timeout", f"{where} did not answer within {limit:.3g} s")
    if isinstance(error, ConnectionRefusedError):
        return _failure("refused", f"{where} refused the connection: nothing listens there, or a filter rejects it")
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _failure("reset", f"{where} reset the connection during the TLS handshake")
    words = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
    if error.errno in (
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EINVAL,
        errno.EACCES,
        errno.EPERM,
    ):
        return _failure("unreachable", f"{where} is not reached: {words}")
    return _failure("protocol", f"{where}: {words}")
