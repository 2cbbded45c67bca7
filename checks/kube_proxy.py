"""kube-proxy's rules lead DNS queries to the DNS servers.

## What it looks at
The kernel's rules for the addresses of the cluster's DNS, UDP and TCP: both variants of iptables, kube-proxy's table of nftables, the
virtual servers of IPVS. Which backends the API server lists for that service. Whether kube-proxy runs here, and whether the kernel has what
its mode needs.

## Why it matters
A service's address belongs to no machine: each node's kernel translates it by rules that kube-proxy writes. Where they are missing, or lead to
a pod that is gone, every name lookup on this node times out while CoreDNS is well; and when kube-proxy stops, the rules stay as they were and
go wrong with the next restart of a DNS pod. Rules in both variants of iptables are both obeyed, so old ones go on catching packets.

## How it is decided
Only addresses that the API server calls a service's are judged, and only where kube-proxy is used: it runs here, has written rules, or its
ConfigMap exists. Without any of these something else translates (Cilium, OVN, kube-router), and the check skips. Each address and protocol must
have a rule, and each backend in it must be one that the API server lists as ready. k3s and microk8s hold kube-proxy in their own process.

## Reasons
- `RulesMatch` (pass): each DNS address is translated, to backends that are listed
- `NotJoined` (skip): the machine is no node yet
- `NoKubeProxy` (skip): kube-proxy is not used here, as far as can be seen
- `NoService` (skip): the API server names no service behind the DNS addresses
- `NotRunning` (fail or warn): kube-proxy does not run here; a warning where only what it once wrote says that it should
- `ModeUnfit` (fail or warn): its mode needs what this kernel lacks; a warning while it runs
- `NoRules` (fail): kube-proxy runs, and nothing translates the DNS service's address
- `StaleBackend` (fail): a rule leads to an address that is no backend of the service; tracked connections to it are its symptom
- `StaleReject` (fail): a rule refuses packets to the service, although it has backends
- `MixedIptables` (warn): both variants of iptables hold rules of kube-proxy
- `RulesUnread` (unknown): some of the rules could not be read

## What it sends
GET requests for the ConfigMap `kube-proxy` and for the DNS service with its EndpointSlices to the API server.

## How to fix
Have kube-proxy write its rules again by restarting its container, and see in its log what kept it from that. Rules left in the other
variant of iptables are removed there.

## How to verify
`k8sdoctor check kube-proxy`, and `k8sdoctor check dns-reply-source`, which asks from pods.

## References
- Kubernetes, "Virtual IPs and Service Proxies"
- kubernetes `pkg/proxy/iptables/proxier.go`, `pkg/proxy/nftables/proxier.go`
- kubernetes/kubernetes#125467 and #129617: packets to backends that are gone
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks._proxy_modes import lacks
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.iptables_rules import normal
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.node_kernel import NodeKernel
from k8sdoctor.facts.service_rules import PROTOCOLS, Route, ServiceRules
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERIFY = "k8sdoctor check kube-proxy dns-reply-source"


@check("kube-proxy", title="kube-proxy's rules lead DNS queries to the DNS servers", area="DNS")
def kube_proxy(
    stage: Stage | Unobserved,
    proxy: KubeProxy,
    dns: ClusterDns,
    rules: ServiceRules | Unobserved,
    kernel: NodeKernel | Unobserved,
) -> Iterator[Finding]:
    """Judge whether it can run and does, then its rules for each DNS address."""
    if isinstance(stage, Stage) and stage.fresh:
        yield skip(
            "NotJoined",
            f"This machine is no node of a cluster that kubeadm made ({stage.why}), and kube-proxy comes with one.",
        )
        return
    if isinstance(kernel, NodeKernel) and (missing := lacks(proxy.mode, kernel)):
        yield _unfit(proxy, missing, kernel)
    mechanisms = rules.mechanisms if isinstance(rules, ServiceRules) else ()
    if proxy.process is None and not proxy.configured and not mechanisms and isinstance(rules, ServiceRules):
        yield _unused(proxy)
        return
    if isinstance(rules, Unobserved):
        yield unknown(rules.reason, f"The rules for services could not be read: {rules.message}.")
        if proxy.process is None and proxy.configured:
            yield _not_running(proxy, (), dns)
        return
    if proxy.process is None:
        yield _not_running(proxy, mechanisms, dns)
    yield from (
        unknown("RulesUnread", f"Some of the rules for services could not be read: {problem.message}.")
        for problem in rules.blind
    )
    variants = [one for one in mechanisms if one.startswith("iptables")]
    if len(variants) > 1:
        yield _mixed(variants, rules)
    yield from _judged(proxy, dns, rules)


def _unused(proxy: KubeProxy) -> Finding:
    told = "its ConfigMap does not exist" if proxy.configured is False else "its ConfigMap could not be read"
    return skip(
        "NoKubeProxy",
        f"kube-proxy is not used here, as far as can be seen: it does not run, has written no rule, and {told}.",
        evidence=[Evidence("ConfigMap kube-system/kube-proxy", proxy.problem.message)] if proxy.problem else [],
    )


def _judged(proxy: KubeProxy, dns: ClusterDns, rules: ServiceRules) -> Iterator[Finding]:
    services = [one.address for one in dns.addresses if "service " in one.source and one.address in rules.asked]
    if not services:
        why = f": {dns.problems[0]}" if dns.problems else ""
        yield skip("NoService", f"The API server names no service behind the cluster's DNS addresses{why}.")
        return
    known = {normal(authority(one.address, one.port)) for one in dns.backends} if dns.complete else set()
    bad = False
    for address in services:
        routes = [route for route in rules.routes if route.address == address]
        missing = [one for one in PROTOCOLS if one not in {route.protocol for route in routes}]
        if missing and not rules.foreign:
            bad = True
            if proxy.process is not None:
                yield _no_rules(proxy, address, missing, dns, rules)
        wrong: dict[tuple[str, bool, tuple[str, ...]], list[Route]] = {}
        for route in routes:
            stale = tuple(one for one in route.backends if known and one not in known)
            if stale or (route.rejects and known):
                wrong.setdefault((route.mechanism, route.rejects, stale), []).append(route)
        bad = bad or bool(wrong)
        yield from (_stale(alike, stale, dns) for (_, _, stale), alike in wrong.items())
    if not bad and proxy.process is not None:
        yield _match(services, rules, proxy)


def _match(services: Sequence[str], rules: ServiceRules, proxy: KubeProxy) -> Finding:
    backends = sorted({backend for route in rules.routes for backend in route.backends})
    told = f" to {', '.join(backends)}" if backends else ""
    return passed(
        "RulesMatch",
        f"{', '.join(services)} is translated by {' and '.join(rules.mechanisms) or 'rules of others'}{told}.",
        subject=services[0],
        evidence=[*_seen(rules.routes), *(Evidence("iptables", line) for line in rules.foreign), _process(proxy)],
    )


def _not_running(proxy: KubeProxy, mechanisms: Sequence[str], dns: ClusterDns) -> Finding:
    make = fail if proxy.configured else warn
    left = (
        f"what it wrote into {' and '.join(mechanisms)} stays as it was and goes wrong with the next change of a service"
        if mechanisms
        else "nothing translates the addresses of services"
    )
    mode = f", which is to use the mode {proxy.mode}," if proxy.mode else ""
    evidence = [_process(proxy)]
    if proxy.configured is not None:
        there = "exists" if proxy.configured else "does not exist"
        evidence.append(Evidence("ConfigMap kube-system/kube-proxy", there))
    return make(
        "NotRunning",
        f"kube-proxy{mode} does not run on this node: {left}.",
        subject="kube-proxy",
        evidence=evidence,
        fix=Fix(
            "See why its pod does not run here, and start it",
            (
                'kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide --field-selector "spec.nodeName=$(hostname)"',
                'kubectl -n kube-system describe pods -l k8s-app=kube-proxy | grep -A 20 "^Events"',
                "crictl ps -a --name kube-proxy",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
        explains=() if mechanisms else _untranslated(dns),
    )


def _unfit(proxy: KubeProxy, missing: str, kernel: NodeKernel) -> Finding:
    make = fail if proxy.process is None else warn
    tail = "it ends when it starts" if proxy.process is None else "it runs, and not in this mode after a restart"
    return make(
        "ModeUnfit",
        f"kube-proxy is to use the mode {proxy.mode}, which needs {missing}: {tail}.",
        subject="mode",
        evidence=[
            Evidence("ConfigMap kube-system/kube-proxy", f"mode: {proxy.mode}"),
            Evidence("uname -r", kernel.text),
            _process(proxy),
        ],
        fix=Fix(
            "Write mode: iptables into config.conf, or install a kernel that has what is needed; then start kube-proxy again",
            (
                "kubectl -n kube-system edit configmap kube-proxy",
                "kubectl -n kube-system rollout restart daemonset kube-proxy",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
        explains=(Link("kube-proxy", "NotRunning", f"The mode {proxy.mode} needs {missing}", Certainty.PROVEN),),
    )


def _no_rules(proxy: KubeProxy, address: str, missing: Sequence[str], dns: ClusterDns, rules: ServiceRules) -> Finding:
    where = " and ".join(rules.mechanisms) or "iptables, nftables or IPVS"
    what = f"{' and '.join(missing).upper().replace('AND', 'and')} port 53"
    return fail(
        "NoRules",
        f"No rule of {where} translates {address}, the address of {dns.service}, for {what}, although kube-proxy runs ({proxy.process}).",
        subject=address,
        evidence=[_process(proxy), Evidence("rules for services", f"none for {address}, {what}")],
        fix=_write_again(),
        explains=(
            *_links([address], f"no rule translates {address} for {what}"),
            *([] if rules.routes else _api_links("no rule translates the address of a service")),
        ),
    )


def _stale(routes: Sequence[Route], stale: Sequence[str], dns: ClusterDns) -> Finding:
    """Rules of one mechanism that are wrong in the same way, for one protocol or both."""
    route = routes[0]
    protocols = " and ".join(one.protocol.upper() for one in routes)
    listed = [authority(one.address, one.port) for one in dns.backends]
    behind = f"{dns.service} has {', '.join(listed)}"
    where = f"What {route.mechanism} has for {authority(route.address, 53)} over {protocols}"
    if route.rejects:
        reason, message = "StaleReject", f"{where} refuses what is sent there, although {behind} behind it."
    else:
        reason = "StaleBackend"
        message = f"{where} leads to {', '.join(stale)}, which is no backend of the service: {behind}."
    return fail(
        reason,
        message,
        subject=route.address,
        evidence=[*_seen(routes), Evidence(f"EndpointSlices of {dns.service}", "\n".join(listed))],
        fix=_write_again(),
        explains=(
            *_links([route.address], message.rstrip(".")),
            *(
                Link(
                    "conntrack",
                    "StaleEntry",
                    f"a rule leads to {one}",
                    Certainty.PROVEN,
                    frozenset({f"backend:{one.rpartition(':')[0].strip('[]')}"}),
                )
                for one in stale
            ),
        ),
    )


def _mixed(variants: Sequence[str], rules: ServiceRules) -> Finding:
    return warn(
        "MixedIptables",
        f"Both {' and '.join(variants)} hold rules of kube-proxy: packets pass through both, and what one of them holds is out of date.",
        subject="iptables",
        evidence=_seen(rules.routes),
        fix=Fix(
            "Remove kube-proxy's rules of the variant that it does not use, here the legacy one (kube-proxy's log says which it uses)",
            (
                "iptables-legacy-save | grep -v KUBE- | iptables-legacy-restore",
                "ip6tables-legacy-save | grep -v KUBE- | ip6tables-legacy-restore",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
        explains=_links(
            sorted({route.address for route in rules.routes}), "rules in both variants translate the address"
        ),
    )


def _write_again() -> Fix:
    return Fix(
        "Restart kube-proxy's container, so that it writes all rules again; its log says what keeps it from that",
        (
            "crictl logs --tail=20 $(crictl ps --name kube-proxy -q | head -n 1)",
            "crictl stop $(crictl ps --name kube-proxy -q)",
        ),
        VERIFY,
        Safety.DISRUPTIVE,
    )


def _links(addresses: Iterable[str], why: str) -> tuple[Link, ...]:
    """The lookups that fail for it. It is proven where the servers themselves answer the same pod."""
    sure = frozenset({"servers:answer"})
    return tuple(
        Link("dns-reply-source", reason, why, certainty, when | {f"address:{address}"})
        for address in addresses
        for reason in ("NoReply", "RepliesLost", "TcpOnly", "UdpOnly")
        for certainty, when in ((Certainty.PROVEN, sure), (Certainty.LIKELY, frozenset[str]()))
    )


def _untranslated(dns: ClusterDns) -> tuple[Link, ...]:
    why = "kube-proxy does not run here, and no rule translates the address of a service"
    return (*_links([one.address for one in dns.addresses], why), *_api_links(why))


def _api_links(why: str) -> tuple[Link, ...]:
    """The API server's own service is translated by the same rules."""
    return (
        Link("apiserver-san", "EndpointUnreachable", why, when=frozenset({"endpoint:service"})),
        Link("coredns", "ApiNotReached", f"{why}, by which CoreDNS reaches the API server"),
    )


def _seen(routes: Iterable[Route]) -> list[Evidence]:
    return [
        Evidence(f"{route.mechanism}, {route.address} {route.protocol}", "\n".join(route.lines)) for route in routes
    ]


def _process(proxy: KubeProxy) -> Evidence:
    return Evidence("processes", proxy.process or "none is kube-proxy")
