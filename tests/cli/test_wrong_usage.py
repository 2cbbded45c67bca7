"""Wrong usage is one line that says what is right, before anything is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import cli, engine
from k8sdoctor.cli import arguments, values
from tests.cli.doctor import WATCHDOG, command, environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("wrong usage must be told before the run")

    monkeypatch.setattr(engine, "run", refuse)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said about a command line, which must be one line on stderr."""
    code = cli.run(words)
    said = capsys.readouterr()
    assert (code, said.out) == (2, ""), said.err
    [line] = said.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["frob"], "'check', 'record', 'diff', 'list', 'explain', 'why', 'schema', 'demo', 'completion'"),
        (["chek"], "do you mean `k8sdoctor check`?"),
        (["ip-forward"], "do you mean `k8sdoctor check ip-forward`?"),
        (["--frob"], "unrecognized arguments: --frob"),
        (["check", "--no-such-option"], "see k8sdoctor check --help"),
        (["check", "ip-froward"], "do you mean ip-forward?"),
        (["check", "IP_FORWARD"], "do you mean ip-forward?"),
        (["check", "zzzzzz"], "there are "),
        (["check", "--skip", "br-netfiler"], "do you mean br-netfilter?"),
        (["check", "--skip", "ip-forward,br-netfiler"], "do you mean br-netfilter?"),
        (["check", "--skip", ","], "`k8sdoctor list` shows them"),
        (["check", "--profile", "worker"], "'worker' is none of init, join, node, control-plane, dns"),
        (["check", "-o", "xml"], "'xml' is none of text, json, yaml, markdown, junit, html"),
        (["check", "--deadline", "0"], "'0' is not a positive number of seconds"),
        (["check", "--deadline", "-3"], "'-3' is not a positive number of seconds"),
        (["check", "--deadline", "soon"], "'soon' is not a positive number of seconds"),
        (["check", "--deadline", "nan"], "'nan' is not a positive number of seconds"),
        (["check", "--deadline", "inf"], "'inf' is not a positive number of seconds"),
        (["check", "--deadline"], "expected one argument"),
        (["check", "--for", "10"], "'10' is no duration from 1s to 24h, such as 30s, 10m or 1h"),
        (["check", "--for", "0s"], "'0s' is no duration"),
        (["check", "--for", "-5m"], "expected one argument"),
        (["check", "--for", "25h"], "'25h' is no duration"),
        (["check", "--for", "1d"], "'1d' is no duration"),
        (["explain"], "CHECK[/REASON]"),
        (["explain", "no-such"], "no check is called 'no-such'"),
        (["explain", "ip-forward/ForwardingOf"], "do you mean ForwardingOff"),
        (["explain", "ip-forward/Zzzzzzzz"], "ForwardingOff, "),
        (["list", "-o", "yaml"], "choose from 'text', 'json'"),
        (["completion", "command.com"], "there is for bash, zsh"),
    ],
)
def test_a_wrong_word_is_answered_with_what_is_right(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert told in refused(capsys, *words)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("foo", ""),  # has half its letters in common with `tools`
        ("test", ""),
        ("etdc", "etcd"),
        ("dns", "dns-path or dns-reply-source or nodelocal-dns"),
        ("cert", "certificates"),
        ("apiserver", "apiserver-san or apiserver-endpoints"),
    ],
)
def test_what_is_suggested_for_a_wrong_name_of_a_check_is_near_it_or_has_it_in_its_name(
    capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    said = refused(capsys, "explain", word)

    assert said.startswith(
        f"k8sdoctor: no check is called {word!r}; {f'do you mean {meant}?' if meant else 'there are '}"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        ":6443",
        "host:",
        "host:0",
        "host:65536",
        "host:http",
        "a b",
        "[::1",
        "[::1]6443",
        "[::1]:",
        "[host]:1",
        "1.2.3",
        "::g",
        "-x.org",
        "https://host",
        "host/path",
        "a..b",
        "user@host",
        "x" * 254,
    ],
)
def test_an_endpoint_that_is_no_address_is_refused_with_an_example(
    capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    assert "k8s.example.org:6443" in refused(capsys, "check", f"--endpoint={endpoint}")


@pytest.mark.parametrize(
    "endpoint",
    [
        "k8s",
        "k8s.example.org:6443",
        "192.0.2.1",
        "192.0.2.1:443",
        "::1",
        "[2001:db8::1]",
        "[2001:db8::1]:6443",
        "k8s.example.org.",
    ],
)
def test_an_endpoint_may_be_a_name_or_an_address_with_a_port_or_none(endpoint: str) -> None:
    assert arguments.parse(["check", "--endpoint", endpoint]).endpoint == [endpoint]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with one path of each kind."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(100 * 1024 * 1024)
    return tmp_path


@pytest.mark.parametrize("option", ["--config", "--kubeconfig", "--images", "--files"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent", "absent"),
        ("folder", "folder is a"),
        ("fifo", "not a regular file"),
        ("loop", "loop"),
        ("dangling", "dangling"),
        ("huge", "100 MiB"),
        ("file/below", "below"),
    ],
)
def test_a_file_that_is_none_is_told_before_the_run(
    capsys: pytest.CaptureFixture[str], odd: Path, option: str, name: str, told: str
) -> None:
    line = refused(capsys, "check", option, str(odd / name))

    assert told in line or "not a regular file" in line
    assert option in line


@pytest.mark.parametrize("option", ["--root", "--checks-dir"])
@pytest.mark.parametrize("name", ["absent", "file", "fifo", "loop", "dangling"])
def test_a_folder_that_is_none_is_told_before_the_run(
    capsys: pytest.CaptureFixture[str], odd: Path, option: str, name: str
) -> None:
    line = refused(capsys, "check", option, str(odd / name))

    assert option in line
    assert str(odd / name) in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no-folder/r.json", "is not there"),
        ("folder", "is a folder"),
        ("folder/", "is a folder"),
        ("fifo", "is not a regular file"),
        ("file/r.json", "is not there"),
    ],
)
def test_a_report_that_can_never_be_written_is_told_before_the_run(
    capsys: pytest.CaptureFixture[str], odd: Path, name: str, told: str
) -> None:
    assert told in refused(capsys, "check", "--report", f"{odd}/{name}")


