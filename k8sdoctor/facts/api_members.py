"""The API servers of the cluster, one by one: where each is, who knows of it, and what it says of itself."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.api_endpoints import NodeEndpoints, ToldEndpoints, split
from k8sdoctor.facts.clock import ahead
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.control_plane_pods import ControlPlanePods
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.finding import Unobserved
from k8sdoctor.host.answers import HttpAnswer, HttpRequest
from k8sdoctor.host.base import authority
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import NetworkFailure

LIMIT = 4.0

UNAVAILABLE = 500
"""What `/readyz` answers while a check fails (apiserver `pkg/server/healthz/healthz.go`)."""

_FAILED = regex(r"^\[-\](\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ApiMember:
    """One API server.

    `node` is the Node that it runs on, where that is known. `listed` tells whether the service `kubernetes` sends clients to it; `own` whether it is this
    node's. `status` is that of `GET /readyz` (0: no answer, and `failure` says why), `failing` are the names of the checks that keep it from being ready.
    """

    host: str
    port: int
    node: str = ""
    source: str = ""
    listed: bool = False
    own: bool = False
    status: int = 0
    failing: tuple[str, ...] = ()
    failure: NetworkFailure | None = None
    ahead: float | None = None
    """Seconds by which its clock is ahead of this node's; None where it was not told."""

    @property
    def authority(self) -> str:
        """`host:port`."""
        return authority(self.host, self.port)

    @property
    def called(self) -> str:
        """Its node's name with the address, or the address."""
        return f"{self.node} ({self.authority})" if self.node else self.authority

    @property
    def ready(self) -> bool:
        """Whether it says so, or answers at all: where anonymous requests are not allowed, `/readyz` answers 401 or 403."""
        return self.failure is None and self.status < UNAVAILABLE


@dataclass(frozen=True)
class ApiMembers:
    """Every API server that is known of, and what it answered."""

    all: tuple[ApiMember, ...]

    def at(self, host: str, port: int) -> ApiMember | None:
        """The one at an address."""
        return next((each for each in self.all if (each.host, each.port) == (normal(host), port)), None)

    @classmethod
    def observe(
        cls,
        host: Host,
        endpoints: NodeEndpoints,
        told: ToldEndpoints | Unobserved,
        pods: ControlPlanePods | Unobserved,
        nodes: ClusterNodes | Unobserved,
    ) -> Self:
        """Put together what the service, kubeadm's pods and the Nodes tell, and ask each for `/readyz`, all at the same time. Raises Offline.

        The service drops an API server that does not renew its lease for 15 s (kubernetes `pkg/controlplane/reconcilers/lease.go`), so one that is
        down is known by its pod or its Node alone.
        """
        own = {(normal(each.host), each.port) for each in endpoints.all if "own" in each.kinds}
        found: dict[tuple[str, int], ApiMember] = {}
        for each in told.all if isinstance(told, ToldEndpoints) else ():
            if "member" in each.kinds:
                member = ApiMember(normal(each.host), each.port, source="EndpointSlice default/kubernetes", listed=True)
                found[member.host, member.port] = member
        for pod in pods.of("kube-apiserver") if isinstance(pods, ControlPlanePods) else ():
            target = split(pod.address or "")
            if target is not None:
                key = (normal(target[0]), target[1])
                known = found.get(key) or ApiMember(*key, source=f"pod kube-system/{pod.name}")
                found[key] = replace(known, node=pod.node)
        for member in _of_nodes(list(found.values()), nodes):
            found[member.host, member.port] = member
        name = nodes.own_name if isinstance(nodes, ClusterNodes) else None
        members = [
            replace(each, own=key in own or (name is not None and each.node == name)) for key, each in found.items()
        ]
        return cls(tuple(side_by_side([partial(_ask, host, each) for each in members])))


def normal(host: str) -> str:
    """A host as endpoints have it: an address in its short form, a name in lower case."""
    address = as_address(host)
    return str(address) if address is not None else host.lower()


def _of_nodes(found: list[ApiMember], nodes: ClusterNodes | Unobserved) -> list[ApiMember]:
    """Control planes of which neither service nor pods tell, only where too few are known: an API server may have another address than its Node."""
    if not isinstance(nodes, ClusterNodes) or not found or len(found) >= len(nodes.control_planes):
        return []
    hosts, names, port = {each.host for each in found}, {each.node for each in found}, found[0].port
    return [
        ApiMember(normal(node.internal_addresses[0]), port, node=node.name, source=f"Node {node.name}")
        for node in nodes.control_planes
        if node.name not in names and node.internal_addresses and not hosts & {*map(normal, node.internal_addresses)}
    ]


def _ask(host: Host, member: ApiMember) -> ApiMember:
    answer: HttpAnswer = host.http(
        HttpRequest(
            method="GET",
            url=f"https://{member.authority}/readyz?verbose",
            headers={},
            ca_files=[],
            client_certificate=None,
            verify=False,  # certificates are apiserver-san's, and nothing is shown or believed here but health
            proxy=None,
            limit=LIMIT,
        )
    )
    failing = tuple(_FAILED.findall(answer["body"])) if answer["status"] >= UNAVAILABLE else ()
    return replace(member, status=answer["status"], failing=failing, failure=answer["failure"], ahead=ahead(answer))
