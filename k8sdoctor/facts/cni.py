"""The CNI configuration folder, and what this node's runtime makes of it.

containerd (containerd/go-cni `opts.go`, `loadFromConfDir`) takes the first `max_conf_num` files in order, and one that is invalid fails the
whole load. CRI-O (cri-o/ocicni `pkg/ocicni/ocicni.go`) and cri-dockerd (Mirantis/cri-dockerd `network/cni/cni.go`) pass over a file that
is invalid or whose plugins are missing, and use the first that is left. So the same folder may be good for one and broken for the other.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts.cni_network import CniError, CniNetwork, Requirement, go_json, parse
from k8sdoctor.facts.cni_settings import FOLDER, PLUGIN_FOLDER, CniSettings
from k8sdoctor.facts.flannel import SubnetFile
from k8sdoctor.facts.runtime import Kind, Runtime
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.host import Host, Json

DEFAULT = "default"
"""The name of the runtime handler whose folder counts where no other is asked for (containerd `defaultNetworkPlugin`)."""

EXTENSIONS = (".conf", ".conflist", ".json")

# Where configuration and plugins are found that a runtime does not look at: defaults of CRI-O and containerd, of k3s, and of packages
# (Debian's containernetworking-plugins, Fedora's and SUSE's).
_OTHER_FOLDERS = (FOLDER, "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/usr/local/etc/cni/net.d", "/etc/cni/conf.d")
_OTHER_PLUGIN_FOLDERS = (
    PLUGIN_FOLDER,
    "/usr/lib/cni",
    "/usr/libexec/cni",
    "/usr/local/lib/cni",
    "/usr/local/libexec/cni",
    "/var/lib/rancher/k3s/data/cni",
)

# The byte of an ELF header that names the machine, and its value as text, where it is no UTF-8 as U+FFFD (elf(5), elf.h).
_E_MACHINE = 18
_ELF_MACHINES = {"x86_64": "\x3e", "aarch64": "\ufffd", "armv7l": "\x28", "ppc64le": "\x15"}

NO_MAC = "00:00:00:00:00:00"

_CANNOT_EXECUTE = (126, 127)  # env(1): found and not run, or not found (a script's interpreter, a dynamic loader)


@dataclass(frozen=True)
class CniFile:
    """One file that the runtime considers. Either `network`, or `error` (libcni refuses it), or `unseen` (we could not look)."""

    path: str
    text: str | None = None
    network: CniNetwork | None = None
    error: CniError | None = None
    unseen: HostError | None = None


@dataclass(frozen=True)
class CniExecutable:
    """The program of a plugin type.

    `path` is None when no plugin folder holds it; `elsewhere` then is a path where it lies although the runtime does not look there.
    `problem` says why it cannot be run. `versions` are those of the specification that it knows, None when it did not say.
    `unseen` says why we could not look.
    """

    type: str
    path: str | None = None
    elsewhere: str | None = None
    problem: str | None = None
    versions: tuple[str, ...] | None = None
    unseen: HostError | None = None


@dataclass(frozen=True)
class Refusal:
    """Why the runtime passes over a file, or cannot start pods with it: the program, its role, and the fault."""

    kind: Literal["missing", "not-executable", "version"]
    requirement: Requirement
    executable: CniExecutable


Skipped: TypeAlias = tuple[CniFile, tuple[Refusal, ...]]


@dataclass(frozen=True)
class CniFolder:
    """The folder as it lies on disk, and what the runtime would load from it now.

    `handler` names the runtime handler of containerd that has a folder of its own, else it is `default`. `loaded` are the files that would be used, in
    order; `broken` is the file whose fault fails the whole load (containerd); `skipped` are passed over (CRI-O, cri-dockerd); `unread` are never
    looked at. `held` is what the runtime says that it has loaded, None when it does not tell; `load_status` is its word on the last load.
    `leftover_bridges` are those of its bridges that exist without a hardware address: what a failed first pod leaves. `watched` is false when it no longer watches this folder, None when that is not known.
    """

    kind: Kind | None
    settings: CniSettings
    handler: str = DEFAULT
    exists: bool = True
    files: tuple[CniFile, ...] = ()
    others: tuple[str, ...] = ()
    loaded: tuple[CniFile, ...] = ()
    broken: CniFile | None = None
    skipped: tuple[Skipped, ...] = ()
    unread: tuple[CniFile, ...] = ()
    executables: Mapping[str, CniExecutable] = field(default_factory=dict)
    subnet_files: tuple[SubnetFile, ...] = ()
    elsewhere: tuple[str, ...] = ()
    bridge_addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leftover_bridges: tuple[str, ...] = ()
    held: tuple[Json, ...] | None = None
    load_status: str | None = None
    watched: bool | None = None
    handlers: tuple[CniFolder, ...] = ()

    @property
    def chosen(self) -> CniNetwork | None:
        """The network that pods would get; None when the runtime would load none."""
        return self.loaded[0].network if self.loaded else None

    @property
    def networks(self) -> tuple[CniNetwork, ...]:
        """All networks that would be loaded."""
        return tuple(file.network for file in self.loaded if file.network)

    @property
    def bridges(self) -> tuple[str, ...]:
        """The Linux bridges that the networks make for pods."""
        return tuple(dict.fromkeys(name for network in self.networks for name in network.bridges))

    @property
    def plugin_types(self) -> tuple[str, ...]:
        """The types of all programs that the networks need, delegates and address management included."""
        return tuple(dict.fromkeys(type_ for network in self.networks for type_ in network.plugin_types))

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets that pods of this node get, as far as they are written down."""
        found = [subnet for network in self.networks for subnet in network.subnets]
        found += [subnet for file in self.subnet_files for subnet in file.subnets]
        return tuple(dict.fromkeys(found))

    @property
    def uses_ipv4(self) -> bool | None:
        """Whether pods get IPv4 addresses; None when nothing on disk tells."""
        return self._uses(4)

    @property
    def uses_ipv6(self) -> bool | None:
        """Whether pods get IPv6 addresses; None when nothing on disk tells."""
        return self._uses(6)

    def _uses(self, family: int) -> bool | None:
        families: set[int] = {subnet.version for subnet in self.subnets}
        families |= {each for network in self.networks for each in network.families}
        return family in families if families else None

    @property
    def refusals(self) -> tuple[tuple[CniFile, Refusal], ...]:
        """What keeps pods from starting on the networks that would be loaded."""
        found: dict[tuple[str, str], tuple[CniFile, Refusal]] = {}
        for file in self.loaded:
            for refusal in _refusals(file, self.executables, checked=None):
                found.setdefault((refusal.kind, refusal.requirement.type), (file, refusal))
        return tuple(found.values())

    @property
    def is_stale(self) -> bool:
        """Whether the runtime says that it holds something else than the folder does. False when it does not tell."""
        if self.held is None or not self.loaded:
            return False
        return list(self.held) != [dict(network.source) for network in self.networks]

    @classmethod
    def observe(cls, host: Host, runtime: Runtime, settings: CniSettings) -> Self:
        """Read the folder and look for the programs. Raises NotPermitted, Unreadable when the folder cannot be listed."""
        looked = _Look(host, runtime)
        handlers = tuple(
            cls._folder(looked, each, name)
            for name, each in settings.handlers.items()
            if each.folder != settings.folder
        )
        return cls._folder(looked, settings, DEFAULT, handlers)

    @classmethod
    def _folder(cls, look: _Look, settings: CniSettings, handler: str, handlers: tuple[CniFolder, ...] = ()) -> Self:
        exists, files, others = look.files(settings)
        outcome = _as_containerd(files, settings) if look.one_fault_fails_all else _as_ocicni(files, settings, look)
        for file in outcome.loaded:
            for requirement in file.network.requirements if file.network else ():
                look.executable(requirement.type, settings)
        if settings.needs_loopback and outcome.loaded:
            look.executable("loopback", settings)
        networks = [file.network for file in outcome.loaded if file.network]
        subnet_paths = dict.fromkeys(path for network in networks for path in network.flannel_subnet_files)
        bridges = tuple(dict.fromkeys(name for network in networks for name in network.bridges))
        found = cls(
            kind=look.runtime.kind,
            settings=settings,
            handler=handler,
            exists=exists,
            files=files,
            others=others,
            loaded=outcome.loaded,
            broken=outcome.broken,
            skipped=outcome.skipped,
            unread=outcome.unread,
            executables=dict(look.executables),
            subnet_files=tuple(SubnetFile.read(look.host, path) for path in subnet_paths),
            elsewhere=() if files or handler != DEFAULT else look.elsewhere(settings.folder),
            bridge_addresses=look.bridge_addresses(bridges),
            leftover_bridges=look.leftover_bridges(bridges),
            held=look.held() if handler == DEFAULT else None,
            load_status=look.load_status(handler),
            handlers=handlers,
        )
        if found.is_stale or found.load_status not in (None, "OK"):
            return cls(**{**found.__dict__, "watched": look.watched(settings.folder)})
        return found


