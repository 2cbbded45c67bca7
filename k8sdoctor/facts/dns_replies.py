"""What came back when pods asked the cluster's DNS, and from whom."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.cluster_dns import PORT, ClusterDns
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import DnsOutcome

MISSED = 0.01
"""How likely one of the backends may be missed. kube-proxy picks one at random for each new source port, so of n backends k queries
miss a given one with (1 - 1/n)^k."""

USUAL_QUERIES = 8
"""Queries an address by UDP where the backends are not known: each of two (kubeadm's CoreDNS) is met with 99.6 %, of three with 96 %."""

MOST_QUERIES = 32
"""Enough for seven backends; a node with a fault on one bridge shows it long before each of more is met."""

TCP_QUERIES = 3
DIRECT_QUERIES = 2
NODE_QUERIES = 2

MOST_PODS = 3
MOST_BACKENDS = 6


@dataclass(frozen=True)
class View:
    """What one namespace saw. `pod` is None for the node itself. `problem` says why it could not be asked from there.

    `own` is true when the pod is itself one of the DNS servers: what it sends to the service may come back to itself.
    """

    pod: PodNamespace | None
    outcomes: tuple[DnsOutcome, ...] = ()
    problem: Unobserved | None = None
    own: bool = False

    @property
    def name(self) -> str:
        """The pod's name, or "the node"."""
        return f"pod {self.pod.name}" if self.pod else "the node"

    def to(self, address: str, transport: Literal["udp", "tcp"]) -> tuple[DnsOutcome, ...]:
        """The outcomes of what was asked of an address."""
        return tuple(
            one for one in self.outcomes if one["query"]["server"] == address and one["query"]["transport"] == transport
        )


@dataclass(frozen=True)
class DnsReplies:
    """The views of a few pods, and of the node, on every address of the cluster's DNS and on its backends.

    `name` is what was asked for. There are no `pods` where nobody could be asked from, or nobody was to be asked.
    """

    name: str
    pods: tuple[View, ...]
    node: View | None

    @classmethod
    def observe(cls, host: Host, pods: PodNamespaces, dns: ClusterDns) -> Self:
        """Ask from every chosen pod and from the node at once. Raises Offline, and what kept every single pod from being asked from."""
        chosen = choose_pods(pods, dns) if dns.addresses else []
        if not chosen:
            return cls(dns.name, (), None)
        plans = [(view, _queries(dns, view.pod, own=view.own)) for view in chosen]
        plans.append((View(None), _queries(dns, None)))
        # At once, so that silence costs 3 s and not 3 s a pod.
        *views, node = side_by_side([partial(_ask, host, view, queries) for view, queries in plans])
        if all(view.problem for view in views):
            problem = views[0].problem
            raise HostError(problem.reason, problem.message) if problem else AssertionError
        return cls(dns.name, tuple(views), node)


def choose_pods(pods: PodNamespaces, dns: ClusterDns) -> list[View]:
    """A few pods to ask from: none of the DNS servers where others are there, and from each bridge one before a second.

    Bridges that carry a DNS server of this node come first, for there a reply can take a short cut. On a bridge, pods of the DNS
    servers' own namespace come first, then one of each other: a network policy may forbid a whole namespace to ask. A DNS server's
    own pod is the last resort: it cannot see its own replies take the short cut, but those of its twin.
    """
    usable = [pod for pod in pods.namespaces if pod.addresses]
    own = [pod for pod in usable if any(dns.backend(address) for address in pod.addresses)]
    others = [pod for pod in usable if pod not in own]
    if not others and not {backend.name for backend in dns.backends} - {own[0].name if own else ""}:
        return []  # a server that can only ask itself shows nothing
    homes = {_namespace(backend.name) for backend in dns.backends}
    with_server = {pod.bridge for pod in own}
    spread = _spread(others or own, lambda pod: (pod.bridge, _namespace(pod.name)))
    spread.sort(key=lambda ranked: (ranked[0], _namespace(ranked[1].name) not in homes, ranked[1].name))
    by_bridge = _spread([pod for _, pod in spread], lambda pod: pod.bridge)
    by_bridge.sort(key=lambda ranked: (ranked[0], ranked[1].bridge not in with_server, ranked[1].bridge is None))
    return [View(pod, own=not others) for _, pod in by_bridge[:MOST_PODS]]


def _spread(pods: Sequence[PodNamespace], kind: Callable[[PodNamespace], object]) -> list[tuple[int, PodNamespace]]:
    """Each pod with the number of those of its kind before it."""
    counts: Counter[object] = Counter()
    ranked = []
    for pod in pods:
        ranked.append((counts[kind(pod)], pod))
        counts[kind(pod)] += 1
    return ranked


def _namespace(name: str) -> str:
    return name.rpartition("/")[0]


def queries_for(backends: int | None) -> int:
    """How many queries meet each of so many backends with a probability of `1 - MISSED`; None when nobody told how many."""
    if backends is None:
        return USUAL_QUERIES
    if backends <= 1:
        return USUAL_QUERIES // 2  # one lost datagram is not yet an outage
    return min(MOST_QUERIES, math.ceil(math.log(MISSED) / math.log(1 - 1 / backends)))


def _queries(dns: ClusterDns, pod: PodNamespace | None, *, own: bool = False) -> list[DnsQuery]:
    """Everything one namespace asks: each address over UDP and TCP, and each backend directly."""

    def ask(server: str, port: int, transport: Literal["udp", "tcp"], times: int) -> list[DnsQuery]:
        return [
            DnsQuery(server=server, port=port, transport=transport, name=dns.name, type="A", attempt=attempt)
            for attempt in range(times)
        ]

    def speaks(address: str) -> bool:
        return pod is None or pod.has(ip_address(address).version)

    def udp_queries(address: str) -> int:
        if pod is None:
            return NODE_QUERIES
        version = ip_address(address).version
        known = sum(1 for backend in dns.backends if ip_address(backend.address).version == version)
        return queries_for(known if dns.complete else None)

    queries: list[DnsQuery] = []
    for one in dns.addresses:
        if speaks(one.address):
            queries += ask(one.address, PORT, "udp", udp_queries(one.address))
            queries += ask(one.address, PORT, "tcp", TCP_QUERIES if pod else 1)
    direct = sorted(dns.backends, key=lambda backend: (not backend.local, backend.name, backend.address))
    for backend in direct[:MOST_BACKENDS]:
        itself = own and pod is not None and backend.address in pod.addresses
        if speaks(backend.address) and not itself:
            queries += ask(backend.address, backend.port, "udp", DIRECT_QUERIES)
            queries += ask(backend.address, backend.port, "tcp", 1)
    return queries


def _ask(host: Host, view: View, queries: list[DnsQuery]) -> View:
    try:
        outcomes = tuple(host.dns(queries, netns=view.pod.path if view.pod else None))
    except HostError as error:
        return View(view.pod, problem=Unobserved(error.reason, error.message), own=view.own)
    return View(view.pod, outcomes, own=view.own)
