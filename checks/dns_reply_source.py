"""Cluster DNS answers pods, over UDP and TCP, from the address that they asked.

## What it looks at
The replies that come back when every cluster DNS address is asked from inside the network namespaces of a few pods of this
node, and from whom they come; the same asked of the DNS servers directly, and from the node itself.

## Why it matters
A resolver ignores a reply that does not come from the address that it asked, and says "timed out". That happens when pod and
DNS server are on one bridge and bridged packets pass iptables by: the way there is translated, the way back is not. The node
itself is answered properly at the same time, so nothing looks broken but the pods.

## How it is decided
Up to three pods are asked from: none of the DNS servers' own where others exist (a server does not see its own replies go
astray), one from each bridge before a second. An address is asked by UDP so many times, each from a fresh port, that each
server behind it is met with 99 % (8 times where their number is unknown: 99.6 % for each of two, 96 % of three), and three
times by TCP. A reply counts only with the id and the question of the query. A query listens for 3 s, and 0.2 s beyond the
answer from the asked address.

Replies from elsewhere are told apart by who sent them: a server on the pod's own bridge (the switch of `br-netfilter`), one elsewhere on this
node or on another one (translated by something that does not see the way back: IPVS without masquerade, rules that exempt DNS from
connection tracking, a service translation in eBPF), or somebody who is no DNS server of the cluster at all (a proxy in between). The message says
whether other servers, or the other address family, are answered properly at the same time.

One cause is one finding: where replies come from elsewhere, TCP fails as well and is not told apart; where a service
address is silent, the servers' direct answers tell which half of the way is broken. Where one of several servers is silent, what
was lost is laid on it, unless chance would send so many queries to it less than once in a thousand times. One lost datagram alone is a warning.
NXDOMAIN for the name of the API server's service is an answer, so the source is judged as any; since every cluster has
that name, it is a warning of its own.

## Reasons
- `RepliesMatch` (pass): every address answered, from itself
- `UnexpectedSource` (fail): replies came from another address; the message says from whom, and how many of how many
- `NoReply` (fail): an address, or one of the servers behind it, is silent or refuses
- `BackendSilent` (fail): one DNS server of several answers nobody here; the message says which, and on which node it is
- `NoBackends` (fail): the service has no DNS server that is ready
- `ServerFailure` (fail): SERVFAIL or another error code
- `RefusedQuery` (fail): REFUSED
- `TcpOnly` (fail): UDP is not answered and TCP is
- `UdpOnly` (fail): TCP is not answered and UDP is
- `SlowReply` (warn): answers later than 1 s
- `AnsweredThroughout` (pass): with `--for`, every query was answered all the while
- `FailedWhileWatched` (fail, warn for rare and lone ones): with `--for`, queries failed; the message says when, the evidence where
- `RepliesLost` (warn): a single query of several stayed unanswered
- `NameNotFound` (warn): the cluster's own name does not exist
- `NoPodNamespace` (unknown on a node of a cluster, skip before): nothing to ask from
- `NoDnsAddress` (unknown on a node of a cluster, skip before): nobody said which address pods ask
- `NotAsked` (unknown): the queries could not be sent
- `Unreadable` (unknown): the kubelet's configuration, which names the addresses that pods ask, is malformed or could not be read
- `Offline` (skip): `--offline` was given

## What it sends
DNS queries for `kubernetes.default.svc.<cluster domain>`, type A, over UDP and TCP: from up to three pods 4 to 32 by UDP and 3 by
TCP to each cluster DNS address and 3 to each of up to six DNS servers; from the node 3 to each address and each server. With `--for 10m`, two a second to each address by UDP and by TCP and to each server by UDP, and
two pairs a second of A and AAAA from one port to each address, spread over those pods, for so long.

## How to fix
Where the bridge's switch is the cause, `br-netfilter` names it and carries the fix. Else follow the way of a packet: kube-proxy's
rules for the service address, the DNS server's pod, and filters between them. The suggested commands show each.

## How to verify
`k8sdoctor check dns-reply-source` says `RepliesMatch`. From a pod: `nslookup kubernetes.default`.

## References
- https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/
- dig up to 9.16 says "reply from unexpected source", later ones "communications error … timed out"
- the kernel's Documentation/networking/ip-sysctl.rst, `bridge-nf-call-iptables`
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time

from k8sdoctor.check import check
from k8sdoctor.checks._dns_exchanges import Exchange, addresses_of, seen
from k8sdoctor.checks._dns_judgement import Judgement, all_good, no_backends
from k8sdoctor.checks._dns_watch_judgement import judge as judge_watch
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_replies import DnsReplies
from k8sdoctor.facts.dns_watch import DnsWatch
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_namespaces import PodNamespaces
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Unobserved, passed, skip, unknown


@check("dns-reply-source", title="Cluster DNS answers pods from the address that they asked", area="DNS")
def dns_reply_source(  # noqa: PLR0913, PLR0917 -- each is a fact of its own
    stage: Stage | Unobserved,
    kubelet: Kubelet | Unobserved,
    pods: PodNamespaces,
    dns: ClusterDns,
    replies: DnsReplies | Unobserved,
    watch: DnsWatch | Unobserved,
) -> Iterator[Finding]:
    """Judge who answered."""
    fresh = isinstance(stage, Stage) and stage.fresh
    if isinstance(kubelet, Kubelet) and not fresh:
        for problem in kubelet.problems:
            message = f"What the kubelet tells pods of DNS could not be read: {problem.message}."
            yield unknown(problem.reason, message, subject=kubelet.config_path, traits=[f"file:{kubelet.config_path}"])
    if isinstance(replies, Unobserved):
        make = skip if replies.reason == "Offline" else unknown
        yield make(replies.reason, f"Cluster DNS was not asked: {replies.message}.")
        return
    if isinstance(watch, DnsWatch):
        yield from judge_watch(watch, dns)
    elif watch.reason == "DeadlineExceeded":
        yield unknown(watch.reason, f"Cluster DNS was not asked for as long as it was to be: {watch.message}.")
    exchanges = [
        Exchange(view, one.address)
        for view in replies.pods
        for one in dns.addresses
        if view.to(one.address, "udp") or view.to(one.address, "tcp")
    ]
    if not exchanges:
        if dns.complete and not dns.backends and dns.service:
            yield no_backends(dns, ())
        else:
            yield _nothing_to_ask(pods, dns, fresh=fresh)
        return
    findings = list(Judgement(pods, dns, replies, exchanges).findings())
    yield from findings or [
        passed("RepliesMatch", all_good(exchanges, dns), subject=addresses_of(exchanges), evidence=seen(replies, dns))
    ]


def _nothing_to_ask(pods: PodNamespaces, dns: ClusterDns, *, fresh: bool) -> Finding:
    make = skip if fresh else unknown
    problems = [
        Evidence("what could not be looked at", "\n".join(one)) for one in [(*pods.problems, *dns.problems)] if one
    ]
    if not pods.namespaces:
        because = "" if fresh or not pods.problems else f": {pods.problems[0]}"
        return make(
            "NoPodNamespace",
            f"No pod with a network of its own was found here to ask from{because}.",
            evidence=problems,
        )
    if not dns.addresses:
        return make(
            "NoDnsAddress",
            "Which address pods ask for DNS is not known: neither the kubelet's configuration, nor a pod's resolv.conf, nor the API "
            "server told.",
            evidence=problems,
        )
    return make(
        "NoPodNamespace",
        "No pod here is fit to ask from: there is only the DNS server's own, or none has an address of the right family.",
        evidence=problems,
    )
