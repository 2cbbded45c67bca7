"""What a machine is to become."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.kubeadm import KubeadmAddons, KubeadmConfig
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.role import Role, RoleName
from k8sdoctor.facts.stage import Stage
from k8sdoctor.host.base import Process
from k8sdoctor.testing import FakeHost

NOTHING = KubeadmConfig()
INIT = KubeadmConfig(source="--config k.yaml")
WORKER = KubeadmConfig(source="--config k.yaml", joins=True)
MEMBER = KubeadmConfig(source="--config k.yaml", joins=True, addons=KubeadmAddons(control_plane=True))
BROKEN = KubeadmConfig(source="--config k.yaml", problem="no YAML")


def running(name: str, *words: str) -> Processes:
    return Processes((Process(pid=7, ppid=1, name=name, cmdline=[name, *words]),))


@pytest.mark.parametrize(
    ("stage", "config", "processes", "name"),
    [
        (Stage("worker", "w"), INIT, Processes(()), "worker"),
        (Stage("control-plane", "w"), WORKER, running("kubelet"), "control-plane"),
        (Stage("prepared", "w"), NOTHING, Processes(()), "undecided"),
        (Stage("prepared", "w"), BROKEN, Processes(()), "undecided"),
        (Stage("bare", "w"), INIT, Processes(()), "control-plane"),
        (Stage("bare", "w"), WORKER, Processes(()), "worker"),
        (Stage("bare", "w"), MEMBER, Processes(()), "control-plane"),
        (Stage("prepared", "w"), INIT, running("k3s-server"), "other"),
        (Stage("prepared", "w"), INIT, running("kubelet", "--root-dir=/var/lib/k0s/kubelet"), "other"),
        # A node of another maker's, such as EKS or OpenShift, whose kubelet has its kubeconfig elsewhere.
        (Stage("prepared", "w"), NOTHING, running("kubelet", "--kubeconfig=/var/lib/kubelet/kubeconfig"), "other"),
        (Stage("prepared", "w"), INIT, running("kubelet"), "control-plane"),
        # kubeadm's, which waits for kubeadm to write its configuration.
        (Stage("prepared", "w"), NOTHING, running("kubelet", "--kubeconfig=/etc/kubernetes/kubelet.conf"), "undecided"),
        (Stage("prepared", "w"), NOTHING, running("kubelet"), "undecided"),
        (Stage("unknown", "Permission denied"), INIT, Processes(()), "unknown"),
    ],
)
def test_what_runs_and_what_is_planned_decide(
    stage: Stage, config: KubeadmConfig, processes: Processes, name: RoleName
) -> None:
    role = Role.observe(FakeHost(), stage, config, processes)

    assert role.name == name
    assert role.joined == stage.joined
    assert role.planned == ("--config k.yaml" if "plans it" in role.why else None)
