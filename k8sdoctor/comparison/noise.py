"""What differs on every pair of nodes, and between any two looks at one node: names, addresses, ids, times, amounts."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

# Most telling form first: a UUID is hexadecimal, too. A bare number is never noise, for it may be a setting.
_VOLATILE = regex(
    r"""(?P<uuid>\b[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\b)
    |(?P<mac>\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b)
    |(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\ ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?)
    |(?P<hash>\b[0-9a-f]{12,}\b)
    |(?P<pid>\b(?:pid|PID|process)[ =:]\d+)
    |(?P<count>\b\d+(?:\.\d+)?(?:\ [KMGT]i?B)?\ of\ \d+(?:\.\d+)?|\b\d+\ times\b)
    |(?P<amount>\b\d+(?:\.\d+)?(?:\ ?(?:ns|us|µs|ms|s|sec|seconds?|minutes?|hours?|days?|[KMGT]i?B|bytes|%)|\ (?:min|h))(?![\w/]))""",
    re.VERBOSE,
)

_SHORTEST = 2  # letters of a node's name that can be told from a word of a sentence


@dataclass(frozen=True)
class Own:
    """What one node calls its own: text by the word that stands for it, such as `10.0.0.5` by `address`."""

    words: Mapping[str, str]
    are_stand_ins: bool = False
    """Whether its names stand for others, so that nobody else calls it by them."""

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        words = sorted((word for word in self.words if len(word) >= _SHORTEST), key=len, reverse=True)
        if not words:
            return None
        plain, colons = ([re.escape(word) for word in words if (":" in word) is has] for has in (False, True))
        kinds = (
            rf"(?<![\w.-])(?:{'|'.join(plain)})(?![\w-]|\.\w)" if plain else "",  # may stand before a port
            rf"(?<![\w:])(?:{'|'.join(colons)})(?![\w:])" if colons else "",
        )
        return re.compile("|".join(filter(None, kinds)), re.IGNORECASE)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {word.lower(): kind for word, kind in self.words.items()}

    def stable(self, text: str) -> str:
        """The text with the node's own words, and all that never stays the same, replaced by what they are.

        >>> Own({"node7": "node"}).stable("node7 answered after 12.5 ms at 2026-11-20T10:00:00Z")
        '<node> answered after <amount> at <time>'
        """
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: f"<{self._folded[match[0].lower()]}>", text)
        return _VOLATILE.sub(lambda match: f"<{match.lastgroup}>", text)
