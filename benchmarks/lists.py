"""How long lists take: five hundred images on a registry of the lab, also behind a mirror that is dead, and as many files."""

from __future__ import annotations

import json
import resource
import time
from typing import TYPE_CHECKING

from tests.lab.containerd import Containerd
from tests.lab.node import LabNode
from tests.lab.registry import NAME, SILENT, Registries

if TYPE_CHECKING:
    from collections.abc import Iterable

MANY = 500
AIM = 60.0  # seconds
CONFIG_PATH = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
LIST = "/root/list"


def run(node: LabNode, lines: Iterable[str], *options: str) -> str:
    """What a list takes, and what comes of it."""
    node.write(LIST, "".join(f"{line}\n" for line in lines))
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    outcome = node.check(*options, LIST)
    taken, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    reasons = sorted(outcome.reasons(options[0]))
    return f"{taken:5.1f} s, {cpu:5.1f} s of CPU ({', '.join(reasons)})"


def mirrors(node: LabNode, registry: str, *urls: str) -> None:
    """Let containerd ask these hosts for a registry."""
    hosts = "".join(f'[host.{json.dumps(url)}]\n  capabilities = ["pull", "resolve"]\n' for url in urls)
    node.write(f"/etc/containerd/certs.d/{registry}/hosts.toml", f"server = {json.dumps(urls[-1])}\n{hosts}")


def lists() -> None:
    """Print the rows."""
    with LabNode() as node:
        registries = Registries(node)
        registries.start()
        registries.copy(f"app{number}" for number in range(MANY))
        Containerd(node, toml=CONFIG_PATH).start()
        good, dead = f"http://{NAME}:5001", f"http://{SILENT}:5000"
        mirrors(node, "registry.k8s.io", good)
        mirrors(node, "quay.io", dead, good)
        mirrors(node, "dead.lab", dead)
        print(f"\n{MANY} in a list, one registry behind nginx (aim: {AIM:.0f} s)")
        for told, registry in {
            "images": "registry.k8s.io",
            "images, the first mirror silent": "quay.io",
            "images, the only host silent": "dead.lab",
        }.items():
            names = (f"{registry}/app{number}:1" for number in range(MANY))
            print(f"{told:34} {run(node, names, 'image-list', '--images')}")
        files = (f"http://{NAME}:5013/{number}" for number in range(MANY))
        print(f"{'files':34} {run(node, files, 'download-list', '--files')}")
        silent = (f"http://{SILENT}:5000/{number}" for number in range(MANY))
        print(f"{'files, the server silent':34} {run(node, silent, 'download-list', '--files')}")


if __name__ == "__main__":
    lists()
