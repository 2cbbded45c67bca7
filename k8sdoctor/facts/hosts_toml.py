"""A registry's folder below containerd's `config_path`: hosts.toml, or certificates laid out as Docker wants them.

Read in containerd's `core/remotes/docker/config/hosts.go` (1.x: `remotes/docker/config/hosts.go`), tags 1.6.0 to 2.4.0-beta.0.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from k8sdoctor.facts import hosts_toml_remarks, toml, versions
from k8sdoctor.facts.registry_chain import Stopper
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.settings import Remark
    from k8sdoctor.facts.toml import Setting, Tree
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

ALL_CAPABILITIES = frozenset({"pull", "resolve", "push"})
_REFERRERS: Version = (
    2,
    2,
    0,
)  # the release that knows the capability; to an older one the word makes the file malformed
_SERVER_ALONE: Version = (1, 7, 32)  # 1.6, and 1.7 before it, drop a file without any [host] table
_DIAL_TIMEOUT: Version = (2, 0, 7)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Malformed(Exception):  # noqa: N818 -- what the file is, not a fault of ours
    """A hosts.toml that containerd logs as undecodable and then ignores. `line` is None where it is not certain."""

    def __init__(self, message: str, line: int | None = None) -> None:
        """Keep the sentence and the line."""
        super().__init__(message)
        self.line = line


@dataclass()
class HostConfig:
    """One host of a folder. `host` is empty for the registry of the image itself."""

    source: str
    scheme: str = ""
    host: str = ""
    path: str = ""
    capabilities: frozenset[str] = ALL_CAPABILITIES
    ca_files: tuple[str, ...] = ()
    client_pairs: tuple[tuple[str, str], ...] = ()
    skip_verify: bool | None = None
    headers: dict[str, str] = field(default_factory=dict)
    dial_timeout: float | None = None

    @property
    def tls_configured(self) -> bool:
        """Whether anything is said of TLS, which makes an http host tried by https first."""
        return bool(self.ca_files or self.client_pairs) or self.skip_verify is not None


def folder_names(registry: str) -> tuple[str, ...]:
    """The names that a registry's folder may have, in the order in which they are looked for.

    >>> folder_names("mirror:5000")
    ('mirror_5000_', 'mirror:5000', '_default')
    >>> folder_names("registry.k8s.io")
    ('registry.k8s.io', '_default')
    """
    name, colon, port = registry.rpartition(":")
    return (*((f"{name}_{port}_",) if colon and name else ()), registry, "_default")


def folder_of(host: Host, roots: tuple[str, ...], registry: str) -> str | None:
    """The first folder that is there; its content does not matter. Raises NotPermitted."""
    for root in roots:
        for name in folder_names(registry):
            path = posixpath.join(root, name)
            if host.exists(path):
                return path
    return None


def parse(text: str, folder: str, version: Version, remarks: list[Remark] | None = None) -> list[HostConfig]:
    """The hosts of a hosts.toml in the order in which they are tried, the `server` last. Raises Malformed.

    What is taken and does not do what was meant goes to `remarks`.
    """
    path = posixpath.join(folder, "hosts.toml")
    if version < toml.MARK_REFUSED:
        text = toml.unmarked(text)
    try:
        tree = toml.parse(text, path)
    except toml.TomlError as error:
        column = f" (column {error.column})" if error.column else ""
        raise Malformed(f"{error.message}{column}", error.line) from None
    lines = toml.Lines(text)
    if remarks is not None:
        remarks += hosts_toml_remarks.of(tree, path, lines)
    hosts = tree.get("host", {})
    if not isinstance(hosts, dict):
        raise Malformed("`host` is not a table of hosts", hosts.line)
    if not hosts and version < _SERVER_ALONE:
        release = versions.text(version)
        raise Malformed(f"it has no [host] table, and containerd {release} drops such a file", None)
    found = []
    for name in _ordered(hosts, lines, version):
        table = hosts[name]
        if not isinstance(table, dict):
            raise Malformed(f"host.{toml.dotted((name,))} is not a table", table.line)
        line = lines.of_table(("host", name))
        found.append(_host(name, table, folder, f"{path}:{line}" if line else path, version))
    server = _typed(tree, "server", str, "a string")
    where = toml.setting(tree, "server")
    found.append(_host(server or "", tree, folder, where.source if where else path, version))
    return found


def _ordered(hosts: Tree, lines: toml.Lines, version: Version) -> list[str]:
    """The hosts in the order of their headers; one written without a header (an inline table) counts on 1.x alone."""
    names = [keys[1] for keys in lines.tables() if len(keys) > 1 and keys[0] == "host"]
    ordered = list(dict.fromkeys(name for name in names if name in hosts))
    if version < (2, 0, 0):
        ordered += [name for name in hosts if name not in ordered]
    return ordered


def without_header(text: str, folder: str) -> Iterator[str]:
    """The hosts of a file that are written without a header of their own."""
    hosts = toml.table(toml.parse(text, posixpath.join(folder, "hosts.toml")), "host")
    headers = {keys[1] for keys in toml.Lines(text).tables() if len(keys) > 1 and keys[0] == "host"}
    yield from (name for name in hosts if name not in headers)


def _host(server: str, table: Tree, folder: str, source: str, version: Version) -> HostConfig:
    config = HostConfig(source)
    override_path = bool(_typed(table, "override_path", bool, "true or false"))
    if server:
        try:
            parts = urlsplit(server if server.startswith("http") else f"https://{server}")
            _ = parts.port
        except ValueError as error:
            raise Malformed(f"{server!r} is no URL: {error}", None) from None
        config.scheme, config.host, config.path = parts.scheme, parts.netloc, parts.path
        if parts.path:
            config.path = posixpath.normpath(parts.path)
            if not config.path.endswith("/v2") and not override_path:
                config.path += "/v2"
        elif not override_path:
            config.path = "/v2"
    config.skip_verify = _typed(table, "skip_verify", bool, "true or false")
    config.capabilities = _capabilities(table, version)
    config.ca_files = tuple(_below(folder, path) for path in _strings(table, "ca"))
    config.client_pairs = tuple(_pairs(table, folder))
    config.headers = _headers(table)
    timeout = _typed(table, "dial_timeout", str, "a string") if version >= _DIAL_TIMEOUT else None
    config.dial_timeout = _seconds(timeout) if timeout else None
    return config


def _capabilities(table: Tree, version: Version) -> frozenset[str]:
    known = ALL_CAPABILITIES | ({"referrers"} if version >= _REFERRERS else set())
    found = table.get("capabilities")
    if found is None:
        return ALL_CAPABILITIES
    if isinstance(found, dict) or not isinstance(found.value, list):
        raise Malformed("`capabilities` is not a list", None)
    for word in found.value:
        if not isinstance(word, str) or word.lower() not in known:
            raise Malformed(f"the capability {word!r} is not known to containerd {versions.text(version)}", found.line)
    return frozenset(word.lower() for word in found.value) or ALL_CAPABILITIES


def _strings(table: Tree, key: str) -> tuple[str, ...]:
    """A string, or a list of strings."""
    found = table.get(key)
    if found is None:
        return ()
    value = found.value if not isinstance(found, dict) else None
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise Malformed(f"`{key}` is neither a string nor a list of strings", _line(found))
    return tuple(values)


def _pairs(table: Tree, folder: str) -> Iterator[tuple[str, str]]:
    """Certificate and key of clients: a file with both, a list of such files, or a list of pairs."""
    found = table.get("client")
    if found is None:
        return
    value = found.value if not isinstance(found, dict) else None
    for item in [value] if isinstance(value, str) else value if isinstance(value, list) else [None]:
        pair = [item, item] if isinstance(item, str) else item
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(path, str) for path in pair):  # noqa: PLR2004
            raise Malformed("`client` is neither a path nor a list of paths or of pairs of paths", _line(found))
        yield _below(folder, pair[0]), _below(folder, pair[1])


def _headers(table: Tree) -> dict[str, str]:
    found = table.get("header")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Malformed("`header` is not a table", found.line)
    return {name: ", ".join(_strings(found, name)) for name in found}


def _typed(table: Tree, key: str, kind: type, expected: str) -> Any:
    found = table.get(key)
    if found is None:
        return None
    if isinstance(found, dict) or type(found.value) is not kind:
        raise Malformed(f"`{key}` is not {expected}", _line(found))
    return found.value


def _line(found: Setting | Tree) -> int | None:
    return None if isinstance(found, dict) else found.line


def _seconds(text: str) -> float:
    """A duration as Go writes it, `1m30s`."""
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+-"):
        raise Malformed(f"{text!r} is no duration", None)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _below(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def certificates(host: Host, folder: str) -> HostConfig:
    """What a folder without (a valid) hosts.toml means: `*.crt` are trusted, `*.cert` and `*.key` are the client's."""
    names = [entry["name"] for entry in host.listdir_optional(folder) if entry["kind"] != "dir"]
    config = HostConfig(folder)
    config.ca_files = tuple(posixpath.join(folder, name) for name in names if name.endswith(".crt"))
    pairs = []
    for name in names:
        if name.endswith(".cert"):
            key = f"{name.removesuffix('.cert')}.key"
            pairs.append((posixpath.join(folder, name), posixpath.join(folder, key if key in names else name)))
    config.client_pairs = tuple(pairs)
    return config


