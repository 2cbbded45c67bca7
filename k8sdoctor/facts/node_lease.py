"""The lease by which this machine's kubelet tells that it is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from k8sdoctor.facts import numbers
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_nodes import seconds
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@dataclass(frozen=True)
class NodeLease:
    """`age` is how many seconds ago the kubelet renewed its lease, by this node's clock; None where there is none, or where `problem`.

    The kubelet renews it every ten seconds and it lasts for `duration` (nodeLeaseDurationSeconds, 40).
    """

    age: float | None = None
    duration: float = 40.0
    problem: Unobserved | None = None

    @classmethod
    def observe(cls, host: Host, access: ApiAccess | Unobserved, name: NodeName) -> Self:
        """Ask for it. Never raises."""
        if isinstance(access, Unobserved) or access.kubeconfig is None:
            return cls(problem=access if isinstance(access, Unobserved) else access.problem)
        try:
            spec = host.kube(f"{LEASES}/{quote(name.name, safe='')}", kubeconfig=access.kubeconfig).get("spec")
        except HostError as error:
            return cls(problem=Unobserved(error.reason, error.message))
        renewed = seconds(spec.get("renewTime")) if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or renewed is None:
            return cls()
        duration = numbers.whole(str(spec.get("leaseDurationSeconds", "")))
        return cls(host.now() - renewed, cls.duration if duration is None else float(duration))
