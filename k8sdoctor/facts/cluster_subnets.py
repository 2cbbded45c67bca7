"""Every place of the cluster that says which addresses pods and services have."""

from __future__ import annotations

import ipaddress
import json
from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.host import Host, Json

FLANNEL = (
    "/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg",
    "/api/v1/namespaces/kube-system/configmaps/kube-flannel-cfg",
)
"""flannel's own manifest has a namespace since 0.20; before, and with Canal, it used kube-system."""


@dataclass(frozen=True, slots=True)
class Told:
    """Subnets, and the place that says so."""

    subnets: tuple[Subnet, ...]
    source: str

    @property
    def text(self) -> str:
        """The subnets as people write them."""
        return ",".join(map(str, self.subnets))


@dataclass(frozen=True)
class ClusterSubnets:
    """What each place says; None where it says nothing, or could not be asked.

    `kubeadm_pods` and `kubeadm_services` are those of kubeadm's ConfigMap, `controller_*` and `apiserver_services` those of the static pods'
    flags, `proxy_pods` kube-proxy's clusterCIDR where it tells pods by it, `flannel` flannel's own Network. `allocates` is false where
    the controller manager was told not to give nodes a part (`--allocate-node-cidrs`), None where nothing tells. `unseen` are places that could not be asked, with
    the reason.
    """

    kubeadm_pods: Told | None = None
    kubeadm_services: Told | None = None
    controller_pods: Told | None = None
    controller_services: Told | None = None
    apiserver_services: Told | None = None
    proxy_pods: Told | None = None
    flannel: Told | None = None
    allocates: bool | None = None
    unseen: tuple[Unobserved, ...] = ()

    @property
    def pods(self) -> Told | None:
        """The cluster's pod subnets by those who give nodes their part, else by kubeadm."""
        return self.controller_pods or self.kubeadm_pods

    @property
    def services(self) -> Told | None:
        """The services' subnets by those who give out their addresses, else by kubeadm."""
        return self.apiserver_services or self.kubeadm_services

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- each of them says something
        cls,
        host: Host,
        access: ApiAccess | Unobserved,
        kubeadm: ClusterKubeadmConfig | Unobserved,
        proxy: KubeProxy | Unobserved,
        pods: StaticPods,
        cni: CniFolder | Unobserved,
    ) -> Self:
        """Ask the API server, and read the static pods. Never raises: what could not be asked is `unseen`."""
        unseen: list[Unobserved] = []
        config = kubeadm.config if isinstance(kubeadm, ClusterKubeadmConfig) else None
        if isinstance(kubeadm, Unobserved) and kubeadm.reason != "NotFound":
            unseen.append(kubeadm)
        source = config.source if config else ""
        manager = _flags(pods, "kube-controller-manager", "--cluster-cidr", "--service-cluster-ip-range")
        server = _flags(pods, "kube-apiserver", "--service-cluster-ip-range")
        allocates = _flag(pods, "kube-controller-manager", "--allocate-node-cidrs")
        if isinstance(proxy, KubeProxy) and proxy.problem:
            unseen.append(proxy.problem)
        uses_flannel = isinstance(cni, CniFolder) and "flannel" in cni.plugin_types
        flannel = _flannels(host, access, unseen) if uses_flannel else {}
        return cls(
            told(config.pod_subnets if config else (), f"podSubnet in {source}"),
            told(config.service_subnets if config else (), f"serviceSubnet in {source}"),
            manager[0],
            manager[1],
            server[0],
            told(
                proxy.pod_subnets if isinstance(proxy, KubeProxy) else (),
                "clusterCIDR in ConfigMap kube-system/kube-proxy",
            ),
            _flannel(flannel),
            None if allocates is None else allocates.lower() != "false",
            tuple(dict.fromkeys(unseen)),
        )


def told(texts: Iterable[str], source: str) -> Told | None:
    """The subnets of some texts; None where there is none. What is no subnet is left out: its own check says so."""
    found: dict[Subnet, None] = {}
    for text in texts:
        try:
            found[ipaddress.ip_network(text.strip(), strict=False)] = None
        except ValueError:
            continue
    return Told(tuple(found), source) if found else None


def _flag(pods: StaticPods, program: str, name: str) -> str | None:
    manifest = pods.find(program)
    container = manifest.container(program) if manifest else None
    return container.flag(name) if container else None


def _flags(pods: StaticPods, program: str, *names: str) -> list[Told | None]:
    manifest = pods.find(program)
    path = manifest.path if manifest else ""
    return [told((_flag(pods, program, name) or "").split(","), f"{name} in {path}") for name in names]


def _flannels(host: Host, access: ApiAccess | Unobserved, unseen: list[Unobserved]) -> dict[str, Json]:
    """The ConfigMap of flannel, from whichever namespace has it."""
    if isinstance(access, Unobserved) or access.kubeconfig is None:
        problem = access if isinstance(access, Unobserved) else access.problem
        unseen.append(problem or Unobserved("NotFound", "no kubeconfig works here"))
        return {}
    kubeconfig = access.kubeconfig

    def ask(path: str) -> dict[str, Json] | Unobserved:
        try:
            return host.kube(path, kubeconfig=kubeconfig)
        except HostError as error:
            return Unobserved(error.reason, error.message)

    answers = side_by_side([partial(ask, path) for path in FLANNEL])
    unseen += [each for each in answers if isinstance(each, Unobserved) and each.reason != "NotFound"]
    return next((each for each in answers if isinstance(each, dict)), {})


def _flannel(found: dict[str, Json]) -> Told | None:
    try:
        config = json.loads(yaml.string(found, "data", "net-conf.json") or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    namespace = yaml.string(found, "metadata", "namespace") or "kube-flannel"
    texts = [yaml.string(config, key) or "" for key in ("Network", "IPv6Network")]
    return told(texts, f"net-conf.json in ConfigMap {namespace}/kube-flannel-cfg")
