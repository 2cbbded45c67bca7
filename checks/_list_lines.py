"""What is said of lines of a list that are not what the list is of."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.finding import Evidence, Finding, Fix, Safety, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.lists import Line

MOST = 5
"""Lines that have a finding each; more of them are one finding, for then it is likely the wrong file."""


def strangers(reason: str, what: str, source: str, lines: Sequence[Line], again: str) -> Iterator[Finding]:
    """A warning for each line, or one for all where they are many; `what` is what a line should be: `name of an image`."""
    name = shlex.quote("LIST" if source == "stdin" else source)
    if len(lines) > MOST:
        first = lines[0]
        yield warn(
            reason,
            f"{len(lines)} lines of {source} are no {what}, from line {first.number} on: {_short(first.text)}",
            subject=source,
            evidence=[Evidence(source, "\n".join(f"{line.number}: {line.text}" for line in lines))],
            fix=_edit("Correct these lines, or name another file", name, first, again),
        )
        return
    for line in lines:
        where = f"{source}:{line.number}"
        yield warn(
            reason,
            f"Line {line.number} of {source} is no {what}: {_short(line.text)}",
            subject=where,
            evidence=[Evidence(where, line.text)],
            fix=_edit(f"Correct line {line.number}, or take it out", name, line, again),
        )


def _edit(title: str, name: str, line: Line, again: str) -> Fix:
    return Fix(title=title, commands=(f"${{EDITOR:-vi}} +{line.number} {name}",), verify=again, safety=Safety.MANUAL)


def _short(text: str) -> str:
    """A line as a sentence can hold it."""
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 -- a line of a terminal
