"""TLS as a container runtime speaks it, that is, as Go does: whom to trust, and what a certificate must say.

Go's rules differ from OpenSSL's defaults in three ways that matter here: any certificate in the pool is an anchor, also one that
is no root; a common name is never a host name (since Go 1.15); and the trust store is found by a list of paths (crypto/x509
`root_linux.go`), not by the path that a library was built with.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from k8sdoctor.host.base import HostError
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.host.files import Files

# crypto/x509/root_linux.go: the first of these files that can be read, and every file of the folders beside it.
FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Flatcar
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 6
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7 and later
    "/etc/ssl/cert.pem",  # Alpine
)
FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")

_CERTIFICATE = regex(r"-----BEGIN CERTIFICATE-----\s[^-]*-----END CERTIFICATE-----")

# X509_V_ERR_* of openssl/x509_vfy.h
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAME = frozenset({62, 64})  # host name, IP address


class CaUnreadableError(OSError):
    """A CA file that was asked for cannot be read, or holds no certificate."""


class ClientCertificateUnreadableError(OSError):
    """A client certificate or its key cannot be read, or they do not belong together."""


# A trust store takes 40 ms of CPU to load, and one attempt at a registry is four exchanges.
_made: WeakKeyDictionary[Files, dict[object, ssl.SSLContext]] = WeakKeyDictionary()


def context(
    files: Files,
    *,
    ca_files: Sequence[str],
    client_certificate: tuple[str, str] | None,
    verify: bool,
    system: bool = True,
) -> ssl.SSLContext:
    """What `fresh_context` makes, made once as long as none of the files changes."""
    watched = (*FILES, *FOLDERS, *ca_files, *(client_certificate or ()))
    key = (tuple(ca_files), client_certificate, verify, system, tuple(_state(files, path) for path in watched))
    kept = _made.setdefault(files, {})
    if key not in kept:
        kept[key] = fresh_context(
            files, ca_files=ca_files, client_certificate=client_certificate, verify=verify, system=system
        )
    return kept[key]


def _state(files: Files, path: str) -> tuple[int, float] | None:
    try:
        found = files.stat(path)
    except (HostError, ValueError):
        return None
    return found["inode"], found["mtime"]


def fresh_context(
    files: Files,
    *,
    ca_files: Sequence[str],
    client_certificate: tuple[str, str] | None,
    verify: bool,
    system: bool = True,
) -> ssl.SSLContext:
    """A context that accepts what Go's crypto/tls on that machine accepts; without `system`, by the given files alone.

    Raises CaUnreadableError and ClientCertificateUnreadableError. As in containerd, a CA file that cannot be read is an error
    even where nothing is verified.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Distributions demand 2048-bit keys by default; Go does not. What a runtime would accept must not fail here.
    made.set_ciphers("DEFAULT:@SECLEVEL=1")
    made.hostname_checks_common_name = False
    made.verify_flags = (made.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    given = [(path, _given(files, path)) for path in ca_files]
    if verify:
        if system:
            _trust(made, dict.fromkeys(_system(files)))
        for _, certificates in given:
            _trust(made, certificates)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if client_certificate is not None:
        certificate, key = client_certificate
        try:
            # An empty password, so that an encrypted key is an error and not a question on the terminal.
            made.load_cert_chain(files.real(certificate), files.real(key or certificate), password="")
        except (OSError, HostError) as error:
            raise ClientCertificateUnreadableError(
                f"client certificate {certificate} with key {key}: {error}"
            ) from None
    return made


def _given(files: Files, path: str) -> list[str]:
    try:
        found = _CERTIFICATE.findall(files.read(path))
    except HostError as error:
        raise CaUnreadableError(error.message) from None
    except ValueError:
        raise CaUnreadableError(f"{path} is no absolute path") from None
    if not found:
        raise CaUnreadableError(f"{path} holds no PEM certificate")
    return found


def _system(files: Files) -> Iterator[str]:
    for path in FILES:
        try:
            text = files.read(path)
        except HostError:
            continue
        yield from _CERTIFICATE.findall(text)
        break
    for folder in FOLDERS:
        try:
            entries = files.listdir(folder)
        except HostError:
            continue
        seen: set[int] = set()
        for entry in entries:
            try:
                path = f"{folder}/{entry['name']}"
                inode = files.stat(path)["inode"]  # a certificate has a second name there, by its hash
                if inode in seen:
                    continue
                seen.add(inode)
                yield from _CERTIFICATE.findall(files.read(path))
            except HostError:
                continue


def _trust(made: ssl.SSLContext, certificates: dict[str, None] | list[str]) -> None:
    try:
        if certificates:
            made.load_verify_locations(cadata="\n".join(certificates))
    except ssl.SSLError:
        for certificate in certificates:  # as Go does: one that cannot be parsed does not spoil the others
            try:
                made.load_verify_locations(cadata=certificate)
            except ssl.SSLError:
                continue


def verdict(error: ssl.SSLCertVerificationError) -> str:
    """The kind of network failure that a refused certificate is."""
    if error.verify_code == _EXPIRED:
        return "tls-expired"
    if error.verify_code == _NOT_YET_VALID:
        return "tls-not-yet-valid"
    return "tls-name" if error.verify_code in _WRONG_NAME else "tls-untrusted"
