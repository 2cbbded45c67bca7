"""Reading YAML as it was written by others: every document, and a sentence with line and column for what is none."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from k8sdoctor.host.tags import MISFITS
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.host import Json

Path: TypeAlias = "tuple[str | int, ...]"
"""The way to a value: keys of mappings, places in lists from 0."""


class YamlError(ValueError):
    """A text that is not YAML, or not what is wanted; says where."""


def documents(text: str, path: str) -> list[Json]:
    """Every document of a text; empty ones are left out. Raises YamlError that names `path`, line and column."""
    import yaml

    with _complaints(path):
        # Timestamps and the like become objects that JSON cannot hold; none of the fields that we read is one.
        return [cast("Json", document) for document in yaml.load_all(text, _loader()) if document is not None]


@dataclass(frozen=True)
class Placed:
    """A document with the lines of its keys and list items, all from 1. `twice` are keys that stand twice in one mapping, with both lines."""

    value: Json
    line: int
    lines: Mapping[Path, int] = field(default_factory=dict)
    twice: tuple[tuple[Path, int, int], ...] = ()


def placed(text: str, path: str) -> list[Placed]:
    """Every document of a text with its lines; empty ones are left out. Raises YamlError that names `path`, line and column.

    What an alias stands for has the lines of its anchor.
    """
    found: list[Placed] = []
    with _complaints(path):
        loader = _loader()(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                lines: dict[Path, int] = {}
                twice: list[tuple[Path, int, int]] = []
                _walk(node, (), lines, twice, set())  # before the next line, which resolves merge keys in place
                value = loader.construct_document(node)
                if value is not None:
                    found.append(Placed(cast("Json", value), node.start_mark.line + 1, lines, tuple(twice)))
        finally:
            loader.dispose()
    return found


def _walk(node: Any, path: Path, lines: dict[Path, int], twice: list[tuple[Path, int, int]], seen: set[int]) -> None:
    """Note the lines of all that is below a node, each node once: aliases may repeat one a billion times."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.id == "mapping":
        for key, value in node.value:
            if key.id != "scalar" or key.tag == "tag:yaml.org,2002:merge":
                continue
            below = (*path, str(key.value))
            line = key.start_mark.line + 1
            if below in lines:
                twice.append((below, lines[below], line))
            lines[below] = line
            _walk(value, below, lines, twice, seen)
    elif node.id == "sequence":
        for place, item in enumerate(node.value):
            lines[*path, place] = item.start_mark.line + 1
            _walk(item, (*path, place), lines, twice, seen)


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextmanager
def _complaints(path: str) -> Iterator[None]:
    """Whatever a YAML library complains about, as a YamlError."""
    import yaml

    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlError(f"{path}{where}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from None
    except MISFITS:
        raise YamlError(f"{path}: a value does not fit its tag, as in `!!bool x`") from None


def mapping(text: str, path: str) -> dict[str, Json]:
    """The only document of a text, a mapping; an empty text is an empty one. Raises YamlError."""
    found = documents(text, path)
    if not found:
        return {}
    if not isinstance(found[0], dict):
        raise YamlError(f"{path}: holds {_kind(found[0])} where a mapping is wanted")
    return found[0]


def _kind(value: Json) -> str:
    return "a list" if isinstance(value, list) else f"{type(value).__name__} {str(value)[:40]!r}"


def described(value: Json) -> str:
    """A value by its kind, where another one is wanted."""
    match value:
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case None:
            return "null"
        case _:
            return f"the text {str(value)[:40]!r}"


def string(tree: Mapping[str, Json], *path: str) -> str | None:
    """The text at a path of keys; None when something on the way is absent or of another kind. Numbers count as text."""
    node: object = tree
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, bool) or not isinstance(node, str | int | float):
        return None
    return str(node) or None


def strings(tree: Mapping[str, Json], *path: str) -> tuple[str, ...]:
    """The texts of the list at a path of keys; empty when there is none."""
    node: object = tree
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return tuple(str(item) for item in node if isinstance(item, str | int)) if isinstance(node, list) else ()
