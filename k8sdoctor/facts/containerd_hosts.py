"""The chain of registry hosts that containerd asks for an image.

Read in `internal/cri/server/images/image_pull.go` (1.x: `pkg/cri/server/image_pull.go`), `core/remotes/docker/{resolver,registry}.go` and
`core/remotes/docker/config/hosts.go`.
"""

from __future__ import annotations

import ipaddress
import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from k8sdoctor.facts import hosts_toml, toml, versions
from k8sdoctor.facts.containerd import CERTS_D, ContainerdConfig
from k8sdoctor.facts.containerd_files import leaves
from k8sdoctor.facts.hosts_toml import HostConfig
from k8sdoctor.facts.image_reference import DOCKER_HUB, is_address
from k8sdoctor.facts.registry_chain import Credentials, RegistryChain, RegistryHost, SkippedHost, Stopper
from k8sdoctor.facts.settings import IgnoredSetting, Remark
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.image_reference import ImageReference
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

_OTHER_FOLDERS = (CERTS_D, "/etc/docker/certs.d")
"""Where hosts.toml files are put by habit, whether or not `config_path` points there."""


@dataclass()
class _Chain:
    hosts: list[HostConfig] = field(default_factory=list)
    ignored: list[IgnoredSetting] = field(default_factory=list)
    stoppers: list[Stopper] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    http_fallback: bool = True
    """Whether http hosts with TLS settings are tried by https first."""


def chain(host: Host, config: ContainerdConfig, image: ImageReference) -> RegistryChain:
    """Whom this containerd asks for the image, and with what. Raises NotPermitted."""
    found = _Chain(sources=list(config.files))
    roots = config.certs_folders
    if roots:
        _from_folder(host, config, image.registry, found)
    else:
        _from_mirrors(config, image.registry, found)
    found.ignored += (*_elsewhere(host, config, image.registry), *_left_behind(config))
    hosts: list[RegistryHost] = []
    content_hosts: list[RegistryHost] = []
    skipped: list[SkippedHost] = []
    stoppers = found.stoppers
    for one in found.hosts:
        registry_host = _registry_host(one, image, config, http_fallback=found.http_fallback)
        stoppers += _unloadable(host, one)
        found.remarks += _tls_in_vain(one, registry_host)
        # Fetch goes through all hosts, whatever their capabilities (`fetcher.go`, 1.6.0 to 2.4.0-beta.0).
        if one.host and one.scheme in {"http", "https"}:
            content_hosts.append(registry_host)
        why = _why_skipped(one, image)
        if why is None:
            hosts.append(registry_host)
        else:
            by_digest = "pull" in one.capabilities and bool(one.host)
            skipped.append(SkippedHost(registry_host.base_url, one.source, why, by_digest))
    if not hosts:
        why = f"no host of {image.registry} may be asked: containerd says «no resolve hosts»"
        source = found.hosts[-1].source if found.hosts else config.path
        stoppers.append(Stopper("no-host", source.rpartition(":")[0] or source, source, why))
    return RegistryChain(
        image=image,
        hosts=tuple(hosts),
        content_hosts=tuple(content_hosts),
        skipped=tuple(skipped),
        ignored=tuple(dict.fromkeys(found.ignored)),
        stoppers=tuple(stoppers),
        sources=tuple(dict.fromkeys(found.sources)),
        remarks=tuple(found.remarks),
        folder=posixpath.join(roots[0], image.registry) if roots and ":" not in roots[0] else None,
    )


# -- hosts.toml -----------------------------------------------------------------------------------------------------------


def _from_folder(host: Host, config: ContainerdConfig, registry: str, found: _Chain) -> None:
    folder = hosts_toml.folder_of(host, config.certs_folders, registry)
    # Before 1.6.25 and 1.7.8 an http host with TLS settings was asked in plain HTTP alone.
    found.http_fallback = config.version >= (1, 7, 8) or (1, 6, 25) <= config.version < (1, 7, 0)
    if folder is None:
        found.hosts = [HostConfig("default")]
    else:
        found.hosts = _in_folder(host, folder, config.version, found)
    _fill_default(found.hosts[-1], registry, config.version)


