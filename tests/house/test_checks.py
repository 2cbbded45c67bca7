"""What all checks have in common: one name everywhere, one shape of documentation, a test for each reason."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import registry
from k8sdoctor.diagnosis import MENDING
from k8sdoctor.documentation import Documentation
from k8sdoctor.host import HostError
from tests.house import source

if TYPE_CHECKING:
    from pathlib import Path

    from k8sdoctor.check import Check

pytestmark = pytest.mark.source

HEADINGS = [
    "What it looks at",
    "Why it matters",
    "How it is decided",
    "Reasons",
    "What it sends",
    "How to fix",
    "How to verify",
    "References",
]
# Whatever keeps us from looking has one name in all checks; docs/architecture.md and the engine know them.
COMMON = HostError.REASONS | {"CheckBroke", "SkippedByUser"}
FILES = [pytest.param(path, id=path.stem) for path in source.check_files()]


@cache
def built_in() -> dict[str, Check[Any]]:
    loaded = registry.load()
    assert loaded.broken == []
    return {entry.check.id: entry.check for entry in loaded.entries if entry.source == "built-in"}


def check_of(path: Path) -> Check[Any]:
    return built_in()[path.stem.replace("_", "-")]


def section(check: Check[Any], heading: str) -> str:
    return check.documentation.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def reasons(check: Check[Any]) -> set[str]:
    """The names of the documented reasons; tests/conftest.py holds each finding's status against them, too."""
    return {each.reason for each in Documentation.of(check).reasons}


@pytest.mark.parametrize("path", FILES)
def test_what_is_said_of_mending_one_reason_is_of_a_reason_and_something_is_said_of_all_others(path: Path) -> None:
    check = check_of(path)
    heads = re.findall(r"^((?:`\w+`(?:, )?)+): ", section(check, "How to fix"), re.MULTILINE)

    assert {reason for head in heads for reason in re.findall(r"\w+", head)} <= reasons(check)
    assert Documentation.of(check).mending("Another")


@pytest.mark.parametrize("path", FILES)
def test_id_file_and_function_have_one_name(path: Path) -> None:
    check = check_of(path)

    assert check.function.__name__ == path.stem
    assert check.function.__module__ == f"k8sdoctor.checks.{path.stem}"


@pytest.mark.parametrize("path", FILES)
def test_a_check_has_a_test_file(path: Path) -> None:
    assert (source.ROOT / "tests" / "checks" / f"test_{path.stem}.py").is_file()


@pytest.mark.parametrize("path", FILES)
def test_the_documentation_begins_with_the_healthy_state_and_has_its_headings_in_order(path: Path) -> None:
    check = check_of(path)

    assert re.findall(r"^## (.+)$", check.documentation, re.MULTILINE) == HEADINGS
    assert [heading for heading in HEADINGS if not section(check, heading).strip()] == []
    assert check.documentation.partition("\n\n")[0].endswith(".")


@pytest.mark.parametrize("path", FILES)
def test_each_reason_that_stands_in_the_code_is_documented(path: Path) -> None:
    documented = reasons(check_of(path))

    assert documented
    given = re.findall(r"\b(passed|skip|warn|unknown|fail)\(\s*\"([A-Z]\w+)\"", path.read_text("utf-8"))
    assert {reason for _, reason in given} - documented - COMMON == set()


@cache
def words(folders: str) -> Counter[str]:
    """How often each word stands in the files of some folders."""
    return Counter(word for name, text in source.texts().items() if re.match(folders, name) for word in split(text))


def split(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("path", FILES)
def test_each_documented_reason_is_given_somewhere_and_tested_somewhere(path: Path) -> None:
    documentation = path.read_text("utf-8").split('"""')[1]
    code = words("checks/|k8sdoctor/facts/") - Counter(split(documentation))
    tests = words("tests/(checks|lab|facts)/")

    for reason in reasons(check_of(path)):
        assert reason in code, f"{reason} is documented and never given"
        assert reason in tests, f"{reason} has no test"


LINKS = re.compile(r"""\bLink\(\s*(?:check=)?"([a-z-]+)",\s*(?:reason=)?"([A-Z]\w+)\"""")


def test_every_link_that_stands_in_the_code_leads_to_a_reason_that_exists() -> None:
    """Those that are made at run time are held to the same by tests/conftest.py, whenever a test sees one."""
    text = "".join(text for name, text in source.texts().items() if name.startswith("checks/"))
    known = {(id_, reason) for id_, check in built_in().items() for reason in (*reasons(check), *COMMON)}

    written = set(LINKS.findall(text))
    assert len(written) > 5
    assert written - known == set()


def test_every_check_has_its_place_in_the_order_of_mending_and_the_layers_are_documented() -> None:
    placed = [name for names in MENDING.values() for name in names]

    assert sorted(placed) == sorted(built_in())
    assert f"{', '.join(MENDING)}." in (source.ROOT / "docs/architecture.md").read_text()
