"""Whether pods have IPv4, IPv6, or both."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class PodFamilies:
    """The IP families of pods. `why` says what that rests on; where nobody tells, pods have IPv4, or IPv6 on a machine with no other address."""

    ipv4: bool = True
    ipv6: bool = False
    why: str = "nothing tells, and IPv4 is usual"

    @classmethod
    def observe(
        cls,
        host: Host,  # noqa: ARG003 -- other facts hold all that it takes
        cni: CniFolder | Unobserved,
        sandboxes: PodSandboxes | Unobserved,
        kubeadm: KubeadmConfig | Unobserved,
        network: NodeNetwork | Unobserved,
    ) -> Self:
        """Believe running pods and the CNI configuration first, then the subnets that kubeadm was given, then the machine's own addresses."""
        found: set[int] = set()
        why: list[str] = []
        if isinstance(sandboxes, PodSandboxes):
            addresses = [ip for sandbox in sandboxes.sandboxes if not sandbox.host_network for ip in sandbox.ips]
            found |= {ip_address(address).version for address in addresses}
            why += ["the addresses of running pods"] if addresses else []
        if isinstance(cni, CniFolder):
            told = {family for family, used in ((4, cni.uses_ipv4), (6, cni.uses_ipv6)) if used}
            found |= told
            why += [f"the CNI network {cni.chosen.name}"] if told and cni.chosen else []
        if not found and isinstance(kubeadm, KubeadmConfig):
            found |= {version for subnet in kubeadm.pod_subnets if (version := _version(subnet))}
            why += [f"pod subnets of {kubeadm.source}"] if found else []
        if not found and isinstance(network, NodeNetwork) and _families(network) == {6}:
            return cls(ipv4=False, ipv6=True, why="this machine has no IPv4 address")
        return cls(4 in found, 6 in found, " and ".join(why)) if found else cls()  # noqa: PLR2004 -- IP versions


def _families(network: NodeNetwork) -> set[int]:
    addresses = [ip_address(entry["address"]) for entry in network.addresses]
    return {each.version for each in addresses if not (each.is_loopback or each.is_link_local)}


def _version(subnet: str) -> int | None:
    try:
        return ip_network(subnet, strict=False).version
    except ValueError:  # kubeadm itself refuses it
        return None
