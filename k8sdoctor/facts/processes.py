"""The processes of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Process


@dataclass(frozen=True)
class Processes:
    """Every process of the node's pid namespace, by pid."""

    all: tuple[Process, ...]

    def named(self, *names: str) -> tuple[Process, ...]:
        """The processes whose program has one of these names, oldest pid first.

        The kernel cuts `name` at 15 characters, so the command line's first word counts as well.
        """
        return tuple(process for process in self.all if process["name"] in names or program(process) in names)

    @classmethod
    def observe(cls, host: Host) -> Self:
        """List them. Raises Unreadable without /proc."""
        return cls(tuple(host.processes()))


def of_the_node(host: Host, found: Iterable[Process]) -> tuple[Process, ...]:
    """Those that no pod runs: a hosted control plane, or an application's own etcd, is not this node's, although the node sees its processes.

    The kubelet puts every pod below `kubepods` (kubernetes `pkg/kubelet/cm/node_container_manager_linux.go`). Whose control group cannot be read stays.
    """

    def in_pod(process: Process) -> bool:
        try:
            return "kubepods" in host.read(f"/proc/{process['pid']}/cgroup")
        except HostError:
            return False

    return tuple(process for process in found if not in_pod(process))


def program(process: Process) -> str:
    """The base name of the command line's first word; empty for a kernel thread."""
    return process["cmdline"][0].rpartition("/")[2] if process["cmdline"] else ""


def flag(cmdline: tuple[str, ...] | list[str], *names: str) -> str | None:
    """The value of a command-line flag, `--name=value` or `--name value`; None when it is not there. The last one wins."""
    found = None
    for position, word in enumerate(cmdline):
        name, sign, value = word.partition("=")
        if name in names:
            following = cmdline[position + 1] if position + 1 < len(cmdline) else ""
            found = value if sign else following
    return found
