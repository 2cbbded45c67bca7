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

One cause is one finding: where replies come from elsewhere, TCP fails as well and is not told apart; where a service
address is silent, the servers' direct answers tell which half of the way is broken. One lost datagram alone is a warning.
NXDOMAIN for the name of the API server's service is an answer, so the source is judged as any; since every cluster has
that name, it is a warning of its own.

## Reasons
- `RepliesMatch` (pass): every address answered, from itself
- `UnexpectedSource` (fail): replies came from another address; the message says from whom, and how many of how many
- `NoReply` (fail): an address, or one of the servers behind it, is silent or refuses
- `NoBackends` (fail): the service has no DNS server that is ready
- `ServerFailure` (fail): SERVFAIL or another error code
- `RefusedQuery` (fail): REFUSED
- `TcpOnly` (fail): UDP is not answered and TCP is
- `UdpOnly` (fail): TCP is not answered and UDP is
- `SlowReply` (warn): answers later than 1 s
- `RepliesLost` (warn): a single query of several stayed unanswered
- `NameNotFound` (warn): the cluster's own name does not exist
- `NoPodNamespace` (unknown on a node of a cluster, skip before): nothing to ask from
- `NoDnsAddress` (unknown on a node of a cluster, skip before): nobody said which address pods ask
- `NotAsked` (unknown): the queries could not be sent
- `Unreadable` (unknown): the kubelet's configuration, which names the addresses that pods ask, is malformed or could not be read
- `Offline` (skip): `--offline` was given

## What it sends
DNS queries for `kubernetes.default.svc.<cluster domain>`, type A, over UDP and TCP: from up to three pods 4 to 32 by UDP and 3 by
TCP to each cluster DNS address and 3 to each of up to six DNS servers; from the node 3 to each address and each server.

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

import re
from collections import Counter
from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_namespaces import PodNamespaces
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, skip, unknown, warn
from k8sdoctor.host.base import authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor.host.base import DnsOutcome, DnsReply

SLOW = 1.0
"""Seconds. A healthy CoreDNS answers a cluster name in milliseconds; glibc and Go give up on a server after 5 s."""

VERIFY = "k8sdoctor check dns-reply-source"

_NOT_SENT = frozenset({"unsupported", "not-an-address", "not-a-name", "failed"})


@check("dns-reply-source", title="Cluster DNS answers pods from the address that they asked", area="DNS")
def dns_reply_source(
    stage: Stage | Unobserved,
    kubelet: Kubelet | Unobserved,
    pods: PodNamespaces,
    dns: ClusterDns,
    replies: DnsReplies | Unobserved,
) -> Iterator[Finding]:
    """Judge who answered."""
    fresh = isinstance(stage, Stage) and stage.fresh
    if isinstance(kubelet, Kubelet) and not fresh:
        for problem in kubelet.problems:
            message = f"What the kubelet tells pods of DNS could not be read: {problem.message}."
            yield unknown(problem.reason, message, subject=kubelet.config_path)
    if isinstance(replies, Unobserved):
        make = skip if replies.reason == "Offline" else unknown
        yield make(replies.reason, f"Cluster DNS was not asked: {replies.message}.")
        return
    exchanges = [
        Exchange(view, one.address)
        for view in replies.pods
        for one in dns.addresses
        if view.to(one.address, "udp") or view.to(one.address, "tcp")
    ]
    if not exchanges:
        if dns.complete and not dns.backends and dns.service:
            yield _no_backends(dns, ())
        else:
            yield _nothing_to_ask(pods, dns, fresh=fresh)
        return
    findings = list(_Judge(pods, dns, replies, exchanges).findings())
    yield from findings or [
        passed("RepliesMatch", _all_good(exchanges, dns), subject=_addresses(exchanges), evidence=_seen(replies, dns))
    ]


