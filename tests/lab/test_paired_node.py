"""Two nodes with a tunnel between them and a DNS server on each: what is lost between them is told by its cause alone, and mended by its fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.accuracy import Ward, break_, causes, heal
from tests.lab.scenarios import SCENARIOS, Scenario
from tests.lab.whole_node import alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.whole_node import WholeNode

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "nft", "conntrack", "ss"),
]

FAULTS = [each for each in SCENARIOS if each.role == "paired"]
DNS = ("--profile", "dns")


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with Ward() as ward:
        yield ward.node("paired")


def test_a_node_whose_second_dns_server_is_behind_a_tunnel_alarms_nobody(node: WholeNode) -> None:
    outcome = node.check()

    assert alarms(outcome) == set()
    assert "flannel.1 (VXLAN) 1450, over eth0 1500" in str(outcome.result("dns-path"))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_what_is_lost_between_nodes_is_told_by_its_cause_alone_and_the_pasted_fix_mends_it(
    node: WholeNode, fault: Scenario
) -> None:
    break_(node, fault)
    try:
        told = node.check(*DNS)
        assert causes(told) == [(fault.cause, list(fault.symptoms))]
        assert told.report["diagnoses"][0]["status"] == fault.status
        assert alarms(told) == {f"{fault.cause} ({fault.status})", *(f"{each} (fail)" for each in fault.symptoms)}

        if fault.mends:
            node.paste(told.report["diagnoses"][0]["fix"])
            assert alarms(node.check(*DNS)) == set()
    finally:
        heal(node, fault)
