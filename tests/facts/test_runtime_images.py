"""Which images the runtime has, by one list of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost

RUNTIME = Runtime(kind="containerd", endpoint="unix:///run/containerd/containerd.sock", reachable=True)
DIGEST = f"sha256:{'7' * 64}"


def observe(*images: Any) -> RuntimeImages:
    return RuntimeImages.observe(FakeHost(cri={"images": list(images)}), RUNTIME)


def test_an_image_is_here_by_each_of_its_names_and_by_its_id() -> None:
    images = observe(
        {"id": DIGEST, "repo_tags": ["registry.k8s.io/pause:3.9"], "repo_digests": [f"registry.k8s.io/pause@{DIGEST}"]}
    )

    assert images.has("registry.k8s.io/pause:3.9")
    assert images.has(f"registry.k8s.io/pause@{DIGEST}")
    assert images.has(f"registry.k8s.io/pause:other@{DIGEST}")  # beside a digest a tag does not count
    assert images.has(DIGEST)
    assert images.has("7" * 64)


@pytest.mark.parametrize("image", ["registry.k8s.io/pause:3.8", "m/pause:3.9", "k8s.gcr.io/pause:3.9", "No Name", ""])
def test_the_same_image_under_another_name_is_another_one(image: str) -> None:
    assert not observe({"id": DIGEST, "repo_tags": ["registry.k8s.io/pause:3.9"]}).has(image)


@pytest.mark.parametrize("listed", ["docker.io/library/busybox:latest", "busybox:latest"])
@pytest.mark.parametrize("asked", ["busybox", "docker.io/busybox", "docker.io/library/busybox:latest"])
def test_names_of_docker_hub_are_made_whole_on_both_sides(listed: str, asked: str) -> None:
    assert observe({"id": DIGEST, "repo_tags": [listed]}).has(asked)


def test_what_is_no_name_in_the_list_is_left_out() -> None:
    assert observe({"id": DIGEST, "repo_tags": ["<none>:<none>", "A b"]}, None, {"repo_tags": 5}).names == frozenset()


def test_pinned_images_are_told() -> None:
    images = observe(
        {"repo_tags": ["registry.k8s.io/pause:3.10"], "pinned": True}, {"repo_tags": ["busybox:1"], "pinned": False}
    )

    assert images.pinned == ("registry.k8s.io/pause:3.10",)


def test_a_runtime_that_does_not_answer_is_told_by_its_own_reason() -> None:
    silent = replace(RUNTIME, reachable=False, problem=Unobserved("NotPermitted", "run as root"))

    with pytest.raises(HostError, match="run as root") as caught:
        RuntimeImages.observe(FakeHost(cri={"images": []}), silent)

    assert caught.value.reason == "NotPermitted"
