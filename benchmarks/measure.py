"""Running commands on a lab node and taking what they cost."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.node import LabNode

ROUNDS = 7
NOTHING = [sys.executable, "-c", "pass"]

# One process after the other, each waited for with what it used; children that it waited for are counted in.
_MEASURE = """
import json, os, sys, time
commands = json.loads(sys.argv[1])
null = os.open(os.devnull, os.O_RDWR)
rows = []
for command in commands:
    begun = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - begun
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    started = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime: proc_pid_stat(5)
    _, status, used = os.wait4(pid, 0)
    rows.append([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status), started])
print(json.dumps(rows))
"""


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, seconds of CPU, MiB at its peak, exit code; of the CPU, what programs took that it started."""

    wall: float
    cpu: float
    memory: float
    code: int
    started: float = 0.0

    def over(self, base: Cost) -> dict[str, float]:
        """How many times as much as another."""
        return {
            "cpu": self.cpu / base.cpu,
            "wall": self.wall / base.wall,
            "memory": self.memory / base.memory,
        }


def measure(node: LabNode, *commands: Sequence[str]) -> list[Cost]:
    """Run commands one after the other on the node."""
    done = node.run([sys.executable, "-c", _MEASURE, json.dumps([list(command) for command in commands])])
    return [Cost(*row) for row in json.loads(done.stdout)]


def doctor(*arguments: str) -> list[str]:
    """The doctor's command line."""
    script = Path(sys.executable).with_name("k8sdoctor")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "k8sdoctor", *arguments]


def medians(node: LabNode, commands: Mapping[str, Sequence[str]]) -> dict[str, Cost]:
    """Each command's median of several rounds in which they take turns; the first round warms up and is not counted."""
    measure(node, *commands.values())
    rounds = [measure(node, *commands.values()) for _ in range(ROUNDS)]
    return {name: middle(costs) for name, costs in zip(commands, zip(*rounds, strict=True), strict=True)}


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.memory for cost in costs),
        costs[0].code,
        statistics.median(cost.started for cost in costs),
    )
