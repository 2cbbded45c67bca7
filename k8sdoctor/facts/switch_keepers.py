"""Programs that set the kernel's switches again whenever they start, so that no file needs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.processes import Processes, flag, program

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
    def observe(cls, host: Host, processes: Processes) -> Self:  # noqa: ARG003 -- the processes are all that it takes
        """Look for them among the processes."""
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
        return cls(distribution, distribution or docker)


def _name(process: Process) -> str:
    return program(process) or process["name"]
