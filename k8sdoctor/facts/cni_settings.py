"""Where the runtime looks for CNI configuration and plugins, and by which of libcni's releases it reads them."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import toml, versions
from k8sdoctor.facts.cni_network import LIBCNI_0, LIBCNI_1_1, LIBCNI_1_2, LIBCNI_1_3, SPECIFICATIONS
from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.toml import Tree
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host, Json

FOLDER = "/etc/cni/net.d"
PLUGIN_FOLDER = "/opt/cni/bin"
"""Defaults of every runtime here."""

_CRIO_CONFIG = "/etc/crio/crio.conf"
_CRIO_DROP_INS = "/etc/crio/crio.conf.d"

# The libcni that each release is built with: the runtimes' own go.mod at these tags.
_LIBCNI: dict[str, tuple[tuple[Version, tuple[int, int]], ...]] = {
    "containerd": (((2, 1, 0), LIBCNI_1_3), ((2, 0, 0), LIBCNI_1_2), ((1, 6, 0), LIBCNI_1_1)),
    "cri-o": (((1, 33, 0), LIBCNI_1_3), ((1, 31, 0), LIBCNI_1_2), ((1, 23, 0), LIBCNI_1_1)),
}

_CRI_DOCKERD_WITH_1_1 = (0, 3, 1)

# The newest specification that a release of libcni understands in a plugin's answer (`version.Current()`).
_NEWEST = {LIBCNI_0: "0.4.0", LIBCNI_1_1: "1.0.0", LIBCNI_1_2: "1.1.0", LIBCNI_1_3: "1.1.0"}


@dataclass(frozen=True)
class CniSettings:
    """The runtime's settings about CNI; its defaults where nothing else was found.

    `max_conf_num` is how many files count, 0 for all (containerd alone). `default_network` is the name of the network that CRI-O was told to
    use. `handlers` holds folders that single runtime handlers of containerd have for themselves. `enabled` is false where the runtime was told to
    use something else than CNI. `source` says where the folder is set.
    """

    folder: str = FOLDER
    plugin_folders: tuple[str, ...] = (PLUGIN_FOLDER,)
    max_conf_num: int = 1
    default_network: str | None = None
    handlers: Mapping[str, CniSettings] = field(default_factory=dict)
    needs_loopback: bool = True
    libcni: tuple[int, int] = LIBCNI_1_1
    enabled: bool = True
    source: str = "the default"

    @property
    def newest_specification(self) -> str:
        """The newest version of the CNI specification that the runtime understands."""
        return _NEWEST[self.libcni]

    @property
    def specifications(self) -> tuple[str, ...]:
        """The versions of the CNI specification that the runtime understands, oldest first."""
        return SPECIFICATIONS[: SPECIFICATIONS.index(self.newest_specification) + 1]

    @classmethod
    def observe(cls, host: Host, runtime: Runtime, containerd: ContainerdConfig | Unobserved, kubelet: Kubelet) -> Self:
        """Ask the running daemon's status, else its configuration and flags. Never raises for files that are not there."""
        match runtime.kind:
            case "cri-o":
                return cls._crio(host, runtime)
            case "cri-dockerd":
                return cls._dockerd(host, runtime, kubelet)
            case _:
                return cls._containerd(runtime, containerd)

    @classmethod
    def _containerd(cls, runtime: Runtime, config: ContainerdConfig | Unobserved) -> Self:
        found = cls(libcni=libcni_of(runtime))
        if isinstance(config, ContainerdConfig):
            found = replace(
                found,
                folder=config.cni_conf_dir,
                plugin_folders=config.cni_bin_dirs,
                max_conf_num=config.cni_max_conf_num,
                source=config.path if config.cni_conf_dir != FOLDER else found.source,
            )
            handlers = {name: replace(found, folder=path) for name, path in config.cni_conf_dirs_by_runtime.items()}
            found = replace(found, handlers=handlers)
        held = _mapping(runtime.info.get("cniconfig"))
        told = _mapping(runtime.info.get("config"))
        if not held:
            return found
        # What the daemon holds counts until it restarts, whatever its files say by now.
        folders = held.get("PluginDirs")
        folder, number = held.get("PluginConfDir"), held.get("PluginMaxConfNum")
        found = replace(
            found,
            folder=folder if isinstance(folder, str) and folder else found.folder,
            plugin_folders=_texts(folders) or found.plugin_folders,
            max_conf_num=number if isinstance(number, int) else found.max_conf_num,
            needs_loopback=_mapping(told.get("cni")).get("useInternalLoopback") is not True,
            source=f"the status of {runtime.label}",
        )
        runtimes = _mapping(_mapping(told.get("containerd")).get("runtimes"))
        handlers = {}
        for name, table in runtimes.items():
            own = _mapping(table).get("cniConfDir")
            own_number = _mapping(table).get("cniMaxConfNum")
            if isinstance(own, str) and own:
                limit = own_number if isinstance(own_number, int) and own_number else found.max_conf_num
                handlers[name] = replace(found, folder=own, max_conf_num=limit, handlers={})
        return replace(found, handlers=handlers)

    @classmethod
    def _crio(cls, host: Host, runtime: Runtime) -> Self:
        folder, source = FOLDER, "the default"
        plugins: tuple[str, ...] = (PLUGIN_FOLDER,)
        older: str | None = None
        name: str | None = None
        for path, tree in _crio_files(host, runtime):
            network = toml.table(tree, "crio", "network")
            if found := toml.text_of(toml.setting(network, "network_dir")):
                folder, source = found, path
            several = toml.texts_of(toml.setting(network, "plugin_dirs"))
            plugins = several or plugins
            older = toml.text_of(toml.setting(network, "plugin_dir")) or older
            name = toml.text_of(toml.setting(network, "cni_default_network")) or name
        if found := flag(runtime.cmdline, "--cni-config-dir"):
            folder, source = found, "crio's command line"
        if found := flag(runtime.cmdline, "--cni-plugin-dir"):
            plugins = tuple(found.split(","))
        if older:  # deprecated, and looked into after the others (`pkg/config/config.go` NetworkConfig.Validate)
            plugins = (*plugins, older)
        name = flag(runtime.cmdline, "--cni-default-network") or name
        return cls(
            folder=folder.rstrip("/") or "/",
            plugin_folders=tuple(each.rstrip("/") for each in plugins),
            max_conf_num=0,
            default_network=name,
            needs_loopback=False,
            libcni=libcni_of(runtime),
            source=source,
        )

    @classmethod
    def _dockerd(cls, host: Host, runtime: Runtime, kubelet: Kubelet) -> Self:
        # dockershim's flags were kubelet's own; cri-dockerd took them over, with CNI as the default of --network-plugin.
        dockershim = "dockershim" in (runtime.endpoint or "")
        flags = kubelet.flags if dockershim else {}
        words = () if dockershim else runtime.cmdline

        def value(name: str, default: str) -> str:
            return flags.get(name) or flag(words, name) or default

        folders = tuple(each for each in value("--cni-bin-dir", PLUGIN_FOLDER).split(",") if each)
        return cls(
            folder=value("--cni-conf-dir", FOLDER),
            plugin_folders=folders,
            max_conf_num=0,
            libcni=LIBCNI_0 if dockershim else _libcni_of_cri_dockerd(host, runtime),
            enabled=value("--network-plugin", "" if dockershim else "cni") == "cni",
            source="the command line" if value("--cni-conf-dir", "") else "the default",
        )


