"""Pods are given DNS servers that there are, and search lists that work.

## What it looks at
The `resolv.conf` of up to eight running pods, the file from which the kubelet makes them, its `clusterDNS`, and the addresses that the DNS
service really has. What comes back when a name that nobody has is looked up through one pod's whole search list.

## Why it matters
The kubelet copies what it is told: an address that is no service's leaves every pod without DNS; 127.0.0.53 is the pod itself; and since a name
with fewer than five dots is tried with each search domain first, a domain of the node's own that answers for every name (a wildcard) catches all names of the
world, and one that fails makes musl's resolver give up.

## How it is decided
An address of the kubelet's fails if no service has it, no interface of the node has it, and nobody answers there. A loopback server fails where
nobody answers in the pod either, for a sidecar may serve there. Of the search list only what is not the cluster's own domain is judged; how
many queries a name costs, and how long they take, is told and no fault. Nor is an option that a libc does not know, or that is there twice: glibc and musl
pass over the one, Go asks through libc for it where it can, and of the other glibc takes the last. What is beyond the limits of kubelet and libc warns. A loopback address or a missing file at the
kubelet's `resolvConf` is the check `kubelet`'s to tell.

## Reasons
- `ResolvConfFits` (pass): nothing speaks against what pods are given
- `NotJoined` (skip): the machine is no node yet
- `WrongClusterDns` (fail): the kubelet names an address as DNS that is no service's, and nobody answers there
- `StubResolver` (fail): a pod is given a resolver on loopback, and nobody answers there
- `SearchWildcard` (fail): a search domain has an address for a name that nobody has
- `SearchDomainFails` (warn): a search domain of the node's own is answered with an error, or not at all
- `TooManyServers` (warn): more than three DNS servers are named; the others are never asked
- `SearchTooLong` (warn): the search list is longer than kubelet or libc take

## What it sends
From one pod, by UDP, A and AAAA of `k8sdoctor.invalid` with each entry of its search list (eight at most) to its first DNS server. From
pods whose resolv.conf names loopback one query `. NS` there. A GET request for the services labelled as DNS to the API server, where the
kubelet's address is none of a service that it told of.

## How to fix
Give the kubelet the service's address, or a resolv.conf without the stub and the domain, and make the pods anew: they keep what they got.

## How to verify
`k8sdoctor check pod-resolv-conf dns-reply-source`

## References
- kubernetes `pkg/kubelet/network/dns/dns.go`, `pkg/apis/core/validation` (32 search domains and 2048 characters from 1.26
  on, 6 and 256 before)
- resolv.conf(5): three servers; glibc before 2.26: 6 search domains
- glibc `resolv/res_init.c` (options), Go `src/net/dnsconfig_unix.go`, `src/net/conf.go`
- musl `src/network/resolvconf.c`: lines of 256 characters and more are passed over
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from ipaddress import ip_address
from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_replies import DnsReplies
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_resolv_confs import OUTSIDE, PodResolvConfs
from k8sdoctor.facts.pod_resolver import PodResolver
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
    from k8sdoctor.facts.pod_resolv_confs import ResolvConf
    from k8sdoctor.host.answers import DnsOutcome

MOST_SERVERS = 3
MOST_SEARCHES, LONGEST_SEARCH = 32, 2048
FEWER_SEARCHES, SHORTER_SEARCH = 6, 256
EXPANDED = (1, 26, 0)  # from here on the feature gate ExpandedDNSConfig is on
MUSL_LINE = 256
VERIFY = "k8sdoctor check pod-resolv-conf dns-reply-source"


@check("pod-resolv-conf", title="Pods are given DNS servers and search lists that work", area="DNS")
def pod_resolv_conf(  # noqa: PLR0913, PLR0917 -- each is a fact of its own
    stage: Stage | Unobserved,
    kubelet: Kubelet,
    resolver: PodResolver,
    dns: ClusterDns,
    pods: PodResolvConfs,
    replies: DnsReplies | Unobserved,
) -> Iterator[Finding]:
    """Judge the kubelet's addresses, then what pods have, then the search list."""
    if isinstance(stage, Stage) and stage.fresh:
        yield skip("NotJoined", f"No pod is given a resolv.conf here yet ({stage.why}).")
        return
    findings = [
        *_addresses(kubelet, dns, pods, replies),
        *_stubs(pods),
        *_searched(pods, dns),
        *_limits(resolver, pods),
        *_cut(kubelet, resolver, dns),
    ]
    yield from findings
    if pods.problem is not None and pods.problem.reason != "Offline":
        yield unknown(pods.problem.reason, f"What pods' search lists cost was not asked: {pods.problem.message}.")
    elif kubelet.config_problem is not None:
        yield unknown(
            kubelet.config_problem.reason,
            f"What the kubelet gives pods could not be read: {kubelet.config_problem.message}.",
            subject=kubelet.config_path,
            traits=[f"file:{kubelet.config_path}"],
        )
    elif not findings:
        yield _fits(kubelet, pods)


