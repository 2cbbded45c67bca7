"""A certificate that was refused, told as a client written in Go tells it.

OpenSSL, by which we ask, names the authority before all else. Go looks at the certificate's own dates first, at its names then, and at
the authority last (crypto/x509/verify.go, `Certificate.Verify`), and that is what stands in a runtime's log.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts.x509 import BadCertificateError, Certificate, as_address
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import NetworkError


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client written in Go names as the reason, in words for a sentence that began with `began`."""

    kind: NetworkError
    words: str

    @classmethod
    def observe(cls, host: Host, url: str, kind: NetworkError, began: str) -> Refusal:
        """Look at the certificate that is served at a URL, whose host we reach without a proxy; `kind` and `began` are what OpenSSL said."""
        parts = urlsplit(url)
        name = parts.hostname or ""
        with contextlib.suppress(HostError, BadCertificateError):
            served = host.tls(name, parts.port or 443, server_name=None if as_address(name) else name)["chain"]
            if served:
                leaf = Certificate.parse(served[0])
                first = _first_fault(leaf, name, host.now()) or kind
                # OpenSSL's own reason is another one then.
                began = began if first == kind else began.partition(": ")[0]
                return cls(first, f"{began}; {_described(leaf)}")
        return cls(kind, began)


def _first_fault(leaf: Certificate, name: str, now: float) -> NetworkError | None:
    if now > leaf.not_after:
        return "tls-expired"
    if now < leaf.not_before:
        return "tls-not-yet-valid"
    return None if leaf.covers(name) else "tls-name"


def _described(leaf: Certificate) -> str:
    import datetime as dt

    begin, end = (f"{dt.datetime.fromtimestamp(when, dt.UTC):%F}" for when in (leaf.not_before, leaf.not_after))
    names = ", ".join(leaf.names) or "no name at all (no subject alternative name)"
    return f"it is for {names}, by {leaf.issuer}, valid from {begin} to {end}"
