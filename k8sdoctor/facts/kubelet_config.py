"""The files of the kubelet's configuration, each as the kubelet decodes it: kind, fields, and the kinds of their values.

A field that it does not know is passed over with a line in the log, for strict decoding falls back to lenient for v1beta1 (kubernetes
pkg/kubelet/kubeletconfig/util/codec); a value of the wrong kind keeps it from starting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import yaml
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_fields import INNER, KIND_OF, KNOWN_FROM, KNOWN_TO, SINCE
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host, Json

API_VERSION = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"

Fault: TypeAlias = Literal["absent", "unreadable", "syntax", "kind"]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file. `fault` is None where it is a KubeletConfiguration; `problem` is then empty, else a sentence; `reason` is that of `unreadable`.

    `wrong` are sentences about values that the kubelet cannot take, `unknown` the dotted names of fields that its version does not know, each
    with the release that has it, or the name that may be meant, or nothing.
    """

    path: str
    fault: Fault | None = None
    problem: str = ""
    reason: str = ""
    wrong: tuple[str, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class KubeletConfigFiles:
    """The configuration file, then its drop-ins in their order, or their folder where that is not there."""

    files: tuple[ConfigFile, ...] = ()

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet) -> Self:
        """Read each. Never raises: what could not be read is a fault of the file."""
        files = [_file(host, path, kubelet.version) for path in (kubelet.config_path, *kubelet.drop_ins)]
        folder = kubelet.flags.get("--config-dir")
        if folder and _is_absent(host, folder):
            files.append(ConfigFile(folder, "absent", f"{folder} does not exist", "NotFound"))
        return cls(tuple(files))


def _is_absent(host: Host, path: str) -> bool:
    try:
        return not host.exists(path)
    except HostError:
        return False


def _file(host: Host, path: str, version: Version | None) -> ConfigFile:
    try:
        text = host.read(path)
    except HostError as error:
        fault: Fault = "absent" if error.reason == "NotFound" else "unreadable"
        return ConfigFile(path, fault, error.message, error.reason)
    try:
        tree = yaml.mapping(text, path)
    except yaml.YamlError as error:
        return ConfigFile(path, "syntax", str(error))
    seen = (yaml.string(tree, "kind"), yaml.string(tree, "apiVersion"))
    if seen != (KIND, API_VERSION):
        what = "is empty" if not tree else f"holds kind {seen[0] or 'none'} of apiVersion {seen[1] or 'none'}"
        return ConfigFile(
            path, "kind", f"{path} {what}, where the kubelet wants kind {KIND} of apiVersion {API_VERSION}"
        )
    return ConfigFile(path, wrong=tuple(_wrong(tree)), unknown=tuple(_unknown(tree, version)))


# -- values ----------------------------------------------------------------------------------------------------------


def _wrong(tree: Mapping[str, Json]) -> Iterator[str]:
    for name, value in tree.items():
        said = None if value is None else _mismatch(KIND_OF.get(name, ""), value)
        if said:
            yield f"{name} is {said}"


def _mismatch(kind: str, value: Json) -> str | None:
    """What a value is and should be; None where the kubelet can take it."""
    match kind:
        case "switch" if not isinstance(value, bool):
            return f"{yaml.described(value)} where true or false is wanted"
        case "number" | "fraction" if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{yaml.described(value)} where a number is wanted"
        case "text" | "duration" if isinstance(value, bool | int | float | list | dict):
            return f"{yaml.described(value)} where text is wanted" + (
                " such as 10s" if kind == "duration" else "; quote it" if not isinstance(value, list | dict) else ""
            )
        case "texts" if not isinstance(value, list):
            return f"{yaml.described(value)} where a list is wanted"
        case "list" if not isinstance(value, list):
            return f"{yaml.described(value)} where a list is wanted"
        case "texts" if isinstance(value, list):
            bad = [item for item in value if not isinstance(item, str)]
            return f"a list that holds {yaml.described(bad[0])} where text is wanted; quote it" if bad else None
        case "mapping" | "map of texts" | "map of switches" if not isinstance(value, dict):
            return f"{yaml.described(value)} where a mapping is wanted"
        case "map of texts" | "map of switches" if isinstance(value, dict):
            wanted = str if kind == "map of texts" else bool
            pairs = [(key, item) for key, item in value.items() if not isinstance(item, wanted) and item is not None]
            what = "text" if wanted is str else "true or false"
            return (
                f"a mapping whose {pairs[0][0]} is {yaml.described(pairs[0][1])} where {what} is wanted"
                if pairs
                else None
            )
    return None


# -- fields ----------------------------------------------------------------------------------------------------------


def _unknown(tree: Mapping[str, Json], version: Version | None) -> Iterator[tuple[str, str]]:
    if version is None or not KNOWN_FROM <= version[:2] <= KNOWN_TO:
        return  # a later release may have more
    for name, value in tree.items():
        if name in ("apiVersion", "kind"):
            continue
        if name not in KIND_OF:
            yield name, _meant(name, KIND_OF)
        elif SINCE.get(name, 0) > version[1]:
            yield name, f"1.{SINCE[name]} brought it"
        elif name in INNER and isinstance(value, dict):
            yield from _unknown_inside(name, value)


def _unknown_inside(name: str, value: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if key not in INNER[name]:
            yield f"{name}.{key}", _meant(key, INNER[name])
        elif INNER[name][key] and isinstance(inner, dict):
            for last in inner:
                if last not in INNER[name][key]:
                    yield f"{name}.{key}.{last}", _meant(last, dict.fromkeys(INNER[name][key]))


def _meant(name: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    lower = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), lower, 1, 0.8)
    return f"{lower[near[0]]} may be meant" if near else ""
