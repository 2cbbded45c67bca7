"""Keeping secrets inside the host.

Whatever a live host reads passes `Vault.hide` on its way out: a secret leaves as `REDACTED-1`, `REDACTED-2`, …, so no fact,
evidence, recording or traceback can hold one. A placeholder that comes back as an argument (a proxy's password, a bearer
token) is turned into the secret again by `Vault.reveal`, inside the host.
"""

from __future__ import annotations

import binascii
import functools
import re
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

from k8sdoctor.host import secret_patterns as patterns
from k8sdoctor.host.base import DEFAULT_TOKEN
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from typing import TypeAlias

    from k8sdoctor.host.base import Json

    _Rows: TypeAlias = tuple[tuple[str, re.Pattern[str] | None, re.Pattern[str]], ...]

_PUBLISHED_TOKEN = "abcdef.0123456789abcdef"  # noqa: S105 -- kubeadm's `config print init-defaults`
_PLACEHOLDER = regex(rf"REDACTED-\d+|{DEFAULT_TOKEN}")
_TELLING = 8
"""Letters from which on a secret is told from a word that a peer says anyway."""

_PLAIN = frozenset({"true", "false", "yes", "no", "null", "none", "~", "|", ">", "|-", ">-", "simple", "jwt"})
"""What is no secret behind any key; the last two are kinds of tokens that etcd's `--auth-token` names."""


