"""What importing costs and allows: a check for one switch in /proc must not load a whole API client."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

import k8sdoctor
import k8sdoctor.testing
from tests.house.source import ROOT

HEAVY = {"kubernetes", "textual", "grpc", "cryptography", "dns", "pyroute2"}

CHEAP_CHECK = """
from k8sdoctor.testing import FakeHost, report_of
report_of(FakeHost({"/proc/sys/net/ipv4/ip_forward": "1\\n"}), "ip-forward")
"""


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after some code."""
    tell = "import json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.source
def test_the_folder_s_name_is_refused_as_an_import_with_the_name_that_is_right() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import checks"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "the checks' import name is k8sdoctor.checks" in done.stderr


@pytest.mark.parametrize("module", [k8sdoctor, k8sdoctor.testing], ids=["k8sdoctor", "k8sdoctor.testing"])
def test_what_is_exported_is_there_sorted_and_named_once(module: ModuleType) -> None:
    assert sorted(set(module.__all__)) == module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("module", [k8sdoctor, k8sdoctor.testing], ids=["k8sdoctor", "k8sdoctor.testing"])
def test_what_a_public_module_defines_is_exported(module: ModuleType) -> None:
    """What it imports for its own use is a module, or is not made by us, or is bound for type checkers only."""
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "").startswith("k8sdoctor")
    }

    assert own - set(module.__all__) == set()


def test_a_check_of_one_switch_loads_no_heavy_library() -> None:
    assert loaded_by(CHEAP_CHECK) & HEAVY == set()


def test_the_engine_and_all_checks_load_no_screen_and_no_heavy_library() -> None:
    modules = loaded_by("import k8sdoctor.engine, k8sdoctor.registry\nassert not k8sdoctor.registry.load().broken")

    assert modules & (HEAVY | {"rich"}) == set()


def test_the_command_line_is_loaded_without_what_only_a_run_needs() -> None:
    assert loaded_by("import k8sdoctor.cli") & (HEAVY | {"rich", "yaml", "psutil", "urllib3"}) == set()


def eager(tree: ast.Module) -> set[str]:
    """What a module makes whenever it is imported, and `records` and `patterns` when it is first used."""
    imported = {
        f"{node.module}.{each.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda) for part in ast.walk(node)
    }
    compiled = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in inside and ast.unparse(node.func) == "re.compile"
    }
    return compiled | imported & {"dataclasses.dataclass", "re.compile"}


@pytest.mark.source
def test_no_module_of_a_run_makes_dataclasses_and_patterns_that_nobody_may_use() -> None:
    folders = (ROOT / "k8sdoctor", ROOT / "checks")
    own = {"records.py", "patterns.py"}  # where it is put off
    found = {
        str(path.relative_to(ROOT)): made
        for folder in folders
        for path in folder.rglob("*.py")
        if "tui" not in path.parts and path.name not in own
        if (made := eager(ast.parse(path.read_text("utf-8"))))
    }

    assert found == {}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("import re\nA = re.compile('a')", {"re.compile"}),
        ("import re\nA = {'a': (re.compile('a'), 1)}", {"re.compile"}),
        ("from dataclasses import dataclass", {"dataclasses.dataclass"}),
        ("import re\ndef f(a):\n    return re.compile(a)", set()),
        ("from dataclasses import field", set()),
    ],
)
def test_what_is_made_at_import_is_seen(text: str, made: set[str]) -> None:
    assert eager(ast.parse(text)) == made


def test_a_child_may_not_be_fooled_by_the_folder_it_is_started_in() -> None:
    """The tests above start interpreters: without this, one with PYTHONPATH set would measure something else."""
    assert "PYTHONPATH" not in os.environ
