"""What is looked for in a text, and how each is mapped in one pass."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import TYPE_CHECKING

from k8sdoctor.anonymize.addresses import Addresses
from k8sdoctor.anonymize.certificates import Certificates
from k8sdoctor.anonymize.names import ADDRESS_IN_LABEL, Names
from k8sdoctor.host.secret_patterns import BASE64_PEM, FOLD
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from k8sdoctor.anonymize.addresses import Address

_QUAD = regex(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_REVERSE = regex(
    r"(?i)(?<![\w-])(?P<v4>(?:\d{1,3}\.){1,4})in-addr\.arpa|(?<![\w.-])(?P<v6>(?:[0-9a-f]\.){1,32})ip6\.arpa"
)
_SCAN = r"""
    (?P<escape> \\+ (?: u[0-9a-fA-F]{4} | x[0-9a-fA-F]{2} | [nrtbf"'/] ) | %[0-9A-Fa-f]{2} )
  | (?P<mac> (?<![\w:.-]) [0-9A-Fa-f]{2} (?P<by>[:-]) [0-9A-Fa-f]{2} (?: (?P=by) [0-9A-Fa-f]{2} ){4} (?![\w:-]) )
  | (?P<hex> (?<!\w) [0-9A-F]{8} (?= : [0-9A-F]{4} (?!\w) ) )
  | (?P<six> (?<![\w.:-]) [0-9A-Fa-f]{0,4} : [0-9A-Fa-f:]* : [0-9A-Fa-f:.]* (?: / \d{1,3} (?!\d) )? )
  | (?P<four> (?<![\w.-]) \d{1,3} (?: \. \d{1,3} ){3} (?: / \d{1,2} (?!\d) )? (?! [\w-] | \.\w ) )
  | (?P<mailbox> \w [\w.+-]{0,63}+ (?= @ (?P<at> [\w-]++ (?: \. [\w-]++ )+ ) ) )
  | (?P<word> \w (?: [\w.-]* [\w-] )? )
"""
_PEM = regex(
    r"(?P<begin>-----BEGIN (?P<kind>[A-Z0-9 ]+)-----)(?P<body>[A-Za-z0-9+/=\s\\]*+)(?P<end>-----END (?P=kind)-----)?"
)
_SERVICES = regex(
    r"(?i)(?:service-?_?(?:cluster-?ip-?range|subnets?|cidrs?|network)|\bcidrs)[^0-9a-f\n]{1,12}(?P<found>[0-9a-f.:]+/\d+(?:[\s\"',\\-]+[0-9a-f.:]+/\d+)*)"
)
_STAY = frozenset({"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "ee:ee:ee:ee:ee:ee"})
"""No address, every address, and what Calico gives each of its ends of a pod's link (its FAQ)."""

_ID = regex(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST = 64
"""Letters that an IPv6 address and what follows it can have."""

_SHORT = 256
"""Letters of a text that comes again and again, such as a key."""

_DIGITS = 4
"""Different digits in an ID; one of fewer is of a maker that made none."""


class Texts:
    """The stand-ins of what texts hold. First all are seen, then they are mapped."""

    def __init__(self, key: bytes) -> None:
        """Nothing was seen."""
        self._key = key
        self.names = Names()
        self.addresses = Addresses(key)
        self.certificates = Certificates(key, self.addresses, self.of)
        self._scan = re.compile(_SCAN, re.VERBOSE)
        self._phrases: dict[str, str] = {}
        self._ids: set[str] = set()
        self._seen: set[str] = set()
        self._done: dict[str, str] = {}

    # -- what is there -------------------------------------------------------------------------------------------------------

    def see(self, text: str) -> bool:
        """Note every address and certificate in a text. False for a text that was seen before."""
        if text in self._seen:
            return False
        self._seen.add(text)
        for match in BASE64_PEM.finditer(text):
            inner = _decoded(match[0])
            if inner is not None:
                self.see(inner)
        for match in _PEM.finditer(text):
            der = _der(match["body"])
            if der is not None:
                self._see_pem(match["kind"], der)
        for match in _SERVICES.finditer(text):
            for each in re.findall(r"[0-9a-fA-F.:]+/\d+", match["found"]):
                self._see_network(each, services=True)
        for match in self._scan.finditer(text):
            self._see_one(str(match.lastgroup), match[0])
        return True

    def _see_one(self, kind: str, found: str) -> None:
        if kind == "four":
            self._see_network(found)
        elif kind == "hex":
            self.addresses.see(IPv4Address(int(found, 16)))
        elif kind == "six":
            self._see_six(found)
        elif kind in ("word", "mailbox"):
            self._see_word(found)

    def _see_six(self, text: str) -> None:
        address, _, _ = _six(text)
        if address:
            self._see_network(address)
        else:
            for match in _QUAD.finditer(text):
                self._see_network(match[0])

    def _see_word(self, word: str) -> None:
        for match in _QUAD.finditer(word):
            address = _four(match[0])
            if address is not None and not address.is_global:  # else it may be a version
                self.addresses.see(address)
        for match in ADDRESS_IN_LABEL.finditer(word):
            address = _four(match[0].replace("-", "."))
            if address is not None and not address.is_global:
                self.addresses.see(address)

    def _see_network(self, text: str, *, services: bool = False) -> None:
        try:
            found = ip_interface(_plain(text))
        except ValueError:
            return
        self.addresses.see(found.ip)
        if "/" in text:
            self.addresses.see_network(found.network, services=services)

    def _see_pem(self, kind: str, der: bytes) -> None:
        if kind == "CERTIFICATE":
            found = self.certificates.see(der)
            if found is not None:
                from k8sdoctor.anonymize.places import see_certificate

                see_certificate(found, self)
        elif kind.endswith("PUBLIC KEY"):
            fingerprint = _fingerprint(der, kind)
            if fingerprint:
                self.certificates.see_key(fingerprint)

    def see_id(self, text: str) -> None:
        """Note a machine's ID, with dashes or without."""
        plain = text.strip().lower()
        if _ID.fullmatch(plain) and len(set(plain) - {"-"}) >= _DIGITS:
            self._ids.add(plain)

    # -- what stands for it ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Give everything that was seen its stand-in."""
        self.names.settle()
        self._phrases = self.names.phrases()
        if self._phrases:
            words = "|".join(re.escape(each) for each in sorted(self._phrases, key=len, reverse=True))
            self._scan = re.compile(rf"(?P<phrase>(?<!\w)(?:{words.replace(' ', '[ ]')})(?!\w))|{_SCAN}", re.VERBOSE)

    def of(self, text: str) -> str:
        """A text with stand-ins."""
        known = self._done.get(text)
        if known is None:
            known = self._mapped(text)
            if len(text) < _SHORT:
                self._done[text] = known
        return known

    def _mapped(self, text: str) -> str:
        done: list[str] = []
        position = 0
        for start, end, replaced in self._blocks(text):
            done += [self._plain(text[position:start]), replaced]
            position = end
        return "".join([*done, self._plain(text[position:])])

    def _blocks(self, text: str) -> list[tuple[int, int, str]]:
        """Where certificates and keys stand in a text, and what stands for them."""
        found = [(*match.span(), self._folded(match[0])) for match in BASE64_PEM.finditer(text)]
        found += [(*match.span(), self._pem(match)) for match in _PEM.finditer(text)]
        return sorted(each for each in found if each[2] is not None)

    def _folded(self, text: str) -> str:
        inner = _decoded(text)
        if inner is None:
            return _blank(text)
        mapped = base64.b64encode(self.of(inner).encode()).decode()
        fold = re.search(rf"{FOLD}+", text)
        if fold is None:
            return mapped
        width = fold.start()
        last = re.search(rf"{FOLD}*\Z", text)
        return fold[0].join(mapped[at : at + width] for at in range(0, len(mapped), width)) + (last[0] if last else "")

    def _pem(self, match: re.Match[str]) -> str:
        der, kind = _der(match["body"]), match["kind"]
        if "PRIVATE" in kind:  # hidden long before
            return match[0]
        new: bytes | None = None
        if der is not None and kind == "CERTIFICATE":
            new = self.certificates.of(der)
        elif der is not None and kind.endswith("PUBLIC KEY"):
            fingerprint = _fingerprint(der, kind)
            new = self.certificates.public_key(fingerprint) if fingerprint else None
        if new is None or not match["end"]:
            return f"{match['begin']}{_blank(match['body'])}{match['end']}"
        kind = kind if kind == "CERTIFICATE" else "PUBLIC KEY"
        body = base64.b64encode(new).decode()
        fold = re.match(r"(?:\\[rn]|[\s\\])+", match["body"])
        between = fold[0] if fold else "\n"
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return between.join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])

    def _plain(self, text: str) -> str:
        text = _REVERSE.sub(self._reverse, text)
        return self._scan.sub(self._one, text)

    def _one(self, match: re.Match[str]) -> str:
        found = match[0]
        match match.lastgroup:
            case "phrase":
                return self._phrases[found]
            case "mac":
                return self.mac(found)
            case "hex":
                return f"{int(self.addresses.of(IPv4Address(int(found, 16)))):08X}"
            case "six":
                return self._six(found)
            case "four":
                return self._four(found)
            case "mailbox":
                return self.names.mailbox(found, match["at"]) or self._word(found)
            case "word":
                return self._word(found)
            case _:
                return found

    def mac(self, text: str) -> str:
        """What stands for a MAC address. Whether it is a group's, and whether somebody chose it, stays."""
        plain = text.replace("-", ":").lower()
        if plain in _STAY or plain.startswith(("00:00:5e:00:01:", "33:33:", "01:00:5e:")):
            return text
        made = bytearray(blake2b(f"mac {plain}".encode(), key=self._key, digest_size=6).digest())
        made[0] = made[0] & 0xFC | int(plain[:2], 16) & 3
        new = text[2].join(f"{byte:02x}" for byte in made)
        return new.upper() if text != text.lower() else new

    def _six(self, text: str) -> str:
        found, rest, address = _six(text)
        if address is None:
            return re.sub(r"[\w.-]*\w", lambda each: self._word(each[0]), text)
        written, slash, length = found.partition("/")
        new = self.addresses.network_of(address, int(length)) if slash else self.addresses.of(address)
        return f"{_written(new, written)}{slash}{length}{rest}"

    def _four(self, text: str) -> str:
        written, slash, length = text.partition("/")
        address = _four(written)
        if address is None:
            return text
        new = self.addresses.network_of(address, int(length)) if slash else self.addresses.of(address)
        return f"{_padded(new, written)}{slash}{length}"

    def _reverse(self, match: re.Match[str]) -> str:
        if match["v4"]:
            parts = match["v4"].rstrip(".").split(".")[::-1]
            address = _four(".".join([*parts, *"0000"][:4]))
            if address is None:
                return match[0]
            new = str(self.addresses.network_of(address, 8 * len(parts))).split(".")[: len(parts)]
            return ".".join(reversed(new)) + match[0][len(match["v4"]) - 1 :]
        digits = match["v6"].replace(".", "")[::-1]
        six = IPv6Address(int(digits.ljust(32, "0"), 16))
        mapped = f"{int(self.addresses.network_of(six, 4 * len(digits))):032x}"[: len(digits)]
        return ".".join(reversed(mapped)) + match[0][len(match["v6"]) - 1 :]

    def _word(self, word: str) -> str:
        lower = word.lower()
        if len(word) == 64 and (digest := self.certificates.digest(lower)):  # noqa: PLR2004 -- SHA-256
            return digest
        if lower in self._ids or (len(word) in (32, 36) and lower in self._all_ids()):
            return self._id(word)
        word = _QUAD.sub(lambda match: self._quad(match[0], "."), word)
        word = ADDRESS_IN_LABEL.sub(lambda match: self._quad(match[0], "-"), word)
        return self.names.dotted(word)

    def _quad(self, text: str, by: str) -> str:
        """An address within a word; where that may be a version, only if it was seen elsewhere, too."""
        address = _four(text.replace(by, "."))
        if address is None or (address.is_global and not self.addresses.saw(address)):
            return text
        return str(self.addresses.of(address)).replace(".", by)

    def _all_ids(self) -> frozenset[str]:
        return _dashless(frozenset(self._ids))

    def _id(self, word: str) -> str:
        plain = word.lower().replace("-", "")
        digits = iter(blake2b(f"id {plain}".encode(), key=self._key, digest_size=16).hexdigest())
        new = "".join("-" if letter == "-" else next(digits) for letter in word)
        return new.upper() if word != word.lower() else new


@lru_cache(maxsize=4)
def _dashless(ids: frozenset[str]) -> frozenset[str]:
    """The same ID is written with dashes in one place and without in the other."""
    plain = {each.replace("-", "") for each in ids}
    return ids | plain | {f"{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}" for i in plain}


def _four(text: str) -> IPv4Address | None:
    """An IPv4 address, also where somebody wrote zeros in front of its numbers."""
    parts = [int(part) for part in text.split(".")]
    return IPv4Address(bytes(parts)) if max(parts) < 256 else None  # noqa: PLR2004 -- a byte


def _plain(text: str) -> str:
    if ":" in text:
        return text
    address, slash, length = text.partition("/")
    return ".".join(str(int(part)) for part in address.split(".")) + slash + length


def _padded(address: Address, written: str) -> str:
    """An address with the zeros that the other one had."""
    return ".".join(
        new.zfill(len(old)) if old != str(int(old)) else new
        for new, old in zip(str(address).split("."), written.split("."), strict=True)
    )


def _six(text: str) -> tuple[str, str, IPv6Address | None]:
    """The IPv6 address at the start of a text (with `/length`), what follows it, and the address; a colon or dot behind it is not its own."""
    end = len(text) if len(text) < _LONGEST else 0
    while end > 1:
        address, slash, length = text[:end].partition("/")
        if not slash or (length.isdigit() and int(length) <= 128):  # noqa: PLR2004 -- bits
            try:
                return text[:end], text[end:], IPv6Address(address)
            except ValueError:
                pass
        if text[end - 1] not in ":." and not slash:
            break
        end = text.index("/") if slash else end - 1
    return "", text, None


def _written(address: Address, old: str) -> str:
    """An IPv6 address as the other one was written: in full, or short; with capitals; with its last part in decimal."""
    if isinstance(address, IPv6Address) and "." in old:
        four = IPv4Address(int(address) & 0xFFFFFFFF)
        return f"{old.rpartition(':')[0]}:{four}"
    new = address.exploded if len(old) == 39 else str(address)  # noqa: PLR2004 -- eight times four digits and seven colons
    return new.upper() if old != old.lower() else new


def _der(body: str) -> bytes | None:
    try:
        return base64.b64decode(re.sub(r"\\[rn]|[\s\\]", "", body), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(re.sub(FOLD, "", text), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None


def _blank(text: str) -> str:
    """Base64 of the same shape that says nothing."""
    return re.sub(r"\\[rn]|[A-Za-z0-9+/]", lambda match: match[0] if match[0].startswith("\\") else "A", text)


def _fingerprint(der: bytes, kind: str) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from k8sdoctor.host.keys import fingerprint

    pem = f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"
    try:
        return fingerprint(load_pem_public_key(pem.encode()))
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return None
