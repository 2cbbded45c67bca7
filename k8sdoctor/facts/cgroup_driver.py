"""The driver by which the kubelet and the runtime make control groups: `systemd` or `cgroupfs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import toml, yaml
from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.planned_kubelet import PlannedKubelet
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host, Json

Driver: TypeAlias = Literal["systemd", "cgroupfs"]

# KubeletCgroupDriverFromCRI: on by default since 1.31; containerd serves RuntimeConfig since 2.0, CRI-O since 1.28 (KEP-4033).
_TAKES_THE_RUNTIMES = (1, 31, 0)
_TELLS: dict[str, Version] = {"containerd": (2, 0, 0), "cri-o": (1, 28, 0)}

_RUNC = "io.containerd.runc.v2"


@dataclass(frozen=True)
class CgroupDrivers:
    """Both drivers, None where one is not known. `kubelet_source` and `runtime_source` say where they stand.

    `planned` is true where the kubelet has no configuration yet, and its driver is the one that kubeadm will write. `follows` is true where the kubelet
    takes the runtime's, whatever its configuration says. `setting` is the runtime's line in a file, None for its default.
    """

    kubelet: Driver | None = None
    kubelet_source: str = ""
    runtime: Driver | None = None
    runtime_source: str = ""
    planned: bool = False
    follows: bool = False
    setting: toml.Setting | None = None
    config_path: str = ""

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- each of them may hold it
        cls,
        host: Host,  # noqa: ARG003 -- other facts hold all that it takes
        kubelet: Kubelet | Unobserved,
        planned: PlannedKubelet | Unobserved,
        runtime: Runtime | Unobserved,
        containerd: ContainerdConfig | Unobserved,
        crio: CrioConfig | Unobserved,
    ) -> Self:
        """Put together what other facts read. Never raises."""
        driver, source, will = _kubelets(kubelet, planned)
        theirs: Driver | None = None
        where, path = "", ""
        setting: toml.Setting | None = None
        if isinstance(containerd, ContainerdConfig):
            theirs, where, setting = _containerds(containerd)
            path = containerd.path
        elif isinstance(crio, CrioConfig):
            theirs, where = _driver(crio.cgroup_manager), "cgroup_manager of CRI-O"
            path = crio.path
        return cls(driver, source, theirs, where, will, _follows(kubelet, runtime), setting, path)


def _driver(text: str | None) -> Driver | None:
    return "systemd" if text == "systemd" else "cgroupfs" if text == "cgroupfs" else None


def _kubelets(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> tuple[Driver | None, str, bool]:
    if isinstance(kubelet, Kubelet) and kubelet.configured:
        if kubelet.problems and not kubelet.config:
            return None, "", False
        value = kubelet.flags.get("--cgroup-driver") or yaml.string(kubelet.config, "cgroupDriver") or "cgroupfs"
        return _driver(value), kubelet.source_of("--cgroup-driver", "cgroupDriver"), False
    if isinstance(planned, PlannedKubelet) and (will := yaml.string(planned.config, "cgroupDriver")):
        return _driver(will), f"cgroupDriver of {planned.source}", True
    return "systemd", "what kubeadm writes since 1.22", True


def _containerds(config: ContainerdConfig) -> tuple[Driver | None, str, toml.Setting | None]:
    table = toml.table(config.network, "containerd")
    name = toml.text_of(toml.setting(table, "default_runtime_name")) or "runc"
    written = toml.setting(table, "runtimes", name, "options", "SystemdCgroup")
    held = _held(config.running)
    if held is not None:
        return held, "what the running containerd says of itself", written
    kind = toml.text_of(toml.setting(table, "runtimes", name, "runtime_type")) or (_RUNC if name == "runc" else "")
    if kind != _RUNC:
        return None, "", written
    source = written.source if written is not None else f"the default of SystemdCgroup; {config.path} does not set it"
    return ("systemd" if written is not None and written.value is True else "cgroupfs"), source, written


def _held(running: object) -> Driver | None:
    """What a running containerd 1.x tells; None where it does not, or its default runtime is not runc."""
    table = _mapping(_mapping(running).get("containerd"))
    runtime = _mapping(_mapping(table.get("runtimes")).get(str(table.get("defaultRuntimeName"))))
    if runtime.get("runtimeType") != _RUNC:
        return None
    return "systemd" if _mapping(runtime.get("options")).get("SystemdCgroup") is True else "cgroupfs"


def _mapping(value: object) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _follows(kubelet: Kubelet | Unobserved, runtime: Runtime | Unobserved) -> bool:
    if not isinstance(kubelet, Kubelet) or not isinstance(runtime, Runtime):
        return False
    gates = kubelet.config.get("featureGates")
    off = isinstance(gates, dict) and gates.get("KubeletCgroupDriverFromCRI") is False
    first = _TELLS.get(runtime.kind or "")
    return bool(
        not off
        and kubelet.version
        and kubelet.version >= _TAKES_THE_RUNTIMES
        and first
        and runtime.version
        and runtime.version >= first
    )