# -- the kubelet's addresses -----------------------------------------------------------------------------------------


def _addresses(
    kubelet: Kubelet, dns: ClusterDns, pods: PodResolvConfs, replies: DnsReplies | Unobserved
) -> Iterator[Finding]:
    if not pods.services or isinstance(replies, Unobserved):
        return
    here = {address for address, _ in dns.on_node}
    real = ", ".join(f"{address} ({name})" for name, address in pods.services)
    for one in dns.addresses:
        asked = [
            outcome
            for view in (*replies.pods, *([replies.node] if replies.node else []))
            for outcome in (*view.to(one.address, "udp"), *view.to(one.address, "tcp"))
        ]
        # A link-local address is that of a cache on the node, which `nodelocal-dns` judges.
        known = (
            one.address in here
            or ip_address(one.address).is_link_local
            or any(address == one.address for _, address in pods.services)
        )
        if known or not asked or any(reply["matches"] for outcome in asked for reply in outcome["replies"]):
            continue
        source = kubelet.source_of("--cluster-dns", "clusterDNS")
        yield fail(
            "WrongClusterDns",
            f"Pods are given {one.address} as DNS server ({one.source}), which is no service's address and where nobody answers: DNS is at "
            f"{real}.",
            subject=one.address,
            evidence=[Evidence(source, one.address), Evidence("services with the label k8s-app=kube-dns", real)],
            fix=_give_address(kubelet, one.address, pods.services[0][1]),
            explains=[
                Link(
                    "dns-reply-source",
                    "NoReply",
                    f"{one.address} is no service's address",
                    Certainty.PROVEN,
                    frozenset({f"address:{one.address}"}),
                )
            ],
        )


def _give_address(kubelet: Kubelet, wrong: str, right: str) -> Fix:
    path = kubelet.setting_source("clusterDNS")
    change = (
        f"sed -i {quote(f's|{wrong}$|{right}|')} {quote(path)}"
        if path.startswith("/") and "--cluster-dns" not in kubelet.flags
        else "${EDITOR:-vi} /var/lib/kubelet/config.yaml"
    )
    return Fix(
        f"Give the kubelet the address {right}; pods that run keep the old one until they are made anew",
        (change, "systemctl restart kubelet"),
        VERIFY,
        Safety.DISRUPTIVE,
    )


# -- what pods have --------------------------------------------------------------------------------------------------


