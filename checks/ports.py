"""The ports that this node needs are free, or held by its own programs.

## What it looks at
Who listens on the ports of the kubelet, API server, controller manager, scheduler and etcd: on those of their command lines where they have
one, else on the usual ones. Besides, kube-proxy's health port, the kubelet's port for reading without a login, and the ports by which pod
networks reach other nodes.

## Why it matters
Of two programs that want one port, the later one ends, or goes on without it. A balancer on the API server's port, the kubelet of an earlier
installation or a forgotten etcd keeps `kubeadm init` from starting, or a component from coming back after a reboot.

## How it is decided
From the kernel's tables of sockets that listen, in the node's own network namespace: what is closing (TIME_WAIT) and what listens inside a pod do
not count. Two sockets are in each other's way when they have the same port and one of their addresses is every address, or both are the same; so a
balancer on an address of its own may share the API server's port. Before the node joins, the ports must be free: the kubelet's always, those of a
control plane when one is planned by `--config`, and a warning is given when nothing is planned. On a node, a port that its own program
holds is right, and one that nobody holds is for others to judge. By whom a port is held only root may see: another user is told that it is taken, and
where TLS is due, whether TLS is spoken there.

## Reasons
- `PortsHeld` (pass): each port that is needed is held by the program that it is meant for, or by none
- `PortsFree` (pass): the ports that a node needs are free
- `OtherInstallation` (skip): another distribution of Kubernetes runs here, with ports of its own
- `PortTaken` (fail or warn): somebody else holds a port; a warning where it is not known that it will be needed, or where the node works without it
- `PlainHttp` (fail): where a component speaks TLS, somebody speaks plain HTTP
- `ReadOnlyPortOpen` (warn): the kubelet tells whoever asks, without a login, all about its pods
- `NetworkPortTaken` (warn): a program holds the port by which the pod network reaches other nodes
- `HolderUnknown` (unknown): a port is held, and by whom could not be seen

## What it sends
As root nothing. Otherwise a TLS hello to the node's own ports whose holder is not known; nothing with `--offline`.

## How to fix
Give the other program another port or an address of its own, or end it: that is a person's decision. What an earlier installation left is removed by
`kubeadm reset`.

## How to verify
`ss -lntup 'sport = :6443'` shows the program that is meant to be there.

## References
- kubernetes.io "Ports and Protocols"; kubeadm preflight `Port-<n>` (cmd/kubeadm/app/preflight/checks.go)
- Go `net` favoriteAddrFamily: a program that listens on 0.0.0.0 listens on every address of both families
- kubernetes issue 34893: whoever may not bind a port does not see one that is in use
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._node_ready_links import kubelet_ends
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.port_hellos import PortHellos
from k8sdoctor.facts.ports import KUBE_PROXY, NETWORK, Ports
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Status,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.ports import Held, Need

# k3s, RKE2, k0s and MicroK8s run their own, and know their own ports.
_DISTRIBUTIONS = ("k3s", "k3s-server", "k3s-agent", "rke2", "k0s", "kubelite")
_THEIR_FOLDERS = ("/var/lib/rancher/", "/var/lib/k0s/", "/snap/microk8s/", "/var/snap/microk8s/")

# One program for all components, until 1.18.
_ALL_IN_ONE = "hyperkube"

# Who serves a health port for load balancers in kube-proxy's place.
_PROXIES = ("kube-proxy", "cilium-agent", "kube-router", "antrea-agent", _ALL_IN_ONE)

# By plugin type: the ports by which such a network reaches other nodes, and who may hold them beside the kernel.
_NETWORKS = {
    "flannel": ((8472,), ("flanneld",)),
    "cilium-cni": ((8472,), ("cilium-agent",)),
    "calico": ((179, 4789), ("bird", "bird6", "calico-node", "calico-felix")),
}

_OF_API_SERVER = tuple(
    Link(
        "apiserver-san",
        reason,
        "somebody else was seen to hold the API server's port on this node",
        when=frozenset({"endpoint:own"}),
    )
    for reason in ("EndpointUnreachable", "PlainHttpEndpoint")
)


@check("ports", title="The ports that this node needs are its own", area="node", profiles=NOT_DNS)
def ports(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    stage: Stage,
    ports: Ports,
    hellos: PortHellos,
    planned: KubeadmConfig,
    processes: Processes | Unobserved,
    folder: CniFolder | Unobserved,
) -> Iterator[Finding]:
    """Judge each port that is needed here, then the ports beside them."""
    if stage.stage == "unknown":
        yield unknown("NotPermitted", f"Whether this machine is a node could not be told: {stage.why}.")
        return
    other = None if stage.joined else _other_installation(ports, processes)
    if other is not None:
        yield skip("OtherInstallation", f"{other} runs here, which brings a Kubernetes with ports of its own.")
        return
    findings: list[Finding] = []
    if stage.joined:
        for need in ports.needs:
            findings += _held(need, ports, hellos)
        findings += _unseen(ports, {finding.subject for finding in findings})
        findings += _beside(ports, processes, folder)
    else:
        for need in ports.needs:
            findings += _free(need, ports, planned)
    yield from findings
    if not any(finding.status in (Status.FAIL, Status.WARN, Status.UNKNOWN) for finding in findings):
        yield _right(stage, ports)


def _right(stage: Stage, ports: Ports) -> Finding:
    numbers = sorted({need.port for need in ports.needs})
    listed = enumerated([str(number) for number in numbers])
    if not stage.joined:
        return passed("PortsFree", f"Nobody listens on the TCP ports that a node needs: {listed}.")
    shown = [held for number in numbers for held in ports.at(number)]
    return passed(
        "PortsHeld",
        f"Of the TCP ports of this node's components ({listed}), none is held by anybody else."
        if len(numbers) > 1
        else f"TCP port {listed} of this node's kubelet is held by nobody else.",
        evidence=[_seen(held) for held in shown],
    )


def _other_installation(ports: Ports, processes: Processes | Unobserved) -> str | None:
    """The distribution that runs here with components and ports of its own."""
    if isinstance(processes, Processes):
        for process in processes.named(*_DISTRIBUTIONS):
            return process["name"] or process["cmdline"][0]
        for process in processes.named("kubelet", "kube-apiserver"):
            if any(folder in word for word in process["cmdline"] for folder in _THEIR_FOLDERS):
                return f"{process['name']} of another distribution"
    return next((held.program for held in ports.held if held.is_called(*_DISTRIBUTIONS)), None)


# -- before the node joins -----------------------------------------------------------------------------------------------


def _free(need: Need, ports: Ports, planned: KubeadmConfig) -> Iterator[Finding]:
    for held in ports.at(need.port):
        if not held.overlaps(need.address):
            continue
        sure = need.program == "kubelet" or (planned.source is not None and planned.problem is None)
        old = held.is_called(need.program, _ALL_IN_ONE)
        who = _who(held)
        so = (
            "an earlier installation left it"
            if old
            else f"kubeadm will not start with it, since {need.program} needs the port"
            if sure
            else f"a control plane could not be made here, since its {need.program} needs the port (a worker does not)"
        )
        yield (fail if sure or old else warn)(
            "PortTaken",
            f"TCP port {need.port} is taken by {who} on {_where(held)}: {so}.",
            subject=f"{need.port}/tcp",
            traits=[f"kubeadm:Port-{need.port}"],
            evidence=[_seen(held), Evidence(need.source, f"{need.program} needs TCP port {need.port}")],
            fix=_reset() if old else _make_room(held, need),
        )
        return


def _reset() -> Fix:
    return Fix(
        "Remove what the earlier installation left, its data included",
        ("kubeadm reset",),
        "ss -Hlntp | grep -E ':(6443|10250|10257|10259|2379|2380) '",
        Safety.MANUAL,
    )


# -- on a node -----------------------------------------------------------------------------------------------------------


def _held(need: Need, ports: Ports, hellos: PortHellos) -> Iterator[Finding]:
    in_the_way = [held for held in ports.at(need.port) if held.overlaps(need.address)]
    if not in_the_way or any(held.is_called(need.program, _ALL_IN_ONE) for held in in_the_way):
        return
    known = [held for held in in_the_way if held.socket["pid"] is not None]
    if not known:
        yield from _plain(need, in_the_way, hellos)
        return
    held = known[0]
    links: Sequence[Link] = ()
    if need.program == "kube-apiserver":
        links = _OF_API_SERVER
    elif need.program == "kubelet":
        links = kubelet_ends(f"{_who(held)} was seen to hold TCP port {need.port}, which the kubelet needs", "ports")
    elif need.program == "etcd":
        links = (Link("etcd", "Unreachable", f"{_who(held)} was seen to hold etcd's port {need.port}"),)
    yield fail(
        "PortTaken",
        f"TCP port {need.port}, which {need.program} needs on {_every(need.address)}, is held by {_who(held)} on {_where(held)}.",
        subject=f"{need.port}/tcp",
        traits=[f"kubeadm:Port-{need.port}"],
        evidence=[
            *map(_seen, in_the_way),
            Evidence(need.source, f"{need.program} listens on {need.address}:{need.port}"),
        ],
        fix=_make_room(held, need),
        explains=links,
    )


def _plain(need: Need, found: Sequence[Held], hellos: PortHellos) -> Iterator[Finding]:
    """The holder is not to be seen, and yet no component of Kubernetes when it speaks no TLS."""
    answer = hellos.answers.get(need.port)
    failure = answer["failure"] if answer else None
    if failure is not None and failure["kind"] == "tls-plain":
        yield fail(
            "PlainHttp",
            f"On TCP port {need.port}, where {need.program} speaks TLS, somebody speaks plain HTTP: {failure['message']}.",
            subject=f"{need.port}/tcp",
            traits=[f"kubeadm:Port-{need.port}"],
            evidence=[*map(_seen, found), Evidence(f"tls://{_where(found[0])}", failure["message"])],
            fix=_make_room(found[0], need),
        )


def _unseen(ports: Ports, plain: set[str | None]) -> Iterator[Finding]:
    """One finding for all ports whose holder is another user's process, or one that this pid namespace does not show."""
    hidden = {
        need.port: held
        for need in ports.needs
        if f"{need.port}/tcp" not in plain
        for held in ports.at(need.port)
        if held.overlaps(need.address) and held.socket["pid"] is None
        if not any(each.is_called(need.program, _ALL_IN_ONE) for each in ports.at(need.port))
    }
    if hidden:
        listed = ", ".join(map(str, sorted(hidden)))
        yield unknown(
            "HolderUnknown",
            f"Who holds the TCP ports {listed}, which components of this node need, could not be seen; run as root with all its rights, in "
            "the node's own pid namespace, to look.",
            subject=listed,
            evidence=[_seen(held) for _, held in sorted(hidden.items())],
        )


