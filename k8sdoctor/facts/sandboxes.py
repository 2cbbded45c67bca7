"""The pod sandboxes that the runtime holds: their processes and network namespaces."""

from __future__ import annotations

from dataclasses import field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self, cast

from k8sdoctor.facts.runtime import Runtime, decoded
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json


@dataclass(frozen=True)
class Sandbox:
    """One pod sandbox.

    `pid` is its process in the runtime's pid namespace, `netns_path` its network namespace as the runtime names it; both are
    None where it did not tell, and for a sandbox that is not ready. `host_network` is true for a pod in the node's own network. `ips` are
    addresses: CNI plugins write what the runtime tells there, so what is none is left out.
    """

    id: str
    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    pid: int | None = None
    netns_path: str | None = None
    host_network: bool = False
    ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class PodSandboxes:
    """Every sandbox that the runtime holds, in the order of namespace and name."""

    sandboxes: tuple[Sandbox, ...]

    @classmethod
    def observe(cls, host: Host, runtime: Runtime) -> Self:
        """Ask the runtime. Raises what kept it from answering."""
        if not runtime.reachable or runtime.endpoint is None:
            reason, message = "RuntimeUnreachable", "the container runtime was not asked"
            if runtime.problem:
                reason, message = runtime.problem.reason, runtime.problem.message
            raise HostError(reason, message)
        listed = host.cri(runtime.endpoint, "RuntimeService/ListPodSandbox")
        items = cast("list[dict[str, Json]]", listed.get("items") or [])
        found = [_sandbox(host, runtime.endpoint, item) for item in items]
        return cls(tuple(sorted(found, key=lambda sandbox: (sandbox.namespace, sandbox.name, sandbox.id))))


def _sandbox(host: Host, endpoint: str, item: dict[str, Json]) -> Sandbox:
    metadata = cast("dict[str, str]", item.get("metadata") or {})
    plain = Sandbox(
        id=str(item.get("id", "")),
        name=metadata.get("name", ""),
        namespace=metadata.get("namespace", ""),
        labels=cast("dict[str, str]", item.get("labels") or {}),
        ready=item.get("state", "SANDBOX_READY") == "SANDBOX_READY",
    )
    if not plain.ready:
        return plain
    try:
        told = host.cri(endpoint, "RuntimeService/PodSandboxStatus", {"pod_sandbox_id": plain.id, "verbose": True})
    except HostError as error:
        if error.reason == "NotFound":  # it ended since it was listed
            return Sandbox(plain.id, plain.name, plain.namespace, plain.labels, ready=False)
        raise
    status = _mapping(told.get("status"))
    details = _mapping(decoded(_mapping(told.get("info"))).get("info"))
    namespaces = _mapping(_mapping(details.get("runtimeSpec")).get("linux")).get("namespaces")
    network = _mapping(status.get("network"))
    pid = details.get("pid")
    return Sandbox(
        plain.id,
        plain.name,
        plain.namespace,
        plain.labels,
        ready=True,
        pid=pid if isinstance(pid, int) and pid > 0 else None,
        netns_path=_network_namespace(namespaces),
        host_network=_mode(status) == "NODE" or _shares_the_nodes_network(namespaces),
        ips=tuple(
            ip
            for ip in (network.get("ip"), *(_mapping(more).get("ip") for more in _list(network.get("additional_ips"))))
            if isinstance(ip, str) and _is_address(ip)
        ),
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _mode(status: Mapping[str, Json]) -> Json:
    namespaces = _mapping(_mapping(status.get("linux")).get("namespaces"))
    return _mapping(namespaces.get("options")).get("network")


def _shares_the_nodes_network(namespaces: Json) -> bool:
    """Whether an OCI runtime specification lists namespaces, and no network among them."""
    types = [_mapping(namespace).get("type") for namespace in _list(namespaces)]
    return bool(types) and "network" not in types


def _network_namespace(namespaces: Json) -> str | None:
    """The path of the network namespace in an OCI runtime specification (config-linux.md); none for the node's own."""
    for namespace in _list(namespaces):
        entry = _mapping(namespace)
        path = entry.get("path")
        if entry.get("type") == "network" and isinstance(path, str) and path:
            return path
    return None


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