@dataclass(frozen=True)
class _Outcome:
    loaded: tuple[CniFile, ...] = ()
    broken: CniFile | None = None
    skipped: tuple[Skipped, ...] = ()
    unread: tuple[CniFile, ...] = ()


def _as_containerd(files: tuple[CniFile, ...], settings: CniSettings) -> _Outcome:
    counted = files[: settings.max_conf_num] if settings.max_conf_num > 0 else files
    broken = next((file for file in counted if file.network is None), None)
    unread = files[len(counted) :]
    return _Outcome(broken=broken, unread=unread) if broken else _Outcome(loaded=counted, unread=unread)


def _as_ocicni(files: tuple[CniFile, ...], settings: CniSettings, look: _Look) -> _Outcome:
    skipped: list[Skipped] = []
    valid: list[CniFile] = []
    for file in files:
        if file.network is None:
            skipped.append((file, ()))
            continue
        if valid and not settings.default_network:
            continue  # it is read, and never used
        types = {plugin.type for plugin in file.network.plugins}  # address management is not looked at
        for type_ in types:
            look.executable(type_, settings)
        refusals = _refusals(file, look.executables, checked=types)
        if refusals:
            skipped.append((file, refusals))
        else:
            valid.append(file)
    wanted = settings.default_network
    chosen = next((file for file in valid if wanted is None or (file.network and file.network.name == wanted)), None)
    unread = tuple(file for file in files if file is not chosen and file not in [each for each, _ in skipped])
    return _Outcome(loaded=(chosen,) if chosen else (), skipped=tuple(skipped), unread=unread if chosen else ())


