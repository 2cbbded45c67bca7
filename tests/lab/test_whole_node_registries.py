"""A whole node that lost its images, whose mirror fails it: only the images' checks alarm, as one, and the pasted fix mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode
from tests.lab.registry import NAME, Registries
from tests.lab.whole_node import IMAGES, WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs(
        "containerd",
        "runc",
        "ctr",
        "busybox",
        "dnsmasq",
        "iptables",
        "ss",
        "docker-registry",
        "nginx",
        "skopeo",
        "openssl",
    ),
]

_CERTS_D = """
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""


@pytest.fixture(scope="module")
def mirrored() -> Iterator[tuple[WholeNode, Registries]]:
    with LabNode("worker-1") as lab:
        node, registries = WholeNode(lab), Registries(lab)
        node.start()
        registries.start()
        lab.write("/etc/hosts", f"{lab.read('/etc/hosts')}192.0.2.10 worker-1\n")
        registries.push(*(image.removeprefix("registry.k8s.io/") for image in IMAGES))
        lab.write("/etc/containerd/config.toml", lab.read("/etc/containerd/config.toml") + _CERTS_D)
        lab.shell("ctr -n k8s.io images ls -q | xargs -r ctr -n k8s.io images rm --sync")  # pods run on without it
        node.containerd.restart()
        yield node, registries


def test_images_that_a_mirror_has_are_no_fault(mirrored: tuple[WholeNode, Registries]) -> None:
    node, registries = mirrored
    registries.mirror(f"http://{NAME}:5001")

    outcome = node.check()

    assert (outcome.code, alarms(outcome)) == (0, set())
    assert outcome.reasons("pause-image") == outcome.reasons("images") == {"Pullable"}


@pytest.mark.parametrize(
    ("url", "extra", "reason", "mends"),
    [
        (f"http://{NAME}:5003", "", "RegistryForbidden", False),
        (f"http://{NAME}:5004", "", "NotARegistry", False),
        (f"http://{NAME}:5999", "", "RegistryUnreachable", False),
        (f"https://{NAME}:5001", "", "PlainHttpRegistry", True),
        (f"https://{NAME}:5002", 'ca = "/etc/lab-ca/missing.crt"', "CaUnreadable", True),
        (f"https://{NAME}:5002", "", "CertificateUntrusted", True),
    ],
)
def test_a_mirror_s_fault_is_one_trouble_for_all_images(
    mirrored: tuple[WholeNode, Registries], url: str, extra: str, reason: str, *, mends: bool
) -> None:
    node, registries = mirrored
    registries.mirror(url, extra=extra)

    outcome = node.check()

    told = alarms(outcome)
    assert {each for each in told if not each.startswith("registry-config/")} == {
        f"pause-image/{reason} (fail)",
        f"images/{reason} (fail)",
    }
    [diagnosis] = outcome.report["diagnoses"]
    assert diagnosis["cause"]["check"] == "pause-image"
    if mends:  # the others are mended at the registry, or by hand
        node.paste(diagnosis["fix"])
        node.containerd.wait_until_ready()
        assert alarms(node.check()) == set()
