"""The machine has the processors and the memory that a control plane needs.

## What it looks at
The processors that run and that programs of this node may use, and the memory that the kernel manages.

## Why it matters
`kubeadm init`, and `kubeadm join` of a control plane, refuse a machine with fewer than 2 processors or less than 1700 MB of memory. With less, etcd
and the API server starve each other: leases run out, and the control plane restarts itself under load.

## How it is decided
As kubeadm counts: processors that are switched off, or that a CPU affinity keeps from this node's programs, do not count. Fails where a control plane
is planned by `--config`. Warns on a control plane that runs already, and where nothing is planned, since a worker may be smaller: kubeadm
asks nothing of it. Skipped on a worker.

## Reasons
- `Sufficient` (pass): there is enough for a control plane
- `NoMinimum` (skip): the machine is, or is to be, a worker, of which kubeadm asks nothing
- `OtherInstallation` (skip): another distribution of Kubernetes runs here, with needs of its own
- `TooFewCpus` (fail, warn where no control plane is planned or where it runs): fewer than 2 processors
- `TooLittleMemory` (fail, warn where no control plane is planned or where it runs): less than 1700 MB of memory
- `RoleUnknown` (unknown): whether this machine is a node could not be told

## What it sends
Nothing.

## How to fix
Give the machine more; for a virtual machine that is its owner's setting. `--ignore-preflight-errors=NumCPU,Mem` makes kubeadm go on, which is for trying
out and not for work.

## How to verify
`nproc` prints 2 or more, and `grep MemTotal /proc/meminfo` 1740800 kB or more.

## References
- kubernetes cmd/kubeadm/app/constants (ControlPlaneNumCPU, ControlPlaneMem), cmd/kubeadm/app/preflight/checks_linux.go
- kubernetes.io, "Installing kubeadm", "Before you begin"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.facts.resources import MEMORY, ONLINE, STATUS, Resources
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

# kubernetes cmd/kubeadm/app/constants/constants.go: ControlPlaneNumCPU, ControlPlaneMem
CPUS = 2
MEGABYTES = 1700


@check("resources", title="The machine is large enough for a control plane", area="node", profiles=NOT_DNS)
def resources(found: Resources, role: Role) -> Iterator[Finding]:
    """Judge processors, then memory."""
    if role.name == "unknown":
        yield unknown("RoleUnknown", f"Whether this machine is a node could not be told: {role.why}.")
        return
    if role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
        return
    if role.name == "worker":
        yield skip("NoMinimum", f"kubeadm asks no number of processors and no memory of a worker ({role.why}).")
        return
    trouble = [*_processors(found, role), *_memory(found, role)]
    yield from trouble
    if not trouble:
        yield passed(
            "Sufficient",
            f"{found.usable} processors and {found.megabytes} MB of memory are enough for a control plane.",
            evidence=[Evidence(ONLINE, f"{found.online} run"), Evidence(MEMORY, f"{found.megabytes} MB")],
        )


def _processors(found: Resources, role: Role) -> Iterator[Finding]:
    if found.usable >= CPUS:
        return
    kept = found.online - found.usable
    held = (
        f" of {found.online} that run; the CPU affinity of process 1 keeps the others from all programs" if kept else ""
    )
    widen = Fix(
        "Let this node's programs use more processors",
        ("grep Cpus_allowed_list /proc/1/status; systemctl show -p CPUAffinity",),
        "nproc",
        Safety.MANUAL,  # somebody set it for a reason
    )
    grow = Fix(
        "Give the machine at least 2 processors",
        ("nproc --all; lscpu",),  # what there is: a virtual machine is changed where it runs, and then started anew
        "nproc",
        Safety.MANUAL,
    )
    yield (fail if _planned(role) else warn)(
        "TooFewCpus",
        f"This machine has {found.usable} processor{'s' if found.usable != 1 else ''}{held}, and {_wants(role, f'{CPUS}')}.",
        subject="processors",
        evidence=[Evidence(ONLINE, f"{found.online} run"), Evidence(STATUS, f"{found.usable} of them may be used")],
        fix=widen if found.online >= CPUS else grow,
    )


def _memory(found: Resources, role: Role) -> Iterator[Finding]:
    if found.megabytes >= MEGABYTES:
        return
    yield (fail if _planned(role) else warn)(
        "TooLittleMemory",
        f"This machine has {found.megabytes} MB of memory, and {_wants(role, f'{MEGABYTES} MB')}.",
        subject="memory",
        evidence=[Evidence(MEMORY, f"MemTotal: {found.megabytes} MB")],
        fix=Fix(
            "Give the machine 2 GB of memory or more",
            ("free -m",),  # what there is; swap does not count
            "grep MemTotal /proc/meminfo",
            Safety.MANUAL,
        ),
    )


def _planned(role: Role) -> bool:
    return role.planned is not None


def _wants(role: Role, amount: str) -> str:
    if role.joined:
        return f"kubeadm asks {amount} of a control plane, which this is"
    if role.planned:
        return f"kubeadm refuses to make a control plane of it, for which it wants {amount}"
    return f"kubeadm refuses to make a control plane of it, for which it wants {amount}; a worker may have less"
