"""`k8sdoctor check`: what reaches stdout, stderr and files."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml

from k8sdoctor import report as reports
from tests.cli.doctor import WATCHDOG, command, doctor, document, environment, named
from tests.conftest import VALIDATOR

if TYPE_CHECKING:
    from pathlib import Path


def test_json_fits_the_schema_that_the_program_prints(tmp_path: Path) -> None:
    printed = document(doctor("schema"))

    assert printed == reports.schema()
    VALIDATOR.validate(document(doctor(*named(tmp_path, "failed", "raising", "blind", "skipped"), "-o", "json")))


def test_yaml_holds_the_same_as_json(tmp_path: Path) -> None:
    done = doctor(*named(tmp_path, "failed", "raising", "hostile", "foreign"), "-o", "yaml")

    VALIDATOR.validate(yaml.safe_load(done.stdout))


def test_what_a_plug_in_prints_does_not_mix_with_the_report(tmp_path: Path) -> None:
    done = doctor(*named(tmp_path, "printing"), "-o", "json")

    assert document(done)["summary"]["pass"] == 1
    assert "hello from a plug-in" in done.stderr


def test_a_report_goes_into_every_file_that_was_named_in_its_format(tmp_path: Path) -> None:
    names = ["r.json", "r.yaml", "r.md", "r.xml", "r.html", "r.txt", "r.odd"]
    files = [word for name in names for word in ("--report", str(tmp_path / name))]

    done = doctor(*named(tmp_path, "failed"), *files)

    assert done.returncode == 1
    read = {name: (tmp_path / name).read_text() for name in names}
    for name in ("r.json", "r.odd"):
        VALIDATOR.validate(json.loads(read[name]))
    VALIDATOR.validate(yaml.safe_load(read["r.yaml"]))
    assert read["r.md"].startswith("# k8sdoctor")
    assert ET.fromstring(read["r.xml"]).attrib["failures"] == "1"
    assert read["r.html"].startswith("<!DOCTYPE html>")
    assert read["r.txt"] == done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names, "checks"]
    )  # nothing half-written is left


def test_a_report_replaces_what_was_there_and_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old" * 10_000)
    (tmp_path / "link.json").symlink_to("real.json")

    doctor(*named(tmp_path, "fine"), "--report", str(tmp_path / "link.json"))

    assert (tmp_path / "link.json").is_symlink()
    VALIDATOR.validate(json.loads((tmp_path / "real.json").read_text()))


def test_a_report_that_cannot_be_written_in_the_end_is_printed_in_full(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    arguments = named(tmp_path, "fine")
    plug_in = tmp_path / "checks" / "fine.py"
    plug_in.write_text(plug_in.read_text().replace("    yield", f"    import os; os.rmdir({str(folder)!r})\n    yield"))

    done = doctor(*arguments, "--report", str(folder / "r.json"))

    assert done.returncode == 3
    assert re.fullmatch(
        r"k8sdoctor: the report could not be written to .*/r\.json: No such file or directory\n", done.stderr
    )
    text, _, whole = done.stdout.partition("\n{")
    assert "1 pass" in text
    VALIDATOR.validate(json.loads("{" + whole))


def test_a_configuration_that_does_not_parse_is_no_wrong_usage(tmp_path: Path) -> None:
    for name, content in (("bad.yaml", b"a: [\n"), ("binary", bytes(range(256))), ("empty", b"")):
        (tmp_path / name).write_bytes(content)

        done = doctor(*named(tmp_path, "fine"), "--config", str(tmp_path / name))

        assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_written_beside_a_plug_in(tmp_path: Path) -> None:
    arguments = named(tmp_path, "fine")

    doctor(*arguments)

    assert [path.name for path in (tmp_path / "checks").iterdir()] == ["fine.py"]


@pytest.mark.parametrize(
    "settings", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}]
)
@pytest.mark.parametrize("format_", ["text", "json", "yaml", "markdown", "junit", "html"])
def test_no_locale_breaks_a_report(tmp_path: Path, settings: dict[str, str], format_: str) -> None:
    done = subprocess.run(
        command(*named(tmp_path, "foreign"), "-o", format_),
        capture_output=True,
        check=False,
        env=environment(**settings),
        timeout=WATCHDOG,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Gr" in done.stdout


def test_what_a_terminal_would_obey_is_shown_and_not_sent(tmp_path: Path) -> None:
    for format_ in ("text", "json", "yaml", "markdown", "junit", "html"):
        done = doctor(*named(tmp_path, "hostile"), "-o", format_)

        assert not set("\x1b\x07\u202e") & set(done.stdout), format_
        assert "x1b" in done.stdout or "u001b" in done.stdout or "\\e" in done.stdout


# -- on a terminal -----------------------------------------------------------------------------------------------------------


def on_a_terminal(*words: str, **settings: str) -> str:
    """All that a terminal of 80 columns is sent, stderr included."""
    controller, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            command(*words),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(**({"TERM": "xterm", "COLUMNS": "80"} | settings)),
        )
        os.close(terminal)
        sent = b""
        while True:
            try:
                chunk = os.read(controller, 65536)
            except OSError:  # Linux says EIO when the last writer is gone
                break
            if not chunk:
                break
            sent += chunk
        process.wait(WATCHDOG)
    finally:
        os.close(controller)
    return sent.decode()


def test_a_terminal_shows_colour_and_symbols(tmp_path: Path) -> None:
    sent = on_a_terminal(*named(tmp_path, "failed", "fine"))

    assert "\x1b[31;1m✘ fail" in sent
    assert "✔ pass" in sent


@pytest.mark.parametrize(("words", "settings"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})])
def test_colour_can_be_switched_off_and_the_words_stay(
    tmp_path: Path, words: list[str], settings: dict[str, str]
) -> None:
    sent = on_a_terminal(*named(tmp_path, "failed", "fine"), *words, **settings)

    assert "\x1b" not in sent
    assert "✘ fail" in sent


def test_a_dumb_terminal_gets_plain_words(tmp_path: Path) -> None:
    sent = on_a_terminal(*named(tmp_path, "failed"), TERM="dumb")

    assert "\x1b" not in sent
    assert "\nfail     failed" in sent


def test_a_terminal_without_unicode_gets_symbols_that_it_can_show(tmp_path: Path) -> None:
    sent = on_a_terminal(*named(tmp_path, "failed", "fine"), LC_ALL="C", LANG="C")

    assert "x fail" in sent
    assert "✘" not in sent


def test_a_slow_run_says_what_it_waits_for_and_leaves_no_trace_of_it(tmp_path: Path) -> None:
    arguments = named(tmp_path, "fine")
    (tmp_path / "checks" / "fine.py").write_text(
        "import time\n"
        "from dataclasses import dataclass\n"
        "from k8sdoctor import check, passed\n"
        "@dataclass(frozen=True)\n"
        "class SlowThing:\n"
        "    @classmethod\n"
        "    def observe(cls, host):\n"
        "        time.sleep(2.2)\n"
        "        return cls()\n"
        "@check('fine', title='Fine', area='test')\n"
        "def fine(slow: SlowThing):\n"
        "    yield passed('Fine', 'It came.')\n"
    )

    sent = on_a_terminal(*arguments)

    waiting = sent.rindex("waiting for slow thing (")
    assert sent.index("\r\x1b[K", waiting) < sent.index("It came.")
    assert "waiting" not in doctor(*arguments).stderr  # no terminal, no progress


# -- the other commands ------------------------------------------------------------------------------------------------------


def test_list_tells_every_check(tmp_path: Path) -> None:
    arguments = ["--checks-dir", str(tmp_path)]
    (tmp_path / "bad.py").write_text("1 / 0")

    text = doctor("list")
    rows = document(doctor("list", "-o", "json"))
    broken = doctor("list", *arguments)

    assert text.returncode == 0
    assert [set(row) for row in rows] == [{"id", "area", "title", "profiles", "source"}] * len(rows)
    assert [line.split()[0] for line in text.stdout.splitlines()] == [row["id"] for row in rows]
    assert broken.returncode == 3
    assert "bad.py did not load: ZeroDivisionError" in broken.stderr
    assert broken.stdout == text.stdout


def test_explain_tells_what_the_docstring_tells() -> None:
    whole = doctor("explain", "ip-forward")
    one = doctor("explain", "ip-forward/ForwardingOff")
    told = document(doctor("explain", "ip-forward", "-o", "json"))

    assert whole.returncode == one.returncode == 0
    assert "WHAT IT SENDS" in whole.stdout
    assert all(len(line) <= 80 for line in whole.stdout.splitlines())
    assert one.stdout.splitlines()[0] == "ip-forward/ForwardingOff"
    assert one.stdout.splitlines()[1].startswith("fail: ")
    assert "HOW TO FIX" in one.stdout
    assert set(told) == {"id", "area", "title", "profiles", "source", "reasons", "sections"}
    assert {"ForwardingOff": "fail"}.items() <= {each["reason"]: each["status"] for each in told["reasons"]}.items()
    assert next(iter(told["sections"])) == "What it looks at"


def test_explain_of_one_reason_is_json_with_that_reason_alone() -> None:
    told = document(doctor("explain", "ip-forward/ForwardingOff", "-o", "json"))

    assert {each["reason"] for each in told["reasons"]} == {"ForwardingOff"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_checks(shell: str) -> None:
    script = doctor("completion", shell).stdout

    for word in ("explain", "offline", "ip-forward", "control-plane"):
        assert word in script


COMPLETE = """
for asked; do
    read -ra COMP_WORDS <<< "$asked"; COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _shtab_k8sdoctor k8sdoctor "" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$asked: ${COMPREPLY[*]}"
