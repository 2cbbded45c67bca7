"""The lab's fixtures, and what a lab test needs to run at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ALWAYS = ("unshare", "nsenter", "ip", "mount", "sysctl")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*commands): a lab test that needs these commands of Debian packages")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lab") is None:
        return
    commands = [str(name) for marker in item.iter_markers("needs") for name in marker.args]
    lacking = _lacking((*_ALWAYS, *commands))
    if lacking:
        # On a person's machine; where no skip is allowed, tests/conftest.py makes it a failure.
        pytest.skip(f"needs {lacking}")


@cache
def _lacking(commands: tuple[str, ...]) -> str | None:
    """What this machine lacks for a lab, or None."""
    if os.geteuid() != 0:
        return "root"
    absent = [name for name in commands if shutil.which(name, path=_FOLDERS) is None]
    if absent:
        return f"the commands {', '.join(absent)} (see the Debian packages in the Makefile)"
    namespaces = subprocess.run(
        ["unshare", "-m", "-n", "-p", "-u", "-f", "--mount-proc", "mount", "-t", "tmpfs", "none", "/run"],
        capture_output=True,
        text=True,
        check=False,
    )
    if namespaces.returncode != 0:
        return f"namespaces ({namespaces.stderr.strip()})"
    return None


@pytest.fixture
def node() -> Iterator[LabNode]:
    """A node of the test's own."""
    with LabNode() as made:
        yield made
