"""The pod subnets that the cluster was told: by kubeadm's configuration, planned or kept, and by the controller manager's own flags."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.processes import flag
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.host import Host

CONTROLLER_MANAGER = "/etc/kubernetes/manifests/kube-controller-manager.yaml"


@dataclass(frozen=True)
class PodSubnets:
    """Each pod subnet with where it is written; none when nobody says. `problem` is why the controller manager's manifest told nothing."""

    subnets: tuple[tuple[Subnet, str], ...] = ()
    problem: Unobserved | None = None

    @classmethod
    def observe(
        cls, host: Host, kubeadm: KubeadmConfig | Unobserved, cluster: ClusterKubeadmConfig | Unobserved
    ) -> Self:
        """Read what there is. Never raises: what cannot be read is a problem, but for the cluster's own ConfigMap, which few may read."""
        found: dict[Subnet, str] = {}
        stored = cluster.config if isinstance(cluster, ClusterKubeadmConfig) else None
        for config in (kubeadm, stored):
            if isinstance(config, KubeadmConfig):
                for text in config.pod_subnets:
                    _add(found, text, f"podSubnet in {config.source}")
        problem: Unobserved | None = None
        try:
            for text in _cluster_cidr(host).split(","):
                _add(found, text, f"--cluster-cidr in {CONTROLLER_MANAGER}")
        except HostError as error:
            problem = Unobserved(error.reason, error.message)
        except yaml.YamlError as error:
            problem = Unobserved("Unreadable", str(error))
        return cls(tuple(found.items()), problem)


def _add(found: dict[Subnet, str], text: str, source: str) -> None:
    try:
        found.setdefault(ipaddress.ip_network(text.strip(), strict=False), source)
    except ValueError:
        return


def _cluster_cidr(host: Host) -> str:
    manifest = yaml.mapping(host.read_optional(CONTROLLER_MANAGER) or "", CONTROLLER_MANAGER)
    spec = manifest.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    for container in containers if isinstance(containers, list) else []:
        if isinstance(container, dict):
            words = (*yaml.strings(container, "command"), *yaml.strings(container, "args"))
            if found := flag(words, "--cluster-cidr"):
                return found
    return ""
