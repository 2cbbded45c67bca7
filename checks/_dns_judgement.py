"""Sorts what pods' queries met by cause: each cause is one finding, with all the pods and addresses that show it."""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import TYPE_CHECKING

from k8sdoctor.checks import _dns_fixes as fixes
from k8sdoctor.checks._dns_exchanges import (
    UNSENT,
    Exchange,
    addresses_of,
    answer_to,
    direct_evidence,
    errors_of,
    is_peculiar,
    pods_of,
    seen,
    stray_of,
)
from k8sdoctor.finding import Evidence, Finding, fail, unknown, warn
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.cluster_dns import Backend, ClusterDns
    from k8sdoctor.facts.dns_replies import DnsReplies, View
    from k8sdoctor.facts.pod_namespaces import PodNamespaces
    from k8sdoctor.host.answers import DnsOutcome

UNLIKELY = 0.001
"""What queries that meet a silent server, or none, would show more often than this is no cause of its own."""

SLOW = 1.0
"""Seconds. A healthy CoreDNS answers a cluster name in milliseconds; glibc and Go give up on a server after 5 s."""


_WAYS = {
    "bridge": "",
    "port": " It came from another port of the same address: something in between rewrites ports.",
    "node": (
        " The server is on this node, and not on the pod's bridge: its replies take a way on which nothing translates them back, as when "
        "rules exempt DNS from connection tracking, IPVS does not masquerade, or two programs translate services."
    ),
    "beyond": (
        " The server is on another node: its replies do not come back through what translated the query, as when masquerade is missing, a "
        "second way leads back, or rules exempt DNS from connection tracking."
    ),
    "anywhere": (
        " Servers on this node and on others are concerned alike, so it is no bridge's doing: rules that exempt DNS from connection tracking, or "
        "two programs that translate services."
    ),
    "stranger": " It is no DNS server that the cluster lists: something in between takes DNS queries for itself, or the list is out of date.",
    "unknown": "",
}
"""What it points to, by where strays come from. Which of these it is, the rules of the node tell."""


