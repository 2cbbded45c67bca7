"""The node's own packet filter lets in what the cluster sends.

## What it looks at
The rules of iptables (both variants) and nftables for packets to this node itself, also those that firewalld and ufw keep; and the ports of
this node that others need: the kubelet's and the API server's, etcd's where there are several members, and those by which the pod network reaches
other nodes, where something listens on them.

## Why it matters
A node whose firewall keeps the API server's port shut cannot be joined, one that shuts the kubelet's answers no `kubectl logs`, and one that shuts the pod network's
port has pods that reach only those on the same node: a part of all DNS queries is lost. kubeadm warns of firewalld wherever it runs, and looks at nothing else.

## How it is decided
The first packet of a connection from elsewhere is led through the rules: protocol, port, interface, state and family are known of it, and whatever
else a rule asks for may hold or not. A port counts as shut where every way ends in a drop or a refusal, so one that is open for certain senders alone is not told. That
is a failure where other nodes are there or may come by, and a warning before this one has joined or while it is the only one. The same is done for packets of pods to an API server of this
node, which come in at the pods' bridge and from the pods' subnet. Rules of Calico and others for whole networks are not judged here, nor packets to pods.

## Reasons
- `PortsOpen` (pass): no rule keeps the cluster's packets out
- `NoUplink` (skip): the node has no default route, so it is not known where others' packets come in
- `PortsClosed` (fail or warn): a rule drops or refuses packets to a port that others need
- `PodsShutOut` (fail): a rule drops or refuses packets of pods to the API server of this node
- `RulesUnread` (unknown): the rules could not be read

## What it sends
Nothing.

## How to fix
Open the ports with the program that keeps the rules: `firewall-cmd`, `ufw`, `nft` or `iptables`. To whom is a person's decision: the nodes' own
subnet is enough for all of them but the API server's. With firewalld, put the pods' interfaces into the zone `trusted`.

## How to verify
From another machine, `nc -zv NODE 10250` connects.

## References
- kubernetes.io "Ports and Protocols"; kubeadm preflight `Firewalld` (cmd/kubeadm/app/preflight/checks.go)
- k3s documentation "Requirements" (firewalld, ufw); firewalld.zone(5); ufw(8)
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, NamedTuple

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.input_filter import InputFilter
from k8sdoctor.facts.input_rules import Packet
from k8sdoctor.facts.ports import NETWORK, Ports
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.facts.input_rules import RuleSet
    from k8sdoctor.facts.ports import Need

_ASKED_FROM_ELSEWHERE = ("kubelet", "kube-apiserver")


class _Wanted(NamedTuple):
    """A port that others need, and what for."""

    port: int
    protocol: str
    program: str

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


class _Shut(NamedTuple):
    """A port that is shut, by which table and rule."""

    wanted: _Wanted
    rules: RuleSet
    rule: str


@check("firewall", title="The node's firewall lets the cluster in", area="node", profiles=NOT_DNS)
def firewall(
    stage: Stage,
    filters: InputFilter,
    ports: Ports | Unobserved,
    nodes: ClusterNodes | Unobserved,
    folder: CniFolder | Unobserved,
) -> Iterator[Finding]:
    """Judge what becomes of packets to each port that others need."""
    if isinstance(ports, Unobserved):
        yield unknown(ports.reason, f"Which ports others need could not be told: {ports.message}.")
        return
    if filters.blind:
        problem = filters.blind[0]
        reason = problem.reason if problem.reason in ("NotPermitted", "NotRecorded") else "RulesUnread"
        yield unknown(reason, f"The rules for packets to this node could not be read: {problem.message}.")
        return
    if not filters.uplinks:
        yield skip("NoUplink", "This node has no default route, so where others' packets come in is not known.")
        return
    family, uplink = min(filters.uplinks)
    several = not isinstance(nodes, ClusterNodes) or not nodes.complete or len(nodes.all) > 1
    wanted = list(_wanted(stage, ports, nodes))
    shut = [
        _Shut(each, *found)
        for each in wanted
        if (found := filters.shut(Packet(family, each.protocol, each.port, uplink))) is not None
    ]
    findings = []
    if shut:
        findings.append(_closed(shut, filters, uplink, grave=stage.joined and several))
    findings += _pods(wanted, filters, family, folder, {each.wanted for each in shut})
    yield from findings
    if not findings:
        yield _open(wanted, filters, family, uplink)


def _wanted(stage: Stage, ports: Ports, nodes: ClusterNodes | Unobserved) -> Iterator[_Wanted]:
    members = isinstance(nodes, ClusterNodes) and len(nodes.control_planes) > 1
    for need in ports.needs:
        if _from_elsewhere(need) and (
            need.program in _ASKED_FROM_ELSEWHERE or (stage.joined and members and need.program == "etcd")
        ):
            yield _Wanted(need.port, "tcp", need.program)
    for port, protocol in NETWORK.items() if stage.joined else ():
        if any(held.socket["address"] not in ("127.0.0.1", "::1") for held in ports.at(port, protocol)):
            yield _Wanted(port, protocol, "the pod network")


def _from_elsewhere(need: Need) -> bool:
    try:
        return not ip_address(need.address).is_loopback
    except ValueError:  # a name
        return need.address != "localhost"


def _closed(shut: Sequence[_Shut], filters: InputFilter, uplink: str, *, grave: bool) -> Finding:
    listed = ", ".join(f"{each.wanted} ({each.wanted.program})" for each in shut)
    by = ", ".join(dict.fromkeys(each.rules.name for each in shut))
    keeper = _keeper(filters, shut[0].rules)
    links = []
    if any(each.wanted.program == "the pod network" for each in shut):
        why = f"packets of the pod network from other nodes are dropped here ({keeper})"
        links = [Link("dns-reply-source", "NoReply", why), Link("dns-path", "OverlayBlocked", why)]
    return (fail if grave else warn)(
        "PortsClosed",
        f"The firewall of this node ({keeper}) lets nobody in at {uplink} to {listed}.",
        subject=", ".join(str(each.wanted) for each in shut),
        evidence=[Evidence(f"{each.rules.name}, for {each.wanted}", each.rule) for each in shut],
        fix=_fix([each.wanted for each in shut], filters, shut[0], by),
        explains=links,
    )


def _pods(
    wanted: Sequence[_Wanted],
    filters: InputFilter,
    family: int,
    folder: CniFolder | Unobserved,
    told: set[_Wanted],
) -> Iterator[Finding]:
    """Packets of pods to the service `kubernetes` come in at the bridge, when the API server is this node's."""
    if isinstance(folder, Unobserved):
        return
    for bridge in folder.bridges:
        for each in wanted:
            if each.program != "kube-apiserver" or each in told:
                continue
            senders = _senders(folder, bridge, family)
            found = [filters.shut(Packet(family, each.protocol, each.port, bridge, sender)) for sender in senders]
            shuts = [_Shut(each, *one) for one in found if one is not None]
            if not shuts:
                continue
            shut = shuts[0]
            yield fail(
                "PodsShutOut",
                f"The firewall of this node ({_keeper(filters, shut.rules)}) lets no pod in at {bridge} to {each}, the API server: "
                "CoreDNS and whatever else asks it gets no answer.",
                subject=bridge,
                evidence=[Evidence(f"{shut.rules.name}, for {each} from {bridge}", shut.rule)],
                fix=_trust(bridge, filters, shut),
                explains=[Link("coredns", "ApiNotReached", "a rule was seen to drop what pods send to the API server")],
            )


