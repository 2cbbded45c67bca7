"""registries.conf as containers/image reads it: which registries there are, and by which mirrors they are asked.

Read in containers/image `pkg/sysregistriesv2/system_registries_v2.go` (5.36; go.podman.io/image 5.39 does the same).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, NoReturn, Self

from k8sdoctor.facts import toml
from k8sdoctor.facts.settings import IgnoredSetting, Remark
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

CONFIG = "/etc/containers/registries.conf"
DROP_INS = "/etc/containers/registries.conf.d"
_HOME = "/root/.config/containers"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to pull from: `location` takes the place of the prefix in an image's name."""

    location: str
    insecure: bool = False
    pull_from_mirror: str = ""


@dataclass(frozen=True, slots=True)
class Registry:
    """One [[registry]]."""

    prefix: str
    endpoint: Endpoint
    source: str
    mirrors: tuple[Endpoint, ...] = ()
    blocked: bool = False
    mirror_by_digest_only: bool = False

    def matches(self, name: str) -> int:
        """How many characters of an image's name the prefix covers; 0 for none (`refMatchingPrefix`)."""
        if self.prefix.startswith("*."):
            at = name.find(self.prefix[1:])
            end = at + len(self.prefix) - 1
            fits = at >= 0 and "/" not in name[:at]
        else:
            end = len(self.prefix)
            fits = name.startswith(self.prefix)
        return end if fits and (end == len(name) or name[end] in ":/@") else 0

    def rewrite(self, endpoint: Endpoint, name: str) -> str:
        """The image's name at an endpoint."""
        return endpoint.location + name[self.matches(name) :] if endpoint.location else name


class Invalid(Exception):  # noqa: N818 -- what the file is, not a fault of ours
    """A file that fails every pull."""

    def __init__(self, path: str, message: str, line: int | None = None) -> None:
        """Keep where and why."""
        super().__init__(message)
        self.path = path
        self.line = line


@dataclass()
class RegistriesConf:
    """All files as one. `invalid` is what makes every pull fail."""

    files: list[str] = field(default_factory=list)
    registries: dict[str, Registry] = field(default_factory=dict)
    replaced: list[tuple[Registry, Registry]] = field(default_factory=list)
    """A registry that does not count, and the one with the same prefix that does."""
    unread: list[tuple[str, list[Registry]]] = field(default_factory=list)
    """Files in the drop-in folder whose name keeps them from being read."""
    remarks: list[Remark] = field(default_factory=list)
    """Keys that nobody reads."""
    invalid: Invalid | None = None

    def find(self, name: str) -> Registry | None:
        """The registry with the longest prefix that covers an image's name."""
        found = [registry for _, registry in sorted(self.registries.items()) if registry.matches(name)]
        return max(found, key=lambda registry: len(registry.prefix), default=None)

    @classmethod
    def read(cls, host: Host, *, path: str | None = None, folder: str | None = None) -> Self:
        """Read the main file and the drop-ins; root's own file takes the system's place. Raises NotPermitted."""
        conf = cls()
        own = f"{_HOME}/registries.conf"
        users = path is None and there(host, own)
        main = path or (own if users else CONFIG)
        folders = [folder] if folder else ([] if users else [DROP_INS]) + [f"{_HOME}/registries.conf.d"]
        if path is not None and not there(host, path):
            conf.invalid = Invalid(path, f"{path} does not exist")
            return conf
        try:
            text = _text(host, main)
            if text is not None:
                conf._add(_parse(text, main, drop_in=False, remarks=conf.remarks), main)
            for one in folders:
                for entry in host.listdir_optional(one) if there(host, one) else []:
                    conf._add_drop_in(host, posixpath.join(one, entry["name"]), entry["kind"])
        except Invalid as error:
            conf.invalid = error
        return conf

    def _add_drop_in(self, host: Host, path: str, kind: str) -> None:
        if kind == "dir":
            return
        text = _text(host, path)
        if text is None:
            return
        if path.endswith(".conf"):
            self._add(_parse(text, path, drop_in=True, remarks=self.remarks), path)
        elif path.endswith(".toml"):  # not .bak, .disabled and the like, which are meant to be out of the way
            try:
                self.unread.append((path, _parse(text, path, drop_in=True)))
            except Invalid:
                return

    def _add(self, registries: list[Registry], path: str) -> None:
        self.files.append(path)
        here: dict[str, Registry] = {}
        for registry in registries:
            if registry.prefix in here:  # the first of a file wins, and the last file
                self.replaced.append((registry, here[registry.prefix]))
            else:
                here[registry.prefix] = registry
        for prefix, registry in here.items():
            if prefix in self.registries:
                self.replaced.append((self.registries[prefix], registry))
            self.registries[prefix] = registry


def there(host: Host, path: str) -> bool:
    """Whether a file is there; root's own files are rare, so one that we may not see is taken for absent."""
    try:
        return host.exists(path)
    except HostError:
        return False


