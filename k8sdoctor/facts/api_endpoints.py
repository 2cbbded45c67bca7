"""Every address by which somebody on this node reaches an API server, and from where it is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.api_server import PORT, ApiServer, first_address
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.kubeconfig import Kubeconfig, Kubeconfigs
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host import Host, Json

Kind: TypeAlias = Literal["kubeconfig", "cluster", "own", "service", "member", "planned", "join", "given"]

KUBE_PROXY = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
SERVICE = "/api/v1/namespaces/default/services/kubernetes"
MEMBERS = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"  # since 1.21


@dataclass(frozen=True)
class Use:
    """Somebody who reaches an API server by an address.

    `kind` says what it is known from: a `kubeconfig`; the `cluster`'s own configuration; the `own` API server's manifest; the `service`
    address that pods use; a `member` behind that address; what is `planned` by --config, or the endpoint to `join`; `given` by --endpoint.
    `name` is what the certificate must be valid for. `ca` is the text of what is trusted, from `ca_source`; None: nobody said.
    `personal` is a kubeconfig that a person reads.
    """

    kind: Kind
    source: str
    host: str
    port: int
    name: str
    ca: str | None = None
    ca_source: str | None = None
    insecure: bool = False
    plain: bool = False
    proxy: str | None = None
    client_certificate: bool = False
    personal: bool = False

    @property
    def server_name(self) -> str | None:
        """The name sent in the hello; none for an address."""
        return self.name if as_address(self.name) is None else None


@dataclass(frozen=True)
class ApiEndpoint:
    """One address and port, with one name sent in the hello, and everybody who uses it."""

    host: str
    port: int
    server_name: str | None
    uses: tuple[Use, ...]

    @property
    def authority(self) -> str:
        """`host:port`."""
        return authority(self.host, self.port)

    @property
    def key(self) -> tuple[str, int, str | None]:
        """What tells two endpoints apart."""
        return self.host, self.port, self.server_name

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it is known from."""
        return frozenset(use.kind for use in self.uses)

    @property
    def single(self) -> bool:
        """Whether one API server alone answers there: this node's own, or a known member."""
        return bool(self.kinds & {"own", "member"})


@dataclass(frozen=True)
class NodeEndpoints:
    """The endpoints of which this node's files and the command line tell, each once; `problems` are places and sentences.

    They are a fact of their own so that they are dialled at once: asking a dead API server for more takes as long as a hello.
    """

    all: tuple[ApiEndpoint, ...]
    problems: tuple[tuple[str, str], ...] = ()

    @classmethod
    def observe(
        cls,
        host: Host,
        stage: Stage,
        kubeconfigs: Kubeconfigs | Unobserved,
        server: ApiServer,
        planned: KubeadmConfig | Unobserved,
    ) -> Self:
        """Collect them. Never raises: what could not be read is a problem."""
        problems: list[tuple[str, str]] = []
        uses: list[Use] = []
        if isinstance(kubeconfigs, Kubeconfigs):
            uses += _from_kubeconfigs(kubeconfigs, problems)
        uses += _from_server(server)
        if isinstance(planned, KubeadmConfig) and planned.source:
            uses += _from_config(planned, "planned", stage)
        for text in host.given()["endpoints"]:
            target = split(text)
            if target is None:
                problems.append(("--endpoint", f"--endpoint {text} is no HOST[:PORT]"))
            else:
                uses.append(Use("given", "--endpoint", *target, target[0]))
        return cls(gathered(_own_cluster_only(uses)), tuple(problems))


@dataclass(frozen=True)
class ToldEndpoints:
    """The endpoints of which the API server tells: kube-proxy's and kubeadm's ConfigMaps, the service `kubernetes`, and who is behind it."""

    all: tuple[ApiEndpoint, ...]

    @classmethod
    def observe(
        cls, host: Host, stage: Stage, told: ClusterKubeadmConfig | Unobserved, access: ApiAccess | Unobserved
    ) -> Self:
        """Ask for them; none where it cannot be asked, or where this kubeconfig may not read them."""
        uses: list[Use] = []
        if isinstance(told, ClusterKubeadmConfig):
            uses += _from_config(told.config, "cluster", stage)
        return cls(gathered(uses + _from_api(host, access)))


def split(text: str, port: int = PORT) -> tuple[str, int] | None:
    """Host and port of `host`, `host:port`, `[v6]:port`, a bare IPv6 address or a URL; None for what is none.

    >>> split("lb.example"), split("10.0.0.9:8443"), split("[fd00::1]:6443"), split("fd00::1"), split("https://lb.example")
    (('lb.example', 6443), ('10.0.0.9', 8443), ('fd00::1', 6443), ('fd00::1', 6443), ('lb.example', 443))
    """
    if as_address(text) is not None:
        return text.removeprefix("[").removesuffix("]"), port
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        given = parts.port
    except ValueError:
        return None
    if not parts.hostname or any(letter.isspace() for letter in parts.hostname):
        return None
    default = {"https": 443, "http": 80}.get(parts.scheme, port)
    return _dialled(parts.hostname), given or default


def _dialled(host: str) -> str:
    """A URL's host as Go dials it and then looks for it in the certificate: in ASCII (net/http, idnaASCIIFromURL), a zone as it is.

    >>> _dialled("bücher.example"), _dialled("fe80::1%25eth0")
    ('xn--bcher-kva.example', 'fe80::1%eth0')
    """
    if host.isascii():
        return host.replace("%25", "%")
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _from_kubeconfigs(kubeconfigs: Kubeconfigs, problems: list[tuple[str, str]]) -> list[Use]:
    uses = []
    for file in kubeconfigs.files:
        if file.server is None:
            continue
        target = split(file.server)
        if target is None:
            problems.append((file.path, f"{file.path}: its server {file.server!r} is no URL"))
            continue
        uses.append(_of_kubeconfig(file, file.path, target))
    return uses


