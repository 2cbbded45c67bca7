"""The chain of registry hosts that this runtime would ask for the sandbox image. Nobody is asked here."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.facts.systemd_unit import UnitEnvironment
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the runtime would log in with. Secrets are placeholders that only the host can resolve."""

    source: str
    """`path:line`, or a path."""
    username: str | None = None
    password: str | None = None
    auth: str | None = None
    """base64 of `user:password`: what `Authorization: Basic` carries."""
    identity_token: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryHost:
    """One host of the chain, with all that the runtime brings along when it asks there."""

    base_url: str
    """`https://mirror:5000/v2`, `override_path` applied, no slash at the end; `url()` makes requests of it."""
    repository: str
    """The path to ask for on this host: `pause`, or with the project of a mirror in front (CRI-O's `location`)."""
    reference: str
    """The tag or the digest to ask for."""
    source: str
    """Where it is written: `path:line`, `path`, or `default`."""
    upstream: bool = False
    """Whether this is the registry of the image's own name."""
    capabilities: frozenset[str] = frozenset({"pull", "resolve"})
    mirror_ns: str | None = None
    """The value of `?ns=` that the runtime adds to each request to this host (containerd to mirrors)."""
    ca_files: tuple[str, ...] = ()
    """Trusted beside the node's trust store."""
    client_certificate: tuple[str, str] | None = None
    """Paths of certificate and key; the same path twice where one file holds both."""
    verify: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    http_fallback: str | None = None
    """The base URL in plain HTTP that the runtime falls back to when the peer speaks no TLS or refuses."""
    credentials: Credentials | None = None
    dial_timeout: float = 30.0
    """Seconds that the runtime waits for a connection."""

    def url(self, path: str) -> str:
        """A request's URL, `?ns=` included: `url("")` is the version check, `url(host.manifest)` the manifest."""
        query = f"?ns={self.mirror_ns}" if self.mirror_ns else ""
        return f"{self.base_url}/{path.lstrip('/')}{query}"

    @property
    def manifest(self) -> str:
        """The path of the image's manifest below `base_url`."""
        return f"{self.repository}/manifests/{self.reference}"


@dataclass(frozen=True, slots=True)
class SkippedHost:
    """A host that the runtime reads and does not ask for this image."""

    url: str
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Stopper:
    """What makes the runtime refuse the pull before it asks anybody, or keeps its CRI plugin from loading."""

    kind: Literal[
        "ca-unreadable",
        "client-certificate-unreadable",
        "config-invalid",  # of a file that is only read to pull
        "blocked",
        "policy",
        "no-host",
    ]
    path: str
    """The file that is missing or wrong."""
    source: str
    """Where it is named: `path:line`, or a path."""
    why: str
    base_url: str | None = None
    """The only host concerned; None where the whole pull fails."""


@dataclass(frozen=True)
class RegistryHosts:
    """For the sandbox image: whom the runtime would ask, in which order, and with what."""

    image: ImageReference
    hosts: tuple[RegistryHost, ...]
    """In the order in which the runtime tries them; skipped ones left out."""
    skipped: tuple[SkippedHost, ...] = ()
    ignored: tuple[IgnoredSetting, ...] = ()
    stoppers: tuple[Stopper, ...] = ()
    proxy: ProxyEnvironment = field(default_factory=ProxyEnvironment)
    sources: tuple[str, ...] = ()
    """The files that were read to tell, in order."""
    first_error_ends: bool = False
    """Whether the first host that fails ends the pull; else the next is asked."""
    folder: str | None = None
    """Where a hosts.toml or a registries.conf drop-in for this registry takes effect, if anywhere."""

    @property
    def ca_problems(self) -> tuple[Stopper, ...]:
        """The certificate files that the runtime cannot load."""
        return tuple(stopper for stopper in self.stoppers if stopper.kind.endswith("-unreadable"))

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- one parameter a runtime
        cls,
        host: Host,
        image: SandboxImage,
        runtime: Runtime,
        containerd: ContainerdConfig | Unobserved,
        crio: CrioConfig | Unobserved,
        docker: DockerConfig | Unobserved,
    ) -> RegistryHosts:
        """Read what the runtime that runs here reads. Raises NotFound when the image has no proper name, NotPermitted."""
        from k8sdoctor.facts import containerd_hosts, crio_hosts, docker_hosts

        if image.reference is None:
            raise HostError("NotFound", f"{image.image!r} is no name of an image, so nobody can be asked for it")
        if isinstance(containerd, ContainerdConfig):
            found = containerd_hosts.chain(host, containerd, image.reference)
            vain = tuple(one for one in containerd.ignored if "registry" in one.key)
            proxy, stale = _proxy(host, runtime.pid, runtime.unit)
            return replace(found, ignored=(*vain, *found.ignored, *stale), proxy=proxy)
        if isinstance(crio, CrioConfig):
            found = crio_hosts.chain(host, crio, image.reference)
            proxy, stale = _proxy(host, runtime.pid, runtime.unit)
            return replace(found, ignored=(*found.ignored, *stale), proxy=proxy)
        if isinstance(docker, DockerConfig):
            found = docker_hosts.chain(host, docker, image.reference)
            if docker.proxies is not None:
                return replace(found, proxy=docker.proxies)
            proxy, stale = _proxy(host, docker.pid, "docker")  # dockerd pulls, not cri-dockerd
            return replace(found, ignored=(*found.ignored, *stale), proxy=proxy)
        raise HostError("NotFound", "the runtime's configuration is not known")


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
