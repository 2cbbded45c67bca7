"""Images, of a worker that has none and pulls from a mirror."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.lab.registry import NAME as REGISTRY
from tests.lab.registry import SILENT
from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import API

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode


def _mirror(url: str, extra: str = "") -> Callable[[WholeNode], None]:
    """Let the runtime ask this mirror alone."""
    text = f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  {extra}\n'

    def breaks(node: WholeNode) -> None:
        node.lab.write("/etc/containerd/certs.d/registry.k8s.io/hosts.toml", text)

    return breaks


_IMAGES = partial(Scenario, "images")

SCENARIOS = (
    _IMAGES(
        "the mirror forbids",
        _mirror(f"http://{REGISTRY}:5003"),
        "pause-image/RegistryForbidden",
        ("images/RegistryForbidden",),
        role="mirrored",
    ),
    _IMAGES(
        "a login page answers in the mirror's place",
        _mirror(f"http://{REGISTRY}:5004"),
        "pause-image/NotARegistry",
        ("images/NotARegistry",),
        role="mirrored",
    ),
    _IMAGES(
        "nobody serves at the mirror's port",
        _mirror(f"http://{REGISTRY}:5999"),
        "pause-image/RegistryUnreachable",
        ("images/RegistryUnreachable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror takes packets and is silent",
        _mirror(f"http://{SILENT}:5000"),
        "pause-image/RegistryUnreachable",
        ("images/RegistryUnreachable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror speaks HTTP and is asked for HTTPS",
        _mirror(f"https://{REGISTRY}:5001"),
        "pause-image/PlainHttpRegistry",
        ("images/PlainHttpRegistry",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's authority is a file that is not there",
        _mirror(f"https://{REGISTRY}:5002", 'ca = "/etc/lab-ca/missing.crt"'),
        "pause-image/CaUnreadable",
        ("images/CaUnreadable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's authority is not known",
        _mirror(f"https://{REGISTRY}:5002"),
        "pause-image/CertificateUntrusted",
        ("images/CertificateUntrusted",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's name is not resolved",
        _mirror("http://mirror.example.test:5001"),
        "pause-image/NameNotResolved",
        ("images/NameNotResolved",),
        role="mirrored",
    ),
    _IMAGES(
        "the cluster still names a registry that was frozen",
        f"sed -i s,registry.k8s.io,k8s.gcr.io, {API}/*/api/configmaps.json",
        "image-registries/RegistryFrozen",
        status="warn",
    ),
)
