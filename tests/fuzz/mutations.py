"""Answers of a node, spoiled: text cut, mixed and filled with junk; JSON and YAML with values of another type; certificates of other bytes.

All of it is drawn from a `random.Random`, so that a seed makes the same again.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Mutation: TypeAlias = "Callable[[Random, str], str]"

DEEP = 3000
"""Levels of nesting: more than any parser that calls itself can follow."""

WORDS = (
    *(
        "",
        " ",
        "\0",
        "\ufffd\ufffd",
        "\n\n",
        "\t",
        "\u202e",
        "\u2066",
        "\u00e9",
        "\u00b2",
        "\u0663",
        "\U0001f980",
        "\x1b[2J",
    ),
    *(
        "-1",
        "0",
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 400,
        "1e999",
        "nan",
        "0x",
        "0b2",
        "1_0",
        "65536",
        "08",
        "+5",
        "1.5",
    ),
    *(
        "::",
        "1.2.3",
        "1.2.3.4.5",
        "999.1.1.1",
        "10.0.0.0/99",
        "10.0.0.0/-1",
        "2001:db8::/200",
        "::ffff:1.2.3.4",
        "fe80::1%",
    ),
    *("010.1.1.1", "[::1", "[::1]:x", "1.2.3.4:99999", "http://[", "https://u:p@:0/", "unix://", "//", "/", "..", "~"),
    *(
        "[",
        "{",
        "]",
        "}",
        "- - -",
        "a: b: c",
        "null",
        "true",
        "[]",
        "{}",
        "%",
        "%zz",
        "'",
        '"',
        "\\",
        "key",
        "=",
        ",",
        ";",
    ),
    *(
        "&a *a",
        "*a",
        "&a [*a]",
        "!!python/object:os.system x",
        "!!binary x",
        "<<: 1",
        "? x",
        "--- ",
        "...",
        "@",
        "`",
        "|",
        ">",
    ),
    *(
        "2026-99-99",
        "2026-02-30T25:61:61Z",
        "0000-00-00",
        "99999-01-01T00:00:00Z",
        "!!timestamp 1",
        "12:30:45",
        "(",
        "*",
        "\\1",
    ),
)

DEEP_WORDS = ("[" * DEEP, "{" * DEEP, "- " * DEEP, "{a: " * DEEP, '{"a":' * DEEP, "(" * DEEP)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""YAML that is 387 million words when all of it is written out."""

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**63,
        10**400,
        -(10**400),
        0.5,
        1e308,
        "",
        "x",
        [],
        {},
        [[]],
        [None],
        [{}],
        {"": None},
    ),
    *({"a": {"a": []}}, ["x", 1, None, {}], [["x"]], {"x": "y"}, float("inf"), float("nan")),
)
"""Any of these may stand where a program expects another."""

_VALUE = re.compile(r"(?<=[:=,\[(])(\s?)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,\])\"']+)")
_NUMBER = re.compile(r"\d+")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?|[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*(?:/\d+)?")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n([A-Za-z0-9+/=\n]+?)-----END \1-----\n?")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{80,}={0,2}")


def _cut(r: Random, text: str) -> str:
    return text[: r.randrange(len(text) + 1)]


def _behead(r: Random, text: str) -> str:
    return text[r.randrange(len(text) + 1) :]


def _insert(r: Random, text: str) -> str:
    place = r.randrange(len(text) + 1)
    return text[:place] + r.choice(WORDS) + text[place:]


def _drop(r: Random, text: str) -> str:
    place = r.randrange(len(text) + 1)
    return text[:place] + text[place + r.randrange(1, 6) :]


def _replace(r: Random, _text: str) -> str:
    return r.choice((*WORDS, *DEEP_WORDS, BOMB))


