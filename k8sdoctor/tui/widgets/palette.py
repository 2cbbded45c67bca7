"""What the lists share: how a status looks. Always a word, with a symbol and a colour beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from k8sdoctor.finding import Status
from k8sdoctor.render.style import Style
from k8sdoctor.tui.history import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

Symbols = Literal["unicode", "ascii"]

WIDTH = len(Status.UNKNOWN)
"""Columns of the longest status word."""

COLOURS: Mapping[Status, str] = {
    Status.PASS: "$text-success",
    Status.SKIP: "$foreground-muted",
    Status.WARN: "$text-warning",
    Status.UNKNOWN: "$text-secondary",
    Status.FAIL: "bold $text-error",
}
"""Of the theme, readable on its background whether that is dark or light."""

CLASSES = {f"status--{status}" for status in Status} | {f"change--{change}" for change in Change} | {"dim"}

_SPINNERS: Mapping[Symbols, str] = {"unicode": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "ascii": "|/-\\"}
_TURNS = 8  # a second


def spinner(seconds: float, symbols: Symbols) -> str:
    """The spinner's picture at a time."""
    pictures = _SPINNERS[symbols]
    return pictures[int(seconds * _TURNS) % len(pictures)]


def symbol(status: Status, symbols: Symbols) -> str:
    """The status' symbol and a space."""
    return Style(symbols=symbols).symbol(status)
