"""There is room on the disk where images, pods, logs and etcd's data lie.

## What it looks at
The file systems of the kubelet's folder, of pods' logs, of the runtime's images, of etcd's data and of the CNI plugins: bytes and inodes that are left,
whether they may be written to and programs on them run, and what kind they are. What the kubelet wants to be left there, by its configuration.

## Why it matters
A node that runs short reports `DiskPressure`: it is given no new pods, images that no container uses are removed, and then pods are evicted. Where
nothing is left, runtime, kubelet and etcd end or cannot write, and say so in many different words. A file system that the kernel made
read-only after an error looks healthy to `df`.

## How it is decided
By the kubelet's own measure: of each file system, what others than root may still take, against `evictionHard` (without one: 10 % for the kubelet's
file system, 15 % for the images', 5 % of the inodes). Under it is a failure, less than 5 points above it a warning. Thresholds of 0 % are not watched. Whatever
the thresholds are, less than 64 MB is none: etcd's log grows by as much at once. Room for five such files is what etcd keeps. A file system
that makes inodes as it needs them (btrfs) cannot run out of them. A folder that is not there yet is judged by where it will lie.

## Reasons
- `Enough` (pass): there is room everywhere
- `NoSpaceLeft` (fail): bytes or inodes of a file system are used up
- `DiskPressure` (fail): less is left than the kubelet wants, so it removes images and evicts pods
- `NearlyFull` (warn): little more is left than that
- `ReadOnly` (fail): a file system that the node must write to is mounted read-only
- `NoExec` (fail): no program may be run from the file system of the CNI plugins
- `NetworkFileSystem` (warn): etcd's data or the images lie on a network file system
- `Unread` (unknown): the file system of a folder did not answer, or could not be asked

## What it sends
Nothing, but what a network file system sends when it is asked for its room.

## How to fix
See what fills it. Old journals go with `journalctl --vacuum-size=`, images that no container uses with `crictl rmi --prune`: where no registry is at
hand, they do not come back. Logs and other people's data are for a person to decide about.

## How to verify
`df -h` and `df -i` of the folder.

## References
- kubernetes.io "Node-pressure Eviction"; kubernetes `pkg/kubelet/apis/config/v1beta1/defaults_linux.go` (DefaultEvictionHard), `pkg/kubelet/eviction/helpers.go`
- etcd `server/storage/wal/wal.go` (SegmentSizeBytes), `server/embed/config.go` (DefaultMaxWALs); etcd.io "Hardware recommendations"
- Linux `Documentation/filesystems/overlayfs.rst` (an upper directory on NFS is not supported)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._node_ready_links import no_pod_starts
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.disk import Disk, wanted
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Status,
    fail,
    passed,
    unknown,
    warn,
)
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.disk import Place, Role
    from k8sdoctor.host.answers import Space

NONE_LEFT = 64_000_000
"""Bytes that etcd takes at once for the next file of its log (SegmentSizeBytes)."""

ETCD_KEEPS = 5 * NONE_LEFT
"""Bytes of the log's files that etcd keeps (DefaultMaxWALs)."""

NEAR = 5.0
"""Percentage points above a threshold that are near it."""

_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "9p",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
    "lustre",
    "afs",
)

_FOR: dict[Role, str] = {
    "kubelet": "the kubelet's folder",
    "images": "the runtime's images",
    "etcd": "etcd's data",
    "logs": "the pods' logs",
    "plugins": "the CNI plugins",
}

# What the kubelet watches of each file system (kubernetes pkg/kubelet/eviction/helpers.go, makeSignalObservations).
_SIGNALS: tuple[tuple[Role, str], ...] = (("kubelet", "nodefs"), ("images", "imagefs"))


