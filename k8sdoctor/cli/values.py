"""What the values of options stand for, each held against what is right before a run."""

from __future__ import annotations

import argparse
import math
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from k8sdoctor.check import Profile
from k8sdoctor.host.answers import GivenText
from k8sdoctor.host.base import READ_LIMIT, HostError
from k8sdoctor.host.files import Files
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass
from k8sdoctor.render import FORMATS
from k8sdoctor.render.files import SUFFIXES, UnfitPathError, writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host.recording import Recording


class WrongUsageError(Exception):
    """The command line is wrong; the message is one line that says what is right."""


@dataclass(frozen=True)
class SavedReport:
    """A file that is to hold a report beside what is printed, and its format."""

    path: str
    format: str


@dataclass(frozen=True)
class GivenBundle:
    """A bundle that is to be judged: its path as given, and what it holds."""

    path: str
    recording: Recording


def _wrong(message: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(message)


def _one_of(value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise _wrong(f"{value!r} is none of {', '.join(allowed)}")
    return value


def profile(value: str) -> Profile:
    """A profile by its name."""
    return Profile(_one_of(value, tuple(Profile)))


def report_format(value: str) -> str:
    """A format of reports by its name."""
    return _one_of(value, tuple(FORMATS))


def names(value: str) -> list[str]:
    """Ids of checks, between commas."""
    found = [name.strip() for name in value.split(",") if name.strip()]
    if not found:
        raise _wrong("give the id of a check; `k8sdoctor list` shows them")
    return found


def seconds(value: str) -> float:
    """A positive number of them."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not (0 < found < math.inf):
        raise _wrong(f"{value!r} is not a positive number of seconds, such as 30 or 2.5")
    return found


_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 24 * 3600


def duration(value: str) -> float:
    """`30s`, `10m` or `1h`; also parts of them, such as `1.5h`."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", value, re.ASCII)
    length = float(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= length <= _LONGEST:
        raise _wrong(f"{value!r} is no duration from 1s to 24h, such as 30s, 10m or 1h")
    return length


_HOST = regex(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\.?"
)


def endpoint(value: str) -> str:
    """`host`, `host:port`, `192.0.2.1:6443`, `[2001:db8::1]:6443` or `2001:db8::1`."""
    import ipaddress

    example = "give HOST or HOST:PORT, such as k8s.example.org:6443 or [2001:db8::1]:6443"
    host, port = value, ""
    if value.startswith("["):
        host, _, rest = value[1:].partition("]")
        if (rest and not rest.startswith(":")) or ":" not in host or "]" not in value:
            raise _wrong(f"{value!r} is no address; {example}")
        port = rest.removeprefix(":") if rest else ""
        if rest == ":":
            raise _wrong(f"{value!r} ends without a port; {example}")
    elif value.count(":") == 1:
        host, _, port = value.partition(":")
        if not port:
            raise _wrong(f"{value!r} ends without a port; {example}")
    if port and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):  # noqa: PLR2004 -- TCP's ports
        raise _wrong(f"{port!r} in {value!r} is no port (1 to 65535); {example}")
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise _wrong(f"{value!r} is no address; {example}") from None
    elif len(host) > 253 or not _HOST.fullmatch(host):  # noqa: PLR2004 -- DNS's limit, RFC 1035
        raise _wrong(f"{value!r} is no address; {example}")
    return value


# -- paths -----------------------------------------------------------------------------------------------------------------


def _stat(path: str) -> os.stat_result:
    try:
        return Path(path).stat()
    except (OSError, ValueError) as error:
        raise _wrong(f"{path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def folder(path: str) -> str:
    """A folder whose names may be listed."""
    if not stat.S_ISDIR(_stat(path).st_mode):
        raise _wrong(f"{path} is not a folder")
    if not os.access(path, os.R_OK | os.X_OK):
        raise _wrong(f"{path}: Permission denied")
    return path


def root(path: str) -> str:
    """A folder that is a node's root, as an absolute path."""
    return os.path.abspath(folder(path))  # noqa: PTH100 -- as typed: Path.resolve would follow links


def _readable_file(path: str) -> str:
    """A regular file that may be read, and is no bigger than a configuration can be."""
    found = _stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise _wrong(f"{path} is not a regular file")
    if found.st_size > READ_LIMIT:
        raise _wrong(
            f"{path} holds {found.st_size >> 20} MiB; a configuration of over {READ_LIMIT >> 20} MiB is not read"
        )
    if not os.access(path, os.R_OK):
        raise _wrong(f"{path}: Permission denied")
    return path


def configuration(path: str) -> GivenText:
    """The file's path and text. Text that does not parse is for the checks to tell."""
    try:
        with Path(_readable_file(path)).open("rb") as file:
            return GivenText(path=path, text=file.read(READ_LIMIT).decode("utf-8", "replace"))
    except OSError as error:
        raise _wrong(f"{path}: {_reason(error)}") from None


def image_list(path: str) -> GivenText:
    """As a configuration; or what stdin holds, to its end."""
    if path != "-":
        return configuration(path)
    if sys.stdin is None or sys.stdin.isatty():
        raise _wrong("- stands for a list on stdin, which is a terminal; pipe one in, or name a file")
    text = sys.stdin.buffer.read(READ_LIMIT + 1)
    if len(text) > READ_LIMIT:
        raise _wrong(f"stdin holds more than {READ_LIMIT >> 20} MiB, which is no list")
    return GivenText(path="stdin", text=text.decode("utf-8", "replace"))


def kubeconfig(path: str, root: str) -> str:
    """The path of a kubeconfig as seen inside the root; a path outside that leads there is right, too."""
    absolute = os.path.abspath(path)  # noqa: PTH100 -- a link in the root is the root's own
    inside = absolute.removeprefix(root) if root != "/" and absolute.startswith(f"{root}/") else absolute
    try:
        Files(root).read(inside)
    except HostError as error:
        raise WrongUsageError(f"--kubeconfig: {error}; see k8sdoctor check --help") from None
    return inside


def bundle_target(path: str) -> Path:
    """Where a bundle is to be written."""
    if path == "-":
        raise _wrong("a bundle is written whole or not at all, so it needs a file, such as node.tar.gz")
    try:
        return writable(path)
    except UnfitPathError as error:
        raise _wrong(str(error)) from None
    except OSError as error:
        raise _wrong(f"{path}: {_reason(error)}") from None


def bundle(path: str) -> GivenBundle:
    """What was recorded, whole and held against its format."""
    from k8sdoctor.host.bundle import BundleError, open_bundle

    if not stat.S_ISREG(_stat(path).st_mode):
        raise _wrong(f"{path} is not a regular file")
    try:
        return GivenBundle(path, open_bundle(path))
    except BundleError as error:
        raise _wrong(str(error)) from None


def saved_report(path: str) -> SavedReport:
    """A file to be written: its folder must be there, and it must not be anything but a regular file."""
    try:
        target = writable(path)
    except UnfitPathError as error:
        raise _wrong(str(error)) from None
    except OSError as error:
        raise _wrong(f"{path}: {_reason(error)}") from None
    return SavedReport(str(target), SUFFIXES.get(Path(path).suffix.lower(), "json"))
