"""Whether kube-proxy runs on this node, and how the cluster configures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.processes import Processes, program
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Host, Json

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"

# Distributions whose one process holds the kubelet and kube-proxy, too (k3s `pkg/daemons/agent`, microk8s `kubelite`).
EMBEDDING = ("k3s", "k3s-server", "k3s-agent", "kubelite")


@dataclass(frozen=True)
class KubeProxy:
    """kube-proxy as seen from this node.

    `process` names the process that is it or holds it, None where there is none. `configured` is whether the cluster has kubeadm's
    ConfigMap for it; None: nobody could tell, and `problem` says why. `mode` is as configured, None for the default.
    """

    process: str | None = None
    configured: bool | None = None
    mode: str | None = None
    problem: Unobserved | None = None

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
        return cls(process, configured=True, mode=_mode(answer))


def _mode(config_map: dict[str, Json]) -> str | None:
    data = config_map.get("data")
    text = data.get("config.conf") if isinstance(data, dict) else None
    try:
        return yaml.string(yaml.mapping(text, CONFIG_MAP), "mode") if isinstance(text, str) else None
    except yaml.YamlError:
        return None
