"""The kubelet can live with the node's swap.

## What it looks at
`/proc/swaps`, what turns swap on at boot (fstab, units of systemd, services that make swap or zram), and the kubelet's `failSwapOn` and
`memorySwap.swapBehavior`, also of the configuration given with `--config`.

## Why it matters
With `failSwapOn`, which is on unless somebody turns it off, the kubelet ends at once where any swap is in use. kubeadm only warns, and
then waits four minutes for a kubelet that does not come up. Swap that was turned off by hand comes back at the next boot, and the
node stays away after it.

## How it is decided
Fails where swap is in use and the kubelet does not start because of it, and where its swap settings keep it from starting. Warns where it
runs and will not start again: swap was turned on under it, or a boot turns it on. Passes without swap, and with swap that the
kubelet is told to bear.

## Reasons
- `NoSwap` (pass): none is in use, and none is turned on at boot
- `SwapAllowed` (pass): swap is in use, and the kubelet is told to bear it
- `SwapOn` (fail, warn where the kubelet runs): swap is in use, and the kubelet does not start with it
- `SwapAtBoot` (warn): swap is off, and something turns it on at boot
- `SwapBehaviorInvalid` (fail): the kubelet of this version refuses the value of `swapBehavior`
- `SwapNeedsCgroupV2` (fail): `LimitedSwap` on cgroup v1, which the kubelet refuses since 1.30
- `NotPermitted`, `Unreadable` (unknown): there is swap, and the kubelet's configuration or fstab could not be read

## What it sends
Nothing.

## How to fix
`swapoff -a`, and take away what turns swap on at boot: the line in fstab, the unit, the service. It needs free memory for what was swapped
out. Or tell the kubelet to bear swap: `failSwapOn: false`, which leaves pods without swap unless `memorySwap` says otherwise.

## How to verify
`swapon --show` prints nothing, also after a reboot.

## References
- kubernetes pkg/kubelet/cm/container_manager_linux.go, pkg/kubelet/apis/config/validation
- kubernetes/enhancements#2400 (NodeSwap: 1.22, on by default since 1.30)
- kubernetes/kubernetes#104854 (kubeadm warns since 1.23), #123738 (cgroup v1), #122745 (NoSwap, and no UnlimitedSwap)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._node_ready_links import kubelet_ends
from k8sdoctor.facts import versions, yaml
from k8sdoctor.facts.cgroups import Cgroups
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.planned_kubelet import PlannedKubelet
from k8sdoctor.facts.swap import FSTAB, SWAPS, Swap
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.swap import FstabLine, SwapArea

_NODE_SWAP_ON = (1, 30)  # and NoSwap in place of UnlimitedSwap: kubernetes/kubernetes#122745


@check("swap", title="The kubelet can live with the node's swap", area="node configuration", profiles=NOT_DNS)
def swap(
    found: Swap,
    kubelet: Kubelet | Unobserved,
    planned: PlannedKubelet | Unobserved,
    cgroups: Cgroups | Unobserved,
) -> Iterator[Finding]:
    """Judge what is on now, then what a boot turns on, then the kubelet's own settings."""
    bears, source = _bears(kubelet, planned)
    runs = isinstance(kubelet, Kubelet) and kubelet.pid is not None
    hidden = kubelet.config_problem if isinstance(kubelet, Kubelet) else None
    trouble = []
    if not bears and hidden is not None and (found.active or _lines(found) or found.units):
        why = f"Whether the kubelet starts with swap on is not known: {hidden.message}"
        trouble.append(unknown(hidden.reason, why, subject=SWAPS, evidence=_seen(found)))
    elif not bears:
        if found.active:
            trouble.append(_on(found, source, runs=runs))
        elif at_boot := [*_lines(found), *found.units]:
            trouble.append(_at_boot(found, at_boot, source))
    if isinstance(kubelet, Kubelet):
        trouble += _behavior(kubelet, cgroups)
    yield from trouble
    for problem in found.problems:
        if not bears and not found.active:
            yield unknown(problem.reason, f"What turns swap on at boot is not known: {problem.message}", subject=FSTAB)
    if trouble:
        return
    if found.active:
        yield passed(
            "SwapAllowed",
            f"{_names(found.active)} is in use, and the kubelet is told to bear it ({source}).",
            subject=found.active[0].path,
            evidence=_seen(found),
        )
    else:
        yield passed(
            "NoSwap", "No swap is in use.", subject=SWAPS, evidence=[Evidence(SWAPS, "no line but the header")]
        )


def _bears(kubelet: Kubelet | Unobserved, planned: PlannedKubelet | Unobserved) -> tuple[bool, str]:
    """Whether the kubelet starts with swap on, and where that stands. What is planned counts until there is a configuration."""
    if isinstance(kubelet, Kubelet) and kubelet.configured:
        source = kubelet.source_of("--fail-swap-on", "failSwapOn")
        return not kubelet.switch("--fail-swap-on", "failSwapOn", default=True), source
    if isinstance(planned, PlannedKubelet) and "failSwapOn" in planned.config:
        return planned.config["failSwapOn"] is False, f"failSwapOn of {planned.source}"
    return False, "the default of failSwapOn"


def _names(areas: tuple[SwapArea, ...]) -> str:
    return " and ".join(area.path for area in areas)


