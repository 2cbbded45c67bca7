"""For terminals that show ASCII alone: what is painted with anything else is said with ASCII of the same width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.filter import LineFilter

if TYPE_CHECKING:
    from textual.color import Color

_NEAR = {
    "…": ".",
    "→": ">",
    "·": "-",
    "“": '"',
    "”": '"',
    "│": "|",
    "─": "-",
    "▔": "-",
    "▁": "_",
    "⏎": "<",
    "↑": "^",
    "↓": "v",
}


class AsciiFilter(LineFilter):
    """Replaces, character by character; the screen's columns stay where they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 -- Textual's signature
        """The segments in ASCII."""
        return [
            segment if segment.control or segment.text.isascii() else Segment(ascii_of(segment.text), segment.style)
            for segment in segments
        ]


def ascii_of(text: str) -> str:
    """The text in ASCII, as wide as before.

    >>> ascii_of("1 fail · Größe 日本")
    '1 fail - Gr??e ????'
    """
    return "".join(
        each
        if each.isascii()
        else _NEAR.get(each, "?" if each.isprintable() and each.isalnum() else " ") * cell_len(each)
        for each in text
    )