def _refusals(
    file: CniFile, executables: Mapping[str, CniExecutable], *, checked: Iterable[str] | None
) -> tuple[Refusal, ...]:
    """What is wrong with the programs that a file needs; with those in `checked` only, if given."""
    if file.network is None:
        return ()
    version = file.network.cni_version or "0.1.0"  # libcni `validatePlugin`
    found = []
    for requirement in file.network.requirements:
        executable = executables.get(requirement.type)
        if executable is None or (checked is not None and requirement.type not in checked):
            continue
        if executable.unseen:
            continue
        if executable.path is None:
            found.append(Refusal("missing", requirement, executable))
        elif executable.problem:
            found.append(Refusal("not-executable", requirement, executable))
        elif executable.versions is not None and version not in executable.versions:
            found.append(Refusal("version", requirement, executable))
    return tuple(found)


class _Look:
    """Everything that is looked up on the node, each thing once."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host = host
        self.runtime = runtime
        self.executables: dict[str, CniExecutable] = {}
        self._hung = False

    @property
    def one_fault_fails_all(self) -> bool:
        return self.runtime.kind not in ("cri-o", "cri-dockerd")

    # -- configuration -----------------------------------------------------------------------------------------------

    def files(self, settings: CniSettings) -> tuple[bool, tuple[CniFile, ...], tuple[str, ...]]:
        """Whether the folder exists, the files in it that count, in libcni's order (`ConfFiles`, then bytewise), and other files' names."""
        try:
            entries = self.host.listdir(settings.folder)
        except HostError as error:
            if error.reason == "NotFound":
                return False, (), ()
            raise
        beside = sorted((entry["name"] for entry in entries if entry["kind"] != "dir"), key=_bytes)
        names = [name for name in beside if _extension(name) in EXTENSIONS]
        folders = {
            entry["name"]: self._beside(f"{settings.folder}/{entry['name']}")
            for entry in entries
            if entry["kind"] == "dir"
        }
        files = tuple(self._file(f"{settings.folder}/{name}", settings, folders) for name in names)
        return True, files, tuple(name for name in beside if name not in names)

    def _file(self, path: str, settings: CniSettings, folders: Mapping[str, list[str]]) -> CniFile:
        try:
            text = self.host.read(path)
        except HostError as error:
            if error.reason == "NotFound":
                return CniFile(path, error=CniError("a link that leads nowhere"))
            if error.reason == "Unreadable" and (kind := self._kind(path)) != "file":
                return CniFile(path, error=CniError(f"it is no file (a {kind})"))
            return CniFile(path, unseen=error)
        try:
            network = parse(text, is_list=path.endswith(".conflist"), libcni=settings.libcni, folders=folders)
        except CniError as error:
            return CniFile(path, text, error=error)
        return CniFile(path, text, network)

    def _kind(self, path: str) -> str:
        try:
            return self.host.stat(path)["kind"]
        except HostError:
            return "file"

    def _beside(self, folder: str) -> list[str]:
        try:
            entries = self.host.listdir(folder)
            names = [each["name"] for each in entries if each["kind"] != "dir" and _extension(each["name"]) == ".conf"]
            return [self.host.read(f"{folder}/{name}") for name in names]
        except HostError:
            return []

    def elsewhere(self, folder: str) -> tuple[str, ...]:
        """Configuration in folders that the runtime does not look at."""
        found = []
        for other in _OTHER_FOLDERS:
            if other != folder:
                try:
                    entries = self.host.listdir_optional(other)
                except HostError:
                    continue
                found += [
                    f"{other}/{entry['name']}"
                    for entry in entries
                    if entry["kind"] != "dir" and _extension(entry["name"]) in EXTENSIONS
                ]
        return tuple(found)

    # -- programs ----------------------------------------------------------------------------------------------------

    def executable(self, type_: str, settings: CniSettings) -> CniExecutable:
        """The program of a type, as `FindInPath` of libcni finds it: the first regular file, executable or not."""
        if type_ not in self.executables:
            self.executables[type_] = self._executable(type_, settings)
        return self.executables[type_]

    def _executable(self, type_: str, settings: CniSettings) -> CniExecutable:
        if "/" in type_:  # refused as a name
            return CniExecutable(type_)
        try:
            path = self._find(type_, settings.plugin_folders)
            if path is None:
                return CniExecutable(type_, elsewhere=self._find(type_, _OTHER_PLUGIN_FOLDERS))
            mode = self.host.stat(path)["mode"]
        except HostError as error:
            return CniExecutable(type_, unseen=error)
        if not mode & 0o111:
            return CniExecutable(type_, path, problem=f"its mode is {mode:04o}")
        return self._asked(type_, path)

    def _find(self, type_: str, folders: Iterable[str]) -> str | None:
        for folder in folders:
            path = f"{folder.rstrip('/')}/{type_}"
            try:
                if self.host.stat(path)["kind"] == "file":
                    return path
            except HostError as error:
                if error.reason != "NotFound":
                    raise
        return None

    def _asked(self, type_: str, path: str) -> CniExecutable:
        """Ask a plugin which versions it knows, as libcni does; the specification's VERSION command changes nothing."""
        if self._hung:  # one that hangs is waited for, a second is not
            return CniExecutable(type_, path)
        try:
            result = self.host.run("env", "CNI_COMMAND=VERSION", path)
        except HostError as error:
            self._hung = error.reason == "DeadlineExceeded"
            return CniExecutable(type_, path)
        if result["code"] in _CANNOT_EXECUTE and self.host.identity()["euid"] == 0:
            words = result["err"].strip().rpartition(": ")[2] or f"exit code {result['code']}"
            return CniExecutable(type_, path, problem=f"it cannot be run ({words})")
        try:
            answer = json.loads(result["out"])
            versions = answer.get("supportedVersions")
        except (ValueError, AttributeError):
            return CniExecutable(type_, path, problem=self._foreign(path))
        known = tuple(each for each in versions if isinstance(each, str)) if isinstance(versions, list) else None
        return CniExecutable(type_, path, versions=known)

    def _foreign(self, path: str) -> str | None:
        """Why the kernel cannot run a file, by its first bytes (elf(5)): env(1) hands to a shell what the kernel refuses."""
        try:
            read = self.host.run("head", "-c", "20", path)
            machine = self.host.identity()["machine"]
        except HostError:
            return None
        start = read["out"]
        if read["code"] != 0 or not start:
            return None
        if not start.startswith(("\x7fELF", "#!")):
            return "it is neither a program nor a script"
        wanted = _ELF_MACHINES.get(machine)
        if start.startswith("\x7fELF") and wanted and len(start) > _E_MACHINE and start[_E_MACHINE] != wanted:
            return f"it was built for another machine than {machine}"
        return None

    # -- the running system ------------------------------------------------------------------------------------------

    def bridge_addresses(self, bridges: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """The addresses of those bridges that exist, as `10.244.0.1/24`."""
        if not bridges:
            return {}
        try:
            names = {link["index"]: link["name"] for link in self.host.netlink("links") if link["name"] in bridges}
            addresses = self.host.netlink("addresses") if names else []
        except HostError:
            return {}
        found: dict[str, list[str]] = {name: [] for name in names.values()}
        for address in addresses:
            if address["index"] in names and not address["address"].startswith("fe80:"):
                found[names[address["index"]]].append(f"{address['address']}/{address['prefix']}")
        return {name: tuple(each) for name, each in found.items()}

    def leftover_bridges(self, bridges: tuple[str, ...]) -> tuple[str, ...]:
        """The bridges that exist with the hardware address 0: their only port left before an address was set for good."""
        try:
            links = self.host.netlink("links") if bridges else []
        except HostError:
            return ()
        return tuple(link["name"] for link in links if link["name"] in bridges and link.get("mac") == NO_MAC)

    def held(self) -> tuple[Json, ...] | None:
        """The configuration that containerd says it has loaded, its own loopback network apart."""
        told = self.runtime.info.get("cniconfig")
        if not isinstance(told, dict):
            return None
        networks = told.get("Networks")
        found: list[Json] = []
        for number, network in enumerate(networks if isinstance(networks, list) else []):
            config = network.get("Config") if isinstance(network, dict) else None
            if not isinstance(config, dict) or (number == 0 and config.get("Name") == "cni-loopback"):
                continue
            try:
                found.append(go_json(str(config.get("Source"))))
            except CniError:
                found.append(config.get("Source"))
        return tuple(found)

    def load_status(self, handler: str) -> str | None:
        """What containerd says of its last load: `OK`, or the error."""
        status = self.runtime.info.get(f"lastCNILoadStatus.{handler}")
        if status is None and handler == DEFAULT:
            status = self.runtime.info.get("lastCNILoadStatus")
        return status if isinstance(status, str) else None

    def watched(self, folder: str) -> bool | None:
        """Whether one of the daemon's inotify watches (proc(5), fdinfo) is on the folder that is there now."""
        if self.runtime.pid is None:
            return None
        below = f"/proc/{self.runtime.pid}/fdinfo"
        try:
            inode = self.host.stat(folder)["inode"]
            descriptors = [entry["name"] for entry in self.host.listdir(below)]
        except HostError:
            return None
        for descriptor in descriptors:
            try:
                text = self.host.read(f"{below}/{descriptor}")
            except HostError:
                continue  # closed since
            if f" ino:{inode:x} " in text and "inotify" in text:
                return True
        return False


def _extension(name: str) -> str:
    """Go's `filepath.Ext`: from the last dot on, also where nothing stands before it."""
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
