"""The pods of the control plane on every node, as the API server tells them: the mirrors of kubeadm's static pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers, yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.processes import flag
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json

PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane"
"""kubeadm labels each of its static pods so, and with `component` (cmd/kubeadm/app/util/staticpod, ComponentPod)."""

ENDPOINT = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
"""The annotation by which kubeadm itself finds each API server since 1.22 (constants.KubeAPIServerAdvertiseAddressEndpointAnnotationKey)."""


@dataclass(frozen=True, slots=True)
class ControlPlanePod:
    """One pod: what it runs (`kube-apiserver`, `etcd`, …), on which Node, its command line, and kubeadm's word of where an API server is."""

    name: str
    component: str
    node: str
    words: tuple[str, ...] = ()
    endpoint: str | None = None

    @property
    def address(self) -> str | None:
        """Where an API server says that it is: `host:port` by its flags, for kubeadm's annotation stays as it was when those are edited."""
        host, port = self.flag("--advertise-address"), numbers.port(self.flag("--secure-port") or "6443")
        return authority(host, port) if host and port else self.endpoint

    def flag(self, name: str) -> str | None:
        """The value of a flag of its command line."""
        return flag(self.words, name)


@dataclass(frozen=True)
class ControlPlanePods:
    """All of them; empty where the control plane is not made of pods."""

    all: tuple[ControlPlanePod, ...]

    def of(self, component: str) -> tuple[ControlPlanePod, ...]:
        """Those that run one component."""
        return tuple(pod for pod in self.all if pod.component == component)

    @classmethod
    def observe(cls, host: Host, access: ApiAccess) -> Self:
        """Ask for them. Raises why they cannot be asked for; a kubelet may not (NotPermitted)."""
        if access.kubeconfig is None:
            why = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            raise HostError(why.reason, why.message, why.traits)
        items = host.kube(PODS, kubeconfig=access.kubeconfig).get("items")
        pods = [_pod(item) for item in (items if isinstance(items, list) else []) if isinstance(item, dict)]
        return cls(tuple(pod for pod in pods if pod is not None))


def _pod(item: Mapping[str, Json]) -> ControlPlanePod | None:
    labels, component = item.get("metadata"), yaml.string(item, "metadata", "labels", "component")
    if component is None or yaml.string(item, "metadata", "labels", "tier") != "control-plane":
        return None
    spec = item.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    first = containers[0] if isinstance(containers, list) and containers else None
    words = (*yaml.strings(first, "command"), *yaml.strings(first, "args")) if isinstance(first, dict) else ()
    annotations = labels.get("annotations") if isinstance(labels, dict) else None
    return ControlPlanePod(
        yaml.string(item, "metadata", "name") or "",
        component,
        yaml.string(item, "spec", "nodeName") or "",
        words,
        yaml.string(annotations, ENDPOINT) if isinstance(annotations, dict) else None,
    )
