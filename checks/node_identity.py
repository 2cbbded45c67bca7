"""No other node has this machine's IDs.

## What it looks at
The machine ID (/etc/machine-id), and what the kubelets of this and of the other nodes report: `nodeInfo.machineID` and `nodeInfo.systemUUID`
(the machine's product_uuid).

As evidence, for `k8sdoctor diff` of two nodes: product_uuid and the MAC addresses of the network cards that lead off the machine, its Node's name and
pod CIDRs, and the fingerprints of its kubelet's client certificate and of the cluster's authority.

## Why it matters
A machine that was cloned has the IDs of its model. kubeadm wants product_uuid and MAC addresses unique, for pod networks take names of
peers from them (Weave), and systemd makes the MAC addresses of bridges and tunnels and the identity for DHCP out of the machine ID: two
nodes then get one address, and the fault looks like packets that are lost now and then.

## How it is decided
By the Node objects, where this node may read those of others. That it may not is no fault: since 1.32 a worker's kubelet reads its own alone; run it on a control plane to
compare. A machine ID that was never made (`uninitialized`, or an empty file) is a warning, for it changes at each boot.

## Reasons
- `Unique` (pass): no other node has the IDs of this one
- `MachineIdPresent` (pass): the machine is no node yet, and has an ID
- `OthersUnread` (skip): the other nodes could not be compared with
- `MachineIdShared` (warn): another node has this machine ID
- `ProductUuidShared` (warn): another node has this product_uuid
- `MachineIdMissing` (warn): this machine has no ID that lasts

## What it sends
GET requests for the Nodes to the API server. Nothing with `--offline`.

## How to fix
Make a new machine ID and reboot; give the clone a UUID of its own where its virtual machine is defined.

## How to verify
`kubectl get nodes -o custom-columns=NAME:.metadata.name,ID:.status.nodeInfo.machineID,UUID:.status.nodeInfo.systemUUID` shows each once.

## References
- kubernetes.io "Installing kubeadm" (Verify the MAC address and product_uuid are unique for every node)
- machine-id(5), systemd-machine-id-setup(1), systemd.link(5) (MACAddressPolicy=persistent); cAdvisor `machine/info.go`
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _identity_fixes
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.machine import FILES, Machine
from k8sdoctor.facts.machine_marks import (
    AUTHORITY,
    CLIENT_CERTIFICATE,
    LINKS,
    NODE,
    POD_CIDRS,
    PRODUCT_UUID,
    MachineMarks,
)
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.cluster_nodes import Node

# What an image holds whose ID is to be made at the first boot (machine-id(5)).
_NONE = ("", "uninitialized")


@check("node-identity", title="No other node has this machine's IDs", area="node", profiles=NOT_DNS)
def node_identity(
    stage: Stage, machine: Machine | Unobserved, nodes: ClusterNodes | Unobserved, marks: MachineMarks
) -> Iterator[Finding]:
    """Judge the machine's own ID, then those of the others. The marks of the machine go with the first finding."""
    first, *others = _judged(stage, machine, nodes)
    known = {evidence.source for evidence in first.evidence}
    more = [each for each in _marks(machine, nodes, marks) if each.source not in known]
    yield replace(first, evidence=(*first.evidence, *more))
    yield from others


def _marks(machine: Machine | Unobserved, nodes: ClusterNodes | Unobserved, marks: MachineMarks) -> Iterator[Evidence]:
    """What a comparison of reports holds against the other node's."""
    if isinstance(machine, Machine):
        yield from _file(machine)
    own = nodes.own if isinstance(nodes, ClusterNodes) else None
    cards = "\n".join(" ".join((card.name, card.mac, *card.addresses)) for card in marks.cards)
    for source, content in (
        (PRODUCT_UUID, marks.product_uuid),
        (LINKS, cards),
        (NODE, marks.node_name),
        (POD_CIDRS, " ".join(own.pod_cidrs) if own else ""),
        (CLIENT_CERTIFICATE, marks.client_certificate),
        (AUTHORITY, marks.authority),
    ):
        if content:
            yield Evidence(source, content)


