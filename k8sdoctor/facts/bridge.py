"""The node's Linux bridges, which of them carry pods, and whether bridged packets pass iptables there.

The switches `net.bridge.bridge-nf-call-*` belong to a network namespace (Linux 5.3 and later), so they are read in the one
that holds the bridges. A packet passes iptables when the namespace's switch is on or the bridge's own is
(`net/bridge/br_netfilter_hooks.c`, `br_nf_pre_routing`).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Interface, IPv6Interface

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Netlink

SWITCHES = "/proc/sys/net/bridge"
CALL_IPTABLES = "bridge-nf-call-iptables"
CALL_IP6TABLES = "bridge-nf-call-ip6tables"

# Made by the usual plugins unless told otherwise: bridge and flannel, kubenet, kube-router, weave.
_USUAL = frozenset({"cni0", "cbr0", "kube-bridge", "weave"})

# Of programs that connect other things by veths: docker and its networks, libvirt, LXC, LXD, Incus, Podman, nerdctl, buildkit.
_OTHERS = regex(
    r"docker\d+|docker_gwbridge|br-[0-9a-f]{12}|virbr\d+|lxcbr\d+|lxdbr\d+|incusbr\d+|(cni-)?podman\d+|nerdctl\d*|buildkit\d*"
)


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge; `index` is None for one that the CNI configuration names and that does not exist yet.

    `ports` are its veths whose other end is in another network namespace. `own_ipv4` and `own_ipv6` are its own switches, None where
    the kernel does not tell. `carries` says why it is one for pods, None where nothing says so. `ipv4` and `ipv6` are the
    families of its pods.
    """

    name: str
    index: int | None = None
    ports: tuple[str, ...] = ()
    own_ipv4: bool | None = None
    own_ipv6: bool | None = None
    carries: str | None = None
    ipv4: bool = True
    ipv6: bool = False

    @property
    def exists(self) -> bool:
        """Whether it is there already."""
        return self.index is not None


@dataclass(frozen=True)
class Bridges:
    """All bridges by name, and the namespace's switches (None where br_netfilter is not there)."""

    bridges: tuple[Bridge, ...] = ()
    call_iptables: bool | None = None
    call_ip6tables: bool | None = None

    @property
    def for_pods(self) -> tuple[Bridge, ...]:
        """Those that carry pods, or will."""
        return tuple(bridge for bridge in self.bridges if bridge.carries is not None)

    @property
    def unexplained(self) -> tuple[Bridge, ...]:
        """Those that connect other network namespaces, and nobody says whose."""
        return tuple(
            bridge
            for bridge in self.bridges
            if bridge.carries is None and bridge.ports and not _OTHERS.fullmatch(bridge.name)
        )

    @classmethod
    def observe(
        cls,
        host: Host,
        network: NodeNetwork,
        cni: CniFolder | Unobserved,
        sandboxes: PodSandboxes | Unobserved,
        families: PodFamilies,
    ) -> Self:
        """Put together what netlink, the CNI configuration and the runtime tell, and read the switches."""
        pods = _pods(sandboxes)
        planned: dict[str, str] = {}
        named: dict[str, str] = {}
        if isinstance(cni, CniFolder):
            # CRI-O loads several networks; a pod may ask for one that is not the default, and its packages bring one of a bridge.
            for each in cni.networks:
                named |= dict.fromkeys(each.bridges, f"the CNI network {each.name} names it")
            if cni.chosen is not None:
                planned = {name: named[name] for name in cni.chosen.bridges}
        found = [
            _bridge(link, network, planned, named, pods, families)
            for link in network.links
            if link.get("kind") == "bridge"
        ]
        there = {bridge.name for bridge in found}
        found += [
            Bridge(name, carries=why, ipv4=families.ipv4, ipv6=families.ipv6)
            for name, why in planned.items()
            if name not in there
        ]
        return cls(
            tuple(sorted(found, key=lambda bridge: bridge.name)),
            _switch(host, CALL_IPTABLES),
            _switch(host, CALL_IP6TABLES),
        )


def _pods(sandboxes: PodSandboxes | Unobserved) -> dict[str, tuple[str, ...]]:
    """The addresses of each running pod that has a network of its own."""
    if not isinstance(sandboxes, PodSandboxes):
        return {}
    return {
        f"{sandbox.namespace}/{sandbox.name}": sandbox.ips
        for sandbox in sandboxes.sandboxes
        if sandbox.ready and not sandbox.host_network
    }


def _bridge(  # noqa: PLR0913, PLR0917 -- one bridge's part of each source
    link: Netlink,
    network: NodeNetwork,
    planned: Mapping[str, str],
    named: Mapping[str, str],
    pods: Mapping[str, tuple[str, ...]],
    families: PodFamilies,
) -> Bridge:
    name, index = link["name"], link["index"]
    ports = tuple(
        port["name"]
        for port in network.links
        if port.get("master") == index and port.get("kind") == "veth" and "link_netnsid" in port
    )
    addresses = tuple(network.addresses_of(index))
    pod = next((pod for pod, ips in pods.items() if _reaches(addresses, ips)), None)
    if name in planned:
        why: str | None = planned[name]
    elif name in named and ports:
        why = named[name]
    elif pod is not None:
        why = f"the pod {pod} has an address of its network"
    elif name in _USUAL and ports:
        why = f"{name} is a bridge for pods by its name, and {len(ports)} veths lead from it into other network namespaces"
    else:
        why = None
    versions = {address.version for address in addresses}
    return Bridge(
        name,
        index,
        ports,
        link.get("nf_call_iptables"),
        link.get("nf_call_ip6tables"),
        why,
        ipv4=families.ipv4 or 4 in versions,  # noqa: PLR2004 -- IP versions
        ipv6=families.ipv6 or 6 in versions,  # noqa: PLR2004
    )


def _reaches(addresses: tuple[IPv4Interface | IPv6Interface, ...], ips: tuple[str, ...]) -> bool:
    """Whether a bridge with these addresses is a pod's neighbour. A pod has one bridge, so one of its addresses is enough."""
    return any(ip_address(ip) in address.network for ip in ips for address in addresses)


def _switch(host: Host, name: str) -> bool | None:
    text = host.read_optional(f"{SWITCHES}/{name}")
    if text is None and not host.exists("/proc/sys/net"):
        raise HostError("Unreadable", "/proc/sys/net is not there, so no switch can be read; is /proc mounted?")
    return None if text is None else text.strip() != "0"
