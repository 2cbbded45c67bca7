"""What this machine is, or is to become, in a cluster that kubeadm makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import KUBELET_KUBECONFIG, Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

RoleName: TypeAlias = Literal["control-plane", "worker", "undecided", "other", "unknown"]

# k3s, RKE2, k0s, MicroK8s and MicroShift run components of their own, and kubeadm has no part in them.
DISTRIBUTIONS = ("k3s", "k3s-server", "k3s-agent", "rke2", "k0s", "kubelite", "microshift")
THEIR_FOLDERS = ("/var/lib/rancher/", "/var/lib/k0s/", "/snap/microk8s/", "/var/snap/microk8s/", "/var/lib/microshift/")


@dataclass(frozen=True, slots=True)
class Role:
    """`undecided` is a machine that is no node yet and for which nothing is planned; `other` one of another distribution, or of nobody's we know.

    `joined` is true for a node of a cluster. `planned` names the configuration that decided, None where none did. `why` is a clause
    that says what the role rests on.
    """

    name: RoleName
    why: str
    joined: bool = False
    planned: str | None = None

    @property
    def known(self) -> bool:
        """Whether kubeadm will have, or has had, to do with this machine."""
        return self.name in ("control-plane", "worker", "undecided")

    @classmethod
    def observe(cls, host: Host, stage: Stage, kubeadm: KubeadmConfig, processes: Processes | Unobserved) -> Self:
        """From the stage, from what is planned, and from what runs. Never raises."""
        if stage.joined:
            return cls("control-plane" if stage.stage == "control-plane" else "worker", stage.why, joined=True)
        if stage.stage == "unknown":
            return cls("unknown", stage.why)
        running = _own(host, processes) if isinstance(processes, Processes) else Processes(())
        if other := _other(running):
            return cls("other", f"{other} runs here")
        if kubeadm.source is not None and kubeadm.problem is None:
            worker = kubeadm.joins and not kubeadm.addons.control_plane
            return cls("worker" if worker else "control-plane", f"{kubeadm.source} plans it", planned=kubeadm.source)
        if (pid := _foreign_kubelet(running)) is not None:
            return cls("other", f"a kubelet runs here (pid {pid}), and not kubeadm's: {stage.why}")
        return cls("undecided", "nothing is planned for it")


def _own(host: Host, processes: Processes) -> Processes:
    """The components that run on the machine itself: those of kind or k3d are seen here, too, and are of nodes in containers."""
    outside = _cgroup(host, 1)
    found = processes.named("kubelet", "kube-apiserver", *DISTRIBUTIONS)
    words = [
        word for word in ("docker", "libpod", "kubepods") if word not in outside
    ]  # a node may be a container itself
    return Processes(tuple(each for each in found if not any(word in _cgroup(host, each["pid"]) for word in words)))


def _cgroup(host: Host, pid: int) -> str:
    try:
        return host.read(f"/proc/{pid}/cgroup")
    except HostError:
        return ""


def _foreign_kubelet(processes: Processes) -> int | None:
    """A kubelet that was told where to belong, and not by kubeadm's unit: of a managed cluster, or one that runs static pods alone.

    kubeadm's own starts every ten seconds, and ends, until kubeadm has written its configuration.
    """
    for process in processes.named("kubelet"):
        options = process["cmdline"][1:]
        if options and not any(KUBELET_KUBECONFIG in word for word in options):
            return process["pid"]
    return None


def _other(processes: Processes) -> str | None:
    for process in processes.named(*DISTRIBUTIONS):
        return process["name"] or process["cmdline"][0]
    for process in processes.named("kubelet", "kube-apiserver"):
        if any(folder in word for word in process["cmdline"] for folder in THEIR_FOLDERS):
            return f"{process['name']} of another distribution"
    return None