@dataclass(frozen=True)
class Exchange:
    """All that one pod asked one address, sorted by what came of it."""

    view: View
    address: str

    @property
    def udp(self) -> tuple[DnsOutcome, ...]:
        """What was asked over UDP."""
        return self.view.to(self.address, "udp")

    @property
    def tcp(self) -> tuple[DnsOutcome, ...]:
        """What was asked over TCP."""
        return self.view.to(self.address, "tcp")

    @property
    def answers(self) -> list[DnsReply]:
        """The answers from the asked address, one for each answered query."""
        return [answer for outcome in (*self.udp, *self.tcp) if (answer := answer_to(outcome))]

    @property
    def strays(self) -> list[DnsReply]:
        """The answers from elsewhere to queries that the asked address did not answer."""
        return [stray for outcome in self.udp if not answer_to(outcome) and (stray := _stray(outcome))]

    @property
    def unanswered(self) -> list[DnsOutcome]:
        """The UDP queries that nobody answered."""
        return [outcome for outcome in self.udp if not answer_to(outcome) and not _stray(outcome)]

    @property
    def tcp_failed(self) -> list[DnsOutcome]:
        """The TCP queries that were not answered."""
        return [outcome for outcome in self.tcp if not answer_to(outcome)]

    @property
    def not_sent(self) -> bool:
        """Whether not a single query left the pod, for a reason that is no peer's."""
        return all(outcome["error"] in _NOT_SENT for outcome in (*self.udp, *self.tcp))


def answer_to(outcome: DnsOutcome) -> DnsReply | None:
    """The answer from the asked address and port, if it came."""
    server = outcome["query"]["server"].partition("%")[0]  # a source is told without its interface
    asked = (ip_address(server), outcome["query"]["port"])
    return next((one for one in outcome["replies"] if one["matches"] and _source(one) == asked), None)


def is_peculiar(exchange: Exchange, exchanges: Iterable[Exchange]) -> bool:
    """Whether a pod alone is cut off, while another in the same place is answered: a network policy may want it so."""

    def cut_off(one: Exchange) -> bool:
        return not one.strays and (
            len(one.unanswered) == len(one.udp) or (bool(one.tcp) and len(one.tcp_failed) == len(one.tcp))
        )

    def bridge(one: Exchange) -> str | None:
        return one.view.pod.bridge if one.view.pod else None

    return cut_off(exchange) and any(
        other.address == exchange.address
        and bridge(other) == bridge(exchange)
        and not (cut_off(other) or other.strays or other.unanswered or other.tcp_failed)
        for other in exchanges
    )


def _stray(outcome: DnsOutcome) -> DnsReply | None:
    return next((one for one in outcome["replies"] if one["matches"]), None)


def _source(reply: DnsReply) -> tuple[object, int]:
    return ip_address(reply["source"]), reply["port"]


