"""version-skew: versions in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.version_skew import version_skew
from k8sdoctor.facts import versions
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.api_version import ApiVersion
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Json

NODE = Role("worker", "kubelet.conf is there", joined=True)
UNDECIDED = Role("undecided", "nothing is planned for it")
CONTROL_PLANE = Role("control-plane", "--config k.yaml plans it", planned="--config k.yaml")
WORKER = Role("worker", "--config k.yaml plans it", planned="--config k.yaml")
SILENT = Unobserved("NotFound", "there is no kubeconfig here")
DEBIAN = Distribution("debian", (), "Debian", "debian")


def judge(
    kubelet: str | None,
    *,
    server: str | Unobserved = SILENT,
    kubeadm: str | None = None,
    planned: KubeadmConfig | None = None,
    role: Role = NODE,
) -> Finding:
    program = Kubelet.observe(FakeHost(), Processes(()))
    own = replace(program, version=versions.parse(kubelet) if kubelet else None)
    api = server if isinstance(server, Unobserved) else ApiVersion(versions.parse(server) or (0, 0, 0), server)
    binary = KubeadmBinary(versions.parse(kubeadm) if kubeadm else None)
    [finding] = version_skew(role, own, api, binary, planned or KubeadmConfig(), DEBIAN)
    return finding


@pytest.mark.parametrize(
    ("kubelet", "server", "status", "reason"),
    [
        ("1.36.2", "v1.36.0", Status.PASS, "VersionsFit"),
        ("1.33.9", "v1.36.2", Status.PASS, "VersionsFit"),
        ("1.32.9", "v1.36.2", Status.WARN, "KubeletTooOld"),
        ("1.25.3", "v1.28.1", Status.PASS, "VersionsFit"),
        ("1.24.3", "v1.27.1", Status.WARN, "KubeletTooOld"),
        ("1.25.3", "v1.27.1-eks-1", Status.PASS, "VersionsFit"),
        ("1.37.0", "v1.36.2", Status.WARN, "KubeletNewer"),
    ],
)
def test_a_node_is_held_against_its_api_server(kubelet: str, server: str, status: Status, reason: str) -> None:
    finding = judge(kubelet, server=server, kubeadm="1.30.0")

    assert (finding.status, finding.reason) == (status, reason)
    assert kubelet in finding.message
    assert server in finding.message


@pytest.mark.parametrize(
    ("role", "joins", "status"),
    [(CONTROL_PLANE, False, Status.FAIL), (CONTROL_PLANE, True, Status.WARN), (WORKER, True, Status.WARN)],
)
def test_before_a_machine_joins_a_newer_kubelet_fails_where_the_version_is_sure(
    role: Role, status: Status, *, joins: bool
) -> None:
    planned = KubeadmConfig(source="--config k.yaml", kubernetes_version=None if joins else "v1.35.1", joins=joins)

    finding = judge("1.36.2", kubeadm="1.35.1", planned=planned, role=role)

    assert (finding.status, finding.reason) == (status, "KubeletNewer")


def test_kubeadm_installs_its_own_version_unless_it_is_told_another() -> None:
    alone = judge("1.36.2", kubeadm="1.35.1", role=UNDECIDED)
    told = judge(
        "1.36.2", kubeadm="1.35.1", planned=KubeadmConfig(source="c", kubernetes_version="v1.36.2"), role=UNDECIDED
    )
    old = judge("1.31.0", kubeadm="1.35.1", role=UNDECIDED)

    assert (alone.status, alone.reason) == (Status.FAIL, "KubeletNewer")
    assert "kubeadm is 1.35.1" in alone.message
    assert told.reason == "VersionsFit"
    assert (old.status, old.reason) == (Status.FAIL, "KubeletTooOld")


def test_a_cluster_that_can_be_asked_counts_before_the_machine_has_joined() -> None:
    finding = judge("1.36.2", server="v1.36.1", kubeadm="1.35.1", role=WORKER)

    assert finding.reason == "VersionsFit"


@pytest.mark.parametrize(
    ("kubelet", "role", "reason"),
    [
        (None, NODE, "NothingToCompare"),
        ("1.36.2", UNDECIDED, "NothingToCompare"),
        ("1.36.2", Role("other", "k3s runs here"), "OtherInstallation"),
    ],
)
def test_where_there_is_nothing_to_compare_nothing_is_judged(kubelet: str | None, role: Role, reason: str) -> None:
    finding = judge(kubelet, role=role)

    assert (finding.status, finding.reason) == (Status.SKIP, reason)


@pytest.mark.parametrize(("reason", "status"), [("NotPermitted", Status.UNKNOWN), ("Offline", Status.SKIP)])
def test_an_api_server_that_could_not_be_asked_is_no_failure(reason: str, status: Status) -> None:
    finding = judge("1.36.2", server=Unobserved(reason, "not asked"))

    assert (finding.status, finding.reason) == (status, reason)


ANSWERS: list[tuple[Json, str]] = [
    ({}, "Unreadable"),
    ({"gitVersion": 7}, "Unreadable"),
    ({"gitVersion": "x"}, "Unreadable"),
]


@pytest.mark.parametrize(("answer", "reason"), ANSWERS)
def test_an_answer_without_a_version_is_unknown(answer: Json, reason: str) -> None:
    with pytest.raises(HostError, match="/version holds no version") as caught:
        ApiVersion.observe(FakeHost(kube=answer), ApiAccess("/etc/kubernetes/kubelet.conf", None))

    assert caught.value.reason == reason


def test_without_a_kubeconfig_nobody_is_asked() -> None:
    with pytest.raises(HostError, match="it is expired"):
        ApiVersion.observe(FakeHost(), ApiAccess(None, Unobserved("NotPermitted", "it is expired")))