def _stubs(pods: PodResolvConfs) -> Iterator[Finding]:
    silent = {name for name, outcome in pods.own if not any(reply["matches"] for reply in outcome["replies"])}
    found = [each for each in pods.files if each.pod.name in silent]
    if not found:
        return
    stub = next(server for server in found[0].servers if server.startswith("127.") or server == "::1")
    names = ", ".join(each.pod.name for each in found)
    yield fail(
        "StubResolver",
        f"{names} is given {stub} as DNS server, which there is the pod itself, and nobody answers: the kubelet handed the node's stub resolver "
        "on.",
        subject=found[0].pod.name,
        evidence=[Evidence(f"/etc/resolv.conf of pod {each.pod.name}", each.text) for each in found],
        fix=Fix(
            "Have the kubelet hand on a resolv.conf with real resolvers, and make these pods anew",
            ("grep -h nameserver /run/systemd/resolve/resolv.conf", "k8sdoctor check kubelet"),
            VERIFY,
            Safety.MANUAL,
        ),
    )


def _searched(pods: PodResolvConfs, dns: ClusterDns) -> Iterator[Finding]:
    if pods.asker is None or not pods.searched or dns.domain is None:
        return
    own = f".{dns.domain.rstrip('.').lower()}."
    wild: dict[str, str] = {}
    failing: dict[str, str] = {}
    answered = any(_code(outcome) for outcome in pods.searched)
    for outcome in pods.searched:
        name = outcome["query"]["name"]
        entry = name.removeprefix(f"{OUTSIDE}.").lower()
        if f".{entry}".endswith(own):
            continue
        code = _code(outcome)
        answers = [text for reply in outcome["replies"] if reply["matches"] for text in reply["answers"]]
        if code == "NOERROR" and answers:
            wild.setdefault(entry, answers[0])
        elif code not in {"NOERROR", "NXDOMAIN"} and answered:  # total silence is dns-reply-source's to tell
            failing.setdefault(entry, code or "nothing")
    evidence = [_asked(pods, pods.asker)]
    for entry, answer in wild.items():
        yield fail(
            "SearchWildcard",
            f"The search domain {entry} has {answer} for {OUTSIDE}, a name that nobody has: names outside the cluster with fewer than "
            f"{pods.asker.ndots} dots lead pods there.",
            subject=entry,
            evidence=evidence,
            fix=_drop_domain(entry),
        )
    for entry, code in failing.items():
        yield warn(
            "SearchDomainFails",
            f"Names below the search domain {entry} are answered with {code}: each lookup of a name outside waits for that, and musl's resolver "
            "gives up there.",
            subject=entry,
            evidence=evidence,
            fix=_drop_domain(entry),
        )


def _drop_domain(entry: str) -> Fix:
    return Fix(
        f"Take {entry} out of the resolv.conf that the kubelet hands on, or mend it at its DNS server",
        (
            f"grep -l {quote(entry.rstrip('.'))} /etc/resolv.conf /run/systemd/resolve/resolv.conf",
            "k8sdoctor check coredns",
        ),
        VERIFY,
        Safety.MANUAL,
    )


def _limits(resolver: PodResolver, pods: PodResolvConfs) -> Iterator[Finding]:
    servers = [(resolver.path, resolver.servers)]
    servers += [(f"/etc/resolv.conf of pod {each.pod.name}", each.servers) for each in pods.files]
    for source, named in servers:
        if len(named) > MOST_SERVERS:
            yield warn(
                "TooManyServers",
                f"{source} names {len(named)} DNS servers, and no more than {MOST_SERVERS} are ever asked: {', '.join(named[MOST_SERVERS:])} "
                "is left out.",
                subject=source,
                evidence=[Evidence(source, "\n".join(named))],
                fix=Fix(
                    "Leave the three that count", (f"grep -n nameserver {quote(resolver.path)}",), VERIFY, Safety.MANUAL
                ),
            )
            break
    for each in pods.files:
        line = " ".join(("search", *each.search))
        if len(each.search) > MOST_SEARCHES or len(line) > LONGEST_SEARCH or len(line) >= MUSL_LINE:
            yield warn(
                "SearchTooLong",
                f"The search list of pod {each.pod.name} has {len(each.search)} domains and {len(line)} characters: musl passes over a line of "
                f"{MUSL_LINE} and more, the kubelet cuts at {MOST_SEARCHES} domains and {LONGEST_SEARCH} characters.",
                subject=each.pod.name,
                evidence=[Evidence(f"/etc/resolv.conf of pod {each.pod.name}", each.text)],
                fix=_drop_domain(each.search[-1]),
            )
            return


