"""Lists of images against a real containerd, a real registry with many names, a mirror that is dead, and one that says nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import cri
from tests.lab.containerd import SOCKET, Containerd
from tests.lab.node import LabNode
from tests.lab.registry import ADDRESS, NAME, SILENT, Registries

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "docker-registry", "nginx", "skopeo", "iptables", "busybox"),
]

CONFIG_PATH = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
LIST = "/root/images.list"
MANY = 40


class Lab:
    """A node whose containerd has one image, and registries with many."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.registries = Registries(node)
        self.registries.start()
        self.registries.copy(f"app{number}" for number in range(MANY))
        self.containerd = Containerd(node, toml=CONFIG_PATH)
        self.containerd.start()
        self.containerd.import_image("registry.lab:5001/here:1")

    def mirrors(self, registry: str, *urls: str) -> None:
        """Let containerd ask these hosts for a registry."""
        lines = [f"server = {json.dumps(urls[-1])}"]
        for url in urls:
            lines += [f"[host.{json.dumps(url)}]", '  capabilities = ["pull", "resolve"]']
        self.node.write(f"/etc/containerd/certs.d/{registry}/hosts.toml", "\n".join(lines) + "\n")

    def judge(self, *lines: str) -> list[dict[str, Any]]:
        self.node.write(LIST, "".join(f"{line}\r\n" for line in lines))
        found: list[dict[str, Any]] = self.node.check("image-list", "--images", LIST).result("image-list")["findings"]
        return found

    def pull(self, image: str) -> str | None:
        """What containerd says when it pulls an image; None when it has it then."""
        path = str(self.node.root) + SOCKET
        try:
            cri.call(path, "ImageService/PullImage", {"image": {"image": image}}, 60.0)
        except cri.CallError as error:
            return f"{error.code}: {error.details}"
        return None


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


def test_a_list_is_judged_by_the_runtimes_own_mirrors_and_a_dead_registry_is_one_finding(lab: Lab) -> None:
    good = f"http://{NAME}:5001"
    lab.mirrors("registry.k8s.io", good)
    lab.mirrors("quay.io", f"http://{SILENT}:5000", good)
    lab.mirrors("dead.lab", f"http://{ADDRESS}:5999")
    lab.mirrors("registry.lab:5001", good)
    names = [f"app{number}:1" for number in range(MANY)]

    found = lab.judge(
        "# an installation's images",
        "registry.lab:5001/here:1",
        *(f"registry.k8s.io/{name}" for name in names[:30]),
        *(f"quay.io/{name}" for name in names[30:]),
        *(f"dead.lab/{name}" for name in names),
        "registry.k8s.io/absent:1",
        "registry.k8s.io/absent:2",
        "",
        "no image at all",
    )

    assert [(each["status"], each["reason"], each["subject"]) for each in found] == [
        ("warn", "NotAnImage", f"{LIST}:86"),
        ("pass", "Present", LIST),
        ("warn", "MirrorFailing", f"{SILENT}:5000"),
        ("pass", "Pullable", LIST),
        ("fail", "RegistryUnreachable", f"{ADDRESS}:5999"),
        ("fail", "ImageNotFound", f"{NAME}:5001"),
    ]
    dead = found[4]
    assert all(f"dead.lab/{name}" in dead["evidence"][0]["content"] for name in names)
    assert "absent:1" in found[5]["message"]
    assert lab.pull("registry.k8s.io/app7:1") is None
    assert "connection refused" in str(lab.pull("dead.lab/app7:1"))
    assert "not found" in str(lab.pull("registry.k8s.io/absent:1"))


def test_what_was_brought_as_suggested_is_there_in_the_next_run(lab: Lab) -> None:
    lab.mirrors("dead.lab", f"http://{ADDRESS}:5999")
    images = [f"dead.lab/app{number}:1" for number in range(14)]
    *_, finding = lab.judge("# these", *images)
    assert finding["reason"] == "RegistryUnreachable"

    # Where the registries can be reached is the far side here; what lies below dead.lab is at the good one there.
    fetch, load = finding["fix"]["commands"]
    policy = "skopeo --insecure-policy copy --src-tls-verify=false"
    fetch = fetch.replace("skopeo copy", policy).replace("docker://$image", "docker://127.0.0.1:5000/${image#*/}")
    lab.node.far_run(["sh", "-ec", f"mkdir -p /root/images; cd /root/images; {fetch}"])
    lab.node.shell(f"cd /root/images; {load}")
    [after] = lab.judge(*images)

    assert (after["status"], after["reason"]) == ("pass", "Present")
