"""etcd's disk keeps what is written to it soon enough.

## What it looks at
How long each of up to 1000 records of 2 KiB takes until it is on the disk where this node's etcd keeps its data.

## Why it matters
etcd answers a write when a majority of its members have it on their disks. Where that takes long, leaders do not send their heartbeats in time and elections follow, and
the API server is slow or does not answer; the log then blames the network as often as the disk.

## How it is decided
Only when `--intrusive` is given, for it loads the disk. 99 of 100 writes should take less than 10 ms, as etcd's own documentation wants it; more is a
warning, since one measure of two seconds on a disk in use is no proof. Fewer than 50 writes in that time are told as well: each took 40 ms or more.

## Reasons
- `FastEnough` (pass): 99 of 100 writes took less than 10 ms
- `NotAskedFor` (skip): `--intrusive` was not given, so nothing was written
- `NoEtcdHere` (skip): this node keeps no data of etcd
- `SlowDisk` (warn): 99 of 100 writes took longer than that
- `NotMeasured` (unknown): it could not be written there

## What it sends
Nothing. It writes 2 MiB at most, in two seconds at most, to a file without a name (O_TMPFILE) in etcd's folder, which is gone when it is closed, also when
k8sdoctor is killed. Nothing is written where less than 128 MiB are left.

## How to fix
Give etcd a disk of its own, an SSD of this machine; move what else writes there (images, logs, backups) elsewhere.

## How to verify
Run the check with `--intrusive` again, at a busy hour; etcd's metric `etcd_disk_wal_fsync_duration_seconds`.

## References
- etcd.io "FAQ" (p99 of the log's fsync below 10 ms), "Hardware recommendations", "Tuning" (heartbeat of 100 ms)
- open(2), O_TMPFILE
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.facts.etcd_disk import EtcdDisk
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = 0.010
"""Seconds below which 99 of 100 writes should be."""

FEW = 50
"""Writes that are too few for a percentile, and for a disk."""


@check("etcd-disk", title="etcd's disk is fast enough", area="control plane", profiles=frozenset())
def etcd_disk(disk: EtcdDisk | Unobserved) -> Iterator[Finding]:
    """Judge the slowest but one in a hundred."""
    if isinstance(disk, Unobserved):
        yield unknown(
            disk.reason if disk.reason in ("NotPermitted", "NotRecorded", "DeadlineExceeded") else "NotMeasured",
            f"How fast etcd's disk is could not be measured: {disk.message}.",
        )
        return
    if not disk.allowed:
        yield skip(
            "NotAskedFor",
            "How fast etcd's disk is was not measured, since that writes to it for two seconds; --intrusive allows it.",
        )
        return
    if disk.folder is None:
        yield skip("NoEtcdHere", "This node keeps no data of etcd, so no disk was measured.")
        return
    slow, middle = disk.percentile(0.99), disk.percentile(0.5)
    told = f"{len(disk.times)} writes: half within {_ms(middle)}, 99 of 100 within {_ms(slow)}, the slowest {_ms(disk.percentile(1))}"
    where = f" ({disk.space['type']} on {disk.space['source']})" if disk.space else ""
    evidence = [Evidence(f"fdatasync of 2 KiB in {disk.folder}", told)]
    if slow < WANTED and len(disk.times) >= FEW:
        yield passed(
            "FastEnough",
            f"99 of 100 small writes to {disk.folder}{where} are on the disk within {_ms(slow)}.",
            subject=disk.folder,
            evidence=evidence,
        )
        return
    yield warn(
        "SlowDisk",
        f"Small writes to {disk.folder}{where} take {_ms(slow)} until 99 of 100 are on the disk; etcd wants less than {_ms(WANTED)}.",
        subject=disk.folder,
        evidence=evidence,
        fix=Fix(
            "See who else writes to that disk, and give etcd a fast one of its own",
            (f"findmnt --target {disk.folder}", "iostat -x 1 5", "grep -H . /proc/pressure/io"),
            "k8sdoctor check etcd-disk --intrusive",
            Safety.MANUAL,
        ),
    )


def _ms(seconds: float) -> str:
    """A time in milliseconds.

    >>> _ms(0.0104), _ms(0.25)
    ('10.4 ms', '250.0 ms')
    """
    return f"{seconds * 1000:.1f} ms"
