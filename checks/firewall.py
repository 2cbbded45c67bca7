"""The node's own packet filter lets in what the cluster sends, and out what the node needs.

## What it looks at
The rules of iptables (both variants) and nftables for packets to and from this node itself, also those that firewalld and ufw keep; and the ports of
this node that others need: the kubelet's and the API server's, etcd's where there are several members, and those by which the pod network reaches
other nodes, where something listens on them. Of packets that the node sends to itself, the ports at which its own programs look for the API server, etcd,
and the health of the control plane and of the kubelet. Of what the node sends to others, the API servers, DNS servers and registries that were not reached.

## Why it matters
A node whose firewall keeps the API server's port shut cannot be joined, one that shuts the kubelet's answers no `kubectl logs`, and one that shuts the pod network's
port has pods that reach only those on the same node: a part of all DNS queries is lost. One that drops what the node sends to itself, as a policy of
`DROP` does when nobody let the loopback interface in, makes a healthy control plane look dead, and ends it. One that keeps what the node itself sends, by a list of what may leave
that somebody made before Kubernetes came, makes API servers and registries look dead that answer everybody else. kubeadm warns of firewalld wherever it runs, and looks at nothing else.

## How it is decided
The first packet of a connection from elsewhere is led through the rules: protocol, port, interface, state and family are known of it, and whatever
else a rule asks for may hold or not. A port counts as shut where every way ends in a drop or a refusal, so one that is open for certain senders alone is not told. That
is a failure where other nodes are there or may come by, and a warning before this one has joined or while it is the only one. Packets of the node to itself come
in at `lo`, from the address that they are sent to; a port that is shut to them is a failure as soon as the node has joined. The same is done for packets of pods to an API server of this
node, which come in at the pods' bridge and from the pods' subnet, and in nftables' own tables for what comes in there and leaves by the interface of the default route: where neither
DNS nor HTTPS passes, nothing does, and that is a warning, or as bad as what follows from it. Rules of Calico and others for whole networks are not judged here, nor packets to pods.

What the node sends to others is judged where a connection did not come about, and only then: the first packet to that address and port is led through the rules for
packets out, and where every way ends in a drop or a refusal, that is why. Rules on users, marks or sets may hold or not, so that a list of what may leave which lets that through
is never told. A service's address is left out, for what leaves there goes to another one.

## Reasons
- `PortsOpen` (pass): no rule keeps the cluster's packets out
- `NoUplink` (skip): the node has no default route, so it is not known where others' packets come in
- `PortsClosed` (fail or warn): a rule drops or refuses packets to a port that others need, and perhaps the node's own, too
- `LocalPortsClosed` (fail or warn): a rule drops or refuses what the node's own programs send to a port of it
- `OutgoingBlocked` (fail): a rule drops or refuses what this node sends to an API server, a DNS server or a registry, and nobody there was reached
- `PodsShutOut` (fail): a rule drops or refuses packets of pods to the API server of this node
- `PodsNotForwarded` (warn): a rule of nftables, such as firewalld's last one, drops or refuses whatever pods send out of this node
- `RulesUnread` (unknown): the rules could not be read

## What it sends
Nothing of its own. It looks at what came of the hellos of `apiserver-san` and of the requests of `pause-image`.

## How to fix
Open the ports with the program that keeps the rules: `firewall-cmd`, `ufw`, `nft` or `iptables`. To whom is a person's decision: the nodes' own
subnet is enough for all of them but the API server's. What comes in at `lo` was sent by the node itself, and is let in whole. With firewalld, put the pods' interfaces into the zone `trusted`.
What the node sends out is let out to that address and port.

## How to verify
From another machine, `nc -zv NODE 10250` connects.

## References
- kubernetes.io "Ports and Protocols"; kubeadm preflight `Firewalld` (cmd/kubeadm/app/preflight/checks.go)
- k3s documentation "Requirements" (firewalld, ufw); firewalld.zone(5); firewalld.policies(5); ufw(8); iptables(8); nft(8)
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, NamedTuple

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _firewall_fixes as fixes
from k8sdoctor.checks._firewall_fixes import Shut, Wanted
from k8sdoctor.checks._node_ready_links import UNTOLD
from k8sdoctor.checks._pull_judgement import blames, says
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.etcd import is_loopback
from k8sdoctor.facts.filter_rules import Packet
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_health import health_socket
from k8sdoctor.facts.node_filter import NodeFilter
from k8sdoctor.facts.ports import ETCD, EVERY, NETWORK, Need, Ports, socket_of
from k8sdoctor.facts.sent_in_vain import SentInVain, Unreached
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Link,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)
from k8sdoctor.host.base import authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.facts.filter_rules import RuleSet

_ASKED_FROM_ELSEWHERE = ("kubelet", "kube-apiserver")

_NO_API_FOR_PODS = (Link("coredns", "ApiNotReached", "a rule was seen to drop what pods send to the API server"),)


_WHAT = {"api": "the API server", "dns": "DNS", "registry": "the registry"}

_ABOUT_REGISTRIES = ("pause-image", "images", "registry-config", "image-list")


@check("firewall", title="The node's firewall lets the cluster in", area="node", profiles=NOT_DNS)
def firewall(  # noqa: PLR0913, PLR0917 -- as many facts as there are parts of a node that listen
    stage: Stage,
    filters: NodeFilter,
    ports: Ports | Unobserved,
    nodes: ClusterNodes | Unobserved,
    folder: CniFolder | Unobserved,
    kubelet: Kubelet | Unobserved,
    server: ApiServer,
    sent: SentInVain,
) -> Iterator[Finding]:
    """Judge what becomes of packets to each port that others, or the node's own programs, need, and of what this node sent in vain."""
    if isinstance(ports, Unobserved):
        yield unknown(ports.reason, f"Which ports others need could not be told: {ports.message}.")
        return
    if filters.blind:
        problem = filters.blind[0]
        reason = problem.reason if problem.reason in ("NotPermitted", "NotRecorded") else "RulesUnread"
        yield unknown(reason, f"The rules for packets to and from this node could not be read: {problem.message}.")
        return
    if not filters.uplinks:
        yield skip("NoUplink", "This node has no default route, so where others' packets come in is not known.")
        return
    family, uplink = min(filters.uplinks)
    several = not isinstance(nodes, ClusterNodes) or not nodes.complete or len(nodes.all) > 1
    wanted = list(_wanted(stage, ports, nodes))
    shut = [
        Shut(each, *found)
        for each in wanted
        if (found := filters.shut(Packet(family, each.protocol, each.port, uplink))) is not None
    ]
    own = [*_shut_to_itself(_local_needs(stage, ports, kubelet, server), filters, family)]
    pods = [] if isinstance(folder, Unobserved) else [*_shut_to_pods(wanted, filters, family, folder)]
    told = {each.wanted for each in shut}
    # What one rule or policy does is one finding, whoever it shuts out.
    rules = {each.by for each in shut or own}
    beside = [(bridge, each) for bridge, each in pods if each.wanted not in told and each.by in rules]
    findings = []
    if shut:
        grave = stage.joined and (several or bool(own))
        links = _NO_API_FOR_PODS if beside or any(each.wanted in told for _, each in pods) else ()
        findings.append(_closed(shut, own, beside, filters, uplink, grave=grave, links=links))
    elif own:
        findings.append(_closed_to_itself(own, beside, filters, grave=stage.joined))
    findings += [_pods_shut_out(*each, filters) for each in pods if each[1].wanted not in told and each not in beside]
    if stage.joined and not isinstance(folder, Unobserved):
        findings += _not_forwarded(filters, family, uplink, folder)
    for kept in _kept(sent, filters, own):
        blocked = _blocked(kept, filters)
        if findings and {(of.name, rule) for _, of, rule in kept} <= {each.by for each in (*shut, *own)}:
            findings[0] = _also(findings[0], blocked, _lets_nothing_out(kept))
        else:
            findings.append(blocked)
    yield from findings
    if not findings:
        yield _open(wanted, filters, family, uplink)


