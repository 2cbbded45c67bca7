"""The resolv.conf files that pods really have, and what their search lists cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_dns import DNS_LABEL, MOST_RESOLV_CONFS, ClusterDns, parse_resolv_conf
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.host import Host, Json
    from k8sdoctor.host.answers import DnsOutcome

OUTSIDE = "k8sdoctor.invalid"
"""A name that nobody has: `.invalid` is reserved for that (RFC 2606). It has fewer dots than `ndots`, as names outside the cluster do."""

MOST_DOTS = 15
"""What libc takes for all beyond it (glibc resolv/res_init.c, musl src/network/resolvconf.c)."""

MOST_SEARCHES = 8
"""Entries of a search list that are asked for; the kubelet writes three and the node's own."""


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """One pod's file. `cluster` is whether it searches the cluster's domain, as the kubelet writes for the policy ClusterFirst."""

    pod: PodNamespace
    text: str
    servers: tuple[str, ...]
    search: tuple[str, ...]
    cluster: bool

    @property
    def ndots(self) -> int:
        """The option `ndots`, of several the last as glibc takes it; resolv.conf(5) has 1 for none, and 15 for more."""
        for line in reversed(self.text.splitlines()):
            words = line.split()
            if words[:1] == ["options"]:
                for word in reversed(words):
                    name, _, value = word.partition(":")
                    number = numbers.whole(value)
                    if name == "ndots" and number is not None:
                        return min(number, MOST_DOTS)
        return 1


@dataclass(frozen=True)
class PodResolvConfs:
    """`files` by pod; `searched` is what came back from `asker` for `OUTSIDE` with each entry of its search list, A and AAAA.

    `services` are the real addresses of services labelled as the cluster's DNS, asked for only where the kubelet names none of a service.
    `own` is what pods whose resolv.conf names loopback got there, by pod.
    """

    files: tuple[ResolvConf, ...] = ()
    asker: ResolvConf | None = None
    searched: tuple[DnsOutcome, ...] = ()
    own: tuple[tuple[str, DnsOutcome], ...] = ()
    services: tuple[tuple[str, str], ...] = ()
    problem: Unobserved | None = None

    @classmethod
    def observe(cls, host: Host, pods: PodNamespaces, dns: ClusterDns, access: ApiAccess | Unobserved) -> Self:
        """Read them and ask. Never raises: what keeps it from asking is the problem."""
        files = tuple(_files(host, pods))
        asker = next((each for each in files if each.cluster and each.servers and not _is_server(each.pod, dns)), None)
        problem: Unobserved | None = None
        searched: tuple[DnsOutcome, ...] = ()
        own: list[tuple[str, DnsOutcome]] = []
        try:
            if asker:
                searched = tuple(host.dns(_queries(asker), netns=asker.pod.path))
            for each in files:
                mine = [server for server in each.servers if server.startswith("127.") or server == "::1"]
                if mine and not _is_server(each.pod, dns):
                    own += [(each.pod.name, one) for one in host.dns([_query(mine[0], ".", "NS")], netns=each.pod.path)]
        except HostError as error:
            problem = Unobserved(error.reason, error.message)
        services = () if any("service " in one.source for one in dns.addresses) else tuple(_services(host, access))
        return cls(files, asker, searched, tuple(own), services, problem)


def _files(host: Host, pods: PodNamespaces) -> Iterator[ResolvConf]:
    for pod in [pod for pod in pods.namespaces if pod.pid is not None][:MOST_RESOLV_CONFS]:
        try:
            text = host.read(f"/proc/{pod.pid}/root/etc/resolv.conf")
        except HostError:  # a process that ended, or an image without /etc
            continue
        servers, search = parse_resolv_conf(text)
        yield ResolvConf(pod, text, tuple(servers), tuple(search), any(each.startswith("svc.") for each in search))


def _is_server(pod: PodNamespace, dns: ClusterDns) -> bool:
    key, value = DNS_LABEL
    return pod.labels.get(key) == value or any(dns.backend(address) for address in pod.addresses)


def _queries(file: ResolvConf) -> list[DnsQuery]:
    return [
        _query(file.servers[0], f"{OUTSIDE}.{entry}.", kind)
        for entry in file.search[:MOST_SEARCHES]
        for kind in ("A", "AAAA")
    ]


def _query(server: str, name: str, kind: str) -> DnsQuery:
    return DnsQuery(server=server, port=53, transport="udp", name=name, type=kind, attempt=0)


def _services(host: Host, access: ApiAccess | Unobserved) -> Iterator[tuple[str, str]]:
    """Name and address of each service with the label."""
    if isinstance(access, Unobserved) or access.kubeconfig is None:
        return
    path = f"/api/v1/services?labelSelector={DNS_LABEL[0]}%3D{DNS_LABEL[1]}"
    try:
        items = host.kube(path, kubeconfig=access.kubeconfig).get("items")
    except HostError:
        return
    for item in items if isinstance(items, list) else []:
        metadata, spec = (_mapping(_mapping(item).get(key)) for key in ("metadata", "spec"))
        if _mapping(metadata.get("labels")).get(DNS_LABEL[0]) != DNS_LABEL[1]:
            continue
        listed = spec.get("clusterIPs")
        addresses: Sequence[Json] = listed if isinstance(listed, list) else [spec.get("clusterIP")]
        for address in addresses:
            if isinstance(address, str) and address != "None":
                yield f"{metadata.get('namespace')}/{metadata.get('name')}", address


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
