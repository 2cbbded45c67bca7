"""What findings about CNI configuration share: what is shown of a file and of the runtime, and what follows where no pod starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from k8sdoctor.checks._node_ready_links import CREATING, NOT_READY, kept_off
from k8sdoctor.finding import Certainty, Evidence, Finding, Link, unknown

if TYPE_CHECKING:
    from k8sdoctor.facts.cni import CniFile, CniFolder
    from k8sdoctor.facts.runtime import Runtime
    from k8sdoctor.host import HostError

NO_PODS = (
    Link(
        "node-ready",
        "NetworkNotReady",
        "the runtime has no network as long as it cannot load one from its folder",
        Certainty.PROVEN,
    ),
    Link(
        "dns-reply-source",
        "NoPodNamespace",
        "no pod starts on this node without a pod network, so there is none to ask DNS from",
        Certainty.LIKELY,
    ),
    Link(
        "coredns",
        "NotReady",
        "no pod starts on this node without a pod network",
        when=frozenset({CREATING}),
    ),
    *kept_off(NOT_READY, "a node without a pod network is not ready, and is given no pods of CoreDNS's"),
)


def cut_off(bridge: str) -> tuple[Link, ...]:
    """What follows where the pods' bridge has another address than they are told as their gateway."""
    why = f"the pods' gateway is not on {bridge}, so what they send leaves their bridge no more"
    return (
        *[link for link in NO_PODS if link.reason != "NetworkNotReady"],
        Link("dns-reply-source", "NoReply", why),
        Link("coredns", "UpstreamSilent", f"{why}, and the node itself is answered", when=frozenset({"node:answered"})),
    )


def unseen(what: str, error: HostError) -> Finding:
    """What kept us from looking at something."""
    said = error.message.replace(f"{what} ", "it ")
    return unknown(error.reason, f"{what} could not be looked at: {said}.", subject=what)


def told(folder: CniFolder, runtime: Runtime) -> list[Evidence]:
    """What the runtime says of its network."""
    source = f"status of {runtime.label}"
    ready = runtime.condition("NetworkReady")
    evidence = []
    if ready:
        words = f" ({ready.reason}: {ready.message})" if ready.message else ""
        evidence.append(Evidence(source, f"NetworkReady: {str(ready.status).lower()}{words}"))
    if folder.load_status is not None:
        evidence.append(Evidence(source, f"lastCNILoadStatus: {folder.load_status}"))
    if folder.held:
        evidence.append(Evidence(source, f"loaded: {json.dumps(list(folder.held))}"))
    return evidence


def excerpt(file: CniFile) -> Evidence:
    """The lines around the fault, numbered; the beginning without one."""
    if not file.text:
        return Evidence(file.path, "(empty)" if file.text == "" else "(unreadable)")
    lines = file.text.splitlines()
    line = file.error.line if file.error and file.error.line else None
    first = max(0, line - 2) if line else 0
    shown = lines[first : first + (3 if line else 12)]
    return Evidence(file.path, "\n".join(f"{number}: {text[:200]}" for number, text in enumerate(shown, first + 1)))
