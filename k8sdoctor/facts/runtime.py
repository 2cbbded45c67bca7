"""The container runtime: which one kubelet uses, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, cast

from k8sdoctor.facts import versions
from k8sdoctor.facts.brought_runtimes import DISTRIBUTIONS, brought_by
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import Processes, flag, program
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json
    from k8sdoctor.host.answers import Process

Kind: TypeAlias = Literal["containerd", "cri-o", "cri-dockerd"]

# Where runtimes listen unless told otherwise: kubeadm looks at the first three (kubeadm `constants_unix.go`), and the last one was kubelet's own
# until 1.24.
USUAL = ("/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/cri-dockerd.sock")
SOCKETS = (
    *USUAL,
    "/var/run/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
    *DISTRIBUTIONS,
    "/var/run/dockershim.sock",
)

# What a runtime calls itself in its `Version` answer; cri-dockerd passes on Docker's name.
_KIND_BY_NAME: dict[str, Kind] = {"containerd": "containerd", "cri-o": "cri-o", "docker": "cri-dockerd"}

# dockershim was part of kubelet, and cri-dockerd is made of it.
_KIND_BY_PATH: tuple[tuple[str, Kind], ...] = (
    ("containerd", "containerd"),
    ("crio", "cri-o"),
    ("cri-dockerd", "cri-dockerd"),
    ("dockershim", "cri-dockerd"),
)
_PROGRAMS: dict[Kind, str] = {"containerd": "containerd", "cri-o": "crio", "cri-dockerd": "cri-dockerd"}
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/bin")

_DOCKERSHIM_LEFT = (1, 24, 0)  # kubernetes/kubernetes#97252


@dataclass(frozen=True)
class Condition:
    """One condition of the runtime, such as `NetworkReady`."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Runtime:
    """The runtime that kubelet uses, or would use.

    `kind` is None when no runtime is known here. `endpoint` is its socket as written down, `endpoint_source` says where. `pid` is None and `cmdline` empty when its
    daemon was not found among the processes. `reachable` is true when it answered over CRI; else `problem` says why not,
    and kind and version come from the endpoint's name, the process and the program. `info` holds the verbose status, its
    values decoded where they are JSON. `api` is the interface that it serves (`v1`, `v1alpha2`), empty when it did not answer.
    """

    kind: Kind | None = None
    endpoint: str | None = None
    endpoint_source: str = ""
    version: versions.Version | None = None
    version_text: str = ""
    pid: int | None = None
    cmdline: tuple[str, ...] = ()
    reachable: bool = False
    problem: Unobserved | None = None
    api: str = ""
    conditions: tuple[Condition, ...] = ()
    info: Mapping[str, Json] = field(default_factory=dict)
    elsewhere: tuple[str, str] | None = None
    """The label and the endpoint of a runtime that answers at a usual path, where the kubelet was told a socket that is not there and that nobody will make."""

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type; None when the runtime did not tell."""
        return next((condition for condition in self.conditions if condition.type == type_), None)

    @property
    def label(self) -> str:
        """Its name and version for a sentence, such as `containerd 1.6.20`."""
        name = self.kind or "the container runtime"
        return f"{name} {versions.text(self.version)}" if self.version else name

    @property
    def unit(self) -> str:
        """The systemd unit that runs it."""
        if self.kind == "cri-o":
            return "crio"
        if self.kind == "cri-dockerd":
            return "cri-docker"
        return brought_by(self.endpoint) or self.kind or "containerd"

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet, kubeadm: KubeadmConfig, processes: Processes | Unobserved) -> Self:
        """Find its socket, then ask it. Never raises: what could not be asked is a `problem`."""
        running = processes.all if isinstance(processes, Processes) else ()
        candidates = _candidates(host, kubelet, kubeadm)
        if not candidates:
            kind = _installed(host, running)
            why = Unobserved("NotFound", "no container runtime's socket was found at any of the usual paths")
            return cls._silent(host, kind, None, "", running, why)
        answers: list[Self] = []
        for endpoint, source in candidates:
            answer = cls._ask(host, endpoint, source, running)
            if answer.reachable:
                return answer
            answers.append(answer)
        silent = next((answer for answer in answers if answer.pid), answers[0])
        return replace(silent, elsewhere=cls._elsewhere(host, silent, running)) if kubelet.runtime_endpoint else silent

    @classmethod
    def _elsewhere(cls, host: Host, silent: Self, running: tuple[Process, ...]) -> tuple[str, str] | None:
        absent = silent.problem is not None and silent.problem.reason == "NotFound"
        # What is installed and does not run would make its socket.
        waited_for = silent.pid is None and silent.kind is not None and _program_of(host, silent.kind) is not False
        if not absent or waited_for or brought_by(silent.endpoint):
            return None
        for path in USUAL:
            found = cls._ask(host, f"unix://{path}", "the usual path", running)
            if found.reachable:
                return found.label, f"unix://{path}"
        return None

    @classmethod
    def _ask(cls, host: Host, endpoint: str, source: str, running: tuple[Process, ...]) -> Self:
        try:
            version = host.cri(endpoint, "RuntimeService/Version")
            status = host.cri(endpoint, "RuntimeService/Status", {"verbose": True})
        except HostError as error:
            kind = _kind_of_path(endpoint) or _installed(host, running)
            return cls._silent(host, kind, endpoint, source, running, Unobserved(error.reason, error.message))
        kind = _KIND_BY_NAME.get(str(version.get("runtime_name", "")).lower()) or _kind_of_path(endpoint)
        daemon = _daemon(kind, endpoint, running)
        text = str(version.get("runtime_version", ""))
        conditions = cast("dict[str, list[dict[str, Json]]]", status.get("status") or {}).get("conditions") or []
        return cls(
            kind=kind,
            endpoint=endpoint,
            endpoint_source=source,
            version=versions.parse(text),
            version_text=text,
            pid=daemon["pid"] if daemon else None,
            cmdline=tuple(daemon["cmdline"]) if daemon else (),
            reachable=True,
            api=str(version.get("runtime_api_version", "")),
            conditions=tuple(
                Condition(
                    str(condition.get("type", "")),
                    bool(condition.get("status")),
                    str(condition.get("reason", "")),
                    str(condition.get("message", "")),
                )
                for condition in conditions
            ),
            info=decoded(cast("dict[str, Json]", status.get("info") or {})),
        )

    @classmethod
    def _silent(  # noqa: PLR0913, PLR0917 -- what is known without an answer
        cls,
        host: Host,
        kind: Kind | None,
        endpoint: str | None,
        source: str,
        running: tuple[Process, ...],
        problem: Unobserved,
    ) -> Self:
        daemon = _daemon(kind, endpoint, running)
        text = _ask_program(host, kind, daemon)
        return cls(
            kind=kind,
            endpoint=endpoint,
            endpoint_source=source,
            version=versions.parse(text),
            version_text=text,
            pid=daemon["pid"] if daemon else None,
            cmdline=tuple(daemon["cmdline"]) if daemon else (),
            problem=problem,
        )


def decoded(info: Mapping[str, Json]) -> dict[str, Json]:
    """A verbose answer's `info` with the values that are JSON decoded; the others (`OK`, an error's text) stay text."""
    values: dict[str, Json] = {}
    for key, value in info.items():
        values[key] = value
        if isinstance(value, str):
            try:
                values[key] = cast("Json", json.loads(value))
            except (ValueError, RecursionError):
                continue
    return values


def _candidates(host: Host, kubelet: Kubelet, kubeadm: KubeadmConfig) -> list[tuple[str, str]]:
    """The endpoints to ask, with where each was written: what kubelet uses, else what is planned, else what exists."""
    if kubelet.runtime_endpoint:
        source = kubelet.flag_sources.get("--container-runtime-endpoint", kubelet.config_path)
        return [(kubelet.runtime_endpoint, source)]
    if (
        kubelet.pid
        and kubelet.version
        and kubelet.version < _DOCKERSHIM_LEFT
        and kubelet.flags.get("--container-runtime") != "remote"
    ):
        return [("unix:///var/run/dockershim.sock", "kubelet's built-in Docker support")]
    if kubeadm.cri_socket:
        return [(kubeadm.cri_socket, kubeadm.source or "kubeadm's configuration")]
    found: dict[str, str] = {}  # by the path that it leads to, since /var/run is /run nearly everywhere
    for path in SOCKETS:
        try:
            found.setdefault(host.stat(path)["path"], path)
        except HostError as error:
            if error.reason == "NotRecorded" and path in DISTRIBUTIONS:  # by a release that knew fewer of them
                continue
            if error.reason != "NotFound":
                found.setdefault(path, path)
    return [(f"unix://{path}", "the usual path") for path in found.values()]


def _kind_of_path(endpoint: str) -> Kind | None:
    return next((kind for word, kind in _KIND_BY_PATH if word in endpoint), None)


def _installed(host: Host, running: tuple[Process, ...]) -> Kind | None:
    """The runtime whose daemon runs, else whose program is installed."""
    for kind in _PROGRAMS:
        if _daemon(kind, None, running):
            return kind
    return next((kind for kind in _PROGRAMS if _program_of(host, kind)), None)


def _program_of(host: Host, kind: Kind) -> bool | None:
    """Whether a runtime's program is installed; None where that could not be told."""
    told: bool | None = False
    for folder in _FOLDERS:
        try:
            if host.exists(f"{folder}/{_PROGRAMS[kind]}"):
                return True
        except HostError:
            told = None
    return told


