"""The judgement about who names which registry: facts in, findings out."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.image_registries import image_registries
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.cluster_addons import ClusterAddons, Workload
from k8sdoctor.facts.image_places import ImagePlaces
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_manifest import Manifest
from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.retired_registries import RETIRED, retired
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Finding, Safety, Unobserved
from k8sdoctor.host.fake import FakeHost
from tests.checks.test_pause_image import attempt
from tests.checks.test_pause_image import judge as judge_pause
from tests.checks.test_pause_image import pulled as pause_pulled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from k8sdoctor.facts.stage import StageName

NEW, OLD = "registry.k8s.io", "k8s.gcr.io"
RUNTIME = Runtime(kind="containerd", version=(1, 7, 34), reachable=True)
NONE = Unobserved("NotFound", "nothing here")
TAG = "v1.23.14"
HOSTS_TOML = "/etc/containerd/certs.d/docker.io/hosts.toml"
CHASSIS = "/sys/class/dmi/id/chassis_asset_tag"


def sandbox(image: str, *, default: bool = False) -> SandboxImage:
    return SandboxImage(
        image=image,
        reference=ImageReference.parse(image),
        source="/etc/containerd/config.toml:4",
        runtime="containerd",
        runtime_version="1.7.34",
        config_path="/etc/containerd/config.toml",
        key='plugins."io.containerd.grpc.v1.cri".sandbox_image',
        default=default,
    )


def static(repository: str, *names: str, folder: str = "/etc/kubernetes/manifests") -> StaticPods:
    def manifest(name: str) -> Manifest:
        text = (
            f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: kube-system}}\n"
            f"spec: {{containers: [{{name: a, image: {repository}/{name}:{TAG}}}]}}\n"
        )
        return Manifest.parse(text, f"{folder}/{name}.yaml")

    return StaticPods(manifests=tuple(map(manifest, names or ("kube-apiserver", "kube-scheduler"))))


def addons(repository: str, dns: str | None = None) -> ClusterAddons:
    where = dns or (f"{repository}/coredns" if repository in (NEW, OLD) else repository)
    return ClusterAddons(
        (Workload("DaemonSet", "kube-proxy", (f"{repository}/kube-proxy:{TAG}",)),),
        (Workload("Deployment", "coredns", (f"{where}/coredns:v1.8.6",)),),
    )


def mirrors(*urls: str, source: str = f"{HOSTS_TOML}:2") -> RegistryConfig:
    hosts = tuple(RegistryHost(f"{url}/v2", "x", "y", source) for url in urls)
    return RegistryConfig("containerd", (RegistryChain(ImageReference.parse("docker.io/library/x"), hosts),))


def made(repository: str, more: str = "") -> ClusterKubeadmConfig:
    text = f"kind: ClusterConfiguration\napiVersion: v\nkubernetesVersion: {TAG}\nimageRepository: {repository}\n{more}"
    return ClusterKubeadmConfig(KubeadmConfig.parse(text, "ConfigMap kube-system/kubeadm-config"))


def judge(
    *,
    stage: StageName = "control-plane",
    registries: RegistryConfig | Unobserved = NONE,
    image: SandboxImage | Unobserved = NONE,
    kubelet: Kubelet | Unobserved = NONE,
    planned: KubeadmConfig = KubeadmConfig(),  # noqa: B008 -- frozen
    cluster: Any = NONE,
    pods: StaticPods = StaticPods(),  # noqa: B008 -- frozen
    named: Any = ClusterAddons(),  # noqa: B008 -- frozen
    hosts: RegistryHosts | Unobserved = NONE,
    files: dict[str, str] | None = None,
) -> list[Finding]:
    places = ImagePlaces.observe(
        FakeHost(files),
        Stage(stage, ""),
        registries,
        image,
        kubelet,
        planned,
        cluster,
        pods,
        named,
    )
    return list(image_registries(RUNTIME, places, image, hosts))


def cluster_of(repository: str, **changes: Any) -> list[Finding]:
    """A cluster whose places all name one repository, but those that are changed."""
    facts: dict[str, Any] = {
        "image": sandbox(f"{repository}/pause:3.6"),
        "cluster": made(repository),
        "pods": static(repository),
        "named": addons(repository),
    }
    return judge(**facts | changes)


def reasons(findings: Sequence[Finding]) -> list[str]:
    return [f"{finding.status} {finding.reason}" for finding in findings]


# -- healthy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "repository", [NEW, "registry.lab:5000/k8s", "registry.aliyuncs.com/google_containers", "quay.io/x"]
)
def test_one_repository_that_is_used_everywhere_is_fine(repository: str) -> None:
    assert reasons(cluster_of(repository)) == ["pass RegistriesAgree"]


def test_where_nothing_names_a_registry_nothing_is_judged() -> None:
    assert reasons(judge(stage="prepared")) == ["skip NothingNamed"]


def test_a_cluster_that_kubeadm_did_not_make_is_compared_with_nothing() -> None:
    assert reasons(judge(pods=static("a.lab"), named=addons("b.lab"))) == ["pass RegistriesAgree"]


@pytest.mark.parametrize(
    "more", ["dns: {imageRepository: other.lab/dns}\n", "etcd: {local: {imageRepository: other.lab/db}}\n"]
)
def test_a_part_that_has_a_repository_of_its_own_agrees_with_it(more: str) -> None:
    pods, dns = static(NEW, "kube-apiserver"), f"{NEW}/coredns"
    if "etcd" in more:
        pods = StaticPods(manifests=pods.manifests + static("other.lab/db", "etcd").manifests)
    else:
        dns = "other.lab/dns"

    assert reasons(cluster_of(NEW, cluster=made(NEW, more), pods=pods, named=addons(NEW, dns))) == [
        "pass RegistriesAgree"
    ]


# -- gone ----------------------------------------------------------------------------------------------------------------


def test_a_frozen_registry_everywhere_is_one_finding_that_names_all_places() -> None:
    [finding] = cluster_of(OLD)

    assert (str(finding.status), finding.reason, finding.subject) == ("warn", "RegistryFrozen", OLD)
    for what in (
        "sandbox image of containerd",
        "imageRepository",
        "kube-apiserver",
        "kube-scheduler",
        "kube-proxy",
        "coredns",
    ):
        assert what in finding.message
    assert "3 April 2023" in finding.message


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": made(OLD)},
        {"pods": static(OLD, "kube-scheduler")},
        {"named": addons(OLD)},
        {"image": sandbox(f"{OLD}/pause:3.6")},
        {
            "kubelet": Kubelet(
                None, 1, {"--pod-infra-container-image": f"{OLD}/pause:3.6"}, {}, "/var/lib/kubelet/config.yaml", {}, ()
            )
        },
    ],
    ids=["config map", "static pod", "addons", "sandbox image", "kubelet's flag"],
)
def test_one_place_that_was_forgotten_is_one_finding(changes: dict[str, Any]) -> None:
    """And no second one about places that disagree: the old name is the cause."""
    assert reasons(cluster_of(NEW, **changes)) == ["warn RegistryFrozen"]


def test_a_default_that_nobody_wrote_down_is_left_to_the_runtimes_release() -> None:
    assert reasons(cluster_of(NEW, image=sandbox(f"{OLD}/pause:3.6", default=True))) == ["pass RegistriesAgree"]


def test_a_plan_is_judged_before_init() -> None:
    planned = KubeadmConfig.parse(f"kind: ClusterConfiguration\nimageRepository: {OLD}\n", "--config /root/k.yaml")

    [finding] = judge(stage="prepared", planned=planned)

    assert finding.reason == "RegistryFrozen"
    assert finding.fix is not None
    assert finding.fix.commands == (f"sed -i 's#k8s\\.gcr\\.io#{NEW}#' /root/k.yaml",)


@pytest.mark.parametrize(
    "url",
    [
        "https://dockerhub.azk8s.cn",
        "https://docker.mirrors.ustc.edu.cn",
        "https://docker.mirrors.sjtug.sjtu.edu.cn",
        "https://reg-mirror.qiniu.com",
        "https://registry.docker-cn.com",
        "https://usgcr.azk8s.cn",
    ],
)
def test_a_mirror_that_was_closed_is_told_with_its_line(url: str) -> None:
    [finding] = judge(registries=mirrors(url, "https://mirror.lab"), stage="worker")

    assert (finding.reason, finding.subject) == ("RegistryClosed", url.removeprefix("https://"))
    assert finding.fix is not None
    assert finding.fix.commands == (f"${{EDITOR:-vi}} +2 {HOSTS_TOML}  # counts at the next pull",)


@pytest.mark.parametrize(
    "url", ["https://mcr.azk8s.cn", "https://hub-mirror.c.163.com", "https://docker.m.daocloud.io"]
)
def test_a_mirror_of_whose_end_nothing_was_said_is_left_alone(url: str) -> None:
    assert reasons(judge(registries=mirrors(url), stage="worker")) == ["pass RegistriesAgree"]


def test_what_only_azure_may_ask_is_fine_there() -> None:
    azure = {CHASSIS: "7783-7084-3265-9085-8269-3286-77\n"}
    found = mirrors("https://dockerhub.azk8s.cn")

    assert reasons(judge(registries=found, stage="worker", files=azure)) == ["pass RegistriesAgree"]
    assert reasons(judge(registries=found, stage="worker", files={CHASSIS: "Default string\n"})) == [
        "warn RegistryClosed"
    ]


def test_a_closed_registry_of_images_is_replaced_path_by_path() -> None:
    [finding] = cluster_of("gcr.azk8s.cn/google_containers", named=addons("gcr.azk8s.cn/google_containers"))

    assert (finding.reason, finding.subject) == ("RegistryClosed", "gcr.azk8s.cn/google_containers")
    assert finding.fix is not None
    assert f"crictl pull {NEW}/kube-proxy:{TAG}" in finding.fix.commands


def test_every_entry_of_the_table_says_what_happened_and_who_said_so() -> None:
    for entry in RETIRED:
        assert entry.why
        assert entry.source.partition("/")[2]
        name = entry.name if not entry.name.startswith(".") else f"some{entry.name}"
        assert retired(f"{name}/x") == entry


@pytest.mark.parametrize(
    "repository", ["k8s.gcr.io.lab", "mirror.lab/k8s.gcr.io", "gcr.io/google_containers2", "gcr.io/x"]
)
def test_a_name_that_only_looks_alike_is_another_one(repository: str) -> None:
    assert retired(repository) is None


# -- places that disagree ------------------------------------------------------------------------------------------------


def test_a_control_plane_that_was_moved_by_hand_is_told_from_what_the_next_node_gets() -> None:
    [finding] = cluster_of("registry.lab/k8s", cluster=made(NEW), image=sandbox(f"{NEW}/pause:3.6"))

    assert (str(finding.status), finding.reason, finding.subject) == ("warn", "RegistriesDiffer", NEW)
    assert "registry.lab/k8s" in finding.message
    assert "static pod kube-system/kube-apiserver" in finding.message


@pytest.mark.parametrize(
    "changes", [{"named": addons("registry.lab")}, {"pods": static("registry.lab", "kube-scheduler")}]
)
def test_one_place_that_contradicts_the_others_is_told(changes: dict[str, Any]) -> None:
    assert reasons(cluster_of(NEW, **changes)) == ["warn RegistriesDiffer"]


def test_a_static_pod_that_is_none_of_kubeadms_may_come_from_anywhere() -> None:
    pods = StaticPods(manifests=static(NEW).manifests + static("ghcr.io/kube-vip", "kube-vip").manifests)

    assert reasons(cluster_of(NEW, pods=pods)) == ["pass RegistriesAgree"]


@pytest.mark.parametrize("default", [True, False])
def test_a_sandbox_image_from_the_public_registry_beside_a_private_one_is_told(default: bool) -> None:
    image = sandbox(f"{NEW}/pause:3.8", default=default)
    reference = ImageReference.parse(image.image)
    upstream = RegistryHost("https://registry.k8s.io/v2", "pause", "3.8", "default", upstream=True)
    mirror = replace(upstream, base_url="https://registry.lab/v2", upstream=False)

    [finding] = cluster_of("registry.lab", image=image, hosts=RegistryHosts(reference, (upstream,)))
    assert finding.reason == "RegistriesDiffer"
    assert finding.fix is not None
    assert any("systemctl restart containerd" in line for line in finding.fix.commands)
    assert [(link.check, link.reason) for link in finding.explains] == [("pause-image", "PauseImageDiffers")]
    mirrored = cluster_of("registry.lab", image=image, hosts=RegistryHosts(reference, (mirror, upstream)))
    assert reasons(mirrored) == ["pass RegistriesAgree"]


# -- what could not be looked at -----------------------------------------------------------------------------------------


def test_what_may_not_be_read_is_told_and_the_rest_is_judged() -> None:
    refused = Unobserved("NotPermitted", "forbidden")

    found = judge(cluster=refused, named=refused, pods=StaticPods(problem=refused), image=sandbox(f"{OLD}/pause:3.6"))

    assert reasons(found) == ["unknown NotPermitted"] * 3 + ["warn RegistryFrozen"]


def test_offline_what_was_not_asked_is_skipped() -> None:
    offline = Unobserved("Offline", "--offline")

    assert reasons(judge(cluster=offline, named=offline)) == ["skip Offline", "skip Offline"]


# -- causes ----------------------------------------------------------------------------------------------------------------


def test_a_mirror_that_was_closed_is_the_likely_cause_of_a_pull_that_fails_there() -> None:
    dead = RegistryHost("https://reg-mirror.qiniu.com/v2", "pause", "3.6", f"{HOSTS_TOML}:2")
    [pull] = judge_pause(pause_pulled(attempt("unreachable", dead, failure="timeout", words="no answer")))
    [elsewhere] = judge_pause(pause_pulled(attempt("unreachable", failure="timeout", words="no answer")))
    [closed] = judge(registries=mirrors("https://reg-mirror.qiniu.com"), stage="worker")

    [diagnosis] = Links([("pause-image", pull), ("image-registries", closed)]).diagnoses()
    assert (diagnosis.cause.check, str(diagnosis.status)) == ("image-registries", "fail")
    assert [each.reason for each in diagnosis.explains] == ["RegistryUnreachable"]
    assert len(Links([("pause-image", elsewhere), ("image-registries", closed)]).diagnoses()) == 2


# -- how to move ---------------------------------------------------------------------------------------------------------


def test_the_fix_changes_what_pulls_first_and_what_runs_last_and_says_what_restarts() -> None:
    [finding] = cluster_of(OLD)

    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL
    order = (
        "crictl pull",
        "config.toml",
        "systemctl restart containerd",
        "configmap",
        "kube-apiserver.yaml",
        "daemonset/",
        "deployment/",
    )
    at = [next(number for number, line in enumerate(finding.fix.commands) if word in line) for word in order]
    assert at == sorted(at)
    assert sum("the kubelet restarts this pod" in line for line in finding.fix.commands) == 2


def test_the_fix_of_a_manifest_changes_its_image_alone(tmp_path: Path) -> None:
    path = tmp_path / "kube-scheduler.yaml"
    path.write_text(f"# k8s-gcr-io is old\nimage: {OLD}/kube-scheduler:{TAG}\nother: {OLD}/x:1\n")
    [finding] = judge(pods=static(OLD, "kube-scheduler", folder=str(tmp_path)))
    assert finding.fix is not None

    for line in finding.fix.commands:
        if line.startswith("sed"):
            subprocess.run(line, shell=True, check=True)

    assert path.read_text() == f"# k8s-gcr-io is old\nimage: {NEW}/kube-scheduler:{TAG}\nother: {OLD}/x:1\n"


def test_a_daemon_set_that_could_not_be_read_is_named_by_its_label() -> None:
    pods = ClusterAddons((Workload("Pod", "kube-proxy-8bng8", (f"{OLD}/kube-proxy:{TAG}",)),), partial=True)

    [finding] = judge(stage="worker", named=pods)

    assert finding.fix is not None
    assert any("daemonset -l k8s-app=kube-proxy" in line for line in finding.fix.commands)
