"""What kubeadm was told, or will be told: endpoint, subnets, image repository, socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers, versions, yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.base import DEFAULT_TOKEN
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.host import Host, Json

# kubeadm's own placeholder in `kubeadm config print init-defaults`; it is nobody's address.
PLACEHOLDER_ADDRESS = "1.2.3.4"
PLACEHOLDER_TOKEN = DEFAULT_TOKEN
"""What the host makes of the token of `init-defaults`, which is no secret."""


@dataclass(frozen=True, slots=True)
class KubeadmAddons:
    """What decides, beside release and repository, which images kubeadm wants. What was not said is None.

    `proxy` and `dns` tell whether kubeadm brings kube-proxy and CoreDNS: not where a phase is skipped or `disabled` is set (v1beta4).
    `control_plane` is true where a JoinConfiguration makes a control plane.
    """

    dns_repository: str | None = None
    dns_tag: str | None = None
    etcd_repository: str | None = None
    etcd_tag: str | None = None
    external_etcd: bool = False
    proxy: bool = True
    dns: bool = True
    control_plane: bool = False

    @classmethod
    def parse(cls, cluster: Mapping[str, Json], local: Mapping[str, Json], join: Mapping[str, Json]) -> Self:
        """From a ClusterConfiguration, an InitConfiguration or JoinConfiguration, and a JoinConfiguration."""
        skipped = {phase.lower() for phase in yaml.strings(local, "skipPhases")}
        off = {name for name in ("proxy", "dns") if _mapping(cluster.get(name)).get("disabled") is True}
        return cls(
            dns_repository=yaml.string(cluster, "dns", "imageRepository"),
            dns_tag=yaml.string(cluster, "dns", "imageTag"),
            etcd_repository=yaml.string(cluster, "etcd", "local", "imageRepository"),
            etcd_tag=yaml.string(cluster, "etcd", "local", "imageTag"),
            external_etcd=isinstance(_mapping(cluster.get("etcd")).get("external"), dict),
            proxy="proxy" not in off and not skipped & {"addon", "addon/kube-proxy"},
            dns="dns" not in off and not skipped & {"addon", "addon/coredns"},
            control_plane=isinstance(join.get("controlPlane"), dict),
        )


@dataclass(frozen=True)
class KubeadmConfig:
    """What is planned: the configuration given by `--config`.

    The fields of kubeadm's documents (v1beta2 to v1beta4) that checks use; what was not said is None or empty.

    `source` is None when there is no configuration at all. `problem` is a sentence when it could not be parsed. `joins` is true
    with a JoinConfiguration.
    """

    source: str | None = None
    problem: str | None = None
    kubernetes_version: str | None = None
    control_plane_endpoint: str | None = None
    advertise_address: str | None = None
    bind_port: int = 6443
    pod_subnets: tuple[str, ...] = ()
    service_subnets: tuple[str, ...] = ()
    dns_domain: str | None = None
    image_repository: str | None = None
    cri_socket: str | None = None
    node_name: str | None = None
    cert_sans: tuple[str, ...] = ()
    api_version: str | None = None
    joins: bool = False
    discovery_endpoint: str | None = None
    addons: KubeadmAddons = KubeadmAddons()

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the configuration given on the command line."""
        given = host.given()["config"]
        if given is None:
            return cls()
        return cls.parse(given["text"], f"--config {given['path']}")

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """The configuration in a text of YAML documents. Never raises: what does not parse is a `problem`."""
        try:
            documents = yaml.documents(text, source)
        except yaml.YamlError as error:
            return cls(source=source, problem=str(error))
        kinds = {yaml.string(document, "kind") or "": document for document in documents if isinstance(document, dict)}
        known = {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration"}
        if not known & kinds.keys():
            return cls(source=source, problem=f"{source}: holds none of {', '.join(sorted(known))}")
        cluster = kinds.get("ClusterConfiguration", {})
        join = kinds.get("JoinConfiguration", {})
        local = kinds.get("InitConfiguration", join)
        endpoint = local.get("localAPIEndpoint") or _mapping(join.get("controlPlane")).get("localAPIEndpoint")
        port = yaml.string(_mapping(endpoint), "bindPort") or ""
        return cls(
            source=source,
            kubernetes_version=yaml.string(cluster, "kubernetesVersion"),
            control_plane_endpoint=yaml.string(cluster, "controlPlaneEndpoint"),
            advertise_address=yaml.string(_mapping(endpoint), "advertiseAddress"),
            bind_port=numbers.port(port) or 6443,
            pod_subnets=_split(yaml.string(cluster, "networking", "podSubnet")),
            service_subnets=_split(yaml.string(cluster, "networking", "serviceSubnet")),
            dns_domain=yaml.string(cluster, "networking", "dnsDomain"),
            image_repository=yaml.string(cluster, "imageRepository"),
            cri_socket=yaml.string(local, "nodeRegistration", "criSocket"),
            node_name=yaml.string(local, "nodeRegistration", "name"),
            cert_sans=yaml.strings(cluster, "apiServer", "certSANs"),
            api_version=_first(
                yaml.string(document, "apiVersion") for kind, document in kinds.items() if kind in known
            ),
            joins="JoinConfiguration" in kinds,
            discovery_endpoint=yaml.string(join, "discovery", "bootstrapToken", "apiServerEndpoint"),
            addons=KubeadmAddons.parse(cluster, local, join),
        )


@dataclass(frozen=True)
class ClusterKubeadmConfig:
    """What kubeadm was told when the cluster was made: its ConfigMap `kubeadm-config`, which every node may read.

    `text` is its ClusterConfiguration as stored.
    """

    config: KubeadmConfig
    text: str = ""

    @classmethod
    def observe(cls, host: Host, access: ApiAccess) -> Self:
        """Ask the API server. Raises the reason why it cannot be asked, NotFound where kubeadm did not make the cluster."""
        if access.kubeconfig is None:
            problem = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            raise HostError(problem.reason, problem.message, problem.traits)
        path = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
        found = host.kube(path, kubeconfig=access.kubeconfig)
        text = yaml.string(found, "data", "ClusterConfiguration") or ""
        return cls(KubeadmConfig.parse(text, "ConfigMap kube-system/kubeadm-config"), text)


@dataclass(frozen=True)
class KubeadmBinary:
    """The kubeadm program; `version` is None when none is installed or it will not say."""

    version: versions.Version | None

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Ask the program."""
        try:
            return cls(versions.parse(host.run("kubeadm", "version", "-o", "short")["out"]))
        except HostError:
            return cls(None)


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _split(value: str | None) -> tuple[str, ...]:
    """A comma-separated list of subnets, as dual-stack clusters have it."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)