def _swap_lines(r: Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    r.shuffle(lines)
    return "".join(lines)


def _spoil_line(r: Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    place = r.randrange(len(lines))
    lines[place : place + 1] = r.choice(
        ([], [lines[place]] * 3, [r.choice(WORDS) + "\n"], [lines[place].strip(), "\n"])
    )
    return "".join(lines)


def _indent(r: Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    place = r.randrange(len(lines))
    lines[place] = r.choice(("  ", "\t", "- ", "# ", "")) + lines[place].lstrip()
    return "".join(lines)


def _spoil_word(r: Random, text: str) -> str:
    words = re.split(r"(\s+)", text)
    place = r.randrange(0, len(words), 2)
    words[place] = r.choice(WORDS)
    return "".join(words)


def _one_of(pattern: re.Pattern[str], r: Random, text: str, put: Callable[[re.Match[str]], str]) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return _insert(r, text)
    match = r.choice(found)
    return text[: match.start()] + put(match) + text[match.end() :]


def _spoil_value(r: Random, text: str) -> str:
    """Put something of another type after a `:`, `=` or comma, as JSON writes it: YAML and TOML mostly do, too."""
    new = json.dumps(r.choice(VALUES)) if r.random() < 0.7 else r.choice(WORDS)
    return _one_of(_VALUE, r, text, lambda match: match[1] + new)


def _spoil_number(r: Random, text: str) -> str:
    new = r.choice(("0", "-1", "9" * 400, "9" * 5000, "65536", "4294967296", "1e999", "x", "\u00b2", ""))
    return _one_of(_NUMBER, r, text, lambda _match: new)


def _spoil_address(r: Random, text: str) -> str:
    new = r.choice([word for word in WORDS if "." in word or ":" in word])
    return _one_of(_ADDRESS, r, text, lambda _match: new)


def _spoil_der(r: Random, text: str) -> str:
    """Flip bytes inside a certificate (PEM, or base64 of PEM as in a kubeconfig); the armour stays right."""

    def flipped(match: re.Match[str]) -> str:
        data = bytearray(base64.b64decode(match[2]))
        for _ in range(r.choice((1, 1, 2, 8))):
            data[r.randrange(len(data))] = r.choice((0, 1, 0x30, 0x7F, 0x80, 0xFF, r.randrange(256)))
        if r.random() < 0.2:
            del data[r.randrange(len(data)) :]
        body = "\n".join(textwrap.wrap(base64.b64encode(bytes(data)).decode(), 64))
        return f"-----BEGIN {match[1]}-----\n{body}\n-----END {match[1]}-----\n"

    if _PEM.search(text):
        return _one_of(_PEM, r, text, flipped)

    def inside(match: re.Match[str]) -> str:
        try:
            inner = base64.b64decode(match[0], validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            return r.choice(WORDS)
        return base64.b64encode(_spoil_der(r, inner).encode()).decode() if _PEM.search(inner) else match[0][:-3]

    return _one_of(_BASE64, r, text, inside)


_OF_TEXT: tuple[Mutation, ...] = (
    *(_cut, _behead, _insert, _drop, _replace, _swap_lines, _spoil_line, _indent, _spoil_word),
    *(_spoil_value, _spoil_value, _spoil_number, _spoil_address),
)


def text(r: Random, old: str) -> str:
    """Spoiled text. What is JSON mostly stays JSON, and has values of other types; PEM mostly stays PEM."""
    if old[:1] in ("{", "[") and r.random() < 0.7:
        try:
            return json.dumps(value(r, json.loads(old)))
        except ValueError:
            pass
    if (_PEM.search(old) or _BASE64.search(old)) and r.random() < 0.5:
        return _spoil_der(r, old)
    for _ in range(r.choice((1, 1, 1, 2, 5))):
        old = r.choice(_OF_TEXT)(r, old)
    return old


def value(r: Random, old: Any) -> Any:
    """JSON of which one or more parts are spoiled, types and all."""
    old = json.loads(json.dumps(old))
    for _ in range(r.choice((1, 1, 2, 4))):
        old = _with_one_spoiled(r, old)
    return old


def words_of(r: Random, old: Any) -> Any:
    """A typed answer in which one or more texts are spoiled; its shape stays."""
    found = [path for path, leaf in leafs(old) if isinstance(leaf, str)]  # none in null
    for path in r.sample(found, min(len(found), r.choice((1, 1, 2, 4)))):
        old = _put(old, path, text(r, _at(old, path)))
    return old


def leafs(old: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """All that is no list and no object, with the way to it."""
    if not isinstance(old, dict | list):
        return [(path, old)]
    members = old.items() if isinstance(old, dict) else enumerate(old)
    return [leaf for key, member in members for leaf in leafs(member, (*path, key))]


def _with_one_spoiled(r: Random, old: Any) -> Any:
    paths = [path for path, _ in leafs(old)]
    path = r.choice(paths) if paths else ()
    path = path[: r.randrange(len(path) + 1)] if r.random() < 0.4 else path
    there = _at(old, path)
    if isinstance(there, str) and r.random() < 0.5:
        return _put(old, path, text(r, there))
    if isinstance(there, list) and there and r.random() < 0.5:
        return _put(old, path, r.choice((there[1:], there * 2, [*there, r.choice(VALUES)], there[::-1])))
    if isinstance(there, dict) and there and r.random() < 0.5:
        gone = r.choice(list(there))
        return _put(old, path, {key: member for key, member in there.items() if key != gone})
    return _put(old, path, r.choice(VALUES)) if path else old


def _at(old: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        old = old[key]
    return old


def _put(old: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    changed = list(old) if isinstance(old, list) else dict(old)
    changed[first] = _put(changed[first], tuple(rest), new)
    return changed
