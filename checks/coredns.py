"""CoreDNS runs, its Corefile holds, and the servers that it asks answer.

## What it looks at
The pods of CoreDNS by the API server, and the last lines that those of this node logged (`/var/log/pods`). The Corefile in their ConfigMap. The
servers that it forwards to, asked from CoreDNS's own network namespace, else from another pod's of this node, and from the node.

## Why it matters
Every name that a pod looks up passes here. CoreDNS that asks itself ends at once; without the API server it is never ready; a Corefile with a
slip goes unnoticed until the next restart, for a running server keeps what it had; and with silent upstreams the cluster's names resolve while
all others time out.

## How it is decided
A pod that is not ready is judged by its last words where its log is here, else by how its container ended last. A fault of the Corefile fails
where no server is ready, and else warns: the next restart brings it; so does a right that kubeadm's role for it lacks. Plugins are held against those that CoreDNS is built with; a build of
one's own may have more, so an unknown one warns. Files that it imports are not seen, and then nothing is said to be missing. Any answer shows that an upstream is
alive, as for CoreDNS itself; that all are silent fails, that one of several is warns. REFUSED or SERVFAIL for a name outside is a warning at
most, for a cluster without a way out is no fault.

## Reasons
- `ServersReady` (pass): all of its pods are ready, and nothing speaks against its configuration
- `NotJoined` (skip): the machine is no node yet
- `NotCoreDns` (skip): nothing here, and nothing that the API server tells, is CoreDNS
- `NoServers` (fail): the cluster has its ConfigMap and not a single pod
- `Looping` (fail or warn): it asks itself: its plugin `loop` said so, or it forwards to loopback, to the DNS service, or to its own pods
- `ConfigRefused` (fail): it ended because of its Corefile
- `ApiForbidden` (fail or warn): the API server forbids it to list what it needs, or its role does not allow it
- `ApiNotReached` (fail): it waits for the API server
- `CrashLoop` (fail or warn): its container ends again and again, for another reason
- `NotScheduled` (fail or warn): no node takes a pod of it; a warning while another is ready
- `ImageNotPulled` (fail or warn): a pod of it has no image; a warning while another is ready
- `NotReady` (fail or warn): a pod is not ready; a warning while another is
- `CorefileMalformed` (fail or warn): the Corefile cannot be read
- `DuplicateZone` (fail or warn): two server blocks are for the same zone and port
- `UnknownPlugin` (warn): a line names no plugin of CoreDNS's own build
- `ClusterDomainUnserved` (fail): no plugin serves the domain that the kubelet tells pods
- `NoUpstream` (fail or warn): it forwards to the servers of a resolv.conf that names none, and does not start with that
- `UpstreamSilent` (fail or warn): the servers that it asks are silent; a warning while another answers, or for a single zone
- `UpstreamRefuses` (warn): all of them answer with REFUSED or an error
- `OutsideNamesFail` (warn): its servers answer with nothing but SERVFAIL for a name outside the cluster

## What it sends
GET requests for CoreDNS's pods, ConfigMap and ClusterRole to the API server, and for its Deployment where it has no pod. To each of its
servers of this node that is not ready, GET `/ready` on port 8181. To each plain DNS server that the Corefile names the question `. NS`, which
CoreDNS itself uses to see whether it is alive: 2 by UDP and 1 by TCP from a pod and from the node. One such question from the node to each of
CoreDNS's servers.

## How to fix
Correct the Corefile with `kubectl -n kube-system edit configmap coredns`; the plugin `reload` takes it over within two minutes. A stub
resolver is mended at the kubelet's `resolvConf`.

## How to verify
`k8sdoctor check coredns dns-reply-source`

## References
- CoreDNS's manual: plugins `forward`, `loop`, `ready`, `kubernetes`
- coredns `core/dnsserver/register.go` (zones that are there twice), `plugin/loop/loop.go`, `plugin/pkg/parse/host.go`
- Kubernetes, "Debugging DNS Resolution"
- kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go` (its role); coredns `notes/coredns-1.11.0.md` (EndpointSlices alone)
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks import _coredns_fixes as fixes
from k8sdoctor.checks._coredns_fixes import links
from k8sdoctor.checks._corefile_judgement import configuration
from k8sdoctor.checks._dns_upstream_judgement import addresses, seen, upstream_servers
from k8sdoctor.checks._node_ready_links import CREATING, SOME_TAINT, UNSCHEDULABLE
from k8sdoctor.facts import versions
from k8sdoctor.facts.api_access import refused
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.coredns import CoreDns, DnsPod
from k8sdoctor.facts.dns_upstreams import DnsUpstreams
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, skip, unknown, warn
from k8sdoctor.known_errors import recognise
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Sequence


NEEDS = ("/services", "/namespaces")
SLICES, SLICES_ALONE = "discovery.k8s.io/endpointslices", (1, 11, 0)
"""What the plugin `kubernetes` lists and watches whatever its options (coredns `plugin/kubernetes/controller.go`); Endpoints would do up to 1.10."""

IMAGE_STATES = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")


# What CoreDNS prints, and the reason that it stands for: the first whose words are all in a line, and the last such line counts.
# plugin/loop/loop.go; plugin/kubernetes/setup.go and controller.go with client-go's reflector; plugin/ready (the second form from 1.12.2 on);
# caddyfile/dispenser.go and register.go.
_LAST_WORDS = (
    ("Looping", ("plugin/loop: Loop (", "detected for zone")),
    ("ApiForbidden", ("is forbidden", "cannot list resource")),
    ("ApiNotReached", ("Failed to list", "dial tcp")),
    ("ApiNotReached", ("Still waiting on:", "kubernetes")),
    ("ApiNotReached", ("Plugins not ready:", "kubernetes")),
    ("ApiNotReached", ("waiting for Kubernetes API before starting server",)),
    ("ConfigRefused", ("Error during parsing",)),
    ("ConfigRefused", ("Corefile:", "Error")),
    ("ConfigRefused", ("cannot serve dns://", "already defined")),
)


@check("coredns", title="CoreDNS runs, and the servers that it asks answer", area="DNS")
def coredns(
    stage: Stage | Unobserved,
    servers: CoreDns | Unobserved,
    dns: ClusterDns,
    upstreams: DnsUpstreams | Unobserved,
) -> Iterator[Finding]:
    """Judge the pods, the Corefile and the upstreams."""
    if isinstance(stage, Stage) and stage.fresh:
        yield skip("NotJoined", f"CoreDNS comes with the cluster ({stage.why}).")
        return
    if isinstance(servers, Unobserved):
        make = skip if servers.reason == "Offline" or refused(servers) else unknown
        yield make(servers.reason, f"CoreDNS could not be looked at: {servers.message}.")
        return
    if not servers.pods and servers.corefile is None and servers.problem is None:
        yield skip("NotCoreDns", "The API server tells of no pod and no configuration of CoreDNS.")
        return
    findings = [
        *_pods(servers),
        *_role(servers),
        *configuration(servers, dns, upstreams),
        *upstream_servers(servers, upstreams),
    ]
    yield from _each_once(findings)
    if servers.problem is not None:
        make = skip if servers.problem.reason == "Offline" or refused(servers.problem) else unknown
        message = f"CoreDNS could not be looked at whole: {servers.problem.message}."
        yield make(servers.problem.reason, message, traits=servers.problem.traits)
    if not findings and (servers.problem is None or (servers.some_ready and refused(servers.problem))):
        yield _well(servers, upstreams)


def _each_once(findings: Sequence[Finding]) -> Iterator[Finding]:
    """One finding a cause: what the pods said last, and what the Corefile or the role shows, is the same."""
    seen: set[str] = set()
    for each in findings:
        if each.reason in ("Looping", "ApiForbidden") and each.reason in seen:
            continue
        seen.add(each.reason)
        yield each


def _well(servers: CoreDns, upstreams: DnsUpstreams | Unobserved) -> Finding:
    names = ", ".join(pod.name for pod in servers.pods) or "none of its pods is on this node"
    asked = addresses(upstreams.from_node or upstreams.from_pod) if isinstance(upstreams, DnsUpstreams) else []
    told = f"; upstream {', '.join(asked)} answers" if asked else ""
    return passed(
        "ServersReady",
        f"CoreDNS is ready ({names}){told}.",
        subject=servers.config_map,
        evidence=[
            *(Evidence(f"pod {pod.name}", f"ready on {pod.node}, {pod.restarts} restarts") for pod in servers.pods),
            *seen(upstreams),
        ],
    )


# -- the pods --------------------------------------------------------------------------------------------------------


def _pods(servers: CoreDns) -> Iterator[Finding]:
    if not servers.pods and servers.complete and servers.corefile is not None:
        yield fail(
            "NoServers",
            f"The cluster has the ConfigMap {servers.config_map}, and not a single pod of CoreDNS: nobody answers the DNS service.",
            subject=servers.config_map,
            evidence=[
                Evidence("API server", "no pod with the label k8s-app=kube-dns and an image of CoreDNS"),
                *([Evidence("Deployment of CoreDNS", servers.deployment)] if servers.deployment else []),
            ],
            fix=Fix(
                "Give CoreDNS's Deployment its replicas back",
                (
                    "kubectl -n kube-system get deployment,replicaset -l k8s-app=kube-dns",
                    "kubectl -n kube-system scale deployment coredns --replicas=2",
                ),
                fixes.VERIFY,
                Safety.MANUAL,
            ),
            explains=links("NoBackends", "NoReply", why="CoreDNS has no pod"),
        )
    causes: dict[str, list[tuple[DnsPod, str]]] = {}
    for pod in servers.pods:
        if pod.ready:
            continue
        reason, line = _last_words(pod)
        if reason is None and pod.ready is not None:
            reason = _by_state(pod)
            line = pod.unplaced or line
        if reason:
            causes.setdefault(reason, []).append((pod, line))
    for reason, found in causes.items():
        yield _unwell(reason, [pod for pod, _ in found], found[0][1], servers)


def _last_words(pod: DnsPod) -> tuple[str | None, str]:
    """The reason that the log gives, with its line; else the last line that is known at all, or the last."""
    for line in reversed(pod.log):
        for reason, words in _LAST_WORDS:
            if all(word in line for word in words):
                return reason, line
    return None, next((line for line in reversed(pod.log) if recognise(line)), pod.log[-1] if pod.log else "")


def _by_state(pod: DnsPod) -> str:
    """What the API server tells of a pod whose log says nothing."""
    if pod.unplaced:
        return "NotScheduled"
    if pod.state in IMAGE_STATES:
        return "ImageNotPulled"
    if pod.state == "CrashLoopBackOff" or (pod.ended and pod.restarts):
        return "CrashLoop"
    return "ApiNotReached" if "kubernetes" in pod.waits else "NotReady"


# kubernetes pkg/scheduler/framework/plugins/tainttoleration and nodeunschedulable; later releases do not name the taints.
_TAINT = regex(r"taint \{([^:{}]+)")
_SOME_TAINT = regex(
    r"0/(?P<nodes>\d+) nodes are available: (?P<tainted>\d+) node\(s\) had (?:untolerated taint\(s\)|taints that)"
)
_CORDONED = "node(s) were unschedulable"

_MEANS = {
    "NotScheduled": "has no node that takes it",
    "ImageNotPulled": "has no image",
    "Looping": "asks itself and ends: its upstream leads back to it",
    "ConfigRefused": "refuses its Corefile and ends",
    "ApiForbidden": "may not list what it needs of the API server, and so knows no service",
    "ApiNotReached": "waits for the API server and knows no service",
    "CrashLoop": "ends again and again",
    "NotReady": "is not ready",
}


def _unwell(reason: str, pods: Sequence[DnsPod], line: str, servers: CoreDns) -> Finding:
    make = warn if servers.some_ready and reason in _ALONE else fail
    names = ", ".join(pod.name for pod in pods)
    waits = [f"not ready says its plugin {' and '.join(pod.waits)}" if pod.waits else "" for pod in pods]
    states = [", ".join(filter(None, [pod.state, pod.ended, wait])) for pod, wait in zip(pods, waits, strict=True)]
    state = f" ({states[0]})" if states[0] else ""
    said = f": {line!r}" if line else ""
    meaning = _MEANS[reason]
    return make(
        reason,
        f"CoreDNS {meaning} in {names}{state}{said}.",
        subject=pods[0].name,
        evidence=[
            *(
                Evidence(f"pod {pod.name} on {pod.node or 'no node'}", f"{_readiness(pod)}; {told or 'no state told'}")
                for pod, told in zip(pods, states, strict=True)
            ),
            *(Evidence(f"log of {pod.name}", "\n".join(pod.log[-8:])) for pod in pods if pod.log),
        ],
        fix=fixes.mend_pod(reason, pods[0]),
        explains=[] if servers.some_ready else links(*_EXPLAINS[reason], why=f"CoreDNS {meaning} in {names}"),
        traits=[*(f"image:{pod.image}" for pod in pods if pod.here and pod.image), *_traits(pods)],
    )


def _traits(pods: Sequence[DnsPod]) -> Iterator[str]:
    """What keeps pods off the nodes, or off this one, for the causes that other checks find."""
    for pod in pods:
        yield from (f"taint:{key}" for key in _TAINT.findall(pod.unplaced))
        if _CORDONED in pod.unplaced:
            yield f"taint:{UNSCHEDULABLE}"
        everywhere = _SOME_TAINT.search(pod.unplaced)
        if everywhere and everywhere["nodes"] == everywhere["tainted"]:
            yield SOME_TAINT
        if pod.here and pod.state == "ContainerCreating":
            yield CREATING


_ALONE = ("CrashLoop", "NotReady", "Looping", "NotScheduled", "ImageNotPulled")
"""What harms nobody yet while another server is ready."""


def _readiness(pod: DnsPod) -> str:
    return "readiness unknown" if pod.ready is None else f"not ready, {pod.restarts} restarts"


_EXPLAINS = {
    **dict.fromkeys(
        ("Looping", "ConfigRefused", "CrashLoop", "NotReady", "NotScheduled", "ImageNotPulled"),
        ("NoBackends", "NoReply"),
    ),
    **dict.fromkeys(("ApiForbidden", "ApiNotReached"), ("NoBackends", "NoReply", "ServerFailure")),
}


def _role(servers: CoreDns) -> Iterator[Finding]:
    """Rights that the role lacks of those without which CoreDNS knows no service."""
    if servers.granted is None or not servers.pods:
        return
    release = versions.parse(servers.pods[0].image.rpartition(":")[2])
    needs = [*NEEDS]
    if release and release >= SLICES_ALONE and "noendpoints" not in (servers.corefile or ""):
        needs.append(SLICES)
    lacking = [
        need
        for need in needs
        if not {need, f"{need.partition('/')[0]}/*", f"*/{need.partition('/')[2]}", "*/*"} & servers.granted
    ]
    if lacking:
        named = " and ".join(each.strip("/") for each in lacking)
        yield (warn if servers.some_ready else fail)(
            "ApiForbidden",
            f"The role system:coredns does not let CoreDNS list and watch {named}: it knows no service after its next start.",
            subject="ClusterRole system:coredns",
            evidence=[
                Evidence(
                    "list and watch in ClusterRole system:coredns", "\n".join(sorted(servers.granted)) or "nothing"
                )
            ],
            fix=fixes.grant(),
            explains=[]
            if servers.some_ready
            else [
                Link("coredns", "ApiNotReached", f"its role does not allow {named}"),
                Link("coredns", "NotReady", f"its role does not allow {named}"),
                *links(*_EXPLAINS["ApiForbidden"], why=f"CoreDNS may not list {named}"),
            ],
        )