def _cut(kubelet: Kubelet, resolver: PodResolver, dns: ClusterDns) -> Iterator[Finding]:
    """What the kubelet leaves out of the search lists that it makes: the cluster's three domains first, then the node's."""
    if dns.domain is None or not resolver.search:
        return
    domain = dns.domain.rstrip(".")
    whole = list(dict.fromkeys((f"default.svc.{domain}", f"svc.{domain}", domain, *resolver.search)))
    new = kubelet.version is None or kubelet.version >= EXPANDED
    most, longest = (MOST_SEARCHES, LONGEST_SEARCH) if new else (FEWER_SEARCHES, SHORTER_SEARCH)
    kept = whole[:most]
    while kept and len(" ".join(kept)) > longest:
        kept.pop()
    left = whole[len(kept) :]
    if left:
        yield warn(
            "SearchTooLong",
            f"{resolver.path} has {len(resolver.search)} search domains, and with the cluster's own the kubelet hands on {most} and {longest} characters "
            f"at most: names in {', '.join(left[:3])}{' and others' if len(left) > 3 else ''} are not found from pods.",  # noqa: PLR2004 -- enough to know them
            subject=resolver.path,
            evidence=[Evidence(resolver.path, "search " + " ".join(resolver.search))],
            fix=_drop_domain(left[-1]),
        )


# -- nothing to say against it ---------------------------------------------------------------------------------------


def _fits(kubelet: Kubelet, pods: PodResolvConfs) -> Finding:
    told = f"The kubelet gives pods {', '.join(kubelet.cluster_dns) or 'no DNS server of its own'} as DNS server"
    asker = pods.asker
    if asker is None:
        return passed("ResolvConfFits", f"{told}.", subject=kubelet.config_path)
    most = 2 * (len(asker.search) + 1)
    cost = f"with ndots:{asker.ndots} and {len(asker.search)} search domains a name outside costs up to {most} queries"
    counted = (
        f"; {len(pods.searched)} were asked and {_absent(pods)} answered NXDOMAIN, which takes a resolver {1000 * _waited(pods):.0f} ms before it "
        "asks for the name itself"
        if pods.searched
        else ""
    )
    return passed(
        "ResolvConfFits",
        f"{told}; {cost}{counted}.",
        subject=asker.pod.name,
        evidence=[
            Evidence(f"/etc/resolv.conf of pod {asker.pod.name}", asker.text),
            *([_asked(pods, asker)] if pods.searched else []),
        ],
    )


def _absent(pods: PodResolvConfs) -> int:
    return sum(_code(outcome) == "NXDOMAIN" for outcome in pods.searched)


def _waited(pods: PodResolvConfs) -> float:
    """How long a resolver waits that asks for A and AAAA at once, for one entry of the search list after the other."""
    slowest: dict[str, float] = {}
    for one in pods.searched:
        name = one["query"]["name"]
        took = next((reply["seconds"] for reply in one["replies"] if reply["matches"]), one["seconds"])
        slowest[name] = max(slowest.get(name, 0.0), took)
    return sum(slowest.values())


def _asked(pods: PodResolvConfs, asker: ResolvConf) -> Evidence:
    lines = [
        f"{each['query']['name']} {each['query']['type']}: {_code(each) or each['error'] or 'no reply'}{_took(each)}"
        for each in pods.searched
    ]
    return Evidence(f"{OUTSIDE} asked from pod {asker.pod.name}", "\n".join(lines))


def _took(outcome: DnsOutcome) -> str:
    return next((f", {1000 * reply['seconds']:.0f} ms" for reply in outcome["replies"] if reply["matches"]), "")


def _code(outcome: DnsOutcome) -> str:
    return next((reply["rcode"] for reply in outcome["replies"] if reply["matches"]), "")