@dataclass(frozen=True)
class _Judge:
    """Sorts exchanges by cause; each cause is one finding, with all the pods and addresses that show it."""

    pods: PodNamespaces
    dns: ClusterDns
    replies: DnsReplies
    exchanges: Sequence[Exchange]

    def findings(self) -> Iterator[Finding]:
        causes: dict[tuple[str, ...], list[Exchange]] = {}
        for exchange in self.exchanges:
            if is_peculiar(exchange, self.exchanges):
                continue
            for cause in self._causes(exchange):
                causes.setdefault(cause, []).append(exchange)
        for cause, exchanges in causes.items():
            yield self._finding(cause, exchanges)

    def _causes(self, exchange: Exchange) -> Iterator[tuple[str, ...]]:
        if exchange.not_sent:
            yield ("NotAsked",)
            return
        if exchange.strays:
            family = f"ipv{ip_address(exchange.address).version}"
            yield ("UnexpectedSource", family, self._shared_bridge(exchange) or "")
            return  # TCP fails for the same reason
        if not exchange.answers:
            yield self._silence(exchange)
            return
        if len(exchange.unanswered) == len(exchange.udp):
            yield ("TcpOnly",)
        elif exchange.view.own:
            pass  # what a server sends to the service may come back to itself, and be lost on a bridge without hairpin
        elif exchange.tcp_failed and not exchange.unanswered:
            yield ("UdpOnly",)
        elif exchange.unanswered:
            yield ("RepliesLost",) if len(exchange.unanswered) == 1 and not exchange.tcp_failed else ("NoReply", "some")
        yield from self._rcodes(exchange)
        if any(answer["seconds"] > SLOW for outcome in exchange.udp if (answer := answer_to(outcome))):
            yield ("SlowReply",)

    def _rcodes(self, exchange: Exchange) -> Iterator[tuple[str, ...]]:
        codes = {answer["rcode"] for answer in exchange.answers}
        for code in sorted(codes - {"NOERROR", "NXDOMAIN", "REFUSED"}):
            yield ("ServerFailure", code)
        if "REFUSED" in codes:
            yield ("RefusedQuery",)
        if "NXDOMAIN" in codes and self.dns.domain:  # without a domain the name asked for was a guess
            yield ("NameNotFound",)

    def _shared_bridge(self, exchange: Exchange) -> str | None:
        """The bridge that the pod shares with all who answered in the asked address's stead."""
        bridge = exchange.view.pod.bridge if exchange.view.pod else None
        behind = {self.pods.bridge_of(stray["source"]) for stray in exchange.strays}
        return bridge if behind == {bridge} else None

    def _silence(self, exchange: Exchange) -> tuple[str, ...]:
        if self.dns.complete and not self.dns.backends:
            return ("NoBackends",)
        if any(exchange.address == address for address, _ in self.dns.on_node):
            return ("NoReply", "cache")
        direct = self._direct(exchange.view)
        if any(answer_to(outcome) for outcome in direct):
            return ("NoReply", "service")
        return ("NoReply", "server" if direct else "unknown")

    def _direct(self, view: View) -> list[DnsOutcome]:
        """What the view asked of the DNS servers themselves."""
        asked = {one.address for one in self.dns.addresses}
        return [outcome for outcome in view.outcomes if outcome["query"]["server"] not in asked]

    # -- findings ----------------------------------------------------------------------------------------------------

    def _finding(self, cause: tuple[str, ...], exchanges: Sequence[Exchange]) -> Finding:
        reason, *details = cause
        subject = _addresses(exchanges)
        evidence = _seen(self.replies, self.dns)
        pods = _pods(exchanges)
        first = exchanges[0]
        traits = {f"address:{each.address}" for each in exchanges}
        match reason:
            case "UnexpectedSource":
                family, bridge = details
                traits |= {f"family:{family}", *([f"bridge:{bridge}"] if bridge else [])}
                return fail(
                    reason,
                    self._unexpected(exchanges, bridge),
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_translation(first, bridge),
                )
            case "NoBackends":
                return _no_backends(self.dns, evidence)
            case "NoReply":
                return fail(
                    reason,
                    self._no_reply(details[0], exchanges),
                    subject=subject,
                    evidence=evidence,
                    traits=traits | ({"servers:answer"} if details[0] == "service" else set()),
                    fix=_no_reply_fix(details[0], exchanges, self.dns),
                )
            case "TcpOnly" | "UdpOnly":
                good, bad = ("TCP", "UDP") if reason == "TcpOnly" else ("UDP", "TCP")
                outcomes = [one for each in exchanges for one in (each.udp if bad == "UDP" else each.tcp)]
                lost = [one for one in outcomes if not answer_to(one)]
                return fail(
                    reason,
                    f"{subject} answers {pods} over {good}, and left {len(lost)} of {len(outcomes)} queries over {bad} "
                    f"unanswered{_errors(lost)}.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_filters(bad.lower(), first.address, self.dns),
                )
            case "ServerFailure" | "RefusedQuery":
                code = details[0] if details else "REFUSED"
                return fail(
                    reason,
                    f"{subject} answered {pods} with {code} {self._count(exchanges, code)} when asked for {self.replies.name}",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_server(code, self.dns),
                )
            case "NameNotFound":
                return warn(
                    reason,
                    f"{subject} answers {pods}, but says that {self.replies.name} does not exist (NXDOMAIN), a name that every "
                    f"cluster has; the domain is from {self.dns.domain_source}.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_server("NXDOMAIN", self.dns),
                )
            case "SlowReply":
                times = [answer["seconds"] for each in exchanges for one in each.udp if (answer := answer_to(one))]
                late = [seconds for seconds in times if seconds > SLOW]
                return warn(
                    reason,
                    f"{subject} answered {pods} later than {SLOW:g} s {_times(len(late), len(times))}, at worst after {max(late):.1f} s.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_load(self.dns),
                )
            case "RepliesLost":
                total = sum(len(each.udp) for each in exchanges)
                lost = [one for each in exchanges for one in each.unanswered]
                return warn(
                    reason,
                    f"{subject} left {len(lost)} of {total} UDP queries from {pods} unanswered{_errors(lost)}; a resolver then "
                    "waits 5 s before it asks again.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=_look_at_load(self.dns),
                )
            case _:
                errors = sorted({one["error"] or "" for each in exchanges for one in (*each.udp, *each.tcp)})
                return unknown(
                    reason,
                    f"{subject} could not be asked for {self.replies.name!r} from {pods}: {', '.join(errors)}.",
                    subject=subject,
                    evidence=evidence,
                )

    def _unexpected(self, exchanges: Sequence[Exchange], bridge: str) -> str:
        strays = [stray for each in exchanges for stray in each.strays]
        total = sum(len(each.udp) for each in exchanges)
        sources = sorted({(stray["source"], stray["port"]) for stray in strays})
        who = ", ".join(self._who(source, port) for source, port in sources)
        where = f", which is on the same bridge {bridge}" if bridge else ""
        return (
            f"{_addresses(exchanges)} was asked from {_pods(exchanges)}, and {len(strays)} of {total} replies over UDP came from "
            f"{who} instead{where}: resolvers ignore such a reply and time out."
        )

    def _who(self, source: str, port: int) -> str:
        backend = self.dns.backend(source)
        owner = self.pods.owner(source)
        name = backend.name if backend else owner.name if owner else ""
        shown = source if port == 53 else authority(source, port)  # noqa: PLR2004 -- DNS's port goes without saying
        return f"{shown} (pod {name})" if name and name != source else shown

    def _no_reply(self, kind: str, exchanges: Sequence[Exchange]) -> str:
        subject, pods = _addresses(exchanges), _pods(exchanges)
        outcomes = [one for each in exchanges for one in (*each.udp, *each.tcp)]
        lost = [one for one in outcomes if not answer_to(one)]
        direct = [
            one for view in {each.view.name: each.view for each in exchanges}.values() for one in self._direct(view)
        ]
        alive = self._names(one for one in direct if answer_to(one))
        dead = self._names(one for one in direct if not answer_to(one))
        dead = [name for name in dead if name not in alive]
        start = f"{subject} did not answer {pods}{_errors(lost)}"
        match kind:
            case "some":
                told = f": {', '.join(dead)} is silent as well when asked directly" if dead else ""
                return f"{subject} left {len(lost)} of {len(outcomes)} queries from {pods} unanswered{_errors(lost)}{told}."
            case "cache":
                name = next(name for address, name in self.dns.on_node if address == exchanges[0].address)
                return (
                    f"{start}: it is an address of the node itself ({name}), where a DNS server or cache should listen."
                )
            case "service":
                return f"{start}, while {', '.join(alive)} answers there when asked directly: the service address leads nowhere."
            case "server":
                return f"{start}, and neither did {', '.join(dead)} when asked directly."
            case _:
                return f"{start}; which servers are behind it is not known here."

    def _names(self, outcomes: Iterable[DnsOutcome]) -> list[str]:
        servers = dict.fromkeys(one["query"]["server"] for one in outcomes)
        return [self._who(server, 53) for server in servers]

    def _count(self, exchanges: Sequence[Exchange], code: str) -> str:
        codes = [answer["rcode"] for each in exchanges for answer in each.answers]
        return _times(codes.count(code), len(codes))


