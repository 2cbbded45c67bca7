"""What of a document's fields kubeadm does not know or cannot take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from k8sdoctor.facts import kubeadm_fields
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.facts.kubeadm_documents import KubeadmDocument
    from k8sdoctor.facts.kubeadm_fields import Structures
    from k8sdoctor.facts.yaml import Path
    from k8sdoctor.host import Json

_WORDS = {
    "text": "text",
    "switch": "true or false",
    "number": "a number",
    "duration": "a duration in quotes or with a unit, such as 4m0s",
}


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A field that is not as kubeadm wants it. `told` is the rest of a sentence that begins with the field's name."""

    kind: Literal["misspelt", "misplaced", "unknown", "wrong-kind"]
    path: Path
    told: str
    hint: str = ""


def dotted(path: Path) -> str:
    """A path as people write it.

    >>> dotted(("apiServer", "extraArgs", 0, "name"))
    'apiServer.extraArgs[0].name'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def faults(document: KubeadmDocument) -> Iterator[FieldFault]:
    """Each field that is wrong; nothing of a document whose kind or version is not known."""
    known = kubeadm_fields.structures(document.api_version)
    if known is None or document.kind not in known:
        return
    places = dict(_places(document.api_version))
    yield from _object(dict(document.value), document.kind, known, (), places)


def _object(
    value: Mapping[str, Json], structure: str, known: Structures, path: Path, places: Mapping[str, str]
) -> Iterator[FieldFault]:
    fields = known[structure]
    for name, inner in value.items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        here = (*path, str(name))
        if name in fields:
            yield from _value(inner, fields[name], known, here, places)
        else:
            yield _unknown(str(name), fields, here, places)


def _value(value: Json, kind: str, known: Structures, path: Path, places: Mapping[str, str]) -> Iterator[FieldFault]:
    if value is None or kind == "any":  # null is no value, and any value is good
        return
    if kind[0] in "[{":
        yield from _many(value, kind, known, path, places)
    elif kind in known:
        if isinstance(value, dict):
            yield from _object(value, kind, known, path, places)
        else:
            yield _wrong(path, value, "a mapping of fields")
    elif not _fits(value, kind):
        hint = "Put it in quotes." if kind in ("text", "duration") and not isinstance(value, list | dict) else ""
        yield _wrong(path, value, _WORDS[kind], hint)


def _many(value: Json, kind: str, known: Structures, path: Path, places: Mapping[str, str]) -> Iterator[FieldFault]:
    """The items of a list, the values of a mapping."""
    if kind[0] == "[":
        if not isinstance(value, list):
            yield _wrong(path, value, "a list" + _of(kind[1:]), _as_list(value, kind))
            return
        items: list[tuple[str | int, Json]] = list(enumerate(value))
    else:
        if not isinstance(value, dict):
            yield _wrong(path, value, "a mapping of names to values", _as_mapping(value))
            return
        items = [(str(name), item) for name, item in value.items()]
    for name, item in items:
        yield from _value(item, kind[1:], known, (*path, name), places)


def _fits(value: Json, kind: str) -> bool:
    """Whether Go's decoder takes a value: text is never made of a number (`k8s.io/apimachinery` serializer/json)."""
    if kind in ("text", "duration"):  # a date is text to Go's YAML
        return not isinstance(value, bool | int | float | list | dict)
    if kind == "switch":
        return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(path: Path, value: Json, wanted: str, hint: str = "") -> FieldFault:
    return FieldFault("wrong-kind", path, f"is {_seen(value)}, and kubeadm wants {wanted}", hint)


def _seen(value: Json) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"  # a date


def _of(kind: str) -> str:
    return " of name and value pairs" if kind in ("Arg", "EnvVar") else ""


def _as_list(value: Json, kind: str) -> str:
    if kind == "[Arg" and isinstance(value, dict) and value:
        name, one = next(iter(value.items()))
        return f'Since v1beta4 each argument is an item of a list: `- {{name: "{name}", value: "{one}"}}`.'
    return ""


def _as_mapping(value: Json) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and {"name", "value"} <= value[0].keys():
        return "Lists of name and value are of v1beta4; older versions map names to values."
    return ""


def _unknown(name: str, fields: Mapping[str, str], path: Path, places: Mapping[str, str]) -> FieldFault:
    """A name of the same letters beats a place elsewhere, which beats a name that is only near."""
    from difflib import get_close_matches  # which few configurations need

    by_lower = {field.lower(): field for field in fields}
    if name.lower() in by_lower:
        near: str | None = by_lower[name.lower()]
    elif name in places:
        return FieldFault("misplaced", path, f"is no field here; it is one of {places[name]}")
    else:
        near = next(iter(get_close_matches(name, fields, n=1, cutoff=0.8)), None)
    if near:
        return FieldFault("misspelt", path, f'is no field; the nearest one is "{near}"')
    other = next((where for each, where in places.items() if each.lower() == name.lower()), None)
    if other:
        return FieldFault("misplaced", path, f"is no field here; one of that name is one of {other}")
    return FieldFault("unknown", path, "is no field that is known here")


def _places(api_version: str) -> Iterator[tuple[str, str]]:
    """Where each field of an API version's documents is, the shallow ones of all documents last, so that they win.

    Then the fields that only the other versions have.
    """
    group, _, version = api_version.rpartition("/")
    for each in ("v1beta3", "v1beta4"):
        if group == kubeadm_fields.GROUP and each != version:
            yield from _fields(f"{group}/{each}", f" of {each}")
    for other in (kubeadm_fields.KUBE_PROXY, kubeadm_fields.KUBELET):
        if other != api_version:
            yield from _fields(other, "")
    yield from _fields(api_version, "")


def _fields(api_version: str, suffix: str) -> Iterator[tuple[str, str]]:
    known = kubeadm_fields.structures(api_version) or {}
    # Breadth first from the documents; later ones win in a dict, so the deepest come first.
    found: list[tuple[str, str]] = []
    level = [(kind, kind) for kind in kubeadm_fields.kinds(api_version)]
    while level:
        below: list[tuple[str, str]] = []
        for structure, where in level:
            for name, kind in known[structure].items():
                found.append((name, f"{where}{suffix}"))
                inner = kind.lstrip("[{")
                if inner in known:
                    below.append((inner, f"{where}.{name}"))
        level = below
    yield from reversed(found)
