"""node-identity: IDs in, findings out."""

from __future__ import annotations

import pytest

from k8sdoctor.checks.node_identity import node_identity
from k8sdoctor.comparison.identity import Marks
from k8sdoctor.facts.cluster_nodes import ClusterNodes, Node
from k8sdoctor.facts.machine import Machine
from k8sdoctor.facts.machine_marks import MachineMarks, NetworkCard
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost
from tests.render.reports import report

ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"
UUID = "0A1B2C3D-0000-4000-8000-123456789ABC"
MACHINE = Machine(ID, "/etc/machine-id")
NOTHING = MachineMarks()
WORKER = Stage("worker", "so")


def node(name: str, machine_id: str = "", system_uuid: str = "") -> Node:
    return Node(name, machine_id=machine_id or f"id of {name}", system_uuid=system_uuid or f"uuid of {name}")


def judge(*others: Node, own: Node | None = None, machine: Machine | Unobserved = MACHINE) -> list[Finding]:
    mine = own or node("n1", ID, UUID)
    return list(node_identity(WORKER, machine, ClusterNodes((mine, *others), "n1", "admin.conf"), NOTHING))


def test_ids_that_nobody_else_has_pass() -> None:
    [finding] = judge(node("n2"), node("n3"))

    assert (finding.status, finding.reason) == (Status.PASS, "Unique")
    assert finding.message == "None of 2 other nodes has this machine's IDs."


def test_a_clone_is_named() -> None:
    [finding] = judge(node("n2", ID), node("n3"))

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "MachineIdShared", "n1")
    assert 'Node "n2" has the machine ID' in finding.message
    assert finding.fix is not None
    assert finding.fix.commands[-1] == "systemd-machine-id-setup"


def test_a_machine_that_was_cloned_whole_shares_both() -> None:
    found = judge(node("n2", ID, UUID.lower()), node("n3", ID, UUID))

    assert [finding.reason for finding in found] == ["ProductUuidShared", "MachineIdShared"]
    assert 'Nodes "n2", "n3" have' in found[0].message


def test_a_machine_without_a_product_uuid_lends_its_machine_id() -> None:
    [finding] = judge(node("n2", ID, ID), own=node("n1", ID, ID))

    assert finding.reason == "MachineIdShared"


def test_nodes_that_report_nothing_share_nothing() -> None:
    [finding] = judge(Node("n2"), own=Node("n1"))

    assert finding.status is Status.PASS


@pytest.mark.parametrize("held", ["", "uninitialized"])
def test_a_machine_without_an_id_is_a_warning(held: str) -> None:
    [finding] = node_identity(
        Stage("bare", "so"), Machine(held, "/etc/machine-id" if held else ""), Unobserved("NotFound", "x"), NOTHING
    )

    assert (finding.status, finding.reason) == (Status.WARN, "MachineIdMissing")


def test_an_empty_file_and_none_are_told_apart() -> None:
    for source, expected in (("/etc/machine-id", "/etc/machine-id is empty"), ("", "/etc/machine-id is not there")):
        [finding] = node_identity(Stage("bare", "so"), Machine("", source), Unobserved("NotFound", "x"), NOTHING)

        assert finding.message.startswith(expected)


def test_a_machine_that_has_not_joined_is_asked_for_its_own_id_alone() -> None:
    [finding] = node_identity(Stage("prepared", "so"), MACHINE, Unobserved("NotFound", "no kubeconfig"), NOTHING)

    assert (finding.status, finding.reason) == (Status.PASS, "MachineIdPresent")


def test_others_that_may_not_be_read_are_skipped() -> None:
    told = ClusterNodes(
        (node("n1", ID),),
        "n1",
        "kubelet.conf",
        complete=False,
        problem=Unobserved("NotPermitted", "nodes is forbidden"),
    )

    for nodes in (told, Unobserved("Offline", "--offline forbids it"), ClusterNodes((), "n1", "kubelet.conf")):
        [finding] = node_identity(WORKER, MACHINE, nodes, NOTHING)
        assert (finding.status, finding.reason) == (Status.SKIP, "OthersUnread")


def test_an_id_that_may_not_be_read_is_unknown() -> None:
    unread, unique = judge(machine=Unobserved("NotPermitted", "Permission denied: /etc/machine-id"))

    assert (unread.status, unread.reason, unique.reason) == (Status.UNKNOWN, "NotPermitted", "Unique")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/machine-id": f"{ID}\n"}, MACHINE),
        ({"/var/lib/dbus/machine-id": f"{ID}\n"}, Machine(ID, "/var/lib/dbus/machine-id")),
        ({"/etc/machine-id": "\n", "/var/lib/dbus/machine-id": f"{ID}\n"}, Machine("", "/etc/machine-id")),
        ({}, Machine()),
    ],
)
def test_the_id_is_read_where_the_kubelet_reads_it(files: dict[str, str], expected: Machine) -> None:
    assert Machine.observe(FakeHost(files)) == expected


def test_a_node_reports_its_ids() -> None:
    item = {"metadata": {"name": "n1"}, "status": {"nodeInfo": {"machineID": ID, "systemUUID": UUID}}}

    found = Node.parse(item)  # type: ignore[arg-type]

    assert (found.machine_id, found.system_uuid) == (ID, UUID)


def test_the_marks_that_a_comparison_needs_go_with_the_first_finding() -> None:
    held = MachineMarks("n1", UUID, (NetworkCard("eth0", "52:54:00:00:00:01", ("192.0.2.1/24",)),), "aa", "cc")
    own = Node("n1", machine_id=ID, system_uuid=UUID, pod_cidrs=("10.244.1.0/24", "fd00::/64"))

    [finding] = node_identity(WORKER, MACHINE, ClusterNodes((own, node("n2")), "n1", "admin.conf"), held)

    assert Marks.of(report(("node-identity", finding))) == Marks(
        host_name="node1",
        node_name="n1",
        machine_id=ID,
        product_uuid=UUID.lower(),
        macs={"eth0": "52:54:00:00:00:01"},
        addresses=("192.0.2.1",),
        client_certificate="aa",
        authority="cc",
        pod_cidrs=("10.244.1.0/24", "fd00::/64"),
    )


def test_marks_that_nobody_saw_are_no_evidence() -> None:
    [finding] = node_identity(Stage("bare", "so"), MACHINE, Unobserved("NotFound", "x"), NOTHING)

    assert [evidence.source for evidence in finding.evidence] == ["/etc/machine-id"]
