"""The documentation is true: generated pages are up to date, links lead somewhere, every check is named."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from k8sdoctor import registry
from k8sdoctor.documentation import Documentation
from tests.house import source

pytestmark = pytest.mark.source

PAGES = sorted(name for name in source.texts() if name.endswith(".md") and not name.startswith("tests/data/"))
IDS = [entry.check.id for entry in registry.load().entries if entry.source == "built-in"]
HAND_WRITTEN_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_generated_pages_are_up_to_date() -> None:
    said = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=source.ROOT, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in HAND_WRITTEN_LINK.findall(source.texts()[page]):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (source.ROOT / page).parent / name if name else source.ROOT / page
        assert path.exists(), f"{page} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(path.read_text("utf-8")), f"{page} links to {target}: no such heading"


@pytest.mark.parametrize("id_", IDS)
def test_each_check_is_in_the_readme_and_in_the_changelog(id_: str) -> None:
    assert f"[{id_}](docs/checks/{id_}.md)" in source.texts()["README.md"]
    assert f"`{id_}`" in source.texts()["CHANGELOG.md"]


def test_make_help_names_every_command_that_the_documents_mention() -> None:
    listed = subprocess.run(["make", "help"], cwd=source.ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE))

    mentioned = {
        target for page in PAGES for target in re.findall(r"\bmake ([a-z-]+)\b(?=[`\n ]*[`\n])", source.texts()[page])
    }

    assert mentioned - targets == set()


def test_one_table_lists_every_reason_that_a_check_documents() -> None:
    table = source.texts()["docs/checks/README.md"].partition("## Every reason")[2]
    listed = set(re.findall(r"^\| \[([\w-]+)\]\([\w-]+\.md\) \| `(\w+)` \| (\S+(?: or \S+)*) \|", table, re.MULTILINE))
    checks = [entry.check for entry in registry.load().entries if entry.source == "built-in"]

    documented = {
        (check.id, each.reason, str(each.status)) for check in checks for each in Documentation.of(check).reasons
    }

    assert {(id_, name, status) for id_, name, statuses in listed for status in statuses.split(" or ")} == documented
