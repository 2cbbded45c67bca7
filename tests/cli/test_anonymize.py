"""A bundle and a report without the node's names."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

from tests.anonymize.nodes import sick_node
from tests.bundles import written
from tests.cli.doctor import doctor, document

if TYPE_CHECKING:
    from pathlib import Path


def frodo(root: Path) -> Path:
    """The root of a machine of this name."""
    for path, text in {
        "etc/hostname": "frodo\n",
        "etc/resolv.conf": "search shire.example.com\nnameserver 10.27.53.1\n",
        "etc/kubernetes/kubelet.conf": "kind: Config\nclusters:\n- cluster: {server: 'https://10.27.53.7:6443'}\n",
        "etc/os-release": "ID=debian\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_bundle_without_names_holds_none_of_them_and_judges_alike(tmp_path: Path) -> None:
    root, bundle, report = frodo(tmp_path / "root"), tmp_path / "n.tar.gz", tmp_path / "report.txt"
    done = doctor(
        *("record", "-o", str(bundle), "--root", str(root), "--offline", "--anonymize", "--report", str(report))
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "of node node-1" in done.stdout
    assert "another conclusion" not in done.stdout
    with tarfile.open(bundle) as archive:
        files = [(name, archive.extractfile(name)) for name in archive.getnames()]
        texts = [name + (file.read().decode() if file else "") for name, file in files] + [report.read_text()]
    for name in ("frodo", "shire", "10.27.53.7", "10.27.53.1"):
        assert [text for text in texts if name in text] == [], name
    assert json.loads(texts[0].removeprefix("manifest.json"))["anonymized"] is True


def test_a_bundle_without_names_can_be_judged_like_any_other(tmp_path: Path) -> None:
    bundle, report = tmp_path / "n.tar.gz", tmp_path / "report.json"
    words = ("record", "-o", str(bundle), "--root", str(frodo(tmp_path / "root")), "--offline", "--anonymize")
    assert doctor(*words, "--report", str(report)).returncode == 0

    judged = doctor("check", "--bundle", str(bundle), "-o", "json")

    assert judged.stderr == ""
    assert conclusions(document(judged)) == conclusions(json.loads(report.read_text()))


def conclusions(report: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {
        each["check"]: [(finding["status"], finding["reason"]) for finding in each["findings"]]
        for each in report["results"]
    }


def test_a_recording_is_judged_without_names_and_comes_to_the_same_conclusions(tmp_path: Path) -> None:
    bundle = str(written(sick_node(), tmp_path / "n.tar.gz"))
    named = document(doctor("check", "--bundle", bundle, "-o", "json"))
    done = doctor("check", "--bundle", bundle, "--anonymize", "-o", "json")
    anonymous = document(done)

    assert done.stderr == ""
    assert "frodo" in json.dumps(named)
    assert "frodo" not in json.dumps(anonymous)
    assert [each["metadata"]["anonymized"] for each in (named, anonymous)] == [False, True]
    assert [each["status"] for each in anonymous["results"]] == [each["status"] for each in named["results"]]
