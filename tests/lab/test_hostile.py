"""Whatever a node does to the doctor, its report is whole, and says nothing that is not so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.hostile import CONDITIONS, MOST_MEMORY, Condition, run
from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "conntrack", "dnsmasq", "iptables-restore", "prlimit", "setpriv"),
]


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        yield made


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_the_report_is_whole_and_gives_no_false_alarm(node: WholeNode, condition: Condition) -> None:
    usual = {result["check"] for result in node.check().report["results"]}

    end = run(node, condition)

    assert "Traceback" not in end.err
    assert end.code in (0, 1, 3)
    assert {result["check"] for result in end.report["results"]} == usual
    assert end.report["broken"] == []
    assert {
        f"{result['check']}/{finding['reason']}"
        for result in end.report["results"]
        for finding in result["findings"]
        if finding["status"] in ("fail", "warn")
    } <= condition.seen
    assert end.memory <= MOST_MEMORY