# -- ports beside them ---------------------------------------------------------------------------------------------------


def _beside(ports: Ports, processes: Processes | Unobserved, folder: CniFolder | Unobserved) -> Iterator[Finding]:
    if ports.read_only:
        for held in ports.at(ports.read_only)[:1]:
            yield _read_only(held)
    if isinstance(processes, Processes) and processes.named("kube-proxy"):
        for held in ports.at(KUBE_PROXY):
            if held.socket["pid"] is not None and not held.is_called(*_PROXIES):
                yield warn(
                    "PortTaken",
                    f"TCP port {KUBE_PROXY}, where kube-proxy tells balancers that it is well, is held by {_who(held)} on {_where(held)}.",
                    subject=f"{KUBE_PROXY}/tcp",
                    evidence=[_seen(held)],
                    fix=_make_room(held),
                )
                break
    network = folder.chosen if isinstance(folder, CniFolder) else None
    for type_ in network.plugin_types if network else ():
        numbers, own = _NETWORKS.get(type_, ((), ()))
        for number in numbers:
            for held in ports.at(number, NETWORK[number]):
                if held.socket["pid"] is not None and not held.socket["kernel"] and not held.is_called(*own):
                    yield _network_port(type_, held)


def _read_only(held: Held) -> Finding:
    port = held.socket["port"]
    return warn(
        "ReadOnlyPortOpen",
        f"The kubelet answers on TCP port {port} of {_where(held)} whoever asks, without a login: pods, their environment and the node's state.",
        subject=f"{port}/tcp",
        evidence=[_seen(held)],
        fix=Fix(
            "Turn the port off, if no old monitoring reads it (a flag --read-only-port counts before the file)",
            (
                "sed -i 's/^readOnlyPort:.*/readOnlyPort: 0/' /var/lib/kubelet/config.yaml",
                "grep -rn read-only-port /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet",
                "systemctl restart kubelet",
            ),
            f"ss -Hlnt 'sport = :{port}'",
            Safety.MANUAL,
        ),
    )


