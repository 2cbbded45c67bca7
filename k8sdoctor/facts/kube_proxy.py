"""Whether kube-proxy runs on this node, and how the cluster configures it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.processes import Processes, program
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host, Json

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"

# Distributions whose one process holds the kubelet and kube-proxy, too (k3s `pkg/daemons/agent`, microk8s `kubelite`).
EMBEDDING = ("k3s", "k3s-server", "k3s-agent", "kubelite")


@dataclass(frozen=True)
class KubeProxy:
    """kube-proxy as seen from this node.

    `process` names the process that is it or holds it, None where there is none. `configured` is whether the cluster has kubeadm's
    ConfigMap for it; None: nobody could tell, and `problem` says why. `mode` is as configured, None for the default. `pod_subnets` are the
    parts of its clusterCIDR, empty where it tells pods from others by something else.
    """

    process: str | None = None
    configured: bool | None = None
    mode: str | None = None
    problem: Unobserved | None = None
    pod_subnets: tuple[str, ...] = ()

    @classmethod
    def observe(cls, host: Host, processes: Processes, access: ApiAccess | Unobserved) -> Self:
        """Look at the processes, and ask the API server for the configuration. What the API server does not tell is a problem."""
        found = processes.named("kube-proxy", *EMBEDDING)
        process = f"{program(found[0]) or found[0]['name']}, pid {found[0]['pid']}" if found else None
        if isinstance(access, Unobserved):
            return cls(process, problem=access)
        if access.kubeconfig is None:
            return cls(process, problem=access.problem)
        try:
            answer = host.kube(CONFIG_MAP, kubeconfig=access.kubeconfig)
        except HostError as error:
            if error.reason == "NotFound":
                return cls(process, configured=False)
            return cls(process, problem=Unobserved(error.reason, error.message))
        config = _config(answer)
        by_subnet = yaml.string(config, "detectLocalMode") in (None, "ClusterCIDR")
        subnets = (yaml.string(config, "clusterCIDR") or "").split(",") if by_subnet else ()
        return cls(process, True, yaml.string(config, "mode"), pod_subnets=tuple(filter(None, subnets)))  # noqa: FBT003 -- a field


def _config(config_map: dict[str, Json]) -> dict[str, Json]:
    """Its configuration file; empty where it is none."""
    try:
        return yaml.mapping(yaml.string(config_map, "data", "config.conf") or "", CONFIG_MAP)
    except yaml.YamlError:
        return {}
