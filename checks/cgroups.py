"""The node's control groups are of a version, and have the controllers, that the kubelet starts with.

## What it looks at
Whether /sys/fs/cgroup is the unified hierarchy (cgroup v2) or holds one hierarchy a controller (v1), its controllers, the kubelet's version
and `failCgroupV1`, and which driver the kubelet and the runtime use to make groups.

## Why it matters
A kubelet of 1.35 and later ends at once on cgroup v1 unless it is told to bear it; that is how an upgrade of an old distribution ends.
Without the memory controller no kubelet starts, and some small boards boot without it. Where the kubelet makes groups by one driver and the
runtime by another, containers die or never start, with errors that name neither.

## How it is decided
Fails where the kubelet does not start, and where the drivers differ so that pods cannot live. Passes on cgroup v2, on v1 with an older kubelet
(v1 is in maintenance since 1.31), and on v1 where a configuration says `failCgroupV1: false`, which somebody chose. Drivers are compared where the
kubelet does not take the runtime's: it does since 1.31 where the runtime tells (containerd 2.0, CRI-O 1.28).

## Reasons
- `CgroupV2` (pass): the unified hierarchy, with the controllers that are needed
- `CgroupV1` (pass): version 1, and a kubelet that starts with it
- `CgroupV1Refused` (fail, warn where the kubelet runs or its version is not known yet): version 1, and a kubelet that does not start with it
- `ControllerMissing` (fail): a controller that the kubelet needs is switched off
- `NotPermitted`, `Unreadable` (unknown): the kubelet's configuration could not be read, and it decides
- `DriverDiffers` (fail, warn where pods still run): kubelet and runtime make groups by different drivers

## What it sends
Nothing; the runtime's status is asked over its own socket.

## How to fix
Boot into the unified hierarchy: it takes a kernel of 5.8 or later, and containerd 1.4 or CRI-O 1.20. All running containers end with the
reboot. To stay on version 1 for a while longer, `failCgroupV1: false` in the kubelet's configuration; the removal is announced.

`DriverDiffers`: have both use systemd, wherever systemd is the init: `cgroupDriver: systemd` in the kubelet's configuration, `SystemdCgroup = true`
among the options of runc in containerd's, `cgroup_manager = "systemd"` in CRI-O's. Then restart what was changed; pods are made anew.

`ControllerMissing`: switch the controller on in the kernel's command line (`cgroup_enable=memory` for the memory controller), and boot again.

## How to verify
`stat -fc %T /sys/fs/cgroup` prints cgroup2fs.

## References
- kubernetes/kubernetes#134298 (failCgroupV1 is true from 1.35), KEP-4569 (maintenance since 1.31)
- kubernetes/system-validators validators/cgroup_validator_linux.go (controllers)
- KEP-4033 KubeletCgroupDriverFromCRI (on by default since 1.31)
- https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._node_ready_links import kubelet_ends
from k8sdoctor.facts import versions
from k8sdoctor.facts.cgroup_driver import CgroupDrivers
from k8sdoctor.facts.cgroups import ROOT, Cgroups
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.planned_kubelet import PlannedKubelet
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED_SINCE = (1, 35)

# What the kubelet makes groups of (kubernetes pkg/kubelet/cm); of version 2, devices and freezer are part of the core.
_NEEDED = {
    1: ("cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"),
    2: ("cpu", "cpuset", "memory", "pids"),
}


@check(
    "cgroups",
    title="The kubelet starts with the node's control groups, and makes them as the runtime does",
    area="node configuration",
    profiles=NOT_DNS,
)
def cgroups(
    found: Cgroups,
    kubelet: Kubelet | Unobserved,
    planned: PlannedKubelet | Unobserved,
    drivers: CgroupDrivers | Unobserved,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge version, controllers and drivers."""
    missing = [name for name in _NEEDED[found.version] if name not in found.controllers]
    trouble = [
        *(_missing(found, missing, distribution) if missing else ()),
        *(_version_one(found, kubelet, planned, distribution) if found.version == 1 else ()),
        *(_drivers(found, drivers) if isinstance(drivers, CgroupDrivers) else ()),
    ]
    yield from trouble
    if trouble:
        return
    controllers = Evidence(found.source, " ".join(sorted(found.controllers)))
    if found.version == 1:
        kind = "cgroup v1, with a unified hierarchy beside it for systemd alone" if found.hybrid else "cgroup v1"
        yield passed(
            "CgroupV1",
            f"The node has {kind}, which {_label(kubelet, planned)} starts with; it is in maintenance since 1.31.",
            subject=ROOT,
            evidence=[controllers, *_allowance(kubelet, planned)],
        )
    else:
        yield passed(
            "CgroupV2",
            "The node has cgroup v2 with the controllers that the kubelet needs.",
            subject=ROOT,
            evidence=[controllers],
        )


