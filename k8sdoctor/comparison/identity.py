"""Whether two reports are of one node, and which of its marks two nodes must not share."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from k8sdoctor.checks import _identity_fixes
from k8sdoctor.facts.machine import FILES
from k8sdoctor.facts.machine_marks import (
    AUTHORITY,
    CLIENT_CERTIFICATE,
    LINKS,
    NODE,
    POD_CIDRS,
    PRODUCT_UUID,
)
from k8sdoctor.finding import Fix, Safety, Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.report import Report

CHECK = "node-identity"
"""The check whose evidence holds the marks of a machine."""


@dataclass(frozen=True)
class Marks:
    """What tells a node from every other, as far as its report says. Empty means: the report does not say.

    `macs` are addresses by the name of the link, of links that lead off the machine. `addresses` are those links' own. `authority` tells
    one cluster from another.
    """

    host_name: str
    node_name: str = ""
    machine_id: str = ""
    product_uuid: str = ""
    macs: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    client_certificate: str = ""
    authority: str = ""
    pod_cidrs: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: Report) -> Marks:
        """The marks in the evidence of a report's check of them."""
        held = {
            evidence.source: evidence.content.strip()
            for result in report.results
            if result.check == CHECK
            for finding in result.findings
            for evidence in finding.evidence
        }
        links = [line.split() for line in held.get(LINKS, "").splitlines()]
        machine_id = next((held[path] for path in FILES if held.get(path)), "")
        return cls(
            host_name=report.node,
            node_name=held.get(NODE, ""),
            machine_id="" if machine_id == "uninitialized" else machine_id.lower(),
            product_uuid=held.get(PRODUCT_UUID, "").lower(),
            macs={words[0]: words[1].lower() for words in links if len(words) > 1},
            addresses=tuple(word.partition("/")[0] for words in links for word in words[2:]),
            client_certificate=held.get(CLIENT_CERTIFICATE, ""),
            authority=held.get(AUTHORITY, ""),
            pod_cidrs=tuple(held.get(POD_CIDRS, "").split()),
        )

    def words(self) -> dict[str, str]:
        """What stands for the node itself in a text, by what it is."""
        name, _, domain = self.host_name.partition(".")
        found = {self.host_name: "node", self.node_name: "node", **({name: "node"} if domain else {})}
        found |= dict.fromkeys(self.addresses, "address") | dict.fromkeys(self.pod_cidrs, "pod CIDR")
        # On a machine without a name of its own the word is everybody's.
        return {word: kind for word, kind in found.items() if word and word not in ("localhost", "node")}


@dataclass(frozen=True)
class Duplicate:
    """A mark that two nodes share and must not. `message` is one sentence, `fix` is for one of the two."""

    what: str
    value: str
    status: Status
    message: str
    fix: Fix


def same_node(a: Marks, b: Marks) -> bool:
    """Whether both are of one node.

    The host name decides, for a clone that kept the ID of its model is another node. Machines of one name are two when both their machine ID (or
    product_uuid) and their links' addresses differ; a machine that got a new ID or a new network card is still the same.
    """
    if a.host_name.lower() != b.host_name.lower():
        return False
    other_uuid = _differ(a.product_uuid, b.product_uuid)
    other_id = _differ(a.machine_id, b.machine_id)
    other_links = bool(a.macs and b.macs) and not {*a.macs.values()} & {*b.macs.values()}
    if a.product_uuid and not other_uuid and a.product_uuid == b.product_uuid:
        return True
    return not (other_links and (other_uuid or other_id))


def _differ(a: str, b: str) -> bool:
    return bool(a and b) and a != b


def duplicates(a: Marks, b: Marks) -> tuple[Duplicate, ...]:
    """The marks that two nodes share although each must have its own.

    Names, pod CIDRs and certificates need be unique within a cluster alone, so they count where both trust the same authority, or where one of
    them is in no cluster yet.
    """
    return tuple(_duplicates(a, b))


def _duplicates(a: Marks, b: Marks) -> Iterable[Duplicate]:
    names = (f'"{a.host_name}"', f'"{b.host_name}"') if a.host_name != b.host_name else ("A", "B")
    both = f"{names[0]} and {names[1]}"
    one_cluster = a.authority == b.authority or not (a.authority and b.authority)
    if a.client_certificate and a.client_certificate == b.client_certificate:
        yield Duplicate(
            "kubelet client certificate",
            a.client_certificate,
            Status.FAIL,
            f"The kubelets of {both} show the same client certificate, so both write the same Node: its files were copied.",
            Fix(
                "Reset the copy, and join it with a token of its own",
                ("kubeadm reset",),
                "openssl x509 -noout -subject -serial -in /var/lib/kubelet/pki/kubelet-client-current.pem",
                Safety.MANUAL,
            ),
        )
    if one_cluster and a.host_name.lower() == b.host_name.lower():
        yield Duplicate(
            "host name",
            a.host_name,
            Status.FAIL,
            f'Two machines are called "{a.host_name}", and a kubelet takes its Node\'s name from that.',
            _rename("the host name"),
        )
    elif one_cluster and a.node_name and a.node_name == b.node_name and a.client_certificate != b.client_certificate:
        yield Duplicate(
            "Node name",
            a.node_name,
            Status.FAIL,
            f'{both} are both the Node "{a.node_name}", which only one machine can be.',
            _rename("the Node's name"),
        )
    if a.machine_id and a.machine_id == b.machine_id:
        yield Duplicate(
            "machine ID",
            a.machine_id,
            Status.WARN,
            f"{both} have the same machine ID, {a.machine_id}: one was cloned from the other.",
            _identity_fixes.MACHINE_ID,
        )
    if a.product_uuid and a.product_uuid == b.product_uuid:
        yield Duplicate(
            "product_uuid",
            a.product_uuid,
            Status.WARN,
            f"{both} have the same product_uuid, {a.product_uuid}.",
            _identity_fixes.UUID,
        )
    yield from _links(a, b, names)
    shared = [cidr for cidr in a.pod_cidrs if cidr in b.pod_cidrs]
    if shared and a.authority and a.authority == b.authority and a.node_name != b.node_name:
        yield Duplicate(
            "pod CIDR",
            ", ".join(shared),
            Status.FAIL,
            f"The Nodes of {both} were given the same addresses for pods, {', '.join(shared)}.",
            Fix(
                "Find who gave it twice, then delete one Node and let it register anew",
                ("kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs",),
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs",
                Safety.MANUAL,
            ),
        )


def _links(a: Marks, b: Marks, names: tuple[str, str]) -> Iterable[Duplicate]:
    by_mac = {mac: link for link, mac in b.macs.items()}
    told = set()
    for link, mac in a.macs.items():
        if mac in by_mac and mac not in told:
            told.add(mac)
            yield Duplicate(
                "MAC address",
                mac,
                Status.FAIL if a.authority and a.authority == b.authority else Status.WARN,
                f"{link} of {names[0]} and {by_mac[mac]} of {names[1]} have the same MAC address, {mac}: where both are on one network, "
                "frames for the one reach the other.",
                Fix(
                    "Give the clone's network card an address of its own where its virtual machine is defined, and reboot",
                    ("ip link show",),
                    "ip link show",
                    Safety.MANUAL,
                ),
            )


def _rename(what: str) -> Fix:
    return Fix(
        f"Give one of them another name: a Node keeps {what}, so reset it before and join it again after",
        ("kubeadm reset", "hostnamectl set-hostname NEW-NAME"),
        "hostname",
        Safety.MANUAL,
    )
