"""X.509 as clients written in Go judge it (crypto/x509/verify.go), for that is what every client of an API server does.

Where Go and OpenSSL differ: an address is looked for among the address SANs alone, the common name never counts, a wildcard covers
one label, and a certificate that a client trusts by itself needs no authority. Name constraints, path length and extended key usage count all
along the chain, key usage only where an authority signs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

    from cryptography import x509

_BLOCK = regex(r"-----BEGIN (?P<kind>CERTIFICATE)-----.*?-----END (?P=kind)-----", re.DOTALL)
_PUBLIC = regex(r"-----BEGIN (?P<kind>CERTIFICATE|(?:[A-Z]+ )?PUBLIC KEY)-----.*?-----END (?P=kind)-----", re.DOTALL)

# crypto/x509/verify.go validHostname: what a host or a pattern may be made of, `*` as the whole first label of a pattern. No colon,
# so that no wildcard covers a name with one.
_LABEL = regex(r"[A-Za-z0-9_][A-Za-z0-9_-]*")

_VISIBLE = frozenset(map(chr, range(33, 127)))

Purpose: TypeAlias = Literal["servers", "clients"]

MAX_CHAIN = 10
"""Certificates in a chain; real ones have two to four."""


class BadCertificateError(ValueError):
    """A text holds no certificate, or one that cannot be parsed."""


@dataclass(frozen=True)
class Certificate:
    """What a certificate says. Times are seconds since the epoch; `fingerprint` is its SHA-256."""

    pem: str
    fingerprint: str
    subject: str
    common_name: str | None
    issuer: str
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    has_san: bool
    not_before: float
    not_after: float

    @classmethod
    def parse(cls, pem: str) -> Self:
        """The certificate of one PEM block. Raises BadCertificateError."""
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            found = _load(pem)
            try:
                names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            except x509.ExtensionNotFound:
                names = None
            dns_names = names.get_values_for_type(x509.DNSName) if names else []
            addresses = names.get_values_for_type(x509.IPAddress) if names else []
            _refuse_names(dns_names, addresses)
            common = [str(each.value) for each in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
            return cls(
                pem=pem,
                fingerprint=found.fingerprint(SHA256()).hex(),
                subject=found.subject.rfc4514_string(),
                common_name=common[0] if common else None,
                issuer=found.issuer.rfc4514_string(),
                dns_names=tuple(dns_names),
                addresses=tuple(map(str, addresses)),
                has_san=names is not None,
                not_before=found.not_valid_before_utc.timestamp(),
                not_after=found.not_valid_after_utc.timestamp(),
            )
        except (
            ValueError,
            TypeError,
            x509.DuplicateExtension,
            x509.InvalidVersion,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise BadCertificateError(str(error) or type(error).__name__) from None

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is valid for, addresses last, as openssl prints it."""
        return (*self.dns_names, *self.addresses)

    def covers(self, name: str) -> bool:
        """Whether it is valid for a host name or an address, as Go sees it."""
        address = as_address(name)
        if address is not None and "%" not in name:  # Go took one with a zone for a name until golang/go#79719
            return any(as_address(each) == address for each in self.addresses)
        host = _lower(name)
        for pattern in self.dns_names:
            if _valid(host, pattern=False) and _valid(pattern, pattern=True):
                if _matches(_lower(pattern), host.removesuffix(".")):
                    return True
            elif host not in ("", ".") and _lower(pattern) == host:
                return True
        return False


@dataclass(frozen=True)
class Trust:
    """Whether a served chain leads to a trusted certificate.

    `expired` is the authority on the way whose time is over (or has not come), where a client tells of that; else `why_not` is a clause.
    """

    trusted: bool
    why_not: str | None = None
    expired: Certificate | None = None


@lru_cache(maxsize=64)
def certificates(text: str) -> tuple[Certificate, ...]:
    """Every certificate of a PEM text, in order; what stands between the blocks is ignored. Raises BadCertificateError for none."""
    found = tuple(Certificate.parse(match[0] + "\n") for match in _BLOCK.finditer(text))
    if not found:
        raise BadCertificateError("it holds no PEM block of a certificate")
    return found


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, None for a name. An IPv4 address mapped into IPv6 is that IPv4 address, as in Go's net.IP."""
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _refuse_names(dns_names: Sequence[str], addresses: Sequence[object]) -> None:
    """Raise ValueError for names with which Go takes the whole certificate for malformed (crypto/x509/parser.go, parseSANExtension)."""
    for name in dns_names:
        if not name.isascii():
            raise ValueError(f"its DNS name {name!r} is not ASCII")
    for address in addresses:
        if isinstance(address, IPv4Network | IPv6Network):
            raise ValueError(f"one of its names is the network {address}, which is no address")  # noqa: TRY004 -- the file's fault