@dataclass(frozen=True, slots=True)
class _Shortage:
    """What is short on a file system: `left` of `total`; `limit` is the kubelet's, and `signal` its name and value."""

    noun: str
    left: int
    total: int
    limit: float
    signal: str

    def __str__(self) -> str:
        share = f"{100 * self.left / self.total:.1f} %"
        if self.noun == "inodes":
            return f"{self.left} of {self.total} inodes ({share})"
        return f"{_size(self.left)} of {_size(self.total)} ({share})"


@check("disk", title="There is room on the node's disks", area="node", profiles=NOT_DNS)
def disk(stage: Stage, disk: Disk) -> Iterator[Finding]:
    """Judge each file system once, whatever lies on it."""
    findings = [
        unknown(
            "Unread",
            f"The room for {_FOR[place.role]} could not be told: {place.problem.message}.",
            subject=place.path,
        )
        for place in disk.places
        if place.problem is not None
    ]
    systems: dict[tuple[str, str, int], list[Place]] = {}
    for place in disk.places:
        if place.space is not None:
            systems.setdefault((place.space["mount"], place.space["source"], place.space["total"]), []).append(place)
    for places in systems.values():
        findings += _judged(places, disk, stage)
    yield from findings
    if not any(finding.status in (Status.FAIL, Status.WARN, Status.UNKNOWN) for finding in findings):
        yield passed(
            "Enough",
            "There is room for " + _listed([_FOR[place.role] for place in disk.places]) + ".",
            evidence=[_seen(place, place.space) for place in disk.places if place.space is not None],
        )


def _judged(places: list[Place], disk: Disk, stage: Stage) -> Iterator[Finding]:
    """What is wrong with one file system. Of one that may not be written to, its room says nothing more."""
    space = places[0].space
    assert space is not None  # noqa: S101 -- the caller's
    yield from _kind(places, space)
    written = [place for place in places if place.role != "plugins"]
    if not written:
        return
    if space["read_only"]:
        yield _read_only(written, space)
        return
    yield from _room(written, space, disk, stage)


# -- kind ----------------------------------------------------------------------------------------------------------------


def _kind(places: list[Place], space: Space) -> Iterator[Finding]:
    for place in places:
        if place.role == "plugins" and space["no_exec"] and place.seen == place.path:
            yield fail(
                "NoExec",
                f"{space['mount']}, where the CNI plugins lie ({place.path}), is mounted noexec, so that none of them can be run.",
                subject=place.path,
                evidence=[_seen(place, space)],
                fix=Fix(
                    "Allow programs to be run there, now and in fstab or the mount's unit",
                    (f"mount -o remount,exec {quote(space['mount'])}",),
                    f"findmnt -no OPTIONS --target {quote(place.path)}",
                    Safety.MANUAL,
                    (f"grep -rn noexec /etc/fstab /etc/systemd/system/*.mount | grep -F {quote(space['mount'])}",),
                ),
            )
        if place.role in ("etcd", "images") and space["type"] in _NETWORK:
            why = (
                "etcd wants every write to be on the disk in some milliseconds, and locks its file"
                if place.role == "etcd"
                else "overlayfs cannot have its upper folder there, so the runtime may not start"
            )
            yield warn(
                "NetworkFileSystem",
                f"{place.path}, for {_FOR[place.role]}, is on a network file system ({space['type']}, {space['source']}): {why}.",
                subject=place.path,
                evidence=[_seen(place, space)],
                fix=Fix(
                    f"Move {place.path} to a disk of this machine",
                    (f"findmnt --target {quote(place.path)}",),
                    f"findmnt -no FSTYPE --target {quote(place.path)}",
                    Safety.MANUAL,
                ),
            )


