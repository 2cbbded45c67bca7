"""Reading what `k8sdoctor diff` compares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from k8sdoctor.cli.values import WrongUsageError
from k8sdoctor.comparison import Side
from k8sdoctor.host.bundle import BundleError, open_bundle
from k8sdoctor.host.recording import FORMAT
from k8sdoctor.stored_report import StoredReportError, read_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.host.recording import Recording
    from k8sdoctor.report import Report

LIMIT = 64 * 1024 * 1024
"""Bytes of a report that are read; one of ten thousand images has some ten million."""

STDIN = "-"

_GZIP = b"\x1f\x8b"
_HEAD = 256  # bytes of a file that tell what it is


def sides(a: str, b: str, judge: Callable[[Recording], Report]) -> tuple[Side, Side]:
    """Both sides, by what was said on the command line; a recording is judged first.

    Raises WrongUsageError with one sentence that names the file.
    """
    if a == b == STDIN:
        raise WrongUsageError("A and B cannot both be read from stdin; see k8sdoctor diff --help")
    opened = [_opened("A", a), _opened("B", b)]  # a wrong B is told before A is judged
    first, second = (each if isinstance(each, Side) else Side(each[0], judge(each[1]), each[1]) for each in opened)
    return first, second


def _opened(name: str, path: str) -> Side | tuple[str, Recording]:
    shown = "stdin" if path == STDIN else path
    try:
        if path != STDIN and _is_recording(path):
            return path, open_bundle(path)
        data = _stdin() if path == STDIN else _file(path)
    except BundleError as error:
        raise WrongUsageError(f"{name} cannot be compared: {error}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise WrongUsageError(f"{name} cannot be read: {shown}: {reason}") from None
    if data.startswith(_GZIP):
        raise WrongUsageError(f"{name}: a recording is not read from stdin; name its file")
    if len(data) > LIMIT:
        raise WrongUsageError(f"{name}, {shown}, holds more than {LIMIT >> 20} MiB, and no report does")
    try:
        return Side(shown, read_report(data.decode("utf-8")))
    except UnicodeDecodeError:
        raise WrongUsageError(f"{name}, {shown}, cannot be compared: it is not text, and a report is") from None
    except StoredReportError as error:
        raise WrongUsageError(
            f"{name}, {shown}, cannot be compared: {error}; `k8sdoctor check -o json` writes a report, `k8sdoctor record` a recording"
        ) from None


def _is_recording(path: str) -> bool:
    """Whether a file is a bundle, or a recording in one text."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(_GZIP) or FORMAT.encode() in head


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(LIMIT + 1)


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("it is a terminal; pipe a report in, or name a file")
    return sys.stdin.buffer.read(LIMIT + 1)