def _network_port(type_: str, held: Held) -> Finding:
    number, protocol = held.socket["port"], held.socket["protocol"].upper()
    return warn(
        "NetworkPortTaken",
        f"{protocol} port {number}, by which {type_} reaches other nodes, is held by {_who(held)} on {_where(held)}.",
        subject=f"{number}/{held.socket['protocol']}",
        evidence=[_seen(held)],
        fix=_make_room(held),
    )


# -- words ---------------------------------------------------------------------------------------------------------------


def _who(held: Held) -> str:
    """`haproxy (pid 812)`, or what is known instead."""
    if held.socket["pid"] is None:
        return "a process that this user may not see" if not held.socket["kernel"] else "the kernel"
    unit = f", {held.unit}.service" if held.unit else ""
    return f"{held.program or 'a process'} (pid {held.socket['pid']}{unit})"


def _where(held: Held) -> str:
    address = held.socket["address"]
    return f"[{address}]:{held.socket['port']}" if ":" in address else f"{address}:{held.socket['port']}"


def _every(address: str) -> str:
    return "every address" if address in ("0.0.0.0", "::") else address  # noqa: S104 -- what is written there


def _seen(held: Held) -> Evidence:
    words = " ".join(held.socket["cmdline"])[:300]
    what = f"{_who(held)}, uid {held.socket['uid']}"
    return Evidence(f"{held.socket['protocol']} {_where(held)}", f"{what}: {words}" if words else what)


def _make_room(held: Held, need: Need | None = None) -> Fix:
    """End who is in the way, or move it: that is a person's decision."""
    port, pid = held.socket["port"], held.socket["pid"]
    look = f"ss -Hln{held.socket['protocol'][0]}p 'sport = :{port}'"
    start = f", then let {need.program} start" if need is not None else ""
    if pid is None:
        return Fix(f"See as root who holds port {port}", (look,), look, Safety.MANUAL)
    if held.unit:
        return Fix(
            f"Give {held.program} another port or an address of its own, or stop it{start}",
            (f"systemctl stop {held.unit}",),
            look,
            Safety.MANUAL,
            (f"systemctl disable {held.unit}",),
        )
    return Fix(
        f"Give {held.program or 'it'} another port or an address of its own, or end it{start}",
        (f"kill {pid}",),
        look,
        Safety.MANUAL,
    )
