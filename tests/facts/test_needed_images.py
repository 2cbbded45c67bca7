"""Which images a node needs: who names them, and whether it can do without."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_addons import ClusterAddons, Workload
from k8sdoctor.facts.kubeadm_images import KubeadmImage, KubeadmImages
from k8sdoctor.facts.needed_images import NeededImages
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.pod_manifest import Container, Manifest
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost
from tests.control_plane import kube

R = "registry.k8s.io"
NONE = Unobserved("NotFound", "nothing here")
REFUSED = Unobserved("NotPermitted", "system:node:n1 may not list them")
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "pause", "etcd")
KUBEADM = KubeadmImages(
    "kubeadm 1.36.2",
    (1, 36, 2),
    R,
    tuple(KubeadmImage(f"{R}/{name}:1", name, f"{R}/{name}:1") for name in COMPONENTS),
)
ADDONS = ClusterAddons(
    (Workload("DaemonSet", "kube-proxy", (f"{R}/kube-proxy:1",)),), (Workload("Deployment", "coredns", ("r/dns:2",)),)
)
STATIC = StaticPods(
    manifests=(
        Manifest("/m/a.yaml", "a", "kube-system", (Container("a", f"{R}/kube-apiserver:1"), Container("b", "side:1"))),
        Manifest("/m/bad.yaml", "bad", containers=(Container("c", "never:1"),), fault="fields"),
    )
)


def needed(
    stage: Any,
    *,
    pods: StaticPods = StaticPods(),  # noqa: B008 -- frozen
    addons: ClusterAddons | Unobserved = NONE,
    kubeadm: KubeadmImages | Unobserved = NONE,
    images: RuntimeImages | Unobserved = NONE,
) -> NeededImages:
    return NeededImages.observe(FakeHost(), Stage(stage, ""), pods, addons, kubeadm, images)


def vital(found: NeededImages) -> dict[str, bool]:
    return {need.image.removeprefix(f"{R}/"): need.vital for need in found.needs}


def test_before_init_all_of_kubeadms_images_are_vital() -> None:
    found = needed("prepared", kubeadm=KUBEADM)

    assert vital(found) == {f"{name}:1": True for name in COMPONENTS}
    assert {user for need in found.needs for user in need.users} == {"kubeadm init of v1.36.2"}


@pytest.mark.parametrize("joins", ["worker", None])
def test_a_worker_to_be_needs_kube_proxy_alone(joins: str | None) -> None:
    """One that is planned, and one that somebody prepared as such: kube-proxy's image is here and none of a control plane."""
    kubeadm = KubeadmImages(KUBEADM.source, KUBEADM.version, R, KUBEADM.images, joins=joins)

    found = needed("prepared", kubeadm=kubeadm, images=RuntimeImages(frozenset({f"{R}/kube-proxy:1"})))

    assert vital(found) == {"kube-proxy:1": True}


def test_a_machine_with_one_image_of_a_control_plane_is_to_be_one() -> None:
    images = RuntimeImages(frozenset({f"{R}/kube-proxy:1", f"{R}/kube-scheduler:1"}))

    assert len(needed("prepared", kubeadm=KUBEADM, images=images).needs) == len(COMPONENTS)


def test_a_node_needs_what_its_static_pods_and_the_daemon_set_name_and_can_do_without_coredns() -> None:
    found = needed("worker", pods=STATIC, addons=ADDONS, kubeadm=KUBEADM)

    assert vital(found) == {"kube-apiserver:1": True, "side:1": True, "kube-proxy:1": True, "r/dns:2": False}
    assert found.needs[0].users == ("static pod kube-system/a",)
    assert found.needs[0].sources == ("/m/a.yaml",)


def test_a_control_plane_can_do_without_what_an_upgrade_will_want() -> None:
    found = needed("control-plane", pods=STATIC, addons=ADDONS, kubeadm=KUBEADM)

    extra = {"kube-controller-manager:1": False, "kube-scheduler:1": False}
    assert vital(found) == {"kube-apiserver:1": True, "side:1": True, "kube-proxy:1": True, "r/dns:2": False} | extra
    assert found.needs[0].users == ("static pod kube-system/a",)  # not the upgrade as well: it is vital for the pod
    assert found.needs[0].official == f"{R}/kube-apiserver:1"


def test_who_may_not_be_asked_is_told_and_the_rest_is_known() -> None:
    pods = StaticPods(problem=Unobserved("NotPermitted", "run as root"))

    found = needed("worker", pods=pods, addons=REFUSED)

    assert [why.reason for _, why in found.blind] == ["NotPermitted", "NotPermitted"]
    assert found.needs == ()


def test_a_cluster_that_kubeadm_did_not_make_is_no_blind_spot() -> None:
    assert needed("control-plane", addons=ClusterAddons()) == NeededImages()
    assert needed("prepared") == NeededImages()


# -- the addons ------------------------------------------------------------------------------------------------------


ACCESS = ApiAccess("/etc/kubernetes/admin.conf", None)
NODE = NodeName("cp1", "the kubelet's certificate", "cp1")


def test_the_addons_of_a_recorded_cluster() -> None:
    found = ClusterAddons.observe(FakeHost(kube=kube), ACCESS, NODE)

    assert [(one.label, one.images) for one in found.workloads] == [
        ("DaemonSet kube-system/kube-proxy", (f"{R}/kube-proxy:v1.36.2",)),
        ("Deployment kube-system/coredns", (f"{R}/coredns/coredns:v1.14.2",)),
    ]


def test_with_a_kubelets_rights_its_own_pods_tell() -> None:
    def answer(path: str, kubeconfig: str) -> Any:
        if path.startswith("/apis/apps"):
            raise HostError("NotPermitted", "forbidden")
        assert "fieldSelector=spec.nodeName%3Dcp1" in path
        return kube(path, kubeconfig)

    found = ClusterAddons.observe(FakeHost(kube=answer), ACCESS, NODE)

    assert {one.images for one in found.kube_proxy} == {(f"{R}/kube-proxy:v1.36.2",)}
    assert {one.label.partition("-")[0] for one in found.dns} == {"Pod kube"}
    assert found.partial


def test_pods_of_other_nodes_do_not_count() -> None:
    def answer(path: str, kubeconfig: str) -> Any:
        if path.startswith("/apis/apps"):
            raise HostError("NotPermitted", "forbidden")
        return json.loads(json.dumps(kube(path, kubeconfig)).replace('"nodeName": "cp1"', '"nodeName": "other"'))

    assert ClusterAddons.observe(FakeHost(kube=answer), ACCESS, NODE).workloads == ()


def test_an_api_server_that_refuses_everything_is_no_answer() -> None:
    with pytest.raises(HostError, match="forbidden"):
        ClusterAddons.observe(FakeHost(kube=HostError("NotPermitted", "forbidden")), ACCESS, NODE)
    with pytest.raises(HostError, match="no kubeconfig"):
        ClusterAddons.observe(FakeHost(), ApiAccess(None, None), NODE)


@pytest.mark.parametrize(
    "answer",
    [{}, {"items": None}, {"items": [5, {"metadata": {"labels": {"k8s-app": "kube-proxy"}}, "spec": 7}]}],
    ids=["empty", "null", "wrong"],
)
def test_answers_of_another_form_name_nothing(answer: Any) -> None:
    found = ClusterAddons.observe(FakeHost(kube=answer), ACCESS, NODE)

    assert [image for one in found.workloads for image in one.images] == []
