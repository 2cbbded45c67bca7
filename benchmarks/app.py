"""What the app costs: how soon it is there, how fast it follows a key while thirty checks run, and what it uses while it waits.

It is measured where a person meets it: on a pseudo-terminal, from the key to the changed screen.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.lab.node import wait_for
from tests.tui.terminal import Terminal

ROUNDS = 7
CHECKS = 30
KEYS = 40
WAITS = 5.0  # seconds of doing nothing
SIZE = (120, 40)

# Half of them hang, the others look at the node again and again, as probes do.
CHECK = """
import time
from k8sdoctor import check, passed

class Fact{number}:
    @classmethod
    def observe(cls, host):
        while True:
            for path in ("/proc/mounts", "/proc/net/route", "/etc/hostname") if {number} % 2 else ():
                try:
                    host.read(path)
                except Exception:
                    pass
            time.sleep(0.05)

@check("busy-{number}", title="It never ends", area="area {area}")
def busy(fact: Fact{number}):
    yield passed("Ended", "It ended.")
"""


def command(*arguments: str) -> list[str]:
    """The doctor's command line."""
    return [sys.executable, "-m", "k8sdoctor", *arguments]


def first_paint() -> float:
    """Seconds from the start until the screen shows its frame, beyond a Python that does nothing."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        plain = time.monotonic() - begun
        begun = time.monotonic()
        with Terminal(command("demo"), size=SIZE) as terminal:
            wait_for(lambda terminal=terminal: b"Checks" in terminal.written, "the first screen")  # type: ignore[misc]
            taken.append(time.monotonic() - begun - plain)
            terminal.press("q")
            terminal.end()
    return statistics.median(taken)


def key_to_paint() -> tuple[float, float, float]:
    """Seconds from a key to the line that it marks, while thirty checks run: the median, and the slowest of twenty.

    And seconds from `q` to the end of the process, while they all hang.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number in range(CHECKS):
            Path(folder, f"busy_{number}.py").write_text(CHECK.format(number=number, area=number % 3), "utf-8")
        ids = [f"busy-{number}" for number in range(CHECKS)]
        with Terminal(command("--checks-dir", folder, "--deadline", "3600", *ids), size=SIZE) as terminal:
            terminal.see("busy-0", "running")
            time.sleep(1)
            terminal.press("g")
            time.sleep(0.5)
            taken = []
            for number in range(KEYS):
                before = marked(terminal)
                begun = time.monotonic()
                terminal.press("j" if number % KEYS < KEYS // 2 else "k")
                while marked(terminal) == before:
                    time.sleep(0.0005)
                taken.append(time.monotonic() - begun)
                time.sleep(0.03)  # as fast as a key repeats
            terminal.press("q")
            _, left = terminal.end()
    return statistics.median(taken), sorted(taken)[-KEYS // 20], left


def marked(terminal: Terminal) -> int:
    """The line of the screen at which the cursor stands."""
    return next((place for place, line in enumerate(terminal.text.split("\n")) if line[1:2] == ">"), -1)


def idle() -> float:
    """The share of a core that the app uses while nothing happens."""
    with Terminal(command("demo"), size=SIZE) as terminal:
        terminal.see("BridgeNfCallOff")
        time.sleep(2)
        process = psutil.Process(terminal.process.pid)
        before = process.cpu_times()
        time.sleep(WAITS)
        after = process.cpu_times()
        terminal.press("q")
        terminal.end()
    return (after.user + after.system - before.user - before.system) / WAITS


def app() -> None:
    """Print the rows."""
    median, slow, left = key_to_paint()
    print(
        f"\nthe app: first screen {first_paint():.2f} s beyond python -c pass (aim: 0.5 s); from a key to the screen while "
        f"{CHECKS} checks run {median * 1000:.0f} ms, one in twenty {slow * 1000:.0f} ms or more (aim: 50 ms); "
        f"q ends it after {left:.2f} s (aim: 0.5 s); idle {idle():.1%} of a core (aim: 1 %)"
    )


if __name__ == "__main__":
    app()