def _daemon(kind: Kind | None, endpoint: str | None, running: tuple[Process, ...]) -> Process | None:
    """The runtime's own process: of several containerds (Docker brings one along), the one that listens at the endpoint."""
    if kind is None:
        return None
    path = (endpoint or "").removeprefix("unix://").removeprefix("/var")
    found = [process for process in running if program(process) == _PROGRAMS[kind]]
    for process in found:
        address = flag(process["cmdline"], "-a", "--address", "--listen", "--container-runtime-endpoint")
        if address and address.removeprefix("unix://").removeprefix("/var") == path:
            return process
    # One that was given an address, or Docker's configuration, listens elsewhere.
    others = [
        process for process in found if not flag(process["cmdline"], "-a", "--address") and not _is_dockers(process)
    ]
    return others[0] if others else None


def _is_dockers(process: Process) -> bool:
    return "/docker/" in (flag(process["cmdline"], "-c", "--config") or "")


def _ask_program(host: Host, kind: Kind | None, daemon: Process | None) -> str:
    """What `containerd --version` (or its like) says in its first line; empty when there is none."""
    if kind is None:
        return ""
    name = daemon["cmdline"][0] if daemon else _PROGRAMS[kind]
    try:
        result = host.run(name, "--version")
    except HostError:
        return ""
    return result["out"].strip().partition("\n")[0]
