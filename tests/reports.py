"""Comparing a report with that of the same run, judged from its bundle."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

from k8sdoctor import cli

if TYPE_CHECKING:
    from pathlib import Path

_TIMES = ("durationSeconds", "source")


def timeless(report: dict[str, Any]) -> dict[str, Any]:
    """A report less its durations, and less whether it is of a node or of a bundle."""
    metadata = {name: value for name, value in report["metadata"].items() if name not in _TIMES}
    results = [{name: value for name, value in result.items() if name != "seconds"} for result in report["results"]]
    return {**report, "metadata": metadata, "results": results}


def judged(bundle: Path, *options: str) -> dict[str, Any]:
    """The report of a bundle, by the command line, in this process."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out):
        code = cli.run(["check", "--bundle", str(bundle), "-o", "json", *options])
    out.seek(0)
    text = out.read()
    assert text, f"{bundle} could not be judged: exit code {code}"
    report: dict[str, Any] = json.loads(text)
    return report


def differences(live: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """In what two reports differ beside their times, as `check: this is that` or `part: this is that`."""
    one, other = timeless(live), timeless(again)
    found = [
        f"{part}: {_first(one[part], other[part])}" for part in one if part != "results" and one[part] != other[part]
    ]
    results = {result["check"]: result for result in one["results"]}
    others = {result["check"]: result for result in other["results"]}
    found += [
        f"{check}: {_first(results.get(check), others.get(check))}"
        for check in sorted({*results, *others})
        if results.get(check) != others.get(check)
    ]
    return found


def concluded(live: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """Where two reports come to other conclusions (status and reason of each finding), whatever names they use."""
    one, other = (
        {
            result["check"]: sorted(f"{finding['status']}/{finding['reason']}" for finding in result["findings"])
            for result in report["results"]
        }
        for report in (live, again)
    )
    return [
        f"{check}: {one.get(check)} is {other.get(check)}"
        for check in sorted({*one, *other})
        if one.get(check) != other.get(check)
    ]


def _first(one: Any, other: Any) -> str:
    """The first difference inside of two values, as a path and both sides."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(f".{key}{_first(one[key], other[key])}" for key in one if one[key] != other[key])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(f"[{place}]{_first(a, b)}" for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f": {json.dumps(one)[:400]} is {json.dumps(other)[:400]}"
