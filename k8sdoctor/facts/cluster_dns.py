"""The cluster's DNS: which addresses pods ask, which domain it serves, and who is behind those addresses."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self, TypeAlias, cast
from urllib.parse import quote

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from k8sdoctor.host import Host, Json

PORT = 53
"""resolv.conf knows no other."""

DNS_LABEL = ("k8s-app", "kube-dns")
"""How kubeadm, and most that install CoreDNS, label its service and pods; looked for only where addresses do not tell."""

MOST_RESOLV_CONFS = 8
"""Pods whose resolv.conf is read; all that use the cluster's DNS say the same."""

MOST_ADDRESSES = 6


@dataclass(frozen=True)
class DnsAddress:
    """An address that pods ask, and where that stands."""

    address: str
    source: str


@dataclass(frozen=True)
class Backend:
    """A DNS server behind the service address. `local` is true when its pod is on this node."""

    address: str
    port: int
    name: str
    local: bool
    source: str


@dataclass(frozen=True)
class ClusterDns:
    """What is known of the cluster's DNS.

    `backends` are those that are ready. They are all only when `complete` is true, that is when the API server told; else they are those
    that were found on this node. `domain` is None when nobody told. `on_node` are the addresses that the node itself has, each with
    its interface: a NodeLocal DNSCache. `problems` say what could not be looked at.
    """

    addresses: tuple[DnsAddress, ...]
    domain: str | None = None
    domain_source: str | None = None
    service: str | None = None
    backends: tuple[Backend, ...] = ()
    complete: bool = False
    on_node: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A name that every cluster has: the API server's service."""
        return "kubernetes.default.svc" + (f".{self.domain.rstrip('.')}" if self.domain else "") + "."

    def backend(self, address: str) -> Backend | None:
        """The known backend with this address."""
        wanted = ip_address(address)
        return next((one for one in self.backends if ip_address(one.address) == wanted), None)

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- each is a fact of its own
        cls,
        host: Host,
        kubelet: Kubelet | Unobserved,
        pods: PodNamespaces | Unobserved,
        network: NodeNetwork | Unobserved,
        access: ApiAccess | Unobserved,
        kubeadm: KubeadmConfig | Unobserved,
    ) -> Self:
        """Ask the kubelet's configuration, pods' resolv.conf and the API server. Never raises: what fails is a problem."""
        problems: list[str] = []
        namespaces = pods.namespaces if isinstance(pods, PodNamespaces) else ()
        written = _written(host, namespaces)
        told = _of_kubelet(kubelet) or [DnsAddress(address, source) for address, source in written.servers]
        on_node = _on_node(network, told)
        found = _ask_api(host, access, [one.address for one in told], cached=bool(on_node), problems=problems)
        addresses = _merged([*told, *found.addresses])
        domain, domain_source = _domain(kubelet, written, kubeadm)
        return cls(
            addresses=tuple(addresses),
            domain=domain,
            domain_source=domain_source,
            service=found.service,
            backends=tuple(
                _with_local(found.backends, namespaces) if found.complete else _on_this_node(host, namespaces)
            ),
            complete=found.complete,
            on_node=on_node,
            problems=tuple(problems),
        )


def _merged(addresses: Iterable[DnsAddress]) -> list[DnsAddress]:
    """Each address once, with all who told of it."""
    sources: dict[str, list[str]] = {}
    for one in addresses:
        sources.setdefault(one.address, []).append(one.source)
    merged = [DnsAddress(address, "; ".join(dict.fromkeys(told))) for address, told in sources.items()]
    return merged[:MOST_ADDRESSES]


# -- what the node's files say -------------------------------------------------------------------------------------------


def _of_kubelet(kubelet: Kubelet | Unobserved) -> list[DnsAddress]:
    if isinstance(kubelet, Unobserved):
        return []
    source = (
        f"--cluster-dns ({kubelet.flag_sources.get('--cluster-dns')})"
        if "--cluster-dns" in kubelet.flags
        else f"clusterDNS in {kubelet.config_path}"
    )
    return [DnsAddress(address, source) for text in kubelet.cluster_dns if (address := _address(text))]


@dataclass(frozen=True)
class _Written:
    """What pods' resolv.conf files say, of those that use the cluster's DNS."""

    servers: tuple[tuple[str, str], ...] = ()
    domain: str | None = None
    source: str | None = None


