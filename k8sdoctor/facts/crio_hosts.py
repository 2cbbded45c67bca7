"""The chain of registry hosts that CRI-O asks for an image.

Read in containers/image 5.36 (go.podman.io/image 5.38, which CRI-O 1.35 and 1.36 have, does the same): `docker/docker_image_src.go` (mirrors in
order, then the location), `docker/docker_client.go` (certificates, https first and http only where `insecure`), `pkg/tlsclientconfig`,
`signature/policy_config.go`, `pkg/docker/config`, `pkg/sysregistriesv2` (PullSourcesFromReference).
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Any

from k8sdoctor.facts import docker_auth, hosts_toml, registries_conf
from k8sdoctor.facts import toml as toml_text
from k8sdoctor.facts.image_reference import DOCKER_HUB, ImageReference
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.registries_conf import Endpoint, RegistriesConf, Registry
from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost, SkippedHost, Stopper
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.crio import CrioConfig
    from k8sdoctor.host import Host

_HOME = "/root/.config/containers"
CERTS = (f"{_HOME}/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d")
"""Of these the first with a folder for the host counts, whatever is in it."""
POLICIES = (f"{_HOME}/policy.json", "/etc/containers/policy.json")
_AUTH_FILES = ("/run/containers/0/auth.json", f"{_HOME}/auth.json", "/root/.docker/config.json")


def registries(host: Host, config: CrioConfig) -> RegistriesConf:
    """The registries.conf that this CRI-O reads, with its drop-ins. Raises NotPermitted."""
    return RegistriesConf.read(
        host, path=flag(config.flags, "--registries-conf"), folder=flag(config.flags, "--registries-conf-dir")
    )


def chain(host: Host, config: CrioConfig, image: ImageReference, conf: RegistriesConf | None = None) -> RegistryChain:
    """Whom this CRI-O asks for the image, and with what. `conf` saves reading `registries` again. Raises NotPermitted."""
    if conf is None:
        conf = registries(host, config)
    stoppers = [*_policy(host, config, image)]
    if conf.invalid is not None:
        path, line = conf.invalid.path, conf.invalid.line
        source = f"{path}:{line}" if line else path
        stoppers.append(Stopper("config-invalid", path, source, f"every pull fails: {conf.invalid}"))
    found = _Found()
    registry = conf.find(image.name) or Registry(image.registry, Endpoint(image.registry), "default")
    for endpoint in (*registry.mirrors, registry.endpoint):
        _add(host, config, conf, registry, endpoint, image, found)
    stoppers += found.stoppers
    if not found.hosts and found.skipped:
        why = f"no place may be asked for {image}: {found.skipped[-1].why}"
        stoppers.append(
            Stopper("blocked" if registry.blocked else "no-host", _path(registry.source), registry.source, why)
        )
    return RegistryChain(
        image=image,
        hosts=tuple(found.hosts),
        skipped=tuple(found.skipped),
        ignored=(*registries_conf.ignored(conf, image.name), *_insecure_of_old(config, image.registry)),
        stoppers=tuple(stoppers),
        sources=(*config.files, *conf.files),
        folder=registries_conf.DROP_INS,
    )


def _path(source: str) -> str:
    """The file of a `path:line`."""
    path, _, line = source.rpartition(":")
    return path if line.isdigit() else source


@dataclass()
class _Found:
    hosts: list[RegistryHost] = field(default_factory=list)
    skipped: list[SkippedHost] = field(default_factory=list)
    stoppers: list[Stopper] = field(default_factory=list)


def _add(  # noqa: PLR0913, PLR0917 -- all that a host depends on
    host: Host,
    config: CrioConfig,
    conf: RegistriesConf,
    registry: Registry,
    endpoint: Endpoint,
    image: ImageReference,
    found: _Found,
) -> None:
    name = registry.rewrite(endpoint, image.name)
    domain, _, repository = name.partition("/")
    upstream = endpoint is registry.endpoint
    base = f"https://{'registry-1.docker.io' if domain == DOCKER_HUB else domain}/v2"
    if (why := _why_not_for(registry, endpoint, image)) is not None:
        found.skipped.append(SkippedHost(base, registry.source, why, by_digest=image.digest is None))
        return
    if not _is_full_name(name):
        bad = f"{name!r} is no full name of an image (its first part needs a dot or a port), and CRI-O pulls nothing because of it"
        found.stoppers.append(Stopper("config-invalid", _path(registry.source), registry.source, bad))
        return
    own = conf.find(name)
    if own is not None and own.blocked:
        found.skipped.append(SkippedHost(base, registry.source, f"{own.source} blocks {own.prefix}"))
        return
    certs = next(
        (path for path in (posixpath.join(root, domain) for root in CERTS) if registries_conf.there(host, path)), None
    )
    tls = hosts_toml.certificates(host, certs) if certs else hosts_toml.HostConfig("")
    # What makes `SetupCertificates` fail, fails one host, and the next is asked.
    found.stoppers += hosts_toml.unloadable_pairs(host, tls, certs, base) if certs else ()
    found.hosts.append(
        RegistryHost(
            base_url=base,
            repository=repository,
            reference=image.object,
            source=registry.source,
            upstream=upstream and domain == image.registry,
            ca_files=tls.ca_files,
            client_certificate=tls.client_pairs[0] if tls.client_pairs else None,
            verify=not endpoint.insecure,
            http_fallback=f"http://{base.removeprefix('https://')}" if endpoint.insecure else None,
            credentials=_credentials(host, config, name),
        )
    )


def _why_not_for(registry: Registry, endpoint: Endpoint, image: ImageReference) -> str | None:
    if endpoint is registry.endpoint:
        return None
    if image.digest is None and (registry.mirror_by_digest_only or endpoint.pull_from_mirror == "digest-only"):
        return "it is asked for digests only, and the image has a tag"
    if image.digest is not None and endpoint.pull_from_mirror == "tag-only":
        return "it is asked for tags only, and the image has a digest"
    return None


def _is_full_name(name: str) -> bool:
    """Whether a name is what it would be made into (distribution/reference `ParseNamed`): `mirror/pause` is docker.io/mirror/pause."""
    try:
        return ImageReference.parse(name).name == name
    except ValueError:
        return False


def _credentials(host: Host, config: CrioConfig, name: str) -> Any:
    files = (config.pause_auth_file, config.global_auth_file) if config.pause_auth_file else (config.global_auth_file,)
    given = [path for path in files if path]
    return docker_auth.find(host, given[:1] or _AUTH_FILES, name)


def _insecure_of_old(config: CrioConfig, registry: str) -> Iterator[IgnoredSetting]:
    found = toml_text.setting(config.image, "insecure_registries")
    if found is not None and registry in toml_text.texts_of(found):
        why = "CRI-O no longer heeds insecure_registries; `insecure` in a [[registry]] of registries.conf says it"
        counts = f'[[registry]] location = "{registry}", insecure = true'
        yield IgnoredSetting("without-effect", found.key, registry, found.source, why, counts)


# -- policy.json --------------------------------------------------------------------------------------------------------------


def _policy(host: Host, config: CrioConfig, image: ImageReference) -> Iterator[Stopper]:
    """A policy that is missing, broken, or rejects the image; signatures are not verified here."""
    path = config.signature_policy or next((one for one in POLICIES if registries_conf.there(host, one)), None)
    if path is None:
        why = "there is no policy.json, and without one CRI-O pulls nothing"
        yield Stopper("policy", POLICIES[-1], "default", why)
        return
    try:
        policy = json.loads(host.read(path))
        requirements = _requirements(policy, image)
        kinds = [requirement["type"] for requirement in requirements]
    except HostError as error:
        if error.reason == "NotPermitted":
            return
        yield Stopper("policy", path, path, f"{error.message}, and without a policy CRI-O pulls nothing")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Stopper("policy", path, path, f"it is no valid policy, so CRI-O pulls nothing: {error}")
    else:
        if "reject" in kinds:
            yield Stopper("policy", path, path, f"it rejects {image}")


def _requirements(policy: dict[str, Any], image: ImageReference) -> list[dict[str, Any]]:
    """The requirements of the most special scope (containers-policy.json(5)): image, repository, namespaces, host, `*.domain`."""
    scopes = policy.get("transports", {}).get("docker", {})
    names = [str(image), image.name]
    while "/" in names[-1]:
        names.append(names[-1].rpartition("/")[0])
    domain = image.registry
    while "." in domain:
        domain = domain.partition(".")[2]
        names.append(f"*.{domain}")
    for name in (*names, ""):
        if name in scopes:
            return list(scopes[name])
    return list(policy["default"])
