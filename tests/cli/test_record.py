"""Recording this machine, and judging it from the file."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

from tests.cli.doctor import checks, doctor, document

if TYPE_CHECKING:
    from pathlib import Path


def timeless(report: dict[str, Any]) -> dict[str, Any]:
    """A report less its times, and less that it is of a bundle."""
    metadata = {name: value for name, value in report["metadata"].items() if name not in ("durationSeconds", "source")}
    results = [{**result, "seconds": 0} for result in report["results"]]
    return {**report, "metadata": metadata, "results": results}


def test_a_bundle_is_judged_as_the_node_was(tmp_path: Path) -> None:
    bundle, report = tmp_path / "node.tar.gz", tmp_path / "live.json"
    recorded = doctor("record", "-o", str(bundle), "--offline", "--report", str(report))
    assert (recorded.returncode, recorded.stderr) == (0, "")
    assert "k8sdoctor check --bundle node.tar.gz" in recorded.stdout

    judged = document(doctor("check", "--bundle", str(bundle), "-o", "json"))

    live = json.loads(report.read_text())
    assert judged["metadata"]["source"] == "bundle"
    assert live["metadata"]["source"] == "live"
    assert timeless(judged) == timeless(live)
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
        member = archive.extractfile("report.json")
        assert member is not None
        kept = json.load(member)
    assert {"manifest.json", "report.txt", "errors.json", "end.json", "files/etc/os-release"} <= set(names)
    assert timeless(kept) == timeless(live)
    assert bundle.stat().st_mode & 0o777 == 0o600


def test_what_was_not_recorded_is_unknown(tmp_path: Path) -> None:
    bundle = str(tmp_path / "node.tar.gz")
    doctor("record", "-o", bundle, "--offline", "--profile", "dns")

    done = doctor("check", "--bundle", bundle, "kernel", "--checks-dir", checks(tmp_path / "c", "fine"), "-o", "json")

    [result] = document(done)["results"]
    assert {finding["reason"] for finding in result["findings"]} == {"NotRecorded"}
    assert done.returncode == 3