def _in_folder(host: Host, folder: str, version: Version, found: _Chain) -> list[HostConfig]:
    path = posixpath.join(folder, "hosts.toml")
    text = host.read_optional(path)
    if not text:
        found.sources.append(folder)
        found.ignored += _misnamed(host, folder)
        return [hosts_toml.certificates(host, folder)]
    found.sources.append(path)
    remarks: list[Remark] = []
    try:
        hosts = hosts_toml.parse(text, folder, version, remarks)
    except hosts_toml.Malformed as error:
        # A file that is dropped for want of a [host] may have it by another name.
        found.remarks += [one for one in remarks if one.instead == "host"]
        source = f"{path}:{error.line}" if error.line else path
        why = f"containerd logs it as undecodable and goes on without it: {error}"
        found.ignored.append(IgnoredSetting("malformed", "hosts.toml", _mirrors_in(text), source, why))
        return [hosts_toml.certificates(host, folder)]
    found.remarks += remarks
    if version >= (2, 0, 0):
        for name in hosts_toml.without_header(text, folder):
            why = f"containerd {versions.text(version)} takes only hosts that have a [host] header of their own"
            found.ignored.append(IgnoredSetting("malformed", f"host.{name}", name, path, why, f'[host."{name}"]'))
    return hosts


def _misnamed(host: Host, folder: str) -> Iterator[IgnoredSetting]:
    for entry in host.listdir_optional(folder):
        if entry["name"].endswith(".toml") and entry["name"] != "hosts.toml":
            path = posixpath.join(folder, entry["name"])
            why = "containerd reads only a file of the name hosts.toml"
            yield IgnoredSetting("other-folder", entry["name"], "", path, why, posixpath.join(folder, "hosts.toml"))


def _mirrors_in(text: str) -> str:
    """The hosts that a malformed file names, as far as its headers can be read."""
    return ", ".join(
        dict.fromkeys(
            keys[1] for keys in toml.Lines(toml.unmarked(text)).tables() if len(keys) > 1 and keys[0] == "host"
        )
    )


def _fill_default(last: HostConfig, registry: str, version: Version) -> None:
    """Make the host that bears no name the image's own registry (`ConfigureHosts`); what else is said of it stays."""
    if last.host:
        return
    last.host, last.scheme, last.path = registry, "https", "/v2"
    last.capabilities = hosts_toml.ALL_CAPABILITIES
    if registry == DOCKER_HUB:
        last.host = "registry-1.docker.io"
    elif is_localhost(registry):
        port = _port(registry)
        told_by_port = version >= (1, 7, 8) or (1, 6, 25) <= version < (1, 7, 0)
        last.scheme = "https" if told_by_port and port in {"", "443"} else "http"
        if not told_by_port or port != "80":
            last.skip_verify = True


# -- registry.mirrors of old ------------------------------------------------------------------------------------------------


def _from_mirrors(config: ContainerdConfig, registry: str, found: _Chain) -> None:
    """`registryEndpoints`: the registry's own mirrors or those of `*`, then the registry itself unless it is among them."""
    if config.pulls_locally or config.version < (2, 1, 0):
        mirrors = toml.table(config.registry, "mirrors")
        name = registry if registry in mirrors else "*"
        endpoint = toml.setting(mirrors, name, "endpoint")
        urls = [(url, endpoint.source) for url in toml.texts_of(endpoint)] if endpoint else []
        found.http_fallback = False  # this way of asking knows none
    else:
        urls = []
    urls = [(url if "://" in url else f"{_scheme(url)}://{url}", source) for url, source in urls]
    if not urls and config.pulls_locally is False:
        found.hosts = [HostConfig("default")]
        _fill_default(found.hosts[-1], registry, config.version)
        return
    for url, source in urls:
        address = url.partition("://")[2].partition("/")[0]
        if address and not is_address(address):
            why = f"{url!r} is no URL, and containerd pulls nothing of {registry} because of it"
            found.stoppers.append(Stopper("config-invalid", config.path, source, why))
    urls = [] if found.stoppers else urls
    if not any(urlsplit(url).netloc == registry for url, _ in urls):
        own = "registry-1.docker.io" if registry == DOCKER_HUB else registry
        urls.append((f"{_scheme(own)}://{own}", "default"))
    for url, source in urls:
        parts = urlsplit(url)
        one = HostConfig(source, parts.scheme, parts.netloc, parts.path or "/v2")
        one.capabilities = frozenset({"pull", "resolve"})
        if not _tls_of_old(config, parts.netloc, one) and is_localhost(registry) and parts.scheme == "http":
            one.skip_verify = True
        found.hosts.append(one)


