"""Peers for TLS hellos: real ones, and ones that misbehave, on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.certificates import Issued


NO_AUTO_CHAIN = (
    0x8  # SSL_MODE_NO_AUTO_CHAIN of openssl/ssl.h: serve what is given, and no authority that happens to be known
)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[int]:
    """A port where each connection is handed to `serve` in a thread of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:

        def accept() -> None:
            while True:
                try:
                    stream, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(stream,), daemon=True).start()

        def handle(stream: socket.socket) -> None:
            with contextlib.suppress(OSError), stream:
                serve(stream)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def tls(
    leaf: Issued, *chain: Issued, client_ca: Issued | None = None, demand: bool = False
) -> Callable[[socket.socket], None]:
    """Serve a leaf with its chain. With `client_ca`, ask for a client's certificate, as an API server does; `demand` it.

    By pyOpenSSL, since `ssl` names no authority when it asks.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_mode(NO_AUTO_CHAIN)
    context.use_certificate(leaf.certificate)
    context.use_privatekey(leaf.key)
    for each in chain:
        context.add_extra_chain_cert(each.certificate)
    if client_ca:
        context.add_client_ca(client_ca.certificate)
        context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if demand else 0), lambda *_: True)

    def serve(stream: socket.socket) -> None:
        secure = SSL.Connection(context, stream)
        secure.set_accept_state()
        with contextlib.suppress(SSL.Error):
            secure.do_handshake()
            secure.recv(1)

    return serve