def _read_only(places: list[Place], space: Space) -> Finding:
    what = _listed([_FOR[place.role] for place in places])
    return fail(
        "ReadOnly",
        f"{space['mount'] or places[0].seen} ({space['type']}, {space['source']}) is mounted read-only, and {what} must be written there.",
        subject=space["mount"] or places[0].seen,
        evidence=[_seen(place, space) for place in places],
        fix=Fix(
            "See why (after an error on the disk the kernel does it), then mount it writable again",
            (
                "dmesg --level=err,warn | grep -i -e 'read-only' -e 'I/O error' -e ext4 -e xfs | tail -n 20",
                f"mount -o remount,rw {quote(space['mount'])}",
            ),
            f"findmnt -no OPTIONS --target {quote(places[0].seen)}",
            Safety.MANUAL,
        ),
        explains=_of_no_space(places, "nothing can be written there"),
    )


# -- room ----------------------------------------------------------------------------------------------------------------


def _room(places: list[Place], space: Space, disk: Disk, stage: Stage) -> Iterator[Finding]:
    gone = _gone(space)
    if gone is not None:
        yield _none_left(places, space, gone)
        return
    shortages = list(_shortages(places, space, disk))
    below = [each for each in shortages if each.left < each.limit]
    near = [each for each in shortages if each.left < each.limit + each.total * NEAR / 100]
    if below:
        yield _pressure(places, space, disk, stage, below)
    elif near:
        yield _near(places, space, disk, near)
    elif any(place.role == "etcd" for place in places) and space["available"] < ETCD_KEEPS:
        left = _Shortage("bytes", space["available"], space["total"], ETCD_KEEPS, "")
        yield warn(
            "NearlyFull",
            f"{_where(places, space)} has {left} left, and etcd keeps {_size(ETCD_KEEPS)} of its log alone.",
            subject=space["mount"] or places[0].seen,
            evidence=[_seen(place, space) for place in places],
            fix=_look(places, space, prune=False),
        )


def _gone(space: Space) -> str | None:
    if space["available"] < NONE_LEFT:
        return f"{_size(space['available'])} of {_size(space['total'])} left"
    if space["inodes"] and not space["inodes_free"]:
        return f"none of {space['inodes']} inodes left, so no file can be made"
    return None


def _none_left(places: list[Place], space: Space, gone: str) -> Finding:
    what = _listed([_FOR[place.role] for place in places])
    return fail(
        "NoSpaceLeft",
        f"{_where(places, space)} has {gone}; it is needed for {what}.",
        subject=space["mount"] or places[0].seen,
        evidence=[_seen(place, space) for place in places],
        fix=_look(places, space, prune=any(place.role == "images" for place in places)),
        explains=_of_no_space(places, "no space is left on that file system"),
    )


def _shortages(places: list[Place], space: Space, disk: Disk) -> Iterator[_Shortage]:
    roles = {place.role for place in places}
    for role, name in _SIGNALS:
        if role not in roles:
            continue
        for noun, left, total, signal in (
            ("bytes", space["available"], space["total"], f"{name}.available"),
            ("inodes", space["inodes_free"], space["inodes"], f"{name}.inodesFree"),
        ):
            value = disk.thresholds.get(signal)
            limit = wanted(value, total) if value and total else None
            if limit is not None:
                yield _Shortage(noun, left, total, limit, f"{signal}<{value}")


def _pressure(places: list[Place], space: Space, disk: Disk, stage: Stage, below: list[_Shortage]) -> Finding:
    worst = max(below, key=lambda each: (each.limit - each.left) / each.total)
    so = (
        "the kubelet reports DiskPressure, removes images that no container uses, and evicts pods"
        if stage.joined
        else "a kubelet would report DiskPressure as soon as it runs, and evict pods"
    )
    why = f"{_where(places, space)} was seen to have {worst} left, and {worst.signal} holds ({disk.source})"
    return fail(
        "DiskPressure",
        f"{_where(places, space)} has {worst} left, less than {worst.signal} allows ({disk.source}): {so}.",
        subject=space["mount"] or places[0].seen,
        evidence=[*(_seen(place, space) for place in places), Evidence(disk.source, worst.signal)],
        fix=_look(places, space, prune=any(place.role == "images" for place in places)),
        explains=[Link("node-ready", "DiskPressure", why, Certainty.PROVEN)],
    )


