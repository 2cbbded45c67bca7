"""Kernel modules: which are loaded, built in or could be loaded, and which are loaded at boot."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts.boot_files import BootFiles
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

ModuleState: TypeAlias = Literal["loaded", "built-in", "loadable", "absent", "kernel-gone"]
"""`kernel-gone`: the folder of the running kernel's modules was removed (an update without a reboot), so nothing can be loaded."""

BR_NETFILTER = "br_netfilter"
_BRIDGE_SWITCH = (
    "/proc/sys/net/bridge/bridge-nf-call-iptables"  # there exactly when br_netfilter is, loaded or built in
)
_FOLDER = "kernel/net/bridge"
_SUFFIXES = ("", ".zst", ".xz", ".gz")


@dataclass(frozen=True, slots=True)
class ModuleLine:
    """A line about a module, and where it stands (`file:line`, or `/proc/cmdline`)."""

    where: str
    text: str


@dataclass(frozen=True)
class BrNetfilter:
    """The module that passes bridged packets to iptables.

    `at_boot` is the line that loads it at boot, None when nothing does. `blocked` are lines of modprobe.d that keep it from being
    loaded. `unread` says what could not be looked at.
    """

    state: ModuleState
    release: str
    evidence: str
    at_boot: ModuleLine | None = None
    blocked: tuple[ModuleLine, ...] = ()
    boot: BootFiles = field(default_factory=BootFiles)
    unread: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether the kernel has it now."""
        return self.state in ("loaded", "built-in")

    @property
    def after_boot(self) -> bool:
        """Whether the kernel will have it after a boot: built in, or listed and not blocked."""
        return self.state == "built-in" or (self.at_boot is not None and not self.blocked)

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Look at /proc, at the files of the running kernel, and at what is loaded at boot."""
        release = host.identity()["kernel"]
        state, evidence = _state(host, release)
        boot = BootFiles.gather(host, "modules-load.d")
        lines = [
            ModuleLine(f"{file.path}:{number}", line)
            for file in boot.files
            for number, line in file.lines()
            if line.replace("-", "_") == BR_NETFILTER
        ]
        lines += _command_line(host)
        blocks, unread = _blocks(host)
        return cls(state, release, evidence, next(iter(lines), None), blocks, boot, (*boot.unread, *unread))


def _state(host: Host, release: str) -> tuple[ModuleState, str]:
    # Absent on a kernel without loadable modules, and empty where all are built in.
    loaded = {line.split(" ")[0] for line in (host.read_optional("/proc/modules") or "").splitlines()}
    if BR_NETFILTER in loaded:
        return "loaded", "/proc/modules lists br_netfilter"
    if host.exists(_BRIDGE_SWITCH):
        return "built-in", f"{_BRIDGE_SWITCH} exists and /proc/modules does not list br_netfilter"
    folder = f"/lib/modules/{release}"
    if not host.exists(folder):
        return "kernel-gone", f"{folder} does not exist"
    names = [f"{folder}/{_FOLDER}/br_netfilter.ko{suffix}" for suffix in _SUFFIXES]
    here = next((name for name in names if host.exists(name)), None)
    if here is not None:
        return "loadable", f"{here} exists and /proc/modules does not list br_netfilter"
    # A distribution may keep modules elsewhere, and then this index knows; it is long, so it is asked last.
    index = host.read_optional(f"{folder}/modules.dep") or ""
    for line in index.splitlines():
        path = line.partition(":")[0]
        if path.rpartition("/")[2].partition(".")[0].replace("-", "_") == BR_NETFILTER:
            return "loadable", f"{folder}/modules.dep names {path} and /proc/modules does not list br_netfilter"
    return "absent", f"{folder} holds no br_netfilter"


def _command_line(host: Host) -> list[ModuleLine]:
    """What `modules_load=` on the kernel's command line asks for; a dash is as good as an underscore there."""
    try:
        words = shlex.split(host.read_optional("/proc/cmdline") or "")
    except (HostError, ValueError):  # a quote that does not end; or a container that hides it
        return []
    return [
        ModuleLine("/proc/cmdline", word)
        for word in words
        if word.partition("=")[0].replace("-", "_") == "modules_load"
        and BR_NETFILTER in word.partition("=")[2].replace("-", "_").split(",")
    ]


def _blocks(host: Host) -> tuple[tuple[ModuleLine, ...], tuple[str, ...]]:
    """Lines `blacklist br_netfilter` (systemd-modules-load honours it) and `install br_netfilter /bin/false` of modprobe.d(5)."""
    found: list[ModuleLine] = []
    files = BootFiles.gather(host, "modprobe.d")
    for file in files.files:
        for number, line in file.lines():
            words = line.split()
            if len(words) > 1 and words[0] in ("blacklist", "install") and words[1].replace("-", "_") == BR_NETFILTER:
                found.append(ModuleLine(f"{file.path}:{number}", line))
    return tuple(found), files.unread