def _version(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> versions.Version | None:
    installed = kubelet.version if isinstance(kubelet, Kubelet) else None
    return installed or (planned.version if isinstance(planned, PlannedKubelet) else None)


def _label(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> str:
    version = _version(kubelet, planned)
    return f"the kubelet of {versions.text(version)}" if version else "the kubelet"


def _config(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> tuple[bool | None, str]:
    """`failCgroupV1` as it is set, None where it is not, and where."""
    if isinstance(kubelet, Kubelet) and kubelet.configured:
        if "--fail-cgroupv1" in kubelet.flags or isinstance(kubelet.config.get("failCgroupV1"), bool):
            value = kubelet.switch("--fail-cgroupv1", "failCgroupV1", default=True)
            return value, kubelet.source_of("--fail-cgroupv1", "failCgroupV1")
    elif isinstance(planned, PlannedKubelet) and isinstance(will := planned.config.get("failCgroupV1"), bool):
        return will, f"failCgroupV1 of {planned.source}"
    return None, "the default of failCgroupV1"


def _allowance(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> list[Evidence]:
    value, source = _config(kubelet, planned)
    return [] if value is None else [Evidence(source, str(value).lower())]


def _version_one(
    found: Cgroups,
    kubelet: Kubelet | Unobserved,
    planned: PlannedKubelet | Unobserved,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    version = _version(kubelet, planned)
    refuses, source = _config(kubelet, planned)
    hidden = kubelet.config_problem if isinstance(kubelet, Kubelet) else None
    if refuses is None and hidden is not None and version is not None and version[:2] >= _REFUSED_SINCE:
        why = f"Whether the kubelet starts on cgroup v1 is not known: {hidden.message}"
        yield unknown(hidden.reason, why, subject=ROOT)
        return
    if refuses is None:
        refuses = version is None or version[:2] >= _REFUSED_SINCE
    if not refuses:
        return
    runs = isinstance(kubelet, Kubelet) and kubelet.pid is not None
    label = _label(kubelet, planned) if version else "a kubelet of 1.35 or later"
    effect = f"{label}, which runs, does not start again" if runs and version else f"{label} does not start"
    doubt = "; which version runs here is not known" if runs and not version else ""
    yield (warn if runs or version is None else fail)(
        "CgroupV1Refused",
        f"The node has cgroup v1, on which {effect} ({source}){doubt}.",
        subject=ROOT,
        evidence=[
            Evidence(found.source, "cgroup v1" + (" and a unified hierarchy for systemd alone" if found.hybrid else ""))
        ],
        fix=Fix(
            "Boot into cgroup v2",
            commands=(),
            persist=_boot_with("systemd.unified_cgroup_hierarchy=1", distribution),
            verify=f"stat -fc %T {ROOT}",
            safety=Safety.DISRUPTIVE,  # the node reboots, and all its containers end
        ),
        explains=() if runs else kubelet_ends("the node was seen to have cgroup v1", "cgroups"),
    )


def _boot_with(option: str, distribution: Distribution | Unobserved) -> tuple[str, ...]:
    """Commands that add an option to the kernel's command line, and reboot."""
    family = distribution.family if isinstance(distribution, Distribution) else "other"
    match family:
        case "rhel":
            return (f"grubby --update-kernel=ALL --args={quote(option)}", "reboot")
        case "flatcar":
            return (f"echo 'set linux_append=\"$linux_append {option}\"' >> /usr/share/oem/grub.cfg", "reboot")
        case "debian":
            update = "update-grub"
        case _:
            update = "grub2-mkconfig -o /boot/grub2/grub.cfg"
    # The last assignment counts, so a line of its own changes nothing that stands above it.
    line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {option}"'
    return (f"echo {quote(line)} >> /etc/default/grub", update, "reboot")


def _missing(found: Cgroups, missing: list[str], distribution: Distribution | Unobserved) -> Iterator[Finding]:
    names = " and ".join(missing)
    option = "cgroup_enable=memory" if missing == ["memory"] else ""
    yield fail(
        "ControllerMissing",
        f"The kernel has no {names} controller for control groups switched on, and the kubelet does not start without.",
        subject=names,
        evidence=[Evidence(found.source, " ".join(sorted(found.controllers)))],
        fix=Fix(
            f"Switch the {names} controller on in the kernel's command line",
            commands=(
                "grep -o 'cgroup_[a-z]*=[^ ]*' /proc/cmdline",
                "ls -l /boot/firmware/cmdline.txt /boot/cmdline.txt /etc/default/grub",
            ),
            persist=_boot_with(option, distribution) if option else (),
            verify=f"cat {found.source}",
            safety=Safety.MANUAL,  # boards keep the command line in a file of their own, and the node reboots
        ),
        explains=kubelet_ends(f"the {names} controller was seen to be off", "cgroups"),
    )


def _drivers(found: Cgroups, drivers: CgroupDrivers) -> Iterator[Finding]:
    if drivers.follows or drivers.kubelet is None or drivers.runtime is None or drivers.kubelet == drivers.runtime:
        return
    breaks = drivers.kubelet == "cgroupfs" or found.version == 2  # noqa: PLR2004 -- the version
    if drivers.planned and not (drivers.kubelet == "systemd" and breaks):
        return
    if drivers.kubelet == "cgroupfs":
        effect = "runc refuses the kubelet's groups, and no pod starts"
    elif breaks:
        effect = "systemd cleans up groups that it does not know, and pods are killed over and over"
    else:
        effect = "two managers share the node's resources out, and it gets unstable when they run short"
    will = "will make" if drivers.planned else "makes"
    yield (fail if breaks and not drivers.planned else warn)(
        "DriverDiffers",
        f"The kubelet {will} control groups by {drivers.kubelet} ({drivers.kubelet_source}) and the runtime by {drivers.runtime} "
        f"({drivers.runtime_source}): {effect}.",
        subject="cgroupDriver",
        evidence=[Evidence(drivers.kubelet_source, drivers.kubelet), Evidence(drivers.runtime_source, drivers.runtime)],
        fix=_same_driver(drivers),
    )


def _same_driver(drivers: CgroupDrivers) -> Fix:
    """Make both `systemd`, which is right wherever systemd is the init."""
    verify = "crictl info | grep -i systemdcgroup; grep cgroupDriver /var/lib/kubelet/config.yaml"
    if drivers.kubelet == "cgroupfs":
        path = drivers.kubelet_source.rpartition(" ")[2]
        written = drivers.kubelet_source.startswith("cgroupDriver of /")
        edit = (
            f"sed -i 's/^cgroupDriver:.*/cgroupDriver: systemd/' {quote(path)}" if written else "systemctl cat kubelet"
        )
        return Fix(
            "Have the kubelet use systemd, as the runtime does",
            commands=(edit, "systemctl restart kubelet"),
            verify=verify,
            safety=Safety.DISRUPTIVE if written else Safety.MANUAL,  # pods are made anew
        )
    setting = drivers.setting
    if setting is not None and setting.line:
        edit = f"sed -i '{setting.line}s/false/true/' {quote(setting.path)}"
        return Fix(
            "Have containerd use systemd, as the kubelet does",
            commands=(edit, "systemctl restart containerd"),
            verify=verify,
            safety=Safety.DISRUPTIVE,
        )
    path = drivers.config_path or "/etc/containerd/config.toml"
    return Fix(
        'Have the runtime use systemd, as the kubelet does: SystemdCgroup = true among the options of runc (containerd), cgroup_manager = "systemd" (CRI-O)',
        commands=(f"${{EDITOR:-vi}} {quote(path)}", f"systemctl restart {'crio' if 'crio' in path else 'containerd'}"),
        verify=verify,
        safety=Safety.MANUAL,
    )
