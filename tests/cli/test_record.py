"""Recording a machine, and judging it from the file."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from k8sdoctor import cli
from k8sdoctor.cli import recording
from k8sdoctor.host.bundle import open_bundle
from k8sdoctor.host.recording import Recording
from tests.bundles import with_members, written
from tests.cli.doctor import WATCHDOG, command, doctor, document, environment, hanging
from tests.lab.node import wait_for
from tests.render.reports import SICK
from tests.reports import concluded, differences, judged, timeless
from tests.tui.terminal import Terminal

DEMO = Path(str(resources.files("k8sdoctor"))) / "data" / "demo.json"

CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
networking: {podSubnet: 10.244.0.0/33}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that look at a root file system with next to nothing in it, and at nobody else."""
    root = tmp_path_factory.mktemp("root")
    for path, text in {
        "etc/hostname": "worker-1\n",
        "etc/sysctl.d/99-Größe.conf": "net.ipv4.ip_forward = 0\n",
        "etc/kubernetes/kubelet.conf": "users: [{name: a, user: {token: abcdef.0123456789abcde0}}]\n",
    }.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return ["--root", str(root), "--offline"]


@dataclass(frozen=True)
class Kept:
    """A bundle, the report of the run that it is of, and what was printed."""

    bundle: Path
    live: dict[str, Any]
    said: str


def recorded(folder: Path, *options: str) -> Kept:
    bundle, report = folder / "node.tar.gz", folder / "live.json"
    done = doctor("record", "-o", str(bundle), "--report", str(report), *options)
    assert (done.returncode, done.stderr) == (0, "")
    return Kept(bundle, json.loads(report.read_text()), done.stdout)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, node: list[str]) -> Kept:
    return recorded(tmp_path_factory.mktemp("kept"), *node)


# -- recording ---------------------------------------------------------------------------------------------------------------


def test_a_bundle_is_judged_as_the_node_was(kept: Kept) -> None:
    again = judged(kept.bundle)

    assert differences(kept.live, again) == []
    assert kept.live["broken"] == []
    assert (kept.live["metadata"]["source"], again["metadata"]["source"]) == ("live", "bundle")
    assert kept.live["metadata"]["node"] == again["metadata"]["node"] == "worker-1"
    assert again["summary"]["status"] == "fail"


def test_a_bundle_that_lacks_an_answer_is_judged_otherwise(tmp_path: Path, kept: Kept) -> None:
    """What the comparison of the two would overlook, no test with it could see."""
    entries = [each for each in open_bundle(kept.bundle).entries() if each["verb"] != "listdir"]

    again = judged(written(entries, tmp_path / "node.tar.gz", profile=kept.live["metadata"]["profile"]))

    assert differences(kept.live, again) != []
    assert concluded(kept.live, again) != []


def test_its_files_are_readable_and_hold_no_secret(kept: Kept) -> None:
    with tarfile.open(kept.bundle) as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]  # each is a file
    assert texts["files/etc/sysctl.d/99-Größe.conf"] == "net.ipv4.ip_forward = 0\n"
    assert timeless(json.loads(texts["report.json"])) == timeless(kept.live)
    assert kept.live["diagnoses"][0]["cause"]["reason"] in texts["report.txt"]
    assert json.loads(texts["manifest.json"])["node"] == "worker-1"
    assert json.loads(texts["end.json"])["profile"] == kept.live["metadata"]["profile"]
    assert "REDACTED-1" in texts["files/etc/kubernetes/kubelet.conf"]
    assert not [name for name, text in texts.items() if "0123456789abcde0" in text]
    assert kept.bundle.stat().st_mode & 0o777 == 0o600


def test_what_was_written_and_what_to_do_with_it_is_told(kept: Kept) -> None:
    told = " ".join(kept.said.split())
    assert "files and " in told
    assert "of node worker-1" in told
    assert "k8sdoctor check --bundle node.tar.gz" in kept.said
    assert "Too long" not in told


def test_the_told_commands_can_be_pasted_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "my node.tar.gz"
    path.write_bytes(b"x")
    writer: Any = SimpleNamespace(counts=SimpleNamespace(files=1, answers=2), cut=())

    told = recording.Kept(path, SICK, writer, 0).summary(80)

    pasted = [shlex.split(line) for line in told.splitlines()[-3::2]]
    assert pasted == [["tar", "tzf", str(path)], ["k8sdoctor", "check", "--bundle", path.name]]


