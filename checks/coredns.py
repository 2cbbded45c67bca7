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

import difflib
from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.facts import corefile, versions
from k8sdoctor.facts.api_access import refused
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.coredns import CoreDns, DnsPod
from k8sdoctor.facts.dns_upstreams import DnsUpstreams
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)
from k8sdoctor.host.base import authority
from k8sdoctor.known_errors import recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from k8sdoctor.host.base import DnsOutcome

NEEDS = ("/services", "/namespaces")
SLICES, SLICES_ALONE = "discovery.k8s.io/endpointslices", (1, 11, 0)
"""What the plugin `kubernetes` lists and watches whatever its options (coredns `plugin/kubernetes/controller.go`); Endpoints would do up to 1.10."""

IMAGE_STATES = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")

VERIFY = "k8sdoctor check coredns dns-reply-source"
SYMPTOMS = "dns-reply-source"

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
        *_configuration(servers, dns, upstreams),
        *_upstreams(servers, upstreams),
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
    asked = _addresses(upstreams.from_node or upstreams.from_pod) if isinstance(upstreams, DnsUpstreams) else []
    told = f"; upstream {', '.join(asked)} answers" if asked else ""
    return passed(
        "ServersReady",
        f"CoreDNS is ready ({names}){told}.",
        subject=servers.config_map,
        evidence=[
            *(Evidence(f"pod {pod.name}", f"ready on {pod.node}, {pod.restarts} restarts") for pod in servers.pods),
            *_seen(upstreams),
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
                VERIFY,
                Safety.MANUAL,
            ),
            explains=_links("NoBackends", "NoReply", why="CoreDNS has no pod"),
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
        fix=_mend_pod(reason, pods[0]),
        explains=[] if servers.some_ready else _links(*_EXPLAINS[reason], why=f"CoreDNS {meaning} in {names}"),
        traits=[f"image:{pod.image}" for pod in pods if pod.here and pod.image],
    )


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


def _links(*reasons: str, why: str) -> list[Link]:
    return [Link(SYMPTOMS, reason, why, Certainty.LIKELY) for reason in reasons]


def _mend_pod(reason: str, pod: DnsPod) -> Fix:
    namespace, _, name = pod.name.partition("/")
    logs = f"kubectl -n {namespace} logs {name} --tail=50"
    commands: tuple[str, ...]
    match reason:
        case "Looping":
            return _break_loop()
        case "ConfigRefused":
            return _edit("Correct the line of the Corefile that it names", logs)
        case "ApiForbidden":
            return _grant()
        case "NotScheduled":
            title = "See which taints, labels or resources keep it from every node"
            commands = (
                f"kubectl -n {namespace} describe pod {name} | grep -A 5 Events",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints[*].key,UNSCHEDULABLE:.spec.unschedulable",
            )
        case "ImageNotPulled":
            title = "See why its node does not get the image"
            commands = (
                f"kubectl -n {namespace} describe pod {name} | grep -i -A 8 Events",
                "k8sdoctor check images image-registries registry-config",
            )
        case "ApiNotReached":
            title = "See why the API server's service address does not answer the pod"
            commands = (logs, "kubectl get service kubernetes", "k8sdoctor check kube-proxy ip-forward apiserver-san")
        case _:
            title = "See why its container ends, or is not ready"
            commands = (
                f"kubectl -n {namespace} describe pod {name}",
                f"{logs} --previous" if reason == "CrashLoop" else logs,
            )
    return Fix(title, commands, VERIFY, Safety.MANUAL)


def _grant() -> Fix:
    return Fix(
        "Give CoreDNS's role its rights back",
        (
            "kubectl auth can-i list endpointslices.discovery.k8s.io --as=system:serviceaccount:kube-system:coredns",
            "kubectl get clusterrole system:coredns -o yaml; kubectl get clusterrolebinding system:coredns -o yaml",
            "kubeadm init phase addon coredns",
        ),
        VERIFY,
        Safety.MANUAL,
    )


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
            fix=_grant(),
            explains=[]
            if servers.some_ready
            else [
                Link("coredns", "ApiNotReached", f"its role does not allow {named}"),
                Link("coredns", "NotReady", f"its role does not allow {named}"),
                *_links(*_EXPLAINS["ApiForbidden"], why=f"CoreDNS may not list {named}"),
            ],
        )


def _break_loop() -> Fix:
    return _edit(
        "Have CoreDNS forward to real resolvers: by the kubelet's resolvConf, or in the Corefile",
        "grep -h nameserver /etc/resolv.conf /run/systemd/resolve/resolv.conf",
        "k8sdoctor check kubelet",
    )