def _wanted(stage: Stage, ports: Ports, nodes: ClusterNodes | Unobserved) -> Iterator[Wanted]:
    members = isinstance(nodes, ClusterNodes) and len(nodes.control_planes) > 1
    for need in ports.needs:
        if _from_elsewhere(need) and (
            need.program in _ASKED_FROM_ELSEWHERE or (stage.joined and members and need.program == "etcd")
        ):
            yield Wanted(need.port, "tcp", need.program)
    for port, protocol in NETWORK.items() if stage.joined else ():
        if any(held.socket["address"] not in ("127.0.0.1", "::1") for held in ports.at(port, protocol)):
            yield Wanted(port, protocol, "the pod network")


def _from_elsewhere(need: Need) -> bool:
    try:
        return not ip_address(need.address).is_loopback
    except ValueError:  # a name
        return need.address != "localhost"


def _local_needs(stage: Stage, ports: Ports, kubelet: Kubelet | Unobserved, server: ApiServer) -> Iterator[Need]:
    """Where the node's own programs look for each other: for the API server at the address that it tells, for etcd where it was told to."""
    for need in ports.needs:
        if need.program == "kube-apiserver" and need.address == EVERY and server.address:
            yield replace(need, address=server.address)
        elif need.program not in ("kubelet", "etcd") or (need.program == "etcd" and not stage.joined):
            yield need
    for url in (server.flag("--etcd-servers") or "").split(",") if stage.joined else ():
        reached = socket_of(url, ETCD[0]) if "://" in url else None
        if reached is not None and (is_loopback(url) or reached[1] == server.address):
            yield Need("etcd", *reached, server.source or "")
    health = health_socket(kubelet) if isinstance(kubelet, Kubelet) else None
    if health is not None and isinstance(kubelet, Kubelet):
        yield Need("kubelet", health[1], health[0], kubelet.config_path)