def _senders(folder: CniFolder, bridge: str, family: int) -> Sequence[Subnet | None]:
    """The subnets that pods at a bridge have their addresses of: the bridge's own, or else what the network gives out."""
    of_bridge = [ip_interface(each).network for each in folder.bridge_addresses.get(bridge, ())]
    return [each for each in of_bridge or folder.subnets if each.version == family] or [None]


def _open(wanted: Sequence[_Wanted], filters: InputFilter, family: int, uplink: str) -> Finding:
    listed = ", ".join(map(str, wanted)) or "no port"
    if not filters.sets:
        return passed("PortsOpen", f"This node has no packet filter; others need {listed}.")
    limited = [str(each) for each in wanted if not filters.open(Packet(family, each.protocol, each.port, uplink))]
    some = f"; whether everybody comes in to {', '.join(limited)} depends on the sender" if limited else ""
    return passed(
        "PortsOpen",
        f"The rules of this node ({', '.join(one.name for one in filters.sets)}) shut none of the ports that others need: {listed}{some}.",
    )


# -- fixes ---------------------------------------------------------------------------------------------------------------


def _keeper(filters: InputFilter, rules: RuleSet) -> str:
    if filters.firewalld and ("firewalld" in rules.name or "INPUT_ZONES" in rules.chains):
        return "firewalld"
    return "ufw" if filters.ufw and "ufw-user-input" in rules.chains else rules.name