def _edit(title: str, *first: str) -> Fix:
    commands = (
        *first,
        "kubectl -n kube-system edit configmap coredns",
        "kubectl -n kube-system rollout restart deployment coredns",
    )
    return Fix(title, commands, VERIFY, Safety.MANUAL)


# -- the Corefile ----------------------------------------------------------------------------------------------------


def _configuration(servers: CoreDns, dns: ClusterDns, upstreams: DnsUpstreams | Unobserved) -> Iterator[Finding]:
    if servers.corefile is None:
        return
    make = warn if servers.some_ready else fail
    subject = f"ConfigMap {servers.config_map}"
    try:
        blocks = corefile.read(servers.corefile)
    except corefile.CorefileError as error:
        yield make(
            "CorefileMalformed",
            f"The Corefile of {subject} cannot be read, {error}: CoreDNS does not start with it.",
            subject=subject,
            evidence=[Evidence(subject, servers.corefile)],
            fix=_edit("Correct the Corefile"),
            explains=[] if servers.some_ready else _links("NoBackends", "NoReply", why="CoreDNS does not start"),
        )
        return
    lines = servers.corefile.splitlines()
    yield from _twice(blocks, lines, subject, make)
    yield from _misspelt(blocks, lines, subject)
    yield from _domain(blocks, servers, dns, subject)
    if isinstance(upstreams, DnsUpstreams):
        yield from _loops(upstreams, servers, dns, blocks)
        for file in upstreams.empty:
            yield make(
                "NoUpstream",
                f"CoreDNS forwards to the servers of {file}, which names none: it does not start with that.",
                subject=subject,
                evidence=[Evidence(file, "no nameserver")],
                fix=_edit("Name resolvers in that file, or in the Corefile, or take the line `forward` away"),
                explains=[] if servers.some_ready else _links("NoBackends", "NoReply", why="CoreDNS does not start"),
            )


def _line(lines: Sequence[str], number: int) -> str:
    return f"{number}: {lines[number - 1].strip()}" if 0 < number <= len(lines) else str(number)


def _twice(
    blocks: Sequence[corefile.ServerBlock], lines: Sequence[str], subject: str, make: Callable[..., Finding]
) -> Iterator[Finding]:
    """Zones that two blocks serve at the same addresses, unless a plugin `view` tells their queries apart (register.go)."""
    first: dict[tuple[object, ...], corefile.ServerBlock] = {}
    for block in blocks:
        if block.named("view"):
            continue
        bound = tuple(sorted(word for each in block.named("bind") for word in each.words))
        for zone in block.zones:
            if "/" in zone[1] or "{$" in zone[1]:  # a network becomes several zones; a variable is the container's
                continue
            earlier = first.setdefault((zone, bound), block)
            if earlier is not block or block.zones.count(zone) > 1:
                yield make(
                    "DuplicateZone",
                    f"The Corefile serves {zone[1]} on port {zone[2]} twice, in lines {earlier.line} and {block.line}: CoreDNS does not start "
                    "with it.",
                    subject=subject,
                    evidence=[Evidence(subject, f"{_line(lines, earlier.line)}\n{_line(lines, block.line)}")],
                    fix=_edit("Make one block of the two"),
                )
                return


def _misspelt(blocks: Sequence[corefile.ServerBlock], lines: Sequence[str], subject: str) -> Iterator[Finding]:
    for block in blocks:
        for each in block.directives:
            if each.name in corefile.PLUGINS or "{$" in each.name:
                continue
            near = difflib.get_close_matches(each.name, corefile.PLUGINS, 1)
            meant = f" (`{near[0]}` is one)" if near else ""
            yield warn(
                "UnknownPlugin",
                f"Line {each.line} of the Corefile names {each.name!r}, which is no plugin that CoreDNS is built with{meant}: unless this build has "
                "it, CoreDNS refuses the Corefile.",
                subject=subject,
                evidence=[Evidence(subject, _line(lines, each.line))],
                fix=_edit(f"Write `{near[0]}`, if that is meant" if near else "Take the line away, or correct it"),
                explains=[Link("coredns", "ConfigRefused", f"line {each.line} names {each.name!r}", Certainty.LIKELY)],
            )