def _judged(stage: Stage, machine: Machine | Unobserved, nodes: ClusterNodes | Unobserved) -> Iterator[Finding]:
    if isinstance(machine, Unobserved):
        yield unknown(machine.reason, f"The machine ID could not be told: {machine.message}.")
    elif machine.machine_id in _NONE:
        yield _missing(machine)
    if not stage.joined:
        if isinstance(machine, Machine) and machine.machine_id not in _NONE:
            yield passed("MachineIdPresent", f"This machine has the ID {machine.machine_id}.", evidence=_file(machine))
        return
    own = nodes.own if isinstance(nodes, ClusterNodes) else None
    if isinstance(nodes, Unobserved) or own is None:
        why = nodes.message if isinstance(nodes, Unobserved) else f'its Node "{nodes.own_name}" is not known'
        yield skip("OthersUnread", f"This machine's IDs could not be compared with those of other nodes: {why}.")
        return
    others = [node for node in nodes.all if node.name != own.name]
    findings = list(_shared(own, others, nodes.source))
    yield from findings
    if findings:
        return
    if not nodes.complete:
        why = nodes.problem.message if nodes.problem else "not all of them were told"
        yield skip("OthersUnread", f"This machine's IDs could not be compared with those of all other nodes: {why}.")
    elif isinstance(machine, Unobserved) or machine.machine_id not in _NONE:
        among = f"none of {len(others)} other nodes has" if others else "there is no other node to have"
        yield passed(
            "Unique",
            f"{among[0].upper()}{among[1:]} this machine's IDs.",
            subject=own.name,
            evidence=[Evidence(f"Node {own.name}", f"machineID {own.machine_id}, systemUUID {own.system_uuid}")],
        )


def _missing(machine: Machine) -> Finding:
    held = f'holds "{machine.machine_id}"' if machine.machine_id else "is empty" if machine.source else "is not there"
    return warn(
        "MachineIdMissing",
        f"{FILES[0]} {held}, so this machine has no ID that lasts: another may be made at each boot.",
        subject=FILES[0],
        evidence=_file(machine),
        fix=Fix("Make one that stays", ("systemd-machine-id-setup",), f"cat {FILES[0]}", Safety.SAFE)
        if not machine.machine_id
        else Fix("Make one that stays", _identity_fixes.SETUP, f"cat {FILES[0]}", Safety.MANUAL),
    )


def _shared(own: Node, others: list[Node], source: str) -> Iterator[Finding]:
    by_machine = [node for node in others if own.machine_id and node.machine_id == own.machine_id]
    by_uuid = [node for node in others if own.system_uuid and node.system_uuid.lower() == own.system_uuid.lower()]
    # Without a product_uuid the kubelet reports the machine ID in its place.
    borrowed = own.system_uuid.replace("-", "").lower() == own.machine_id.replace("-", "").lower()
    if by_uuid and not borrowed:
        yield warn(
            "ProductUuidShared",
            f"{_called(by_uuid)} the product_uuid of this machine, {own.system_uuid}.",
            subject=own.name,
            evidence=[Evidence(f"Nodes, by {source}", _ids([own, *by_uuid]))],
            fix=_identity_fixes.UUID,
        )
    if by_machine:
        yield warn(
            "MachineIdShared",
            f"{_called(by_machine)} the machine ID of this one, {own.machine_id}: one was cloned from the other.",
            subject=own.name,
            evidence=[Evidence(f"Nodes, by {source}", _ids([own, *by_machine]))],
            fix=_identity_fixes.MACHINE_ID,
        )


def _file(machine: Machine) -> list[Evidence]:
    return [Evidence(machine.source, machine.machine_id)] if machine.source else []


def _called(nodes: list[Node]) -> str:
    names = ", ".join(f'"{node.name}"' for node in nodes[:3])
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""  # noqa: PLR2004 -- those named
    return f"Node {names} has" if len(nodes) == 1 else f"Nodes {names}{more} have"


def _ids(nodes: list[Node]) -> str:
    return "\n".join(f"{node.name}: machineID {node.machine_id}, systemUUID {node.system_uuid}" for node in nodes)
