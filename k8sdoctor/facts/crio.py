"""CRI-O's configuration: crio.conf, its drop-ins, and the command line.

Read in `pkg/config/config.go` (UpdateFromFile, UpdateFromPath) and `internal/criocli/criocli.go`; facts about 1.36.3 were tried on a running one.
"""

from __future__ import annotations

import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import toml, versions
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.settings import ConfigProblem, IgnoredSetting
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.toml import Setting, Tree
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

CONFIG = "/etc/crio/crio.conf"
DROP_INS = "/etc/crio/crio.conf.d"
KEY = "crio.image.pause_image"

# By release, from the newest (`DefaultPauseImage` in pkg/config/config_linux.go, before 1.28 config_unix.go; all tags since 1.18).
_DEFAULTS: tuple[tuple[Version, str], ...] = (
    ((1, 34, 0), "registry.k8s.io/pause:3.10.1"),
    ((1, 31, 0), "registry.k8s.io/pause:3.10"),
    ((1, 27, 1), "registry.k8s.io/pause:3.9"),
    ((1, 24, 0), "registry.k8s.io/pause:3.6"),
    ((1, 23, 0), "k8s.gcr.io/pause:3.6"),
    ((1, 21, 0), "k8s.gcr.io/pause:3.5"),
)


def default_pause_image(version: Version) -> str:
    """The pause image built into a release.

    >>> default_pause_image((1, 29, 4))
    'registry.k8s.io/pause:3.9'
    """
    return next((image for first, image in _DEFAULTS if version >= first), "k8s.gcr.io/pause:3.2")


