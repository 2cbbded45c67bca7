"""Whatever a node does to the doctor, its report is whole, and says nothing that is not so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.hostile import CONDITIONS, Condition, Ending, run
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


@pytest.fixture(scope="module")
def usual(node: WholeNode) -> set[str]:
    """The checks that have a result on it."""
    return {result["check"] for result in node.check().report["results"]}


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_the_report_is_whole_and_gives_no_false_alarm(node: WholeNode, usual: set[str], condition: Condition) -> None:
    end = run(node, condition)

    assert end.faults(condition, usual) == []


WHOLE = {"results": [{"check": "swap", "findings": [{"status": "pass", "reason": "SwapOff"}]}], "broken": []}
ALARM = {"results": [{"check": "swap", "findings": [{"status": "warn", "reason": "SwapOn"}]}], "broken": []}


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"err": "Traceback (most recent call last):"}, "a traceback"),
        ({"code": 2, "out": ""}, "exit code is 2"),
        ({"out": json.dumps({"results": [], "broken": []})}, "other checks have results: ['swap']"),
        ({"out": json.dumps({**WHOLE, "broken": ["x"]})}, "broken: ['x']"),
        ({"out": json.dumps(ALARM)}, "a false alarm: swap/SwapOn"),
        ({"memory": 151.0}, "151 MiB"),
    ],
)
def test_each_thing_that_can_be_wrong_with_a_run_is_found(changed: dict[str, Any], fault: str | None) -> None:
    end = replace(Ending(1.0, 80.0, 0, json.dumps(WHOLE), ""), **changed)

    found = end.faults(Condition("x"), {"swap"})

    assert len(found) == (fault is not None)
    assert all(fault in each for each in found if fault)


def test_what_may_truly_be_said_is_no_false_alarm() -> None:
    end = Ending(1.0, 80.0, 0, json.dumps(ALARM), "")

    assert end.faults(Condition("x", seen=frozenset({"swap/SwapOn"})), {"swap"}) == []
