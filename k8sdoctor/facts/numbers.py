"""Whole numbers as files and programs write them.

Python takes other scripts' digits for numbers, and refuses those of more than 4,300 digits by an error; what is written on a node is neither.
"""

from __future__ import annotations

MOST = 2**64 - 1
MOST_PORT = 65535


def whole(text: str, most: int = MOST) -> int | None:
    """The number that a text is, from 0 to `most`; None for any other text.

    >>> whole("0042"), whole("-1"), whole("4 2"), whole("9" * 5000), whole("70000", MOST_PORT)
    (42, None, None, None, None)
    """
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(most)):
        return None
    number = int(digits)
    return number if number <= most else None


def port(text: str) -> int | None:
    """The port that a text names, from 1 to 65535; None for any other text.

    >>> port("6443"), port("0"), port("65536")
    (6443, None, None)
    """
    return whole(text, MOST_PORT) or None