def _of_kubeconfig(file: Kubeconfig, source: str, target: tuple[str, int]) -> Use:
    return Use(
        "kubeconfig",
        source,
        *target,
        file.server_name or target[0],
        ca=file.ca,
        ca_source=file.ca_source,
        insecure=file.insecure,
        plain=(file.server or "").startswith("http://"),
        proxy=file.proxy,
        client_certificate=file.client_certificate,
        personal=file.personal,
    )


def _from_server(server: ApiServer) -> list[Use]:
    source, address = server.source, server.address
    if source is None:
        return []
    uses = [Use("own", f"--advertise-address in {source}", address, server.port, address)] if address else []
    service = server.service_address
    if service:
        uses.append(Use("service", f"--service-cluster-ip-range in {source}", service, 443, service))
    return uses


def _from_config(config: KubeadmConfig, kind: Literal["cluster", "planned"], stage: Stage) -> list[Use]:
    source = config.source or "kubeadm's configuration"
    uses = []
    endpoint = split(config.control_plane_endpoint, config.bind_port) if config.control_plane_endpoint else None
    if endpoint:
        uses.append(Use(kind, f"controlPlaneEndpoint in {source}", *endpoint, endpoint[0]))
    if config.advertise_address and config.advertise_address not in ("1.2.3.4", "0.0.0.0", "::"):  # noqa: S104 -- kubeadm's placeholders
        address = config.advertise_address
        uses.append(Use(kind, f"advertiseAddress in {source}", address, config.bind_port, address))
    # The first subnet's alone: the service `kubernetes` has one address, also in a dual-stack cluster, and kubeadm puts no other
    # into the certificate (GetAPIServerAltNames).
    service = first_address(config.service_subnets[0]) if config.service_subnets else None
    if service and (kind == "cluster" or stage.fresh):
        uses.append(Use("service", f"serviceSubnet in {source}", service, 443, service))
    discovery = split(config.discovery_endpoint) if config.discovery_endpoint else None
    if discovery:
        uses.append(Use("join", f"apiServerEndpoint in {source}", *discovery, discovery[0]))
    return uses


def _from_api(host: Host, access: ApiAccess | Unobserved) -> list[Use]:
    """What the API server tells: kube-proxy's server, the service's addresses, and the API servers behind them."""
    if isinstance(access, Unobserved) or access.kubeconfig is None:
        return []
    kubeconfig = access.kubeconfig

    def ask(path: str) -> dict[str, Json]:
        try:
            return host.kube(path, kubeconfig=kubeconfig)
        except HostError:  # a kubelet may not read all of these; what it may not read is told by others
            return {}

    proxy, service, members = side_by_side([partial(ask, path) for path in (KUBE_PROXY, SERVICE, MEMBERS)])
    uses: list[Use] = []
    text = yaml.string(proxy, "data", "kubeconfig.conf")
    if text:
        source = "ConfigMap kube-system/kube-proxy"
        file = Kubeconfig.parse(host, source, text)  # its CA is a path inside the pod, so the cluster's own is meant
        target = split(file.server or "")
        if target:
            uses.append(replace(_of_kubeconfig(file, source, target), kind="cluster", ca=None, ca_source=None))
    listed = yaml.strings(service, "spec", "clusterIPs") or (yaml.string(service, "spec", "clusterIP") or "",)
    addresses = [address for address in listed if as_address(address) is not None]
    uses += [Use("service", "Service default/kubernetes", address, 443, address) for address in addresses]
    return uses + (_members(members, addresses[0]) if addresses else [])


def _members(slices: dict[str, Json], name: str) -> list[Use]:
    """The API servers behind the service; who reaches them meant the service's address."""
    ports = slices.get("ports")
    first = ports[0] if isinstance(ports, list) and ports else None
    port = (yaml.string(first, "port") or "") if isinstance(first, dict) else ""
    endpoints = slices.get("endpoints")
    return [
        Use("member", "EndpointSlice default/kubernetes", address, int(port), name)
        for endpoint in (endpoints if isinstance(endpoints, list) else [])
        if isinstance(endpoint, dict) and port.isdecimal()
        for address in yaml.strings(endpoint, "addresses")
    ]


def _own_cluster_only(uses: list[Use]) -> list[Use]:
    """Leave out people's own kubeconfigs where they lead to another cluster: a place of which nothing else here knows, with another CA."""
    others = [use for use in uses if not use.personal]
    known = {(use.host, use.port) for use in others}
    cas = {use.ca for use in others if use.ca}
    return [use for use in uses if not use.personal or not cas or (use.host, use.port) in known or use.ca in cas]


def gathered(uses: Iterable[Use]) -> tuple[ApiEndpoint, ...]:
    """The endpoints of some uses, each once."""
    groups: dict[tuple[str, int, str | None], list[Use]] = {}
    for use in uses:
        address = as_address(use.host)
        host = str(address) if address is not None and "%" not in use.host else use.host.lower()
        group = groups.setdefault((host, use.port, use.server_name), [])
        if use not in group:
            group.append(use)
    return tuple(ApiEndpoint(*key, tuple(group)) for key, group in groups.items())