@dataclass(frozen=True)
class CrioConfig:
    """What counts of all files; the command line counts more than any of them."""

    version: Version
    path: str
    """The main file, there or not."""
    drop_ins: str
    """The folder whose files, whatever they are called, are read after it."""
    files: tuple[str, ...]
    image: Tree
    """The table [crio.image]."""
    network: Tree
    """The table [crio.network]."""
    flags: tuple[str, ...]
    problems: tuple[ConfigProblem, ...] = ()
    ignored: tuple[IgnoredSetting, ...] = ()
    held_image: str | None = None
    """The image that the running daemon holds, by its CRI status."""
    runtime: Tree = field(default_factory=dict)
    """The table [crio.runtime]."""

    @property
    def pause(self) -> Setting | None:
        """Where the pause image is written; None for the built-in default."""
        given = flag(self.flags, "--pause-image")
        if given:
            return toml.Setting(given, "CRI-O's command line", ("--pause-image",), None)
        found = toml.setting(self.image, "pause_image")
        return found if found is not None and toml.text_of(found) else None

    @property
    def written_image(self) -> str:
        """The image that command line and files mean."""
        return str(self.pause.value) if self.pause is not None else default_pause_image(self.version)

    @property
    def sandbox_image(self) -> str:
        """The image that the daemon uses: what it says itself, else what is written, else its built-in default."""
        return self.held_image or self.written_image

    @property
    def pause_auth_file(self) -> str | None:
        """The file of credentials for the pause image alone."""
        return flag(self.flags, "--pause-image-auth-file") or self._text("pause_image_auth_file")

    @property
    def global_auth_file(self) -> str | None:
        """The file of credentials for all images."""
        return flag(self.flags, "--global-auth-file") or self._text("global_auth_file")

    @property
    def signature_policy(self) -> str | None:
        """The policy.json that counts in place of the system's."""
        return flag(self.flags, "--signature-policy") or self._text("signature_policy")

    def _text(self, key: str) -> str | None:
        return toml.text_of(toml.setting(self.image, key)) or None

    @property
    def cgroup_manager(self) -> str:
        """`systemd` (the default since 1.19 at the latest, `internal/config/cgmgr`) or `cgroupfs`."""
        given = flag(self.flags, "--cgroup-manager")
        return given or toml.text_of(toml.setting(self.runtime, "cgroup_manager")) or "systemd"

    @property
    def cni_conf_dir(self) -> str:
        """The folder of CNI configuration."""
        given = flag(self.flags, "--cni-config-dir")
        return given or toml.text_of(toml.setting(self.network, "network_dir")) or "/etc/cni/net.d"

    @property
    def cni_bin_dirs(self) -> tuple[str, ...]:
        """The folders of CNI plugins."""
        given = flag(self.flags, "--cni-plugin-dir")
        written = toml.texts_of(toml.setting(self.network, "plugin_dirs")) or ("/opt/cni/bin",)
        found = tuple(given.split(",")) if given else written
        older = toml.text_of(toml.setting(self.network, "plugin_dir"))  # deprecated, and looked into after the others
        return (*found, older) if older else found

    @classmethod
    def observe(cls, host: Host, runtime: Runtime) -> Self:
        """Read the files of this node's CRI-O. Raises NotFound for another runtime or an unknown version, NotPermitted."""
        if runtime.kind != "cri-o":
            raise HostError("NotFound", f"CRI-O is not the runtime here, {runtime.kind or 'none was found'}")
        if runtime.version is None:
            raise HostError("NotFound", "CRI-O's version is not known, and its built-in pause image depends on it")
        told = runtime.info.get("config")
        held = told.get("sandboxImage") if isinstance(told, dict) else None
        return cls.read(host, runtime.version, cmdline=runtime.cmdline, held=held if isinstance(held, str) else None)

    @classmethod
    def read(cls, host: Host, version: Version, *, cmdline: tuple[str, ...] = (), held: str | None = None) -> Self:
        """Interpret the files. Raises NotPermitted when one may not be read."""
        main = flag(cmdline, "-c", "--config") or CONFIG
        drop_ins = flag(cmdline, "-d", "--config-dir") or DROP_INS
        files: list[str] = []
        problems: list[ConfigProblem] = []
        trees: list[Tree] = []
        for path in (main, *_walk(host, drop_ins)):
            try:
                text = host.read_optional(path)
            except HostError as error:
                if error.reason == "NotPermitted":
                    raise
                problems.append(ConfigProblem(path, None, error.message))
                continue
            if text is None:
                continue
            files.append(path)
            try:
                trees.append(toml.parse(text, path))
            except toml.TomlError as error:
                problems.append(ConfigProblem(path, error.line, error.message))
        image: Tree = {}
        network: Tree = {}
        runtime: Tree = {}
        for tree in trees:
            runtime.update(toml.table(tree, "crio", "runtime"))
            image.update(toml.table(tree, "crio", "image"))
            network.update(toml.table(tree, "crio", "network"))
        pause = image.get("pause_image")
        if isinstance(pause, toml.Setting) and not isinstance(pause.value, str):
            problems.append(ConfigProblem(pause.path, pause.line, f"{pause.key} is not a string"))
        config = cls(version, main, drop_ins, tuple(files), image, network, cmdline, tuple(problems), (), held, runtime)
        return cls(**{**vars(config), "ignored": tuple(_ignored(config, trees))})


def _walk(host: Host, folder: str) -> Iterator[str]:
    """Every file below a folder, whatever its name, sub-folders in their place (`filepath.Walk`)."""
    for entry in host.listdir_optional(folder):
        path = posixpath.join(folder, entry["name"])
        if entry["kind"] == "dir":
            yield from _walk(host, path)
        else:
            yield path


def _ignored(config: CrioConfig, trees: list[Tree]) -> Iterator[IgnoredSetting]:
    label = f"CRI-O {versions.text(config.version)}"
    for tree in trees:
        for keys in (("pause_image",), ("crio", "pause_image"), ("crio", "runtime", "pause_image")):
            found = toml.setting(tree, *keys)
            if found is not None and found.value != config.written_image:
                why = f"{label} reads {KEY}"
                yield IgnoredSetting("wrong-table", found.key, str(found.value), found.source, why, KEY)
    pause = config.pause
    if pause is not None and config.held_image not in {None, pause.value}:
        why = f"the running {label} still holds {config.held_image}: it was neither reloaded nor restarted since"
        yield IgnoredSetting("not-loaded", pause.key, str(pause.value), pause.source, why, KEY)