def _lower(name: str) -> str:
    """With the letters of ASCII in lower case, and no others (`toLowerCaseASCII`)."""
    return name.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")


def _valid(name: str, *, pattern: bool) -> bool:
    labels = (name if pattern else name.removesuffix(".")).split(".")
    return all(
        _LABEL.fullmatch(label) or (pattern and position == 0 and label == "*") for position, label in enumerate(labels)
    )


def _matches(pattern: str, host: str) -> bool:
    wanted, labels = pattern.split("."), host.split(".")
    if len(wanted) != len(labels):
        return False
    return all(
        want == label or (position == 0 and want == "*")
        for position, (want, label) in enumerate(zip(wanted, labels, strict=True))
    )


def verify(
    chain: Sequence[Certificate], roots: Sequence[Certificate], now: float, purpose: Purpose = "servers"
) -> Trust:
    """Whether a chain as shown, leaf first, leads to one of the roots for a purpose. The leaf's own dates and names are not looked at."""
    return _verified(tuple(chain), tuple(roots), now, purpose)


@lru_cache(maxsize=256)
def _verified(chain: tuple[Certificate, ...], roots: tuple[Certificate, ...], now: float, purpose: Purpose) -> Trust:
    """Each once: an API server is met by many clients, and judged for each of them."""
    leaf = chain[0]
    paths, stop = ([(leaf,)], None) if leaf in roots else _paths((leaf,), chain[1:], roots, now)
    if any(all(allows(each, purpose) for each in path) for path in paths):
        return Trust(trusted=True)
    if paths:
        return Trust(trusted=False, why_not=f"its extended key usage does not allow {purpose}")
    return stop or Trust(trusted=False, why_not=_why_not(leaf, roots))


def _paths(
    path: tuple[Certificate, ...], others: Sequence[Certificate], roots: Sequence[Certificate], now: float
) -> tuple[list[tuple[Certificate, ...]], Trust | None]:
    """Every chain from the path's last certificate to a root; where there is none, what Go then tells (`buildChains`).

    That is what was wrong with the certificate that was tried last, None where nobody known had signed.
    """
    found: list[tuple[Certificate, ...]] = []
    stop: Trust | None = None
    tried = [*((root, False) for root in roots), *((each, True) for each in others)] if len(path) < MAX_CHAIN else []
    for authority, intermediate in tried:
        if authority in path or not signed_by(path[-1], authority):
            continue
        stop = _stopped(authority, path, now, intermediate=intermediate)
        if stop is None and intermediate:
            more, stop = _paths((*path, authority), others, roots, now)
            found += more
        elif stop is None:
            found.append((*path, authority))
    return found, None if found else stop


@lru_cache(maxsize=256)
def _load(pem: str) -> x509.Certificate:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode())


def organizations(certificate: Certificate) -> tuple[str, ...]:
    """The organisations in its subject, which are a client's groups (apiserver pkg/authentication/request/x509)."""
    from cryptography import x509

    found = _load(certificate.pem).subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return tuple(str(each.value) for each in found)


@lru_cache(maxsize=256)
def public_key(certificate: Certificate) -> str | None:
    """SHA-256 of its public key, as `Host.public_key` tells it of a private one; None for a kind of key that is not known here."""
    from cryptography.exceptions import UnsupportedAlgorithm

    from k8sdoctor.host.keys import fingerprint

    try:
        return fingerprint(_load(certificate.pem).public_key())
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return None


