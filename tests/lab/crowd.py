"""A runtime with more pods and images than there are, for a lab node: a server between containerd and the doctor adds them to its lists.

Each pod that is added has a network namespace of its own, and nothing runs in it.
"""

from __future__ import annotations

import copy
import json
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from k8sdoctor.host import cri
from tests.host.test_cri import runtime
from tests.lab.containerd import SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.whole_node import WholeNode

LIMIT = 60.0
"""Seconds that containerd may take for an answer."""

AT_ONCE = 100
"""Pods that are made by one command, which may take a minute at most."""

_REAL = "/run/containerd/real.sock"
_CALLS = (
    *(f"RuntimeService/{name}" for name in ("Version", "Status", "ListContainers", "ContainerStatus")),
    "ImageService/ImageStatus",
)
_MORE_PODS = "10.244.128.0/17"  # their addresses, routed to the bridge as those of all pods
_NAMESPACE = "/run/netns/more-{}"

# Inside of each namespace its end of the pair gets the pod's address, and a way out.
_WIRE = """
import sys
from pyroute2 import IPRoute, netns
for line in sys.stdin:
    name, address = line.split()
    netns.setns(name)
    with IPRoute() as inside:
        [index] = inside.link_lookup(ifname="eth0")
        inside.link("set", index=index, state="up")
        inside.addr("add", index=index, address=address, prefixlen=32)
        inside.route("add", dst="0.0.0.0/0", oif=index)
"""


class Crowd:
    """A runtime with more pods and images than there are. Its lists are containerd's own with copies of their first entries."""

    def __init__(self, node: WholeNode) -> None:
        """Move containerd's socket out of the way."""
        self.node = node
        self.pods = 0
        self.images = 0
        self._made = 0
        self._like: dict[str, Any] | None = None  # what containerd tells of the pod that the others are copies of
        self._real = f"{node.lab.root}{_REAL}"
        node.lab.run(["ip", "route", "add", _MORE_PODS, "dev", "cni0"])

    def _ask(self, method: str, request: Any = None) -> dict[str, Any]:
        from google.protobuf import json_format

        asked = json_format.MessageToDict(request, preserving_proto_field_name=True) if request is not None else {}
        return cri.call(self._real, method, asked, LIMIT)

    def _list_pods(self, _request: Any) -> dict[str, Any]:
        items: list[dict[str, Any]] = self._ask("RuntimeService/ListPodSandbox")["items"]
        like = next(item for item in items if item["id"] == self.node.client.id)
        return {"items": [*items, *(_named(like, number) for number in range(self.pods))]}

    def _pod(self, request: Any) -> dict[str, Any]:
        id_, _, number = request.pod_sandbox_id.partition("-more-")
        if not number:
            return self._status(id_)
        if self._like is None:
            self._like = self._status(id_)
        told = copy.deepcopy(self._like)
        told["status"] = _named(told["status"], int(number))
        told["status"]["network"]["ip"] = _address(int(number))
        info = json.loads(told["info"]["info"])
        for each in info["runtimeSpec"]["linux"]["namespaces"]:
            if each["type"] == "network":
                each["path"] = _NAMESPACE.format(number)
        told["info"]["info"] = json.dumps(info)
        return told

    def _status(self, id_: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"pod_sandbox_id": id_, "verbose": True}
        return cri.call(self._real, "RuntimeService/PodSandboxStatus", asked, LIMIT)

    def _list_images(self, _request: Any) -> dict[str, Any]:
        images: list[dict[str, Any]] = self._ask("ImageService/ListImages")["images"]
        like = images[0]
        more = [
            {
                **like,
                "id": f"sha256:{number:064x}",
                "repo_tags": [f"registry.example.com/team/application-{number}:1.{number}"],
                "repo_digests": [f"registry.example.com/team/application-{number}@sha256:{number:064x}"],
            }
            for number in range(self.images)
        ]
        return {"images": [*images, *more]}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Stand between containerd and whoever asks it."""
        lab = self.node.lab
        lab.run(["mv", SOCKET, _REAL])
        answers: dict[str, Callable[[Any], dict[str, Any]]] = {
            **{method: partial(self._ask, method) for method in _CALLS},
            "RuntimeService/ListPodSandbox": self._list_pods,
            "RuntimeService/PodSandboxStatus": self._pod,
            "ImageService/ListImages": self._list_images,
        }
        try:
            with runtime(lab.root / SOCKET.lstrip("/"), answers):
                yield
        finally:
            lab.run(["mv", "-f", _REAL, SOCKET])

    def have_pods(self, count: int, *, wired: bool = False) -> None:
        """See that so many more are listed, each with its namespace; `wired` ones have an interface and a route."""
        if count > self._made:
            for first in range(self._made, count, AT_ONCE):
                more = range(first, min(first + AT_ONCE, count))
                self.node.lab.shell(f"for each in {' '.join(map(str, more))}; do ip netns add more-$each; done")
                if wired:
                    self._wire(more)
            self._made = count
        self.pods = count

    def _wire(self, more: range) -> None:
        lines = [
            f"link add more{number} type veth peer name eth0 netns more-{number}\n"
            f"link set more{number} up\n"
            f"route add {_address(number)} dev more{number}\n"
            for number in more
        ]
        self.node.lab.run(["ip", "-batch", "-"], stdin="".join(lines))
        ends = " ".join(f"/proc/sys/net/ipv4/conf/more{number}/proxy_arp" for number in more)
        self.node.lab.shell(f"for each in {ends}; do echo 1 > $each; done")
        inside = "".join(f"more-{number} {_address(number)}\n" for number in more)
        self.node.lab.run([sys.executable, "-c", _WIRE], stdin=inside)

    def have_images(self, count: int) -> None:
        """See that so many more are listed."""
        self.images = count


def _address(number: int) -> str:
    return f"10.244.{128 + number // 250}.{1 + number % 250}"


def _named(one: dict[str, Any], number: int) -> dict[str, Any]:
    """A copy of a sandbox by another name."""
    made = copy.deepcopy(one)
    made["id"] = f"{one['id']}-more-{number}"
    made["metadata"] = {**one["metadata"], "name": f"more-{number}", "uid": f"more-{number}"}
    return made
