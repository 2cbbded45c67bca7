"""Each exit code, by a process that really exits."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import cli
from k8sdoctor.cli import arguments as arguments_of_cli
from tests.cli.doctor import WATCHDOG, command, doctor, document, environment, named

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (("fine",), 0),
        (("skipped",), 0),
        (("warned",), 0),
        (("failed",), 1),
        (("blind",), 3),
        (("failed", "blind"), 1),
        (("raising",), 3),
        (("silent",), 3),
        (("stranger",), 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst_finding(tmp_path: Path, ids: tuple[str, ...], code: int) -> None:
    done = doctor(*named(tmp_path, *ids))

    assert (done.returncode, done.stderr) == (code, "")


def test_strict_makes_a_warning_fail_and_changes_nothing_else(tmp_path: Path) -> None:
    assert doctor(*named(tmp_path, "warned"), "--strict").returncode == 1
    assert doctor(*named(tmp_path, "blind"), "--strict").returncode == 3
    assert doctor(*named(tmp_path, "fine", "skipped"), "--strict").returncode == 0


def test_what_does_not_import_ends_with_3_and_is_named(tmp_path: Path) -> None:
    arguments = named(tmp_path, "fine")
    (tmp_path / "checks" / "bad.py").write_text("import no_such_module\n")

    done = doctor(*arguments)

    assert done.returncode == 3
    assert f"{tmp_path}/checks/bad.py" in done.stdout.replace("\n    ", "")
    assert "ModuleNotFoundError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("sick", ["raising", "silent", "stranger"])
def test_a_plug_in_at_fault_is_named_in_the_text_and_its_traceback_is_in_the_json(tmp_path: Path, sick: str) -> None:
    text = doctor(*named(tmp_path, sick, "fine"))
    [entry] = document(doctor(*named(tmp_path, sick, "fine"), "-o", "json"))["broken"]

    assert f"check {sick}" in text.stdout
    assert "Traceback" not in text.stdout + text.stderr
    assert entry["what"] == f"check {sick}"
    assert "Traceback" in entry["traceback"]


def test_a_check_that_hangs_for_good_keeps_neither_the_report_nor_the_process(tmp_path: Path) -> None:
    done = doctor(*named(tmp_path, "endless", "fine"), "--deadline", "0.3", "-o", "json")

    assert done.returncode == 3
    assert [result["status"] for result in document(done)["results"]] == ["unknown", "pass"]


def test_ctrl_c_before_the_run_says_so_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_argv: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(arguments_of_cli, "parse", interrupt)

    assert cli.run(["check"]) == 130
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "k8sdoctor: interrupted before there was anything to report\n")


def test_ctrl_c_prints_what_is_known_and_ends_with_130(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    arguments = named(tmp_path, "endless", "fine")
    endless = tmp_path / "checks" / "endless.py"
    endless.write_text(endless.read_text().replace("import time;", f"open({str(mark)!r}, 'w').close(); import time;"))
    process = subprocess.Popen(
        # A shell starts its background jobs with Ctrl-C ignored, and CI may be one; env undoes what is inherited.
        ["env", "--default-signal=INT", *command(*arguments, "-o", "json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_for(mark)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WATCHDOG)

    assert process.returncode == 130
    assert err == ""
    assert '"check": "fine"' in out
    assert "interrupted" in out


def wait_for(path: Path) -> None:
    end = time.monotonic() + WATCHDOG
    while not path.exists():
        assert time.monotonic() < end, f"{path} never appeared"
        time.sleep(0.01)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    words = " ".join(f"'{word}'" for word in command(*named(tmp_path, "failed"), "-o", "json"))

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=WATCHDOG,
    )

    assert (done.stdout.strip(), done.stderr) == ("1", "")


@pytest.mark.parametrize("words", [["--help"], ["list"], ["schema"], ["explain", "ip-forward"], ["completion", "bash"]])
def test_every_command_can_be_piped_into_a_reader_that_left(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command(*words),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
            timeout=WATCHDOG,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_cannot_be_written_is_told_and_ends_with_3(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*named(tmp_path, "fine")),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
            timeout=WATCHDOG,
        )

    assert done.returncode == 3
    assert done.stderr == "k8sdoctor: the report could not be printed: No space left on device\n"


def test_without_a_stdout_the_run_is_told_to_have_lost_its_report(tmp_path: Path) -> None:
    words = " ".join(f"'{word}'" for word in command(*named(tmp_path, "fine")))

    done = subprocess.run(
        ["sh", "-c", f"{words} >&-"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
        timeout=WATCHDOG,
    )

    assert done.returncode == 3
    assert "stdout is closed" in done.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that anybody may enter; pytest shuts its own anew, to all but its user, whenever it starts somewhere on the machine."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


def test_whoever_is_not_root_gets_a_report_too(open_folder: Path) -> None:
    arguments = named(open_folder, "fine")
    if os.geteuid() != 0:
        assert doctor(*arguments).returncode == 0
        return
    # Python itself may lie in a folder that only root may enter, so a first run loads all that the second needs.
    words = [*arguments, "-o", "json"]
    code = (
        "import contextlib, io, os, sys\n"
        "from k8sdoctor import cli\n"
        f"with contextlib.redirect_stdout(io.StringIO()): cli.run({words!r})\n"
        f"os.setgid(65534); os.setuid(65534); sys.exit(cli.run({words!r}))"
    )
    done = subprocess.run(
        [*command()[:1], "-c", code], capture_output=True, text=True, check=False, env=environment(), timeout=WATCHDOG
    )

    assert done.returncode == 0, done.stderr
    assert document(done)["metadata"]["euid"] == 65534
