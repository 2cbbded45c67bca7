"""Writes what the one-file executable is made of, as a software bill of materials: CycloneDX 1.6, JSON.

Python's packages are those whose metadata lie in the file; Debian's are those whose code was linked into it or copied.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "k8sdoctor"


def write(made: Path, tree: Path, debs: Iterable[Path]) -> Path:
    """Write the bill beside the executable, and give its path. The time in it is SOURCE_DATE_EPOCH's, where that is set."""
    parts = [*_python(tree), *_debian(debs)]
    whole = Component(name=NAME, version=_version(tree), type=ComponentType.APPLICATION, bom_ref=NAME)
    whole.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=_sha256(made)))
    bom = Bom(components=parts, dependencies=[Dependency(whole.bom_ref, [Dependency(each.bom_ref) for each in parts])])
    bom.metadata.component = whole
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    bom.metadata.timestamp = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    bom.serial_number = uuid5(NAMESPACE_URL, f"{NAME}:{whole.hashes[0].content}")
    path = made.with_name(f"{made.name}.cdx.json")
    make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_to_file(str(path), allow_overwrite=True, indent=2)
    return path


def _python(tree: Path) -> list[Component]:
    found = sorted(metadata.distributions(path=[str(tree)]), key=lambda each: each.name.lower())
    return [_component(each.name, each.version, "pypi", None) for each in found if each.name != NAME and _inside(each)]


def _inside(package: metadata.Distribution) -> bool:
    """Whether anything of a package is left but its metadata."""
    files = (Path(str(package.locate_file(each))) for each in package.files or ())
    return any(each.exists() and ".dist-info/" not in str(each) for each in files)


def _debian(debs: Iterable[Path]) -> list[Component]:
    fields = [
        subprocess.run(
            ["dpkg-deb", "--show", "--showformat", "${Package} ${Version}", str(each)],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for each in debs
    ]
    return [_component(name, version, "deb", "debian") for name, version in sorted(fields)]


def _component(name: str, version: str, kind: str, namespace: str | None) -> Component:
    url = PackageURL(type=kind, namespace=namespace, name=name, version=version)
    return Component(name=name, version=version, purl=url, bom_ref=str(url), type=ComponentType.LIBRARY)


def _version(tree: Path) -> str:
    [ours] = [each for each in metadata.distributions(path=[str(tree)]) if each.name == NAME]
    return ours.version


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