def unloadable_pairs(host: Host, tls: HostConfig, folder: str, base_url: str | None = None) -> Iterator[Stopper]:
    """Client certificates that CRI-O and Docker cannot load: `c.cert` and `c.key` must lie side by side. A .crt without any certificate does no harm."""
    for certificate, key in tls.client_pairs:
        why = why_unloadable(host, certificate)
        if why is None and key == certificate:
            why = f"there is no {certificate.removesuffix('.cert')}.key beside it (a CA's name ends with .crt)"
        if why is not None:
            yield Stopper("client-certificate-unreadable", certificate, folder, why, base_url)
    names = {entry["name"] for entry in host.listdir_optional(folder)}
    for name in sorted(names):
        if name.endswith(".key") and f"{name.removesuffix('.key')}.cert" not in names:
            why = f"there is no {name.removesuffix('.key')}.cert beside it"
            yield Stopper("client-certificate-unreadable", posixpath.join(folder, name), folder, why, base_url)


def why_unloadable(host: Host, path: str, *, key: bool = False) -> str | None:
    """Why a daemon that runs as root could not load a certificate; None when it could, or when we may not look ourselves.

    A private key is never read, only looked for.
    """
    try:
        if key:
            return None if host.stat(path)["kind"] == "file" else f"{path} is not a file"
        text = host.read(path)
    except HostError as error:
        return None if error.reason == "NotPermitted" else error.message
    return None if _CERTIFICATE.search(text) else f"{path} holds no certificate in PEM"


def why_without_key(host: Host, path: str) -> str | None:
    """Why a daemon could not load the private key of a file that holds its certificate, too; None when it could, or when we may not look."""
    try:
        text = host.read(path)
    except HostError as error:
        return None if error.reason == "NotPermitted" else error.message
    return None if "PRIVATE KEY-----" in text else f"{path} holds no private key beside the certificate"


_CERTIFICATE = regex(r"-----BEGIN CERTIFICATE-----\s+M[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
