"""The name under which kubeadm would register this machine, and whether it resolves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class PlannedName:
    """`name` is None where nothing is planned. `written` is true when the configuration says it, else it is the host name.

    `addresses` are what the node's resolver made of it; `error` holds its words when it made nothing of it.
    """

    name: str | None = None
    written: bool = False
    addresses: tuple[str, ...] = ()
    error: str | None = None

    @classmethod
    def observe(cls, host: Host, kubeadm: KubeadmConfig) -> Self:
        """Ask the resolver. Raises Offline."""
        if kubeadm.source is None or kubeadm.problem is not None:
            return cls()
        # kubernetes staging/src/k8s.io/component-helpers/node/util/hostname.go: trimmed and lower case, either way.
        name = (kubeadm.node_name or host.identity()["hostname"]).strip().lower()
        answer = host.resolve(name)
        return cls(name, kubeadm.node_name is not None, tuple(answer["addresses"]), answer["error"])