def _shut_to_itself(needs: Iterable[Need], filters: NodeFilter, family: int) -> Iterator[Shut]:
    for need in needs:
        address = as_address(need.address)
        if address is None:  # a name
            continue
        sender = None if address.is_unspecified else ip_network(address)
        packet = Packet(family if need.address == EVERY else address.version, "tcp", need.port, "lo", sender)
        found = filters.shut(packet)
        if found is not None:
            yield Shut(Wanted(need.port, "tcp", need.program), *found, need.address)
        leaving = None if sender is None else filters.shut(packet._replace(interface="", out="lo", destination=sender))
        if leaving is not None:
            yield Shut(Wanted(need.port, "tcp", need.program), *leaving, need.address, out=True)


def _closed(  # noqa: PLR0913 -- to whom they are shut, and what follows
    shut: Sequence[Shut],
    own: Sequence[Shut],
    pods: Sequence[tuple[str, Shut]],
    filters: NodeFilter,
    uplink: str,
    *,
    grave: bool,
    links: Sequence[Link],
) -> Finding:
    listed = ", ".join(f"{each.wanted} ({each.wanted.program})" for each in shut)
    by = ", ".join(dict.fromkeys(each.rules.name for each in shut))
    keeper = fixes.keeper(filters, shut[0].rules)
    if any(each.wanted.program == "the pod network" for each in shut):
        why = f"packets of the pod network from other nodes are dropped here ({keeper})"
        links = [*links, Link("dns-reply-source", "NoReply", why), Link("dns-path", "OverlayBlocked", why)]
    if any(each.wanted.program == "etcd" for each in shut):
        links = [*links, Link("etcd", "Unhealthy", f"packets of the other members are dropped here ({keeper})")]
    fix = fixes.open_ports([each.wanted for each in shut], filters, shut[0], by)
    apart = [each for each in own if each.out or each.wanted not in {one.wanted for one in shut}]
    nor = (
        f", nor this node's own programs to {_listed(own)}"
        if apart
        else ", not even this node's own programs"
        if own
        else ""
    )
    nor += "".join(f", nor pods in at {bridge} to {each.wanted} ({each.wanted.program})" for bridge, each in pods)
    fix = fixes.joined([fix, *fixes.let_through(apart, pods, filters)])  # which opening the ports does not let in
    return (fail if grave else warn)(
        "PortsClosed",
        f"The firewall of this node ({keeper}) lets nobody in at {uplink} to {listed}{nor}.",
        subject=", ".join(str(each.wanted) for each in shut),
        evidence=[
            *(Evidence(f"{each.rules.name}, for {each.wanted}", each.rule) for each in shut),
            *_rules_at_lo(own),
            *_rules_at_bridges(pods),
        ],
        fix=fix,
        explains=[*links, *_unanswered(own)],
    )


def _closed_to_itself(
    own: Sequence[Shut], pods: Sequence[tuple[str, Shut]], filters: NodeFilter, *, grave: bool
) -> Finding:
    keeper = fixes.keeper(filters, own[0].rules)
    and_pods = "".join(f", and pods at {bridge} from {each.wanted} ({each.wanted.program})" for bridge, each in pods)
    return (fail if grave else warn)(
        "LocalPortsClosed",
        f"The firewall of this node ({keeper}) shuts this node's own programs out from {_listed(own)}{and_pods}.",
        subject=", ".join(dict.fromkeys(str(each.wanted) for each in own)),
        evidence=[*_rules_at_lo(own), *_rules_at_bridges(pods)],
        fix=fixes.joined(fixes.let_through(own, pods, filters)),
        explains=[*_unanswered(own), *(_NO_API_FOR_PODS if pods else ())],
    )


