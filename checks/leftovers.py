"""Nothing of an earlier installation is in kubeadm's way.

## What it looks at
On a machine that is no node yet: the static pods' manifests and the kubeconfigs in `/etc/kubernetes`, the CA certificate that a worker is given, the
folder of etcd's data (also those that `--config` names), and network interfaces of a pod network while no pod runs.

## Why it matters
kubeadm refuses to start over such files. It does not look at interfaces: a `cni0` with the address of the old network keeps every pod from
starting, and a `kube-ipvs0` still takes the old services' addresses.

## How it is decided
By what is planned: manifests and etcd's data count for a control plane, `bootstrap-kubelet.conf` and the CA certificate for a machine that joins. What
kubeadm refuses fails; where nothing is planned it is a warning, and a CA certificate of one's own is right. Data of an etcd that runs here, which
may be another cluster's, is no leftover until a control plane with its own etcd is planned on it. Skipped on a node.

## Reasons
- `NothingLeft` (pass): nothing is in kubeadm's way
- `Joined` (skip): this machine is a node, and what is here is its own
- `OtherInstallation` (skip): another distribution of Kubernetes runs here
- `FilesLeft` (fail, warn where nothing is planned): files that kubeadm refuses to find
- `EtcdFolderNotEmpty` (fail, warn where it is not known that etcd will run here): the folder for etcd's data holds something
- `EtcdFolderIsMount` (fail, warn where it is not known that etcd will run here): all that it holds is a file system's `lost+found`
- `InterfacesLeft` (warn): interfaces of an earlier pod network are here, and no pod runs
- `NotPermitted`, `Unreadable` (unknown): a place could not be looked at

## What it sends
Nothing.

## How to fix
`kubeadm reset` removes the files, the containers, and etcd's data where etcd's manifest tells of it; ask first, for data is gone after it. It leaves
`/etc/cni/net.d`, rules of iptables, nftables and IPVS, interfaces, and each user's `~/.kube/config`; a reboot takes rules and interfaces away.
etcd's data is moved aside by the fix, not removed.

## How to verify
`ls /etc/kubernetes/manifests /var/lib/etcd` shows nothing.

## References
- kubernetes cmd/kubeadm/app/preflight/checks.go (FileAvailableCheck, DirAvailableCheck)
- kubernetes cmd/kubeadm/app/cmd/phases/reset (cleanupnode.go, removeetcdmember.go)
- kubernetes.io, "kubeadm reset": what it does not remove
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import Profile, check
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.leftovers import BOOTSTRAP, FOLDER, MANIFESTS, Leftovers
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOST_FOUND = "lost+found"


@check(
    "leftovers",
    title="Nothing of an earlier installation is in kubeadm's way",
    area="node",
    profiles=frozenset({Profile.INIT, Profile.JOIN}),
)
def leftovers(found: Leftovers, role: Role, planned: KubeadmConfig) -> Iterator[Finding]:
    """Judge files, then etcd's data, then interfaces."""
    if role.name == "unknown":
        yield unknown("NotPermitted", f"Whether this machine is a node could not be told: {role.why}.")
        return
    if role.joined:
        yield skip("Joined", f"This machine is a node ({role.why}); kubeadm would refuse to make one of it once more.")
        return
    if role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
        return
    files = _in_the_way(found, role, planned)
    trouble = [
        *([_files(files, found, role)] if files else []),
        *_etcd(found, role, planned),
        *([_interfaces(found)] if found.interfaces else []),
        *(
            unknown(each.reason, f"Whether something is left over is not known: {each.message}.")
            for each in found.problems
        ),
    ]
    yield from trouble
    if not trouble:
        yield passed("NothingLeft", f"Nothing of an earlier installation is in {FOLDER} or {found.etcd}.")


def _in_the_way(found: Leftovers, role: Role, planned: KubeadmConfig) -> tuple[str, ...]:
    """The files that are there and that kubeadm would refuse to find."""
    joins = planned.joins or role.planned is None
    wanted = {
        *(MANIFESTS if role.name != "worker" else ()),
        *((BOOTSTRAP,) if joins else ()),
        *((found.ca,) if role.name == "worker" else ()),
    }
    return tuple(path for path in found.files if path in wanted)


