"""The one file on a system that has no Python, no network and no place to write to."""

from __future__ import annotations

import json
import re
import sys

import pytest

import k8sdoctor
from onefile.tests.bare_root import BareRoot, run
from tests.tui.terminal import Terminal

pytestmark = pytest.mark.lab

FROM_SOURCE = [sys.executable, "-m", "k8sdoctor"]

VERSION = f"""\
k8sdoctor {k8sdoctor.__version__}
One file with its own CPython 3.11.2. It unpacks nothing: libraries in it are
loaded from memory (memfd_create), and are gone with the process.
"""

PLUG_IN = '''
"""A check of somebody else's."""

from collections.abc import Iterator

from k8sdoctor import Finding, check, passed


@check("elsewhere", title="Somebody's own check", area="node configuration")
def elsewhere() -> Iterator[Finding]:
    "Nothing is looked at."
    yield passed("Loaded", message="It was loaded.")
'''


# grpc and protobuf are C++, which throws and catches; cryptography is Rust, which asks for the unwinder.
LIBRARIES = """
import ssl
from collections.abc import Iterator

import grpc
import psutil
import yaml
from cryptography import x509
from google.protobuf.wrappers_pb2 import Int32Value

from k8sdoctor import Finding, check, passed


@check("libraries", title="The libraries work", area="node configuration")
def libraries() -> Iterator[Finding]:
    "Each is used once."
    number = Int32Value.FromString(Int32Value(value=42).SerializeToString()).value
    with grpc.insecure_channel("unix:/no/such/socket") as channel:
        try:
            channel.unary_unary("/runtime.v1.RuntimeService/Version")(b"", timeout=5)
        except grpc.RpcError as error:
            code = error.code().name
    try:
        x509.load_pem_x509_certificate(b"no certificate")
    except ValueError:
        pass
    ssl.create_default_context()
    psutil.Process().memory_info()
    yield passed("Loaded", message=f"{code} {number} ssl {yaml.load('yaml', yaml.CSafeLoader)}")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> BareRoot:
    return BareRoot(tmp_path_factory.mktemp("root"))


def untimed(report: str) -> str:
    """A report without what any two runs differ in."""
    return re.sub(r'((seconds|durationSeconds)"?: )[0-9.]+', r"\1", report)


def test_the_root_has_no_python_and_nothing_that_can_be_written_to(root: BareRoot) -> None:
    assert not [path for path in root.folder.rglob("*") if "python" in path.name]
    assert [path.name for path in root.folder.iterdir() if path.name in ("tmp", "run", "var", "home")] == []


def test_it_tells_its_version_and_that_it_unpacks_nothing(root: BareRoot) -> None:
    done = root.run("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, "")
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", [["list"], ["list", "-o", "json"], ["--help"], ["explain", "dns-path"]])
def test_it_prints_what_the_source_prints(root: BareRoot, command: list[str]) -> None:
    done, expected = root.run(*command), run([*FROM_SOURCE, *command])

    assert (done.stdout, done.stderr, done.returncode) == (expected.stdout, expected.stderr, expected.returncode)
    assert done.stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_the_demo_s_report_is_the_source_s(root: BareRoot, output: str) -> None:
    done, expected = root.run("demo", "-o", output), run([*FROM_SOURCE, "demo", "-o", output])

    assert untimed(done.stdout) == untimed(expected.stdout)
    assert (done.returncode, done.stderr) == (expected.returncode, expected.stderr) == (1, "")


@pytest.mark.parametrize("user", [0, 65534])
def test_it_examines_a_node_that_has_next_to_nothing(root: BareRoot, user: int) -> None:
    done = root.run("check", "--offline", "-o", "json", user=user)

    report = json.loads(done.stdout)
    assert report["broken"] == []
    assert report["metadata"]["euid"] == user
    assert len(report["results"]) > 30
    assert "is at fault" not in done.stdout  # what a report says of a library that cannot be loaded
    assert done.stderr == ""


def test_a_check_of_a_folder_is_loaded(root: BareRoot) -> None:
    (root.folder / "opt" / "elsewhere.py").write_text(PLUG_IN)

    done = root.run("check", "elsewhere", "--checks-dir", "/opt", "-o", "json")

    [result] = json.loads(done.stdout)["results"]
    assert (result["check"], result["status"]) == ("elsewhere", "pass")


def test_every_compiled_library_works_also_without_the_system_s_c_plus_plus(root: BareRoot) -> None:
    (root.folder / "opt" / "libraries.py").write_text(LIBRARIES)

    done = root.run("check", "libraries", "--checks-dir", "/opt", "-o", "json")

    [result] = json.loads(done.stdout)["results"]
    assert [(finding["status"], finding["message"]) for finding in result["findings"]] == [
        ("pass", "UNAVAILABLE 42 ssl yaml")
    ]


def test_the_app_paints_its_screen(root: BareRoot) -> None:
    with Terminal(root.words("demo"), env={"COLORTERM": "truecolor"}) as terminal:
        terminal.see("net.bridge.bridge-nf-call-iptables is 0", "checks in", "Quit")  # the run has ended
        terminal.press("q")
        assert terminal.end()[0] == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONHOME": "/nowhere"},
        {"PYTHONPATH": "/opt/python"},
        {"PYTHONSTARTUP": "/opt/x.py"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX"},
    ],
)
def test_no_variable_of_the_node_s_has_a_say(root: BareRoot, variables: dict[str, str]) -> None:
    (root.folder / "opt/python").mkdir(exist_ok=True)
    (root.folder / "opt/python/json.py").write_text("raise ImportError('not this one')")

    done = root.run("demo", env=variables)

    assert "DIAGNOSIS: fail" in done.stdout
    assert done.stderr == ""


def test_no_file_beside_it_has_a_say(root: BareRoot) -> None:
    evil = root.folder / "opt" / "evil"
    evil.mkdir()
    (evil / "k8sdoctor_onefile.py").write_text("print('evil')")
    beside = {"k8sdoctor._pth": "/opt/evil", "pyvenv.cfg": "home = /opt/evil", "pybuilddir.txt": "opt/evil"}
    for name, text in beside.items():
        (root.folder / name).write_text(text)

    done = root.run("--version")

    for name in beside:
        (root.folder / name).unlink()
    assert (done.stdout, done.stderr) == (VERSION, "")


def test_without_proc_it_says_what_is_missing(root: BareRoot) -> None:
    done = root.run("list", proc=False)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "k8sdoctor: this executable reads itself through /proc/self/exe, which is not there: mount /proc\n"
    )


def test_it_leaves_nothing_behind_when_it_is_killed(root: BareRoot) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.folder.rglob("*") if not path.is_symlink()}
    with Terminal(root.words("demo")) as terminal:
        terminal.see("net.bridge.bridge-nf-call-iptables is 0")
        terminal.process.kill()

    after = {path: path.stat().st_mtime_ns for path in root.folder.rglob("*") if not path.is_symlink()}
    assert after == before
