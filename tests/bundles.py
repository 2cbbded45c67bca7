"""Bundles made of entries, and archives that nobody should have made."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from k8sdoctor.host.bundle_writer import BundleWriter, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
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

MANIFEST: dict[str, Any] = {
    "format": "k8sdoctor/bundle/v2",
    "tool": {"name": "k8sdoctor", "version": "0.1.0"},
    "deadline": 15,
    "anonymized": False,
}
END: dict[str, Any] = {"profile": None}


def written(entries: Iterable[Entry], path: Path, *, profile: str | None = None) -> Path:
    """A bundle that holds these entries."""
    with path.open("wb") as file:
        writer = BundleWriter(file, ORIGIN)
        for entry in entries:
            writer.add(entry)
        writer.finish(profile=profile, stage="bare", dropped=0)
    return path


def archive(*members: tarfile.TarInfo | tuple[str, Any], packed: bool = True) -> bytes:
    """A tar archive: names with their content (what is no bytes is written as JSON), or headers without any."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member, io.BytesIO(b"\0" * member.size))
            else:
                name, content = member
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                header = tarfile.TarInfo(name)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), 1) if packed else stream.getvalue()


def with_members(*members: tarfile.TarInfo | tuple[str, Any], end: Mapping[str, Any] = END) -> bytes:
    """A bundle that is right but for these members."""
    return archive(("manifest.json", MANIFEST), *members, ("end.json", dict(end)))
