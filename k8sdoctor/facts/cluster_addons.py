"""The images of what kubeadm has every cluster run: kube-proxy and the DNS server, as the API server tells them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.host import Host, Json

NAMESPACE = "kube-system"
"""Where kubeadm puts its addons (metav1.NamespaceSystem in kubeadm's phases/addons)."""

PROXY_LABEL = "kube-proxy"
DNS_LABEL = "kube-dns"
"""Values of `k8s-app` by which kubeadm, and nearly everybody else, marks the two."""

Kind = Literal["DaemonSet", "Deployment", "Pod"]


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that names images. A `Pod` is one of this node; it stands for its owner, which may not be read."""

    kind: Kind
    name: str
    images: tuple[str, ...]
    namespace: str = NAMESPACE

    @property
    def label(self) -> str:
        """`DaemonSet kube-system/kube-proxy`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class ClusterAddons:
    """What names the images of kube-proxy and of the DNS server; empty where the cluster has none of that kind.

    With a kubelet's own rights only the pods of its node can be read; then these are looked at, and `partial` is true: that there is none here
    says nothing about the cluster.
    """

    kube_proxy: tuple[Workload, ...] = ()
    dns: tuple[Workload, ...] = ()
    partial: bool = False

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """All of them."""
        return self.kube_proxy + self.dns

    @classmethod
    def observe(cls, host: Host, access: ApiAccess, node: NodeName | Unobserved) -> Self:
        """Ask the API server. Raises the reason why it cannot be asked."""
        if access.kubeconfig is None:
            problem = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            raise HostError(problem.reason, problem.message, problem.traits)
        read = partial(_workloads, host, access.kubeconfig)
        try:
            proxy, dns = side_by_side(
                [partial(read, "DaemonSet", PROXY_LABEL), partial(read, "Deployment", DNS_LABEL)],
            )
        except HostError as error:
            if error.reason != "NotPermitted" or isinstance(node, Unobserved):
                raise
            return cls._of_pods(host, access.kubeconfig, node.name)
        return cls(proxy, dns)

    @classmethod
    def _of_pods(cls, host: Host, kubeconfig: str, node: str) -> Self:
        """What the pods of this node tell, which its kubelet may list."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?fieldSelector={quote(f'spec.nodeName={node}', safe='')}"
        pods = [pod for pod in _items(host.kube(path, kubeconfig=kubeconfig)) if _text(pod, "spec", "nodeName") == node]
        proxy, dns = (
            tuple(Workload("Pod", _text(pod, "metadata", "name"), _images(pod)) for pod in pods if _label(pod) == label)
            for label in (PROXY_LABEL, DNS_LABEL)
        )
        return cls(proxy, dns, partial=True)


def _workloads(host: Host, kubeconfig: str, kind: Kind, label: str) -> tuple[Workload, ...]:
    selector = quote(f"k8s-app={label}", safe="")
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind.lower()}s?labelSelector={selector}"
    return tuple(
        Workload(kind, _text(item, "metadata", "name"), _images(_mapping(_mapping(item.get("spec")).get("template"))))
        for item in _items(host.kube(path, kubeconfig=kubeconfig))
        if _label(item) == label
    )


def _images(pod: Mapping[str, Json]) -> tuple[str, ...]:
    spec = _mapping(pod.get("spec"))
    found = [
        yaml.string(container, "image")
        for key in ("initContainers", "containers")
        for container in _mappings(spec.get(key))
    ]
    return tuple(dict.fromkeys(image for image in found if image))


def _label(item: Mapping[str, Json]) -> str:
    return _text(item, "metadata", "labels", "k8s-app")


def _text(item: Mapping[str, Json], *path: str) -> str:
    return yaml.string(item, *path) or ""


def _items(answer: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    return _mappings(answer.get("items"))


def _mappings(value: Json) -> Iterator[dict[str, Json]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
