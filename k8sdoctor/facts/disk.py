"""The room that is left where a node keeps images, pods, etcd's data and logs, and what the kubelet wants to be left there."""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import yaml
from k8sdoctor.facts.cni_settings import PLUGIN_FOLDER, CniSettings
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError, light
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Space

Role: TypeAlias = Literal["kubelet", "images", "etcd", "logs", "plugins"]

KUBELET = "/var/lib/kubelet"
LOGS = "/var/log/pods"
ETCD = "/var/lib/etcd"

# Where each runtime keeps images without another word.
_IMAGES = {
    "containerd": "/var/lib/containerd",
    "cri-o": "/var/lib/containers/storage",
    "cri-dockerd": "/var/lib/docker",
}

# kubernetes pkg/kubelet/apis/config/v1beta1/defaults_linux.go; the last one since 1.30.
DEFAULTS = {
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
_IMAGE_INODES_SINCE = (1, 30)

GC_HIGH = 85
"""Percent in use from which the kubelet removes images that no container uses (imageGCHighThresholdPercent)."""


@dataclass(frozen=True, slots=True)
class Place:
    """One folder that a node needs. `seen` is it, or the folder nearest to it that is there already; `space` is that file system's."""

    role: Role
    path: str
    seen: str
    space: Space | None = None
    problem: Unobserved | None = None


@dataclass(frozen=True)
class Disk:
    """The places, and by signal (`nodefs.available`, …) what the kubelet wants to be left (`10%`, `1Gi`).

    A signal that is absent is not watched. `source` says where the thresholds stand. `gc_high` is a percentage, 100 for never.
    """

    places: tuple[Place, ...]
    thresholds: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    source: str = "the kubelet's defaults"
    gc_high: int = GC_HIGH

    def at(self, role: Role) -> Place | None:
        """The place of that role."""
        return next((place for place in self.places if place.role == role), None)

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- each tells one of the folders
        cls,
        host: Host,
        stage: Stage,
        kubelet: Kubelet | Unobserved,
        runtime: Runtime | Unobserved,
        etcd: EtcdServer | Unobserved,
        cni: CniSettings | Unobserved,
    ) -> Self:
        """Look at all file systems at the same time. Raises what kept us from every one of them."""
        wanted = list(_folders(stage, kubelet, runtime, etcd, cni))
        places = tuple(side_by_side([partial(_place, host, role, path) for role, path in wanted]))
        problems = [place.problem for place in places if place.problem]
        if len(problems) == len(places):
            raise HostError(problems[0].reason, problems[0].message)
        thresholds, source = _thresholds(kubelet)
        gc_high = kubelet.config.get("imageGCHighThresholdPercent") if isinstance(kubelet, Kubelet) else None
        return cls(places, thresholds, source, gc_high if isinstance(gc_high, int) else GC_HIGH)


def _folders(
    stage: Stage,
    kubelet: Kubelet | Unobserved,
    runtime: Runtime | Unobserved,
    etcd: EtcdServer | Unobserved,
    cni: CniSettings | Unobserved,
) -> Iterator[tuple[Role, str]]:
    config = kubelet.config if isinstance(kubelet, Kubelet) else {}
    root = kubelet.flags.get("--root-dir") if isinstance(kubelet, Kubelet) else None
    yield "kubelet", root or KUBELET
    yield "logs", yaml.string(config, "podLogsDir") or LOGS
    if isinstance(runtime, Runtime) and runtime.kind is not None:
        yield "images", _image_folder(runtime)
    # A process on a worker is some application's.
    if (
        isinstance(etcd, EtcdServer)
        and etcd.source
        and (stage.stage == "control-plane" or etcd.source.startswith("/"))
        and (etcd.words or stage.stage == "control-plane")
    ):
        yield "etcd", etcd.flag("--data-dir") or ETCD
    for folder in cni.plugin_folders if isinstance(cni, CniSettings) else (PLUGIN_FOLDER,):
        yield "plugins", folder


def _image_folder(runtime: Runtime) -> str:
    """As the runtime itself says (the verbose answer of containerd's CRI plugin), else by its command line, else its default."""
    config = runtime.info.get("config")
    told = yaml.string(config, "containerdRootDir") if isinstance(config, dict) else None
    return told or flag(runtime.cmdline, "--root") or _IMAGES.get(runtime.kind or "", _IMAGES["containerd"])


def _place(host: Host, role: Role, path: str) -> Place:
    """The folder may be made later: then what counts is where it will lie."""
    seen = path.rstrip("/") or "/"
    while True:
        try:
            return Place(role, path, seen, host.space(seen))
        except HostError as error:
            if error.reason != "NotFound" or seen == "/":
                return Place(role, path, seen, problem=Unobserved(error.reason, error.message))
        seen = seen.rpartition("/")[0] or "/"


# -- what the kubelet wants ----------------------------------------------------------------------------------------------


def _thresholds(kubelet: Kubelet | Unobserved) -> tuple[dict[str, str], str]:
    """A given evictionHard replaces the defaults as a whole, unless mergeDefaultEvictionSettings says otherwise (cmd/kubelet/app, eviction.helpers)."""
    if isinstance(kubelet, Unobserved):
        return _defaults(None), "the kubelet's defaults"
    text = kubelet.flags.get("--eviction-hard")
    given: dict[str, str] = {}
    if text is not None:
        for part in text.split(","):
            signal, sign, value = part.partition("<")
            if sign:
                given[signal.strip()] = value.strip()
        return given, f"--eviction-hard of {kubelet.flag_sources['--eviction-hard']}"
    config = kubelet.config.get("evictionHard")
    if not isinstance(config, dict):
        return _defaults(kubelet.version), "the kubelet's defaults"
    given = {signal: value for signal, value in config.items() if isinstance(value, str)}
    if kubelet.config.get("mergeDefaultEvictionSettings") is True:
        given = {**_defaults(kubelet.version), **given}
    return given, f"evictionHard of {kubelet.setting_source('evictionHard')}"


def _defaults(version: Version | None) -> dict[str, str]:
    found = dict(DEFAULTS)
    if version is not None and version[:2] < _IMAGE_INODES_SINCE:
        del found["imagefs.inodesFree"]
    return found


def wanted(value: str, total: int) -> float | None:
    """How much of `total` a threshold wants to be left; None for one that is not watched, or is none.

    0 % and 100 % are passed over by the kubelet (pkg/kubelet/eviction/helpers.go, parseThresholdStatement).

    >>> wanted("10%", 500), wanted("1Gi", 500), wanted("0%", 500), wanted("much", 500)
    (50.0, 1073741824.0, None, None)
    """
    if value in ("0%", "100%"):
        return None
    if value.endswith("%"):
        try:
            return float(value[:-1]) * total / 100
        except ValueError:
            return None
    parse = light.module("kubernetes.utils.quantity", "kubernetes", "kubernetes.utils").parse_quantity
    try:
        return float(parse(value))
    except ValueError:
        return None
