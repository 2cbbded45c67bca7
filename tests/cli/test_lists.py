"""Lists on the command line: what they ask for, where they come from, and how far the run has come."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import cli
from k8sdoctor.cli import arguments
from k8sdoctor.host.base import READ_LIMIT
from tests.cli.doctor import WATCHDOG, command, document, environment, named
from tests.cli.test_check import on_a_terminal

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str, stdin: str = "", **more: str) -> Any:
    """The report of an offline run, which sends nothing."""
    done = subprocess.run(
        command("check", "--offline", "-o", "json", *words),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
        env=environment(**more),
    )
    assert done.stderr == ""
    return document(done)


def findings(report: Any, check: str) -> list[tuple[str, str]]:
    [result] = [each for each in report["results"] if each["check"] == check]
    return [(each["reason"], each["message"]) for each in result["findings"]]


def test_a_list_asks_for_its_check_beside_those_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "files.list").write_text("https://x.lab/a\r\nno url\n")

    report = run(*named(tmp_path, "fine")[1:], "--files", str(tmp_path / "files.list"))

    assert [each["check"] for each in report["results"]] == ["download-list", "fine"]
    assert [reason for reason, _ in findings(report, "download-list")] == ["NotAUrl", "Offline"]


def test_without_a_list_no_profile_runs_these_checks_and_one_that_is_named_says_which_option_it_wants() -> None:
    names = ("image-list", "download-list", "registry-push")

    assert not {each["check"] for each in run("--profile", "node")["results"]} & set(names)
    report = run(*names)
    assert "--images FILE" in findings(report, "image-list")[0][1]
    assert "--files FILE" in findings(report, "download-list")[0][1]
    assert "--intrusive" in findings(report, "registry-push")[0][1]
    assert report["summary"]["skip"] == 3


def test_a_dash_is_a_list_on_stdin() -> None:
    report = run("download-list", "--files", "-", stdin="https://x.lab/a\nhttps://x.lab/b\n")

    [(reason, message)] = findings(report, "download-list")
    assert reason == "Offline"
    assert "https://x.lab/a and 1 more of stdin" in message


def test_a_password_in_a_list_is_in_no_report_and_an_image_that_looks_like_a_secret_is(tmp_path: Path) -> None:
    (tmp_path / "files.list").write_text("https://ann:hunter22@x.lab/a\n")
    (tmp_path / "images.list").write_text("quay.io/lab/docker_auth:1.5\nnot an image: password: hunter22\n")

    report = run("image-list", "--files", str(tmp_path / "files.list"), "--images", str(tmp_path / "images.list"))

    assert "hunter22" not in str(report)
    assert "REDACTED-" in str(report)
    given = arguments.parse(["check", "--images", str(tmp_path / "images.list")]).images
    from k8sdoctor.host.live import LiveHost

    told = LiveHost(given={"config": None, "kubeconfig": None, "endpoints": [], "images": given}).given()
    assert told["images"]["text"].splitlines()[0] == "quay.io/lab/docker_auth:1.5"


def test_the_proxy_of_a_download_is_that_of_our_own_environment_and_its_password_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "files.list").write_text("https://x.lab/a\n")

    report = run(
        "download-list",
        "--files",
        str(tmp_path / "files.list"),
        HTTPS_PROXY="http://upper:1",
        https_proxy="http://ann:hunter22@proxy.lab:3128",
    )

    [result] = report["results"]
    assert "through the proxy http://ann:REDACTED-1@proxy.lab:3128" in result["findings"][0]["evidence"][0]["content"]


@pytest.mark.parametrize("options", [["--images", "-", "--files", "-"], ["--files", "-", "--images", "-"]])
def test_one_stdin_is_not_two_lists(options: list[str]) -> None:
    done = subprocess.run(
        command("check", *options), input="", capture_output=True, text=True, check=False, env=environment()
    )

    assert done.returncode == 2
    assert done.stderr.startswith("k8sdoctor: --images - and --files - cannot both be read from stdin")


def test_a_terminal_is_no_list() -> None:
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            command("check", "--images", "-"),
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=WATCHDOG,
        )
    finally:
        os.close(controller)
        os.close(terminal)

    assert done.returncode == 2
    assert "stdin, which is a terminal" in done.stderr


def test_more_than_a_list_can_be_is_refused_also_from_stdin() -> None:
    done = subprocess.run(
        command("check", "--images", "-"),
        input=b"x" * (READ_LIMIT + 1),
        capture_output=True,
        check=False,
        env=environment(),
        timeout=WATCHDOG,
    )

    assert done.returncode == 2
    assert b"4 MiB, which is no list" in done.stderr


@pytest.mark.parametrize(
    "words", [["--images", "list", "--deadline", "9"], ["--images", "list"], ["--files", "list"], ["--for", "10m"], []]
)
def test_a_list_lifts_the_deadline_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    from k8sdoctor import engine

    asked: list[engine.Request] = []

    def run(host: Any, checks: Any, request: engine.Request, **more: Any) -> Any:
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("")

    assert cli.run(["check", *words]) == 130
    assert asked[0].lifted == (bool(words) and "--deadline" not in words)


COUNTS = """
import time
from dataclasses import dataclass
from k8sdoctor import check, passed
@dataclass(frozen=True)
class Counted:
    @classmethod
    def observe(cls, host):
        for done in range(1, 4):
            host.advanced("images", done, 3)
            time.sleep(0.05)
        return cls()
@check('fine', title='Fine', area='test')
def fine(counted: Counted):
    yield passed('Fine', 'It came.')
"""


@pytest.mark.parametrize(("settings", "bar"), [({}, "━"), ({"LC_ALL": "C", "LANG": "C"}, "---")])
def test_a_terminal_shows_how_far_a_list_has_come_and_keeps_no_trace_of_it(
    tmp_path: Path, settings: dict[str, str], bar: str
) -> None:
    arguments = named(tmp_path, "fine")
    (tmp_path / "checks" / "fine.py").write_text(COUNTS)

    sent = on_a_terminal(*arguments, **settings)

    progress, _, report = sent.partition("It came.")
    for step in ("1/3", "2/3", "3/3"):
        assert step in progress
    assert bar in progress
    assert progress.rindex("\x1b[2K") > progress.rindex("3/3")
    assert "/3" not in report


def test_without_a_terminal_no_progress_is_told(tmp_path: Path) -> None:
    arguments = named(tmp_path, "fine")
    (tmp_path / "checks" / "fine.py").write_text(COUNTS)

    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=environment())

    assert done.stderr == ""
    assert "/3" not in done.stdout