def libcni_of(runtime: Runtime) -> tuple[int, int]:
    """The release of libcni in a runtime; the one in between when its version is not known."""
    if runtime.version is None or runtime.kind is None:
        return LIBCNI_1_1
    if runtime.kind == "cri-dockerd":
        return LIBCNI_1_1
    for first, libcni in _LIBCNI[runtime.kind]:
        if runtime.version >= first:
            return libcni
    return LIBCNI_0


def _libcni_of_cri_dockerd(host: Host, runtime: Runtime) -> tuple[int, int]:
    """By cri-dockerd's own release, which it tells on its command line alone: over CRI it tells Docker's."""
    try:
        told = host.run(runtime.cmdline[0] if runtime.cmdline else "cri-dockerd", "--version")["out"]
    except HostError:
        return LIBCNI_1_1
    version = versions.parse(told)
    return LIBCNI_0 if version is not None and version < _CRI_DOCKERD_WITH_1_1 else LIBCNI_1_1


def _crio_files(host: Host, runtime: Runtime) -> list[tuple[str, Tree]]:
    """CRI-O's files in the order in which it reads them; one that is no TOML keeps it from starting, and is left out here.

    The drop-in folder is walked with its sub-folders, whatever its files are called.
    """
    main = flag(runtime.cmdline, "-c", "--config") or _CRIO_CONFIG
    paths = [main, *_walk(host, flag(runtime.cmdline, "-d", "--config-dir") or _CRIO_DROP_INS)]
    found = []
    for path in paths:
        text = host.read_optional(path)
        if text is None:
            continue
        try:
            found.append((path, toml.parse(text, path)))
        except toml.TomlError:
            continue
    return found


def _walk(host: Host, folder: str, depth: int = 8) -> list[str]:
    paths: list[str] = []
    for entry in host.listdir_optional(folder):
        path = f"{folder}/{entry['name']}"
        if entry["kind"] == "dir":
            paths += _walk(host, path, depth - 1) if depth else []
        else:
            paths.append(path)
    return paths


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