done
"""


def test_where_a_file_or_folder_is_wanted_the_completion_offers_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.file").touch()
    (tmp_path / "folder").mkdir()
    files = ["check --bundle", "check --report", "check --kubeconfig", "record -o", "record --config", "diff", "why"]
    folders = ["check --root", "check --checks-dir", "list --checks-dir"]
    lines = [f"k8sdoctor {each}" for each in (*files, *folders)]
    script = doctor("completion", "bash").stdout + COMPLETE

    offered = subprocess.run(
        ["bash", "-c", script, "bash", *lines], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    for each in files:
        assert re.search(rf"^k8sdoctor {each}: .*\ba\.file\b", offered, re.MULTILINE), offered
    for each in folders:
        assert f"k8sdoctor {each}: folder\n" in offered


def test_the_bash_completion_is_a_script_that_bash_takes() -> None:
    done = subprocess.run(
        ["bash", "-n"], input=doctor("completion", "bash").stdout, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["--version"]])
def test_help_goes_to_stdout(words: list[str]) -> None:
    done = doctor(*words)

    assert (done.returncode, done.stderr) == (0, "")
    assert "k8sdoctor" in done.stdout


def test_a_fault_of_our_own_is_one_sentence_and_no_traceback() -> None:
    code = (
        "from k8sdoctor import cli, engine, registry\n"
        "def broken(*a, **k): raise ZeroDivisionError('a bug\\nof ours')\n"
        "registry.load = broken\n"
        "import sys; sys.exit(cli.run(['list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment(), timeout=WATCHDOG
    )

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "k8sdoctor: this is a fault of k8sdoctor: ZeroDivisionError: a bug of ours; K8SDOCTOR_DEBUG=1 shows where"
    ]


def test_a_cheap_command_loads_no_heavy_library() -> None:
    heavy = {
        "kubernetes",
        "grpc",
        "textual",
        "cryptography",
        "dns",
        "rich",
        "urllib3",
        "yaml",
        "importlib.metadata",
        "OpenSSL",
    }
    code = "from k8sdoctor import cli; import sys; cli.run(['list']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(), timeout=WATCHDOG
    )

    assert not heavy & set(done.stderr.split())
