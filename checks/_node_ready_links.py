"""What causes that other checks find do to a node's being ready. Each cause names its own links; these words are shared."""

from __future__ import annotations

from k8sdoctor.finding import Link

UNKNOWN = "points-to:unknown"
"""The trait of a kubelet that does not run, and of which nobody says why."""


UNTOLD = "cause:untold"
"""The trait of a component whose container does not run, and does not say why."""


SOME_TAINT = "taint:untold"
"""The trait of a pod that every node's taints keep off, where the scheduler does not say which."""

CREATING = "creating:here"
"""The trait of a pod of this node that waits for its sandbox."""

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
"""Taints by which the node controller repeats that a node is not ready, or not heard of (kubernetes pkg/controller/nodelifecycle)."""


def kept_off(taint: str, why: str) -> list[Link]:
    """CoreDNS, which tolerates no such taint, is placed on no node, where the scheduler names that one or none."""
    return [Link("coredns", "NotScheduled", why, when=frozenset({each})) for each in (f"taint:{taint}", SOME_TAINT)]


def no_pod_starts(why: str) -> list[Link]:
    """Nobody starts a container on this node, and nobody starts one again that ended. One that says itself why it ended has another cause."""
    return [
        Link("control-plane", "ComponentDown", why, when=frozenset({UNTOLD})),
        Link("kube-proxy", "NotRunning", why),
        Link("coredns", "NotReady", why, when=frozenset({CREATING})),
    ]


def kubelet_ends(why: str, check: str) -> list[Link]:
    """The kubelet does not stay up: where its last words point to that check, or where they are not known."""
    return [
        Link("node-ready", "KubeletCrashes", why, when=frozenset({f"points-to:{check}"})),
        Link("node-ready", "KubeletCrashes", why, when=frozenset({UNKNOWN})),
        Link("node-ready", "KubeletStopped", why, when=frozenset({UNKNOWN})),
    ]


def runtime_ends(why: str) -> list[Link]:
    """The container runtime does not start, or not with its interface for the kubelet."""
    return [Link("node-ready", reason, why) for reason in ("RuntimeDown", "CriNotServed")]


def kubelet_unheard(why: str, *, ends: bool = True) -> list[Link]:
    """The kubelet may run, and the API server does not take its word. `ends` is false where a kubelet bears it: then its own last words must say so."""
    return [
        *(Link("node-ready", reason, why) for reason in ("NotRegistered", "StatusUnknown", "LeaseStale")),
        *(each for each in kubelet_ends(why, "kubeconfig") if ends or UNKNOWN not in each.when),
    ]
