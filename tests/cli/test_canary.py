"""A real run over a node whose every file holds every kind of secret writes none of them anywhere."""

from __future__ import annotations

import json
import tarfile
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.render import FORMATS
from tests.canaries import leaks
from tests.canary_root import EVERY, PLUG_IN, planted
from tests.cli.doctor import doctor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """All that lies in a folder, and what is in its archives."""
    for path in sorted(folder.iterdir()):
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    yield f"{path.name}:{member.name}", member.name + (file.read().decode() if file else "")
        else:
            yield path.name, path.read_text()


@pytest.mark.parametrize("whole", [True, False], ids=["in files as they are", "in files of nothing else"])
def test_no_secret_is_in_a_bundle_a_report_a_traceback_or_on_the_screen(tmp_path: Path, *, whole: bool) -> None:
    root, out, plug_ins = planted(tmp_path / "root", whole=whole), tmp_path / "out", tmp_path / "checks"
    out.mkdir()
    plug_ins.mkdir()
    (plug_ins / "quoting.py").write_text(PLUG_IN)
    for name in ("config.yaml", "images.list"):
        (tmp_path / name).write_text(EVERY)
    reports = [f"--report={out / name}" for name in ("r.txt", "r.json", "r.yaml", "r.md", "r.xml", "r.html")]
    asked = ["--root", str(root), "--offline", "--checks-dir", str(plug_ins), "--config", str(tmp_path / "config.yaml")]
    asked += ["--images", str(tmp_path / "images.list")]

    done = doctor("record", "-o", str(out / "node.tar.gz"), *asked, *reports)
    assert done.returncode == 0, done.stderr
    judged = doctor("check", "--bundle", str(out / "node.tar.gz"), "--checks-dir", str(plug_ins))

    found = dict(texts(out)) | {"stdout": done.stdout, "stderr": done.stderr, "judged": judged.stdout + judged.stderr}
    assert set(FORMATS) <= {"text", "json", "yaml", "markdown", "junit", "html"}  # each has a report above
    broken = json.loads(found["r.json"])["broken"]
    assert "REDACTED-" in broken[0]["traceback"]
    assert "REDACTED-" in found["node.tar.gz:files/root/.docker/config.json"]
    assert {name: leaks(text) for name, text in found.items() if leaks(text)} == {}


def test_the_recorded_node_that_comes_along_holds_no_secret() -> None:
    text = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")

    assert "PRIVATE KEY-----\\nMI" not in text
    assert "token:" not in text
