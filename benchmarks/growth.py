"""How the cost of a whole run grows with what a node has: pods, services' rules, files, images. Each is measured at n, 2n and 4n.

Pods and images are those of the lab's containerd, and more of their like that stand in its lists: a server between it and the doctor adds them.
Each pod that is added has a network namespace of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import NOTHING, doctor, measure
from benchmarks.ratios import exponent
from tests.lab.crowd import Crowd
from tests.lab.kube_proxy import ServicePort, restore
from tests.lab.node import LabNode
from tests.lab.whole_node import PODS, WholeNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Cost
    from benchmarks.ratios import Ratios

ROUNDS = 6
ENOUGH = "120"
"""Seconds of deadline: on a busy machine a run with twenty thousand rules must not be measured half done."""


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
                ("pods", 250, crowd.have_pods),
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
