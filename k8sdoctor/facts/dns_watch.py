"""What came of asking the cluster's DNS from pods for as long as the user wants."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar, Self

from k8sdoctor.facts.cluster_dns import PORT, ClusterDns
from k8sdoctor.facts.dns_pairs import TYPES
from k8sdoctor.facts.dns_replies import MOST_BACKENDS, choose_pods
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from typing import Literal

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import DnsTally

RATE = 2.0
"""Queries a second to each address and protocol, spread over the pods."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What one pod saw, in so many seconds. `problem` says why it could not be asked from."""

    pod: PodNamespace
    seconds: float = 0.0
    tallies: tuple[DnsTally, ...] = ()
    problem: Unobserved | None = None


@dataclass(frozen=True)
class DnsWatch:
    """The sums of all pods. `wanted` is for how many seconds DNS was to be asked, 0 where nobody wants it; `started` seconds since the epoch."""

    lasting: ClassVar[bool] = True
    interruptible: ClassVar[bool] = True

    wanted: float = 0.0
    started: float = 0.0
    views: tuple[Watched, ...] = ()

    @classmethod
    def observe(cls, host: Host, pods: PodNamespaces, dns: ClusterDns) -> Self:
        """Ask from a few pods, for as long as was given. Raises Offline, and what kept every pod from being asked from."""
        wanted = host.given().get("watch", 0.0)
        chosen = [view.pod for view in choose_pods(pods, dns) if view.pod] if wanted and dns.addresses else []
        if not chosen:
            return cls(wanted)
        every = len(chosen) / RATE
        started = host.now()
        views = side_by_side([partial(_watch, host, dns, pod, wanted, every) for pod in chosen])
        if all(view.problem for view in views):
            problem = views[0].problem
            raise HostError(problem.reason, problem.message) if problem else AssertionError
        return cls(wanted, started, tuple(views))


def _watch(host: Host, dns: ClusterDns, pod: PodNamespace, seconds: float, every: float) -> Watched:
    try:
        told = host.watch_dns(_queries(dns, pod), seconds=seconds, every=every, netns=pod.path)
    except HostError as error:
        return Watched(pod, problem=Unobserved(error.reason, error.message))
    return Watched(pod, told["seconds"], tuple(told["tallies"]))


def _queries(dns: ClusterDns, pod: PodNamespace) -> list[DnsQuery]:
    """Each address over UDP and TCP, and for A and AAAA from one port as resolvers ask; each server directly over UDP."""

    def half(server: str, kind: str, number: int) -> DnsQuery:
        one = query(server, PORT, "udp")
        one["type"], one["group"] = kind, number
        return one

    def query(server: str, port: int, transport: Literal["udp", "tcp"]) -> DnsQuery:
        return DnsQuery(server=server, port=port, transport=transport, name=dns.name, type="A", attempt=0)

    def speaks(address: str) -> bool:
        return pod.has(ip_address(address.partition("%")[0]).version) and address not in pod.addresses

    addresses = [one.address for one in dns.addresses if speaks(one.address)]
    backends = [one for one in dns.backends if speaks(one.address)][:MOST_BACKENDS]
    return [
        *(query(one, PORT, "udp") for one in addresses),
        *(query(one, PORT, "tcp") for one in addresses),
        *(query(one.address, one.port, "udp") for one in backends),
        *(half(one, kind, number) for number, one in enumerate(addresses) for kind in TYPES),
    ]