def _domain(
    blocks: Sequence[corefile.ServerBlock], servers: CoreDns, dns: ClusterDns, subject: str
) -> Iterator[Finding]:
    """Whether some block on port 53 serves the domain that pods are told, by the plugin that knows services."""
    if dns.domain is None or dns.domain_source is None or any(block.named("import") for block in blocks):
        return
    wanted = f"{dns.domain.rstrip('.').lower()}."
    served: list[str] = []
    for block in blocks:
        zones = [zone for transport, zone, _ in block.zones if transport == "dns"]
        for each in block.named("kubernetes"):
            words = [f"{word.rstrip('.').lower()}." for word in each.words] or zones
            served += [word for word in words if any(_within(word, zone) for zone in zones)]
        # What others may answer for it: a zone's own server to which it is forwarded, a file, a rewritten name.
        others = ("file", "auto", "secondary", "etcd", "rewrite", "template", "hosts", "grpc")
        if any(block.named(each) for each in others) and any(_within(wanted, zone) for zone in zones):
            return
        if any(zone != "." and _within(wanted, zone) and block.named("forward") for zone in zones):
            return
    if any(_within(wanted, zone) or "{$" in zone for zone in served):
        return
    has = ", ".join(dict.fromkeys(zone for zone in served if not zone.endswith("arpa."))) or "none"
    yield fail(
        "ClusterDomainUnserved",
        f"Pods here look for services under {dns.domain} ({dns.domain_source}), and the Corefile gives its plugin `kubernetes` other "
        f"domains: {has}.",
        subject=subject,
        evidence=[Evidence(dns.domain_source, dns.domain), Evidence(subject, servers.corefile or "")],
        fix=_edit(f"Give the plugin `kubernetes` the domain {dns.domain}, or the kubelets the Corefile's"),
        explains=_links(
            "NameNotFound", "RefusedQuery", "ServerFailure", why=f"CoreDNS does not serve the domain {dns.domain}"
        ),
    )


def _within(name: str, zone: str) -> bool:
    return zone in {".", name} or name.endswith(f".{zone}")


def _loops(
    upstreams: DnsUpstreams, servers: CoreDns, dns: ClusterDns, blocks: Sequence[corefile.ServerBlock]
) -> Iterator[Finding]:
    """Forwards of the root zone to the server itself: on loopback, by the service address, or by its pods."""
    ports = {port for block in blocks for _, _, port in block.zones}
    services = {one.address for one in dns.addresses if "service " in one.source}
    own = {pod.address for pod in servers.pods if pod.address}
    for one in upstreams.servers:
        if str(one.port) not in ports or one.zone != ".":
            continue
        if one.loopback:
            what = "which in its pod is CoreDNS itself"
        elif one.address in services:
            what = f"the address of {dns.service}, which is CoreDNS itself"
        elif one.address in own:
            what = "which is one of its own pods"
        else:
            continue
        yield (warn if servers.some_ready and one.loopback else fail)(
            "Looping",
            f"CoreDNS forwards to {authority(one.address, one.port)} ({one.source}), {what}: each name outside the cluster goes in circles.",
            subject=f"ConfigMap {servers.config_map}",
            evidence=[Evidence(one.source, authority(one.address, one.port))],
            fix=_break_loop(),
            explains=[
                *_links("NoBackends", "NoReply", why=f"CoreDNS forwards to itself by {one.source}"),
                Link("coredns", "CrashLoop", "its plugin `loop` ends it", Certainty.LIKELY),
                *_outside_too(f"CoreDNS forwards to itself by {one.source}"),
            ],
        )
        return


# -- the upstreams ---------------------------------------------------------------------------------------------------


def _upstreams(servers: CoreDns, upstreams: DnsUpstreams | Unobserved) -> Iterator[Finding]:
    if isinstance(upstreams, Unobserved) or upstreams.problem is not None:
        problem = upstreams if isinstance(upstreams, Unobserved) else upstreams.problem
        if problem is not None and problem.reason != "Offline":
            yield unknown(problem.reason, f"The servers that CoreDNS asks could not be asked: {problem.message}.")
        return
    asked = upstreams.from_pod or upstreams.from_node
    silent = [address for address in _addresses(asked) if not _alive(asked, address)]
    by_zone: dict[str, list[str]] = {}
    for one in upstreams.servers:
        by_zone.setdefault(one.zone, []).append(authority(one.address, one.port))
    dead = False
    for zone, all_ in by_zone.items():
        gone = [address for address in dict.fromkeys(all_) if address in silent]
        if gone:
            whole = zone == "." and set(gone) == set(all_)
            dead = dead or whole
            yield _silent(zone, gone, upstreams, whole=whole)
    codes = {_code(asked, address) for address in by_zone.get(".", ()) if address in _addresses(asked)}
    if codes and codes <= {"REFUSED", "SERVFAIL"}:
        yield warn(
            "UpstreamRefuses",
            f"The servers that CoreDNS asks, {', '.join(by_zone['.'])}, answer `. NS` with {' and '.join(sorted(codes))}: names outside the "
            "cluster do not resolve, unless they answer for some alone.",
            subject=by_zone["."][0],
            evidence=_seen(upstreams),
            fix=_edit(
                "Have them answer this cluster's machines, or name others", f"dig @{_host(by_zone['.'][0])} . NS"
            ),
            explains=_outside_too("the servers that CoreDNS asks refuse"),
        )
    # Silence alone says little: a policy may keep the node from asking these pods, and a server that waits for its upstream is slower than we.
    said = {_outcome(one) for one in upstreams.own} - {""}
    if not dead and said == {"SERVFAIL"}:
        yield warn(
            "OutsideNamesFail",
            "CoreDNS answers `. NS`, a name outside the cluster, with SERVFAIL.",
            subject=f"ConfigMap {servers.config_map}",
            evidence=_seen(upstreams),
            fix=_edit(
                "See whom it asks, and whether they answer it",
                "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20",
            ),
        )


