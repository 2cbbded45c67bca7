"""What a wheel holds: the checks are found by way of a symbolic link, and a build tool that misses it says nothing."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.house import source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source


def build(kind: str, folder: Path, out: Path) -> Path:
    """Build a distribution without asking the network."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = out.iterdir()
    return built


def content(wheel: Path) -> dict[str, bytes]:
    """The package's files in a wheel; the list of hashes follows from them."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = source.copy(tmp_path_factory.mktemp("tree"))
    return content(build("wheel", folder, tmp_path_factory.mktemp("wheel")))


def test_the_wheel_holds_each_file_of_the_checks_folder(wheel: dict[str, bytes]) -> None:
    folder = {path.name: path.read_bytes() for path in (source.ROOT / "checks").iterdir() if path.suffix == ".py"}

    built = {name.removeprefix("k8sdoctor/checks/"): data for name, data in wheel.items() if "/checks/" in name}

    assert built == folder


def test_the_wheel_holds_all_of_the_package_and_nothing_else(wheel: dict[str, bytes]) -> None:
    package = {
        name for name in source.texts() if name.startswith("k8sdoctor/") and not name.startswith("k8sdoctor/checks")
    }

    built = {name for name in wheel if ".dist-info/" not in name and not name.startswith("k8sdoctor/checks/")}

    assert built == package


def test_the_sdist_builds_the_same_wheel(wheel: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("tree", "sdist", "unpacked", "wheel"):
        (tmp_path / name).mkdir()
    sdist = build("sdist", source.copy(tmp_path / "tree"), tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [folder] = (tmp_path / "unpacked").iterdir()

    assert content(build("wheel", folder, tmp_path / "wheel")) == wheel
