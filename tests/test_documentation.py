"""A check's docstring, in parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import Check, Profile, Status, registry
from k8sdoctor.documentation import HEADINGS, Documentation
from k8sdoctor.render.explanation import explanation
from k8sdoctor.render.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor import Finding

BUILT_IN = [pytest.param(check, id=check.id) for check in registry.load(plug_ins=False).checks]


CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
AREAS = {"DNS", "control plane", "images", "kubeadm", "node", "node configuration", "pod network"}
"""As the app and the list group checks; a misspelt one would be a group of its own."""


class Documented(Check[Any]):
    """A check whose documentation a test gives."""

    text = ""

    @property
    def documentation(self) -> str:
        return self.text


def nothing() -> Iterator[Finding]:
    yield from ()


def told(reasons: str) -> list[tuple[str, Status, str]]:
    check = Documented("x", "X is fine", "test", frozenset(Profile), nothing)
    Documented.text = f"X is fine.\n\n## Reasons\n{reasons}\n\n## References\n- `Never` (fail): elsewhere\n"
    return [(each.reason, each.status, each.text) for each in Documentation.of(check).reasons]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- `A` (pass): good", [("A", Status.PASS, "good")]),
        ("- `A` (pass), `B` (skip)", [("A", Status.PASS, ""), ("B", Status.SKIP, "")]),
        ("- `A`, `B` (fail): both", [("A", Status.FAIL, "both"), ("B", Status.FAIL, "both")]),
        ("- `A` (fail or warn): it depends", [("A", Status.WARN, "it depends"), ("A", Status.FAIL, "it depends")]),
        ("- `A` (fail): not `B` (pass)\n  but more", [("A", Status.FAIL, "not `B` (pass) but more")]),
        ("- nothing at all", []),
    ],
)
def test_reasons_are_read_as_people_write_them(line: str, expected: list[tuple[str, Status, str]]) -> None:
    assert told(line) == expected


@pytest.mark.parametrize("check", BUILT_IN)
def test_every_reason_that_a_built_in_check_documents_is_understood(check: Check[Any]) -> None:
    documentation = Documentation.of(check)

    assert tuple(documentation.sections) == HEADINGS
    names = set(re.findall(r"`([A-Z]\w+)`(?:,| \()", documentation.sections["Reasons"]))
    assert {each.reason for each in documentation.reasons} >= names


@pytest.mark.parametrize("check", BUILT_IN)
@pytest.mark.parametrize("width", [40, 80])
def test_an_explanation_fits_the_screen(check: Check[Any], width: int) -> None:
    documentation = Documentation.of(check)
    for reason in (None, documentation.reasons[0].reason):
        lines = explanation(documentation, reason, Style(width=width)).splitlines()

        assert [line for line in lines if len(line) > width and not line.startswith("    ")] == []


@pytest.mark.parametrize("check", BUILT_IN)
def test_an_explanation_names_each_reason_once_with_all_that_it_may_be(check: Check[Any]) -> None:
    documentation = Documentation.of(check)
    listed = explanation(documentation, None, Style(width=80)).partition("\nREASONS\n")[2].partition("\n\n")[0]
    meanings = {(each.reason, each.text) for each in documentation.reasons}

    assert len(re.findall(r"^(?:[a-z]+ or )*[a-z]+ +([A-Z]\w+)$", listed, re.MULTILINE)) == len(meanings)
    twice = [each.reason for each in documentation.reasons if each.status is Status.WARN]
    for reason in twice:
        statuses = {each.status for each in documentation.reasons if each.reason == reason}
        if Status.FAIL in statuses and len({text for name, text in meanings if name == reason}) == 1:
            assert re.search(rf"^warn or fail +{reason}$", listed, re.MULTILINE)


@pytest.mark.source
@pytest.mark.parametrize("check", BUILT_IN)
def test_a_check_is_in_the_changelog_and_in_an_area_that_there_is(check: Check[Any]) -> None:
    assert f"`{check.id}`" in CHANGELOG.read_text()
    assert check.area in AREAS