def _seen(found: Swap) -> list[Evidence]:
    return [
        *(Evidence(SWAPS, f"{area.path} {area.type} {area.kilobytes} kB") for area in found.active),
        *(Evidence(f"{FSTAB}:{line.number}", line.text) for line in found.fstab),
        *(Evidence("systemd", f"{unit} is enabled") for unit in found.units),
        *(Evidence("systemd", f"{name} is set up") for name in found.services),
        *([Evidence(found.generator, "configures zram")] if found.generator else []),
    ]


def _on(found: Swap, source: str, *, runs: bool) -> Finding:
    names, size = _names(found.active), sum(area.kilobytes for area in found.active) // 1024
    effect = (
        "it runs, since swap was turned on after it started, and will not start again" if runs else "it ends at once"
    )
    return (warn if runs else fail)(
        "SwapOn",
        f"{names} ({size} MiB) is in use as swap, and the kubelet does not start with swap on ({source}): {effect}.",
        subject=found.active[0].path,
        evidence=_seen(found),
        fix=Fix(
            "Turn swap off, now and at boot",
            commands=("swapoff -a",),
            persist=_keep_off(found),
            verify="swapon --show",
            safety=Safety.DISRUPTIVE,  # what was swapped out must fit into memory
        ),
        explains=() if runs else kubelet_ends(f"{names} was seen in use as swap", "swap"),
    )


def _keep_off(found: Swap) -> tuple[str, ...]:
    """The commands that keep each area off over a boot, by what turns it on."""
    steps: list[str] = []
    zram = [area for area in found.active if area.path.startswith("/dev/zram")]
    rest = [area for area in found.active if area not in zram]
    if found.fstab:
        steps.append(_comment(found.fstab))
    steps += [f"systemctl mask {quote(unit)}" for unit in found.units]
    steps += [f"systemctl disable --now {name}" for name in found.services]
    if zram and not found.services:
        steps += [f"systemctl mask dev-{area.path.rpartition('/')[2]}.swap" for area in zram]
    if rest and not (found.fstab or found.units or found.services):
        steps.append("systemctl mask swap.target")  # nothing names it: a partition that systemd finds by itself
    return tuple(steps)


def _comment(lines: tuple[FstabLine, ...]) -> str:
    script = ";".join(f"{line.number}s/^/#/" for line in lines)
    return f"sed -i '{script}' {FSTAB}"


def _lines(found: Swap) -> list[str]:
    return [f"{FSTAB}:{line.number} (`{line.text}`)" for line in found.fstab if line.there]


def _at_boot(found: Swap, at_boot: list[str], source: str) -> Finding:
    return warn(
        "SwapAtBoot",
        f"No swap is in use, and {' and '.join(at_boot)} turns it on at the next boot, after which the kubelet does not start ({source}).",
        subject=FSTAB if found.fstab else found.units[0],
        evidence=_seen(found),
        fix=Fix(
            "Keep swap off at boot",
            commands=(),
            persist=(
                *([_comment(found.fstab)] if found.fstab else []),
                *(f"systemctl mask {quote(unit)}" for unit in found.units),
            ),
            verify=f"grep -w swap {FSTAB}; systemctl list-unit-files --type=swap",
            safety=Safety.SAFE,
        ),
    )


def _behavior(kubelet: Kubelet, cgroups: Cgroups | Unobserved) -> Iterator[Finding]:
    value = yaml.string(kubelet.config, "memorySwap", "swapBehavior")
    version = kubelet.version
    if value is None or version is None:
        return
    source, label = kubelet.setting_source("memorySwap"), f"the kubelet of {versions.text(version)}"
    gates = kubelet.config.get("featureGates")
    gate = gates.get("NodeSwap") if isinstance(gates, dict) else None
    recent = version[:2] >= _NODE_SWAP_ON
    known = ("NoSwap", "LimitedSwap") if recent else ("LimitedSwap", "UnlimitedSwap")
    enabled = gate is True or (recent and gate is not False)
    why = ""
    if value not in known:
        why = f"{label} knows {' and '.join(known)}"
    elif not enabled:
        why = f"{label} wants the feature gate NodeSwap for it, which is off"
    evidence = [Evidence(source, f"memorySwap.swapBehavior: {value}")]
    fix = Fix(
        f"Correct memorySwap.swapBehavior in {source}",
        commands=(f"${{EDITOR:-vi}} {quote(source)}", "systemctl restart kubelet"),
        verify="systemctl is-active kubelet",
        safety=Safety.MANUAL,
    )
    if why:
        yield fail(
            "SwapBehaviorInvalid",
            f"memorySwap.swapBehavior is {value} in {source}, and {why}: it does not start.",
            subject=source,
            evidence=evidence,
            fix=fix,
            explains=kubelet_ends(f"memorySwap.swapBehavior is {value}", "swap"),
        )
    elif value == "LimitedSwap" and recent and isinstance(cgroups, Cgroups) and cgroups.version == 1:
        yield fail(
            "SwapNeedsCgroupV2",
            f"memorySwap.swapBehavior is LimitedSwap in {source}, and {label} does not start with it on cgroup v1.",
            subject=source,
            evidence=[*evidence, Evidence(cgroups.source, "cgroup v1")],
            fix=fix,
            explains=kubelet_ends("LimitedSwap was seen on cgroup v1", "swap"),
        )