def ignored(conf: RegistriesConf, name: str) -> Iterator[IgnoredSetting]:
    """Mirrors for an image's name that do not count."""
    effective = conf.find(name)
    counting = {mirror.location for mirror in effective.mirrors} if effective else set()
    for lost, winner in conf.replaced:
        for mirror in lost.mirrors if lost.matches(name) else ():
            if mirror.location not in counting:
                why = f"{winner.source} has a [[registry]] of the same prefix, {lost.prefix}, which takes this one's place, whole"
                yield IgnoredSetting("shadowed", "registry.mirror", mirror.location, lost.source, why, winner.source)
    for path, registries in conf.unread:
        for registry in registries:
            for mirror in registry.mirrors if registry.matches(name) else ():
                why = "of this folder only files whose names end with .conf are read"
                right = f"{path.removesuffix('.toml')}.conf"
                yield IgnoredSetting("other-folder", "registry.mirror", mirror.location, path, why, right)


def _text(host: Host, path: str) -> str | None:
    try:
        return host.read_optional(path)
    except HostError as error:
        if error.reason == "NotPermitted":
            raise
        raise Invalid(path, error.message) from None


def _parse(text: str, path: str, *, drop_in: bool, remarks: list[Remark] | None = None) -> list[Registry]:
    try:
        tree = toml.parse(text, path)
    except toml.TomlError as error:
        column = f" (column {error.column})" if error.column else ""
        raise Invalid(path, f"{error.message}{column}", error.line) from None
    if remarks is not None:
        remarks += _unknown_keys(tree, text, path)
    old = toml.table(tree, "registries")
    found = tree.get("registry")
    _check_names(tree, old, path)
    if old:
        if any(key in tree for key in _NEW_FORMAT):
            raise Invalid(path, "it mixes the old format ([registries.…]) with the new one ([[registry]])")
        if drop_in:
            raise Invalid(path, "it has the old format ([registries.…]), which a drop-in may not have")
        return _old_format(old, path)
    if found is None:
        return []
    if isinstance(found, dict) or not isinstance(found.value, list):
        raise Invalid(path, "`registry` is not a list of tables: write [[registry]]")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[registry]]")]
    exact = len(lines) == len(found.value)
    registries = []
    for index, table in enumerate(found.value):
        registries.append(_registry(table, path, lines[index] if exact else None))
    _check_conflicts(registries, path)
    return registries


_OF_A_REGISTRY = frozenset(
    {"prefix", "location", "insecure", "mirror", "blocked", "mirror-by-digest-only", "pull-from-mirror"}
)
_OF_A_MIRROR = frozenset({"location", "insecure", "pull-from-mirror"})
_MEANT = {
    "mirrors": "mirror",
    "endpoint": "location",
    "url": "location",
    "host": "location",
    "insecure_skip_verify": "insecure",
    "skip_verify": "insecure",
    "search-registries": "unqualified-search-registries",
    "search": "unqualified-search-registries",
}


def _unknown_keys(tree: toml.Tree, text: str, path: str) -> Iterator[Remark]:
    """Keys that the decoder drops with a message for debugging alone (`loadConfigFile`). Letter case does not count to it."""
    known = frozenset({*_NEW_FORMAT, "registries"})
    yield from _strange(list(tree), known, "", text, path)
    found = toml.setting(tree, "registry")
    for table in found.value if found is not None and isinstance(found.value, list) else ():
        if isinstance(table, dict):
            yield from _strange(list(table), _OF_A_REGISTRY, "registry.", text, path)
            mirrors = table.get("mirror")
            for mirror in mirrors if isinstance(mirrors, list) else ():
                if isinstance(mirror, dict):
                    yield from _strange(list(mirror), _OF_A_MIRROR, "registry.mirror.", text, path)


def _strange(keys: list[str], known: frozenset[str], above: str, text: str, path: str) -> Iterator[Remark]:
    for key in keys:
        if key.lower() not in known:
            import difflib

            plain = key.lower().replace("_", "-")
            close = difflib.get_close_matches(plain, sorted(known), n=1, cutoff=0.75)
            meant = _MEANT.get(key.lower()) or (close[0] if close else None)
            pattern = re.compile(rf"^\s*(?:\[\[?\s*registry\s*\.\s*)?[\"']?{re.escape(key)}[\"']?\s*[=\]]")
            at = [number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)]
            source = f"{path}:{at[0]}" if len(at) == 1 else path
            why = f"registries.conf knows no `{key}` there, and CRI-O passes over it without a word"
            yield Remark("unknown-key", f"{above}{key}", source, why, meant if meant in known else None)


_NEW_FORMAT = (
    "registry",
    "unqualified-search-registries",
    "credential-helpers",
    "short-name-mode",
    "additional-layer-store-auth-helper",
    "aliases",
)

