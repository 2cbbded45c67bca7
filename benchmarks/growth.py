"""How the cost of a whole run grows with what a node has: pods, services' rules, files, images. Each is measured at n, 2n and 4n.

Pods and images are those of the lab's containerd, and more of their like that stand in its lists: a server between it and the doctor adds them.
Each pod that is added has a network namespace of its own.
"""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.measure import NOTHING, doctor, measure
from benchmarks.ratios import exponent
from k8sdoctor.host import cri
from tests.host.test_cri import runtime
from tests.lab.containerd import SOCKET
from tests.lab.kube_proxy import ServicePort, restore
from tests.lab.node import LabNode
from tests.lab.whole_node import PODS, WholeNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Cost
    from benchmarks.ratios import Ratios

ROUNDS = 3
LIMIT = 60.0
"""Seconds that containerd may take for an answer."""

ENOUGH = "120"
"""Seconds of deadline: on a busy machine a run with twenty thousand rules must not be measured half done."""

_REAL = "/run/containerd/real.sock"
_CALLS = (
    *(f"RuntimeService/{name}" for name in ("Version", "Status", "ListContainers", "ContainerStatus")),
    "ImageService/ImageStatus",
)
_MORE_PODS = "10.244.128.0/17"  # their addresses, routed to the bridge as those of all pods
_NAMESPACE = "/run/netns/more-{}"


class Crowd:
    """A runtime with more pods and images than there are. Its lists are containerd's own with copies of their first entries."""

    def __init__(self, node: WholeNode) -> None:
        """Move containerd's socket out of the way."""
        self.node = node
        self.pods = 0
        self.images = 0
        self._made = 0
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
        told: dict[str, Any] = cri.call(
            self._real, "RuntimeService/PodSandboxStatus", {"pod_sandbox_id": id_, "verbose": True}, LIMIT
        )
        if number:
            told["status"] = _named(told["status"], int(number))
            told["status"]["network"]["ip"] = f"10.244.{128 + int(number) // 250}.{1 + int(number) % 250}"
            info = json.loads(told["info"]["info"])
            for each in info["runtimeSpec"]["linux"]["namespaces"]:
                if each["type"] == "network":
                    each["path"] = _NAMESPACE.format(number)
            told["info"]["info"] = json.dumps(info)
        return told

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

    def have_pods(self, count: int) -> None:
        """See that so many more are listed, each with its namespace."""
        if count > self._made:
            more = range(self._made, count)
            self.node.lab.shell(f"for each in {' '.join(map(str, more))}; do ip netns add more-$each; done")
            self._made = count
        self.pods = count

    def have_images(self, count: int) -> None:
        """See that so many more are listed."""
        self.images = count


def _named(one: dict[str, Any], number: int) -> dict[str, Any]:
    """A copy of a sandbox by another name."""
    made = copy.deepcopy(one)
    made["id"] = f"{one['id']}-more-{number}"
    made["metadata"] = {**one["metadata"], "name": f"more-{number}", "uid": f"more-{number}"}
    return made


class Services:
    """Rules as kube-proxy writes them, for so many services of two backends each."""

    def __init__(self, node: WholeNode) -> None:
        """Begin with none."""
        self.node = node

    def have(self, count: int) -> None:
        """Write rules anew."""
        own = self.node.server.ip
        ports = [
            ServicePort(
                f"team/application-{number}:http",
                "tcp",
                f"10.{97 + number // 60000}.{number // 250 % 250}.{1 + number % 250}",
                80,
                (f"{own}:{10000 + number}", f"{own}:{20000 + number}"),
            )
            for number in range(count)
        ]
        self.node.translate()
        more = restore(ports, pods=PODS)
        # The chains and jumps that all services share are there already.
        tables = more[more.index("*nat") :].splitlines()
        kept = [
            line for line in tables if line.startswith(("*nat", ":KUBE-SVC", ":KUBE-SEP", "COMMIT")) or "team/" in line
        ]
        self.node.lab.run(["iptables-restore", "-w", "--noflush"], stdin="\n".join([*kept, ""]))


class Files:
    """Files in folders that are read or listed: switches of the kernel, and what lies beside manifests and registries."""

    def __init__(self, node: WholeNode) -> None:
        """Begin with none."""
        self.node = node

    def have(self, count: int) -> None:
        """Make so many in each folder."""
        self.node.lab.shell(
            "find /etc/sysctl.d /etc/kubernetes/manifests /etc/containerd -name 'many-*' -delete\n"
            "mkdir -p /etc/containerd/certs.d\n"
            f"for each in $(seq {count}); do echo 'vm.max_map_count = 262144' > /etc/sysctl.d/many-$each.conf; done\n"
            f"cd /etc/kubernetes/manifests; seq {count} | sed 's/.*/many-&.bak/' | xargs -r touch\n"
            f"cd /etc/containerd/certs.d; seq {count} | sed 's/.*/many-&.txt/' | xargs -r touch"
        )


def growth(stored: Ratios) -> Ratios:
    """Print the rows, and hand out exponents and what a thousand more cost, as multiples of `python -c pass`."""
    measured: Ratios = {}
    with LabNode("cp1") as lab:
        node = WholeNode(lab, "control-plane")
        node.start()
        crowd = Crowd(node)
        print(
            "\ngrowth of the CPU of a whole run with n, 2n, 4n things, and by which power of n (none: not beyond noise; aim: 1 or less);"
        )
        print("what a thousand things more cost, as a multiple of python -c pass; `then` is what was stored")
        head = f"{'':36} {'the doctor itself':21} {'power':>6} {'then':>6} {'a thousand':>10} {'then':>6}"
        print(f"{head}   {'programs it started':21} {'power':>6}")
        with crowd.serving():
            for name, least, have in (
                ("pods", 100, crowd.have_pods),
                ("images", 1000, crowd.have_images),
                ("services of 8 rules each", 625, Services(node).have),
                ("files in each of 3 folders", 500, Files(node).have),
            ):
                row = _grown(lab, [least, 2 * least, 4 * least], have, name, stored.get(f"growth: {name}", {}))
                measured[f"growth: {name}"] = row
    return measured


def _grown(
    lab: LabNode, counts: list[int], have: Callable[[int], None], name: str, stored: dict[str, float]
) -> dict[str, float]:
    costs: dict[int, list[Cost]] = {count: [] for count in counts}
    bases = []
    for _ in range(ROUNDS):
        for count in counts:
            have(count)
            base, cost = measure(lab, NOTHING, doctor("check", "--deadline", ENOUGH))
            bases.append(base.cpu)
            costs[count].append(cost)
    have(0)
    # The least of each: what others do on the machine can only add to it.
    own = [min(cost.cpu - cost.started for cost in costs[count]) for count in counts]
    started = [min(cost.started for cost in costs[count]) for count in counts]
    row = {"thousand": (own[-1] - own[0]) / (counts[-1] - counts[0]) * 1000 / min(bases)}
    found, theirs = exponent(own), exponent(started)
    if found is not None:
        row["exponent"] = found
    at = f"{name}, n = {counts[0]}"
    print(
        f"{at:36} {_seconds(own):21} {_power(found):>6} {_power(stored.get('exponent')):>6} {row['thousand']:10.1f} "
        f"{stored.get('thousand', 0):6.1f}   {_seconds(started):21} {_power(theirs):>6}"
    )
    return row


def _seconds(costs: list[float]) -> str:
    return " ".join(f"{cost:5.2f} s" for cost in costs)


def _power(found: float | None) -> str:
    return "none" if found is None else f"{found:.2f}"
