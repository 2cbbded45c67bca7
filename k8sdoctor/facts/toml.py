"""TOML with the file and, where it is certain, the line that a value came from.

`tomllib` tells no positions, so a line is found by looking for the key below its table's header. Where that is not unique, only
the file is told.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

Tree: TypeAlias = "dict[str, Setting | Tree]"

_POSITION = regex(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = regex(rf"^\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_BARE = regex(r"[A-Za-z0-9_-]+")


class TomlError(Exception):
    """A text that is no TOML; `line` and `column` are None at the end of the text."""

    def __init__(self, path: str, text: str, message: str) -> None:
        """Take the position out of the parser's message."""
        match = _POSITION.search(message)
        self.path = path
        self.line = int(match["line"]) if match and match["line"] else text.count("\n") + 1
        self.column = int(match["column"]) if match and match["column"] else None
        self.message = message[: match.start()] if match else message
        super().__init__(f"{path}:{self.line}: {self.message}")


@dataclass(frozen=True, eq=False, slots=True)
class Setting:
    """A value, and where it is written. Two settings are the same only if they are one and the same place."""

    value: Any
    path: str
    keys: tuple[str, ...]
    line: int | None

    @property
    def source(self) -> str:
        """`path:line`, or the path."""
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def key(self) -> str:
        """The key in full, as TOML writes it."""
        return dotted(self.keys)


def dotted(keys: tuple[str, ...]) -> str:
    """Keys as one dotted key.

    >>> dotted(("plugins", "io.containerd.grpc.v1.cri", "sandbox_image"))
    'plugins."io.containerd.grpc.v1.cri".sandbox_image'
    """
    return ".".join(key if _BARE.fullmatch(key) else f'"{key}"' for key in keys)


MARK_REFUSED = (2, 0, 0)
"""The release of containerd that takes go-toml 2, to which a byte order mark is a wrong character; go-toml 1 passes over it (`toml.go` LoadBytes)."""


def unmarked(text: str) -> str:
    """The text without a byte order mark at its start, on which TOML has no word, and which `tomllib` refuses."""
    return text.removeprefix("\ufeff")


def parse(text: str, path: str) -> Tree:
    """The tables of a text, with a `Setting` for each value. Raises TomlError."""
    import tomllib  # which compiles regular expressions

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlError(path, text, str(error)) from None
    except RecursionError:
        raise TomlError(path, text, "nested too deeply") from None
    return _tree(data, path, (), Lines(text))


def _tree(data: dict[str, Any], path: str, keys: tuple[str, ...], lines: Lines) -> Tree:
    return {
        key: _tree(value, path, (*keys, key), lines)
        if isinstance(value, dict)
        else Setting(value, path, (*keys, key), lines.of((*keys, key)))
        for key, value in data.items()
    }


class Lines:
    """Where keys and tables of a text stand."""

    def __init__(self, text: str) -> None:
        """Look at every line once."""
        self._keys: dict[tuple[str, ...], list[int]] = {}
        self._tables: dict[tuple[str, ...], list[int]] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("["):
                found = _names(line)
                if found:
                    table = found
                    self._tables.setdefault(table, []).append(number)
            elif match := _KEY.match(line):
                self._keys.setdefault((*table, *_names(f"{match[1]} = 0")), []).append(number)

    def of(self, keys: tuple[str, ...]) -> int | None:
        """The line of a key, or of the key whose inline table holds it; None when that is not certain."""
        for length in range(len(keys), 0, -1):
            if found := self._keys.get(keys[:length]):
                return found[0] if len(found) == 1 else None
        return None

    def of_table(self, keys: tuple[str, ...]) -> int | None:
        """The line of a table's header, or of the first one below it."""
        found = self._tables.get(keys) or [
            line for table, lines in self._tables.items() if table[: len(keys)] == keys for line in lines
        ]
        return min(found) if found else self.of(keys)

    def tables(self) -> list[tuple[str, ...]]:
        """The headers in the order of the text."""
        pairs = [(line, table) for table, lines in self._tables.items() for line in lines]
        return [table for _, table in sorted(pairs)]


def _names(line: str) -> tuple[str, ...]:
    """The parts of one header or key; none when the line is something else (the inside of a list, of a long string)."""
    import tomllib

    try:
        data: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    names: list[str] = []
    while True:
        if isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, dict) or len(data) != 1:
            return tuple(names)
        [(name, data)] = data.items()
        names.append(name)


def table(tree: Tree | None, *keys: str) -> Tree:
    """The table below a table; empty when there is none, or a value in its place."""
    here: Tree | Setting | None = tree
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else {}


def setting(tree: Tree | None, *keys: str) -> Setting | None:
    """The value below a table; None when there is none, or a table in its place."""
    here = table(tree, *keys[:-1]).get(keys[-1])
    return here if isinstance(here, Setting) else None


def text_of(found: Setting | None) -> str | None:
    """A value that is a string; None for anything else."""
    return found.value if found is not None and isinstance(found.value, str) else None


def texts_of(found: Setting | None) -> tuple[str, ...]:
    """The strings of a list; none for anything else."""
    values = found.value if found is not None and isinstance(found.value, list) else []
    return tuple(value for value in values if isinstance(value, str))


def plain(tree: Tree) -> dict[str, Any]:
    """The values alone."""
    return {key: value.value if isinstance(value, Setting) else plain(value) for key, value in tree.items()}
