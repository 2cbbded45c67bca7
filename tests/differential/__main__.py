"""Hold what the checks predict against what the real parts do, for many seeds: `make differential`.

`make differential ARGS="certificates --first 5000 --count 200"` runs one part and other seeds. It ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Part:
    """One comparison. `differences` gives None for each seed where all agree, and a text where not."""

    name: str
    count: int
    differences: Callable[[range], Iterator[str | None]]


def certificates(seeds: range) -> Iterator[str | None]:
    from tests.differential import certificate_oracles as oracles

    with tempfile.TemporaryDirectory() as folder:
        yield from oracles.differences(seeds, oracles.compiled(Path(folder)))


def sysctl(seeds: range) -> Iterator[str | None]:
    from tests.differential import boot_oracles as oracles
    from tests.lab.node import LabNode

    with LabNode() as node:
        oracles.prepare(node)
        yield from oracles.sysctl_differences(node, seeds)


def modules(seeds: range) -> Iterator[str | None]:
    from tests.differential import boot_oracles as oracles
    from tests.lab.node import LabNode

    with LabNode() as node:
        oracles.prepare(node)
        yield from oracles.module_differences(node, seeds)


def cni(seeds: range) -> Iterator[str | None]:
    from tests.differential import cni_oracle as oracle
    from tests.lab.node import LabNode

    with LabNode() as node:
        yield from oracle.differences(node, seeds)


def pulls(seeds: range) -> Iterator[str | None]:
    from tests.differential import pull_oracle as oracle
    from tests.lab.node import LabNode

    with LabNode() as node:
        yield from oracle.differences(node, seeds)


PARTS = (
    Part("certificates", 1000, certificates),
    Part("sysctl", 1000, sysctl),
    Part("modules", 500, modules),
    Part("cni", 300, cni),
    Part("pulls", 200, pulls),
)


def main() -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.differential", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (default: %(default)s)")
    parser.add_argument("--count", type=int, metavar="N", help="how many seeds (default: what the part is worth)")
    parser.add_argument(
        "--record", action="store_true", help="only write down what a client of Go's says, for the short run"
    )
    asked = parser.parse_args()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a case may hold what is no text
    if asked.record:
        return _recorded(asked.count or 100)
    if unknown := set(asked.parts) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    differ = False
    for part in PARTS:
        if not asked.parts or part.name in asked.parts:
            differ |= not _agrees(part, range(asked.first, asked.first + (asked.count or part.count)))
    return int(differ)


def _recorded(count: int) -> int:
    from tests.differential import certificate_oracles as oracles

    with tempfile.TemporaryDirectory() as folder:
        oracles.record(count, oracles.compiled(Path(folder)))
    print(f"{oracles.RECORDED}: {count} verdicts")
    return 0


def _agrees(part: Part, seeds: range) -> bool:
    started, good = time.monotonic(), 0
    for seed, difference in zip(seeds, part.differences(seeds), strict=True):
        if difference is None:
            good += 1
        else:
            print(f"{part.name}, seed {seed}: {difference}\n", flush=True)
    took = time.monotonic() - started
    print(f"{part.name}: {good} of {len(seeds)} agree (seeds {seeds[0]} to {seeds[-1]}, {took:.0f} s)", flush=True)
    return good == len(seeds)


if __name__ == "__main__":
    sys.exit(main())