def _tls_of_old(config: ContainerdConfig, name: str, one: HostConfig) -> bool:
    """Apply `registry.configs.<host>.tls`, which 2.0 no longer knows; whether there is any."""
    tls = toml.table(config.registry, "configs", name, "tls")
    if not tls or config.version >= (2, 0, 0):
        return False
    ca = toml.text_of(toml.setting(tls, "ca_file"))
    certificate, key = (toml.text_of(toml.setting(tls, name)) for name in ("cert_file", "key_file"))
    insecure = toml.setting(tls, "insecure_skip_verify")
    one.ca_files = (ca,) if ca else ()
    one.client_pairs = ((certificate, key),) if certificate and key else ()
    one.skip_verify = bool(insecure.value) if insecure else None
    return True


# -- what comes of it -------------------------------------------------------------------------------------------------------


def _registry_host(
    one: HostConfig, image: ImageReference, config: ContainerdConfig, *, http_fallback: bool
) -> RegistryHost:
    path = posixpath.normpath(f"/{one.path}").lstrip("/")
    rest = f"{one.host}/{path}".rstrip("/")
    falls_back = (
        http_fallback
        and one.scheme == "http"
        and one.tls_configured
        and _port(one.host) != "80"
        # A URL without a port was left alone until 1.7.24.
        and (bool(_port(one.host)) or config.version >= (1, 7, 24))
    )
    own = one.host == image.registry or (image.registry == DOCKER_HUB and one.host == "registry-1.docker.io")
    headers = {name: _joined(values) for name, values in toml.plain(toml.table(config.registry, "headers")).items()}
    return RegistryHost(
        base_url=f"https://{rest}" if falls_back else f"{one.scheme}://{rest}",
        repository=image.repository,
        reference=image.object,
        source=one.source,
        upstream=own,
        capabilities=one.capabilities,
        mirror_ns=None if own else image.registry,
        ca_files=one.ca_files,
        client_certificate=one.client_pairs[0] if one.client_pairs else None,
        verify=not one.skip_verify,
        headers={**headers, **one.headers},
        http_fallback=f"http://{rest}" if falls_back else None,
        credentials=_credentials(config, one.host),
        dial_timeout=one.dial_timeout or 30.0,
    )


def _tls_in_vain(one: HostConfig, asked: RegistryHost) -> Iterator[Remark]:
    """Certificates for a host that is spoken to by plain HTTP; `skip_verify` there is harmless, and usual."""
    if one.scheme == "http" and asked.http_fallback is None and (one.ca_files or one.client_pairs):
        name = f"http://{one.host}"
        what = "a CA" if one.ca_files else "a client certificate"
        why = f"containerd speaks plain HTTP to it, so {what} has no effect, and nothing is encrypted"
        yield Remark("tls-without-effect", name, one.source, why, f"https://{one.host}")


def _joined(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) else str(values)


def _credentials(config: ContainerdConfig, name: str) -> Credentials | None:
    """`registry.configs.<host>.auth`, into which the older `registry.auths` is turned."""
    auth = toml.table(config.registry, "configs", name, "auth")
    for endpoint, table in toml.table(config.registry, "auths").items():
        if isinstance(table, dict) and (endpoint.partition("://")[2].partition("/")[0] or endpoint) == name:
            auth = table
    if not auth:
        return None
    values = {key: toml.text_of(toml.setting(auth, key)) for key in ("username", "password", "auth", "identitytoken")}
    first = next(value for value in auth.values() if not isinstance(value, dict))
    return Credentials(
        source=first.source,
        username=values["username"],
        password=values["password"],
        auth=values["auth"],
        identity_token=values["identitytoken"],
    )


def _why_skipped(one: HostConfig, image: ImageReference) -> str | None:
    if one.scheme in {"http", "https"} and not one.host:
        return "it names no host"
    if one.scheme not in {"http", "https"}:
        return "its name begins with http and is taken for a URL, which it is not: write https:// in front"
    missing = {"pull"} - one.capabilities or ({"resolve"} - one.capabilities if image.digest is None else set())
    if not missing:
        return None
    needed = "a tag needs it" if missing == {"resolve"} else "no image is read without it"
    return f'its capabilities lack "{missing.pop()}", and {needed}'


