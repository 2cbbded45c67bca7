"""The top line tells which node, and of a recording its date, however long the node's name is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.tui.nodes import Node, app, examined, screen
from tests.tui.test_keys import sick

if TYPE_CHECKING:
    from k8sdoctor.report import Report
    from k8sdoctor.tui.session import Case

pytestmark = pytest.mark.asyncio

LONG = f"worker-1.{'rack-7.' * 30}example.org"


def seen_as(seen: Node, /, **changes: Any) -> Case:
    """The node's reports with other metadata."""

    def run(*words: Any) -> Report:
        return replace(seen.run(*words), **changes)

    return replace(seen.case(), run=run)


async def top_line(size: tuple[int, int], **changes: Any) -> str:
    async with app(seen_as(sick(), **changes)).run_test(size=size) as pilot:
        await examined(pilot)
        return screen(pilot.app).splitlines()[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_a_recording_says_that_it_is_one_and_of_when_beside_a_name_of_any_length(size: tuple[int, int]) -> None:
    line = await top_line(size, node=LONG, source="bundle", started_at=1795282920.0)

    assert line.lstrip().startswith("worker-1")
    assert "… · recorded 2026-11-21 17:42 UTC · stage worker · profile node" in line.replace("...", "…")
    assert len(line) <= size[0]


async def test_a_recording_with_stand_ins_says_so() -> None:
    line = await top_line((120, 36), node=LONG, source="bundle", anonymized=True)

    assert "profile node · stand-ins for names" in line


async def test_a_node_of_another_distribution_is_called_none_of_kubeadms_stages() -> None:
    line = await top_line((80, 24), stage="prepared", other_distribution="k3s-server runs here")

    assert line.strip().endswith(" · k3s-server runs here · profile node")


async def test_who_is_not_root_sees_that_and_of_whom_nobody_knows_it_nothing_is_said() -> None:
    assert (await top_line((80, 24), euid=1000)).endswith(" · profile node · not root")
    assert "root" not in await top_line((80, 24), euid=-1)


async def test_a_short_name_is_whole_and_the_machine_itself_is_no_recording() -> None:
    line = await top_line((80, 24), node="worker-1")

    assert line.strip() == "worker-1 · stage worker · profile node"
