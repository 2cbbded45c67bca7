"""What k8sdoctor costs on a healthy lab node: process CPU, wall time, memory, and how far it overshoots limits.

`make bench` prints a table. Each command is run in turn with the others, several times, and the medians are compared with
`python -c pass` of the same rounds, since a busy machine slows all of them alike.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import k8sdoctor
from benchmarks.app import app
from benchmarks.healthy import healthy_node
from benchmarks.lists import lists
from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 7
PROBE_LIMIT = 5.0
DEADLINE = 3.0
BLACKHOLE = "198.51.100.1:5000/pause:3.6"  # the far side drops what is sent there
HANGS = """
import threading
from k8sdoctor import check, passed

class Hangs:
    @classmethod
    def observe(cls, host):
        threading.Event().wait()

@check("hangs", title="A fact that never ends", area="benchmark")
def hangs(fact: Hangs):
    yield passed("Ended", "It ended.")
"""

# One process after the other, each waited for with what it used; children that it waited for are counted in.
MEASURE = """
import json, os, sys, time
commands = json.loads(sys.argv[1])
null = os.open(os.devnull, os.O_RDWR)
rows = []
for command in commands:
    begun = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
    _, status, used = os.wait4(pid, 0)
    rows.append([time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)])
print(json.dumps(rows))
"""

# Each question of a run with its time, by wrapping the one method that all of them pass.
PROBES = """
import json, sys, time
from k8sdoctor import engine, registry
from k8sdoctor.host.live import LiveHost
asked, plain = [], LiveHost.ask
def ask(self, verb, arguments):
    begun = time.monotonic()
    try:
        return plain(self, verb, arguments)
    finally:
        asked.append([time.monotonic() - begun, verb])
LiveHost.ask = ask
checks = registry.load().checks
begun = time.monotonic()
report = engine.run(LiveHost(), checks)
print(json.dumps([time.monotonic() - begun, max(asked), len(asked)]))
"""


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, seconds of CPU, MiB at its peak, exit code."""

    wall: float
    cpu: float
    memory: float
    code: int


def measure(node: LabNode, *commands: Sequence[str]) -> list[Cost]:
    """Run commands one after the other on the node."""
    done = node.run([sys.executable, "-c", MEASURE, json.dumps([list(command) for command in commands])])
    return [Cost(*row) for row in json.loads(done.stdout)]


def doctor(*arguments: str) -> list[str]:
    """The doctor's command line."""
    script = Path(sys.executable).with_name("k8sdoctor")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "k8sdoctor", *arguments]


COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "list": doctor("list"),
    "check ip-forward": doctor("check", "ip-forward"),
    "check": doctor("check"),
    "check --offline": doctor("check", "--offline"),
}


def medians(node: LabNode) -> dict[str, Cost]:
    """Each command's median of several interleaved rounds; the first round warms up and is not counted."""
    measure(node, *COMMANDS.values())
    rounds = [measure(node, *COMMANDS.values()) for _ in range(ROUNDS)]
    found = {}
    for name, costs in zip(COMMANDS, zip(*rounds, strict=True), strict=True):
        found[name] = Cost(
            statistics.median(cost.wall for cost in costs),
            statistics.median(cost.cpu for cost in costs),
            statistics.median(cost.memory for cost in costs),
            costs[0].code,
        )
    return found


def healthy() -> Cost:
    """What `check` costs; prints costs of each command, and how much longer than its slowest question a run takes."""
    with healthy_node() as node:
        summary = node.check().report["summary"]
        print(
            "a healthy node:",
            ", ".join(f"{summary[word]} {word}" for word in ("pass", "skip", "warn", "unknown", "fail")),
        )
        costs = medians(node)
        runs = [json.loads(node.run([sys.executable, "-c", PROBES]).stdout) for _ in range(ROUNDS)]
    base = costs["python -c pass"]
    print(f"\n{'command':18} {'CPU':>8} {'ratio':>6} {'beyond':>8} {'wall':>8} {'peak':>8}  aim")
    aims = {
        "list": "CPU 0.12 s beyond python -c pass",
        "check ip-forward": "CPU 0.12 s beyond python -c pass",
        "check": "CPU 0.4 s, peak 80 MiB",
    }
    for name, cost in costs.items():
        print(
            f"{name:18} {cost.cpu:6.3f} s {cost.cpu / base.cpu:6.1f} {cost.cpu - base.cpu:6.3f} s {cost.wall:6.3f} s "
            f"{cost.memory:5.0f} MiB  {aims.get(name, '')}"
        )
    wall, (slowest, verb), count = sorted(runs)[len(runs) // 2]
    print(f"\nengine's wall time {wall:.3f} s, {count} questions, the slowest {slowest:.3f} s ({verb}): "
          f"{wall / slowest:.2f} times (aim: 1.2)")  # fmt: skip
    return costs["check"]


def asked_api(without: Cost) -> None:
    """What a kubeconfig that works adds to a run: the API server is asked, and its certificates are looked at."""
    with LabNode("worker-1") as lab:
        WholeNode(lab).start()
        [covered] = lab.check("apiserver-san").reasons("apiserver-san") & {"Covered"} or ["not seen"]
        measure(lab, doctor("check"))
        costs = [measure(lab, doctor("check"))[0] for _ in range(ROUNDS)]
    cpu, memory = (
        statistics.median(values) for values in zip(*((cost.cpu, cost.memory) for cost in costs), strict=True)
    )
    print(f"\nwhere the API server is asked ({covered}): {cpu:.3f} s of CPU and {memory:.0f} MiB, "
          f"{cpu - without.cpu:+.3f} s and {memory - without.memory:+.0f} MiB (aim: +0.3 s, +25 MiB)")  # fmt: skip


def blackholed() -> None:
    """How long after a silent registry's own limit the run ends."""
    with healthy_node(BLACKHOLE) as node:
        [cost] = measure(node, doctor("check"))
        [reason] = node.check().reasons("pause-image") & {"RegistryUnreachable"} or ["not seen"]
    print(f"\na registry that says nothing ({reason}): the run takes {cost.wall:.2f} s, "
          f"{cost.wall - PROBE_LIMIT:.2f} s beyond the probe's limit (aim: 0.3 s)")  # fmt: skip


def hung() -> None:
    """How long after the deadline a run with a fact that hangs for good ends."""
    with healthy_node() as node, tempfile.TemporaryDirectory() as folder:
        Path(folder, "hangs.py").write_text(HANGS)
        [cost] = measure(node, doctor("check", "--checks-dir", folder, "--deadline", str(DEADLINE)))
    print(f"a fact that hangs: the run takes {cost.wall:.2f} s, {cost.wall - DEADLINE:.2f} s beyond the deadline "
          f"(aim: 0.3 s), exit code {cost.code}")  # fmt: skip


def main() -> int:
    """Measure and print."""
    if os.geteuid() != 0:
        print("the lab needs root", file=sys.stderr)
        return 2
    compileall.compile_dir(str(Path(k8sdoctor.__file__).parent), quiet=2)  # as an installation does
    asked_api(healthy())
    blackholed()
    hung()
    lists()
    app()
    return 0


if __name__ == "__main__":
    sys.exit(main())