def _unloadable(host: Host, one: HostConfig) -> Iterator[Stopper]:
    """Certificates that containerd cannot load, of which any one fails the whole pull, whatever host it belongs to [R]."""
    for path in one.ca_files:
        if (why := hosts_toml.why_unloadable(host, path)) is not None:
            yield Stopper("ca-unreadable", path, one.source, why)
    for certificate, key in one.client_pairs:
        why = hosts_toml.why_unloadable(host, certificate)
        bad = certificate
        if why is None and key != certificate:
            why, bad = hosts_toml.why_unloadable(host, key, key=True), key
        elif why is None:
            why = hosts_toml.why_without_key(host, certificate)
        if why is not None:
            yield Stopper("client-certificate-unreadable", bad, one.source, why)


# -- what was written where nobody looks --------------------------------------------------------------------------------------


def _elsewhere(host: Host, config: ContainerdConfig, registry: str) -> Iterator[IgnoredSetting]:
    """hosts.toml files for this registry in folders that are not searched."""
    listed = tuple(part for part in config.config_path.split(":") if part)
    for root in dict.fromkeys((*listed, *_OTHER_FOLDERS)):
        if root in config.certs_folders:
            continue
        for name in hosts_toml.folder_names(registry):
            path = posixpath.join(root, name, "hosts.toml")
            text = _look(host, path)
            if text and _changes_anything(text, posixpath.dirname(path), registry, config.version):
                kind, why = _why_not_searched(config, listed=root in listed)
                yield IgnoredSetting(kind, "hosts.toml", _mirrors_in(text), path, why, config.config_path_key)
                break


def _why_not_searched(
    config: ContainerdConfig, *, listed: bool
) -> tuple[Literal["no-config-path", "other-folder"], str]:
    release = f"containerd {versions.text(config.version)}"
    if listed:
        written = toml.setting(config.registry, "config_path")
        whose = "its built-in" if written is None or not written.value else "the"
        why = (
            f"{release} takes {whose} config_path, {config.config_path}, for one folder's name (containerd issue 12636)"
        )
        return "no-config-path", why
    if not config.config_path:
        return "no-config-path", f"{release} reads no hosts.toml as long as {config.config_path_key} is not set"
    return "other-folder", f"{release} looks into {config.config_path}, as {config.config_path_key} says"


def _left_behind(config: ContainerdConfig) -> Iterator[IgnoredSetting]:
    """`registry.configs.<host>.tls`, which 2.0 no longer knows."""
    if config.version < (2, 0, 0):
        return
    for name, table in toml.table(config.registry, "configs").items():
        for found in leaves(toml.table(table, "tls") if isinstance(table, dict) else None):
            why = f"containerd {versions.text(config.version)} no longer knows registry.configs.<host>.tls"
            counts = f"the hosts.toml of {name}"
            yield IgnoredSetting("without-effect", found.key, str(found.value), found.source, why, counts)


def _look(host: Host, path: str) -> str | None:
    """A file that does not count anyway: what may not be read is passed over."""
    try:
        return host.read_optional(path)
    except HostError:
        return None


def _changes_anything(text: str, folder: str, registry: str, version: Version) -> bool:
    """Whether a hosts.toml would have changed whom containerd asks, or how."""
    try:
        hosts = hosts_toml.parse(text, folder, max(version, (2, 3, 0)))
    except hosts_toml.Malformed:
        return True
    _fill_default(hosts[-1], registry, version)
    default = [HostConfig("")]
    _fill_default(default[-1], registry, version)
    for one in (*hosts, *default):
        one.source = ""
        one.path = posixpath.normpath(one.path)
    return hosts != default


def is_localhost(registry: str) -> bool:
    """Whether a registry is on this machine by its name (`docker.IsLocalhost`)."""
    name = urlsplit(f"//{registry}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _scheme(registry: str) -> str:
    return "http" if is_localhost(registry.partition("/")[0]) else "https"


def _port(registry: str) -> str:
    name, colon, port = registry.rpartition(":")
    return port if colon and port.isdigit() and (":" not in name or name.endswith("]")) else ""
