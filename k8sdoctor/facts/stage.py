"""How far this machine has come on its way to being a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts.brought_runtimes import DISTRIBUTIONS
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

StageName: TypeAlias = Literal["bare", "prepared", "worker", "control-plane", "unknown"]

KUBELET_KUBECONFIG = "/etc/kubernetes/kubelet.conf"
API_SERVER_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"

# A runtime or a kubelet on the machine makes it `prepared`: the sockets, and the programs where packages put them.
_PREPARED = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
    *(
        f"{folder}/{program}"
        for folder in ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/bin")
        for program in ("kubelet", "containerd", "crio", "cri-dockerd", "dockerd")
    ),
)
_LATER = tuple(path for path in DISTRIBUTIONS if path not in _PREPARED)
"""Sockets at which older recordings had no look."""


@dataclass(frozen=True)
class Stage:
    """`bare` (nothing installed), `prepared` (a runtime or kubelet is there), `worker`, `control-plane`, or `unknown`.

    `why` says what it rests on.
    """

    stage: StageName
    why: str

    @property
    def joined(self) -> bool:
        """Whether the machine is a node of a cluster."""
        return self.stage in ("worker", "control-plane")

    @property
    def fresh(self) -> bool:
        """Whether the machine is surely no node yet."""
        return self.stage in ("bare", "prepared")

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Look which of kubeadm's files and of a node's programs are there. What may not be looked at makes it `unknown`."""
        try:
            if host.exists(KUBELET_KUBECONFIG):
                if host.exists(API_SERVER_MANIFEST):
                    return cls("control-plane", f"{API_SERVER_MANIFEST} is there")
                return cls("worker", f"{KUBELET_KUBECONFIG} is there and {API_SERVER_MANIFEST} is not")
            for path in (*_PREPARED, *_LATER):
                if _is_there(host, path):
                    return cls("prepared", f"{path} is there and {KUBELET_KUBECONFIG} is not")
        except HostError as error:
            return cls("unknown", error.message)
        return cls("bare", "neither a kubelet nor a container runtime is installed")


def _is_there(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except HostError as error:
        if error.reason == "NotRecorded" and path in _LATER:
            return False
        raise