# distribution/reference `DomainRegexp`.
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = regex(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")


def _check_names(tree: toml.Tree, old: toml.Tree, path: str) -> None:
    """Refuse a list of registries for short names, or a mode for them, that makes the whole file invalid."""
    lists = (toml.setting(tree, "unqualified-search-registries"), toml.setting(old, "search", "registries"))
    for found in filter(None, lists):
        names = found.value if isinstance(found.value, list) else [None]
        for name in names:
            if not isinstance(name, str) or not _DOMAIN.fullmatch(name.rstrip("/")):
                raise Invalid(path, f"{found.key} holds {name!r}, which is no host[:port]", found.line)
    mode = toml.setting(tree, "short-name-mode")
    if mode is not None and mode.value not in ("", "enforcing", "permissive", "disabled"):
        raise Invalid(path, f"short-name-mode = {mode.value!r} is not known", mode.line)


def _check_conflicts(registries: list[Registry], path: str) -> None:
    """Refuse two of one location that differ in `insecure` or `blocked` (`postProcessRegistries`)."""
    first: dict[str, Registry] = {}
    for registry in registries:
        place = registry.endpoint.location or registry.prefix
        other = first.setdefault(place, registry)
        differ = [
            key
            for key, one, two in (
                ("insecure", registry.endpoint.insecure, other.endpoint.insecure),
                ("blocked", registry.blocked, other.blocked),
            )
            if one != two
        ]
        if differ:
            line = registry.source.rpartition(":")[2]
            message = f"two [[registry]] of the location {place} differ in `{differ[0]}` ({other.source} is the other)"
            raise Invalid(path, message, int(line) if line.isdigit() else None)


def _old_format(old: Any, path: str) -> list[Registry]:
    blocked, insecure = (
        [location.rstrip("/") for location in toml.texts_of(toml.setting(old, key, "registries"))]
        for key in ("block", "insecure")
    )
    return [
        Registry(location, Endpoint(location, location in insecure), path, (), location in blocked)
        for location in dict.fromkeys((*blocked, *insecure))
    ]


def _registry(data: Any, path: str, line: int | None) -> Registry:
    table = _Table(data, path, line)
    place = table.location("location")
    prefix = table.location("prefix") or place
    digest_only = table.flag("mirror-by-digest-only")
    if not prefix:
        table.refuse("a [[registry]] has neither prefix nor location")
    if not place and not prefix.startswith("*."):
        table.refuse(f"the [[registry]] {prefix} has no location")
    if prefix.startswith("*.") and set(prefix) & set("/@:"):
        table.refuse(f"the prefix {prefix} has more than a wildcard and a domain")
    if table.text("pull-from-mirror"):
        table.refuse(f"pull-from-mirror stands in [[registry]] {prefix} and belongs into a [[registry.mirror]]")
    return Registry(
        prefix=prefix,
        endpoint=Endpoint(place, table.flag("insecure")),
        source=f"{path}:{line}" if line else path,
        mirrors=tuple(
            _mirror(_Table(inner, path, line), prefix, digest_only=digest_only) for inner in table.tables("mirror")
        ),
        blocked=table.flag("blocked"),
        mirror_by_digest_only=digest_only,
    )


def _mirror(table: _Table, prefix: str, *, digest_only: bool) -> Endpoint:
    which = table.text("pull-from-mirror")
    if which and (which not in {"all", "digest-only", "tag-only"} or digest_only):
        table.refuse(f"pull-from-mirror = {which!r} is not allowed for a mirror of {prefix}")
    place = table.location("location")
    if not place:
        table.refuse(f"a mirror of {prefix} has no location")
    return Endpoint(place, table.flag("insecure"), which)


class _Table:
    """One table of a list of tables, whose values have the right type or make the whole file invalid."""

    def __init__(self, data: Any, path: str, line: int | None) -> None:
        self._path, self._line = path, line
        if not isinstance(data, dict):
            self.refuse("it has a value where a table belongs")
        self._data: dict[str, Any] = data

    def refuse(self, message: str) -> NoReturn:
        raise Invalid(self._path, message, self._line)

    def text(self, key: str) -> str:
        value = self._data.get(key, "")
        if not isinstance(value, str):
            self.refuse(f"`{key}` is not a string")
        return value

    def flag(self, key: str) -> bool:
        value = self._data.get(key, False)
        if not isinstance(value, bool):
            self.refuse(f"`{key}` is not true or false")
        return value

    def location(self, key: str) -> str:
        value = self.text(key)
        if value.startswith(("http://", "https://")):
            self.refuse(f"the {key} {value!r} bears a scheme, which is not allowed")
        return value.rstrip("/")

    def tables(self, key: str) -> list[Any]:
        value = self._data.get(key, [])
        if not isinstance(value, list):
            self.refuse(f"`{key}` is not a list of tables: write [[registry.{key}]]")
        return value
