"""Ways to break a node that scenarios of several areas take, and the places that they change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

MANIFESTS = "/etc/kubernetes/manifests"
KUBELET = "/var/lib/kubelet/config.yaml"
API = "/etc/lab-api"
"""What the API server answers lies there, a file for each kind."""


def answers(kind: str, change: Callable[[dict[str, Any]], None]) -> Callable[[WholeNode], None]:
    """Have the API server answer otherwise, for each object of a kind."""

    def breaks(node: WholeNode) -> None:
        for path in node.lab.shell(f"ls {API}/*/api/{kind}.json").stdout.split():
            told = json.loads(node.lab.read(path))
            for item in told["items"]:
                change(item)
            node.lab.write(path, json.dumps(told))

    return breaks


def stop(*programs: str) -> Callable[[WholeNode], None]:
    """End daemons of the node's by the names of its fields."""

    def breaks(node: WholeNode) -> None:
        for program in programs:
            if program == "api":
                for daemon in node.apis:
                    daemon.stop()
            elif program == "containerd":
                node.containerd.stop()
            elif program.startswith("kube-") and program != "kube-proxy":
                node.health[program].stop()
            else:
                getattr(node, program.replace("-", "_")).stop()

    return breaks


def listen(port: int) -> str:
    """Somebody holds a TCP port."""
    program = f'import socket, time; s = socket.create_server(("127.0.0.1", {port})); time.sleep(10**6)'
    return (
        f"(exec -a squatter python3 -c '{program}' >/dev/null 2>&1 & echo $! >/run/squatter)\n"
        f"until ss -Hltn | grep -q '127.0.0.1:{port} '; do sleep 0.02; done"
    )


UNLISTEN = "kill $(cat /run/squatter)"
