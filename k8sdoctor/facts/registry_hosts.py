"""The chain of registry hosts that this runtime would ask for the sandbox image. Nobody is asked here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.registry_chain import RegistryChain
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.facts.systemd_unit import UnitEnvironment
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True)
class RegistryHosts(RegistryChain):
    """For the sandbox image: whom this runtime would ask, in which order, with what, and by which proxy."""

    proxy: ProxyEnvironment = field(default_factory=ProxyEnvironment)

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- one parameter a runtime
        cls,
        host: Host,
        image: SandboxImage,
        runtime: Runtime,
        containerd: ContainerdConfig | Unobserved,
        crio: CrioConfig | Unobserved,
        docker: DockerConfig | Unobserved,
    ) -> Self:
        """Read what the runtime that runs here reads. Raises NotFound when the image has no proper name, NotPermitted."""
        if image.reference is None:
            raise HostError("NotFound", f"{image.image!r} is no name of an image, so nobody can be asked for it")
        if isinstance(containerd, ContainerdConfig):
            from k8sdoctor.facts import containerd_hosts

            found = containerd_hosts.chain(host, containerd, image.reference)
            vain = tuple(one for one in containerd.ignored if "registry" in one.key)
            proxy, stale = _proxy(host, runtime.pid, runtime.unit)
            return cls._of(found, (*vain, *found.ignored, *stale), proxy)
        if isinstance(crio, CrioConfig):
            from k8sdoctor.facts import crio_hosts

            found = crio_hosts.chain(host, crio, image.reference)
            proxy, stale = _proxy(host, runtime.pid, runtime.unit)
            return cls._of(found, (*found.ignored, *stale), proxy)
        if isinstance(docker, DockerConfig):
            from k8sdoctor.facts import docker_hosts

            found = docker_hosts.chain(host, docker, image.reference)
            if docker.proxies is not None:
                return cls._of(found, found.ignored, docker.proxies)
            proxy, stale = _proxy(host, docker.pid, "docker")  # dockerd pulls, not cri-dockerd
            return cls._of(found, (*found.ignored, *stale), proxy)
        raise HostError("NotFound", "the runtime's configuration is not known")

    @classmethod
    def _of(cls, chain: RegistryChain, ignored: tuple[IgnoredSetting, ...], proxy: ProxyEnvironment) -> Self:
        return cls(**{**vars(chain), "ignored": ignored, "proxy": proxy})


def _proxy(host: Host, pid: int | None, unit: str) -> tuple[ProxyEnvironment, tuple[IgnoredSetting, ...]]:
    """The proxy of the process that pulls, and what its unit says by now that the process does not have."""
    problem: str | None = None
    try:
        planned = UnitEnvironment.read(host, unit)
    except HostError as error:
        planned, problem = UnitEnvironment(), error.message
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    wanted = ProxyEnvironment.of(planned.variables, "")
    sources = [planned.sources[name] for name in (*names, *map(str.lower, names)) if name in planned.variables]
    wanted = replace(wanted, source=", ".join(dict.fromkeys(sources)) or "not set", problem=problem)
    if pid is None:
        return wanted, ()
    try:
        held = ProxyEnvironment.of_process(host, pid)
    except HostError as error:
        return replace(wanted, problem=error.message), ()
    stale = []
    for name, planned_value, value in zip(
        names, (wanted.http, wanted.https, wanted.no_proxy), (held.http, held.https, held.no_proxy), strict=True
    ):
        if planned_value and planned_value != value:
            source = planned.sources.get(name) or planned.sources[name.lower()]
            why = f"the running {unit} (pid {pid}) has {value or 'none'}: it was not restarted since this was written"
            stale.append(IgnoredSetting("not-loaded", name, planned_value, source, why))
    return held, tuple(stale)
