"""Keeping secrets inside the host.

Whatever a live host reads passes `Vault.hide` on its way out: a secret leaves as `REDACTED-1`, `REDACTED-2`, …, so no fact,
evidence, recording or traceback can hold one. A placeholder that comes back as an argument (a proxy's password, a bearer
token) is turned into the secret again by `Vault.reveal`, inside the host.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading

# A value after one of these keys is secret, in YAML, TOML, JSON, ini and environment files. `token` alone counts, while
# `token-auth-file` or `tokenTTL` do not.
_KEYS = (
    r"password|passwd|passphrase|secret|token|bearer[-_]?token|auth|identity[-_]?token|registry[-_]?token|access[-_]?key|"
    r"secret[-_]?key|secret[-_]?access[-_]?key|api[-_]?key|client[-_]key[-_]data|certificate[-_]?key|encryption[-_]?key|"
    r"private[-_]?key|id[-_]token|refresh[-_]token|access[-_]token|client[-_]secret"
)
# A flag whose value is secret; `--token-auth-file` names a file, and `--discovery-token-ca-cert-hash` a public key.
_FLAG = r"--(?:[a-z0-9-]*-)?(?:token|password|passphrase|secret|api-?key)"
_PATTERNS = (
    # PEM private keys of every kind, also where newlines are written as \n.
    re.compile(r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----(?P<secret>.*?)(?:-----END (?P=kind)-----|\Z)", re.DOTALL),
    # In /proc/<pid>/environ a NUL ends a value.
    re.compile(
        rf"""(?im)(?<![\w-])(?:\w*[-_.])?(?:{_KEYS})\\*["']?[ \t]*[:=][ \t]*\[?[ \t]*(?:\\+["'](?P<e>[^"'\\\n]+)|"(?P<d>[^"\n]+)"|'(?P<s>[^'\n]+)'|(?P<p>[^\s\x00"'#\[{{,}}\]][^\s\x00"',}}\]]*))"""
    ),
    re.compile(r"(?i)\b(?:bearer|basic)[ \t]+(?P<secret>[A-Za-z0-9+/=._~-]{8,})"),
    re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/@:\"']*:(?P<secret>[^\s/@\"']+)@"),
    re.compile(rf"""{_FLAG}(?:=|[ \t]+)["']?(?P<secret>[^\s"',-][^\s"',]*)"""),
    re.compile(r"(?<![\w.])(?P<secret>[a-z0-9]{6}\.[a-z0-9]{16})(?![\w.])"),  # a bootstrap token
    re.compile(r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)"),  # a JSON Web Token
)
# "-----BEGIN" in base64, as in kubeconfigs, with what follows: a value may be folded over lines, which YAML writes in many ways.
FOLD = r"(?:\\[rn]|[\s\\])"
BASE64_PEM = re.compile(rf"LS0tLS1CRUdJTi[A-Za-z0-9+/]*+={{0,2}}(?:{FOLD}+[A-Za-z0-9+/]++={{0,2}}(?=[\s\"'\\]|\Z))*")
DEFAULT_TOKEN = "REDACTED-DEFAULT-TOKEN"  # noqa: S105 -- a placeholder
"""What stands for the one bootstrap token that is no secret in itself, so that a check may tell it from others."""

_PUBLISHED_TOKEN = "abcdef.0123456789abcdef"  # noqa: S105 -- kubeadm's `config print init-defaults`
_PLACEHOLDER = re.compile(rf"REDACTED-\d+|{DEFAULT_TOKEN}")
_PLAIN = frozenset({"true", "false", "null", "none", "~", "|", ">", "|-", ">-"})


class Vault:
    """The secrets of one run, by placeholder."""

    def __init__(self) -> None:
        """Start empty."""
        self._secrets: dict[str, str] = {}
        self._placeholders: dict[str, str] = {}
        self._lock = threading.Lock()

    def hide(self, text: str) -> str:
        """The text with every secret replaced by its placeholder; the same secret always gets the same one."""
        text = BASE64_PEM.sub(self._replace_key, text)
        for pattern in _PATTERNS:
            text = pattern.sub(self._replace, text)
        return text

    def hide_words(self, words: list[str]) -> list[str]:
        """The words of a command line with every secret replaced, also one that stands behind its flag."""
        hidden = [self.hide(word) for word in words]
        for position, word in enumerate(words[:-1]):
            if re.fullmatch(_FLAG, word):
                hidden[position + 1] = self.hide_value(words[position + 1])
        return hidden

    def hide_value(self, secret: str) -> str:
        """The placeholder of a text that is known to be a secret."""
        if not secret or secret.lower() in _PLAIN or _PLACEHOLDER.fullmatch(secret):
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

    def _replace_key(self, match: re.Match[str]) -> str:
        """A private key in base64 is hidden; a certificate is no secret."""
        head = re.sub(FOLD, "", match[0])[:80]
        try:
            begin = base64.b64decode(head[: len(head) // 4 * 4])
        except binascii.Error:
            return match[0]
        return self.hide_value(match[0]) if b"PRIVATE KEY-" in begin else match[0]

    def _replace(self, match: re.Match[str]) -> str:
        for name in ("secret", "e", "d", "s", "p"):
            if name in match.re.groupindex and match[name] is not None:
                start, end = match.span(name)
                whole = match[0]
                return whole[: start - match.start()] + self.hide_value(match[name]) + whole[end - match.start() :]
        return match[0]
