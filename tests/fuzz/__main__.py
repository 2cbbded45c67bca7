"""Judge recorded nodes of which some answers are spoiled, for many seeds: `make fuzz`.

`make fuzz ARGS="1000 --first 5000"` takes other seeds. It prints each seed that breaks something, and ends with 1 then. A seed that takes
too long ends it, with the place where each thread hangs.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import sys
import time

from tests.fuzz import nodes

MOST_SECONDS = 100
"""One seed takes less than a second; this is for machines that have other things to do."""

MOST_MEMORY = 400
"""MiB of the whole process; a few seeds need about 150."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Judge recorded nodes with spoiled answers."
    )
    parser.add_argument("count", type=int, nargs="?", default=500, help="how many seeds (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (default: %(default)s)")
    asked = parser.parse_args()
    started, good = time.monotonic(), 0
    for seed in range(asked.first, asked.first + asked.count):
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        try:
            found = nodes.fault(seed)
        except Exception:
            print(f"seed {seed}:", flush=True)
            raise
        good += found is None
        if found is not None:
            print(f"seed {seed}: {found}\n", flush=True)
        if used() > MOST_MEMORY:
            print(f"seed {seed}: {used():.0f} MiB were in use", flush=True)
            return 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{good} of {asked.count} seeds from {asked.first}, {time.monotonic() - started:.0f} s, {used():.0f} MiB")
    return int(good < asked.count)


def used() -> float:
    """MiB that this process had in memory at its most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
