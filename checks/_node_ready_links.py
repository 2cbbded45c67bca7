"""What causes that other checks find do to a node's being ready. Each cause names its own links; these words are shared."""

from __future__ import annotations

from k8sdoctor.finding import Link


def kubelet_ends(why: str, check: str) -> Link:
    """The kubelet does not stay up, as far as its last words point to that check: `kubelet_ends("swap is on", "swap")`."""
    return Link("node-ready", "KubeletCrashes", why, when=frozenset({f"points-to:{check}"}))


def kubelet_unheard(why: str) -> list[Link]:
    """The kubelet may run, and the API server does not take its word."""
    return [
        *(Link("node-ready", reason, why) for reason in ("NotRegistered", "StatusUnknown", "LeaseStale")),
        # Where no other kubeconfig is here, we are refused as it is.
        *(Link("node-ready", reason, why) for reason in ("NodeUnread", "NotPermitted")),
        kubelet_ends(why, "kubeconfig"),
    ]
