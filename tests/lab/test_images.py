"""What the check says of kubeadm's images, and what a real containerd then does with the same registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.host import cri
from k8sdoctor.host.live import LiveHost
from tests.lab.containerd import SOCKET, Containerd
from tests.lab.node import LabNode
from tests.lab.registry import IMAGE, NAME, SILENT, Registries
from tests.lab.test_pause_image import CONFIG_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Outcome

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "docker-registry", "nginx", "skopeo", "iptables", "busybox"),
]

CONFIG = "/root/kubeadm.yaml"
PLANNED = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n"
NAMES = (
    *(f"kube-{name}:v1.36.2" for name in ("apiserver", "controller-manager", "scheduler", "proxy")),
    *("coredns/coredns:v1.14.2", "pause:3.10.2", "etcd:3.6.8-0"),
)
MIRROR = f"http://{NAME}:5001"


class Lab:
    """A machine before `kubeadm init`: its runtime has no image, and its registry lacks etcd's."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.registries = Registries(node)
        self.registries.start()
        self.registries.push(*NAMES[:-1])
        self.containerd = Containerd(node, sandbox_image=IMAGE, toml=CONFIG_PATH)
        self.containerd.start()
        node.write(CONFIG, PLANNED)

    def check(self, *options: str) -> Outcome:
        outcome = self.node.check(*options, "--config", CONFIG)
        assert outcome.report["broken"] == []
        return outcome

    def judge(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.check("images").result("images")["findings"]
        return found

    def pull(self, name: str, limit: float = 60.0) -> str | None:
        """What containerd says when it pulls an image; None when it has it then."""
        path = str(self.node.root) + SOCKET
        try:
            cri.call(path, "ImageService/PullImage", {"image": {"image": f"registry.k8s.io/{name}"}}, limit)
        except cri.CallError as error:
            return f"{error.code}: {error.details}"
        return None

    @property
    def names(self) -> list[str]:
        """Names of images that are here and of such that are not, in every form."""
        images = self.containerd.call("ImageService/ListImages")["images"]
        digests = [name for image in images for name in image["repo_digests"]]
        tagged = [f"{name.partition('@')[0]}:other@{name.partition('@')[2]}" for name in digests]
        here = [*digests, *tagged, *(image["id"] for image in images), *(f"registry.k8s.io/{name}" for name in NAMES)]
        return [
            *here,
            "registry.k8s.io/pause",
            "k8s.gcr.io/pause:3.10.2",
            "pause:3.10.2",
            f"registry.k8s.io/{NAMES[0]}0",
        ]

    def has_by_list(self) -> dict[str, bool]:
        """What our one list of images says."""
        runtime = Runtime(kind="containerd", endpoint=SOCKET, reachable=True)
        images = RuntimeImages.observe(LiveHost(str(self.node.root)), runtime)
        return {name: images.has(name) for name in self.names}

    def has_by_status(self) -> dict[str, bool]:
        """What containerd answers to the kubelet, image by image."""

        def here(name: str) -> bool:
            return bool(self.containerd.call("ImageService/ImageStatus", {"image": {"image": name}}).get("image"))

        return {name: here(name) for name in self.names}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


def reasons(findings: list[dict[str, Any]]) -> list[str]:
    return [f"{finding['status']} {finding['reason']}" for finding in findings]


def test_a_dead_mirror_behind_all_is_one_trouble_and_containerd_gets_nowhere(lab: Lab) -> None:
    dead = f"{SILENT}:5000"
    lab.registries.mirror(f"http://{dead}")

    outcome = lab.check("images", "pause-image", "registry-config")

    [finding] = outcome.result("images")["findings"]
    assert (finding["status"], finding["reason"], finding["subject"]) == ("fail", "RegistryUnreachable", dead)
    assert all(f"registry.k8s.io/{name}" in finding["message"] for name in NAMES)
    [diagnosis] = [one for one in outcome.report["diagnoses"] if one["cause"]["reason"] == "RegistryUnreachable"]
    assert diagnosis["cause"]["check"] == "pause-image"
    assert {one["check"] for one in diagnosis["explains"]} >= {"images"}
    assert lab.pull(NAMES[0], limit=3) is not None


def test_an_image_that_the_registry_lacks_is_the_one_that_containerd_does_not_get(lab: Lab) -> None:
    lab.registries.mirror(MIRROR)

    found = lab.judge()

    assert sorted(reasons(found)) == ["fail ImageNotFound", "pass Pullable"]
    [lacking] = [finding for finding in found if finding["status"] == "fail"]
    assert lacking["subject"] == f"registry.k8s.io/{NAMES[-1]}"
    assert "not found" in (lab.pull(NAMES[-1]) or "")


def test_what_the_check_calls_pullable_containerd_pulls_and_then_it_is_present(lab: Lab) -> None:
    lab.registries.mirror(MIRROR)
    lab.registries.push(NAMES[-1])

    [pullable] = lab.judge()
    assert (pullable["status"], pullable["reason"]) == ("pass", "Pullable")

    assert [lab.pull(name) for name in NAMES] == [None] * len(NAMES)
    assert lab.has_by_list() == lab.has_by_status()
    lab.registries.mirror(f"http://{SILENT}:5000")  # nobody is asked for what is here
    [present] = lab.judge()
    assert (present["status"], present["reason"]) == ("pass", "Present")
    assert present["message"].startswith("All 7 images")