@dataclass(frozen=True)
class Judgement:
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
        silent = self._silent_backends()
        if silent:
            yield self._backend_silent(silent)
        for cause, exchanges in causes.items():
            left = self._without_those_sent_to(silent, cause, exchanges)
            if left:
                yield self._finding(cause, left)

    def _without_those_sent_to(
        self, silent: Sequence[Backend], cause: tuple[str, ...], exchanges: Sequence[Exchange]
    ) -> list[Exchange]:
        """The exchanges that meet the cause for another reason than that some of their queries, or none, were sent to a silent server.

        kube-proxy sends each query to any of the servers. So with one of two silent, seven by UDP meet it alone once in 128 times, and the
        address then looks as if it answered TCP only.
        """

        def share(exchange: Exchange) -> float:
            """How many of the servers behind the address are silent, from 0 to 1."""
            version = ip_address(exchange.address).version
            alike = [one in silent for one in self.dns.backends if _version(one) == version]
            return sum(alike) / len(alike) if alike else 0

        def chance(exchange: Exchange) -> float:
            """How often the exchange would look so."""
            direct = [one["query"]["transport"] for one in self._direct(exchange) if answer_to(one)]
            match cause:
                case ("NoReply", "some") | ("RepliesLost",):
                    return 1
                case ("NoReply", "service"):
                    return share(exchange) ** len((*exchange.udp, *exchange.tcp))
                case ("TcpOnly",) if "udp" in direct:
                    return share(exchange) ** len(exchange.udp)
                case ("UdpOnly",) if "tcp" in direct:
                    return (1 - share(exchange)) ** len(exchange.udp)
            return 0

        shared = [one for one in exchanges if share(one)]
        likely = math.prod(map(chance, shared)) * len(self.exchanges) >= UNLIKELY  # it may happen to each of them
        return [one for one in exchanges if one not in shared or not likely]

    def _causes(self, exchange: Exchange) -> Iterator[tuple[str, ...]]:
        if exchange.not_sent:
            yield ("NotAsked",)
            return
        if exchange.strays:
            family = f"ipv{ip_address(exchange.address).version}"
            yield ("UnexpectedSource", family, self._shared_bridge(exchange) or "", self._way(exchange))
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

    def _way(self, exchange: Exchange) -> str:
        """From where the strays came, as seen from the pod: a word of `_WAYS`."""
        sources = {ip_address(stray["source"]) for stray in exchange.strays}
        if self._shared_bridge(exchange):
            return "bridge"
        if sources == {ip_address(exchange.address)}:
            return "port"
        here = {source for source in sources if self._on_this_node(str(source))}
        known = {source for source in sources if self.dns.backend(str(source))} | here
        if known != sources:
            return "stranger" if self.dns.complete else "unknown"
        if here and here != sources:
            return "anywhere"
        return "node" if here else "beyond"

    def _on_this_node(self, address: str) -> bool:
        backend = self.dns.backend(address)
        return bool((backend and backend.local) or self.pods.owner(address))

    def _silence(self, exchange: Exchange) -> tuple[str, ...]:
        if self.dns.complete and not self.dns.backends:
            return ("NoBackends",)
        if any(exchange.address == address for address, _ in self.dns.on_node):
            return ("NoReply", "cache")
        direct = self._direct(exchange)
        if any(answer_to(outcome) for outcome in direct):
            return ("NoReply", "service")
        return ("NoReply", "server" if direct else "unknown")

    def _direct(self, exchange: Exchange) -> list[DnsOutcome]:
        """What was asked of the DNS servers themselves, by the address's own family."""
        asked = {one.address for one in self.dns.addresses}
        version = ip_address(exchange.address).version
        return [
            outcome
            for outcome in exchange.view.outcomes
            if (server := outcome["query"]["server"]) not in asked
            and ip_address(server.partition("%")[0]).version == version
        ]

    def _silent_backends(self) -> list[Backend]:
        """The servers that answered none of several direct queries over UDP and TCP, while another server answered."""
        views = {each.view.name: each.view for each in self.exchanges if not is_peculiar(each, self.exchanges)}
        asked = {
            backend: [one for view in views.values() for one in self._asked_of(view, backend)]
            for backend in self.dns.backends
        }
        silent = [
            backend
            for backend, outcomes in asked.items()
            if outcomes and not any(stray_of(one) or one["error"] in UNSENT for one in outcomes)
        ]
        # One family alone: a server that answers over the other one shows that the way is at fault, and not the server.
        alive = {_version(one) for one, outcomes in asked.items() if any(map(answer_to, outcomes))}
        return [one for one in silent if _version(one) in alive]

    def _asked_of(self, view: View, backend: Backend) -> list[DnsOutcome]:
        wanted = ip_address(backend.address)
        return [one for one in view.outcomes if ip_address(one["query"]["server"].partition("%")[0]) == wanted]

    # -- findings ----------------------------------------------------------------------------------------------------

    def _finding(self, cause: tuple[str, ...], exchanges: Sequence[Exchange]) -> Finding:
        reason, *details = cause
        subject = addresses_of(exchanges)
        evidence = seen(self.replies, self.dns)
        pods = pods_of(exchanges)
        first = exchanges[0]
        traits = {f"address:{each.address}" for each in exchanges}
        match reason:
            case "UnexpectedSource":
                family, bridge, way = details
                traits |= {f"family:{family}", *([f"bridge:{bridge}"] if bridge else [f"strays:{way}"])}
                return fail(
                    reason,
                    self._unexpected(exchanges, bridge, way),
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=fixes.look_at_translation(first, bridge, way),
                )
            case "NoBackends":
                return no_backends(self.dns, evidence)
            case "NoReply":
                return fail(
                    reason,
                    self._no_reply(details[0], exchanges),
                    subject=subject,
                    evidence=evidence,
                    traits=traits | ({"servers:answer"} if details[0] == "service" else set()),
                    fix=fixes.no_reply(details[0], exchanges, self.dns),
                )
            case "TcpOnly" | "UdpOnly":
                good, bad = ("TCP", "UDP") if reason == "TcpOnly" else ("UDP", "TCP")
                outcomes = [one for each in exchanges for one in (each.udp if bad == "UDP" else each.tcp)]
                lost = [one for one in outcomes if not answer_to(one)]
                return fail(
                    reason,
                    f"{subject} answers {pods} over {good}, and left {len(lost)} of {len(outcomes)} queries over {bad} "
                    f"unanswered{errors_of(lost)}.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=fixes.look_at_filters(bad.lower(), first.address, self.dns),
                )
            case "ServerFailure" | "RefusedQuery":
                code = details[0] if details else "REFUSED"
                return fail(
                    reason,
                    f"{subject} answered {pods} with {code} {self._count(exchanges, code)} when asked for {self.replies.name}",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=fixes.look_at_server(code, self.dns),
                )
            case "NameNotFound":
                return warn(
                    reason,
                    f"{subject} answers {pods}, but says that {self.replies.name} does not exist (NXDOMAIN), a name that every "
                    f"cluster has; the domain is from {self.dns.domain_source}.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=fixes.look_at_server("NXDOMAIN", self.dns),
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
                    fix=fixes.look_at_load(self.dns),
                )
            case "RepliesLost":
                total = sum(len(each.udp) for each in exchanges)
                lost = [one for each in exchanges for one in each.unanswered]
                return warn(
                    reason,
                    f"{subject} left {len(lost)} of {total} UDP queries from {pods} unanswered{errors_of(lost)}; a resolver then "
                    "waits 5 s before it asks again.",
                    subject=subject,
                    evidence=evidence,
                    traits=traits,
                    fix=fixes.look_at_load(self.dns),
                )
            case _:
                errors = sorted({one["error"] or "" for each in exchanges for one in (*each.udp, *each.tcp)})
                return unknown(
                    reason,
                    f"{subject} could not be asked for {self.replies.name!r} from {pods}: {', '.join(errors)}.",
                    subject=subject,
                    evidence=evidence,
                )

    def _backend_silent(self, silent: Sequence[Backend]) -> Finding:
        names = [self._who(one.address, one.port) for one in silent]
        versions = set(map(_version, silent))
        of = sum(_version(one) in versions for one in self.dns.backends)
        served = [each for each in self.exchanges if not is_peculiar(each, self.exchanges)]
        views = list({each.view.name: each.view for each in served}.values())
        lost = [one for view in views for each in silent for one in self._asked_of(view, each)]
        queries = [one for each in served for one in (*each.udp, *each.tcp)]
        failed = [one for one in queries if not answer_to(one)]
        verb = "answers" if len(silent) == 1 else "answer"
        return fail(
            "BackendSilent",
            f"{' and '.join(names)}, {len(silent)} of {of} DNS servers, {verb} none of {len(lost)} queries that "
            f"{pods_of(served)} asked directly{errors_of(lost)}, while others answer{self._where(silent)}; {len(failed)} of {len(queries)} "
            f"queries to {addresses_of(served)} were lost.",
            subject=", ".join(one.address for one in silent),
            evidence=(*direct_evidence(self.replies, self.dns), *seen(self.replies, self.dns)),
            traits={
                *(f"address:{each.address}" for each in served),
                *(f"backend:{one.address}" for one in silent),
                *(f"backends:{'local' if one.local else 'remote'}" for one in silent),
                "servers:answer",
            },
            fix=fixes.backend_silent(silent, self.dns),
        )

    def _where(self, silent: Sequence[Backend]) -> str:
        """What the silent ones have in common that the others have not."""
        alive = [one for one in self.dns.backends if one not in silent]
        if not alive or len({one.local for one in silent}) > 1 or any(one.local == silent[0].local for one in alive):
            return ""
        if silent[0].local:
            return ": those of this node are silent and those of other nodes answer, so look at the servers and the filters here"
        return ": those of other nodes are silent and those of this node answer, so look at the way between the nodes"

    def _unexpected(self, exchanges: Sequence[Exchange], bridge: str, way: str) -> str:
        strays = [stray for each in exchanges for stray in each.strays]
        total = sum(len(each.udp) for each in exchanges)
        sources = sorted({(stray["source"], stray["port"]) for stray in strays})
        who = ", ".join(self._who(source, port) for source, port in sources)
        where = f", which is on the same bridge {bridge}" if bridge else ""
        return (
            f"{addresses_of(exchanges)} was asked from {pods_of(exchanges)}, and {len(strays)} of {total} replies over UDP came from "
            f"{who} instead{where}: resolvers ignore such a reply and time out.{self._spread(exchanges)}{_WAYS[way]}"
        )

    def _spread(self, exchanges: Sequence[Exchange]) -> str:
        """Who is answered properly at the same time."""
        version = ip_address(exchanges[0].address).version
        names = {each.view.name for each in exchanges}
        other = [
            each
            for each in self.exchanges
            if each.view.name in names and ip_address(each.address).version != version and each.answers
        ]
        told = ""
        if any(answer_to(one) for each in exchanges for one in each.udp):
            told += " Other queries of the same pods to it are answered properly: only some of the servers' replies go astray."
        if other and not any(each.strays for each in other):
            told += f" Over IPv{10 - version} the same pods are answered properly."
        return told

    def _who(self, source: str, port: int) -> str:
        backend = self.dns.backend(source)
        owner = self.pods.owner(source)
        name = backend.name if backend else owner.name if owner else ""
        shown = source if port == 53 else authority(source, port)  # noqa: PLR2004 -- DNS's port goes without saying
        return f"{shown} (pod {name})" if name and name != source else shown

    def _no_reply(self, kind: str, exchanges: Sequence[Exchange]) -> str:
        subject, pods = addresses_of(exchanges), pods_of(exchanges)
        outcomes = [one for each in exchanges for one in (*each.udp, *each.tcp)]
        lost = [one for one in outcomes if not answer_to(one)]
        direct = [one for each in {each.view.name: each for each in exchanges}.values() for one in self._direct(each)]
        alive = self._names(one for one in direct if answer_to(one))
        dead = self._names(one for one in direct if not answer_to(one))
        dead = [name for name in dead if name not in alive]
        start = f"{subject} did not answer {pods}{errors_of(lost)}"
        match kind:
            case "some":
                told = f": {', '.join(dead)} is silent as well when asked directly" if dead else ""
                return f"{subject} left {len(lost)} of {len(outcomes)} queries from {pods} unanswered{errors_of(lost)}{told}."
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


def _version(backend: Backend) -> int:
    return ip_address(backend.address).version


def no_backends(dns: ClusterDns, evidence: Iterable[Evidence]) -> Finding:
    return fail(
        "NoBackends",
        f"Service {dns.service} has no DNS server that is ready, says the API server.",
        subject=dns.service,
        evidence=evidence or [Evidence("API server", f"no ready endpoint in the EndpointSlices of {dns.service}")],
        fix=fixes.no_backends(dns),
    )


def _times(count: int, total: int) -> str:
    return f"{count} of {total} times"


def all_good(exchanges: Sequence[Exchange], dns: ClusterDns) -> str:
    alone = [each for each in exchanges if is_peculiar(each, exchanges)]
    answered = [each for each in exchanges if each not in alone]
    count = sum(len(each.answers) for each in answered)
    text = f"{addresses_of(answered)} answered {pods_of(answered)} {count} times, over UDP and TCP, always from the address asked."
    if alone:
        text += f" ({pods_of(alone)} alone is not answered throughout, as when a network policy forbids it.)"
    if dns.complete and not dns.backends:
        return f"{text} (The API server lists no DNS server that is ready.)"
    return text
