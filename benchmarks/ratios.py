"""Ratios that were measured, those of the last release, and how costs grow.

Seconds are the machine's, so what is stored are ratios to `python -c pass` of the same rounds, which a busy machine slows as well.
"""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from k8sdoctor import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

STORED = Path(__file__).with_name("ratios.json")

Ratios: TypeAlias = dict[str, dict[str, float]]
"""What was measured, by its name; of each, ratios or an exponent, by name."""

NOISE = 0.15
"""The part of a cost by which it must have grown from the fewest to the most things, for its growth to be told from noise."""


def load(path: Path = STORED) -> tuple[str, Ratios]:
    """The release that ratios were stored of, and the ratios; none where there is no file. Raises ValueError for a file that holds something else."""
    if not path.exists():
        return "", {}
    match json.loads(path.read_text("utf-8")):
        case {"version": str() as version, "ratios": dict() as ratios} if all(map(_is_row, ratios.values())):
            return version, ratios
    msg = f"{path} holds no ratios: it should be {{version, python, ratios: {{name: {{name: number}}}}}}"
    raise ValueError(msg)


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values())


def store(measured: Ratios, path: Path = STORED) -> None:
    """Write ratios as this version's. What was not measured this time stays as it was stored."""
    _, known = load(path)
    rows = {name: {key: round(value, 2) for key, value in row.items()} for name, row in measured.items()}
    document = {"version": __version__, "python": platform.python_version(), "ratios": {**known, **rows}}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")


def against(value: float, stored: float | None) -> str:
    """How a ratio stands to the stored one, such as `+12 %`; `new` where none is stored."""
    return "new" if not stored else f"{value / stored - 1:+.0%}"


def exponent(costs: Sequence[float]) -> float | None:
    """By which power of n a cost grows that was measured at n, 2n and 4n; None where it did not grow by more than noise.

    Of a + b·n^k, the steps (2^k - 1)·b·n^k and 2^k·(2^k - 1)·b·n^k give k, whatever a is: the cost of a node that has none of the things.
    """
    low, middle, high = costs
    first, second = middle - low, high - middle
    if high - low < NOISE * low or first <= 0 or second <= 0:
        return None
    return math.log2(second / first)
