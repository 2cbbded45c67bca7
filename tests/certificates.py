"""Certificates for tests: authorities, and leaves with any names and dates."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1_780_000_000.0
"""What a `FakeHost` has on its clock: 2026-05-28."""

DAY = 86400.0


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def load(cls, pem: str, key_pem: str) -> Self:
        """One that was written down."""
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey | RSAPrivateKey)
        return cls(x509.load_pem_x509_certificate(pem.encode()), key)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()


def issue(
    name: str,
    by: Issued | None = None,
    *,
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
    start: float = NOW - DAY,
    days: float = 365.0,
    authority: bool = False,
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    path_length: int | None = None,
    groups: Sequence[str] = (),
    rsa: bool = False,
    more: Sequence[x509.ExtensionType] = (),
    of: Issued | None = None,
) -> Issued:
    """A certificate by another (None: by itself), for a new key or that `of` another one."""
    key = of.key if of else generate_rsa(65537, 2048) if rsa else ec.generate_private_key(ec.SECP256R1())
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = dt.datetime.fromtimestamp(start, dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
    )
    names = [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not authority and usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


@cache
def cluster_ca(name: str = "kubernetes") -> Issued:
    """The authority of a test's cluster; another name is another authority."""
    return issue(name, authority=True, start=NOW - 400 * DAY, days=3650)


def base64_pem(issued: Issued, *, key: bool = False) -> str:
    """A certificate, or its key, as kubeconfigs hold them."""
    return base64.b64encode((issued.key_pem if key else issued.pem).encode()).decode()


def jwt(**claims: object) -> str:
    """A token whose signature nobody looks at."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims))
    return ".".join((*parts, "c2lnbmF0dXJl"))