def _fix(wanted: Sequence[_Wanted], filters: InputFilter, shut: _Shut, by: str) -> Fix:
    verify = f"nc -zv $(hostname -I | cut -d' ' -f1) {wanted[0].port}  # from another machine"
    match _keeper(filters, shut.rules):
        case "firewalld":
            ports = " ".join(f"--add-port={each}" for each in wanted)
            return Fix(
                "Open the ports in firewalld's zone of the uplink (which senders may use them is yours to decide)",
                (f"firewall-cmd {ports}",),
                "firewall-cmd --list-ports",
                Safety.MANUAL,
                (f"firewall-cmd --permanent {ports}",),
            )
        case "ufw":
            return Fix(
                "Open the ports in ufw (which senders may use them is yours to decide)",
                tuple(f"ufw allow {each}" for each in wanted),
                "ufw status",
                Safety.MANUAL,
            )
        case name if name.startswith("nft "):
            table = name.removeprefix("nft ")
            chain = shut.rules.bases[0][0]
            return Fix(
                f"Open the ports, here and in the file that makes {by} at boot (often /etc/nftables.conf)",
                tuple(f"nft insert rule {table} {chain} {each.protocol} dport {each.port} accept" for each in wanted),
                f"nft list chain {table} {chain}",
                Safety.MANUAL,
            )
        case name:
            return Fix(
                f"Open the ports, here and in what makes the rules of {by} at boot",
                tuple(f"{name} -w -I INPUT -p {each.protocol} --dport {each.port} -j ACCEPT" for each in wanted),
                verify,
                Safety.MANUAL,
            )


def _trust(bridge: str, filters: InputFilter, shut: _Shut) -> Fix:
    title = "Let the pods' interface in"
    match _keeper(filters, shut.rules):
        case "firewalld":
            change = f"--zone=trusted --change-interface={bridge}"
            return Fix(
                title,
                (f"firewall-cmd {change}",),
                "firewall-cmd --zone=trusted --list-interfaces",
                Safety.SAFE,
                (f"firewall-cmd --permanent {change}",),
            )
        case "ufw":
            return Fix(title, (f"ufw allow in on {bridge}",), "ufw status", Safety.SAFE)
        case name if name.startswith("nft "):
            where = f"{name.removeprefix('nft ')} {shut.rules.bases[0][0]}"
            return Fix(
                f"{title}, here and in the file that makes the rules at boot (often /etc/nftables.conf)",
                (f'nft insert rule {where} iifname "{bridge}" accept',),
                f"nft list chain {where}",
                Safety.MANUAL,
            )
        case name:
            return Fix(
                f"{title}, here and in what makes the rules at boot",
                (f"{name} -w -I INPUT -i {bridge} -j ACCEPT",),
                f"{name} -S INPUT",
                Safety.MANUAL,
            )
