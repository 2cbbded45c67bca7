"""The repository says nothing about where it was written, and leaves nothing half done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import source

pytestmark = pytest.mark.source

# A bracket around one letter keeps this file from finding itself.
PATTERNS = {
    "a folder of somebody's machine": r"/[w]ork/|/[h]ome/(?!me/)[a-z]|/[U]sers/|/[b]ash_jobs|\.[p]yenv",
    "an address of a private package index": r"[i]ndex-url|[t]rusted-host|[f]ind-links",
    "who typed it": r"(?i:[C]o-authored-by)|[G]enerated with",
    "unfinished business": r"\b[T]ODO\b|\b[F]IXME\b|\b[X]XX\b",
    "a silenced tool without saying which rule": r"# ?[t]ype: ignore(?!\[)|# ?[n]oqa(?!: [A-Z])",
    "a typographic dash": r"[\u2013\u2014]",
}


def found(pattern: str) -> list[str]:
    expression = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in source.texts().items()
        if name != "LICENSE" and not name.endswith(("_pb2.py", ".svg")) and not name.startswith("tests/data/")
        for number, line in enumerate(text.splitlines(), 1)
        if expression.search(line)
    ]


@pytest.mark.parametrize("what", PATTERNS)
def test_no_file_holds(what: str) -> None:
    assert found(PATTERNS[what]) == []


def test_no_file_names_the_folder_that_it_lies_in() -> None:
    here = [source.ROOT, Path.home()]

    assert [line for path in here if len(path.parts) > 2 for line in found(re.escape(str(path)))] == []
