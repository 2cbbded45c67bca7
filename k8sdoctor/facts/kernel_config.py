"""The running kernel's release and the options that it was built with, and which modules it can still load."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a public type of the fact
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

# Where system-validators looks (kubernetes/system-validators validators/kernel_validator.go). It would also run `modprobe configs`,
# which changes the kernel, and is not done here.
PLACES = (
    "/proc/config.gz",
    "/boot/config-{0}",
    "/usr/src/linux-{0}/.config",
    "/usr/src/linux/.config",
    "/usr/lib/modules/{0}/config",
    "/usr/lib/ostree-boot/config-{0}",
    "/usr/lib/kernel/config-{0}",
    "/usr/src/linux-headers-{0}/.config",
    "/lib/modules/{0}/build/.config",
)

REQUIRED = (
    *("NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "CPUSETS", "MEMCG", "INET", "EXT4_FS", "PROC_FS"),
    *("NETFILTER_XT_TARGET_REDIRECT", "NETFILTER_XT_MATCH_COMMENT", "FAIR_GROUP_SCHED", "CGROUPS", "CGROUP_PIDS"),
    "CGROUP_SCHED",
)
"""What kubeadm refuses to go without (validators/types_unix.go of 1.12), on either version of control groups."""

REQUIRED_V1 = ("CGROUP_CPUACCT", "CGROUP_DEVICE", "CGROUP_FREEZER")
REQUIRED_V2 = ("CGROUP_BPF",)

# Of what kubeadm calls optional, that without which a runtime's defaults do not work; aufs, device mapper and huge pages are a choice.
OPTIONAL = ("OVERLAY_FS", "CFS_BANDWIDTH", "SECCOMP", "SECCOMP_FILTER")

ALIASES = {"NETFILTER_XT_TARGET_REDIRECT": "IP_NF_TARGET_REDIRECT", "OVERLAY_FS": "OVERLAYFS_FS"}

MODULES = {"overlay": "OVERLAY_FS", "nf_conntrack": "NF_CONNTRACK", "nf_nat": "NF_NAT"}
"""Modules that every node needs, by name: the usual snapshotter's file system, and what kube-proxy's rules stand on; with their options."""

_ASKED = (*REQUIRED, *REQUIRED_V1, *REQUIRED_V2, *OPTIONAL, *ALIASES.values(), "NF_CONNTRACK", "NF_NAT")


@dataclass(frozen=True)
class KernelConfig:
    """`release` is what `uname -r` says. `options` are those of ours that are set, `y` or `m`; `path` is the file that told, None without one.

    `unloadable` are those of MODULES that the kernel has as modules, that are not loaded, and for which there is no file;
    `folder_gone` is true where the whole folder of its modules is not there. `problem` is why a configuration could not be read.
    """

    release: str
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    unloadable: tuple[str, ...] = ()
    folder_gone: bool = False
    problem: Unobserved | None = None

    def has(self, option: str) -> bool:
        """Whether an option, or its other name, is set."""
        return option in self.options or ALIASES.get(option) in self.options

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the first configuration that there is, as kubeadm does, and look at modules where they matter. Never raises."""
        release = host.identity()["kernel"]
        problem = None
        for place in PLACES:
            path = place.format(release)
            try:
                lines = host.lines(path, [f"CONFIG_{name}=" for name in _ASKED])
            except HostError as error:
                if error.reason != "NotFound" and problem is None:
                    problem = Unobserved(error.reason, error.message)
                continue
            options = _options(lines)
            if not options:
                problem = problem or Unobserved("Unreadable", f"{path} holds no kernel configuration")
                continue
            unloadable, gone = _unloadable(host, release, options)
            return cls(release, path, options, unloadable, gone)
        return cls(release, problem=problem)


def _options(lines: list[str]) -> dict[str, str]:
    """The options that are built in or modules.

    >>> _options(["CONFIG_A=y", "CONFIG_B=m", "# CONFIG_C is not set", "CONFIG_D=n", "CONFIG_E=17"])
    {'A': 'y', 'B': 'm'}
    """
    pairs = [line.strip().partition("=") for line in lines if line.startswith("CONFIG_")]
    return {name.removeprefix("CONFIG_"): value for name, _, value in pairs if value in ("y", "m")}


def _unloadable(host: Host, release: str, options: Mapping[str, str]) -> tuple[tuple[str, ...], bool]:
    modules = [name for name, option in MODULES.items() if options.get(option) == "m"]
    try:
        loaded = {line.split(" ")[0] for line in (host.read_optional("/proc/modules") or "").splitlines()}
        missing = [name for name in modules if name not in loaded]
        if not missing:
            return (), False
        folder = f"/lib/modules/{release}"
        if not host.exists(folder):
            return tuple(missing), True
        index = host.lines(f"{folder}/modules.dep", [f"/{name}.ko" for name in missing])
    except HostError:
        return (), False  # not known, and not accused
    files = {line.partition(":")[0].rpartition("/")[2].partition(".")[0] for line in index}
    return tuple(name for name in missing if name not in files), False
