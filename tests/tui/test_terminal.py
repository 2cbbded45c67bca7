"""The real program on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.cli.doctor import checks, command, environment, hanging
from tests.tui.terminal import WATCHDOG, Terminal

if TYPE_CHECKING:
    from pathlib import Path

LEAVE = b"\x1b[?1049l"  # back to the screen before
PATIENCE = 10.0  # seconds in which a busy machine ends the app; a run's deadline is longer


def test_the_demo_opens_the_app_and_leaves_the_terminal_as_it_was() -> None:
    with Terminal(command("demo")) as terminal:
        terminal.see("worker-1", "BridgeNfCallOff", "explains 1 more")
        terminal.press("q")
        code, _ = terminal.end()

        assert code == 1
        assert terminal.settings == terminal.settings_before
    last = terminal.written.rpartition(LEAVE)[2]
    assert b"\x1b[?25h" in last  # the cursor is back
    text = re.sub(rb"\x1b\[[?<][0-9;]*[a-z]", b"", last).decode()
    assert text.count("\n") == 1
    assert re.match(
        r"k8sdoctor: node worker-1: fail \(2 fail, [^)]*\): net\.bridge\.bridge-nf-call-iptables is 0", text
    )


@pytest.mark.parametrize("how", ["q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_fact_that_hangs_in_the_kernel_does_not_keep_the_app(tmp_path: Path, how: str | signal.Signals) -> None:
    folder = hanging(tmp_path / "checks")
    argv = command("--checks-dir", folder, "--deadline", "3600", "--offline", "--root", str(empty(tmp_path)), "hangs")
    with Terminal(argv) as terminal:
        terminal.see("hangs", "running", "waiting for pipe")
        if isinstance(how, str):
            terminal.press(how)
        else:
            terminal.signal(how)
        code, seconds = terminal.end()

        assert code == 130
        assert seconds < PATIENCE
        assert terminal.settings == terminal.settings_before
    assert b"left before the node was examined" in terminal.written.rpartition(LEAVE)[2]


def test_a_connection_that_is_lost_ends_the_app() -> None:
    with Terminal(command("demo")) as terminal:
        terminal.see("BridgeNfCallOff", "checks in")  # what a run shows while it is on is no report yet
        terminal.hang_up()
        code, seconds = terminal.end()

    assert code == 1
    assert seconds < PATIENCE


def empty(folder: Path) -> Path:
    """A root without anything in it."""
    root = folder / "root"
    root.mkdir()
    return root


def test_a_plug_in_that_prints_does_not_spoil_the_screen(tmp_path: Path) -> None:
    folder = checks(tmp_path / "checks", "printing")
    with Terminal(command("--checks-dir", folder, "--root", str(empty(tmp_path)), "printing")) as terminal:
        shown = terminal.see("All is fine.")
        assert "hello from a plug-in" not in shown
        terminal.press("q")
        assert terminal.end()[0] == 0


def test_a_wrong_check_is_told_before_the_app_opens(tmp_path: Path) -> None:
    with Terminal(command("--skip", "no-such-check")) as terminal:
        assert terminal.end()[0] == 2
        terminal.see("no check is called 'no-such-check'")
    assert b"\x1b[?1049h" not in terminal.written


@pytest.mark.parametrize("more", [["-o", "text"], ["-o", "json"]])
def test_who_asks_for_a_format_gets_it(more: list[str]) -> None:
    with Terminal(command("demo", *more)) as terminal:
        assert terminal.end()[0] == 1
    assert b"\x1b[?1049h" not in terminal.written
    assert b"BridgeNfCallOff" in terminal.written


def test_a_dumb_terminal_gets_text() -> None:
    with Terminal(command("demo"), env={"TERM": "dumb"}) as terminal:
        assert terminal.end()[0] == 1
        terminal.see("checks in")
    assert b"br-netfilter/BridgeNfCallOff" in terminal.written
    assert b"\x1b" not in terminal.written


def test_without_a_terminal_there_is_text() -> None:
    done = subprocess.run(
        command("demo"), capture_output=True, text=True, env=environment(), check=False, stdin=subprocess.DEVNULL
    )

    assert done.returncode == 1
    assert "br-netfilter/BridgeNfCallOff" in done.stdout
    assert "\x1b" not in done.stdout


def test_check_prints_text_on_a_terminal_too() -> None:
    with Terminal(command("check", "ip-forward", "--root", "/nonexistent")) as terminal:
        assert terminal.end()[0] == 2
    assert b"\x1b[?1049h" not in terminal.written


def test_no_color_paints_without_colours() -> None:
    with Terminal(command("demo", "--no-color")) as terminal:
        terminal.see("BridgeNfCallOff")
        terminal.press("q")
        terminal.end()
    colours = set(re.findall(rb"38;5;(\d+)m|38;2;([0-9;]+)m", terminal.written))
    assert all(_grey(*each) for each in colours)


def _grey(number: bytes, rgb: bytes) -> bool:
    if rgb:
        return len(set(rgb.split(b";")[:3])) == 1
    # The grey ramp, the corners of the colour cube that are grey, and the terminal's own black, greys and white.
    return int(number) >= 232 or int(number) in {0, 7, 8, 15, 16, 59, 102, 145, 188, 231}


def test_a_terminal_without_unicode_is_painted_in_ascii() -> None:
    with Terminal(command("demo"), env={"LANG": "C", "PYTHONCOERCECLOCALE": "0"}) as terminal:
        shown = terminal.see("BridgeNfCallOff")
        terminal.press("q")
        terminal.end()
    assert "x fail" in shown
    assert shown.isascii()
    assert terminal.written.isascii()


def test_the_app_needs_no_more_than_a_python_to_start() -> None:
    """Who only wants text does not pay for the app."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; import k8sdoctor.cli.commands; print('textual' in sys.modules)"],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip

    assert done.stdout.strip() == "False"


def test_a_terminal_that_is_closed_takes_the_app_with_it() -> None:
    """Even while a text stands beside the app's screen, and while much is still to be painted."""
    terminal, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    env = environment() | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        command("demo"), stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    )  # fmt: skip
    os.close(slave)
    try:
        _wait(terminal, b"BridgeNfCallOff")
        os.write(terminal, b"c")
        _wait(terminal, b"Asked the terminal")
        os.write(terminal, b"t")
        _wait(terminal, b"Enter goes back")
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        process.wait(WATCHDOG)
    finally:
        process.kill()
        process.wait()


def _wait(terminal: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], WATCHDOG)[0], seen
        seen += os.read(terminal, 65536)
