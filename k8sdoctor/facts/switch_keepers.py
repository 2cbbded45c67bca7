"""Programs that set the kernel's switches again whenever they start, so that no file needs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.processes import Processes, flag, program
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.base import Process

# Both load br_netfilter and set forwarding and the bridge switches: k3s `pkg/agent/syssetup/setup.go` (rke2 embeds it), k0s
# `pkg/kernelsetup/kernelsetup_linux.go`.
_DISTRIBUTIONS = ("k3s", "k3s-server", "k3s-agent", "rke2", "k0s")


@dataclass(frozen=True, slots=True)
class SwitchKeepers:
    """The running program that keeps a switch on, by name; None where there is none."""

    bridge: str | None = None
    forwarding: str | None = None

    @classmethod
    def observe(cls, host: Host, processes: Processes) -> Self:
        """Look for them among the processes, and for systemd-networkd in its files."""
        distribution = next((_name(process) for process in processes.named(*_DISTRIBUTIONS)), None)
        # dockerd turns IPv4 forwarding on at its start (moby `daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go`).
        docker = next(
            (
                _name(process)
                for process in processes.named("dockerd")
                if flag(process["cmdline"], "--ip-forward") != "false"
            ),
            None,
        )
        networkd = _networkd(host) if processes.named("systemd-networkd") else None
        return cls(distribution, distribution or docker or networkd)


# systemd.network(5), networkd.conf(5): IPForward= until 255, IPv4Forwarding= since 256; masquerading turns it on as well.
_NETWORKD = re.compile(
    r"^[ \t]*(IPForward[ \t]*=[ \t]*(yes|true|on|1|ipv4)|IPv4Forwarding[ \t]*=[ \t]*(yes|true|on|1)"
    r"|IPMasquerade[ \t]*=[ \t]*(yes|true|on|1|ipv4|both))[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)


def _networkd(host: Host) -> str | None:
    """systemd-networkd, where a file of it asks for IPv4 forwarding."""
    paths = ["/etc/systemd/networkd.conf"]
    for parent in ("/etc", "/run", "/usr/lib"):
        for folder, suffix in (("network", ".network"), ("networkd.conf.d", ".conf")):
            path = f"{parent}/systemd/{folder}"
            try:
                paths += [
                    f"{path}/{entry['name']}" for entry in host.listdir_optional(path) if entry["name"].endswith(suffix)
                ]
            except HostError:
                continue
    for path in paths:
        try:
            text = host.read_optional(path)
        except HostError:  # not ours to read, or no text: then it does not speak for forwarding
            continue
        if text and _NETWORKD.search(text):
            return f"systemd-networkd ({path})"
    return None


def _name(process: Process) -> str:
    return program(process) or process["name"]