def _times(count: int, total: int) -> str:
    return f"{count} of {total} times"


def _all_good(exchanges: Sequence[Exchange], dns: ClusterDns) -> str:
    alone = [each for each in exchanges if is_peculiar(each, exchanges)]
    answered = [each for each in exchanges if each not in alone]
    count = sum(len(each.answers) for each in answered)
    text = f"{_addresses(answered)} answered {_pods(answered)} {count} times, over UDP and TCP, always from the address asked."
    if alone:
        text += f" ({_pods(alone)} alone is not answered throughout, as when a network policy forbids it.)"
    if dns.complete and not dns.backends:
        return f"{text} (The API server lists no DNS server that is ready.)"
    return text


def _addresses(exchanges: Sequence[Exchange]) -> str:
    return ", ".join(dict.fromkeys(each.address for each in exchanges))


def _pods(exchanges: Sequence[Exchange]) -> str:
    names = dict.fromkeys(each.view.pod.name for each in exchanges if each.view.pod)
    return f"pod {next(iter(names))}" if len(names) == 1 else f"pods {', '.join(names)}"


_ERROR_WORDS = {
    "refused": "refused",
    "unreachable": "unreachable",
    "reset": "connection reset",
    "closed": "connection closed",
    "forbidden": "forbidden by a rule in the pod's own namespace",
}


