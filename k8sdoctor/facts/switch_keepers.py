"""Programs that set the kernel's switches again whenever they start, so that no file needs to."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions
from k8sdoctor.facts.processes import Processes, flag, program
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Process

# They load br_netfilter and set forwarding and the bridge switches: k3s `pkg/agent/syssetup/setup.go` (rke2 embeds it), k0s
# `pkg/component/worker/kernelsetup_linux.go`.
_DISTRIBUTIONS = ("k3s", "k3s-server", "k3s-agent", "rke2", "k0s")

_NO = ("false", "0", "f")
_YES = ("yes", "true", "on", "1", "y", "t")  # systemd's parse_boolean


@dataclass(frozen=True, slots=True)
class SwitchKeepers:
    """The running program that keeps a switch on, by name; None where there is none."""

    bridge: str | None = None
    forwarding: str | None = None

    @classmethod
    def observe(cls, host: Host, processes: Processes) -> Self:
        """Look for them among the processes, and for Docker and systemd-networkd in their files."""
        distribution = next((_name(process) for process in processes.named(*_DISTRIBUTIONS)), None)
        docker = next((_name(process) for process in processes.named("dockerd") if _forwards(host, process)), None)
        networkd = _networkd(host) if processes.named("systemd-networkd") else None
        return cls(distribution or _kube_router(processes), distribution or docker or networkd)


def _kube_router(processes: Processes) -> str | None:
    """kube-router's routing half, which loads br_netfilter and sets the bridge switches (`pkg/controllers/routing/network_routes_controller.go`)."""
    routing = (
        process
        for process in processes.named("kube-router")
        if (flag(process["cmdline"], "--run-router") or "").lower() not in _NO
    )
    return next(map(_name, routing), None)


# -- dockerd -----------------------------------------------------------------------------------------------------------

_DRIVER_FORWARDS_BELOW = (28, 0, 0)


def _forwards(host: Host, process: Process) -> bool:
    """Whether a dockerd turns IPv4 forwarding on at its start (moby `daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go`).

    It may be told not to, with nftables it only looks, and since 28.0 it is a network that does it, no longer the driver
    (`bridge_linux.go`), which takes the default bridge.
    """
    words = process["cmdline"]
    try:
        text = host.read_optional(flag(words, "--config-file") or "/etc/docker/daemon.json")
        config = json.loads(text) if text and text.strip() else {}
    except (HostError, ValueError, RecursionError):
        return False  # what it was told is not known
    if not isinstance(config, dict):
        return False
    told = flag(words, "--ip-forward")
    if config.get("ip-forward") is False or (told is not None and told.lower() in _NO):
        return False
    if "nftables" in (config.get("firewall-backend"), flag(words, "--firewall-backend")):
        return False
    if "none" in (config.get("bridge"), flag(words, "--bridge", "-b")):
        version = _version(host, words[0], "--version")
        return version is not None and version < _DRIVER_FORWARDS_BELOW
    return True


def _version(host: Host, *command: str) -> versions.Version | None:
    try:
        return versions.parse(host.run(*command)["out"])
    except HostError:
        return None


# -- systemd-networkd --------------------------------------------------------------------------------------------------

# IPForward= of a .network file is ignored since 256, and IPv4Forwarding= there is for one link alone; for all it stands in networkd.conf
# (systemd.network(5), networkd.conf(5); `src/network/networkd-sysctl.c`: manager_set_ip_forwarding, before 256 link_set_ipv4_forward).
_PER_LINK_SINCE = 256
_OF_A_LINK = regex(
    r"^[ \t]*(IPForward[ \t]*=[ \t]*(yes|true|on|1|y|t|both|ipv4)|IPMasquerade[ \t]*=[ \t]*(yes|true|on|1|y|t|both|ipv4))[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_OF_ALL = regex(r"^[ \t]*IPv4Forwarding[ \t]*=[ \t]*(\w*)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
_LINKS = "/run/systemd/netif/links"


def _networkd(host: Host) -> str | None:
    """systemd-networkd, where a file that it goes by asks for IPv4 forwarding of the whole node."""
    release = _systemd(host)
    asking = _asked_for_all(host) if release is None or release >= _PER_LINK_SINCE else None
    if asking is None and (release is None or release < _PER_LINK_SINCE):
        asking = next((path for path in _link_files(host) if _OF_A_LINK.search(_text(host, path))), None)
    return f"systemd-networkd ({asking})" if asking else None


def _systemd(host: Host) -> int | None:
    """Systemd's release; None when it does not say."""
    try:
        match = re.match(r"systemd (\d{1,9})\b", host.run("systemctl", "--version")["out"])
    except HostError:
        return None
    return int(match[1]) if match else None


def _asked_for_all(host: Host) -> str | None:
    """The file whose IPv4Forwarding= counts, where that is yes: the last of networkd.conf and its drop-ins in the order of their names."""
    main = next((path for path in (f"{folder}/networkd.conf" for folder in _FOLDERS) if _text(host, path)), None)
    drop_ins: dict[str, str] = {}
    for folder in _FOLDERS:
        for name in _names(host, f"{folder}/networkd.conf.d"):
            if name.endswith(".conf"):
                drop_ins.setdefault(name, f"{folder}/networkd.conf.d/{name}")
    asking = None
    for path in (*([main] if main else []), *(drop_ins[name] for name in sorted(drop_ins))):
        for word in _OF_ALL.findall(_text(host, path)):
            asking = path if word.lower() in _YES else None
    return asking


def _link_files(host: Host) -> Iterator[str]:
    """The .network files that networkd applies to the links that are there, with their drop-ins.

    Others do nothing: systemd itself brings some that ask for masquerading, for containers that most nodes do not have.
    """
    for name in _names(host, _LINKS):
        state = dict(line.partition("=")[::2] for line in _text(host, f"{_LINKS}/{name}").splitlines())
        for path in (state.get("NETWORK_FILE", ""), *state.get("NETWORK_FILE_DROPINS", "").strip('"').split(":")):
            if path:
                yield path


def _names(host: Host, folder: str) -> list[str]:
    try:
        return [entry["name"] for entry in host.listdir_optional(folder)]
    except HostError:
        return []


def _text(host: Host, path: str) -> str:
    """A file's text; empty where it is not ours to read, and then it does not speak for forwarding."""
    try:
        return host.read_optional(path) or ""
    except HostError:
        return ""


def _name(process: Process) -> str:
    return program(process) or process["name"]
