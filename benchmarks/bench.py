"""What k8sdoctor costs on a healthy lab node: process CPU, wall time, memory, how they grow, and how far it overshoots limits.

`make bench` prints tables. Each command is run in turn with the others, several times, and the medians are compared with `python -c pass`
of the same rounds, since a busy machine slows all of them alike; those ratios with the last release's, which `--store` wrote.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import k8sdoctor.checks
from benchmarks.app import app
from benchmarks.growth import growth
from benchmarks.healthy import healthy_node
from benchmarks.lists import lists
from benchmarks.measure import NOTHING, ROUNDS, doctor, measure, medians, middle
from benchmarks.ratios import STORED, against, load, store
from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measure import Cost
    from benchmarks.ratios import Ratios

PROBE_LIMIT = 5.0
DEADLINE = 3.0
OVERSHOOTS = 3
"""Runs that wait for their limits, of which the median counts."""
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


# What a run asked, each question once.
RECORD = """
import json, sys
from k8sdoctor import engine, registry
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.recording import Recorder
host = Recorder(LiveHost())
engine.run(host, registry.load().checks)
with open(sys.argv[1], "w") as file:
    json.dump([(entry["verb"], entry["arguments"]) for entry in host.entries()], file)
"""
QUESTIONS = "/run/questions.json"

COMMANDS = {
    "python -c pass": NOTHING,
    "--version": doctor("--version"),
    "list": doctor("list"),
    "check ip-forward": doctor("check", "ip-forward"),
    "check": doctor("check"),
    "check --offline": doctor("check", "--offline"),
}
ON_A_CONTROL_PLANE = {
    "python -c pass": NOTHING,
    "check": doctor("check"),
    "bare probes": [sys.executable, "-P", str(Path(__file__).with_name("bare.py")), QUESTIONS],
}
AIMS = {
    "list": "CPU 0.12 s beyond python -c pass",
    "check ip-forward": "CPU 0.12 s beyond python -c pass",
    "control plane: check": "CPU 1 s",
}


def costs(title: str, found: Mapping[str, Cost], stored: Ratios) -> Ratios:
    """Print what each command costs, and hand out the ratios to the first, which does nothing."""
    first, *others = found
    base = found[first]
    print(f"\n{f'{title}: {first}':32} {base.cpu:7.3f} s {'':15} {base.wall:7.3f} s {'':15} {base.memory:4.0f} MiB")
    measured = {}
    for name in others:
        cost, key = found[name], f"{title}: {name}"
        row, then = cost.over(base), stored.get(key, {})
        cpu, wall, memory = (f"{row[each]:6.1f} {against(row[each], then.get(each)):>8}" for each in row)
        print(
            f"{name:32} {cost.cpu:7.3f} s {cpu} {cost.wall:7.3f} s {wall} {cost.memory:4.0f} MiB {memory}  {AIMS.get(key) or AIMS.get(name, '')}"
        )
        measured[key] = row
    return measured


def healthy(stored: Ratios) -> Ratios:
    """What commands cost, and how much longer than its slowest question a run takes."""
    with healthy_node() as node:
        summary = node.check().report["summary"]
        print(
            "a healthy node:",
            ", ".join(f"{summary[word]} {word}" for word in ("pass", "skip", "warn", "unknown", "fail")),
        )
        found = medians(node, COMMANDS)
        runs = [json.loads(node.run([sys.executable, "-c", PROBES]).stdout) for _ in range(ROUNDS)]
    measured = costs("a node", found, stored)
    wall, (slowest, verb), count = sorted(runs)[len(runs) // 2]
    print(f"\nengine's wall time {wall:.3f} s, {count} questions, the slowest {slowest:.3f} s ({verb}): "
          f"{wall / slowest:.2f} times (aim: 1.2)")  # fmt: skip
    return measured


def control_plane(stored: Ratios) -> Ratios:
    """What a whole run costs where API server and etcd are asked, too, and as a multiple of its questions alone."""
    with LabNode("cp1") as lab:
        WholeNode(lab, "control-plane").start()
        lab.run([sys.executable, "-c", RECORD, QUESTIONS])
        found = medians(lab, ON_A_CONTROL_PLANE)
    measured = costs("control plane", found, stored)
    name = "control plane: check over its bare probes"
    row, then = found["check"].over(found["bare probes"]), stored.get(name, {})
    told = ", ".join(f"{each} {value:.2f} ({against(value, then.get(each))})" for each, value in row.items())
    print(f"the whole run as a multiple of its questions asked by nobody but a loop: {told} (aim: CPU 1.3)")
    return {**measured, name: row}


def blackholed() -> None:
    """How long after a silent registry's own limit the run ends."""
    with healthy_node(BLACKHOLE) as node:
        cost = middle([each for _ in range(OVERSHOOTS) for each in measure(node, doctor("check"))])
        [reason] = node.check().reasons("pause-image") & {"RegistryUnreachable"} or ["not seen"]
    print(f"\na registry that says nothing ({reason}): the run takes {cost.wall:.2f} s, "
          f"{cost.wall - PROBE_LIMIT:.2f} s beyond the probe's limit (aim: 0.3 s)")  # fmt: skip


def hung() -> None:
    """How long after the deadline a run with a fact that hangs for good ends."""
    with healthy_node() as node, tempfile.TemporaryDirectory() as folder:
        Path(folder, "hangs.py").write_text(HANGS)
        hanging = doctor("check", "--checks-dir", folder, "--deadline", str(DEADLINE))
        cost = middle([each for _ in range(OVERSHOOTS) for each in measure(node, hanging)])
    print(f"a fact that hangs: the run takes {cost.wall:.2f} s, {cost.wall - DEADLINE:.2f} s beyond the deadline "
          f"(aim: 0.3 s), exit code {cost.code}")  # fmt: skip


def limits(_: Ratios) -> Ratios:
    """Print how far runs overshoot their limits."""
    blackholed()
    hung()
    return {}


def others(_: Ratios) -> Ratios:
    """Print what lists and the app take."""
    lists()
    app()
    return {}


PARTS = {"commands": healthy, "control-plane": control_plane, "growth": growth, "limits": limits, "others": others}


def main() -> int:
    """Measure and print."""
    words = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    words.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}; all by default")
    words.add_argument("--store", action="store_true", help=f"keep the ratios in {STORED.name}, as those of a release")
    asked = words.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        words.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        print("the lab needs root", file=sys.stderr)
        return 2
    for package in (k8sdoctor, k8sdoctor.checks):  # as an installation does; `checks` is a link, which is not followed
        compileall.compile_dir(str(Path(package.__file__ or "").parent), quiet=2)
    version, stored = load()
    print(f"percentages are against the ratios of {version}" if version else "no ratios are stored to compare with")
    measured: Ratios = {}
    for part in asked.parts or PARTS:
        measured |= PARTS[part](stored)
    if asked.store:
        store(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
