"""The chain of registry hosts that dockerd asks for an image.

Read in moby `daemon/pkg/registry/{service_v2,config,registry}.go` (until 28 `registry/`): mirrors are asked for Docker Hub's images alone,
Docker Hub itself is neither insecure nor in certs.d, an insecure registry is asked without verification and without what certs.d holds,
by https and then by http. The containerd image store, the default of fresh installations since 29, pulls as containerd does
(`daemon/hosts.go`): it would heed a hosts.toml in certs.d and stay with a mirror that answers 200 with something else, which is not told here.
"""

from __future__ import annotations

import ipaddress
import posixpath
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts import docker_auth, hosts_toml, versions
from k8sdoctor.facts.image_reference import DOCKER_HUB, is_address
from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost, Stopper
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.docker import DockerConfig
    from k8sdoctor.facts.image_reference import ImageReference
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

CERTS = "/etc/docker/certs.d"
_MIRROR_PATHS: Version = (25, 0, 0)


@dataclass()
class _Chain:
    hosts: list[RegistryHost] = field(default_factory=list)
    stoppers: list[Stopper] = field(default_factory=list)


def chain(host: Host, config: DockerConfig, image: ImageReference) -> RegistryChain:
    """Whom this dockerd asks for the image, and with what. Raises NotPermitted."""
    found = _Chain()
    ignored: list[IgnoredSetting] = []
    hub = image.registry == DOCKER_HUB
    for mirror in config.mirrors if hub else ():
        if (why := why_no_mirror(mirror, config.version)) is not None:
            ignored.append(IgnoredSetting("malformed", "registry-mirrors", mirror, config.path, why))
            continue
        parts = urlsplit(mirror)
        _add(host, config, image, parts.netloc, config.path, found, scheme=parts.scheme, path=parts.path.rstrip("/"))
    _add(host, config, image, image.registry, "default", found)
    for mirror in () if hub else config.mirrors:
        why = f"dockerd asks registry-mirrors for images of docker.io alone, and this one is of {image.registry}"
        ignored.append(IgnoredSetting("without-effect", "registry-mirrors", mirror, config.path, why))
    return RegistryChain(
        image=image,
        hosts=tuple(found.hosts),
        ignored=tuple(ignored),
        stoppers=tuple(found.stoppers),
        sources=config.files,
    )


def why_no_mirror(mirror: str, version: Version | None) -> str | None:
    """Why dockerd does not start with a mirror (`ValidateMirror`); None for a good one. Paths are allowed since 25.0.

    >>> why_no_mirror("https://m/hub", (28, 5, 2))
    >>> why_no_mirror("https://m/hub", (24, 0, 7))
    'Docker 24.0.7 allows no path in it, and does not start with it'
    """
    scheme, separator, rest = mirror.partition("://")
    name = rest.partition("/")[0]
    if not separator or scheme not in {"http", "https"}:
        return "it does not begin with http:// or https://, and dockerd does not start with it"
    if not is_address(name):
        return "it is no URL, and dockerd does not start with it"
    parts = urlsplit(mirror)
    if parts.query or parts.fragment:
        return "it has a query or a fragment, and dockerd does not start with it"
    if version is not None and version < _MIRROR_PATHS and parts.path not in {"", "/"}:
        return f"Docker {versions.text(version)} allows no path in it, and does not start with it"
    return None


def _add(  # noqa: PLR0913, PLR0917 -- all that a host depends on
    host: Host,
    config: DockerConfig,
    image: ImageReference,
    name: str,
    source: str,
    found: _Chain,
    *,
    scheme: str = "https",
    path: str = "",
) -> None:
    upstream = name == image.registry
    hub = name == DOCKER_HUB
    base = f"{scheme}://{'registry-1.docker.io' if hub else name}{path}/v2"
    insecure = not hub and is_insecure(name, config.insecure)
    folder = None if hub or insecure else posixpath.join(CERTS, name)
    tls = hosts_toml.certificates(host, folder) if folder else hosts_toml.HostConfig("")
    # What cannot be loaded fails the whole pull, for endpoints are put together before any is asked (`lookupV2Endpoints`).
    for ca in tls.ca_files:
        if (why := hosts_toml.why_unloadable(host, ca)) is not None and "no certificate" not in why:
            found.stoppers.append(Stopper("ca-unreadable", ca, folder or ca, why))
    found.stoppers += hosts_toml.unloadable_pairs(host, tls, folder) if folder else ()
    found.hosts.append(
        RegistryHost(
            base_url=base,
            repository=image.repository,
            reference=image.object,
            source=source,
            upstream=upstream,
            ca_files=tls.ca_files,
            client_certificate=tls.client_pairs[0] if tls.client_pairs else None,
            verify=not insecure,
            http_fallback=f"http://{name}/v2" if insecure and scheme == "https" and upstream else None,
            credentials=docker_auth.find(host, config.auth_files, f"{name}/{image.repository}") if upstream else None,
        )
    )


def is_insecure(registry: str, written: tuple[str, ...]) -> bool:
    """Whether dockerd takes a registry for insecure: by its name, by its address in a CIDR, or since it is this machine.

    A name is not resolved here, which dockerd does to compare it with a CIDR.

    >>> is_insecure("10.1.2.3:5000", ("10.0.0.0/8",)), is_insecure("127.0.0.1:5000", ()), is_insecure("registry.k8s.io", ())
    (True, True, False)
    """
    if registry in {entry.partition("://")[2] or entry for entry in written}:  # a scheme is cut off, with a warning
        return True
    name = urlsplit(f"//{registry}").hostname or ""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    for entry in written:
        if "/" not in entry:  # a name, which must be the registry's own with its port
            continue
        try:
            if address in ipaddress.ip_network(entry.partition("://")[2] or entry, strict=False):
                return True
        except ValueError:
            continue
    return False