def _listed(own: Sequence[Shut]) -> str:
    return enumerated(list(dict.fromkeys(f"{each.wanted} ({each.wanted.program})" for each in own)))


def _rules_at_lo(own: Sequence[Shut]) -> list[Evidence]:
    return [Evidence(f"{each.rules.name}, for {each.wanted} from this node itself", each.rule) for each in own]


def _rules_at_bridges(pods: Sequence[tuple[str, Shut]]) -> list[Evidence]:
    return [Evidence(f"{each.rules.name}, for {each.wanted} from {bridge}", each.rule) for bridge, each in pods]


def _unanswered(own: Sequence[Shut]) -> Iterator[Link]:
    """What the silence of a port that is shut looks like to the node's own programs, and to the checks."""
    why = f"a rule was seen to shut this node's own programs out from {_listed(own)}"
    for each in own:
        program = each.wanted.program
        if program == "kubelet":
            yield Link("node-ready", "KubeletUnhealthy", why, Certainty.PROVEN, frozenset({"health:silent"}))
        elif program == "etcd":
            asked = frozenset({f"endpoint:{authority(each.address, each.wanted.port)}"})
            yield Link("etcd", "Unreachable", why, Certainty.PROVEN, asked)
        else:
            component = f"component:{program}"
            yield Link("control-plane", "ComponentSilent", why, Certainty.PROVEN, frozenset({component}))
            # The kubelet ends one whose health it asks for in vain.
            yield Link("control-plane", "ComponentDown", why, when=frozenset({component, UNTOLD}))
        if program == "kube-apiserver":
            own_one = frozenset({"endpoint:own"})
            yield Link("apiserver-san", "EndpointUnreachable", why, Certainty.PROVEN, own_one)
            yield Link("apiserver-endpoints", "MemberDown", why, Certainty.PROVEN, own_one)


def _shut_to_pods(
    wanted: Sequence[Wanted], filters: NodeFilter, family: int, folder: CniFolder
) -> Iterator[tuple[str, Shut]]:
    """Packets of pods to the service `kubernetes` come in at the bridge, when the API server is this node's."""
    for bridge in folder.bridges:
        for each in wanted:
            if each.program != "kube-apiserver":
                continue
            senders = _senders(folder, bridge, family)
            found = [filters.shut(Packet(family, each.protocol, each.port, bridge, sender)) for sender in senders]
            yield from [(bridge, Shut(each, *one)) for one in found if one is not None][:1]


class _Kept(NamedTuple):
    """A place to which a rule lets nothing out."""

    place: Unreached
    rules: RuleSet
    rule: str


def _kept(sent: SentInVain, filters: NodeFilter, own: Sequence[Shut]) -> Iterator[list[_Kept]]:
    """What does not leave the node, with the rule that keeps it, by tables. A name is resolved while any DNS server answers."""
    told = {(as_address(each.address), each.wanted.port) for each in own}
    found: list[_Kept] = []
    for each in sent.all:
        to = ip_network(each.address.partition("%")[0])
        protocol = "udp" if each.kind == "dns" else "tcp"
        shut = filters.shut(Packet(to.version, protocol, each.port, out=each.out, destination=to))
        if shut is not None and (to.network_address, each.port) not in told:
            found.append(_Kept(each, *shut))
    kept = {one.place for one in found}
    if any(each.kind == "dns" and each not in kept for each in sent.all):
        found = [one for one in found if one.place.kind != "dns"]
    for name in dict.fromkeys(one.rules.name for one in found):
        yield [one for one in found if one.rules.name == name]


def _also(first: Finding, then: Finding, clause: str) -> Finding:
    """What the same rule does besides, in one finding; `clause` says it in the message."""
    assert first.fix is not None and then.fix is not None  # noqa: S101, PT018 -- all of this check have one
    return replace(
        first,
        status=then.status,
        message=f"{first.message.removesuffix('.')}, and {clause}.",
        subject=f"{first.subject}, {then.subject}",
        evidence=(*first.evidence, *then.evidence),
        fix=fixes.joined([first.fix, then.fix]),
        explains=(*first.explains, *then.explains),
    )


def _places(found: Sequence[_Kept]) -> str:
    return enumerated(list(dict.fromkeys(f"{_where(each)} ({_WHAT[each.kind]})" for each, _, _ in found)))


def _lets_nothing_out(found: Sequence[_Kept]) -> str:
    return f"lets nothing out to {_places(found)}"


