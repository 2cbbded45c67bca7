"""The chain of registry hosts that dockerd asks for an image."""

from __future__ import annotations

import ipaddress
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts import docker_auth, hosts_toml
from k8sdoctor.facts.image_reference import DOCKER_HUB, is_address
from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost, Stopper
from k8sdoctor.facts.settings import IgnoredSetting

if TYPE_CHECKING:
    from k8sdoctor.facts.docker import DockerConfig
    from k8sdoctor.facts.image_reference import ImageReference
    from k8sdoctor.host import Host

CERTS = "/etc/docker/certs.d"

# Where cri-dockerd, like kubelet, looks for credentials.
_AUTH_FILES = ("/var/lib/kubelet/config.json", "/root/.docker/config.json")


@dataclass
class _Chain:
    hosts: list[RegistryHost] = field(default_factory=list)
    stoppers: list[Stopper] = field(default_factory=list)


def chain(host: Host, config: DockerConfig, image: ImageReference) -> RegistryChain:
    """Whom this dockerd asks for the image, and with what. Raises NotPermitted."""
    found = _Chain()
    ignored: list[IgnoredSetting] = []
    hub = image.registry == DOCKER_HUB
    for mirror in config.mirrors if hub else ():
        scheme, _, rest = (mirror if "://" in mirror else f"https://{mirror}").partition("://")
        name = rest.partition("/")[0]
        if is_address(name):
            _add(host, config, image, name, config.path, found, scheme=scheme)
        else:
            why = "it is no URL, and dockerd does not start with it"
            ignored.append(IgnoredSetting("malformed", "registry-mirrors", mirror, config.path, why))
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


def _add(  # noqa: PLR0913, PLR0917 -- all that a host depends on
    host: Host,
    config: DockerConfig,
    image: ImageReference,
    name: str,
    source: str,
    found: _Chain,
    *,
    scheme: str = "https",
) -> None:
    upstream = name == image.registry
    address = "registry-1.docker.io" if name == DOCKER_HUB else name
    base = f"{scheme}://{address}/v2"
    folder = posixpath.join(CERTS, name)
    tls = hosts_toml.certificates(host, folder)
    insecure = is_insecure(name, config.insecure)
    for path in tls.ca_files:
        if (why := hosts_toml.why_unloadable(host, path)) is not None and "no certificate" not in why:
            found.stoppers.append(Stopper("ca-unreadable", path, folder, why, base))
    for certificate, key in tls.client_pairs:
        why = hosts_toml.why_unloadable(host, certificate)
        if why is None and key == certificate:
            why = f"there is no {certificate.removesuffix('.cert')}.key beside it (a CA's name ends with .crt)"
        if why is not None:
            found.stoppers.append(Stopper("client-certificate-unreadable", certificate, folder, why, base))
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
            http_fallback=f"http://{address}/v2" if insecure and scheme == "https" else None,
            credentials=docker_auth.find(host, _AUTH_FILES, f"{name}/{image.repository}") if upstream else None,
        )
    )


def is_insecure(registry: str, written: tuple[str, ...]) -> bool:
    """Whether dockerd takes a registry for insecure: by its name, by its address in a CIDR, or since it is this machine.

    A name is not resolved here, which dockerd does to compare it with a CIDR.

    >>> is_insecure("10.1.2.3:5000", ("10.0.0.0/8",)), is_insecure("127.0.0.1:5000", ()), is_insecure("registry.k8s.io", ())
    (True, True, False)
    """
    if registry in written:
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
        try:
            if address in ipaddress.ip_network(entry):
                return True
        except ValueError:
            continue
    return False
