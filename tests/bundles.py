"""Bundles made of entries, and archives that nobody should have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.host.bundle_writer import BundleWriter, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from k8sdoctor.host.recording import Entry

ORIGIN = Origin(
    tool="0.1.0",
    identity={"hostname": "node1", "kernel": "6.1.0", "machine": "x86_64", "euid": 0},
    given={"config": None, "kubeconfig": None, "endpoints": []},
    now=1_780_000_000.0,
    request={},
    deadline=15.0,
)


def written(entries: Iterable[Entry], path: Path, *, profile: str | None = None) -> Path:
    """A bundle that holds these entries."""
    with path.open("wb") as file:
        writer = BundleWriter(file, ORIGIN)
        for entry in entries:
            writer.add(entry)
        writer.finish(profile=profile, stage="bare", dropped=0)
    return path
