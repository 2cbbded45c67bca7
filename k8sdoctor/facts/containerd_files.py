"""containerd's configuration files, put together as each release does it.

Read in `services/server/config/config.go` (1.x), `cmd/containerd/server/config/config.go` (2.x) and `plugins/cri/images/plugin.go` (what 2.x
migrates); every rule was tried with running daemons, see tests/lab/test_containerd_config.py for those of 1.6.
"""

from __future__ import annotations

import fnmatch
import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Any

from k8sdoctor.facts import toml, versions
from k8sdoctor.facts.settings import ConfigProblem
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.toml import Setting, Tree
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

# The plugins whose tables hold what we look for, by the name that each version of the file gives them.
V1 = "cri"
V2 = "io.containerd.grpc.v1.cri"
V3_IMAGES = "io.containerd.cri.v1.images"
V3_RUNTIME = "io.containerd.cri.v1.runtime"

# The `version` of a file from which on plugins have their full names, CRI is split in two, and the newest one.
FULL_NAMES = 2
SPLIT = 3
NEWEST = 4

# What plugins/cri/images/plugin.go moves from the old table to the new one.
_MIGRATED = (
    "registry",
    "image_decryption",
    "max_concurrent_downloads",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
)
# plugins/cri/runtime/plugin.go: since then what the new table says stays.
_NEW_TABLE_WINS: Version = (2, 0, 2)
_MIGRATED_CONTAINERD = ("snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers")


@dataclass(frozen=True)
class File:
    """One file that was read. `version` is 0 when it does not say."""

    path: str
    version: int
    tree: Tree

    @property
    def plugins(self) -> Tree:
        """The plugins' tables."""
        return toml.table(self.tree, "plugins")

    @property
    def version_line(self) -> int | None:
        """Where `version` stands."""
        found = toml.setting(self.tree, "version")
        return found.line if found else None


@dataclass()
class Loaded:
    """The files in the order in which they are merged, and those that cannot be."""

    files: list[File] = field(default_factory=list)
    problems: list[ConfigProblem] = field(default_factory=list)


@dataclass()
class Merged:
    """All files as one.

    `schema` is the version that the daemon takes them for, `images` and `network` are the tables that it reads in the end.
    """

    schema: int
    plugins: Tree = field(default_factory=dict)
    disabled: list[Setting] = field(default_factory=list)
    problems: list[ConfigProblem] = field(default_factory=list)
    images: Tree = field(default_factory=dict)
    network: Tree = field(default_factory=dict)


def merge(files: Sequence[File], version: Version) -> Merged:
    """The files as one, by the rules of this release of containerd."""
    if version < (2, 0, 0):
        merged = _merge_1(files, version)
        merged.images = merged.network = toml.table(merged.plugins, V1 if merged.schema == 1 else V2)
        return merged
    merged = _merge_20(files, version) if version < (2, 3, 0) else _merge_23(files, version)
    merged.images, merged.network = toml.table(merged.plugins, V3_IMAGES), toml.table(merged.plugins, V3_RUNTIME)
    return merged


def load(host: Host, main: str, version: Version) -> Loaded:
    """The main file and what it imports, breadth first, each once, as `LoadConfig` goes."""
    loaded = Loaded()
    seen: set[str] = set()
    pending = [(main, "")]
    while pending:
        path, importer = pending.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            text = host.read_optional(path)
        except HostError as error:
            if error.reason == "NotPermitted":
                raise
            loaded.problems.append(ConfigProblem(path, None, error.message))
            continue
        if text is None:
            if importer:
                message = f"{importer} imports it, and it is not there: containerd does not start"
                loaded.problems.append(ConfigProblem(path, None, message))
            continue
        try:
            tree = toml.parse(toml.unmarked(text) if version < toml.MARK_REFUSED else text, path)
        except toml.TomlError as error:
            loaded.problems.append(ConfigProblem(path, error.line, error.message))
            continue
        written = toml.setting(tree, "version")
        loaded.files.append(File(path, written.value if written and isinstance(written.value, int) else 0, tree))
        pending += [(found, path) for found in _imports(host, path, tree, version)]
    return loaded


def _imports(host: Host, parent: str, tree: Tree, version: Version) -> Iterator[str]:
    """The paths that `imports` means (`resolveImports`)."""
    for pattern in toml.texts_of(toml.setting(tree, "imports")):
        # A pattern that is relative belonged to the daemon's working directory (/ under systemd) until 1.6.29 and 1.7.16.
        old = version < (1, 6, 29) or (1, 7, 0) <= version < (1, 7, 16)
        base = "/" if old and "*" in pattern else posixpath.dirname(parent)
        path = posixpath.normpath(posixpath.join(base, pattern))
        if "*" in path:
            yield from _glob(host, path)
        else:
            yield path


def _glob(host: Host, pattern: str) -> list[str]:
    """What Go's filepath.Glob finds: names in bytewise order, dot-files too."""
    found = ["/"]
    for part in pattern.strip("/").split("/"):
        if set(part) & set("*?["):
            found = [
                posixpath.join(folder, entry["name"])
                for folder in found
                for entry in _entries(host, folder)
                if fnmatch.fnmatchcase(entry["name"], part)
            ]
        else:
            found = [posixpath.join(folder, part) for folder in found]
    return [path for path in found if host.exists(path)]


def _entries(host: Host, folder: str) -> list[Any]:
    try:
        return list(host.listdir_optional(folder))
    except HostError as error:
        if error.reason == "NotPermitted":
            raise
        return []


def _merge_1(files: Sequence[File], version: Version) -> Merged:
    """1.x: a later file's plugin table replaces an earlier one's whole; the last `version` that is written counts for all."""
    merged = Merged(schema=0)
    for file in files:
        merged.schema = file.version or merged.schema
        merged.plugins.update(file.plugins)
        _note_disabled(merged, file)
    merged.schema = merged.schema or 1
    # 1.6.20 takes any number for 2 and says nothing [R]; `ValidateV2` refuses it since 1.6.32 and 1.7.17.
    refuses = version >= (1, 7, 17) or (1, 6, 32) <= version < (1, 7, 0)
    for file in files:
        merged.problems += _too_new(file, version, FULL_NAMES) if refuses else ()
        if merged.schema >= FULL_NAMES:
            merged.problems += _short_names(file, (*file.plugins, *_disabled_names(file)))
    return merged


def _merge_20(files: Sequence[File], version: Version) -> Merged:
    """2.0 to 2.2: tables merge by key, and the last `version` of 2 or more that is written counts for all; none means 3.

    A file without one, or with 1, gets full names and is taken for the version reached so far. In the end old tables are
    migrated only where the whole is below 3.
    """
    merged = Merged(schema=SPLIT)
    for file in files:
        if file.version < FULL_NAMES:
            _deep(merged.plugins, _full_names(file.plugins))
        else:
            merged.schema = file.version
            merged.problems += _too_new(file, version, SPLIT)
            merged.problems += _short_names(file, _disabled_names(file))
            _deep(merged.plugins, file.plugins)
        _note_disabled(merged, file)
    if merged.schema < SPLIT:
        _migrate(merged.plugins, version)
    return merged


def _merge_23(files: Sequence[File], version: Version) -> Merged:
    """2.3 and later: every file is migrated by itself, then tables merge by key; no file may be newer than the first."""
    merged = Merged(schema=files[0].version if files else NEWEST)
    root = 0
    for file in files:
        root = root or file.version
        if file.version > root:
            message = f"version = {file.version} is above {root}, that of {files[0].path}: containerd does not start"
            merged.problems.append(ConfigProblem(file.path, file.version_line, message))
        merged.problems += _too_new(file, version, NEWEST)
        plugins: Tree = {}
        _deep(plugins, file.plugins if file.version >= FULL_NAMES else _full_names(file.plugins))
        if file.version < NEWEST:
            _migrate(plugins, version)
        if file.version >= FULL_NAMES:
            merged.problems += _short_names(file, _disabled_names(file))
        _deep(merged.plugins, plugins)
        _note_disabled(merged, file)
    return merged


def _too_new(file: File, version: Version, newest: int) -> Iterator[ConfigProblem]:
    if file.version > newest:
        reads = f"containerd {versions.text(version)} knows versions up to {newest} and does not start"
        yield ConfigProblem(file.path, file.version_line, f"version = {file.version}: {reads}")


def _short_names(file: File, names: Sequence[str]) -> Iterator[ConfigProblem]:
    """Plugins that are not named in full, which keeps containerd from starting (`ValidateV2`, `ValidateVersion`)."""
    for name in names:
        if "." not in name:
            found = toml.setting(file.tree, "disabled_plugins") if name in _disabled_names(file) else None
            line = found.line if found else first_line(file.plugins.get(name))
            message = f'"{name}" is no full name of a plugin (CRI is "{V2}"), so containerd does not start'
            yield ConfigProblem(file.path, line, message)


def _full_names(plugins: Tree) -> Tree:
    """`v1MigratePluginName`, as far as CRI goes."""
    return {V2 if name == V1 else name: value for name, value in plugins.items()}


def _deep(into: Tree, new: Tree) -> None:
    """Put tables into tables, key by key, without touching `new`."""
    for key, value in new.items():
        if isinstance(value, dict):
            here = into.get(key)
            inner: Tree = here if isinstance(here, dict) else {}
            into[key] = inner
            _deep(inner, value)
        else:
            into[key] = value


def _migrate(plugins: Tree, version: Version) -> None:
    """Move what the old table says into the new ones (`migrateConfig` of both plugins). Of images the old one wins, of the rest the new one."""
    old = toml.table(plugins, V2)
    if not old:
        return
    images: Tree = dict(toml.table(plugins, V3_IMAGES))
    if "sandbox_image" in old:
        images["pinned_images"] = {**toml.table(images, "pinned_images"), "sandbox": old["sandbox_image"]}
    images.update({key: old[key] for key in _MIGRATED if key in old})
    inner = toml.table(old, "containerd")
    images.update({key: inner[key] for key in _MIGRATED_CONTAINERD if key in inner})
    plugins[V3_IMAGES] = images
    # Before, the old table took the new one's place, whole.
    new = toml.table(plugins, V3_RUNTIME) if version >= _NEW_TABLE_WINS else {}
    plugins[V3_RUNTIME] = {
        **new,
        **{key: {**toml.table(old, key), **toml.table(new, key)} for key in ("cni", "containerd")},
    }


def _disabled_names(file: File) -> tuple[str, ...]:
    return toml.texts_of(toml.setting(file.tree, "disabled_plugins"))


def _note_disabled(merged: Merged, file: File) -> None:
    found = toml.setting(file.tree, "disabled_plugins")
    if found is not None:
        merged.disabled.append(found)


def leaves(value: Setting | Tree | None) -> Iterator[Setting]:
    """Every value below a table."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif value is not None:
        yield value


def first_line(value: Setting | Tree | None) -> int | None:
    """The first line of what stands below a table."""
    return min((leaf.line for leaf in leaves(value) if leaf.line), default=None)
