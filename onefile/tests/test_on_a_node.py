"""The one file on a whole lab node says what the source says: runtime, API server, DNS in pods' networks and rules are all asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from onefile.tests.bare_root import executable
from tests.lab.node import LabNode, Outcome
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Iterator
pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss"),
]


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        yield made


def check(node: WholeNode) -> Outcome:
    """`check -o json` by the one file."""
    done = node.lab.run([str(executable()), "check", "-o", "json"], check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def said(outcome: Outcome) -> dict[str, Any]:
    """Of each check, what it found."""
    return {
        result["check"]: sorted(
            (finding["status"], finding["reason"], finding["subject"] or "") for finding in result["findings"]
        )
        for result in outcome.report["results"]
    }


def test_on_a_healthy_node_it_says_what_the_source_says(node: WholeNode) -> None:
    from_source, outcome = node.check(), check(node)

    assert outcome.report["broken"] == []
    assert said(outcome) == said(from_source)
    assert (outcome.code, outcome.report["broken"]) == (0, [])
    assert outcome.report["contacted"] == from_source.report["contacted"]


def test_on_a_sick_node_it_names_the_same_cause(node: WholeNode) -> None:
    node.lab.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"])

    from_source, outcome = node.check(), check(node)

    assert outcome.report["broken"] == []
    assert said(outcome) == said(from_source)
    titles = [each["title"] for each in outcome.report["diagnoses"]]
    assert titles == [each["title"] for each in from_source.report["diagnoses"]] != []
