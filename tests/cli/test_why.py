"""`k8sdoctor why`: a log goes in, and what is known of it comes out."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.cli.doctor import WATCHDOG, command, environment

if TYPE_CHECKING:
    from pathlib import Path

SWAP = "running with swap on is not supported, please disable swap!"
REFUSED = "dial tcp 192.0.2.1:6443: connect: connection refused"


def why(*words: str, given: bytes = b"", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("why", *words),
        input=given,
        capture_output=True,
        timeout=WATCHDOG,
        check=False,
        env=environment(),
        cwd=folder,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_log_on_stdin_names_cause_check_fix_and_source() -> None:
    done = why(given=f"fine\nNov 20 10:00:01 n1 kubelet[8]: {SWAP}\n{REFUSED}\n".encode())

    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "2 known errors in 2 of 3 lines, the most telling first."
    assert lines[2] == "1. The kubelet does not start while swap is in use."
    assert "   Seen:       once, line 2 (Nov 20 10:00:01)" in lines
    assert "   Judged by:  swap: SwapOn" in done.stdout
    assert "   To mend:    `swapoff -a`" in done.stdout
    assert "   Known from: https://github.com/kubernetes/kubernetes/" in done.stdout
    assert f"- {REFUSED.partition(': ')[2]}" in done.stdout.partition("ALSO SEEN")[2]
    assert lines[-1] == "k8sdoctor check swap"
    assert [line for line in lines if len(line) > 80 and "https://" not in line] == []


def test_what_mends_one_reason_of_a_check_is_not_said_of_another() -> None:
    driver = why("misconfiguration: kubelet cgroup driver: systemd").stdout
    refused = why("kubelet is configured to not run on a host using cgroup v1").stdout

    assert "To mend:    Have both use systemd" in driver
    assert "To mend:    Boot into the unified hierarchy" in refused
    assert "Boot into" not in driver


@pytest.mark.parametrize(
    ("line", "told", "commands"),
    [
        (
            'token id "abcdef" is invalid for this cluster or it has expired',
            "On a control-plane node: make a new token,",
            ["kubeadm token create --print-join-command"],
        ),
        (
            'error downloading certs: error downloading the secret: Secret "kubeadm-certs" was not found in the "kube-system" Namespace',
            "On a control-plane node: upload them anew,",
            ["kubeadm init phase upload-certs --upload-certs", "kubeadm token create --print-join-command"],
        ),
    ],
)
def test_what_no_check_mends_is_mended_by_commands_of_its_own(line: str, told: str, commands: list[str]) -> None:
    done = why(line)

    lines = done.stdout.splitlines()
    start = next(number for number, each in enumerate(lines) if each.startswith("   To mend:"))
    end = next(number for number, each in enumerate(lines) if each.startswith("   Known from:"))
    assert told in " ".join(lines[start].split())
    assert [each for each in lines[start:end] if each.startswith("kubeadm ")] == commands
    assert "Edit the file" not in done.stdout
    [trouble] = json.loads(why("-o", "json", line).stdout)["troubles"]
    assert trouble["fix"]["commands"] == commands


def test_an_error_in_words_of_the_command_line_needs_no_quotes() -> None:
    assert why(*SWAP.split()).stdout == why(SWAP).stdout
    assert "SwapOn" in why(SWAP).stdout


def test_several_files_are_named_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"{SWAP}\n")
    (tmp_path / "b").write_text(f"fine\n{SWAP}\n")
    done = why("a.log", "b", "-", given=b"leaderelection lost", folder=tmp_path)

    assert done.returncode == 0
    assert "2 times, line 1 of a.log to line 2 of b" in done.stdout
    assert "once, line 1 of stdin" in done.stdout


def test_what_is_known_as_json_fits_the_schema_that_is_printed_and_every_key_is_always_there() -> None:
    schema = json.loads(subprocess.run(command("schema", "why"), capture_output=True, check=True).stdout)
    validator = Draft202012Validator(schema)
    log = f"\t[ERROR NumCPU]: 1\nE0113 03:25:40.008430    3674 a.go:1] {SWAP}\n{REFUSED}\n"
    document = json.loads(why("-o", "json", given=log.encode()).stdout)

    validator.validate(document)
    validator.validate(json.loads(why("-o", "json", given=b"fine\n").stdout))
    trouble, line = schema["$defs"]["trouble"], schema["$defs"]["line"]
    for each in document["troubles"]:
        assert set(each) == set(trouble["required"]) == set(trouble["properties"])
        assert set(each["first"]) == set(line["required"]) == set(line["properties"])
    del document["troubles"][0]["means"]
    with pytest.raises(ValidationError, match="means"):
        validator.validate(document)


def test_json_holds_all_of_it() -> None:
    done = why("-o", "json", given=f"\t[ERROR NumCPU]: 1\nE0113 03:25:40.008430    3674 a.go:1] {SWAP}\n".encode())
    document = json.loads(done.stdout)

    assert (document["apiVersion"], document["kind"]) == ("k8sdoctor/v1", "KnownErrors")
    assert (document["lines"], document["known"]) == (2, 2)
    _, swap = document["troubles"]
    assert swap["first"] == {"source": "", "line": 2, "time": "0113 03:25:40", "text": SWAP}
    assert swap["says"] == "cause"
    assert [each["check"] for each in swap["lookAt"]] == ["swap"]
    assert swap["lookAt"][0]["means"]
    assert swap["mend"][0]["text"].startswith("`swapoff -a`")
    assert swap["fix"] is None
    assert swap["sources"][0]["url"].startswith("https://github.com/kubernetes/kubernetes/blob/")


def test_nothing_known_ends_with_1_as_grep_does_and_says_how_to_go_on() -> None:
    done = why(given=b"all is well\n")

    assert done.returncode == 1
    assert done.stdout.startswith("Nothing known in 1 line.\n")
    assert "k8sdoctor check" in done.stdout
    assert why("-o", "json", "all is well").returncode == 1


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("/no/such/file", "/no/such/file: No such file or directory; see k8sdoctor why --help"),
        ("kubelet.log", "kubelet.log: No such file or directory; see k8sdoctor why --help"),
        ("{tmp}", "{tmp} is a folder; name the files in it that are logs"),
    ],
)
def test_a_file_that_is_none_is_wrong_usage(tmp_path: Path, word: str, told: str) -> None:
    done = why(word.format(tmp=tmp_path))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"k8sdoctor: {told.format(tmp=tmp_path)}\n"


def test_a_file_that_cannot_be_read_to_its_end_is_told_beside_what_was_seen(tmp_path: Path) -> None:
    journal = tmp_path / "system.journal"
    journal.write_bytes(b"LPKSHHRH" + b"\0" * 1000)
    done = why(str(journal), SWAP)

    assert done.returncode == 3
    assert "SwapOn" in done.stdout
    assert done.stderr.startswith(f"k8sdoctor: {journal}: it is a file of journald's")


def test_a_terminal_is_told_what_to_do_and_pasted_lines_are_read() -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command("why"), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    os.close(theirs)
    assert child.stderr is not None
    asked = child.stderr.readline().decode()
    os.write(ours, f"{SWAP}\n\x04".encode())
    shown, _ = child.communicate(timeout=WATCHDOG)
    os.close(ours)

    assert asked.startswith("Paste the lines, then press Enter and Ctrl-D.")
    assert b"SwapOn" in shown
    assert child.returncode == 0


def test_ctrl_c_ends_with_what_was_seen() -> None:
    child = subprocess.Popen(
        command("why", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert child.stdin is not None
    assert child.stdout is not None
    # A pipe holds 64 KiB: once twice as much has been taken, the lines of the first half have been looked at.
    child.stdin.write(f"{SWAP}\n".encode() + b"fine\n" * 60_000)
    child.stdin.flush()
    child.send_signal(signal.SIGINT)
    shown, _ = child.communicate(timeout=WATCHDOG)

    assert child.returncode == 130
    assert b"SwapOn" in shown


def test_a_secret_of_a_pasted_line_is_not_shown_again() -> None:
    for output in ("text", "json"):
        shown = why("-o", output, given=f"Get https://admin:hunter22@192.0.2.1/: {SWAP}".encode()).stdout

        assert "hunter22" not in shown
        assert "REDACTED-1" in shown


def test_what_a_terminal_would_obey_is_shown_as_text() -> None:
    shown = why(given=f"\x1b]0;owned\x07\u202e {SWAP} \x1b[2J".encode()).stdout

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "owned" in shown
