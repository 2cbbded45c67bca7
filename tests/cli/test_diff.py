"""`k8sdoctor diff A B`: what it prints, how it ends, and what it says of a file that is none of its."""

from __future__ import annotations

import gzip
import io
import json
import sys
from importlib import resources
from pathlib import Path

import pytest

from k8sdoctor import cli, passed, render
from tests.cli.doctor import checks
from tests.render.reports import SICK, report

GOOD = report(*((result.check, passed("Fine", "All is fine.")) for result in SICK.results))


@pytest.fixture
def healthy(tmp_path: Path) -> str:
    path = tmp_path / "before.json"
    path.write_text(render.report(GOOD, "json"), "utf-8")
    return str(path)


@pytest.fixture
def sick(tmp_path: Path) -> str:
    path = tmp_path / "after.yaml"
    path.write_text(render.report(SICK, "yaml"), "utf-8")
    return str(path)


def diff(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.run(["diff", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_sick_node_after_a_healthy_one_is_worse(capsys: pytest.CaptureFixture[str], healthy: str, sick: str) -> None:
    code, out, err = diff(capsys, healthy, sick)

    assert (code, err) == (1, "")
    assert "one node, before (A) and after (B)" in out
    assert out.index("NEW IN B") < out.index("br-netfilter/BridgeNfCallOff") < out.index("modprobe br_netfilter")


def test_a_healthy_node_after_a_sick_one_is_better(capsys: pytest.CaptureFixture[str], healthy: str, sick: str) -> None:
    code, out, _ = diff(capsys, sick, healthy)

    assert code == 0
    assert "FIXED IN B" in out
    assert "NEW IN B" not in out


def test_a_report_against_itself_is_no_worse(capsys: pytest.CaptureFixture[str], sick: str) -> None:
    code, out, _ = diff(capsys, sick, sick)

    assert code == 0
    assert "Both are the same." in out


@pytest.mark.parametrize("format_", list(render.COMPARISON_FORMATS))
def test_every_format_names_the_cause(
    capsys: pytest.CaptureFixture[str], healthy: str, sick: str, format_: str
) -> None:
    code, out, _ = diff(capsys, healthy, sick, "-o", format_)

    assert code == 1
    for word in ("BridgeNfCallOff", "cni0", "before.json", "after.yaml"):
        assert word in "".join(out.split())  # a path that is longer than the line is folded


def test_one_of_the_two_may_come_from_stdin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, healthy: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(render.report(SICK, "json").encode())))

    code, out, _ = diff(capsys, healthy, "-", "-o", "json")

    assert (code, json.loads(out)["b"]["path"]) == (1, "stdin")


DEMO = Path(str(resources.files("k8sdoctor") / "data" / "demo.json"))


def test_recordings_are_judged_and_the_cause_s_switch_is_what_differs_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    twin = json.loads(DEMO.read_text("utf-8"))
    for entry in twin["answers"]:
        if entry["arguments"].get("path") == "/proc/sys/net/bridge/bridge-nf-call-iptables" and entry["verb"] == "read":
            entry["answer"] = "1\n"
    before = tmp_path / "before.json"
    before.write_text(json.dumps(twin), "utf-8")

    code, out, _ = diff(capsys, str(before), str(DEMO), "-o", "json")

    told = json.loads(out)
    assert (code, told["findings"][0]["check"], told["findings"][0]["change"]) == (1, "br-netfilter", "new")
    [difference] = told["differences"]
    assert (difference["what"], difference["a"], difference["b"]) == (
        "net.bridge.bridge-nf-call-iptables",
        ["1"],
        ["0"],
    )


def test_a_recording_is_judged_with_the_checks_of_a_folder_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = diff(capsys, str(DEMO), str(DEMO), "--checks-dir", checks(tmp_path / "own", "failed"))

    assert code == 0
    assert "failed/Failed (cni0)" in out
    assert "Both are the same." in out


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    _, out, _ = diff(capsys, "--help")

    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_a_recording_on_stdin_is_refused_with_what_is_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, healthy: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"a bundle"))))

    assert "a recording is not read from stdin; name its file" in refused(capsys, healthy, "-")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code, out, err = diff(capsys, *words)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    return line


def test_what_is_no_report_is_named_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, healthy: str
) -> None:
    for name, content, told in (
        ("empty.json", b"", "it is empty"),
        ("node.json", b'{"kind": "Node", "apiVersion": "v1"}', "it has no `kind: Report`"),
        ("later.json", b'{"kind": "Report", "apiVersion": "k8sdoctor/v9"}', "a newer k8sdoctor wrote it"),
        ("half.json", render.report(SICK, "json")[:-200].encode(), "it is no JSON"),
        ("node.tar.gz", gzip.compress(b"no archive"), "it is not whole"),
        ("recording.json", b'{"format": "k8sdoctor/recording/v1", "answers": 7}', "it is neither a bundle"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\xff\xfe", "it is not text"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        for words in ((healthy, str(path)), (str(path), healthy)):
            line = refused(capsys, *words)
            assert told in line, line
            assert str(path) in line
            assert line.startswith(f"k8sdoctor: {'B' if words[1] == str(path) else 'A'}")
    assert "Is a directory" in refused(capsys, healthy, str(tmp_path))
    assert "No such file" in refused(capsys, str(tmp_path / "absent"), healthy)
    assert "cannot both be read from stdin" in refused(capsys, "-", "-")
    assert "the following arguments are required: B" in refused(capsys, healthy)
