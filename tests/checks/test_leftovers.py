"""leftovers: files, links and processes of a machine in, findings out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.leftovers import leftovers
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.facts.leftovers import Leftovers
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.role import Role
from k8sdoctor.facts.sandboxes import PodSandboxes, Sandbox
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import Netlink, Process
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFESTS = "/etc/kubernetes/manifests"
INIT = "kind: InitConfiguration\n---\nkind: ClusterConfiguration\n"
ELSEWHERE = f"{INIT}etcd: {{local: {{dataDir: /data/etcd}}}}\n"
EXTERNAL = f"{INIT}etcd: {{external: {{endpoints: ['https://10.0.0.9:2379']}}}}\n"
WORKER = "kind: JoinConfiguration\n"
MEMBER = "kind: JoinConfiguration\ncontrolPlane: {}\n"

SILENT = Unobserved("RuntimeUnreachable", "the runtime does not answer")
ETCD = Process(pid=7, ppid=1, name="etcd", cmdline=["/usr/bin/etcd"])
FRESH = Stage("prepared", "no kubelet.conf")


def judge(
    files: Mapping[str, str] | None = None,
    plan: str | None = None,
    *,
    stage: Stage = FRESH,
    links: tuple[str, ...] = (),
    processes: tuple[Process, ...] = (),
    pods: PodSandboxes | Unobserved = SILENT,
    denied: tuple[str, ...] = (),
) -> list[Finding]:
    config = KubeadmConfig.parse(plan, "--config k.yaml") if plan else KubeadmConfig()
    documents = KubeadmDocuments.parse(plan, "k.yaml") if plan else KubeadmDocuments()
    host = FakeHost(files, denied=denied)
    role = Role.observe(host, stage, config, Processes(processes))
    network = NodeNetwork(tuple(Netlink(index=number, name=name) for number, name in enumerate(links)))
    found = Leftovers.observe(host, role, documents, network, Processes(processes), pods)
    return list(leftovers(found, role, config))


@pytest.mark.parametrize("plan", [None, INIT, EXTERNAL, WORKER, MEMBER])
def test_a_clean_machine_is_healthy(plan: str | None) -> None:
    [finding] = judge({"/var/lib/etcd/": "", f"{MANIFESTS}/": "", "/etc/cni/net.d/10-crio.conflist": "{}"}, plan)

    assert (finding.status, finding.reason) == (Status.PASS, "NothingLeft")


@pytest.mark.parametrize(("plan", "status"), [(INIT, Status.FAIL), (MEMBER, Status.FAIL), (None, Status.WARN)])
def test_manifests_of_an_earlier_control_plane_are_one_finding(plan: str | None, status: Status) -> None:
    [finding] = judge({f"{MANIFESTS}/kube-apiserver.yaml": "", f"{MANIFESTS}/kube-scheduler.yaml": ""}, plan)

    assert (finding.status, finding.reason, finding.subject) == (status, "FilesLeft", "/etc/kubernetes")
    assert f"{MANIFESTS}/kube-apiserver.yaml and {MANIFESTS}/kube-scheduler.yaml are there" in finding.message
    assert finding.traits == {
        "kubeadm:FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
        "kubeadm:FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
    }
    assert finding.fix is not None
    assert finding.fix.commands == ("kubeadm reset",)


def test_a_worker_may_have_manifests_of_its_own() -> None:
    [finding] = judge({f"{MANIFESTS}/kube-apiserver.yaml": "", "/var/lib/etcd/member": ""}, WORKER)

    assert finding.reason == "NothingLeft"


@pytest.mark.parametrize(
    ("plan", "reason"), [(WORKER, "FilesLeft"), (MEMBER, "FilesLeft"), (None, "FilesLeft"), (INIT, "NothingLeft")]
)
def test_a_bootstrap_kubeconfig_is_in_the_way_of_a_join(plan: str | None, reason: str) -> None:
    [finding] = judge({"/etc/kubernetes/bootstrap-kubelet.conf": ""}, plan)

    assert finding.reason == reason


@pytest.mark.parametrize(
    ("plan", "reason"), [(WORKER, "FilesLeft"), (MEMBER, "NothingLeft"), (None, "NothingLeft"), (INIT, "NothingLeft")]
)
def test_a_ca_certificate_is_in_the_way_of_a_worker_alone(plan: str | None, reason: str) -> None:
    [finding] = judge({"/etc/kubernetes/pki/ca.crt": ""}, plan)

    assert finding.reason == reason
    if reason == "FilesLeft":
        assert finding.fix is not None
        assert finding.fix.commands[0].startswith("mv -nT /etc/kubernetes/pki/ca.crt ")


def test_the_ca_certificate_is_looked_for_where_the_configuration_wants_it() -> None:
    [here] = judge({"/srv/ca.crt": ""}, f"{WORKER}caCertPath: /srv/ca.crt\n")
    [there] = judge({"/etc/kubernetes/pki/ca.crt": ""}, f"{WORKER}caCertPath: /srv/ca.crt\n")

    assert (here.subject, there.reason) == ("/srv/ca.crt", "NothingLeft")


@pytest.mark.parametrize(
    ("folder", "plan", "status"),
    [
        ("/var/lib/etcd", INIT, Status.FAIL),
        ("/var/lib/etcd", None, Status.WARN),
        ("/var/lib/etcd", MEMBER, Status.WARN),  # the cluster says where its etcd is
        ("/data/etcd", ELSEWHERE, Status.FAIL),
        ("/var/lib/etcd", ELSEWHERE, Status.PASS),
        ("/var/lib/etcd", EXTERNAL, Status.PASS),
    ],
)
def test_data_of_an_earlier_etcd_is_in_the_way_where_an_etcd_will_run(
    folder: str, plan: str | None, status: Status
) -> None:
    [finding] = judge({f"{folder}/member/wal/0.wal": ""}, plan)

    assert finding.status is status
    assert finding.reason == ("NothingLeft" if status is Status.PASS else "EtcdFolderNotEmpty")
    if status is not Status.PASS:
        assert finding.subject == folder
        assert finding.traits == {f"kubeadm:DirAvailable-{folder.replace('/', '-')}"}


def test_data_of_an_etcd_that_runs_is_nobodys_leftover_until_a_control_plane_is_planned_on_it() -> None:
    files = {"/var/lib/etcd/member/wal/0.wal": ""}

    [alone] = judge(files, processes=(ETCD,))
    [planned] = judge(files, INIT, processes=(ETCD,))

    assert (alone.reason, planned.reason) == ("NothingLeft", "EtcdFolderNotEmpty")
    assert "pid 7" in planned.message


def test_a_mounted_file_system_for_etcd_is_told_from_data() -> None:
    [finding] = judge({"/var/lib/etcd/lost+found/": ""}, INIT)

    assert (finding.status, finding.reason) == (Status.FAIL, "EtcdFolderIsMount")
    assert finding.fix is not None
    assert "dataDir: /var/lib/etcd/data" in finding.fix.title


def test_the_pasted_line_moves_data_aside_and_never_over_something(tmp_path: Path) -> None:
    folder = tmp_path / "etcd's"
    (folder / "member").mkdir(parents=True)
    [finding] = judge({f"{folder}/member/x": ""}, f'{INIT}etcd: {{local: {{dataDir: "{folder}"}}}}\n')

    assert finding.fix is not None
    subprocess.run(["sh", "-c", finding.fix.commands[0]], check=True)

    assert not folder.exists()
    [moved] = tmp_path.iterdir()
    assert (moved / "member").is_dir()


def test_interfaces_of_an_earlier_pod_network_are_told_while_no_pod_runs() -> None:
    idle, busy = PodSandboxes((Sandbox("1", "a", "b", ready=False),)), PodSandboxes((Sandbox("1", "a", "b"),))

    [finding] = judge(links=("lo", "eth0", "cni0", "kube-ipvs0"), pods=idle)
    [other] = judge(links=("lo", "eth0", "docker0", "br-1"), pods=idle)
    [in_use] = judge(links=("cni0",), pods=busy)

    assert (finding.status, finding.reason) == (Status.WARN, "InterfacesLeft")
    assert finding.fix is not None
    assert finding.fix.commands == ("ip link delete cni0", "ip link delete kube-ipvs0")
    assert (other.reason, in_use.reason) == ("NothingLeft", "NothingLeft")


def test_one_installation_left_it_all() -> None:
    files, *rest = judge({f"{MANIFESTS}/etcd.yaml": "", "/var/lib/etcd/member": ""}, INIT, links=("cni0",))

    assert {link.reason for link in files.explains} == {each.reason for each in rest}


def test_a_node_and_a_machine_of_another_distribution_are_not_judged() -> None:
    files = {f"{MANIFESTS}/kube-apiserver.yaml": ""}

    [node] = judge(files, INIT, stage=Stage("control-plane", "it is there"))
    [other] = judge(files, processes=(Process(pid=3, ppid=1, name="k3s-server", cmdline=["k3s"]),), links=("cni0",))
    [hidden] = judge(files, stage=Stage("unknown", "Permission denied"))

    assert (node.status, node.reason) == (Status.SKIP, "Joined")
    assert (other.status, other.reason) == (Status.SKIP, "OtherInstallation")
    assert (hidden.status, hidden.reason) == (Status.UNKNOWN, "NotPermitted")


def test_a_place_that_may_not_be_looked_at_is_unknown() -> None:
    [finding] = judge({"/var/lib/etcd/member": ""}, INIT, denied=("/var/lib/etcd",))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
    assert "/var/lib/etcd" in finding.message


def test_a_folder_that_is_no_absolute_path_is_not_asked_for() -> None:
    [finding] = judge({}, f"{INIT}etcd: {{local: {{dataDir: relative}}}}\n", denied=("relative",))

    assert finding.reason == "NothingLeft"
