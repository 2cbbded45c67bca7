"""What every test may lean on holds: a skip passes nowhere where none is allowed, a test finds nothing that a later one left, and in the
background it is as in front."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import conftest
from tests.house import source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source

# Not tests of ours, but what ours runs: a test for each way to skip, and one whose failure is expected, which is no skip.
SKIPPED = """
import pytest

@pytest.fixture
def absent():
    pytest.skip("no such tool")

def test_by_a_fixture(absent): ...

def test_by_a_call():
    pytest.skip("no such tool")

@pytest.mark.skipif(True, reason="no such tool")
def test_by_a_marker(): ...

@pytest.mark.xfail(reason="the fault is known")
def test_that_is_known_to_fail():
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("forbidden", "outcome"), [("1", "1 failed, 1 xfailed, 2 errors"), ("0", "3 skipped, 1 xfailed")]
)
def test_what_is_skipped_fails_only_where_no_skip_is_allowed(tmp_path: Path, forbidden: str, outcome: str) -> None:
    (tmp_path / "test_skipped.py").write_text(SKIPPED)

    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", os.devnull, "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*words, str(tmp_path)],
        cwd=source.ROOT,
        env=os.environ | {"K8SDOCTOR_NO_SKIP": forbidden, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome in done.stdout
    assert ("no skip is allowed here: " in done.stdout) is (forbidden == "1")
    assert "no such tool" in done.stdout or forbidden == "0"


# Tests that share what one of them changes, and whoever runs them in the order of their numbers.
SHARED = """
import pytest

@pytest.fixture(scope="module")
def seen():
    return []

@pytest.mark.parametrize("number", range(4))
def test_one(seen, number):
    seen.append(number)
    print("seen:", seen)
"""
ORDERED = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    items = [session.items[number] for number in (0, 2, 1, 3)]
    for item, following in zip(items, [*items[1:], None]):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return True
"""


@pytest.mark.parametrize("files", [1, 2])
def test_what_tests_share_is_made_anew_for_one_that_comes_after_a_later_one(tmp_path: Path, files: int) -> None:
    (tmp_path / "conftest.py").write_text(ORDERED)
    for number in range(files):
        (tmp_path / f"test_shared_{number}.py").write_text(SHARED)

    words = [
        *("-m", "pytest", "-q", "-s", "-p", "tests.conftest", "-c", os.devnull),
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=source.ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "4 passed" in done.stdout
    assert [line.partition("seen: ")[2] for line in done.stdout.splitlines() if "seen: " in line] == [
        *("[0]", "[0, 2]"),
        *("[1]", "[1, 3]"),
    ]


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT", "SIGHUP"])
def test_what_a_test_starts_hears_what_the_run_itself_was_told_to_ignore(name: str) -> None:
    before = signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        conftest.hand_signals_on()
        os.kill(os.getpid(), getattr(signal, name))
        child = subprocess.run(["sh", "-c", f"kill -{name[3:]} $$"], check=False)
    finally:
        signal.signal(getattr(signal, name), before)

    assert child.returncode == -getattr(signal, name)
