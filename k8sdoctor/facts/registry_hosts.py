"""The chain of registry hosts that this runtime would ask for an image. Nobody is asked here."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.proxy import ProxyEnvironment, UnitProxy
from k8sdoctor.facts.registry_chain import RegistryChain
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.read_once import ReadOnce
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.facts.image_reference import ImageReference
    from k8sdoctor.facts.registries_conf import RegistriesConf
    from k8sdoctor.facts.runtime import Kind
    from k8sdoctor.host import Host


@dataclass(frozen=True)
class PullConfig:
    """What the runtime that runs here pulls any image with: its own configuration, and its proxy."""

    kind: Kind
    config: ContainerdConfig | CrioConfig | DockerConfig
    proxy: ProxyEnvironment = field(default_factory=ProxyEnvironment)
    ignored: tuple[IgnoredSetting, ...] = ()
    """What is written about registries where this version does not read it."""
    unit: UnitProxy | None = None
    """The proxy of the service that pulls; None where Docker's own file tells it."""

    @classmethod
    def observe(
        cls,
        host: Host,
        runtime: Runtime,
        containerd: ContainerdConfig | Unobserved,
        crio: CrioConfig | Unobserved,
        docker: DockerConfig | Unobserved,
    ) -> Self:
        """Take the configuration of the runtime that runs here. Raises NotFound without one, NotPermitted."""
        if isinstance(containerd, ContainerdConfig):
            vain = tuple(one for one in containerd.ignored if "registry" in one.key)
            unit = UnitProxy.of(host, runtime.pid, runtime.unit)
            return cls("containerd", containerd, unit.held, vain, unit)
        if isinstance(crio, CrioConfig):
            unit = UnitProxy.of(host, runtime.pid, runtime.unit)
            return cls("cri-o", crio, unit.held, unit=unit)
        if isinstance(docker, DockerConfig):
            if docker.proxies is not None:
                return cls("cri-dockerd", docker, docker.proxies)
            unit = UnitProxy.of(host, docker.pid, "docker")  # dockerd pulls, not cri-dockerd
            return cls("cri-dockerd", docker, unit.held, unit=unit)
        raise HostError("NotFound", "the runtime's configuration is not known")


@dataclass(frozen=True)
class RegistryHosts(RegistryChain):
    """Whom this runtime would ask for an image, in which order, with what, and by which proxy. Observed for the sandbox image."""

    proxy: ProxyEnvironment = field(default_factory=ProxyEnvironment)

    @classmethod
    def observe(cls, host: Host, image: SandboxImage, config: PullConfig) -> Self:
        """Read what the runtime that runs here reads. Raises NotFound when the image has no proper name, NotPermitted."""
        if image.reference is None:
            raise HostError("NotFound", f"{image.image!r} is no name of an image, so nobody can be asked for it")
        return cls(**vars(chain_for(host, image.reference, config)))


def chain_for(host: Host, image: ImageReference, config: PullConfig) -> RegistryHosts:
    """Whom this runtime would ask for an image. Raises NotPermitted."""
    return chains_for(host, [image], config)[image]


def chains_for(host: Host, images: Iterable[ImageReference], config: PullConfig) -> dict[ImageReference, RegistryHosts]:
    """Whom this runtime would ask for each of many images; what they have in common is read once. Raises NotPermitted."""
    reader = _Reader(ReadOnce(host), config)
    return {image: reader.chain(image) for image in dict.fromkeys(images)}


class _Reader:
    """Reads chains, and keeps what serves the next one as well."""

    def __init__(self, host: Host, config: PullConfig) -> None:
        self._host = host
        self._config = config
        self._of_containerd: dict[tuple[str, bool], RegistryChain] = {}
        self._registries: RegistriesConf | None = None

    def chain(self, image: ImageReference) -> RegistryHosts:
        found = self._read(image)
        ignored = (*self._config.ignored, *found.ignored)
        return RegistryHosts(**{**vars(found), "ignored": ignored, "proxy": self._config.proxy})

    def _read(self, image: ImageReference) -> RegistryChain:
        config = self._config.config
        if isinstance(config, ContainerdConfig):
            return self._containerd(config, image)
        if isinstance(config, CrioConfig):
            from k8sdoctor.facts import crio_hosts

            if self._registries is None:
                self._registries = crio_hosts.registries(self._host, config)
            return crio_hosts.chain(self._host, config, image, self._registries)
        from k8sdoctor.facts import docker_hosts

        return docker_hosts.chain(self._host, config, image)

    def _containerd(self, config: ContainerdConfig, image: ImageReference) -> RegistryChain:
        from k8sdoctor.facts import containerd_hosts

        # Its hosts depend on the registry, and on whether there is a tag to resolve.
        key = (image.registry, image.digest is None)
        if key not in self._of_containerd:
            self._of_containerd[key] = containerd_hosts.chain(self._host, config, image)
        known = self._of_containerd[key]
        hosts, content_hosts = (
            tuple(replace(each, repository=image.repository, reference=image.object) for each in listed)
            for listed in (known.hosts, known.content_hosts)
        )
        return replace(known, image=image, hosts=hosts, content_hosts=content_hosts)