@pytest.mark.parametrize("width", [40, 80])
def test_what_was_written_is_told_within_the_screens_width(tmp_path: Path, width: int) -> None:
    path = tmp_path / "node.tar.gz"
    path.write_bytes(b"x")
    cut = [{"member": f"files/{'a' * 60}", "bytes": 9_000_000}]
    writer: Any = SimpleNamespace(counts=SimpleNamespace(files=1, answers=2), cut=cut)
    report = dataclasses.replace(SICK, node="a-very-long-name-of-a-node.in.a.long.domain.example.org", euid=1000)

    told = recording.Kept(path, report, writer, 3, ("With stand-ins " + "word " * 30,)).summary(width)

    *prose, _, _, _, _, _ = told.splitlines()
    assert max(map(len, prose)) <= width
    assert "".join(report.node.split()) in "".join(told.split())
    assert "recorded by root it holds all" in " ".join(told.split())


def test_options_are_taken_from_the_bundle(tmp_path: Path, node: list[str]) -> None:
    config, images = tmp_path / "kubeadm.yaml", tmp_path / "images.list"
    config.write_text(CONFIG)
    images.write_text("registry.example.org/a:1\n")
    kept = recorded(tmp_path, *node, "--config", str(config), "--images", str(images), "--profile", "init")
    config.unlink()

    again = judged(kept.bundle)

    assert differences(kept.live, again) == []
    assert again["metadata"]["profile"] == "init"
    assert "image-list" in {result["check"] for result in again["results"]}
    assert any("10.244.0.0/33" in finding["message"] for result in again["results"] for finding in result["findings"])


def test_a_file_that_is_there_is_replaced_when_that_is_asked_for(tmp_path: Path, node: list[str]) -> None:
    bundle = tmp_path / "node.tar.gz"
    bundle.write_text("precious")

    refused = doctor("record", "-o", str(bundle), *node)
    assert refused.returncode == 2
    assert refused.stderr == f"k8sdoctor: {bundle} is there already; --force replaces it\n"
    assert bundle.read_text() == "precious"

    assert doctor("record", "-o", str(bundle), "--force", *node).returncode == 0
    assert judged(bundle)["metadata"]["node"] == "worker-1"


def test_a_disk_that_is_full_leaves_nothing_and_is_told(tmp_path: Path, node: list[str]) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    done = subprocess.run(
        command("record", "-o", str(folder / "node.tar.gz"), *node),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)),
    )

    assert done.returncode == 3
    assert (
        done.stderr
        == f"k8sdoctor: {folder}/node.tar.gz could not be written, and nothing of it is left: File too large\n"
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_recording_leaves_nothing(tmp_path: Path, node: list[str], number: signal.Signals) -> None:
    plug_ins, folder = hanging(tmp_path / "plug-ins"), tmp_path / "kept"
    folder.mkdir()
    target = folder / "node.tar.gz"
    process = subprocess.Popen(
        command("record", "-o", str(target), "--deadline", "3600", "--checks-dir", plug_ins, *node),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_for(lambda: list(folder.iterdir()), "the file that grows")
    process.send_signal(number)
    _, said = process.communicate(timeout=WATCHDOG)

    assert process.returncode == 130
    assert said == f"k8sdoctor: interrupted; nothing was written to {target}\n"
    assert list(folder.iterdir()) == []


def test_a_recording_under_nohup_outlives_its_terminal(tmp_path: Path, node: list[str]) -> None:
    script = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from k8sdoctor import cli, engine; run = engine.run\n"
        "def hung_up(*words, **more): os.kill(os.getpid(), signal.SIGHUP); return run(*words, **more)\n"
        "engine.run = hung_up; sys.exit(cli.run(sys.argv[1:]))"
    )
    target = tmp_path / "node.tar.gz"
    done = subprocess.run(
        [sys.executable, "-c", script, "record", "-o", str(target), *node], check=False, env=environment()
    )

    assert done.returncode == 0
    assert target.exists()


# -- judging -----------------------------------------------------------------------------------------------------------------


def test_what_was_not_recorded_is_unknown(tmp_path: Path) -> None:
    done = doctor("check", "--bundle", str(written([], tmp_path / "node.tar.gz")), "kernel", "-o", "json")

    [result] = document(done)["results"]
    assert {finding["reason"] for finding in result["findings"]} == {"NotRecorded"}
    assert done.returncode == 3


def test_a_check_of_ones_own_asks_a_bundle_and_is_told_what_it_does_not_hold(tmp_path: Path, kept: Kept) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)

    done = doctor("check", "--bundle", str(kept.bundle), "own", "--checks-dir", str(folder), "-o", "json")

    [result] = document(done)["results"]
    [finding] = result["findings"]
    assert (finding["status"], finding["reason"]) == ("unknown", "NotRecorded")
    assert "/etc/machine-of-mine" in finding["message"]


