"""The places of a node and its cluster that name an image registry: objects, manifests, settings and mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from k8sdoctor.facts.cluster_addons import ClusterAddons
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.cluster_addons import Workload
    from k8sdoctor.host import Host

CONFIG_MAP = "ConfigMap kube-system/kubeadm-config"

_CHASSIS = "/sys/class/dmi/id/chassis_asset_tag"
_AZURE = "7783-7084-3265-9085-8269-3286-77"
"""By this cloud-init knows a machine of Azure (`cloudinit/sources/azure/identity.py`)."""

Kind = Literal["mirror", "sandbox", "kubelet", "plan", "config-map", "static-pod", "daemon-set", "deployment"]


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """One place, and what it names.

    `named` is an image, a repository, or a mirror's URL, as written. `repository` is where the image lies, `registry.k8s.io` or `registry.lab/k8s`; of
    a mirror its `host[:port]`. `component` is the image's own name, such as `kube-proxy`, empty where a whole repository is named.
    """

    kind: Kind
    what: str
    named: str
    source: str
    repository: str
    component: str = ""

    @property
    def registry(self) -> str:
        """`host[:port]`."""
        return self.repository.partition("/")[0]


@dataclass(frozen=True)
class ImagePlaces:
    """All of them, in the order in which a change of registry is safe: first what pulls, then what is pulled.

    `azure` tells whether this is a machine of Azure. `blind` are places that could not be looked at, with the reason.
    """

    places: tuple[ImagePlace, ...] = ()
    azure: bool = False
    blind: tuple[tuple[str, Unobserved], ...] = ()

    def of(self, *kinds: Kind) -> tuple[ImagePlace, ...]:
        """The places of these kinds."""
        return tuple(place for place in self.places if place.kind in kinds)

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- whoever names a registry
        cls,
        host: Host,
        stage: Stage,
        registries: RegistryConfig | Unobserved,
        sandbox: SandboxImage | Unobserved,
        kubelet: Kubelet | Unobserved,
        planned: KubeadmConfig,
        made: ClusterKubeadmConfig | Unobserved,
        pods: StaticPods,
        addons: ClusterAddons | Unobserved,
    ) -> Self:
        """Put them together. Never raises."""
        blind: list[tuple[str, Unobserved]] = []
        if stage.joined and isinstance(made, Unobserved) and made.reason != "NotFound":
            blind.append((CONFIG_MAP, made))
        if pods.problem is not None:
            blind.append((f"the static pods in {pods.folder}", pods.problem))
        if stage.joined and isinstance(addons, Unobserved):
            blind.append(("the kube-proxy daemon set and the deployment of the DNS server", addons))
        places = [*_runtimes(registries, sandbox), *_kubelets(kubelet)]
        if not stage.joined:
            places += _repositories("plan", planned)
        elif isinstance(made, ClusterKubeadmConfig):
            places += _repositories("config-map", made.config)
        places += _static_pods(pods)
        if stage.joined and isinstance(addons, ClusterAddons):
            places += _addons(addons)
        return cls(tuple(dict.fromkeys(places)), _is_azure(host), tuple(blind))


def _runtimes(registries: RegistryConfig | Unobserved, sandbox: SandboxImage | Unobserved) -> Iterator[ImagePlace]:
    if isinstance(registries, RegistryConfig):
        yield from _mirrors(registries)
    if isinstance(sandbox, SandboxImage) and not sandbox.default:
        yield from _place("sandbox", f"the sandbox image of {sandbox.runtime}", sandbox.image, sandbox.source)


def _kubelets(kubelet: Kubelet | Unobserved) -> Iterator[ImagePlace]:
    if isinstance(kubelet, Kubelet) and kubelet.pause_image_flag:
        flag = "--pod-infra-container-image"
        source = kubelet.flag_sources.get(flag, "kubelet")
        yield from _place("kubelet", f"kubelet's {flag}", kubelet.pause_image_flag, source)


def _static_pods(pods: StaticPods) -> Iterator[ImagePlace]:
    for manifest, container in pods.containers():
        what = f"static pod {manifest.namespace}/{manifest.name}"
        yield from _place("static-pod", what, container.image, manifest.path)


def _mirrors(registries: RegistryConfig) -> Iterator[ImagePlace]:
    for host in registries.hosts:
        parts = urlsplit(host.base_url)
        if not host.upstream:
            what = f"a mirror of {registries.runtime}"
            yield ImagePlace("mirror", what, f"{parts.scheme}://{parts.netloc}", host.source, parts.netloc)


def _repositories(kind: Kind, config: KubeadmConfig) -> Iterator[ImagePlace]:
    settings = (
        ("imageRepository", config.image_repository),
        ("dns.imageRepository", config.addons.dns_repository),
        ("etcd.local.imageRepository", config.addons.etcd_repository),
    )
    source = config.source or ""
    for key, repository in settings:
        if repository:
            yield ImagePlace(kind, f"{key} of {source}", repository, source, repository.rstrip("/"))


def _addons(addons: ClusterAddons) -> Iterator[ImagePlace]:
    kinds: tuple[tuple[Kind, tuple[Workload, ...]], ...] = (
        ("daemon-set", addons.kube_proxy),
        ("deployment", addons.dns),
    )
    for kind, workloads in kinds:
        for workload in workloads:
            for image in workload.images:
                yield from _place(kind, workload.label, image, f"{workload.label} of the API server")


def _place(kind: Kind, what: str, image: str, source: str) -> Iterator[ImagePlace]:
    try:
        repository, _, component = ImageReference.parse(image).name.rpartition("/")
    except ValueError:  # which `images` tells
        return
    yield ImagePlace(kind, what, image, source, repository, component)


def _is_azure(host: Host) -> bool:
    try:
        return (host.read_optional(_CHASSIS) or "").strip() == _AZURE
    except HostError:
        return False