def _silent(zone: str, gone: Sequence[str], upstreams: DnsUpstreams, *, whole: bool) -> Finding:
    from_pod = bool(upstreams.from_pod)
    node_well = from_pod and all(_alive(upstreams.from_node, address) for address in gone)
    where = f"pod {upstreams.pod}" if from_pod else "the node"
    both = ", while the node itself is answered" if node_well else " and the node" if from_pod else ""
    whom = "names outside the cluster" if zone == "." else f"names below {zone}"
    message = (
        f"{', '.join(gone)}, which CoreDNS asks for {whom}, left every query from {where} unanswered{both}"
        if node_well
        else f"{', '.join(gone)}, which CoreDNS asks for {whom}, left every query from {where}{both} unanswered"
    )
    sources = dict.fromkeys(
        one.source for one in upstreams.servers if authority(one.address, one.port) in gone and one.zone == zone
    )
    first = _host(gone[0])
    look = (
        "iptables-save -t nat | grep -E 'MASQUERADE|SNAT'; sysctl net.ipv4.ip_forward"
        if node_well
        else f"ip route get {first}"
    )
    return (fail if whole else warn)(
        "UpstreamSilent",
        f"{message} ({', '.join(sources)}).",
        subject=gone[0],
        evidence=_seen(upstreams),
        traits={"node:answered"} if node_well else (),
        fix=_edit(
            "Let what pods send out pass" if node_well else "Bring that server back, or name others",
            f"dig @{first} . NS",
            look,
        ),
        explains=_outside_too(f"{gone[0]} is silent"),
    )


def _outside_too(why: str) -> list[Link]:
    """What else shows it: names outside the cluster, and the node's own search domains, which are outside names as well."""
    return [Link("coredns", "OutsideNamesFail", why), Link("pod-resolv-conf", "SearchDomainFails", why)]


def _host(place: str) -> str:
    return place.rpartition(":")[0].strip("[]")


def _addresses(outcomes: Iterable[DnsOutcome]) -> list[str]:
    return list(dict.fromkeys(authority(one["query"]["server"], one["query"]["port"]) for one in outcomes))


def _of(outcomes: Iterable[DnsOutcome], place: str) -> Iterator[DnsOutcome]:
    return (one for one in outcomes if authority(one["query"]["server"], one["query"]["port"]) == place)


def _alive(outcomes: Iterable[DnsOutcome], place: str) -> bool:
    return any(_outcome(one) for one in _of(outcomes, place))


def _code(outcomes: Iterable[DnsOutcome], place: str) -> str:
    return next((code for one in _of(outcomes, place) if (code := _outcome(one))), "")


def _outcome(outcome: DnsOutcome) -> str:
    """The code of the reply that is one to the query; empty where none came."""
    return next((each["rcode"] for each in outcome["replies"] if each["matches"]), "")


def _seen(upstreams: DnsUpstreams | Unobserved) -> list[Evidence]:
    if isinstance(upstreams, Unobserved):
        return []
    views = (
        (f"`. NS` asked from pod {upstreams.pod}", upstreams.from_pod),
        ("`. NS` asked from the node", upstreams.from_node),
        ("`. NS` asked of CoreDNS from the node", upstreams.own),
    )
    return [
        Evidence(
            source,
            "\n".join(
                f"{authority(one['query']['server'], one['query']['port'])} {one['query']['transport']}: "
                f"{_outcome(one) or one['error'] or 'no reply'}"
                for one in outcomes
            ),
        )
        for source, outcomes in views
        if outcomes
    ]
