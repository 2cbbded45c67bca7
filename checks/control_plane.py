"""The components of this control plane run, and its nodes are marked as what they are.

## What it looks at
Each static pod's container in the runtime, with its exit code and the end of its log; what API server, controller manager and scheduler say of their health;
the labels and taints of the control planes' Nodes; the API servers' flags, where they must agree; which etcd this node's API server uses; and whether this machine
has the address that etcd and API server were told as its own.

## Why it matters
When a component of the control plane is gone, the API often is, too, and then only the node itself can tell which one it is, and why. A member that was joined
halfway works until it is needed, or upgraded.

## How it is decided
A component is down where it does not answer and the runtime runs no container of it. Where the machine's address was changed, by DHCP say, etcd cannot listen and ends,
and the API server after it, so that is the cause; an API server alone may tell others an address that is translated on the way, and then answers. Labels are judged in clusters that kubeadm made, for kubeadm
finds control planes by them. A taint is missed only where another control plane has it: a cluster without any is meant so, as are all of one
node. Flags are compared where API servers with different ones surely disagree.

## Reasons
- `Running` (pass): every component that was asked is well
- `NoControlPlane` (skip): this machine runs no static pods of a control plane
- `ComponentDown` (fail): a component does not answer, and its container has ended or was never made; the last lines of its log are shown
- `ComponentSilent` (fail): a container runs, and does not answer
- `AddressGone` (fail): no interface of this machine has the address that etcd shall listen at, or at which the API server is not reached
- `ComponentUnhealthy` (fail): a component answers that it is not well
- `MembersDiffer` (fail): API servers have different service ranges or issuers of tokens
- `ComponentRestarts` (warn): a container runs, and was started again several times, last a few minutes ago
- `LabelMissing` (warn): a control plane lacks the label by which kubeadm, and pods meant for control planes, find it
- `TaintMissing` (warn): a control plane lacks the taint that others have, so that any pod may be put there
- `NotPermitted`, `Unreadable` (unknown): the manifests could not be read
- `RemoteEtcdOnly` (warn): the API server uses other nodes' etcd alone, although there is one for it here

## What it sends
`GET /livez` or `/healthz` to API server, controller manager and scheduler of this node, without credentials; GET requests for a few objects where a kubeconfig works.

## How to fix
Read why the container ended, mend that, and the kubelet starts it again by itself. Marks are set by kubectl, or by
`kubeadm init phase mark-control-plane`.

## How to verify
`crictl ps` shows the components running; `kubectl get nodes` shows the role of each.

## References
- kubeadm `cmd/kubeadm/app/phases/markcontrolplane`, `cmd/kubeadm/app/util/staticpod`
- kubernetes `pkg/cluster/ports`, `pkg/kubelet/config/common.go`
- kubernetes.io "Creating Highly Available Clusters with kubeadm", "Options for Highly Available Topology"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Fix, Link, Safety, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks._node_ready_links import UNTOLD
from k8sdoctor.checks._own_address import lost
from k8sdoctor.checks._words import enumerated, sentence
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.cluster_nodes import CONTROL_PLANE, OLD_CONTROL_PLANE, ClusterNodes, Node
from k8sdoctor.facts.component_health import PROGRAMS, ComponentHealth, Health
from k8sdoctor.facts.control_plane_pods import ControlPlanePod, ControlPlanePods
from k8sdoctor.facts.etcd import host_of, is_loopback
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_containers import StaticContainer, StaticContainers
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.known_errors import recognise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.known_errors import Match

OFTEN = 3
"""Times that a container was started again; an API server is, once or twice, while its etcd comes up on a new node."""

LATELY = 600.0
"""Seconds: a container that ran for ten minutes has the kubelet start its waiting from the beginning (kubernetes pkg/kubelet, MaxContainerBackOff)."""

SHOWN = 8
"""Last lines of a log in the evidence."""

SERVICE_RANGE, ISSUER = "--service-cluster-ip-range", "--service-account-issuer"

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"


@check(
    "control-plane",
    title="The control plane of this node runs, and is marked as one",
    area="control plane",
    profiles=NOT_DNS,
)
def control_plane(  # noqa: PLR0913, PLR0917 -- as many facts as parts of a control plane
    stage: Stage,
    pods: StaticPods | Unobserved,
    containers: StaticContainers | Unobserved,
    health: ComponentHealth | Unobserved,
    nodes: ClusterNodes | Unobserved,
    members: ControlPlanePods | Unobserved,
    server: ApiServer,
    own_etcd: EtcdServer,
    told: ClusterKubeadmConfig | Unobserved,
    network: NodeNetwork | Unobserved,
) -> Iterator[Finding]:
    """Judge what runs here, then how the members are marked, then whether they agree."""
    listed = pods.containers() if isinstance(pods, StaticPods) else ()
    programs = {container.program for _, container in listed}
    if stage.stage != "control-plane" or not programs & {*PROGRAMS, "etcd"}:
        blind = _blind(pods) if stage.stage == "control-plane" else None
        if blind is not None:
            yield unknown(blind.reason, f"Which static pods are here could not be read: {blind.message}.")
            return
        yield skip("NoControlPlane", "This machine runs no static pods of a control plane.")
        return
    found = [*lost(server, own_etcd, network, health), *_components(pods, containers, health)]
    if isinstance(told, ClusterKubeadmConfig) and isinstance(nodes, ClusterNodes):
        found += _marks(nodes, members)
    if isinstance(members, ControlPlanePods):
        found += _differing(members.of("kube-apiserver"))
    found += _remote_etcd(server, own_etcd, told)
    yield from found
    well = [each.component for each in health.all if each.well] if isinstance(health, ComponentHealth) else []
    if well and not any(finding.status in ("fail", "unknown") for finding in found):
        yield _running(well, health)
    elif not well and not found:
        yield from _unseen(health, containers)


def _blind(pods: StaticPods | Unobserved) -> Unobserved | None:
    """What keeps us from seeing which programs are static pods here."""
    if isinstance(pods, Unobserved):
        return pods
    unread = (
        Unobserved(each.reason, each.problem.rstrip(".")) for each in pods.manifests if each.fault == "unreadable"
    )
    return pods.problem or next(unread, None)


# -- what runs here -----------------------------------------------------------------------------------------------------


def _components(
    pods: StaticPods | Unobserved,
    containers: StaticContainers | Unobserved,
    health: ComponentHealth | Unobserved,
) -> Iterator[Finding]:
    now = containers.now if isinstance(containers, StaticContainers) else 0.0
    for manifest, container in pods.containers() if isinstance(pods, StaticPods) else ():
        if container.init:
            continue
        seen = containers.named(container.name) if isinstance(containers, StaticContainers) else None
        asked = health.of(container.program) if isinstance(health, ComponentHealth) else None
        if asked is not None and asked.well:
            if seen is not None:
                yield from _restarting(seen, now)
        elif seen is not None and seen.state in ("exited", "created"):
            yield _down(container.name, manifest.path, seen, asked)
        elif asked is not None and asked.failure is None:
            yield _unhealthy(asked, manifest.path)
        elif seen is not None and seen.state == "running":
            yield from [_silent(asked, manifest.path)] if asked else _restarting(seen, now)
        elif asked is not None or (isinstance(containers, StaticContainers) and containers.all and seen is None):
            # Without its own word, an absent container counts only where the runtime surely is the one that has the others.
            told = isinstance(containers, StaticContainers)
            yield _down(container.name, manifest.path, None, asked, told=told)


def _down(
    name: str, manifest: str, seen: StaticContainer | None, asked: Health | None, *, told: bool = True
) -> Finding:
    """`told` is false where the runtime could not be asked for its containers."""
    said = f" at {asked.url}: {asked.failure['message']}" if asked and asked.failure else ""
    silence = f"{name} does not answer{said}" if said else f"{name} does not run"
    known = _known((seen.message, *seen.log)) if seen else None
    if seen is None and not told:
        why = "the runtime could not be asked for its container"
    elif seen is None:
        why = f"the runtime shows no container of {manifest}"
    elif seen.state == "created":
        why = "its container was made and never started"
    elif seen.reason == "StartError":  # containerd internal/cri/server/container_start.go
        why = "the runtime could not start its container"
    else:
        words = f" ({seen.reason})" if seen.reason and seen.reason != "Error" else ""
        times = f", after it was started again {seen.attempt} times" if seen.attempt else ""
        why = f"its container ended with exit code {seen.exit_code}{words}{times}"
    means = f"; that is, {known.error.means}" if known else ""
    evidence = [Evidence(asked.url, asked.failure["message"])] if asked and asked.failure else []
    evidence += [Evidence(f"log of the container {name}", line) for line in (seen.log[-SHOWN:] if seen else ())]
    evidence += [Evidence(f"container {name}", seen.message)] if seen and seen.message else []
    evidence += [Evidence(known.error.source, known.words)] if known else []
    return fail(
        "ComponentDown",
        f"{silence}, and {why}{means}.",
        subject=name,
        evidence=evidence or [Evidence(manifest, "the manifest is there")],
        fix=Fix(
            title=f"See why {name} does not run; the kubelet starts it again by itself when that is mended",
            commands=(
                f"crictl ps -a --name {name}",
                f'crictl logs --tail 30 "$(crictl ps -aq --name {name} | head -n 1)"',
                "journalctl -u kubelet -n 50 --no-pager",
            ),
            verify=f"crictl ps --name {name}" + (f"; curl -ks {asked.url}" if asked else ""),
            safety=Safety.MANUAL,
        ),
        explains=_explained(name),
        traits=[f"component:{name}", *([UNTOLD] if known is None else [])],
    )


def _known(log: Sequence[str]) -> Match | None:
    """The last line that is known for what it means."""
    return next((match for line in reversed(log) if (match := recognise(line)) and not match.error.wraps), None)


def _explained(name: str) -> list[Link]:
    if name == "etcd":
        why = "the container of this node's etcd was seen not to run"
        return [Link("etcd", reason, why) for reason in ("Unreachable", "NoLeader", "MemberDown")]
    if name == "kube-apiserver":
        why, own = "the container of this node's API server was seen not to run", frozenset({"endpoint:own"})
        found = ("apiserver-san", "EndpointUnreachable"), ("apiserver-endpoints", "MemberDown")
        unread = Link("apiserver-endpoints", "Unreadable", why)
        return [unread, *(Link(check_id, reason, why, when=own) for check_id, reason in found)]
    return []


def _unhealthy(asked: Health, manifest: str) -> Finding:
    return fail(
        "ComponentUnhealthy",
        f"{asked.component} answers that it is not well ({asked.status} at {asked.url}): {asked.said}.",
        subject=asked.component,
        evidence=[Evidence(asked.url, f"{asked.status} {asked.said}"), Evidence(manifest, asked.component)],
        fix=_look(asked, f"See what keeps {asked.component} from being well"),
        traits=[f"component:{asked.component}"],
    )


def _silent(asked: Health, manifest: str) -> Finding:
    said = asked.failure["message"] if asked.failure else ""
    return fail(
        "ComponentSilent",
        f"{asked.component} runs, and does not answer at {asked.url}: {said}.",
        subject=asked.component,
        evidence=[Evidence(asked.url, said), Evidence(manifest, asked.component)],
        fix=_look(asked, f"See what {asked.component} waits for; it may just have been started"),
        explains=_explained(asked.component),
        traits=[f"component:{asked.component}"],
    )


def _look(asked: Health, title: str) -> Fix:
    return Fix(
        title=title,
        commands=(
            f"curl -ks '{asked.url}?verbose'",
            f'crictl logs --tail 30 "$(crictl ps -aq --name {asked.component} | head -n 1)"',
        ),
        verify=f"curl -ks --max-time 5 {asked.url}",
        safety=Safety.MANUAL,
    )


def _restarting(seen: StaticContainer, now: float) -> Iterator[Finding]:
    age = now - seen.created
    if seen.state != "running" or seen.attempt < OFTEN or not 0 <= age < LATELY:
        return
    yield warn(
        "ComponentRestarts",
        f"{seen.name} runs since {age / 60:.0f} min, after it was started again {seen.attempt} times.",
        subject=seen.name,
        evidence=[Evidence(f"container {seen.name}", f"attempt {seen.attempt}, running for {age:.0f} s")],
        fix=Fix(
            title=f"See why the {seen.name} before this one ended",
            commands=(
                f"crictl ps -a --name {seen.name}",
                f'crictl logs --tail 30 "$(crictl ps -aq --state exited --name {seen.name} | head -n 1)"',
            ),
            verify=f"crictl ps --name {seen.name}",
            safety=Safety.MANUAL,
        ),
    )


def _running(well: Sequence[str], health: ComponentHealth | Unobserved) -> Finding:
    answers = health.all if isinstance(health, ComponentHealth) else ()
    return passed(
        "Running",
        f"{enumerated(list(dict.fromkeys(well)))} {'is' if len(set(well)) == 1 else 'are'} well.",
        subject=well[0],
        evidence=[Evidence(each.url, f"{each.status} {each.said}".strip()) for each in answers],
    )


def _unseen(health: ComponentHealth | Unobserved, containers: StaticContainers | Unobserved) -> Iterator[Finding]:
    """Neither the components nor their containers could be looked at, or only the latter, and they run."""
    if isinstance(containers, StaticContainers) and containers.all:
        names = [each.name for each in containers.all]
        yield passed(
            "Running",
            f"The containers of {enumerated(names)} run.",
            subject=names[0],
            evidence=[Evidence(f"container {each.name}", each.state) for each in containers.all],
        )
        return
    for part in (health, containers):
        if isinstance(part, Unobserved):
            yield (skip if part.reason == "Offline" else unknown)(part.reason, sentence(part.message))
            return
    yield unknown("Unreadable", "Neither the components of the control plane nor their containers could be looked at.")


# -- how the members are marked -----------------------------------------------------------------------------------------


def _marks(nodes: ClusterNodes, members: ControlPlanePods | Unobserved) -> Iterator[Finding]:
    names = {nodes.own_name, *(node.name for node in nodes.control_planes)}
    names |= {pod.node for pod in members.of("kube-apiserver")} if isinstance(members, ControlPlanePods) else set()
    every = [node for node in nodes.all if node.name in names]
    for node in every:
        if not node.has_control_plane_label:
            yield warn(
                "LabelMissing",
                f"Node {node.name} runs a control plane and lacks the label {CONTROL_PLANE}, by which kubeadm finds it to upgrade it.",
                subject=node.name,
                evidence=[Evidence(f"Node {node.name}", f"labels {', '.join(sorted(node.labels)) or 'none'}")],
                fix=Fix(
                    title="Label the node as a control plane",
                    commands=(f"{KUBECTL} label node {node.name} {CONTROL_PLANE}=",),
                    verify=f"{KUBECTL} get nodes -l {CONTROL_PLANE}",
                    safety=Safety.SAFE,
                ),
            )
    tainted = [node for node in every if _is_tainted(node)]
    for node in every if tainted else ():
        if node not in tainted:
            yield warn(
                "TaintMissing",
                f"Node {node.name} runs a control plane without the taint {CONTROL_PLANE}:NoSchedule, which {enumerated([each.name for each in tainted])} "
                f"{'has' if len(tainted) == 1 else 'have'}, so any pod may be put there.",
                subject=node.name,
                evidence=[
                    Evidence(f"Node {each.name}", ", ".join(taint.text for taint in each.taints) or "no taint")
                    for each in every
                ],
                fix=Fix(
                    title="Taint the node like the other control planes, unless it is meant to run other pods, too",
                    commands=(f"{KUBECTL} taint node {node.name} {CONTROL_PLANE}=:NoSchedule",),
                    verify=f"{KUBECTL} get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints[*].key",
                    safety=Safety.MANUAL,
                ),
            )


def _is_tainted(node: Node) -> bool:
    return any(taint.key in (CONTROL_PLANE, OLD_CONTROL_PLANE) for taint in node.taints)


# -- whether the members agree ------------------------------------------------------------------------------------------


def _differing(servers: Sequence[ControlPlanePod]) -> Iterator[Finding]:
    ranges = {server.node: server.flag(SERVICE_RANGE) or "" for server in servers}
    if len(set(filter(None, ranges.values()))) > 1:
        yield _differ(
            SERVICE_RANGE, ranges, "they give services addresses of different ranges, and take each other's back"
        )
    issuers = {server.node: _values(server.words, ISSUER) for server in servers}
    known = [each for each in issuers.values() if each]
    # The first issuer signs, all of them are accepted (kube-apiserver --service-account-issuer).
    if any(signer[0] not in accepting for signer in known for accepting in known):
        yield _differ(
            ISSUER,
            {node: ", ".join(each) for node, each in issuers.items()},
            "a token of the one is refused by the other",
        )


def _values(words: Sequence[str], name: str) -> list[str]:
    return [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _differ(name: str, values: dict[str, str], harm: str) -> Finding:
    told = [f"{value or 'nothing'} on {node}" for node, value in values.items()]
    return fail(
        "MembersDiffer",
        f"The API servers have different {name}: {enumerated(told)}; {harm}.",
        subject=name,
        evidence=[
            Evidence(f"pod kube-system/kube-apiserver-{node}", f"{name}={value}") for node, value in values.items()
        ],
        fix=Fix(
            title=f"Give every API server the same {name}, as kubeadm-config has it",
            commands=(
                f"grep -n -e {name} /etc/kubernetes/manifests/kube-apiserver.yaml",
                f"{KUBECTL} -n kube-system get configmap kubeadm-config -o yaml",
            ),
            verify=f"{KUBECTL} -n kube-system get pods -l component=kube-apiserver -o yaml | grep -e {name}",
            safety=Safety.MANUAL,
        ),
    )


def _remote_etcd(server: ApiServer, own: EtcdServer, told: ClusterKubeadmConfig | Unobserved) -> Iterator[Finding]:
    urls = [each.strip() for each in (server.flag("--etcd-servers") or "").split(",") if "://" in each]
    config = told.config if isinstance(told, ClusterKubeadmConfig) else None
    stacked = config is not None and not config.problem and not config.addons.external_etcd
    here = {
        server.address,
        *(host_of(url) for name in ("--listen-client-urls", "--advertise-client-urls") for url in own.urls(name)),
    }
    if not urls or not (own.words or stacked) or any(is_loopback(url) or host_of(url) in here for url in urls):
        return
    kept = "/etc/kubernetes/kube-apiserver.remote-etcd"
    has = f"{own.source} runs one here" if own.words else "kubeadm's configuration has one on each control plane"
    yield warn(
        "RemoteEtcdOnly",
        f"The API server of this node uses etcd at {enumerated(urls)} alone, although {has}: it stops with that other node.",
        subject=server.source,
        evidence=[
            Evidence(server.source or "", f"--etcd-servers={','.join(urls)}"),
            Evidence(own.source or "ConfigMap kube-system/kubeadm-config", has),
        ],
        fix=Fix(
            title="Have the API server use this node's etcd, which must be a member by then; the old manifest is kept",
            commands=(
                "crictl ps --name etcd",
                f"cp -a {server.source} {kept}",  # not beside it, where the kubelet would run it, too
                f"sed 's#--etcd-servers=.*#--etcd-servers=https://127.0.0.1:2379#' {kept} > {server.source}",
            ),
            verify=f"grep -n etcd-servers {server.source}",
            safety=Safety.MANUAL,
        ),
    )


# -- words --------------------------------------------------------------------------------------------------------------
