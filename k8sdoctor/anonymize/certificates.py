"""Certificates issued anew, with stand-ins for what they name.

Each keeps its dates, its extensions' meaning, who signed it and whether the signature is right. A key becomes another: Ed25519, whatever it was, for
no check looks at the kind of a key, and the same key for the same bundle gives the same bytes. One whose authority was not recorded is
signed by a key that nobody has.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b, sha1, sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from k8sdoctor.anonymize.addresses import Address, Addresses, Network

_COUNTRY = "2.5.4.6"


class Certificates:
    """The stand-ins of one recording's certificates and public keys. First all are seen, then they are mapped."""

    def __init__(self, key: bytes, addresses: Addresses, text: Callable[[str], str]) -> None:
        """`text` maps a name as it stands in a text."""
        self._key = key
        self._addresses = addresses
        self._text = text
        self._seen: dict[bytes, x509.Certificate] = {}
        self._by_subject: dict[bytes, list[x509.Certificate]] = {}
        self._key_ids: dict[bytes, str] = {}
        self._issued: dict[bytes, bytes | None] = {}
        self._fingerprints: set[str] = set()
        self._digests: dict[str, bytes] = {}

    # -- what is there -------------------------------------------------------------------------------------------------------

    def see(self, der: bytes) -> x509.Certificate | None:
        """Note a certificate; None for what is none, or was seen before."""
        from cryptography import x509

        if der in self._seen:
            return None
        try:
            found = x509.load_der_x509_certificate(der)
            subject = found.subject.public_bytes()
            list(found.extensions)
        except (ValueError, TypeError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
            return None
        self._seen[der] = found
        self._digests[sha256(der).hexdigest()] = der
        self._by_subject.setdefault(subject, []).append(found)
        fingerprint = _key_of(found)
        self._fingerprints.add(fingerprint)
        with suppress(x509.ExtensionNotFound):
            key_id = found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            self._key_ids.setdefault(key_id, fingerprint)
        return found

    def see_key(self, fingerprint: str) -> None:
        """Note the SHA-256 of a public key."""
        self._fingerprints.add(fingerprint)

    # -- what stands for it ----------------------------------------------------------------------------------------------------

    def of(self, der: bytes) -> bytes | None:
        """The certificate that stands for one; None for what cannot be parsed or issued anew."""
        if der not in self._issued:
            found = self._seen.get(der)
            self._issued[der] = None
            if found is not None:
                with suppress(ValueError, TypeError):
                    self._issued[der] = self._issue(found)
        return self._issued[der]

    def digest(self, text: str) -> str | None:
        """What stands for the SHA-256 of a public key or of a certificate, in hexadecimal; None for any other."""
        if text in self._fingerprints:
            return self.key(text)
        der = self._digests.get(text)
        return None if der is None else sha256(self.of(der) or b"").hexdigest()

    def key(self, fingerprint: str) -> str:
        """What stands for the SHA-256 of a public key."""
        return sha256(self.public_key(fingerprint)).hexdigest()

    def public_key(self, fingerprint: str) -> bytes:
        """The public key (SubjectPublicKeyInfo, DER) that stands for one, given its SHA-256."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._private(fingerprint).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _private(self, fingerprint: str) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._hash(f"key {fingerprint}", 32))

    def _hash(self, text: str, size: int) -> bytes:
        return blake2b(text.encode(), key=self._key, digest_size=size).digest()

    # -- issuing ---------------------------------------------------------------------------------------------------------------

    def _issue(self, old: x509.Certificate) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        own = self._private(_key_of(old))
        serial = int.from_bytes(self._hash(f"serial {old.issuer.rfc4514_string()} {old.serial_number}", 16), "big") >> 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._name(old.subject))
            .issuer_name(self._name(old.issuer))
            .public_key(own.public_key())
            .serial_number(serial or 1)
            .not_valid_before(old.not_valid_before_utc)
            .not_valid_after(old.not_valid_after_utc)
        )
        for extension in old.extensions:
            mapped = self._extension(extension)
            if mapped is not None:
                builder = builder.add_extension(mapped, extension.critical)
        return builder.sign(self._signer(old), None).public_bytes(Encoding.DER)

    def _signer(self, old: x509.Certificate) -> Ed25519PrivateKey:
        """The key of the authority that signed it; a stranger's where none that was seen did."""
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

        # What Go refuses to take for signed (MD5, SHA-1) must not come out well signed.
        with suppress(UnsupportedAlgorithm):
            weak = old.signature_hash_algorithm is not None and old.signature_hash_algorithm.name in ("md5", "sha1")
            for authority in () if weak else self._by_subject.get(old.issuer.public_bytes(), ()):
                with suppress(InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
                    old.verify_directly_issued_by(authority)
                    return self._private(_key_of(authority))
        return self._private(f"nobody {old.issuer.rfc4514_string()}")

    def _name(self, name: x509.Name) -> x509.Name:
        from cryptography import x509

        return x509.Name([x509.RelativeDistinguishedName(map(self._attribute, rdn)) for rdn in name.rdns])

    def _attribute(self, old: x509.NameAttribute) -> x509.NameAttribute:  # type: ignore[type-arg]
        from cryptography import x509

        if not isinstance(old.value, str):
            return x509.NameAttribute(old.oid, self._hash(f"bits {old.value!r}", len(old.value) or 1), old._type)  # noqa: SLF001 -- the kind of string is part of what names are compared by
        if old.oid.dotted_string == _COUNTRY:
            return x509.NameAttribute(old.oid, "ZZ")
        return x509.NameAttribute(old.oid, self._text(old.value), old._type)  # noqa: SLF001 -- as above

    def _extension(self, extension: x509.Extension[x509.ExtensionType]) -> x509.ExtensionType | None:
        """The same with stand-ins; None for what only tells more."""
        from cryptography import x509

        match extension.value:
            case x509.SubjectAlternativeName() as names:
                return x509.SubjectAlternativeName(list(self._general(names)))
            case x509.IssuerAlternativeName() as names:
                return x509.IssuerAlternativeName(list(self._general(names)))
            case x509.SubjectKeyIdentifier() as key:
                return x509.SubjectKeyIdentifier(self._key_id(key.digest))
            case x509.AuthorityKeyIdentifier() as key:
                issuer = list(self._general(key.authority_cert_issuer)) if key.authority_cert_issuer else None
                serial = key.authority_cert_serial_number
                return x509.AuthorityKeyIdentifier(
                    self._key_id(key.key_identifier) if key.key_identifier else None,
                    issuer,
                    None if serial is None else int.from_bytes(self._hash(f"serial {serial}", 15), "big"),
                )
            case x509.NameConstraints() as limits:
                permitted, excluded = limits.permitted_subtrees, limits.excluded_subtrees
                return x509.NameConstraints(
                    list(self._general(permitted)) if permitted else None,
                    list(self._general(excluded)) if excluded else None,
                )
            case x509.BasicConstraints() | x509.KeyUsage() | x509.ExtendedKeyUsage() as kept:
                return kept
            case _ if extension.critical:  # that there is one which nobody knows is what counts
                return x509.UnrecognizedExtension(extension.oid, b"\x05\x00")
            case _:
                return None

    def _key_id(self, digest: bytes) -> bytes:
        """As RFC 5280 has it of the key that stands for the one it was made of; else no key's."""
        known = self._key_ids.get(digest)
        return sha1(self.public_key(known)[-32:]).digest() if known else self._hash(f"id {digest.hex()}", 20)  # noqa: S324 -- what RFC 5280 asks for

    def _general(
        self,
        names: Iterator[x509.GeneralName]
        | list[x509.GeneralName]
        | x509.SubjectAlternativeName
        | x509.IssuerAlternativeName,
    ) -> Iterator[x509.GeneralName]:
        from cryptography import x509

        for name in names:
            match name:
                case x509.DNSName():
                    yield x509.DNSName(self._text(name.value))
                case x509.IPAddress():
                    yield x509.IPAddress(self._address(name.value))
                case x509.RFC822Name():
                    yield x509.RFC822Name(self._text(name.value))
                case x509.UniformResourceIdentifier():
                    yield x509.UniformResourceIdentifier(self._text(name.value))
                case x509.DirectoryName():
                    yield x509.DirectoryName(self._name(name.value))
                case _:  # an object identifier, or a kind of name of somebody's own
                    continue

    def _address(self, value: Address | Network) -> Address | Network:
        from ipaddress import IPv4Address, IPv6Address, ip_network

        if isinstance(value, IPv4Address | IPv6Address):
            return self._addresses.of(value)
        mapped = self._addresses.network_of(value.network_address, value.prefixlen)
        return ip_network(f"{mapped}/{value.prefixlen}", strict=False)


def _key_of(certificate: x509.Certificate) -> str:
    """SHA-256 of its public key, or of the certificate where the key is of a kind that is not known."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding

    from k8sdoctor.host.keys import fingerprint

    try:
        return fingerprint(certificate.public_key())
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
