"""Lists of images and of files, as people and their tools write them."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.lists import ListedFiles, ListedImages
from k8sdoctor.testing import FakeHost

# As kubeadm prints it: `kubeadm config images list --kubernetes-version v1.36.0`.
KUBEADM = """\
registry.k8s.io/kube-apiserver:v1.36.0
registry.k8s.io/kube-controller-manager:v1.36.0
registry.k8s.io/coredns/coredns:v1.12.1
registry.k8s.io/pause:3.10
registry.k8s.io/etcd:3.6.4-0
"""


def given(images: str | None = None, files: str | None = None) -> FakeHost:
    told: dict[str, Any] = {"config": None, "kubeconfig": None, "endpoints": []}
    told |= {"images": {"path": "images.list", "text": images}} if images is not None else {}
    told |= {"files": {"path": "files.list", "text": files}} if files is not None else {}
    return FakeHost(given=told)


def images(text: str) -> list[str]:
    return [str(image) for image in ListedImages.observe(given(images=text)).images]


def test_without_an_option_nothing_is_listed() -> None:
    assert ListedImages.observe(FakeHost()) == ListedImages()
    assert ListedFiles.observe(FakeHost()) == ListedFiles()


def test_what_kubeadm_prints_is_a_list_of_images() -> None:
    assert images(KUBEADM) == KUBEADM.split()


@pytest.mark.parametrize(
    "text",
    [
        "quay.io/a:1\r\nquay.io/b:2\r\n",
        "\ufeffquay.io/a:1\nquay.io/b:2",
        "# both\n\n  quay.io/a:1\t# first\n\n\tquay.io/b:2  \n#\n",
        "quay.io/a:1\nquay.io/b:2\nquay.io/a:1\n",
    ],
    ids=["from Windows", "byte order mark and no last line end", "comments and blanks", "twice"],
)
def test_a_list_reads_the_same_however_it_is_written(text: str) -> None:
    found = ListedImages.observe(given(images=text))

    assert [str(image) for image in found.images] == ["quay.io/a:1", "quay.io/b:2"]
    assert found.strangers == ()


@pytest.mark.parametrize(
    "line",
    [
        "W1121 10:00:00.1 version.go:109] could not fetch a Kubernetes version",
        "https://registry.k8s.io/pause:3.10",
        "registry.k8s.io/pause:",
        "registry.k8s.io/Pause:3.10",
        "registry.k8s.io/pause:3.10:3",
        "registry.k8s.io/pause@sha256:12",
        "- registry.k8s.io/pause:3.10",
        "\x7fELF\x02\x01",
        "REDACTED-1:x y",
    ],
)
def test_a_line_that_is_no_image_is_named_with_its_number_and_the_rest_is_read(line: str) -> None:
    found = ListedImages.observe(given(images=f"# list\nquay.io/a:1\n{line}\nquay.io/b:2\n"))

    assert [(each.number, each.text) for each in found.strangers] == [(3, line)]
    assert len(found.images) == 2


def test_an_image_by_digest_and_one_of_docker_hub_are_images() -> None:
    digest = "sha256:" + "a" * 64

    assert images(f"registry.lab:5000/a/b@{digest}\nbusybox\n") == [
        f"registry.lab:5000/a/b@{digest}",
        "docker.io/library/busybox:latest",
    ]


def test_files_are_urls_of_http_and_other_lines_are_named() -> None:
    text = "# files\nhttps://dl.k8s.io/v1.36.0/kubeadm#sum\nftp://x.lab/y\nkubeadm\nhttp://x.lab:8080/y\nhttps://dl.k8s.io/v1.36.0/kubeadm#sum\n"

    found = ListedFiles.observe(given(files=text))

    assert found.urls == ("https://dl.k8s.io/v1.36.0/kubeadm#sum", "http://x.lab:8080/y")
    assert [(each.number, each.text) for each in found.strangers] == [(3, "ftp://x.lab/y"), (4, "kubeadm")]


def test_a_file_that_is_no_list_is_kept_in_short_lines() -> None:
    found = ListedImages.observe(given(images="\x7fELF" * 100_000))

    [line] = found.strangers
    assert len(line.text) == 501
