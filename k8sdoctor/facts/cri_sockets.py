"""The sockets of container runtimes that kubeadm looks for, and the one that was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

KNOWN = (
    "/var/run/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
)
"""Where kubeadm looks (kubernetes `cmd/kubeadm/app/constants/constants_unix.go`)."""


@dataclass(frozen=True, slots=True)
class CriSockets:
    """`there` are the known sockets that exist, by kubeadm's names. `planned` is the path of the planned one, None when none was.

    `planned_is` says what is at that path: `socket`, `absent`, or another kind of file.
    """

    there: tuple[str, ...] = ()
    planned: str | None = None
    planned_is: str | None = None

    @classmethod
    def observe(cls, host: Host, kubeadm: KubeadmConfig) -> Self:
        """Look at each. Raises NotPermitted, Unreadable."""
        there = tuple(path for path in KNOWN if _kind(host, path) == "socket")
        path = (kubeadm.cri_socket or "").removeprefix("unix://")
        if not path.startswith("/"):
            return cls(there)
        return cls(there, path, _kind(host, path))


def _kind(host: Host, path: str) -> str:
    try:
        return host.stat(path)["kind"]
    except HostError as error:
        if error.reason == "NotFound":
            return "absent"
        raise
