"""What a hosts.toml says that containerd takes without a word, and that does not do what was meant.

containerd decodes the file without strictness (`core/remotes/docker/config/hosts.go` parseHostsFile, tags 1.6.0 to 2.4.0-beta.0), so
that a misspelt key is as good as none.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts import toml
from k8sdoctor.facts.settings import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.toml import Setting, Tree

_OF_A_HOST = frozenset({"capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"})
_OF_A_FILE = _OF_A_HOST | {"server", "host"}

# What people write instead: the keys of config.toml's registry.configs, of Docker's and CRI-O's files, and of curl.
_MEANT = {
    "hosts": "host",
    "mirror": "host",
    "mirrors": "host",
    "registry": "host",
    "endpoint": "host",
    "endpoints": "host",
    "skip-verify": "skip_verify",
    "skipverify": "skip_verify",
    "insecure": "skip_verify",
    "insecure_skip_verify": "skip_verify",
    "insecure-skip-verify": "skip_verify",
    "insecureskipverify": "skip_verify",
    "skip_tls_verify": "skip_verify",
    "tls_skip_verify": "skip_verify",
    "override-path": "override_path",
    "overridepath": "override_path",
    "capability": "capabilities",
    "headers": "header",
    "ca_file": "ca",
    "ca_cert": "ca",
    "ca-file": "ca",
    "cafile": "ca",
    "cacert": "ca",
    "cert": "client",
    "cert_file": "client",
    "client_cert": "client",
    "dial-timeout": "dial_timeout",
}
# Credentials and tables of TLS have no place in this file under any name.
_NOTHING_INSTEAD = frozenset({"username", "password", "auth", "tls", "key_file", "client_key"})


def of(tree: Tree, path: str, lines: toml.Lines) -> Iterator[Remark]:
    """The remarks on a whole file."""
    # k3s and RKE2 come with a containerd of their own that rewrites names (docs.k3s.io, "Private Registry Configuration").
    of_a_host = _OF_A_HOST | ({"rewrite"} if path.startswith("/var/lib/rancher/") else set())
    yield from _unknown_keys(tree, (), _OF_A_FILE | of_a_host, path, lines)
    yield from _address(toml.text_of(toml.setting(tree, "server")) or "", tree, _source(tree, ("server",), path, lines))
    for name, inner in toml.table(tree, "host").items():
        if isinstance(inner, dict):
            yield from _unknown_keys(inner, ("host", name), of_a_host, path, lines)
            yield from _address(name, inner, _source(tree, ("host", name), path, lines))


def _unknown_keys(
    table: Tree, above: tuple[str, ...], known: frozenset[str], path: str, lines: toml.Lines
) -> Iterator[Remark]:
    for name, found in table.items():
        # Letter case does not count to the decoder; and what is off or empty is off without a key, too.
        if name.lower() in known or (not isinstance(found, dict) and not found.value):
            continue
        keys = (*above, name)
        instead = _meant(name, known, found)
        if above and isinstance(found, dict) and instead is None and name.lower() not in _NOTHING_INSTEAD:
            # `[host.mirror.example]` without quotes is the host `mirror`, with a table `example`.
            yield Remark(
                "unknown-key",
                toml.dotted(keys),
                _source_of(found, keys, path, lines),
                f"without quotes it is a host {above[1]!r} with a table {name!r}, and containerd asks https://{above[1]}",
                f'[host."{".".join(_unquoted(keys[1:], found))}"]',
            )
            continue
        what = "hosts.toml" if not above else "a [host] of hosts.toml"
        why = f"containerd knows no `{name}` in {what}, and passes over it without a word"
        yield Remark("unknown-key", toml.dotted(keys), _source_of(found, keys, path, lines), why, instead)


def _meant(name: str, known: frozenset[str], found: Setting | Tree) -> str | None:
    lowered = name.lower()
    if lowered in _NOTHING_INSTEAD:
        return None
    meant = _MEANT.get(lowered)
    if meant is None:
        import difflib

        close = difflib.get_close_matches(lowered, sorted(known), n=1, cutoff=0.75)
        meant = close[0] if close else None
    if meant is None or meant not in known:
        return None
    # Only a table can be meant for the tables, and a value for a value.
    return meant if isinstance(found, dict) == (meant in {"host", "header"}) else None


def _unquoted(names: tuple[str, ...], table: Setting | Tree) -> Iterator[str]:
    """The parts of a host's name that was written without quotes."""
    yield from names
    while isinstance(table, dict) and len(table) == 1:
        [(name, table)] = table.items()
        if not isinstance(table, dict):
            return
        yield name


def _address(name: str, table: Tree, source: str) -> Iterator[Remark]:
    """What is odd about the address of a host, which is `[host."…"]`'s name or `server`."""
    if "://" in name and not name.startswith(("http://", "https://")):
        why = f"the scheme is none that containerd speaks: it asks https://{name}"
        yield Remark("no-scheme", name, source, why, f"https://{name.partition('://')[2]}")
        return
    try:
        parts = urlsplit(name if name.startswith("http") else f"https://{name}")
    except ValueError:
        return
    if name and not parts.netloc:
        why = "it begins with http and is taken for a whole URL, which it is not, so containerd does not ask it"
        rest = re.sub(r"^https?(?::/|//|:)", "", name)
        yield Remark("no-scheme", name, source, why, f"http{'s' * (not name.startswith('http:'))}://{rest}")
        return
    path = posixpath.normpath(parts.path) if parts.path.strip("/") else ""
    override = toml.setting(table, "override_path")
    overridden = override is not None and override.value is True
    base = f"{parts.scheme}://{parts.netloc}"
    if not overridden and "/v2/" in path and not path.endswith("/v2"):
        why = f"containerd adds /v2 to the address and asks {base}{path}/v2/…, since override_path is not set"
        yield Remark("path", name, source, why, "override_path = true")
    elif overridden and name and "v2" not in path.split("/"):
        why = f"override_path keeps containerd from adding /v2, so that it asks {base}{path}/NAME/manifests/… and not {base}{path}/v2/NAME/manifests/…"
        yield Remark("path", name, source, why, "no override_path")


def _source(tree: Tree, keys: tuple[str, ...], path: str, lines: toml.Lines) -> str:
    found = toml.setting(tree, *keys)
    line = found.line if found is not None else lines.of_table(keys)
    return f"{path}:{line}" if line else path


def _source_of(found: Setting | Tree, keys: tuple[str, ...], path: str, lines: toml.Lines) -> str:
    line = lines.of_table(keys) if isinstance(found, dict) else found.line
    return f"{path}:{line}" if line else path
