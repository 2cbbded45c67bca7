"""This machine is a Node that is Ready.

## What it looks at
Whether the kubelet runs and says that it is well (`http://127.0.0.1:10248/healthz`); if not, its service and its last words, in the journal or
in a log file. Whether the container runtime answers, and what it says of itself and of its network. What the cluster holds of this Node:
its conditions and taints, whether it is cordoned, and when its lease was renewed.

## Why it matters
A node that is not Ready is given no pods, and after five minutes those that it has are started elsewhere. `NotReady` is one word for many
causes, and most of them are known on the node itself, also when there is no API server to ask.

## How it is decided
By the node's own view first, then by the cluster's. A kubelet that ends over and over is told from one that was stopped or never enabled. Its
last words, of the process that logged last, are compared with a table of known errors, each with its source; that an error is
known says what it means, and the check that judges its cause says the rest. What the cluster says is a symptom where the node itself shows the
cause. A machine that has not joined a cluster is asked for its container runtime alone, and only where one is installed.

## Reasons
- `Ready` (pass): the kubelet and the runtime are well, and the cluster takes the node for ready
- `RuntimeReady` (pass): the machine is no node yet, and its container runtime is ready
- `NotJoined` (skip): the machine is no node yet, and has no container runtime
- `KubeletStopped` (fail): the kubelet does not run: stopped, disabled, masked, or not installed
- `KubeletCrashes` (fail): the kubelet ends soon after each start; says why, as far as its log does
- `KubeletUnhealthy` (fail): the kubelet runs and does not say that it is well
- `RuntimeDown` (fail): the container runtime does not answer; says what systemd and its log say
- `CriNotServed` (fail): the runtime runs, and its interface for the kubelet is off
- `RuntimeNotReady` (fail): the runtime itself, or the kubelet, says that the runtime is not ready
- `NetworkNotReady` (fail): the runtime has no network for pods; `cni-config` says why
- `NotRegistered` (fail): the cluster has no Node of this name
- `StatusUnknown` (fail): the cluster has not heard from this kubelet for a while
- `NotReady` (fail): the kubelet says that the node is not ready, for another reason, which is quoted
- `LeaseStale` (fail): the cluster holds the node for ready, and its lease was not renewed for a while
- `DiskPressure`, `MemoryPressure`, `PidPressure` (fail): the kubelet runs short of it, and evicts pods
- `NetworkUnavailable` (fail): whoever makes the network's routes has not done so for this node
- `CloudProviderUninitialized` (fail): the node waits for a cloud controller manager
- `OutOfService` (fail): the node was declared dead, and its pods are removed
- `Cordoned` (warn): the node is given no new pods, since somebody cordoned it
- `TaintLeft` (warn): the node is Ready, and a taint that says the contrary is still there
- `NodeUnread` (unknown): the cluster's view of the node could not be asked for

## What it sends
A GET request to the kubelet's health port on this machine, and GET requests for this Node, the other Nodes and the node's lease to the API
server. Nothing with `--offline`.

## How to fix
Where another check names the cause, as for the network or swap, mend that. Else start the service, or mend what its last words say. A cordon
and a taint were often set by a person: ask before removing them.

`DiskPressure`: make room on the disks of the kubelet and of the images; `crictl rmi --prune` removes images that nothing uses.

`MemoryPressure`: find what takes the memory (`ps -eo pid,rss,comm --sort=-rss`), and give pods limits.

## How to verify
`kubectl get node NAME` says Ready, and `systemctl is-active kubelet` says active.

## References
- kubernetes `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go` (ReadyCondition)
- kubernetes `pkg/controller/nodelifecycle/node_lifecycle_controller.go` (NodeStatusUnknown, taints by condition)
- kubernetes.io "Nodes", "Taints and Tolerations", "Node-pressure Eviction"
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._node_ready_links import NOT_READY, UNREACHABLE, UNSCHEDULABLE, kept_off
from k8sdoctor.checks._node_ready_services import CANNOT_ASK, judge_kubelet, judge_runtime
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_health import KubeletHealth, KubeletService
from k8sdoctor.facts.node_lease import NodeLease
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_service import RuntimeService
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
from k8sdoctor.known_errors import first_known, recognise
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.cluster_nodes import Node, NodeCondition
    from k8sdoctor.facts.runtime import Condition

GRACE = 20.0
"""Seconds beyond its duration that a lease may be old: a kubelet that is slow for a moment is not lost."""

# Taints by which the node controller repeats a condition (kubernetes pkg/controller/nodelifecycle, nodeConditionToTaintKeyStatusMap).
_BY_READY = (NOT_READY, UNREACHABLE)
_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"

_TAINTS = {
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}

_GIVEN_NO_PODS = "a node that is not ready is given no pods"
_TAINTED = "a pod that does not tolerate a node's taint is not given to it"

# Whoever sets such a taint takes it off when its agent on the node is up.
_BY_AGENT = {"node.cilium.io/agent-not-ready": "Cilium's agent"}

# What a kubelet logs about its Node and its right to write it.
_REGISTERING = regex(r"(?i)regist(?:er|ration)|lease|forbidden|unauthorized|x509|not allowed to modify")

_RUNTIME_WORDS = (
    "container runtime is down",
    "PLEG is not healthy",
    "container runtime status check",
    "RuntimeReady=false",
)


@check("node-ready", title="This machine is a Node that is Ready", area="node", profiles=NOT_DNS)
def node_ready(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    stage: Stage,
    kubelet: Kubelet,
    processes: Processes | Unobserved,
    health: KubeletHealth,
    kubelet_service: KubeletService,
    runtime: Runtime,
    runtime_service: RuntimeService,
    name: NodeName,
    nodes: ClusterNodes | Unobserved,
    lease: NodeLease,
) -> Iterator[Finding]:
    """Judge the services of the node, then what the cluster holds of it."""
    if stage.stage == "unknown":
        yield unknown("NotPermitted", f"Whether this machine is a node could not be told: {stage.why}.")
        return
    own = list(judge_runtime(stage, runtime, runtime_service.service))
    if not stage.joined:
        yield from own or [_not_joined(stage, runtime)]
        return
    own += judge_kubelet(kubelet, processes, health, kubelet_service.service)
    yield from own
    if isinstance(nodes, Unobserved):
        yield from _network(runtime, None, name.name)
        yield _unread(nodes, name)
        return
    node = nodes.own
    source = f"Node {nodes.own_name}, by {nodes.source}"
    findings = list(_of_cluster(node, nodes, name, lease, runtime, kubelet_service, source))
    yield from findings
    if not any(finding.status in (Status.FAIL, Status.UNKNOWN) for finding in (*own, *findings)) and node is not None:
        yield passed(
            "Ready",
            f'Node "{node.name}" is Ready, and so say its kubelet and {runtime.label}.',
            subject=node.name,
            evidence=[_condition(source, ready) for ready in filter(None, [node.condition("Ready")])]
            + ([Evidence(health.url, health.said)] if health.url and health.alive else []),
        )


def _not_joined(stage: Stage, runtime: Runtime) -> Finding:
    if runtime.reachable:
        return passed("RuntimeReady", f"{runtime.label} is ready for a kubelet.", subject=runtime.endpoint)
    return skip("NotJoined", f"This machine is no node yet: {stage.why}.")


def _unread(nodes: Unobserved, name: NodeName) -> Finding:
    message = f'Whether the cluster takes Node "{name.name}" for ready could not be asked: {nodes.message}.'
    if nodes.reason == "Offline":
        return skip("Offline", message, subject=name.name)
    reason = nodes.reason if nodes.reason in CANNOT_ASK else "NodeUnread"
    # Those of the reasons that a silent API server gives.
    silent = "did not answer" in nodes.message
    return unknown(
        reason, message, subject=name.name, traits=nodes.traits | ({"api-server:silent"} if silent else set())
    )


# -- the network, which both sides tell ----------------------------------------------------------------------------------


def _network(runtime: Runtime, said: tuple[str, NodeCondition] | None, name: str) -> Iterator[Finding]:
    """The runtime's own word for it, and the cluster's (with its source)."""
    here = runtime.condition("NetworkReady") if runtime.reachable else None
    if said is None and (here is None or here.status):
        return
    words = here.message if here is not None and not here.status else said[1].message if said else ""
    match = recognise(words)
    means = f" ({match.error.means})" if match and not match.error.wraps else ""
    yield fail(
        "NetworkNotReady",
        f"{runtime.label} has no network for pods, so the node is not ready: {words or 'no reason given'}{means}.",
        subject=name,
        evidence=[
            *([_told(runtime, here)] if here is not None else []),
            *([_condition(*said)] if said else []),
        ],
        fix=Fix(
            "Find out why the pod network is not there: `k8sdoctor check cni-config`, and the network's own pod on this node",
            (
                "ls -l /etc/cni/net.d",
                f"kubectl get pods --all-namespaces -o wide --field-selector spec.nodeName={quote(name)}",
            ),
            f"kubectl get node {quote(name)}",
            Safety.MANUAL,
        ),
        explains=[
            Link("dns-reply-source", "NoPodNamespace", "without a network no pod starts to ask DNS from"),
            *kept_off(NOT_READY, _GIVEN_NO_PODS),
        ],
    )


def _told(runtime: Runtime, condition: Condition) -> Evidence:
    words = f" ({condition.reason}: {condition.message})" if condition.message else ""
    return Evidence(f"status of {runtime.label}", f"{condition.type}: {str(condition.status).lower()}{words}")


def _condition(source: str, condition: NodeCondition) -> Evidence:
    return Evidence(source, f"{condition.type}={condition.status} {condition.reason}: {condition.message}".rstrip(": "))


# -- what the cluster says -----------------------------------------------------------------------------------------------


def _of_cluster(  # noqa: PLR0913, PLR0917 -- the two sides of one judgement
    node: Node | None,
    nodes: ClusterNodes,
    name: NodeName,
    lease: NodeLease,
    runtime: Runtime,
    service: KubeletService,
    source: str,
) -> Iterator[Finding]:
    if node is None:
        yield from _network(runtime, None, nodes.own_name)
        yield from _absent(nodes, name, service, source)
        return
    ready = node.condition("Ready")
    of_network = (
        ready is not None and ready.status == "False" and "network" in ready.message and "not ready" in ready.message
    )
    yield from _network(runtime, (source, ready) if ready is not None and of_network else None, node.name)
    if ready is None or ready.status == "Unknown":
        yield _status_unknown(node, ready, lease, source)
    elif ready.status == "False" and not of_network:
        yield _not_ready(node, ready, runtime, source)
    elif ready.status == "True":
        yield from _lease(node, lease, source)
        yield from _taints_left(node, source)
    yield from _pressures(node, source)
    yield from _kept_away(node, source)


def _absent(nodes: ClusterNodes, name: NodeName, service: KubeletService, source: str) -> Iterator[Finding]:
    why = nodes.own_problem or Unobserved("NotFound", "it was not given")
    if why.reason != "NotFound":
        yield _unread(why, name)
        return
    log = [line for line in (service.service.last_life if service.service else ()) if _REGISTERING.search(line)]
    cause = first_known(reversed(log))
    tail = (
        f"; the kubelet's log says `{cause.words[:200]}`: {cause.error.means}"
        if cause and not cause.error.wraps
        else ""
    )
    others = ", ".join(node.name for node in nodes.all[:5])
    yield fail(
        "NotRegistered",
        f'The cluster has no Node "{nodes.own_name}" ({name.source}), so it gives this machine no pods{tail}.',
        subject=nodes.own_name,
        evidence=[
            Evidence(source, why.message),
            *([Evidence("Nodes of the cluster", others)] if others else []),
            *([Evidence(service.service.log_source, "\n".join(log[-5:]))] if service.service and log else []),
        ],
        fix=Fix(
            "See why the kubelet does not register; a Node that was deleted comes back when the kubelet is restarted",
            (
                "journalctl -u kubelet -n 50 --no-pager | grep -i -e register -e forbidden -e unauthorized",
                "systemctl restart kubelet",
            ),
            f"kubectl get node {quote(nodes.own_name)}",
            Safety.DISRUPTIVE,
        ),
    )


def _status_unknown(node: Node, ready: NodeCondition | None, lease: NodeLease, source: str) -> Finding:
    words = ready.message if ready else "it has reported no condition Ready yet"
    age = f"; its lease was renewed {_ago(lease.age)} ago" if lease.age is not None else ""
    return fail(
        "StatusUnknown",
        f'The cluster has not heard from the kubelet of Node "{node.name}": {words.rstrip(".")}{age}.',
        subject=node.name,
        evidence=[_condition(source, ready)] if ready else [Evidence(source, words)],
        fix=Fix(
            "See whether the kubelet runs and reaches the API server",
            ("systemctl status --no-pager kubelet", "journalctl -u kubelet -n 50 --no-pager"),
            f"kubectl get node {quote(node.name)}",
            Safety.MANUAL,
        ),
        explains=kept_off(UNREACHABLE, "a node that is not heard of is given no pods"),
    )


def _not_ready(node: Node, ready: NodeCondition, runtime: Runtime, source: str) -> Finding:
    match = recognise(ready.message)
    means = f" ({match.error.means})" if match and not match.error.wraps else ""
    of_runtime = any(words in ready.message for words in _RUNTIME_WORDS)
    unit = runtime.unit if of_runtime else "kubelet"
    return fail(
        "RuntimeNotReady" if of_runtime else "NotReady",
        f'Node "{node.name}" is not ready: {ready.message or ready.reason}{means}.',
        subject=node.name,
        evidence=[_condition(source, ready)],
        fix=Fix(
            f"See what {unit} says",
            (f"systemctl status --no-pager {unit}", f"journalctl -u {unit} -n 50 --no-pager"),
            f"kubectl get node {quote(node.name)}",
            Safety.MANUAL,
        ),
        explains=kept_off(NOT_READY, _GIVEN_NO_PODS),
    )


def _lease(node: Node, lease: NodeLease, source: str) -> Iterator[Finding]:
    if lease.age is None or lease.age <= lease.duration + GRACE:
        return
    yield fail(
        "LeaseStale",
        f'The cluster holds Node "{node.name}" for ready, and its kubelet has not renewed its lease for {_ago(lease.age)} (it lasts for '
        f"{lease.duration:g} s): the kubelet does not reach the API server, and nobody has noticed yet.",
        subject=node.name,
        evidence=[Evidence(f"lease of {source}", f"renewed {lease.age:.0f} s ago")],
        fix=Fix(
            "See whether the kubelet runs and reaches the API server, and whether the controller manager runs",
            (
                "journalctl -u kubelet -n 50 --no-pager | grep -i lease",
                "kubectl -n kube-system get pods -o wide -l component=kube-controller-manager",
            ),
            f"kubectl -n kube-node-lease get lease {quote(node.name)} -o jsonpath='{{.spec.renewTime}}'",
            Safety.MANUAL,
        ),
    )


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


# -- pressure, cordons and taints ----------------------------------------------------------------------------------------

_PRESSURES = {
    "DiskPressure": (
        "DiskPressure",
        "disk space or inodes",
        "Make room on the disks of the kubelet and of the images",
        ("df -h / /var/lib/kubelet /var/lib/containerd /var/log", "df -i / /var/lib/kubelet", "crictl rmi --prune"),
    ),
    "MemoryPressure": (
        "MemoryPressure",
        "memory",
        "Find what takes the memory, and give pods limits",
        ("free -m", "ps -eo pid,rss,comm --sort=-rss | head -n 15"),
    ),
    "PIDPressure": (
        "PidPressure",
        "process ids",
        "Find what makes so many processes",
        ("cat /proc/sys/kernel/pid_max", "ps -eo ppid= | sort | uniq -c | sort -rn | head"),
    ),
}


def _pressures(node: Node, source: str) -> Iterator[Finding]:
    for type_, (reason, what, title, commands) in _PRESSURES.items():
        found = node.condition(type_)
        if found is not None and found.status == "True":
            yield fail(
                reason,
                f'Node "{node.name}" runs short of {what}: {found.message or found.reason}; the kubelet evicts pods and takes no new ones.',
                subject=node.name,
                evidence=[_condition(source, found)],
                fix=Fix(title, commands, f"kubectl describe node {quote(node.name)} | grep Pressure", Safety.MANUAL),
                explains=kept_off(_TAINTS[type_], f"a node that runs short of {what} is given no pods"),
            )
    found = node.condition("NetworkUnavailable")
    tainted = node.taint(_NETWORK_UNAVAILABLE)
    if (found is not None and found.status == "True") or tainted:
        evidence = [_condition(source, found)] if found else []
        yield fail(
            "NetworkUnavailable",
            f'The routes of Node "{node.name}" are not made: {found.message if found else f"it has the taint {_NETWORK_UNAVAILABLE}"}.',
            subject=node.name,
            evidence=[*evidence, *([Evidence(source, f"taint {tainted.text}")] if tainted else [])],
            fix=Fix(
                "See why the cloud's route controller, or the network's pod on this node, has not made them",
                (
                    f"kubectl get pods --all-namespaces -o wide --field-selector spec.nodeName={quote(node.name)}",
                    "kubectl -n kube-system get pods -o wide | grep -i -e cloud -e calico -e flannel -e cilium",
                ),
                f"kubectl describe node {quote(node.name)} | grep NetworkUnavailable",
                Safety.MANUAL,
            ),
            explains=kept_off(_NETWORK_UNAVAILABLE, "a node without routes is given no pods"),
        )


def _kept_away(node: Node, source: str) -> Iterator[Finding]:
    """What keeps pods away although kubelet and runtime are well."""
    if taint := node.taint(_UNINITIALIZED):
        yield fail(
            "CloudProviderUninitialized",
            f'Node "{node.name}" waits for a cloud controller manager: its kubelet was started with --cloud-provider=external, and '
            f"nobody has taken its taint {taint.text} off, so it is given no ordinary pods, CoreDNS among them.",
            subject=node.name,
            evidence=[Evidence(source, f"taint {taint.text}")],
            fix=Fix(
                "Install the cloud's controller manager or see why it fails; without a cloud, start the kubelet without --cloud-provider",
                (
                    "kubectl -n kube-system get pods -o wide | grep -i cloud",
                    "grep -rn cloud-provider /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet",
                ),
                f"kubectl get node {quote(node.name)} -o jsonpath='{{.spec.taints}}'",
                Safety.MANUAL,
            ),
            explains=kept_off(taint.key, _TAINTED),
        )
    if taint := node.taint(_OUT_OF_SERVICE):
        yield fail(
            "OutOfService",
            f'Node "{node.name}" was declared dead ({taint.text}): its pods are removed, and it is given no others.',
            subject=node.name,
            evidence=[Evidence(source, f"taint {taint.text}")],
            fix=_untaint(node, taint.key, "Take the taint off, if the node is meant to live"),
            explains=kept_off(taint.key, _TAINTED),
        )
    if node.unschedulable:
        yield warn(
            "Cordoned",
            f'Node "{node.name}" is cordoned: it is given no new pods (SchedulingDisabled).',
            subject=node.name,
            evidence=[Evidence(source, "spec.unschedulable: true")],
            fix=Fix(
                "Let it take pods again, if whoever drained it has finished (with an administrator's kubeconfig)",
                (f"kubectl uncordon {quote(node.name)}",),
                f"kubectl get node {quote(node.name)}",
                Safety.MANUAL,
            ),
            explains=[
                Link(
                    "coredns",
                    "NotScheduled",
                    "a node that is cordoned is given no pods",
                    when=frozenset({f"taint:{UNSCHEDULABLE}"}),
                )
            ],
        )


def _taints_left(node: Node, source: str) -> Iterator[Finding]:
    for key in (*_BY_READY, *_BY_AGENT):
        taint = node.taint(key)
        if taint is None:
            continue
        who = _BY_AGENT.get(key)
        why = (
            f"{who} takes it off when it is up on this node"
            if who
            else "the controller manager, which takes it off, does not run or cannot write"
        )
        yield warn(
            "TaintLeft",
            f'Node "{node.name}" is Ready and still has the taint {taint.text}, so it is given no ordinary pods: {why}.',
            subject=node.name,
            evidence=[Evidence(source, f"taint {taint.text}")],
            fix=Fix(
                f"See why {who or 'the controller manager'} has not taken the taint off",
                ("kubectl -n kube-system get pods -o wide",),
                f"kubectl get node {quote(node.name)} -o jsonpath='{{.spec.taints}}'",
                Safety.MANUAL,
            ),
            explains=kept_off(key, _TAINTED),
        )


def _untaint(node: Node, key: str, title: str) -> Fix:
    return Fix(
        title,
        (f"kubectl taint nodes {quote(node.name)} {key}-",),
        f"kubectl get node {quote(node.name)} -o jsonpath='{{.spec.taints}}'",
        Safety.MANUAL,
    )
