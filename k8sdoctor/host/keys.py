"""What may be told of a private key or a token without telling it: the public half, and the end of its time.

A key stays in here. What leaves is the SHA-256 of its public key (SubjectPublicKeyInfo in DER, what kubeadm calls the
`--discovery-token-ca-cert-hash`), which everybody who meets the certificate can compute as well.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host.answers import KeyAnswer
from k8sdoctor.host.base import HostError, Json
from k8sdoctor.host.tags import MISFITS
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from k8sdoctor.host.live import LiveHost

# The first block that Go's tls.X509KeyPair takes for a key: of type `PRIVATE KEY`, or one that ends so.
_BLOCK = regex(r"-----BEGIN (?P<kind>(?:[A-Z0-9 ]+ )?PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL)


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `public_key` and `token_end`."""
    return told(verb, cast("str", arguments["path"]), cast("str | None", arguments["user"]), host.files.read)


def told(verb: str, path: str, user: str | None, read: Callable[[str], str]) -> Json:
    """The same of any files."""
    if verb == "token_end":
        return _token_end(read(path) if user is None else _of_user(read(path), path, user, "token"))
    if user is None:
        return cast("Json", _public_key(read(path)))
    data = _of_user(read(path), path, user, "client-key-data")
    try:
        text = base64.b64decode("".join(data.split()), validate=True).decode("ascii", "replace")
    except (binascii.Error, ValueError):
        return cast("Json", KeyAnswer(public_key=None, problem="it is not base64"))
    return cast("Json", _public_key(text))


def fingerprint(key: PublicKeyTypes) -> str:
    """SHA-256 of a public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _public_key(text: str) -> KeyAnswer:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    block = _BLOCK.search(text)
    if block is None:
        return KeyAnswer(public_key=None, problem="it holds no PEM block of a private key")
    if block["kind"].startswith("ENCRYPTED") or "Proc-Type: 4,ENCRYPTED" in block[0]:
        return KeyAnswer(
            public_key=None, problem="its private key is encrypted, which no component of Kubernetes reads"
        )
    try:
        # What the doctor asks is whose key it is, and a test of RSA's numbers costs more than all else here.
        key = load_pem_private_key(block[0].encode() + b"\n", None, unsafe_skip_rsa_key_validation=True)
        return KeyAnswer(public_key=fingerprint(key.public_key()), problem=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their words may quote what they could not parse
        return KeyAnswer(public_key=None, problem="its private key cannot be parsed")


def _of_user(text: str, path: str, user: str, field: str) -> str:
    """A field of a kubeconfig's user. Raises NotFound, Unreadable."""
    import yaml

    try:
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 -- a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, *MISFITS):
        raise HostError("Unreadable", f"{path} is not YAML") from None
    users: Any = document.get("users") if isinstance(document, dict) else None
    for entry in users if isinstance(users, list) else []:
        if isinstance(entry, dict) and entry.get("name") == user and isinstance(entry.get("user"), dict):
            value = entry["user"].get(field)
            if isinstance(value, str) and value:
                return value
            break
    raise HostError("NotFound", f"{path} has no {field} of the user {user!r}")


def _token_end(token: str) -> float | None:
    """The `exp` of a JSON Web Token (RFC 7519); it is read and not verified, as only the API server could."""
    parts = token.strip().split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = claims["exp"]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None