def _written(host: Host, namespaces: Sequence[PodNamespace]) -> _Written:
    """The name servers that every pod has which searches `svc.<domain>`, as the kubelet writes for ClusterFirst.

    A pod may add servers of its own (dnsConfig), and one with another policy has the node's, so only what all share counts.
    """
    files: list[tuple[str, list[str], str]] = []
    for pod in [pod for pod in namespaces if pod.pid is not None][:MOST_RESOLV_CONFS]:
        path = f"/proc/{pod.pid}/root/etc/resolv.conf"
        try:
            text = host.read(path)
        except HostError:  # a process that ended, or an image without /etc; the next pod's is as good
            continue
        servers, search = parse_resolv_conf(text)
        domain = next((entry.removeprefix("svc.") for entry in search if entry.startswith("svc.")), None)
        if domain:
            files.append((f"/etc/resolv.conf of pod {pod.name}", servers, domain))
    if not files:
        return _Written()
    source, first, domain = files[0]
    shared = [server for server in first if all(server in servers for _, servers, _ in files)]
    return _Written(tuple((server, source) for server in shared), domain, source)


def parse_resolv_conf(text: str) -> tuple[list[str], list[str]]:
    r"""The name servers and the search list, as resolv.conf(5) has it: the last `search` line counts.

    >>> parse_resolv_conf("search a.svc.x svc.x x\nnameserver 10.96.0.10\noptions ndots:5\n")
    (['10.96.0.10'], ['a.svc.x', 'svc.x', 'x'])
    """
    servers: list[str] = []
    search: list[str] = []
    for line in text.splitlines():
        keyword, *words = line.split() or [""]
        if keyword == "nameserver" and words and (address := _address(words[0])):
            servers.append(address)
        elif keyword in ("search", "domain"):
            search = [word.rstrip(".") for word in words]
    return servers, search


def _domain(
    kubelet: Kubelet | Unobserved, written: _Written, kubeadm: KubeadmConfig | Unobserved
) -> tuple[str | None, str | None]:
    if isinstance(kubelet, Kubelet) and kubelet.cluster_domain:
        flag = "--cluster-domain" in kubelet.flags
        return kubelet.cluster_domain, "--cluster-domain" if flag else f"clusterDomain in {kubelet.config_path}"
    if written.domain:
        return written.domain, written.source
    if isinstance(kubeadm, KubeadmConfig) and kubeadm.dns_domain:
        return kubeadm.dns_domain, kubeadm.source
    return None, None


def _on_node(network: NodeNetwork | Unobserved, addresses: Sequence[DnsAddress]) -> tuple[tuple[str, str], ...]:
    if isinstance(network, Unobserved):
        return ()
    names = {link["index"]: link["name"] for link in network.links}
    held = {ip_address(one["address"]): names.get(one["index"], "") for one in network.addresses}
    return tuple((one.address, held[ip]) for one in addresses if (ip := ip_address(one.address)) in held)


# -- what the API server says --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Service:
    addresses: tuple[DnsAddress, ...] = ()
    service: str | None = None
    backends: tuple[Backend, ...] = ()
    complete: bool = False


def _ask_api(
    host: Host, access: ApiAccess | Unobserved, told: Sequence[str], *, cached: bool, problems: list[str]
) -> _Service:
    if isinstance(access, Unobserved):
        problems.append(access.message)
        return _Service()
    if access.kubeconfig is None:
        problems.append(access.problem.message if access.problem else "no kubeconfig works here")
        return _Service()
    get = partial(host.kube, kubeconfig=access.kubeconfig)
    try:
        asked, behind = _dns_services(get, told, cached=cached)
    except HostError as error:
        problems.append(error.message)
        return _Service()
    services = asked or behind
    if not services:
        return _Service()
    addresses = tuple(
        DnsAddress(address, f"service {_full_name(service)}") for service in asked for address in _cluster_ips(service)
    )
    name = _full_name(services[0])
    try:
        backends = [backend for service in services for backend in _backends(get, service)]
    except HostError as error:  # a kubelet's own credentials may read services and not always their endpoints
        problems.append(error.message)
        return _Service(addresses, name)
    unique = {(ip_address(one.address), one.port): one for one in backends}
    return _Service(addresses, name, tuple(unique.values()), complete=True)


def _dns_services(
    get: Callable[[str], dict[str, Json]], told: Sequence[str], *, cached: bool
) -> tuple[list[dict[str, Json]], list[dict[str, Json]]]:
    """The services whose address pods ask, and those that a cache on the node asks for them.

    Where the kubelet names servers that are neither, the cluster's own DNS is not what pods use, whatever its state.
    """
    labelled = _services(get, f"labelSelector={quote('='.join(DNS_LABEL), safe='')}")
    asked = {ip_address(address) for address in told}
    matching = [service for service in labelled if asked & {ip_address(ip) for ip in _cluster_ips(service)}]
    if matching or not told:
        return matching or labelled, []
    for address in told:
        try:
            found = _services(get, f"fieldSelector={quote(f'spec.clusterIP={address}', safe='')}")
        except HostError:  # this selector is newer than the oldest server that we meet
            continue
        matching += [one for one in found if ip_address(address) in map(ip_address, _cluster_ips(one))]
    return matching, labelled if cached else []


def _services(get: Callable[[str], dict[str, Json]], selector: str) -> list[dict[str, Json]]:
    found = [_mapping(one) for one in _list(get(f"/api/v1/services?{selector}").get("items"))]
    return [service for service in found if _dns_ports(service)]