@functools.lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Whether the value of a key, a variable or a header is a secret by its name.

    >>> [is_secret(key) for key in ("token", "DB_PASSWORD", "clientSecret", "tokenTTL", "secretName", "token-auth-file", "PWD")]
    [True, True, True, False, False, False, False]
    """
    return patterns.SECRET_KEY.fullmatch(key) is not None


def _unescaped(match: re.Match[str]) -> str:
    """A key without escapes, where its value is a secret; what is said is the same."""
    key = re.sub(patterns.ESCAPE, lambda escape: chr(int(escape["code"], 16)), match["key"])
    return f"{match['q']}{key}{match['q']}" if is_secret(key) else match[0]


class Vault:
    """The secrets of one run, by placeholder."""

    def __init__(self) -> None:
        """Start empty."""
        self._secrets: dict[str, str] = {}
        self._placeholders: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()

    def hide(self, text: str, *, prose: bool = False) -> str:
        """The text with every secret replaced by its placeholder; the same secret always gets the same one.

        In `prose`, such as a log, a value without quotes ends with its word; elsewhere it may have the rest of its line.
        """
        if patterns.NAME.fullmatch(text):
            return self._hide_tokens(text)
        if "\\" in text:
            text = patterns.ESCAPED_KEY.sub(_unescaped, text)
        text = self._hide_keys(text)
        text = self._hide_blocks(text)
        lower = text.lower()
        text = self._without(text, lower, patterns.PROGRAMS)
        for word, piece, pattern in patterns.HEADERS:
            if word in lower and (piece is None or piece.search(lower)):
                text = pattern.sub(lambda match: self._within(match, patterns.HEADER_VALUE), text)
        if any(hint in lower for hint in patterns.KEY_HINTS):
            text = self._without(text, lower, patterns.LONG)
            if patterns.KEYED.search(lower):
                text = "\n".join([self._hide_line(line, prose=prose) for line in text.split("\n")])
        if "@" in text:
            text = self._without(text, lower, patterns.URLS)
        return self._without(text, lower, patterns.SHAPES + patterns.TOKENS)

    def _hide_tokens(self, name: str) -> str:
        if len(name) < patterns.LEAST_TOKEN:
            return name
        return self._without(self._hide_keys(name), name.lower(), patterns.TOKENS)

    def _hide_keys(self, text: str) -> str:
        if "LS0tLS1CRUdJTi" in text:
            text = patterns.BASE64_PEM.sub(self._replace_key, text)
        if "PRIVATE KEY" in text:
            for pattern in patterns.PEM_KEYS:
                text = pattern.sub(self._replace, text)
        return patterns.PUTTY.sub(self._replace, text) if "Private-Lines:" in text else text

    def _hide_blocks(self, text: str) -> str:
        """What is a secret by what it stands in."""
        if "Secret" in text and patterns.SECRET_OBJECT.search(text):
            text = self._hide_objects(text)
        if "chpasswd" in text:
            for pattern in patterns.ACCOUNT_WORDS:
                text = pattern.sub(lambda match: self._within(match, patterns.ACCOUNT_WORD), text)
            for pattern in patterns.ACCOUNT_LINES:
                text = pattern.sub(lambda match: self._within(match, patterns.ACCOUNT_LINE), text)
        return text

    def _hide_line(self, line: str, *, prose: bool) -> str:
        lower = line.lower()
        if not patterns.KEYED.search(lower):
            return line
        return self._without(line if prose else self._without(line, lower, patterns.TO_THE_END), lower, patterns.SHORT)

    def _without(self, text: str, lower: str, rows: _Rows) -> str:
        """The text without what the patterns match; `lower` is the text in lower case, as it was before any of them."""
        for word, piece, pattern in rows:
            if word in lower and (piece is None or piece.search(lower)):
                text = pattern.sub(self._replace, text)
        return text

    def hide_in(self, value: Json) -> Json:
        """The value with every secret in its texts replaced, and each text whose key says that it is one.

        Of an object of the kind Secret, no value of `data` is left.
        """
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_in(item) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {key: self._of_key(key, item) for key, item in value.items()}
        name, text = kept.get("name"), kept.get("value")
        if isinstance(name, str) and isinstance(text, str) and is_secret(name):
            kept["value"] = self.hide_value(text)
        if value.get("kind") == "Secret" or str(value.get("type", "")).startswith(
            ("kubernetes.io/dockerconfig", "bootstrap.")
        ):
            for key in ("data", "stringData"):
                held = value.get(key)
                if isinstance(held, dict):
                    kept[key] = {name: self.hide_value(str(each)) for name, each in held.items()}
        return kept

    def _of_key(self, key: str, value: Json) -> Json:
        if isinstance(value, str) and is_secret(key):
            return self.hide_value(value)
        return self.hide_in(value)

    def _hide_objects(self, text: str) -> str:
        """Each document that is a Secret, or a list of them, without what `data` holds."""
        starts = [0, *(match.start() for match in patterns.DOCUMENTS.finditer(text)), len(text)]
        return "".join(self._hide_object(text[start:end]) for start, end in pairwise(starts))

    def _hide_object(self, text: str) -> str:
        if not patterns.SECRET_OBJECT.search(text):
            return text
        text = patterns.SECRET_LINES.sub(lambda match: self._within(match, patterns.SECRET_LINE), text)
        return patterns.SECRET_FLOW.sub(lambda match: self._within(match, patterns.FLOW_VALUE), text)

    def _within(self, match: re.Match[str], values: re.Pattern[str]) -> str:
        """The match with every value in its block, if it has one, replaced."""
        if match["block"] is None:
            return match[0]
        start, end = match.start("block") - match.start(), match.end("block") - match.start()
        return match[0][:start] + values.sub(self._replace, match["block"]) + match[0][end:]

    def hide_words(self, words: list[str]) -> list[str]:
        """The words of a command line with every secret replaced, also one that stands behind its flag."""
        if not words:
            return []
        whole = "\0".join(words)
        words = self._without(whole, whole.lower(), patterns.PROGRAMS).split("\0")
        hidden = [self.hide(word) for word in words]
        for position, word in enumerate(words[:-1]):
            if re.fullmatch(patterns.FLAG, word):
                hidden[position + 1] = self.hide_value(words[position + 1])
        return hidden

    def hide_value(self, secret: str) -> str:
        """The placeholder of a text that is known to be a secret."""
        if not secret or secret.lower().rstrip(").,") in _PLAIN or _PLACEHOLDER.fullmatch(secret):
            return secret
        if secret == _PUBLISHED_TOKEN:
            return DEFAULT_TOKEN
        with self._lock:
            if secret not in self._placeholders:
                placeholder = f"REDACTED-{len(self._placeholders) + 1}"
                self._placeholders[secret] = placeholder
                self._secrets[placeholder] = secret
            return self._placeholders[secret]

    def reveal(self, text: str) -> str:
        """The text with every placeholder turned into its secret again."""
        return _PLACEHOLDER.sub(lambda match: self._secrets.get(match[0], match[0]), text)

    def tell(self, *words: str) -> None:
        """Note what a peer is told of secrets: `hide_echo` hides it in what the peer says."""
        for word in words:
            if len(word) >= _TELLING:
                self._told[word] = self.hide_value(word)

    def hide_echo(self, text: str) -> str:
        """What a peer said: without secrets, and without what it was told of them, however it says so."""
        for word in sorted(self._told, key=len, reverse=True):
            text = text.replace(word, self._told[word])
        return self.hide(text)

    def _replace_key(self, match: re.Match[str]) -> str:
        """A private key in base64 is hidden; a certificate is no secret."""
        head = re.sub(patterns.FOLD, "", match[0])[:80]
        try:
            begin = binascii.a2b_base64(head[: len(head) // 4 * 4])
        except binascii.Error:
            return match[0]
        return self.hide_value(match[0]) if b"PRIVATE KEY-" in begin else match[0]

    def _replace(self, match: re.Match[str]) -> str:
        for name in ("secret", "more", "e", "t", "u", "d", "s"):
            if name in match.re.groupindex and match[name] is not None:
                start, end = match.span(name)
                whole = match[0]
                return whole[: start - match.start()] + self.hide_value(match[name]) + whole[end - match.start() :]
        return match[0]
