"""Which images kubeadm wants, by release and configuration."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeadm_images import KubeadmImages, Tags
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost

NO_CLUSTER = Unobserved("NotFound", "no kubeconfig works here")
PREPARED = Stage("prepared", "")
CLUSTER = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"

# `kubeadm config images list --kubernetes-version v1.36.2` of kubeadm v1.36.2, order and all
LISTED = """\
registry.k8s.io/kube-apiserver:v1.36.2
registry.k8s.io/kube-controller-manager:v1.36.2
registry.k8s.io/kube-scheduler:v1.36.2
registry.k8s.io/kube-proxy:v1.36.2
registry.k8s.io/coredns/coredns:v1.14.2
registry.k8s.io/pause:3.10.2
registry.k8s.io/etcd:3.6.8-0
"""


def observe(
    text: str = "", *, program: Any = (1, 36, 2), run: Any = None, stage: Stage = PREPARED, made: str | None = None
) -> KubeadmImages:
    planned = KubeadmConfig.parse(text, "--config kubeadm.yaml") if text else KubeadmConfig()
    cluster = ClusterKubeadmConfig(KubeadmConfig.parse(made, "ConfigMap")) if made else NO_CLUSTER
    host = FakeHost(run=run) if run is not None else FakeHost()
    return KubeadmImages.observe(host, stage, planned, cluster, KubeadmBinary(program))


def names(found: KubeadmImages) -> list[str]:
    return [each.image for each in found.images]


def test_without_a_configuration_it_is_what_kubeadm_itself_lists() -> None:
    assert names(observe()) == LISTED.split()


@pytest.mark.parametrize(
    ("version", "etcd", "coredns", "pause"),
    [
        ((1, 37, 0), "3.7.0-0", "v1.14.6", "3.10.2"),
        ((1, 35, 7), "3.6.6-0", "v1.13.1", "3.10.1"),
        ((1, 34, 1), "3.6.4-0", "v1.12.1", "3.10.1"),
        ((1, 34, 2), "3.6.5-0", "v1.12.1", "3.10.1"),
        ((1, 31, 0), "3.5.15-0", "v1.11.1", "3.10"),
        ((1, 31, 1), "3.5.15-0", "v1.11.3", "3.10"),
        ((1, 28, 9), "3.5.12-0", "v1.10.1", "3.9"),
        ((1, 20, 15), "3.4.13-0", "1.7.0", "3.2"),
    ],
)
def test_tags_are_those_of_the_release(version: tuple[int, int, int], etcd: str, coredns: str, pause: str) -> None:
    assert Tags.of_release(version) == Tags(pause, etcd, coredns)


def test_a_release_that_we_do_not_know_leaves_its_own_images() -> None:
    assert names(observe(program=(1, 50, 0))) == [
        f"registry.k8s.io/kube-{name}:v1.50.0" for name in ("apiserver", "controller-manager", "scheduler", "proxy")
    ]


def test_kubeadm_knows_its_tags_better_than_we_do_and_is_told_the_release() -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> dict[str, Any]:
        asked.append(argv)
        return {"code": 0, "out": LISTED.replace("3.6.8-0", "3.6.9-0"), "err": ""}

    found = observe(f"{CLUSTER}kubernetesVersion: v1.36.5\n", run=run)

    assert asked == [["kubeadm", "config", "images", "list", "--kubernetes-version", "v1.36.5"]]
    assert "registry.k8s.io/etcd:3.6.9-0" in names(found)
    assert "registry.k8s.io/kube-proxy:v1.36.5" in names(found)


@pytest.mark.parametrize("answer", [{"code": 1, "out": "", "err": "no"}, {"code": 0, "out": "?", "err": ""}])
def test_a_kubeadm_that_lists_nothing_leaves_our_table(answer: dict[str, Any]) -> None:
    assert names(observe(run=answer)) == LISTED.split()


@pytest.mark.parametrize(
    ("program", "repository", "coredns"),
    [
        ((1, 36, 2), "registry.k8s.io", "registry.k8s.io/coredns/coredns:v1.14.2"),
        ((1, 36, 2), "mirror.lab/k8s", "mirror.lab/k8s/coredns:v1.14.2"),
        # A registry that is not this release's default is any other: kubeadm then asks for what never was there.
        ((1, 36, 2), "k8s.gcr.io", "k8s.gcr.io/coredns:v1.14.2"),
        ((1, 23, 14), "k8s.gcr.io", "k8s.gcr.io/coredns/coredns:v1.8.6"),
        ((1, 21, 1), "mirror.lab", "mirror.lab/coredns/coredns:v1.8.0"),
        ((1, 21, 2), "mirror.lab", "mirror.lab/coredns:v1.8.0"),
        ((1, 20, 15), "k8s.gcr.io", "k8s.gcr.io/coredns:1.7.0"),
    ],
)
def test_corednss_path_depends_on_release_and_repository(program: Any, repository: str, coredns: str) -> None:
    found = observe(f"{CLUSTER}imageRepository: {repository}\n", program=program)

    assert coredns in names(found)
    [official] = {each.official for each in found.images if each.component == "coredns"}
    assert official.startswith("registry.k8s.io/coredns/coredns:")


def test_each_part_may_come_from_elsewhere() -> None:
    found = observe(
        f"{CLUSTER}kubernetesVersion: v1.36.2\nimageRepository: m\ndns: {{imageRepository: d/x, imageTag: v9}}\n"
        "etcd: {local: {imageRepository: e, imageTag: 3.9.9-0}}\n"
    )

    assert names(found)[4:] == ["d/x/coredns:v9", "m/pause:3.10.2", "e/etcd:3.9.9-0"]


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (f"{CLUSTER}etcd: {{external: {{endpoints: ['http://127.0.0.1:2379']}}}}\n", "etcd"),
        (f"{CLUSTER}proxy: {{disabled: true}}\n", "kube-proxy"),
        (f"{CLUSTER}dns: {{disabled: true}}\n", "coredns"),
        ("apiVersion: v\nkind: InitConfiguration\nskipPhases: [addon/kube-proxy]\n", "kube-proxy"),
        ("apiVersion: v\nkind: InitConfiguration\nskipPhases: [addon/coredns]\n", "coredns"),
    ],
)
def test_what_the_configuration_leaves_out_is_not_wanted(text: str, left_out: str) -> None:
    assert {each.component for each in observe().images} - {each.component for each in observe(text).images} == {
        left_out
    }


def test_a_worker_needs_kube_proxy_alone_and_a_joining_control_plane_all() -> None:
    join = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"

    assert observe(join).joins == "worker"
    assert [each.component for each in observe(join).workers] == ["kube-proxy"]
    assert observe(f"{join}controlPlane: {{}}\n").joins == "control-plane"


def test_a_release_with_a_suffix_is_the_tag() -> None:
    assert "registry.k8s.io/kube-proxy:v1.37.0-rc.0" in names(observe(f"{CLUSTER}kubernetesVersion: v1.37.0-rc.0\n"))
    assert "registry.k8s.io/kube-proxy:v1.36.2_k" in names(observe(f"{CLUSTER}kubernetesVersion: v1.36.2+k\n"))


def test_a_label_is_not_guessed_at() -> None:
    with pytest.raises(HostError, match="stable-1 is only resolved when kubeadm runs") as caught:
        observe(f"{CLUSTER}kubernetesVersion: stable-1\n")
    assert caught.value.reason == "NotFound"


def test_without_kubeadm_and_configuration_nothing_is_known() -> None:
    with pytest.raises(HostError, match="neither a kubeadm nor"):
        observe(program=None)


def test_a_configuration_that_cannot_be_parsed_is_told() -> None:
    with pytest.raises(HostError, match=r"kubeadm\.yaml") as caught:
        observe("{{{")
    assert caught.value.reason == "Unreadable"


def test_on_a_node_the_cluster_decides_and_not_what_is_planned() -> None:
    made = f"{CLUSTER}kubernetesVersion: v1.35.1\nimageRepository: registry.lab\n"

    listed = {"code": 0, "out": LISTED, "err": ""}
    found = observe(f"{CLUSTER}imageRepository: other\n", stage=Stage("control-plane", ""), made=made, run=listed)

    assert (found.repository, found.version) == ("registry.lab", (1, 35, 1))
    assert found.told == "kubeadm's constants by release"  # which costs no run of kubeadm
    with pytest.raises(HostError, match="no kubeconfig works here"):
        observe(stage=Stage("control-plane", ""))
