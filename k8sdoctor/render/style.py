"""What the reader's screen can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from k8sdoctor.finding import Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYMBOLS: Mapping[str, Mapping[Status, str]] = {
    "unicode": {
        Status.PASS: "✔",
        Status.SKIP: "\N{EN DASH}",
        Status.WARN: "▲",
        Status.UNKNOWN: "?",
        Status.FAIL: "✘",
    },
    "ascii": {
        Status.PASS: "+",
        Status.SKIP: "-",
        Status.WARN: "!",
        Status.UNKNOWN: "?",
        Status.FAIL: "x",
    },
}

_COLOURS: Mapping[Status, str] = {
    Status.PASS: "32",
    Status.SKIP: "2",
    Status.WARN: "33",
    Status.UNKNOWN: "35",
    Status.FAIL: "31;1",
}


@dataclass(frozen=True)
class Style:
    """Columns, whether there is colour, and which symbols stand beside the status words."""

    width: int = 80
    colour: bool = False
    symbols: Literal["unicode", "ascii", "none"] = "none"

    def symbol(self, status: Status) -> str:
        """The status' symbol and a space; nothing where there are no symbols."""
        return f"{_SYMBOLS[self.symbols][status]} " if self.symbols != "none" else ""

    def coloured(self, text: str, status: Status) -> str:
        """The text in the status' colour."""
        return self._sgr(text, _COLOURS[status])

    def bold(self, text: str) -> str:
        """The text in bold."""
        return self._sgr(text, "1")

    def dim(self, text: str) -> str:
        """The text, less bright."""
        return self._sgr(text, "2")

    def _sgr(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text