OWN = '''"""A check of one's own."""
from k8sdoctor import Host, check, passed

class Mine:
    @classmethod
    def observe(cls, host: Host):
        host.read("/etc/machine-of-mine")
        return cls()

@check("own", title="It is mine", area="test")
def own(mine: Mine):
    yield passed("Mine", "It is.")
'''


def test_an_old_recording_is_judged_by_the_same_option_and_so_is_a_bundle_of_it(tmp_path: Path) -> None:
    said = document(doctor("demo", "-o", "json"))
    bundle = written(Recording(DEMO.read_text("utf-8")).entries(), tmp_path / "demo.tar.gz")

    assert differences(said, judged(DEMO)) == []
    assert differences(said, judged(bundle)) == []


def test_a_bundle_with_odd_contents_is_judged_to_the_end(tmp_path: Path) -> None:
    """Right in their shape, and nothing that a node would say."""
    odd = {
        "files/proc/cmdline": b"\0" * 1000,
        "files/etc/kubernetes/kubelet.conf": b"a: &a [*a]\n" + b"[" * 5000,
        "files/etc/containerd/config.toml": b"version = " + b"9" * 5000,
        "answers/now/1.json": {"verb": "now", "arguments": {}, "answer": 253402300799},
        "answers/identity/1.json": {
            "verb": "identity",
            "arguments": {},
            "answer": {"hostname": "\x1b[2J\udcff", "kernel": "", "machine": "", "euid": 10**400},
        },
        "answers/processes/1.json": {"verb": "processes", "arguments": {}, "answer": []},
    }
    bundle = tmp_path / "odd.tar.gz"
    bundle.write_bytes(with_members(*odd.items()))

    saved = [tmp_path / f"r{suffix}" for suffix in (".json", ".yaml", ".md", ".xml", ".html")]
    done = doctor("check", "--bundle", str(bundle), *(word for path in saved for word in ("--report", str(path))))
    assert done.returncode in (1, 3), done.stderr
    assert done.stderr == ""
    for text in (done.stdout, *(path.read_text() for path in saved)):
        assert "\x1b" not in text
        assert "2J" in text


@pytest.mark.parametrize(
    "option", ["--root=/tmp", "--offline", "--deadline=3", "--endpoint=a", "--for=10s", "--intrusive"]
)
def test_an_option_that_steers_how_a_node_is_looked_at_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    bundle = written([], tmp_path / "node.tar.gz")

    code = cli.run(["check", "--bundle", str(bundle), option])

    said = capsys.readouterr()
    name = option.partition("=")[0]
    assert (code, said.out) == (2, "")
    assert said.err.startswith(
        f"k8sdoctor: --bundle judges what was recorded, and {name} steers how a node is looked at"
    )


def test_a_report_does_not_take_the_bundles_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = written([], tmp_path / "node.tar.gz")
    before = bundle.read_bytes()

    code = cli.run(["check", "--bundle", str(bundle), "--report", str(bundle)])

    assert (code, bundle.read_bytes()) == (2, before)
    assert "it is the bundle that is judged; name another file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [("check", "Ctrl-C ends it early"), ("record", "Ctrl-C ends it early, and what was seen until then is recorded")],
)
def test_the_help_says_what_ctrl_c_does_to_a_long_watch(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "--help"]) == 0
    assert told in " ".join(capsys.readouterr().out.split())


def test_what_is_no_bundle_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node.tar.gz").write_bytes(b"\x1f\x8b\x08")
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path / "node.tar.gz", "it is not whole"),
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path, "is not a regular file"),
    ):
        code = cli.run(["check", "--bundle", str(path)])
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        assert f"{path}" in said.err
        assert told in said.err
        assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["record"], "required: -o/--output"),
        (["record", "-o", "-"], "written whole or not at all, so it needs a file"),
        (["record", "-o", "/no/such/folder/x.tar.gz"], "the folder /no/such/folder is not there"),
        (["record", "-o", "/tmp"], "/tmp is a folder; give a file in it"),
        (["record", "-o", "x.tar.gz", "ip-forward"], "unrecognized arguments: ip-forward"),
    ],
)
def test_a_recording_that_cannot_be_written_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    code = cli.run(words)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert told in said.err
    assert said.err.count("\n") == 1


def test_the_app_opens_a_bundle(tmp_path: Path) -> None:
    bundle = written(Recording(DEMO.read_text("utf-8")).entries(), tmp_path / "demo.tar.gz")

    with Terminal(command("--bundle", str(bundle))) as terminal:
        terminal.see("worker-1", "BridgeNfCallOff", "explains 1 more")
        terminal.press("q")
        assert terminal.end()[0] == 1