def _files(files: tuple[str, ...], found: Leftovers, role: Role) -> Finding:
    alone = files == (found.ca,)
    return _severity(sure=role.planned is not None)(
        "FilesLeft",
        f"{enumerated(files)} {'is' if len(files) == 1 else 'are'} there from an earlier installation, and kubeadm refuses to start with "
        f"{'it' if len(files) == 1 else 'them'}.",
        subject=files[0] if len(files) == 1 else FOLDER,
        evidence=[Evidence(path, "exists") for path in files],
        fix=Fix(
            "Move the CA certificate aside, which the join brings itself"
            if alone
            else "Remove what the earlier installation left, its data included",
            (_aside(found.ca),) if alone else ("kubeadm reset",),
            f"ls -d {' '.join(map(quote, files))}",
            Safety.MANUAL,  # who knows whether nobody needs it any more
        ),
        explains=[
            Link("leftovers", reason, f"{files[0]} was seen, which the same installation left")
            for reason in ("EtcdFolderNotEmpty", "InterfacesLeft")
        ],
        traits=[_kubeadm("FileAvailable", path) for path in files],
    )


def _etcd(found: Leftovers, role: Role, planned: KubeadmConfig) -> Iterator[Finding]:
    if role.name == "worker" or planned.addons.external_etcd or not found.held:
        return
    if role.planned is None and found.etcd_pid is not None:
        return  # an etcd of its own right, such as a member of an external cluster
    # Whether the cluster that a control plane joins has its etcd elsewhere, its configuration in the cluster says.
    severity = _severity(sure=role.planned is not None and not planned.joins)
    runs = f"; an etcd runs here (pid {found.etcd_pid})" if found.etcd_pid is not None else ""
    evidence = [Evidence(found.etcd, f"holds {', '.join(found.held)}")]
    traits = [_kubeadm("DirAvailable", found.etcd)]
    if found.held == (_LOST_FOUND,):
        yield severity(
            "EtcdFolderIsMount",
            f"{found.etcd} is a file system of its own, and holds {_LOST_FOUND}; kubeadm wants the folder for etcd's data empty.",
            subject=found.etcd,
            evidence=evidence,
            fix=Fix(
                f"Name a folder inside it: etcd.local.dataDir: {found.etcd}/data",
                (f"mkdir -p -m 700 {quote(found.etcd + '/data')}",),
                f"ls -A {quote(found.etcd + '/data')}",
                Safety.MANUAL,  # the configuration is to be written, too
            ),
            traits=traits,
        )
        return
    yield severity(
        "EtcdFolderNotEmpty",
        f"{found.etcd} holds {', '.join(found.held)}, and kubeadm wants the folder for etcd's data empty{runs}.",
        subject=found.etcd,
        evidence=evidence,
        fix=Fix(
            "Move the data aside; it may be all that is left of a cluster",
            (_aside(found.etcd),),
            f"ls -A {quote(found.etcd)}",
            Safety.MANUAL,
        ),
        traits=traits,
    )


def _interfaces(found: Leftovers) -> Finding:
    one = len(found.interfaces) == 1
    return warn(
        "InterfacesLeft",
        f"The interface{'' if one else 's'} {enumerated(found.interfaces)} of an earlier pod network {'is' if one else 'are'} here, while no pod runs: "
        f"pods of a new network find {'its' if one else 'their'} old addresses there.",
        subject=found.interfaces[0],
        evidence=[Evidence("links", each) for each in found.interfaces],
        fix=Fix(
            "Remove what is left of the old pod network",
            tuple(f"ip link delete {each}" for each in found.interfaces),
            "ip -brief link",
            Safety.DISRUPTIVE,
        ),
    )


def _severity(*, sure: bool) -> Callable[..., Finding]:
    return fail if sure else warn


def _aside(path: str) -> str:
    """Move something away, never over something that is there."""
    return f'mv -nT {quote(path)} {quote(path)}."$(date +%Y%m%d-%H%M%S)"'


def _kubeadm(kind: str, path: str) -> str:
    """The name that kubeadm gives its check of a path."""
    return f"kubeadm:{kind}-{path.replace('/', '-')}"
