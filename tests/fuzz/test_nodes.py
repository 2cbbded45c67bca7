"""Whatever a node's files, programs, runtime and API server say, the report is whole; `make fuzz` takes many more seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz import furnished, nodes

if TYPE_CHECKING:
    from k8sdoctor.host.base import Json

SEEDS = 20

ROOT = Path(__file__).parents[2]


def test_every_answer_may_be_spoiled_and_the_report_is_whole() -> None:
    # A process of its own: a parser that takes for ever would take pytest with it, and memory is measured of a whole process.
    command = [sys.executable, "-m", "tests.fuzz", str(SEEDS)]

    ended = subprocess.run(
        command, check=False, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=900
    )

    assert ended.stdout.startswith(f"{SEEDS} of {SEEDS} seeds"), ended.stdout + ended.stderr
    assert ended.returncode == 0


def test_a_seed_makes_the_same_node_again_and_another_seed_another() -> None:
    def said(seed: int) -> list[Json]:
        host = nodes.SpoiledHost(furnished.node("containerd"), seed, of=1)
        return [host.read(path) for path in ("/etc/fstab", "/proc/modules", "/etc/containerd/config.toml")]

    assert said(7) == said(7)
    assert len({json.dumps(said(seed)) for seed in range(5)}) == 5
