"""Reading YAML as it was written by others: every document, and a sentence with line and column for what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Json


class YamlError(ValueError):
    """A text that is not YAML, or not what is wanted; says where."""


def documents(text: str, path: str) -> list[Json]:
    """Every document of a text; empty ones are left out. Raises YamlError that names `path`, line and column."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Timestamps and the like become objects that JSON cannot hold; none of the fields that we read is one.
        return [cast("Json", document) for document in yaml.load_all(text, loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlError(f"{path}{where}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from None


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
