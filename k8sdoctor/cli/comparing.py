"""Reading what `k8sdoctor diff` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from k8sdoctor.cli.arguments import WrongUsageError
from k8sdoctor.comparison import Side
from k8sdoctor.stored_report import StoredReportError, read_report

LIMIT = 64 * 1024 * 1024
"""Bytes of a report that are read; one of ten thousand images has some ten million."""

STDIN = "-"


def sides(a: str, b: str) -> tuple[Side, Side]:
    """Both sides, by what was said on the command line. Raises WrongUsageError with one sentence that names the file."""
    if a == b == STDIN:
        raise WrongUsageError("A and B cannot both be read from stdin; see k8sdoctor diff --help")
    return _side("A", a), _side("B", b)


def _side(name: str, path: str) -> Side:
    shown = "stdin" if path == STDIN else path
    try:
        data = _stdin() if path == STDIN else _file(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise WrongUsageError(f"{name} cannot be read: {shown}: {reason}") from None
    if len(data) > LIMIT:
        raise WrongUsageError(f"{name}, {shown}, holds more than {LIMIT >> 20} MiB, and no report does")
    try:
        return Side(shown, read_report(data.decode("utf-8")))
    except UnicodeDecodeError:
        raise WrongUsageError(f"{name}, {shown}, cannot be compared: it is not text, and a report is") from None
    except StoredReportError as error:
        raise WrongUsageError(
            f"{name}, {shown}, cannot be compared: {error}; `k8sdoctor check -o json > FILE` writes a report"
        ) from None


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(LIMIT + 1)


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("it is a terminal; pipe a report in, or name a file")
    return sys.stdin.buffer.read(LIMIT + 1)
