"""NodeLocal DNSCache, where there is one, listens and is asked.

## What it looks at
The addresses on which a cache should listen: those of its command line and of its interface `nodelocaldns`, and link-local ones that the kubelet
tells pods. Who listens there on port 53, its rules in iptables, its ConfigMap, and what the DNS servers behind it answered over TCP.

## Why it matters
Pods of the node ask that one address, and no service stands behind it: with the interface or the listener gone, all of them are without DNS, on
this node alone. Where nothing leads to the cache it is of no use, and nobody notices.

## How it is decided
An address that pods are told and that the node does not have, or on which nobody listens by UDP and TCP, fails. The cache adds rules (NOTRACK) for each of
its addresses, unless it was started with `-setupiptables=false`; without them packets to the service's address are caught by kube-proxy's rules
first. A cache that is on its link-local address alone must be named by the kubelet's `clusterDNS`; under kube-proxy's mode ipvs it must be on that alone. With `force_tcp` for the cluster's zones, the
DNS servers must answer the node over TCP.

## Reasons
- `CacheAnswers` (pass): the cache listens where pods ask
- `NotJoined` (skip): the machine is no node yet
- `NoCache` (pass): nothing speaks of a cache on this node, and pods ask the DNS service itself
- `AddressMissing` (fail): pods are told an address that no interface of the node has
- `NotListening` (fail or warn): nobody listens on an address of the cache; a warning where pods are not told it
- `RulesMissing` (warn): the cache runs, and its rules for an address are absent
- `RulesUnread` (unknown): the rules could not be read
- `Bypassed` (warn): the cache runs, and pods are told another address
- `ServiceAddressUnderIpvs` (warn): the cache is to listen on the service's address, and kube-proxy runs in the mode ipvs
- `TcpBlocked` (fail): the cache asks by TCP alone, and the DNS servers do not answer the node over TCP

## What it sends
Nothing of its own but a GET request for the ConfigMap `node-local-dns` to the API server.

## How to fix
See why the pod of the DaemonSet `node-local-dns` does not run here: it makes interface and rules itself, within a minute of its start. Until
then the kubelet can give pods the service's address.

## How to verify
`k8sdoctor check nodelocal-dns dns-reply-source`

## References
- Kubernetes, "Using NodeLocal DNSCache in Kubernetes Clusters"
- kubernetes/dns `cmd/node-cache/app/cache_app.go`
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_replies import DnsReplies
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.node_local_dns import NodeLocalDns
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

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsOutcome

VERIFY = "k8sdoctor check nodelocal-dns dns-reply-source"
PODS = "kubectl -n kube-system get pods -l k8s-app=node-local-dns -o wide"


@check("nodelocal-dns", title="NodeLocal DNSCache listens, and pods ask it", area="DNS")
def nodelocal_dns(
    stage: Stage | Unobserved,
    cache: NodeLocalDns | Unobserved,
    dns: ClusterDns,
    replies: DnsReplies | Unobserved,
    proxy: KubeProxy | Unobserved,
) -> Iterator[Finding]:
    """Judge addresses, listeners, rules, then who asks it and whom it asks."""
    if isinstance(stage, Stage) and stage.fresh:
        yield skip("NotJoined", f"A DNS cache comes with the cluster ({stage.why}).")
        return
    if isinstance(cache, Unobserved):
        yield unknown(cache.reason, f"Whether a DNS cache listens here could not be seen: {cache.message}.")
        return
    if not cache.wanted and not cache.runs:
        yield passed("NoCache", "No DNS cache stands between the pods of this node and the DNS service.")
        return
    findings = [*_addresses(cache, dns), *_rules(cache, dns), *_asked(cache, dns)]
    findings += [*_under_ipvs(cache, dns, proxy), *_upstream(cache, dns, replies)]
    yield from findings or [
        passed(
            "CacheAnswers",
            f"A DNS cache listens on {', '.join(cache.listening) or 'its pod alone, and others lead there'}.",
            subject=next(iter(cache.listening), None),
            evidence=_seen(cache),
        )
    ]


def _told(dns: ClusterDns) -> set[str]:
    return {one.address for one in dns.addresses}


def _addresses(cache: NodeLocalDns, dns: ClusterDns) -> Iterator[Finding]:
    if not cache.switch("setupinterface"):
        return
    held = {address for address, _ in cache.held}
    for address in cache.wanted:
        asked = address in _told(dns)
        links = (
            [
                Link(
                    "dns-reply-source",
                    "NoReply",
                    f"nobody listens on {address} of this node",
                    Certainty.PROVEN,
                    frozenset({f"address:{address}"}),
                )
            ]
            if asked
            else []
        )
        if address not in held and asked:
            source = next(one.source for one in dns.addresses if one.address == address)
            yield fail(
                "AddressMissing",
                f"Pods are told {address} as DNS server ({source}), the address of a cache on the node, and no interface of this node has it.",
                subject=address,
                evidence=[Evidence(source, address), *_seen(cache)],
                fix=_start(),
                explains=links,
            )
        elif address in held and address not in cache.listening:
            interface = dict(cache.held)[address]
            yield (fail if asked else warn)(
                "NotListening",
                f"{interface} of this node has {address}, and nobody listens there on port 53 by UDP and TCP: the DNS cache does not "
                f"{'serve' if cache.runs else 'run'}.",
                subject=address,
                evidence=_seen(cache),
                fix=_start(),
                explains=links,
            )


def _start() -> Fix:
    return Fix(
        "See why the cache's pod does not run on this node, and start it; it makes interface and rules itself",
        (
            PODS,
            "kubectl -n kube-system logs -l k8s-app=node-local-dns --tail=20 --prefix",
            "crictl ps -a --name node-cache",
        ),
        VERIFY,
        Safety.MANUAL,
    )


def _rules(cache: NodeLocalDns, dns: ClusterDns) -> Iterator[Finding]:
    if not cache.runs or not cache.switch("setupiptables"):
        return
    if cache.untracked is None:
        if cache.problem is not None:
            yield unknown("RulesUnread", f"The rules of the DNS cache could not be read: {cache.problem.message}.")
        return
    missing = [address for address in cache.listening if address not in cache.untracked]
    if not missing:
        return
    services = {one.address for one in dns.addresses if "service " in one.source}
    caught = [address for address in missing if address in services]
    what = (
        f"kube-proxy's rules catch what pods send to {', '.join(caught)}, and the cache is passed by"
        if caught
        else "each query takes an entry in the table of connections, as without the cache"
    )
    yield warn(
        "RulesMissing",
        f"The DNS cache runs, and no rule of iptables keeps {', '.join(missing)} out of connection tracking: {what}.",
        subject=missing[0],
        evidence=_seen(cache),
        fix=Fix(
            "See in its log why the cache does not write its rules, and start it anew",
            (
                PODS,
                "kubectl -n kube-system logs -l k8s-app=node-local-dns --tail=50 --prefix | grep -i iptables",
                "kubectl -n kube-system rollout restart daemonset node-local-dns",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
    )


def _asked(cache: NodeLocalDns, dns: ClusterDns) -> Iterator[Finding]:
    told = _told(dns)
    if not cache.listening or not told or told & set(cache.wanted) or not cache.switch("setupinterface"):
        return
    if not cache.runs and not cache.interface:
        return
    yield warn(
        "Bypassed",
        f"The DNS cache of this node listens on {', '.join(cache.listening)}, and pods are told {', '.join(sorted(told))}: nobody asks it.",
        subject=cache.listening[0],
        evidence=[
            *_seen(cache),
            Evidence("cluster DNS addresses", "\n".join(f"{one.address}: {one.source}" for one in dns.addresses)),
        ],
        fix=Fix(
            f"Give pods {cache.listening[0]} by the kubelet's clusterDNS, or have the cache listen on the service's address (not with IPVS)",
            (
                "grep -A 2 clusterDNS /var/lib/kubelet/config.yaml",
                "kubectl -n kube-system get daemonset node-local-dns -o yaml | grep -A 1 localip",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
    )


def _under_ipvs(cache: NodeLocalDns, dns: ClusterDns, proxy: KubeProxy | Unobserved) -> Iterator[Finding]:
    services = {one.address for one in dns.addresses if "service " in one.source}
    shared = [address for address in cache.wanted if address in services]
    if not cache.runs or not shared or isinstance(proxy, Unobserved) or proxy.mode != "ipvs":
        return
    local = next((address for address in cache.wanted if address not in services), "169.254.20.10")
    yield warn(
        "ServiceAddressUnderIpvs",
        f"The DNS cache is to listen on {', '.join(shared)}, the DNS service's own address, and kube-proxy runs in the mode ipvs, which keeps that "
        "address for itself: under ipvs the cache can serve on an address of its own alone.",
        subject=shared[0],
        evidence=[*_seen(cache), Evidence("kube-proxy's configuration", "mode: ipvs")],
        fix=Fix(
            f"Take the service's address out of the cache's `-localip`, and give pods {local} by the kubelet's clusterDNS",
            (
                "kubectl -n kube-system get daemonset node-local-dns -o yaml | grep -A 1 localip",
                "grep -A 2 clusterDNS /var/lib/kubelet/config.yaml",
                "kubectl -n kube-system edit daemonset node-local-dns",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
    )


def _upstream(cache: NodeLocalDns, dns: ClusterDns, replies: DnsReplies | Unobserved) -> Iterator[Finding]:
    if not cache.forces_tcp or isinstance(replies, Unobserved) or replies.node is None:
        return
    servers = {one.address for one in dns.backends} - set(cache.wanted)
    direct = [each for each in replies.node.outcomes if each["query"]["server"] in servers]
    tcp = [each for each in direct if each["query"]["transport"] == "tcp"]
    udp = [each for each in direct if each["query"]["transport"] == "udp"]
    if not tcp or any(map(_answered, tcp)) or not any(map(_answered, udp)):
        return
    names = ", ".join(sorted({each["query"]["server"] for each in tcp}))
    why = f"the cache asks {names} by TCP alone, and gets no answer"
    yield fail(
        "TcpBlocked",
        f"The DNS cache asks the cluster's servers by TCP alone (force_tcp), and {names} answer the node over UDP and not over TCP.",
        subject=names,
        evidence=_seen(cache),
        fix=Fix(
            "Let TCP port 53 to the DNS servers pass",
            (
                f"dig +tcp @{tcp[0]['query']['server']} kubernetes.default",
                "iptables-save | grep -E -- '--dport 53|dports .*53'",
            ),
            VERIFY,
            Safety.MANUAL,
        ),
        explains=[Link("dns-reply-source", reason, why) for reason in ("ServerFailure", "NoReply", "UdpOnly")],
    )


def _answered(outcome: DnsOutcome) -> bool:
    return any(reply["matches"] for reply in outcome["replies"])


def _seen(cache: NodeLocalDns) -> list[Evidence]:
    held = "\n".join(f"{address} on {name}" for address, name in cache.held) or "none of the cache's addresses"
    found = [
        Evidence("addresses of the node", held),
        Evidence("listeners on port 53 by UDP and TCP", ", ".join(cache.listening) or "none"),
        Evidence("process", " ".join(cache.words) or "no node-cache"),
    ]
    if cache.untracked is not None:
        found.append(Evidence("rules of iptables with NOTRACK", ", ".join(cache.untracked) or "none"))
    return found