def _errors(outcomes: Iterable[DnsOutcome]) -> str:
    """Why, where the socket said so: ` (refused by 10.244.0.1)`."""
    words: dict[str, list[str]] = {}
    for one in outcomes:
        if one["error"]:
            by = words.setdefault(_ERROR_WORDS.get(one["error"], one["error"]), [])
            by += [one["offender"]] if one["offender"] and one["offender"] not in by else []
    told = [word + (f" by {' and '.join(by)}" if by else "") for word, by in words.items()]
    return f" ({', '.join(told)})" if told else ""


# -- evidence ------------------------------------------------------------------------------------------------------------


def _seen(replies: DnsReplies, dns: ClusterDns) -> tuple[Evidence, ...]:
    """What each pod asked and who answered, then the node's own view, which looks healthy when pods are not."""
    views = [*replies.pods, *([replies.node] if replies.node else [])]
    seen = [
        Evidence(
            f"DNS asked from {view.name}"
            + (f" ({view.pod.path})" if view.pod and view.pod.name != view.pod.path else ""),
            f"not asked: {view.problem.message}" if view.problem else "\n".join(_lines(view)),
        )
        for view in views
    ]
    told = [f"{one.address}: {one.source}" for one in dns.addresses]
    told += [f"{one.address} is behind it: pod {one.name} ({one.source})" for one in dns.backends]
    return (*seen, Evidence("cluster DNS addresses", "\n".join(told)))


def _lines(view: View) -> Iterator[str]:
    groups: dict[tuple[str, int, str], list[DnsOutcome]] = {}
    for outcome in view.outcomes:
        query = outcome["query"]
        groups.setdefault((query["server"], query["port"], query["transport"]), []).append(outcome)
    for (server, port, transport), outcomes in groups.items():
        results = Counter(result for outcome in outcomes for result in _results(outcome))
        shown = ", ".join(f"{result}{f' {count} times' if count > 1 else ''}" for result, count in results.items())
        yield f"{authority(server, port)} {transport}, asked {_often(len(outcomes))}: {shown}"


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _results(outcome: DnsOutcome) -> Iterator[str]:
    for reply in outcome["replies"]:
        words = reply["rcode"] if reply["matches"] else "no answer to the query"
        yield f"{authority(reply['source'], reply['port'])} {words}"
    if outcome["dropped"]:
        yield f"{outcome['dropped']} more replies"
    if outcome["error"]:
        yield outcome["error"] + (f" by {outcome['offender']}" if outcome["offender"] else "")
    elif not outcome["replies"]:
        yield "no reply"


# -- nothing to ask ------------------------------------------------------------------------------------------------------


def _nothing_to_ask(pods: PodNamespaces, dns: ClusterDns, *, fresh: bool) -> Finding:
    make = skip if fresh else unknown
    problems = [
        Evidence("what could not be looked at", "\n".join(one)) for one in [(*pods.problems, *dns.problems)] if one
    ]
    if not pods.namespaces:
        because = "" if fresh or not pods.problems else f" ({pods.problems[0]})"
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


# -- fixes ---------------------------------------------------------------------------------------------------------------


def _kubectl(dns: ClusterDns) -> str:
    return f"kubectl -n {dns.service.partition('/')[0]}" if dns.service else "kubectl -n kube-system"


def _show_servers(dns: ClusterDns) -> tuple[str, ...]:
    kubectl = _kubectl(dns)
    if dns.service is None:
        return (f"{kubectl} get pods,services,endpointslices -o wide",)
    name = dns.service.partition("/")[2]
    return (
        f"{kubectl} get endpointslices -l kubernetes.io/service-name={name} -o wide",
        f"{kubectl} get pods -o wide",
        f"{kubectl} describe service {name}",
    )


def _show_logs(dns: ClusterDns) -> tuple[str, ...]:
    """The logs of the servers whose pods are known, two at most; else those of kubeadm's deployment."""
    pods = dict.fromkeys(one.name for one in dns.backends if re.fullmatch(r"[a-z0-9.-]+/[a-z0-9.-]+", one.name))
    named = [f"kubectl -n {pod.partition('/')[0]} logs {pod.partition('/')[2]} --tail=50" for pod in pods]
    return tuple(named[:2]) or (f"{_kubectl(dns)} logs deployment/coredns --tail=50",)


