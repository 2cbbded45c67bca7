"""Regular expressions that are compiled when they are first used.

Compiling one takes 0.1 ms of CPU and more, and of two hundred a run uses some and `k8sdoctor list` none. To type checkers `regex` is `re.compile`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as regex

else:

    class regex:  # noqa: N801 -- it is called like the function that it stands for
        """A pattern that is compiled by its first use. Its methods are then kept, so that later uses cost nothing more."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            """Keep what is to be compiled."""
            self._words = text, flags

        def __getattr__(self, name: str) -> Any:
            """What the compiled pattern has by this name; `re` itself remembers what it compiled."""
            found = getattr(re.compile(*self._words), name)
            self.__dict__[name] = found
            return found


__all__ = ["regex"]
