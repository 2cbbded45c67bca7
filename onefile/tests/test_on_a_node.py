"""The one file on a whole lab node: runtime, API server, DNS in pods' networks and the rules of the kernel are all asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onefile.tests.bare_root import executable
from tests.lab.node import WATCHDOG, LabNode, Outcome
from tests.lab.whole_node import WholeNode, alarms

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
    done = node.lab.run([str(executable()), "check", "-o", "json", "--deadline", f"{WATCHDOG:g}"], check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_on_a_healthy_node_every_check_passes(node: WholeNode) -> None:
    outcome = check(node)

    assert outcome.report["broken"] == []
    assert alarms(outcome) == set()
    passed = {result["check"] for result in outcome.report["results"] if result["status"] == "pass"}
    assert passed >= {
        *(
            "apiserver-san",
            "certificates",
            "cni-config",
            "dns-path",
            "firewall",
            "images",
            "kubeadm-config",
            "node-ready",
        ),
        *("pause-image", "ports", "subnets"),
    }
    assert outcome.code == 0


def test_on_a_sick_node_the_cause_is_named_first(node: WholeNode) -> None:
    node.lab.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"])

    outcome = check(node)

    assert outcome.reasons("br-netfilter") >= {"BridgeNfCallOff"}
    assert outcome.reasons("dns-reply-source") >= {"UnexpectedSource"}
    assert outcome.report["diagnoses"][0]["title"].startswith("net.bridge.bridge-nf-call-iptables is 0")