def test_a_device_is_never_replaced_by_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a regular file" in refused(capsys, "check", "--report", "/dev/null")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "--report", "{odd}/r.json", "--report", "{odd}/./r.json"], "it is named twice"),
        (["check", "--report", "{odd}/new.json", "--report", "{odd}/link.json"], "it is named twice"),
        (["check", "--config", "{odd}/file", "--report", "{odd}/file"], "it is what --config names"),
        (["check", "--kubeconfig", "{odd}/file", "--report", "{odd}/file"], "it is what --kubeconfig names"),
        (
            ["check", "--root", "{odd}", "--kubeconfig", "/file", "--report", "{odd}/file"],
            "it is what --kubeconfig names",
        ),
        (["record", "-o", "{odd}/n.tar.gz", "--report", "{odd}/n.tar.gz"], "the bundle itself goes there"),
    ],
)
def test_no_report_takes_the_place_of_something_else_that_was_named(
    capsys: pytest.CaptureFixture[str], odd: Path, words: list[str], told: str
) -> None:
    (odd / "link.json").symlink_to("new.json")

    assert told in refused(capsys, *(word.format(odd=odd) for word in words))


def test_no_report_replaces_the_file_that_stdout_goes_to(tmp_path: Path) -> None:
    printed = tmp_path / "printed.txt"
    for name in (str(printed), "/dev/stdout"):
        with printed.open("wb") as stdout:
            done = subprocess.run(
                command("check", "swap", "--offline", "--report", name),
                stdout=stdout,
                stderr=subprocess.PIPE,
                check=False,
                env=environment(),
                timeout=WATCHDOG,
            )

        assert done.returncode == 2
        assert b"stdout goes there" in done.stderr
        assert printed.read_bytes() == b""


def test_a_kubeconfig_is_looked_for_inside_the_root(capsys: pytest.CaptureFixture[str], odd: Path) -> None:
    assert values.kubeconfig(f"{odd}/file", str(odd)) == "/file"
    assert values.kubeconfig("/file", str(odd)) == "/file"
    assert "--kubeconfig" in refused(capsys, "check", "--root", str(odd), "--kubeconfig", "/etc/hostname")


def test_a_plug_in_that_did_not_load_is_named_when_its_check_is_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("import no_such_module")

    line = refused(capsys, "check", "mine", "--checks-dir", str(tmp_path))

    assert "mine.py did not load: ModuleNotFoundError" in line


def test_without_a_command_the_options_of_check_are_understood() -> None:
    assert arguments.parse([]).command == "check"
    assert arguments.parse(["--offline", "-o", "json"]).offline


def test_nothing_is_left_behind_in_the_folders_of_plug_ins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("")
    before = sys.dont_write_bytecode

    refused(capsys, "check", "zzzzzz", "--checks-dir", str(tmp_path))

    assert before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