def _backends(get: Callable[[str], dict[str, Json]], service: dict[str, Json]) -> Iterable[Backend]:
    namespace, name = _full_name(service).split("/")
    selector = quote(f"kubernetes.io/service-name={name}", safe="")
    names = _dns_ports(service)
    try:
        slices = get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={selector}")
        listed, what = _from_slices(slices), "EndpointSlices"
    except HostError as error:
        if error.reason != "NotFound":
            raise
        # discovery.k8s.io/v1 is there from 1.21 on
        listed, what = _from_endpoints(get(f"/api/v1/namespaces/{namespace}/endpoints/{name}")), "Endpoints"
    for address, target, ports in listed:
        fitting = [port for port in ports if str(port.get("name") or "") in names and isinstance(port.get("port"), int)]
        fitting.sort(key=lambda port: port.get("protocol", "UDP") != "UDP")
        if not fitting:
            continue
        pod = f"{target.get('namespace', namespace)}/{target['name']}" if target.get("name") else address
        port = cast("int", fitting[0]["port"])
        yield Backend(address, port, pod, local=False, source=f"{what} of {namespace}/{name}")


_Listed: TypeAlias = "Iterable[tuple[str, dict[str, Json], list[dict[str, Json]]]]"
"""Address, target and ports of each endpoint that is ready."""


def _from_slices(answer: dict[str, Json]) -> _Listed:
    for one in map(_mapping, _list(answer.get("items"))):
        ports = [_mapping(port) for port in _list(one.get("ports"))]
        for endpoint in map(_mapping, _list(one.get("endpoints"))):
            if _mapping(endpoint.get("conditions")).get("ready") is False:  # null means ready (EndpointConditions)
                continue
            for text in _list(endpoint.get("addresses")):
                if address := _address(text):
                    yield address, _mapping(endpoint.get("targetRef")), ports


def _from_endpoints(answer: dict[str, Json]) -> _Listed:
    for one in map(_mapping, _list(answer.get("subsets"))):
        ports = [_mapping(port) for port in _list(one.get("ports"))]
        for endpoint in map(_mapping, _list(one.get("addresses"))):
            if address := _address(endpoint.get("ip")):
                yield address, _mapping(endpoint.get("targetRef")), ports


def _dns_ports(service: dict[str, Json]) -> set[str]:
    """The names of a service's ports for DNS."""
    ports = [_mapping(port) for port in _list(_mapping(service.get("spec")).get("ports"))]
    return {str(port.get("name") or "") for port in ports if port.get("port") == PORT}


def _cluster_ips(service: dict[str, Json]) -> list[str]:
    spec = _mapping(service.get("spec"))
    texts = _list(spec.get("clusterIPs")) or [spec.get("clusterIP")]
    return [address for text in texts if (address := _address(text))]


def _full_name(service: dict[str, Json]) -> str:
    metadata = _mapping(service.get("metadata"))
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


# -- what the node's own pods say ----------------------------------------------------------------------------------------


def _with_local(backends: Iterable[Backend], namespaces: Sequence[PodNamespace]) -> Iterable[Backend]:
    here = {ip_address(address) for pod in namespaces for address in pod.addresses}
    for one in backends:
        yield Backend(one.address, one.port, one.name, local=ip_address(one.address) in here, source=one.source)


def _on_this_node(host: Host, namespaces: Sequence[PodNamespace]) -> Iterable[Backend]:
    """The DNS servers among this node's pods: by label, else by who listens on port 53 there."""
    key, value = DNS_LABEL
    labelled = [pod for pod in namespaces if pod.labels.get(key) == value]
    for pod in labelled or [pod for pod in namespaces if _listens(host, pod.path)]:
        source = f"label {key}={value}" if labelled else f"it listens on UDP port {PORT}"
        for address in pod.addresses:
            yield Backend(address, PORT, pod.name, local=True, source=source)


def _listens(host: Host, namespace: str) -> bool:
    """Whether somebody in a namespace has bound UDP port 53 on more than loopback."""
    for table in ("udp", "udp6"):
        try:
            text = host.read(f"/proc/thread-self/net/{table}", netns=namespace)
        except HostError:
            continue
        for line in text.splitlines()[1:]:
            _, local, *_ = [*line.split(), "", ""]
            address, _, port = local.rpartition(":")
            # proc_pid_net(5): hexadecimal, an address as it lies in memory, so 127.0.0.1 ends with 7F on most machines.
            if port == f"{PORT:04X}" and not address.endswith("7F") and int(address or "0", 16) != 1 << 24:
                return True
    return False


def _address(text: Json) -> str | None:
    """A canonical IP address, or None for anything else (`None` of a headless service, a slip of the pen)."""
    try:
        return str(ip_address(text.strip())) if isinstance(text, str) else None
    except ValueError:
        return None


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
