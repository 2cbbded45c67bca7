"""The code blocks of the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text, and the file that the sentence before it names."""

    language: str
    text: str
    file: str


def blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page in a language."""
    text = (ROOT / page).read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        names = re.findall(
            r"`([\w./-]+\.py)`", text[: match.start()].rpartition("\n\n\n")[2].rstrip().rpartition("\n\n")[2]
        )
        found.append(Block(match[1], match[2], names[-1] if names else ""))
    return [block for block in found if block.language == language]


def commands(page: str) -> list[str]:
    """The shell commands of a page, without remarks."""
    lines = [line.partition(" # ")[0].strip() for block in blocks(page, "sh") for line in block.text.splitlines()]
    return [line for line in lines if line]


def write_plug_in(folder: Path) -> None:
    """The files that CONTRIBUTING shows."""
    for block in blocks("CONTRIBUTING.md", "python"):
        path = folder / block.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
