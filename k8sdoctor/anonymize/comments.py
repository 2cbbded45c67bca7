"""What people wrote into files for each other."""

from __future__ import annotations

import re

from k8sdoctor.anonymize.words import ORDINARY, PROJECTS, PROSE
from k8sdoctor.patterns import regex

_WRITTEN_BY_PEOPLE = regex(r"/(?:etc|root|home|opt|srv|var/lib/(?:kubelet|rancher|k0s)|usr/local)/")
"""Under these, comments are people's; in what the kernel and distributions ship (`# CONFIG_X is not set`) they are not."""

# A line's own comment; or one behind something and a blank, unless a quote is open there.
_COMMENT = regex(r"(?m)^(?P<before>[ \t]*(?:\#+(?!!)|;+)[ \t]*|[^\n\#]*?[ \t]\#+[ \t]*)(?P<said>[^\n]*\S)")
_SAID = "(a comment)"


def are_of_people(path: str) -> bool:
    """Whether comments in a file are people's, by where it lies."""
    return _WRITTEN_BY_PEOPLE.match(path) is not None


def without_comments(text: str) -> str:
    r"""The text of a file, of whose comments those are left that say nothing but words of the field.

    >>> print(without_comments("10.0.0.7 db # ask Frodo\n# the default configuration\n"))
    10.0.0.7 db # (a comment)
    # the default configuration
    <BLANKLINE>
    """
    return _COMMENT.sub(_unsaid, text)


def _unsaid(match: re.Match[str]) -> str:
    before, said = match["before"], match["said"]
    inside = any(before.count(quote) % 2 for quote in "\"'`")
    words = re.findall(r"[^\W_]+(?:'[a-z]+)?", said.lower())
    if inside or all(word in ORDINARY or word in PROJECTS or word in PROSE or word.isdigit() for word in words):
        return match[0]
    return f"{before}{_SAID}"
