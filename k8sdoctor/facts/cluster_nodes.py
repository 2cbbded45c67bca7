"""The Node objects of the cluster, as the API server tells them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from k8sdoctor.host import Host, Json

NODES = "/api/v1/nodes"

MOST = 100
"""Nodes in one answer. A Node is some 15 KB of JSON, most of it its list of images, and each text of it is searched for secrets."""

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
"""The label, and the taint, of a control plane since 1.20 (kubeadm's constants.LabelNodeRoleControlPlane)."""

OLD_CONTROL_PLANE = "node-role.kubernetes.io/master"  # kubeadm until 1.23 wrote it, too


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """One condition of a Node. `status` is `True`, `False` or `Unknown`; times are seconds since the epoch, None when not told."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    heartbeat: float | None = None
    transition: float | None = None


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a Node."""

    key: str
    effect: str
    value: str = ""

    @property
    def text(self) -> str:
        """As kubectl writes it, `key=value:effect`."""
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True)
class Node:
    """One Node object. `addresses` are pairs of type (`InternalIP`, `Hostname`, …) and address; versions are as reported, such as `v1.36.2`.

    `runtime_version` has the runtime's name, such as `containerd://1.6.20`. `created` is seconds since the epoch. `machine_id` and
    `system_uuid` are what the kubelet found (cAdvisor: /etc/machine-id, and the machine's product_uuid or else the former).
    """

    name: str
    conditions: tuple[NodeCondition, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    kubelet_version: str = ""
    runtime_version: str = ""
    kernel_version: str = ""
    unschedulable: bool = False
    created: float | None = None
    machine_id: str = ""
    system_uuid: str = ""

    def condition(self, type_: str) -> NodeCondition | None:
        """The condition of that type; None when it was not reported."""
        return next((each for each in self.conditions if each.type == type_), None)

    def taint(self, key: str) -> Taint | None:
        """The first taint with that key."""
        return next((each for each in self.taints if each.key == key), None)

    @property
    def is_ready(self) -> bool:
        """Whether its condition Ready is True."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

    @property
    def has_control_plane_label(self) -> bool:
        """Whether it carries the label of a control plane, the old one included."""
        return CONTROL_PLANE in self.labels or OLD_CONTROL_PLANE in self.labels

    @property
    def internal_addresses(self) -> tuple[str, ...]:
        """Its addresses of type InternalIP."""
        return tuple(address for type_, address in self.addresses if type_ == "InternalIP")

    @classmethod
    def parse(cls, item: Mapping[str, Json]) -> Self:
        """A Node from its JSON. What is not of the API's form is left out."""
        metadata, spec, status = (_mapping(item.get(key)) for key in ("metadata", "spec", "status"))
        info = _mapping(status.get("nodeInfo"))
        return cls(
            name=yaml.string(metadata, "name") or "",
            conditions=tuple(map(_condition, _mappings(status.get("conditions")))),
            labels={key: value for key, value in _mapping(metadata.get("labels")).items() if isinstance(value, str)},
            taints=tuple(
                Taint(*(yaml.string(taint, key) or "" for key in ("key", "effect", "value")))
                for taint in _mappings(spec.get("taints"))
            ),
            pod_cidrs=yaml.strings(spec, "podCIDRs") or tuple(filter(None, (yaml.string(spec, "podCIDR"),))),
            addresses=tuple(
                (yaml.string(each, "type") or "", yaml.string(each, "address") or "")
                for each in _mappings(status.get("addresses"))
            ),
            kubelet_version=yaml.string(info, "kubeletVersion") or "",
            runtime_version=yaml.string(info, "containerRuntimeVersion") or "",
            kernel_version=yaml.string(info, "kernelVersion") or "",
            unschedulable=spec.get("unschedulable") is True,
            created=seconds(metadata.get("creationTimestamp")),
            machine_id=yaml.string(info, "machineID") or "",
            system_uuid=yaml.string(info, "systemUUID") or "",
        )


@dataclass(frozen=True)
class ClusterNodes:
    """The Nodes that the API server gave, by name.

    `complete` is true when these are all; else `problem` says why not: this kubeconfig may read its own Node alone (NotPermitted), or
    there are more than `MOST` (Unreadable), and then the first ones are here, those with the control plane's label, and this one.
    `own_name` is the name of this machine's Node; when it is not among `all`, `own_problem` says why (NotFound: the API server has no
    such Node). `source` is the kubeconfig that was used.
    """

    all: tuple[Node, ...]
    own_name: str
    source: str
    complete: bool = True
    problem: Unobserved | None = None
    own_problem: Unobserved | None = None

    @property
    def own(self) -> Node | None:
        """This machine's Node; None when it was not given."""
        return self.named(self.own_name)

    @property
    def control_planes(self) -> tuple[Node, ...]:
        """The Nodes with the control plane's label."""
        return tuple(node for node in self.all if node.has_control_plane_label)

    def named(self, name: str) -> Node | None:
        """The Node of that name."""
        return next((node for node in self.all if node.name == name), None)

    @classmethod
    def observe(cls, host: Host, access: ApiAccess, name: NodeName) -> Self:
        """Ask for them. Raises what kept every answer from us: no kubeconfig that works, no API server, no right to read even one."""
        if access.kubeconfig is None:
            why = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            raise HostError(why.reason, why.message, why.traits)
        try:
            answer = host.kube(f"{NODES}?limit={MOST}", kubeconfig=access.kubeconfig)
        except HostError as error:
            # Since 1.32 a kubelet may read its own Node alone (feature AuthorizeNodeWithSelectors).
            if error.reason != "NotPermitted":
                raise
            own = _own(host, access.kubeconfig, name.name)
            if isinstance(own, Unobserved) and own.reason != "NotFound":
                raise HostError(own.reason, own.message) from None
            return cls._of([own], name, access.kubeconfig, Unobserved(error.reason, error.message))
        found: list[Node | Unobserved] = list(_items(answer))
        metadata = _mapping(answer.get("metadata"))
        if not metadata.get("continue"):
            return cls._of(found, name, access.kubeconfig)
        more = metadata.get("remainingItemCount")
        count = f"{len(found) + more}" if isinstance(more, int) else f"more than {len(found)}"
        label = quote(CONTROL_PLANE, safe="")
        try:
            found += _items(host.kube(f"{NODES}?limit={MOST}&labelSelector={label}", kubeconfig=access.kubeconfig))
        except HostError as error:
            found.append(Unobserved(error.reason, error.message))
        if not any(isinstance(node, Node) and node.name == name.name for node in found):
            found.append(_own(host, access.kubeconfig, name.name))
        sentence = f"the cluster has {count} nodes; asked for were the first {MOST}, the control planes and this one"
        return cls._of(found, name, access.kubeconfig, Unobserved("Unreadable", sentence))

    @classmethod
    def _of(
        cls,
        found: Iterable[Node | Unobserved],
        name: NodeName,
        source: str,
        problem: Unobserved | None = None,
    ) -> Self:
        listed = list(found)
        nodes = {node.name: node for node in listed if isinstance(node, Node)}
        problems = [each for each in listed if isinstance(each, Unobserved)]
        absent = Unobserved("NotFound", f'the API server has no Node "{name.name}"')
        return cls(
            tuple(nodes[each] for each in sorted(nodes)),
            name.name,
            source,
            complete=problem is None,
            problem=problem,
            own_problem=None if name.name in nodes else (problems or [absent])[-1],
        )


def _own(host: Host, kubeconfig: str, name: str) -> Node | Unobserved:
    try:
        return Node.parse(host.kube(f"{NODES}/{quote(name, safe='')}", kubeconfig=kubeconfig))
    except HostError as error:
        return Unobserved(error.reason, error.message)


def _items(answer: Mapping[str, Json]) -> Iterator[Node]:
    for item in _mappings(answer.get("items")):
        node = Node.parse(item)
        if node.name:
            yield node


def _condition(item: Mapping[str, Json]) -> NodeCondition:
    return NodeCondition(
        yaml.string(item, "type") or "",
        yaml.string(item, "status") or "",
        yaml.string(item, "reason") or "",
        yaml.string(item, "message") or "",
        seconds(item.get("lastHeartbeatTime")),
        seconds(item.get("lastTransitionTime")),
    )


def seconds(value: Json) -> float | None:
    """Seconds since the epoch of a time as the API writes it (RFC 3339); None for what is none.

    >>> seconds("2026-11-20T13:22:04Z"), seconds("2026-11-20T13:22:04.500000Z"), seconds(None)
    (1795180924.0, 1795180924.5, None)
    """
    from datetime import datetime

    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