def _look_at_translation(exchange: Exchange, bridge: str) -> Fix:
    six = ":" in exchange.address
    transport = "ip6tables" if six else "iptables"
    switch = (f"sysctl net.bridge.bridge-nf-call-{transport}",) if bridge else ()
    own = (f"cat /sys/class/net/{bridge}/bridge/nf_call_{transport}",) if bridge else ()
    return Fix(
        title="See why the way back is not translated"
        + (f": bridge {bridge} must pass its packets to {transport}" if bridge else ""),
        commands=(
            *switch,
            *own,
            _entries("udp", exchange.address),
            *(() if six else ("sysctl net.ipv4.conf.all.rp_filter",)),
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def _entries(transport: str, address: str) -> str:
    """The command that shows the connections to an address, and how each is translated."""
    family = "ipv6" if ":" in address else "ipv4"
    return f"conntrack -L -f {family} -p {transport} --orig-dst {address}"


def _no_backends(dns: ClusterDns, evidence: Iterable[Evidence]) -> Finding:
    return fail(
        "NoBackends",
        f"Service {dns.service} has no DNS server that is ready, says the API server.",
        subject=dns.service,
        evidence=evidence or [Evidence("API server", f"no ready endpoint in the EndpointSlices of {dns.service}")],
        fix=Fix(
            title="See why no DNS server is ready",
            commands=(*_show_servers(dns), f"{_kubectl(dns)} get events --sort-by=.lastTimestamp"),
            verify=VERIFY,
            safety=Safety.MANUAL,
        ),
    )


def _no_reply_fix(kind: str, exchanges: Sequence[Exchange], dns: ClusterDns) -> Fix:
    address = exchanges[0].address
    rules = (
        "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
        f"{'ip6tables' if ':' in address else 'iptables'}-save | grep -F {address}; nft list ruleset | grep -F {address}; ipvsadm -Ln | grep -F -A3 {address}",
    )
    stale = _entries("udp", address)
    commands: tuple[str, ...]
    match kind:
        case "service":
            title = f"See whether kube-proxy, or what stands in its place, has rules for {address}"
            commands = (*rules, stale)
        case "cache":
            title = f"See who listens on {address}"
            commands = (f"ss -lnup | grep -F {address}", "kubectl -n kube-system get pods -o wide")
        case "server":
            title = "See whether the DNS servers run, and whether pods reach each other"
            commands = (*_show_servers(dns), *_show_logs(dns))
        case "some":
            title, commands = "See which DNS server is silent", (*_show_servers(dns), stale)
        case _:
            title = "See whether DNS servers run, and whether the service address leads to them"
            commands = (*_show_servers(dns), *rules)
    return Fix(title=title, commands=commands, verify=VERIFY, safety=Safety.MANUAL)


def _look_at_filters(transport: str, address: str, dns: ClusterDns) -> Fix:
    return Fix(
        title=f"See what keeps {transport.upper()} port 53 from passing: a network policy, a firewall, a stale connection entry",
        commands=(
            "kubectl get networkpolicies -A",
            "iptables-save | grep -E -- '--dport 53|dports .*53'; nft list ruleset | grep -w 53",
            _entries(transport, address),
            f"{_kubectl(dns)} get service,endpointslices -o wide",
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def _look_at_server(code: str, dns: ClusterDns) -> Fix:
    titles = {
        "REFUSED": "See whether the Corefile serves the cluster's domain, and whom it refuses",
        "NXDOMAIN": f"Compare the domain {dns.domain} with the zone that the Corefile gives to `kubernetes`",
    }
    return Fix(
        title=titles.get(code, "See what the DNS server says: often it does not reach the API server"),
        commands=(*_show_logs(dns), f"{_kubectl(dns)} get configmap coredns -o yaml"),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def _look_at_load(dns: ClusterDns) -> Fix:
    return Fix(
        title="See whether the DNS servers, or this node's connection table, are overloaded",
        commands=(
            *_show_servers(dns),
            "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",
            "conntrack -S",
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )
