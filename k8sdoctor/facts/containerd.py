"""containerd's configuration as its own version reads it.

Read in containerd's source: `services/server/config/config.go` (1.x), `cmd/containerd/server/config/config.go` (2.x),
`plugins/cri/images/plugin.go` (what 2.x migrates), `internal/cri/config`. `containerd config dump` is not asked: it reads the same files
anew, needs a process, and misleads (it fails without a file on 1.7, ignores a missing import and hides the default certs.d on 2.x).
What a running 1.x daemon holds is told by its CRI status, and that counts more than what the files say by now.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- resolved at run time
from dataclasses import field
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from k8sdoctor.facts import toml
from k8sdoctor.facts.containerd_files import (
    FULL_NAMES,
    V1,
    V2,
    V3_IMAGES,
    V3_RUNTIME,
    first_line,
    leaves,
    load,
    merge,
)
from k8sdoctor.facts.containerd_ignored import ignored
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.settings import ConfigProblem, IgnoredSetting
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.toml import Setting, Tree
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host, Json

CONFIG = "/etc/containerd/config.toml"
CERTS_D = "/etc/containerd/certs.d"

DEFAULT_CONFIG_PATH = "/etc/containerd/certs.d:/etc/docker/certs.d"
"""`registry.config_path` where nobody sets it, since 2.2 (commit 5386802f8)."""


def default_sandbox_image(version: Version) -> str:
    """The sandbox image built into a version (`pkg/cri/config/config_unix.go`, later `internal/cri/config/config.go`).

    >>> default_sandbox_image((1, 6, 20))
    'registry.k8s.io/pause:3.6'
    >>> default_sandbox_image((1, 6, 8))
    'k8s.gcr.io/pause:3.6'
    """
    for first, image in _DEFAULTS:
        if version >= first:
            return image
    return "k8s.gcr.io/pause:3.2"


_DEFAULTS: tuple[tuple[Version, str], ...] = (
    ((2, 3, 0), "registry.k8s.io/pause:3.10.2"),
    ((2, 2, 0), "registry.k8s.io/pause:3.10.1"),
    ((2, 0, 0), "registry.k8s.io/pause:3.10"),
    ((1, 7, 0), "registry.k8s.io/pause:3.8"),
    ((1, 6, 9), "registry.k8s.io/pause:3.6"),
    ((1, 6, 0), "k8s.gcr.io/pause:3.6"),
    ((1, 5, 14), "registry.k8s.io/pause:3.5"),
    ((1, 5, 0), "k8s.gcr.io/pause:3.5"),
)


@dataclass(frozen=True)
class ContainerdConfig:
    """What counts, what was written in vain, and what keeps the daemon from taking it.

    `cri` are the settings of the CRI plugin that concern images, `network` those that concern CNI, each by the key that they have inside
    their table, whatever the table is called in this version.
    """

    version: Version
    path: str
    """The main file, there or not."""
    files: tuple[str, ...]
    """The files that were read, in order."""
    schema: int
    """The `version` of the configuration as a whole; what absent means differs by release."""
    cri: Tree
    network: Tree
    sandbox: Setting | None = None
    """Where the sandbox image is written; None for the built-in default."""
    problems: tuple[ConfigProblem, ...] = ()
    """What keeps the daemon from starting, or its CRI plugin from loading, at the next start."""
    ignored: tuple[IgnoredSetting, ...] = ()
    disabled: Setting | None = None
    """The `disabled_plugins` that switches CRI off."""
    running: Mapping[str, Any] = field(default_factory=dict)
    """What the running daemon holds (CRI status, 1.x only): `sandboxImage`, `registry`, …; empty when it does not tell."""

    @property
    def sandbox_image(self) -> str:
        """The image that the daemon uses: what it says itself, else what is written, else its built-in default."""
        return _held_image(self.running) or self.written_image

    @property
    def written_image(self) -> str:
        """The image that the files mean."""
        return self.sandbox.value if self.sandbox is not None else default_sandbox_image(self.version)

    @property
    def table(self) -> str:
        """The name of the plugin table whose image settings this release reads from a file like the main one."""
        if self.version >= (2, 0, 0):
            return V2 if self.schema == FULL_NAMES else V3_IMAGES
        return V1 if self.schema < FULL_NAMES else V2

    @property
    def sandbox_key(self) -> str:
        """The key that names the sandbox image: as it is written, else as it should be."""
        if self.sandbox is not None:
            return self.sandbox.key
        inner = ("pinned_images", "sandbox") if self.table == V3_IMAGES else ("sandbox_image",)
        return toml.dotted(("plugins", self.table, *inner))

    @property
    def config_path_key(self) -> str:
        """The key that names the folder of hosts.toml files."""
        return toml.dotted(("plugins", self.table, "registry", "config_path"))

    @property
    def registry(self) -> Tree:
        """The registry table."""
        return toml.table(self.cri, "registry")

    @property
    def config_path(self) -> str:
        """The value of `registry.config_path` that counts, empty when hosts.toml files are not read at all."""
        found = toml.setting(self.registry, "config_path")
        written = toml.text_of(found)
        if written:
            return written
        if self.version >= (2, 2, 2) and not toml.table(self.registry, "mirrors"):
            return DEFAULT_CONFIG_PATH
        if _has_built_in_path(self.version, found):
            return DEFAULT_CONFIG_PATH
        return ""

    @property
    def pulls_locally(self) -> bool:
        """Whether the CRI plugin pulls by itself, not by the transfer service, which 2.1 brought (`CheckLocalImagePullConfigs`)."""
        if self.version < (2, 1, 0):
            return True
        downloads = toml.setting(self.cri, "max_concurrent_downloads")
        return (
            _is(self.cri, "use_local_image_pull", value=True)
            or _is(self.cri, "disable_snapshot_annotations", value=False)
            or _is(self.cri, "discard_unpacked_layers", value=True)
            or _is(self.cri, "image_pull_with_sync_fs", value=True)
            or (downloads is not None and downloads.value != 3)  # noqa: PLR2004 -- the default
            or any(toml.table(self.registry, name) for name in ("mirrors", "configs", "auths"))
        )

    @property
    def certs_folders(self) -> tuple[str, ...]:
        """The folders that are searched for a registry's hosts.toml.

        The transfer service takes a colon-separated list for one path (containerd issue 12636), so that none of its folders is found.
        """
        if not self.config_path:
            return ()
        return (
            tuple(part for part in self.config_path.split(":") if part) if self.pulls_locally else (self.config_path,)
        )

    @property
    def cni_conf_dir(self) -> str:
        """The folder of CNI configuration."""
        return toml.text_of(toml.setting(self.network, "cni", "conf_dir")) or "/etc/cni/net.d"

    @property
    def cni_bin_dirs(self) -> tuple[str, ...]:
        """The folders of CNI plugins; `bin_dirs` since 2.1, where the older `bin_dir` still counts alone (`ValidateRuntimeConfig`)."""
        several = toml.texts_of(toml.setting(self.network, "cni", "bin_dirs")) if self.version >= (2, 1, 0) else ()
        found = toml.setting(self.network, "cni", "bin_dir")
        one = toml.text_of(found)
        # The default gives way, even where it is written; and the migration of the old table puts bin_dir into the place of bin_dirs.
        if found is not None and one and (several in ((), _BIN_DIRS) or V2 in found.keys):
            return (one,)
        return several or _BIN_DIRS

    @property
    def cni_max_conf_num(self) -> int:
        """How many files of the folder count; 0 for all."""
        found = toml.setting(self.network, "cni", "max_conf_num")
        return found.value if found is not None and isinstance(found.value, int) else 1

    @property
    def cni_conf_dirs_by_runtime(self) -> dict[str, str]:
        """The folders that single runtime handlers have for themselves."""
        runtimes = toml.table(self.network, "containerd", "runtimes")
        found = {name: toml.text_of(toml.setting(runtimes, name, "cni_conf_dir")) for name in runtimes}
        return {name: folder for name, folder in found.items() if folder}

    @classmethod
    def observe(cls, host: Host, runtime: Runtime) -> Self:
        """Read the files of this node's containerd. Raises NotFound for another runtime or an unknown version, NotPermitted."""
        if runtime.kind != "containerd":
            raise HostError("NotFound", f"containerd is not the runtime here, {runtime.kind or 'none was found'}")
        if runtime.version is None:
            raise HostError(
                "NotFound", "containerd's version is not known, and what its configuration means depends on it"
            )
        told = runtime.info.get("config")
        return cls.read(
            host, runtime.version, cmdline=runtime.cmdline, running=told if isinstance(told, dict) else None
        )

    @classmethod
    def read(
        cls, host: Host, version: Version, *, cmdline: tuple[str, ...] = (), running: Mapping[str, Json] | None = None
    ) -> Self:
        """Interpret the files as this version does. Raises NotPermitted when one may not be read."""
        path = flag(cmdline, "-c", "--config", "-config") or CONFIG
        loaded = load(host, path, version)
        merged = merge(loaded.files, version)
        inner = ("pinned_images", "sandbox") if version >= (2, 0, 0) else ("sandbox_image",)
        sandbox = toml.setting(merged.images, *inner)
        problems = [*loaded.problems, *merged.problems]
        if sandbox is not None and not isinstance(sandbox.value, str):
            problems.append(ConfigProblem(sandbox.path, sandbox.line, f"{sandbox.key} is not a string"))
            sandbox = None
        elif sandbox is not None and not sandbox.value:  # it counts, and is not taken for the default [R]
            problems.append(ConfigProblem(sandbox.path, sandbox.line, f"{sandbox.key} is empty, so no pod can start"))
        problems += (*_conflicts(merged.images, version), *_two_bin_dirs(merged.network, version))
        vain = [*ignored(loaded.files, merged, version)]
        if running:
            if (held := _held_image(running)) and sandbox is not None and held != sandbox.value:
                vain.append(_not_loaded(sandbox, held))
            registry = running.get("registry")
            if _is_registry(registry):
                written = toml.table(merged.images, "registry")
                merged.images = {**merged.images, "registry": _held_registry(written, registry, vain)}
        return cls(
            version=version,
            path=path,
            files=tuple(file.path for file in loaded.files),
            schema=merged.schema,
            cri=merged.images,
            network=merged.network,
            sandbox=sandbox,
            problems=tuple(problems),
            ignored=tuple(vain),
            disabled=next((found for found in merged.disabled if _disables_cri(found, version)), None),
            running=dict(running or {}),
        )


_STATUS = "CRI status"


def _held_image(running: Mapping[str, Any]) -> str | None:
    held = running.get("sandboxImage")
    return held if isinstance(held, str) and held else None


def _is_registry(held: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a status has the fields of `Registry` that are looked at with their types (`pkg/cri/config/config.go`); Go writes null for what is empty."""
    if not isinstance(held, dict) or not isinstance(held.get("configPath") or "", str):
        return False
    mirrors = held.get("mirrors") or {}
    return isinstance(mirrors, dict) and all(
        isinstance(each or {}, dict) and isinstance((each or {}).get("endpoint") or [], list)
        for each in mirrors.values()
    )


def _held_registry(written: Tree, held: Mapping[str, Any], vain: list[IgnoredSetting]) -> Tree:
    """The registry table as the running daemon holds it, each value with its place in the files where it is the same there.

    What the files say and the daemon does not hold goes to `vain`.
    """
    mirrors = held.get("mirrors") or {}
    told: Tree = {
        "config_path": _held("config_path", held.get("configPath") or "", toml.setting(written, "config_path")),
        "mirrors": {
            name: {
                "endpoint": _held(
                    f'mirrors."{name}".endpoint',
                    list((inner or {}).get("endpoint") or []),
                    toml.setting(written, "mirrors", name, "endpoint"),
                )
            }
            for name, inner in mirrors.items()
        },
    }
    for key in ("config_path", "mirrors"):
        for found in leaves(written.get(key)):
            counting = toml.setting(told, *found.keys[3:])
            if found.value and (counting is None or counting.value != found.value):
                vain.append(_not_loaded(found, counting.value if counting is not None else ""))
    return {**written, **told}


def _held(key: str, value: Any, written: Setting | None) -> Setting:
    if written is not None and written.value == value:
        return written
    return toml.Setting(value, _STATUS, ("registry", key), None)


def _not_loaded(found: Setting, held: Any) -> IgnoredSetting:
    def shown(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    why = f"the running containerd still holds {shown(held) or 'nothing there'}: it was not restarted since this was written"
    return IgnoredSetting("not-loaded", found.key, shown(found.value), found.source, why, found.key)


def _is(tree: Tree, key: str, *, value: object) -> bool:
    found = toml.setting(tree, key)
    return found is not None and found.value is value


def _disables_cri(found: Setting, version: Version) -> bool:
    names = toml.texts_of(found)
    return any(name in {V1, V2} or (version >= (2, 0, 0) and name in {V3_IMAGES, V3_RUNTIME}) for name in names)


def _has_built_in_path(version: Version, found: Setting | None) -> bool:
    """Whether 2.2.0 or 2.2.1 puts its own `config_path` in, which later ones do only without mirrors.

    An empty one of the old table gets it as well, by the migration (`plugins/cri/images/plugin.go` migrateConfig).
    """
    if not (2, 2, 0) <= version < (2, 2, 2):
        return False
    return found is None or (not found.value and V2 in found.keys)


_BIN_DIRS = ("/opt/cni/bin",)


def _two_bin_dirs(network: Tree, version: Version) -> Iterator[ConfigProblem]:
    """What `ValidateRuntimeConfig` refuses since 2.1, which keeps the CRI plugin from loading."""
    one, several = (toml.setting(network, "cni", key) for key in ("bin_dir", "bin_dirs"))
    if version >= (2, 1, 0) and one and one.value and several and toml.texts_of(several) not in ((), _BIN_DIRS):
        if V2 in one.keys:  # the migration drops it then
            return
        message = (
            f"{one.key} may not stand beside {several.key} ({several.source}): containerd's CRI plugin does not load"
        )
        yield ConfigProblem(one.path, one.line, message)


def _conflicts(images: Tree, version: Version) -> Iterator[ConfigProblem]:
    """What `ValidateImageConfig` (1.x: `ValidatePluginConfig`) refuses, which keeps the CRI plugin from loading."""
    registry = toml.table(images, "registry")
    path = toml.setting(registry, "config_path")
    written = path is not None and bool(path.value)
    mirrors = toml.table(registry, "mirrors")
    built_in = _has_built_in_path(version, path)
    if mirrors and (written or built_in):
        beside = path.key if path is not None else f"the built-in config_path, {DEFAULT_CONFIG_PATH}"
        where = next(leaves(mirrors), path)
        message = f"registry.mirrors may not stand beside {beside}: containerd's CRI plugin does not load"
        yield ConfigProblem(where.path if where else CONFIG, where.line if where else None, message)
    if path is not None and written and version < (2, 0, 0):
        for name, inner in toml.table(registry, "configs").items():
            if isinstance(inner, dict) and "tls" in inner:
                message = f'registry.configs."{name}".tls may not stand beside {path.key}: the CRI plugin does not load'
                yield ConfigProblem(path.path, first_line(inner), message)
