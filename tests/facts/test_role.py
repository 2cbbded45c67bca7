"""What a machine is to become."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.kubeadm import KubeadmAddons, KubeadmConfig
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.role import Role, RoleName
from k8sdoctor.facts.stage import Stage
from k8sdoctor.host.answers import Process
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


@pytest.mark.parametrize(
    ("own", "init", "name"),
    [
        ("0::/system.slice/k3s.service\n", "0::/init.scope\n", "other"),
        ("0::/system.slice/docker-4f.scope/init\n", "0::/init.scope\n", "undecided"),
        ("0::/machine.slice/libpod-4f.scope\n", "0::/init.scope\n", "undecided"),
        ("1:cpu:/docker/4f/k3s\n", "1:cpu:/docker/4f\n", "other"),  # the node is a container itself
    ],
)
def test_what_runs_in_a_container_is_another_node_than_this_machine(own: str, init: str, name: RoleName) -> None:
    host = FakeHost({"/proc/7/cgroup": own, "/proc/1/cgroup": init})

    role = Role.observe(host, Stage("prepared", "w"), NOTHING, running("k3s-server"))

    assert role.name == name