def public_keys_of(text: str) -> tuple[str, ...]:
    """SHA-256 of each public key in a PEM text such as sa.pub, of certificates too (client-go util/keyutil, ParsePublicKeysPEM)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from k8sdoctor.host.keys import fingerprint

    found: list[str | None] = []
    for match in _PUBLIC.finditer(text):
        try:
            if match["kind"] == "CERTIFICATE":
                found.append(public_key(Certificate.parse(match[0] + "\n")))
            else:
                found.append(fingerprint(load_pem_public_key(match[0].encode() + b"\n")))
        except (UnsupportedAlgorithm, ValueError, TypeError):
            continue
    return tuple(each for each in found if each)


@lru_cache(maxsize=1024)
def signed_by(certificate: Certificate, authority: Certificate) -> bool:
    """Whether an authority, one that may sign, has signed a certificate."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    child, parent = _load(certificate.pem), _load(authority.pem)
    try:
        # Go compares the names byte by byte, the kinds of their strings included.
        if child.issuer.public_bytes() != parent.subject.public_bytes() or not _may_sign(parent):
            return False
        # Go refuses MD5 always and SHA-1 since 1.18, that is Kubernetes 1.24 (go.dev/doc/go1.18#sha1).
        if child.signature_hash_algorithm is not None and child.signature_hash_algorithm.name in ("md5", "sha1"):
            return False
        child.verify_directly_issued_by(parent)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _may_sign(authority: x509.Certificate) -> bool:
    """As Go's CheckSignatureFrom: basicConstraints must say CA, and keyUsage, where there is one, keyCertSign."""
    from cryptography import x509

    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        return authority.version is x509.Version.v1
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _stopped(authority: Certificate, path: Sequence[Certificate], now: float, *, intermediate: bool) -> Trust | None:
    """Why Go does not let an authority follow a path that it signed (`isValid`); None where it does."""
    if not authority.not_before <= now <= authority.not_after:
        return Trust(trusted=False, expired=authority)
    why = None
    limit, is_authority = _basic_constraints(authority)
    if (name := _constrained(path[0], authority)) is not None:
        why = f"the name constraints of {authority.subject} do not allow {name}"
    elif intermediate and not is_authority:
        why = f"{authority.subject} is not marked as an authority"
    elif limit is not None and len(path) - 1 > limit:
        why = f"{authority.subject} allows {limit or 'no'} intermediate authorities below it"
    return Trust(trusted=False, why_not=why) if why else None


def allows(certificate: Certificate, purpose: Purpose) -> bool:
    """Whether a certificate does not restrict its use to something else."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    wanted = ExtendedKeyUsageOID.SERVER_AUTH if purpose == "servers" else ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        usages = _load(certificate.pem).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool({wanted, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages))


def _basic_constraints(certificate: Certificate) -> tuple[int | None, bool]:
    """How many intermediates may stand below it (None: any number), and whether it is an authority."""
    from cryptography import x509

    try:
        found = _load(certificate.pem).extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None, False
    return found.path_length, found.ca


def _constrained(leaf: Certificate, authority: Certificate) -> str | None:
    """The first name of a leaf that an authority's name constraints do not allow. All its names count, not only the one asked for."""
    from cryptography import x509

    try:
        found = _load(authority.pem).extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    permitted, excluded = found.permitted_subtrees or (), found.excluded_subtrees or ()
    for name in leaf.dns_names:
        if name and not all(label and not set(label) - _VISIBLE for label in name.split(".")):
            return repr(
                name
            )  # what is no domain name meets no constraint, not even one on addresses (`domainToReverseLabels`)
    for kind, names, within in (
        (x509.DNSName, leaf.dns_names, _within_domain),
        (x509.IPAddress, leaf.addresses, _within_network),
    ):
        allowed = [str(each.value) for each in permitted if isinstance(each, kind)]
        forbidden = [str(each.value) for each in excluded if isinstance(each, kind)]
        for name in names:
            if any(within(name, each) for each in forbidden) or (
                allowed and not any(within(name, each) for each in allowed)
            ):
                return name
    return None


def _within_domain(name: str, constraint: str) -> bool:
    """Whether a name is of a domain (`matchDomainConstraint`); a leading dot asks for one more label at least.

    >>> [_within_domain(name, "lab") for name in ("lab", "a.LAB", "collab")], _within_domain("lab", ".lab")
    ([True, True, False], False)
    """
    domain = constraint.removeprefix(".").lower()
    if not domain:
        return True
    return name.lower().endswith(f".{domain}") or (name.lower() == domain and not constraint.startswith("."))


def _within_network(address: str, constraint: str) -> bool:
    one, network = ip_address(address), ip_network(constraint, strict=False)
    return one.version == network.version and one in network


def _why_not(leaf: Certificate, roots: Sequence[Certificate]) -> str:
    if leaf.issuer == leaf.subject:
        return "it is signed by itself"
    if any(root.subject == leaf.issuer for root in roots):
        return f"the trusted authority bears the same name ({leaf.issuer}) and another key, as after a cluster was made anew"
    return f"its issuer is {leaf.issuer}"
