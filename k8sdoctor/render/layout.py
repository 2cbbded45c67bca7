"""Fitting text into columns, and making text of the host harmless to a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ELLIPSIS = "..."


def harmless(text: str) -> str:
    r"""The text with everything that a terminal would obey, or not show, written as an escape.

    >>> harmless("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text.expandtabs(4))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def lines(text: str) -> list[str]:
    """The lines of a text of the host, each harmless."""
    return [harmless(line) for line in text.replace("\r\n", "\n").rstrip("\n").split("\n")]


def columns(text: str) -> int:
    """How many columns a printable text takes: a CJK character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The text, shortened to a width by an ellipsis where it does not fit."""
    if columns(text) <= width:
        return text
    return _head(text, width - len(ELLIPSIS)).rstrip() + ELLIPSIS


def _head(text: str, width: int) -> str:
    """As much of the text's start as fits."""
    if text.isascii():
        return text[: max(width, 0)]
    taken = 0
    for position, character in enumerate(text):
        taken += columns(character)
        if taken > width:
            return text[:position]
    return text


def wrap(text: str, width: int) -> list[str]:
    """A sentence in lines of at most `width` columns, broken at spaces; a longer word (an address, a path) is broken inside."""
    return list(_wrapped(text, max(width, 8)))


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if columns(candidate) <= width:
            line = candidate
            continue
        if line:
            yield line
        line = word
        while columns(line) > width:
            head = _head(line, width)
            yield head
            line = line[len(head) :]
    if line:
        yield line


def block(label: str, text: str, width: int, indent: str = "") -> list[str]:
    """A labelled sentence: the label once, the text beside it in as many lines as it takes."""
    start = f"{indent}{label}"
    first, *more = wrap(harmless(text), width - len(start)) or [""]
    return [f"{start}{first}", *(f"{' ' * len(start)}{line}" for line in more)]
