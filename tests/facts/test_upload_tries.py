"""Which registries are asked to begin an upload, and what is made of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.lists import ListedImages
from k8sdoctor.facts.needed_images import Need, NeededImages
from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.upload_tries import UploadTries
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost
from tests.facts.registry_web import failure, reply
from tests.facts.test_pulls_of_many import CONTAINERD, NOT_HERE, pull_config

CERTS_D = "/etc/containerd/certs.d"
ADDRESSES = {
    "mirror.lab": ["192.0.2.1"],
    "registry.lab": ["10.0.0.5", "fd00::5"],
    "elsewhere.example": ["10.0.0.6", "93.184.216.34"],
    "registry.k8s.io": ["10.9.9.9"],
    "local.lab": ["100.64.0.1"],
}


class Peers:
    """Answers uploads by base URL; keeps what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> Any:
        self.asked.append(request)
        host = request["base_url"].split("/")[2].partition(":")[0].replace(".", "_")
        return self.answers.get(host, {"start": reply(401), "cancel": None})


def resolve(name: str) -> Any:
    found = ADDRESSES.get(name, [])
    return {"addresses": found, "error": None if found else "Name or service not known"}


def tries(
    peers: Any, *images: str, hosts_toml: str = "", given: dict[str, Any] | None = None, **written: Any
) -> tuple[UploadTries, FakeHost]:
    told = {"config": None, "kubeconfig": None, "endpoints": [], "intrusive": True} if given is None else given
    files = {"/etc/containerd/config.toml": CONTAINERD}
    if hosts_toml:
        files[f"{CERTS_D}/registry.k8s.io/hosts.toml"] = hosts_toml
    host = FakeHost(files, upload=peers, resolve=resolve, given=told)
    config = pull_config(host, "containerd")
    listed = ListedImages("images.list", tuple(map(ImageReference.parse, images)))
    config_written = written.get("written", NOT_HERE)
    needed = written.get("needed", NOT_HERE)
    return UploadTries.observe(host, config, config_written, NOT_HERE, needed, listed), host


MIRROR = 'server = "https://registry.k8s.io"\n[host."http://mirror.lab:5000"]\n  capabilities = ["pull", "resolve"]\n  [host."http://mirror.lab:5000".header]\n    authorization = "Basic bGFiOmxhYg=="\n'


def test_without_being_asked_for_nobody_is_even_looked_up() -> None:
    peers = Peers()

    found, host = tries(peers, "registry.lab/a:1", given={"config": None, "kubeconfig": None, "endpoints": []})

    assert found == UploadTries()
    assert peers.asked == []
    assert host.contacted == []


def test_a_mirror_is_tried_with_the_images_own_repository_and_without_any_credentials() -> None:
    peers = Peers()

    found, _ = tries(peers, "registry.k8s.io/coredns/coredns:v1.12.1", hosts_toml=MIRROR)

    assert peers.asked == [
        {
            "base_url": "http://mirror.lab:5000/v2",
            "repository": "coredns/coredns",
            "ca_files": [],
            "verify": True,
            "proxy": None,
            "limit": 5.0,
        }
    ]
    assert [each.netloc for each in found.tries] == ["mirror.lab:5000"]
    assert found.public == ("registry.k8s.io",)


@pytest.mark.parametrize(
    "image", ["busybox", "quay.io/a/b:1", "europe-docker.pkg.dev/a/b:1", "registry.k8s.io/pause:3.6"]
)
def test_a_registry_for_everybody_is_never_asked_whatever_its_address_is(image: str) -> None:
    peers = Peers()

    found, host = tries(peers, image)

    assert peers.asked == []
    assert (found.tries, len(found.public)) == ((), 1)
    assert host.contacted == []


def test_a_registry_with_an_address_of_the_internet_is_not_asked_and_one_that_is_carrier_private_is() -> None:
    peers = Peers()

    found, _ = tries(peers, "elsewhere.example/a:1", "local.lab/a:1")

    assert [request["base_url"] for request in peers.asked] == ["https://local.lab/v2"]
    assert found.public == ("elsewhere.example",)


def test_a_name_without_an_address_is_not_asked_and_told() -> None:
    found, _ = tries(Peers(), "nowhere.lab/a:1")

    [tried] = found.tries
    assert tried.untried
    assert tried.untried.reason == "NameNotResolved"


def test_each_registry_is_tried_once_however_many_images_it_has() -> None:
    peers = Peers()

    tries(peers, "registry.lab/a:1", "registry.lab/b:1", "registry.lab/c:1")

    assert [request["repository"] for request in peers.asked] == ["a"]


def test_a_mirror_that_no_known_image_is_pulled_from_is_tried_by_a_name_of_our_own() -> None:
    peers = Peers()
    place = RegistryHost("https://registry.lab/v2", "made-up", "latest", f"{CERTS_D}/quay.io/hosts.toml:2")
    chain = RegistryChain(ImageReference.parse("quay.io/made-up:latest"), (place,))
    tries(peers, written=RegistryConfig("containerd", (chain,)))

    assert [request["repository"] for request in peers.asked] == ["k8sdoctor-push-check"]


@pytest.mark.parametrize(
    ("start", "cancel", "cancelled"),
    [
        (reply(202, location="/v2/a/blobs/uploads/1"), reply(204), True),
        (reply(202, location="/v2/a/blobs/uploads/1"), reply(404), True),
        (reply(202, location="/v2/a/blobs/uploads/1"), reply(403), False),
        (reply(202, location="/v2/a/blobs/uploads/1"), failure("timeout"), False),
        (reply(202), None, False),
        (reply(401), None, True),
    ],
)
def test_whether_an_upload_is_gone_again_is_told(start: Any, cancel: Any, cancelled: bool) -> None:
    found, _ = tries(Peers(registry_lab={"start": start, "cancel": cancel}), "registry.lab/a:1")

    [tried] = found.tries
    assert (tried.status, tried.cancelled) == (start["status"], cancelled)


def test_offline_is_told_for_each_registry() -> None:
    found, _ = tries(HostError("Offline", "--offline forbids HTTP requests"), "registry.lab/a:1")

    [tried] = found.tries
    assert tried.untried == Unobserved("Offline", "--offline forbids HTTP requests")


def test_the_registry_of_an_image_that_the_node_needs_is_tried_and_what_is_no_image_is_not() -> None:
    peers = Peers()
    needs = (Need("registry.lab/kube-proxy:v1.36.0", ("x",), ("y",)), Need("{{ image }}", ("x",), ("y",)))

    tries(peers, needed=NeededImages(needs))

    assert [request["repository"] for request in peers.asked] == ["kube-proxy"]
