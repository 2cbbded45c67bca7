"""A file that shall hold one Pod, as the kubelet reads it: YAML or JSON, its first document, and nothing but a v1 Pod.

The rules are those of `tryDecodeSinglePod` (kubernetes pkg/kubelet/config/common.go): the text becomes JSON, the JSON is decoded into the
types of the API, where a field that is not known is passed over and a value of the wrong type is an error, and the Pod is validated.
"""

from __future__ import annotations

import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import yaml
from k8sdoctor.facts.processes import flag
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.host import Json

Fault: TypeAlias = Literal["unreadable", "syntax", "kind", "fields"]


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host that a container sees: its path inside, on the host, and the hostPath's `type` ("" for any)."""

    inside: str
    host: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod. `words` are its command and arguments; empty where the image's own are used.

    `mounts` are the hostPath volumes that it sees, `covered` the paths at which it sees any other volume.
    """

    name: str
    image: str
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    init: bool = False
    covered: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The base name of the command; empty where the image's own is used."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    def flag(self, *names: str) -> str | None:
        """The value of a flag, such as `--secure-port`; the last one wins."""
        return flag(self.words, *names)

    def on_host(self, path: str) -> str | None:
        """Where a path of the container lies on the host; None where no hostPath is mounted there.

        >>> Container("a", "b", mounts=(Mount("/pki", "/etc/kubernetes/pki"),)).on_host("/pki/ca.crt")
        '/etc/kubernetes/pki/ca.crt'
        """
        best: Mount | None = None
        for mount in self.mounts:
            inside = mount.inside.rstrip("/")
            if (path == inside or path.startswith(f"{inside}/")) and (
                best is None or len(best.inside) < len(mount.inside)
            ):
                best = mount
        if best is None:
            return None
        rest = path.removeprefix(best.inside.rstrip("/")).lstrip("/")
        return posixpath.join(best.host, rest) if rest else best.host


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file, and the Pod in it.

    `fault` is None for a Pod that the kubelet takes, else `unreadable` (we could not look; `reason` says why), `syntax`, `kind` (valid YAML that is
    no v1 Pod) or `fields` (a Pod that it refuses); `problem` is then a sentence that names the file. `documents` counts the YAML documents, of
    which the kubelet reads the first. `volumes` are the hostPath volumes: path and type.
    """

    path: str
    name: str = ""
    namespace: str = "default"
    containers: tuple[Container, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    host_network: bool = False
    documents: int = 1
    fault: Fault | None = None
    problem: str = ""
    reason: str = ""
    pod: Mapping[str, Json] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`, by which the kubelet tells its static pods apart."""
        return f"{self.namespace}/{self.name}"

    def container(self, program: str) -> Container | None:
        """The container that runs a program, told by its command, or by its name where the command is the image's own."""
        for each in self.containers:
            if each.program == program or (each.name == program and not each.init):
                return each
        return None

    @classmethod
    def parse(cls, text: str, path: str) -> Self:
        """Read a text. Never raises."""
        try:
            documents = yaml.documents(text, path)
        except yaml.YamlError as error:
            return cls(path, fault="syntax", problem=str(error))
        pod = documents[0] if documents else None
        if not isinstance(pod, dict):
            what = "is empty" if pod is None else "holds no mapping"
            return cls(path, documents=len(documents), fault="kind", problem=f"{path}: {what}, and a Pod is wanted")
        spec = _mapping(pod.get("spec"))
        volumes = dict(_host_paths(spec))
        manifest = cls(
            path,
            name=yaml.string(pod, "metadata", "name") or "",
            namespace=yaml.string(pod, "metadata", "namespace") or "default",
            containers=tuple(_containers(spec, volumes)),
            volumes=tuple(volumes.values()),
            host_network=spec.get("hostNetwork") is True,
            documents=len(documents),
            pod=pod,
        )
        kind, version = yaml.string(pod, "kind"), yaml.string(pod, "apiVersion")
        if (kind, version) != ("Pod", "v1"):
            if kind and version:
                seen = f"holds kind {kind} of apiVersion {version}"
            else:
                seen = f"has {f'kind {kind}' if kind else 'no kind'} and {f'apiVersion {version}' if version else 'no apiVersion'}"
            return manifest._with("kind", f"{path}: {seen}, and the kubelet takes kind Pod of apiVersion v1 alone")
        refused = next(_refused(pod), None)
        return manifest._with("fields", f"{path}: {refused}") if refused else manifest

    def _with(self, fault: Fault, problem: str) -> Self:
        from dataclasses import replace

        return replace(self, fault=fault, problem=problem)


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _items(value: Json) -> Iterator[dict[str, Json]]:
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield item


def _host_paths(spec: Mapping[str, Json]) -> Iterator[tuple[str, tuple[str, str]]]:
    for volume in _items(spec.get("volumes")):
        path = yaml.string(volume, "hostPath", "path")
        if path:
            yield yaml.string(volume, "name") or "", (path, yaml.string(volume, "hostPath", "type") or "")


def _containers(spec: Mapping[str, Json], volumes: Mapping[str, tuple[str, str]]) -> Iterator[Container]:
    for key in ("initContainers", "containers"):
        for each in _items(spec.get(key)):
            yield Container(
                yaml.string(each, "name") or "",
                yaml.string(each, "image") or "",
                (*yaml.strings(each, "command"), *yaml.strings(each, "args")),
                {
                    name: yaml.string(variable, "value") or ""
                    for variable in _items(each.get("env"))
                    if (name := yaml.string(variable, "name"))
                },
                tuple(_mounts(each, volumes)),
                key == "initContainers",
                tuple(
                    path.rstrip("/")
                    for mount in _items(each.get("volumeMounts"))
                    if (path := yaml.string(mount, "mountPath")) and yaml.string(mount, "name") not in volumes
                ),
            )


def _mounts(container: Mapping[str, Json], volumes: Mapping[str, tuple[str, str]]) -> Iterator[Mount]:
    for mount in _items(container.get("volumeMounts")):
        inside, volume = yaml.string(mount, "mountPath"), volumes.get(yaml.string(mount, "name") or "")
        if inside and volume:
            yield Mount(
                inside, posixpath.join(volume[0], yaml.string(mount, "subPath") or "").rstrip("/") or "/", volume[1]
            )


# -- what the kubelet refuses ------------------------------------------------------------------------------------------
#
# Not all of the API's validation: what it takes to make a Pod at all, and the types that people get wrong by hand, where YAML
# turns an unquoted word into a number or a boolean.

_NO_TEXT = (bool, int, float, list, dict)  # a date is text to the kubelet, whose YAML library keeps it as written


def _refused(pod: Mapping[str, Json]) -> Iterator[str]:
    metadata, spec = _mapping(pod.get("metadata")), pod.get("spec")
    if not yaml.string(metadata, "name"):
        yield "metadata.name is missing"
    for key in ("labels", "annotations"):
        yield from _texts(metadata.get(key), f"metadata.{key}")
    if not isinstance(spec, dict):
        yield "spec is missing"
        return
    if not spec.get("containers"):
        yield "spec.containers names no container"
    for key in ("volumes", "initContainers", "containers"):
        value = spec.get(key)
        if value is not None and not isinstance(value, list):
            yield f"spec.{key} is {yaml.described(value)} where a list is wanted"
    for key in ("initContainers", "containers"):
        yield from _refused_containers(spec, key)


def _refused_containers(spec: Mapping[str, Json], key: str) -> Iterator[str]:
    value = spec.get(key)
    known = {yaml.string(volume, "name") for volume in _items(spec.get("volumes"))}
    for number, container in enumerate(value if isinstance(value, list) else []):
        where = f"spec.{key}[{number}]"
        yield from _refused_container(container, where)
        for mount in _items(_mapping(container).get("volumeMounts")):
            if yaml.string(mount, "name") not in known:
                yield f"a volumeMount of {where} names the volume {mount.get('name')}, which spec.volumes does not have"


def _refused_container(container: Json, where: str) -> Iterator[str]:
    if not isinstance(container, dict):
        yield f"{where} is {yaml.described(container)} where a mapping is wanted"
        return
    for key in ("name", "image"):
        if not yaml.string(container, key):
            yield f"{where}.{key} is missing"
    for key in ("command", "args"):
        yield from _texts(container.get(key), f"{where}.{key}")
    for key in ("env", "volumeMounts", "ports"):
        value = container.get(key)
        if value is not None and not isinstance(value, list):
            yield f"{where}.{key} is {yaml.described(value)} where a list is wanted"
    for number, variable in enumerate(_items(container.get("env"))):
        value = variable.get("value")
        if isinstance(value, _NO_TEXT):
            yield f"{where}.env[{number}].value is {yaml.described(value)} where text is wanted; quote it"


def _texts(value: Json, where: str) -> Iterator[str]:
    """What is no text in a list or mapping of texts."""
    wants_list = where.endswith(("command", "args"))
    if value is None:
        return
    if not isinstance(value, list if wants_list else dict):
        yield f"{where} is {yaml.described(value)} where {'a list' if wants_list else 'a mapping'} is wanted"
        return
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in pairs:
        if isinstance(item, _NO_TEXT):
            yield f"{where}[{key}] is {yaml.described(item)} where text is wanted; quote it"
