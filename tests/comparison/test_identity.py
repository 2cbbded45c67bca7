"""One node or two, and what two nodes must not share."""

from __future__ import annotations

import pytest

from k8sdoctor import Status
from k8sdoctor.comparison import Comparison, Verdict, compare
from tests.comparison.sides import marks, side

N1 = {
    "machine_id": "11111111111111111111111111111111",
    "product_uuid": "0a1b2c3d-0000-4000-8000-000000000001",
    "links": "eth0 52:54:00:00:00:01 192.0.2.1/24 2001:db8::1/64",
    "node_name": "n1",
    "pod_cidrs": "10.244.1.0/24",
    "client_certificate": "aa" * 32,
    "authority": "cc" * 32,
}
N2 = {
    "machine_id": "22222222222222222222222222222222",
    "product_uuid": "0a1b2c3d-0000-4000-8000-000000000002",
    "links": "eth0 52:54:00:00:00:02 192.0.2.2/24",
    "node_name": "n2",
    "pod_cidrs": "10.244.2.0/24",
    "client_certificate": "bb" * 32,
    "authority": "cc" * 32,
}


def compared(a: dict[str, str], b: dict[str, str], names: tuple[str, str] = ("n1", "n2")) -> Comparison:
    first, second = (
        side(("node-identity", marks(**each)), node=name, path=f"{name}-{each}.json")
        for each, name in zip((a, b), names, strict=True)
    )
    return compare(first, second)


def test_two_nodes_with_marks_of_their_own_share_nothing() -> None:
    found = compared(N1, N2)

    assert not found.same_node
    assert found.duplicates == ()
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("mark", "what", "status"),
    [
        ("machine_id", "machine ID", Status.WARN),
        ("product_uuid", "product_uuid", Status.WARN),
        ("links", "MAC address", Status.FAIL),
        ("node_name", "Node name", Status.FAIL),
        ("pod_cidrs", "pod CIDR", Status.FAIL),
        ("client_certificate", "kubelet client certificate", Status.FAIL),
    ],
)
def test_a_mark_that_two_nodes_share_is_named_and_makes_b_worse(mark: str, what: str, status: Status) -> None:
    found = compared(N1, {**N2, mark: N1[mark]})

    [duplicate] = found.duplicates
    assert (duplicate.what, duplicate.status) == (what, status)
    assert duplicate.fix.commands
    assert (found.verdict, found.exit_code) == (Verdict.WORSE, 1)


def test_a_mark_that_one_report_does_not_hold_is_shared_by_nobody() -> None:
    for mark in N1:
        without = {name: value for name, value in N2.items() if name != mark}
        assert compared(N1, without).duplicates == ()
        assert compared({**N1, mark: ""}, {**N2, mark: ""}).duplicates == ()


def test_a_machine_id_that_was_never_made_is_shared_by_nobody() -> None:
    assert compared({**N1, "machine_id": "uninitialized"}, {**N2, "machine_id": "uninitialized"}).duplicates == ()


def test_a_uuid_is_the_same_in_capitals() -> None:
    shared = {**N2, "product_uuid": N1["product_uuid"].upper()}

    assert [each.what for each in compared(N1, shared).duplicates] == ["product_uuid"]


def test_nodes_of_two_clusters_may_have_the_same_names_and_pod_cidrs() -> None:
    other = {**N2, "node_name": "n1", "pod_cidrs": N1["pod_cidrs"], "authority": "dd" * 32}

    assert compared(N1, other).duplicates == ()
    assert compared(N1, other, names=("n1", "n1")).duplicates == ()


def test_a_network_card_of_two_clusters_is_a_risk_and_no_proof() -> None:
    [duplicate] = compared(N1, {**N2, "links": N1["links"], "authority": "dd" * 32}).duplicates

    assert (duplicate.what, duplicate.status) == ("MAC address", Status.WARN)


def test_two_machines_of_one_name_in_one_cluster_are_told() -> None:
    found = compared(N1, {**N2, "node_name": "n1"}, names=("n1", "n1"))

    assert not found.same_node
    assert [each.what for each in found.duplicates] == ["host name"]


@pytest.mark.parametrize(
    "after",
    [
        N1,
        {**N1, "machine_id": N2["machine_id"]},  # made anew
        {**N1, "links": N2["links"]},  # another card
        {**N1, "product_uuid": N2["product_uuid"]},  # restored as another virtual machine
        {**N2, "product_uuid": N1["product_uuid"]},  # installed anew, with other cards
        {},  # a report that does not tell
        {"machine_id": N2["machine_id"]},
    ],
)
def test_one_name_is_one_node_unless_all_else_says_otherwise(after: dict[str, str]) -> None:
    found = compared(N1, after, names=("n1", "n1"))

    assert found.same_node
    assert found.duplicates == ()


def test_a_machine_id_that_changed_is_remarked() -> None:
    found = compared(N1, {**N1, "machine_id": N2["machine_id"]}, names=("n1", "n1"))

    assert any("machine IDs differ" in remark for remark in found.remarks)


def test_a_mark_of_anything_but_the_check_of_marks_counts_for_nothing() -> None:
    shared = marks(machine_id=N1["machine_id"])
    found = compare(side(("other", shared), node="n1"), side(("other", shared), node="n2"))

    assert found.duplicates == ()