def _blocked(found: Sequence[_Kept], filters: NodeFilter) -> Finding:
    rules = found[0].rules
    why = f"a rule of {rules.name} was seen to keep what this node sends to {_places(found)}"
    return fail(
        "OutgoingBlocked",
        f"The firewall of this node ({fixes.keeper(filters, rules)}) {_lets_nothing_out(found)}.",
        subject=", ".join(dict.fromkeys(_where(each) for each, _, _ in found)),
        evidence=[
            words
            for each, of, rule in found
            for words in (Evidence(f"{of.name}, for packets to {_where(each)}", rule), Evidence(_where(each), each.met))
        ],
        fix=fixes.let_out([each for each, _, _ in found], rules, filters),
        explains=[link for each, _, _ in found for link in _unreached(each, why)],
    )


def _where(each: Unreached) -> str:
    return f"{authority(each.address, each.port)}{'/udp' if each.kind == 'dns' else ''}"


def _unreached(each: Unreached, why: str) -> Iterator[Link]:
    """What it looks like to the checks that asked."""
    match each.kind:
        case "api":
            there = frozenset({f"endpoint:{each.name}"})
            yield Link("apiserver-san", "EndpointUnreachable", why, Certainty.PROVEN, there)
            yield Link("apiserver-endpoints", "MemberDown", why, Certainty.PROVEN, there)
        case "dns":
            yield Link("apiserver-san", "NameNotResolved", why)
            yield from (Link(check, "NameNotResolved", why) for check in _ABOUT_REGISTRIES)
        case "registry":
            for check in _ABOUT_REGISTRIES:
                if says(check, "RegistryUnreachable"):
                    yield Link(check, "RegistryUnreachable", why, Certainty.PROVEN, blames(each.name))


def _pods_shut_out(bridge: str, shut: Shut, filters: NodeFilter) -> Finding:
    return fail(
        "PodsShutOut",
        f"The firewall of this node ({fixes.keeper(filters, shut.rules)}) lets no pod in at {bridge} to {shut.wanted}, the API server: "
        "CoreDNS and whatever else asks it gets no answer.",
        subject=bridge,
        evidence=_rules_at_bridges([(bridge, shut)]),
        fix=fixes.trust([bridge], filters, shut),
        explains=_NO_API_FOR_PODS,
    )


def _not_forwarded(filters: NodeFilter, family: int, uplink: str, folder: CniFolder) -> Iterator[Finding]:
    """What is let out for some receivers alone is meant so, and what a service's address was translated to may pass nevertheless."""
    for bridge in folder.bridges:
        for sender in _senders(folder, bridge, family):
            ways = [
                filters.shut(Packet(family, kind, port, bridge, sender, uplink))
                for kind, port in (("udp", 53), ("tcp", 53), ("tcp", 443))
            ]
            if None in ways or ways[0] is None:
                continue
            rules, rule = ways[0]
            keeper = fixes.keeper(filters, rules)
            why = f"the firewall of this node ({keeper}) forwards nothing that pods send from {bridge} by {uplink}"
            yield warn(
                "PodsNotForwarded",
                f"{why[0].upper()}{why[1:]}: neither DNS nor HTTPS passes.",
                subject=bridge,
                evidence=[Evidence(f"{rules.name}, for what comes in at {bridge} and leaves by {uplink}", rule)],
                fix=fixes.forward(bridge, filters, rules),
                explains=[
                    Link(
                        *("coredns", "UpstreamSilent", f"{why}, and the node itself is answered"),
                        when=frozenset({"node:answered"}),
                    ),
                    Link("dns-reply-source", "NoReply", why),
                    Link("coredns", "ApiNotReached", why),
                    Link("pod-resolv-conf", "SearchDomainFails", why),
                ],
            )
            break


def _senders(folder: CniFolder, bridge: str, family: int) -> Sequence[Subnet | None]:
    """The subnets that pods at a bridge have their addresses of: the bridge's own, or else what the network gives out."""
    of_bridge = [ip_interface(each).network for each in folder.bridge_addresses.get(bridge, ())]
    return [each for each in of_bridge or folder.subnets if each.version == family] or [None]


def _open(wanted: Sequence[Wanted], filters: NodeFilter, family: int, uplink: str) -> Finding:
    listed = ", ".join(map(str, wanted)) or "no port"
    if not filters.sets:
        return passed("PortsOpen", f"This node has no packet filter; others need {listed}.")
    limited = [str(each) for each in wanted if not filters.open(Packet(family, each.protocol, each.port, uplink))]
    some = f"; whether everybody comes in to {', '.join(limited)} depends on the sender" if limited else ""
    return passed(
        "PortsOpen",
        f"The rules of this node ({', '.join(one.name for one in filters.sets)}) shut none of the ports that others need: {listed}{some}.",
    )