def _near(places: list[Place], space: Space, disk: Disk, near: list[_Shortage]) -> Finding:
    worst = min(near, key=lambda each: (each.left - each.limit) / each.total)
    removes = (
        f" From {disk.gc_high} % in use it removes images that no container uses."
        if any(place.role == "images" for place in places) and disk.gc_high < 100  # noqa: PLR2004 -- percent
        else ""
    )
    return warn(
        "NearlyFull",
        f"{_where(places, space)} has {worst} left, and the kubelet evicts pods when {worst.signal} holds ({disk.source}).{removes}".rstrip(),
        subject=space["mount"] or places[0].seen,
        evidence=[*(_seen(place, space) for place in places), Evidence(disk.source, worst.signal)],
        fix=_look(places, space, prune=False),
    )


def _look(places: list[Place], space: Space, *, prune: bool) -> Fix:
    mount = quote(space["mount"] or places[0].seen)
    few_inodes = space["inodes"] and space["inodes_free"] * 20 < space["inodes"]
    commands = [
        f"du -x {'--inodes' if few_inodes else '-h'} --max-depth=3 {mount} 2>/dev/null | sort -{'n' if few_inodes else 'h'} | tail -n 15",
        "journalctl --vacuum-size=500M",
    ]
    if prune:
        commands.append("crictl rmi --prune")
    title = "See what fills it, and make room; the journal's oldest part goes"
    if prune:
        title += ", and images that no container uses, which come back from a registry alone"
    return Fix(title, tuple(commands), f"df -h {mount}; df -i {mount}", Safety.MANUAL)


def _of_no_space(places: list[Place], why: str) -> list[Link]:
    roles = {place.role for place in places}
    links = []
    if roles & {"kubelet", "images"}:
        links += [
            Link("node-ready", "DiskPressure", why, Certainty.PROVEN),
            *(
                Link("node-ready", reason, why)
                for reason in (
                    *("KubeletCrashes", "KubeletUnhealthy", "NotReady"),
                    *("RuntimeDown", "CriNotServed", "RuntimeNotReady"),
                )
            ),
        ]
    if roles & {"kubelet", "images", "logs"}:
        links += no_pod_starts(why)
    if "etcd" in roles:
        links += [Link("etcd", reason, why) for reason in ("Unreachable", "Unhealthy")]
        # Also where its last words are known: they speak of the disk.
        links += [
            Link("control-plane", reason, why, when=frozenset({"component:etcd"}))
            for reason in ("ComponentDown", "ComponentUnhealthy")
        ]
    return links


# -- words ---------------------------------------------------------------------------------------------------------------


def _where(places: list[Place], space: Space) -> str:
    """`/var (ext4, with /var/lib/kubelet and /var/lib/containerd)`."""
    mount = space["mount"] or places[0].seen
    return f"{mount} ({space['type'] or 'unknown type'}, with {_listed([place.path for place in places])})"


def _seen(place: Place, space: Space) -> Evidence:
    where = place.path if place.seen == place.path else f"{place.path} (not there yet; {place.seen})"
    inodes = f", {space['inodes_free']} of {space['inodes']} inodes free" if space["inodes"] else ""
    flags = "".join(f", {word}" for word, holds in (("ro", space["read_only"]), ("noexec", space["no_exec"])) if holds)
    return Evidence(
        f"statvfs of {where}",
        f"{_size(space['available'])} of {_size(space['total'])} available{inodes}; "
        f"{space['type']} {space['source']} on {space['mount']}{flags}",
    )


def _size(number: float) -> str:
    """Bytes as a person reads them.

    >>> _size(78072385536), _size(1024 * 1024), _size(12)
    ('72.7 GiB', '1.0 MiB', '12 B')
    """
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number:.0f} B"


def _listed(words: list[str]) -> str:
    """Each once: `a, b and c`."""
    return enumerated(list(dict.fromkeys(words)))
