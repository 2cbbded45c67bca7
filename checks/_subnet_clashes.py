"""Where a subnet that the cluster is to have for itself meets what this machine has already."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

from k8sdoctor.facts.node_network import MAIN_TABLE
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.facts.node_network import NodeNetwork
    from k8sdoctor.facts.resolvers import Resolvers

# Links that a pod network or kube-proxy makes, whose addresses are of the cluster's own subnets: bridge and flannel, Calico, Cilium,
# kube-router, Weave, Antrea, OVN-Kubernetes, Kube-OVN; kube-proxy's ipvs mode and NodeLocal DNSCache hold service addresses.
CLUSTERS_OWN = regex(
    r"cni\d+|cbr0|flannel.*|cali.*|tunl0|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali|cilium.*|lxc.*|"
    r"kube-bridge|kube-dummy-if|tun-[0-9a-f]+|weave|vethwe.*|vxlan-\d+|antrea-.*|ovn.*|br-int|genev_sys_.*|kube-ipvs0|nodelocaldns|"
    r"veth.*"
)


@dataclass(frozen=True, slots=True)
class Clash:
    """What a subnet meets. `within` is true for something inside the subnet, false for something wider around it.

    `what` is a clause such as `eth0 has the address 10.244.3.7/24`; `link` is empty for a DNS server.
    """

    within: bool
    what: str
    link: str = ""


def overlap(one: Subnet, other: Subnet) -> bool:
    """Whether two subnets share addresses; those of different families share none."""
    return one.version == other.version and one.overlaps(other)


def clashes(subnet: Subnet, network: NodeNetwork, *, routes: bool) -> Iterator[Clash]:
    """The addresses, and with `routes` the routes, of this machine that a subnet meets, but for those of a pod network.

    On a node of a cluster, routes into the pods' subnet are as they should be.
    """
    names = {link["index"]: link["name"] for link in network.links}
    connected: set[tuple[int, str]] = set()
    for entry in network.addresses:
        name = names.get(entry["index"], "")
        address = ip_interface(f"{entry['address']}/{entry['prefix']}")
        connected.add((entry["index"], str(address.network)))
        if address.is_loopback or address.is_link_local or CLUSTERS_OWN.fullmatch(name):
            continue
        if overlap(address.network, subnet):
            within = address.ip in subnet
            yield Clash(within, f"{name} has the address {address}", name)
    if not routes:
        return
    for route in network.routes:
        name = names.get(route.get("oif", 0), "")
        destination = ip_network(route["destination"], strict=False)
        if route.get("table") != MAIN_TABLE or CLUSTERS_OWN.fullmatch(name):
            continue
        if destination.prefixlen == 0:
            gateway = route.get("gateway")
            if gateway and ip_address(gateway) in subnet:
                yield Clash(True, f"the default gateway is {gateway}", name)  # noqa: FBT003 -- a field
        elif (
            overlap(destination, subnet)
            and not destination.is_link_local
            and (route.get("oif", 0), str(destination)) not in connected
        ):
            within = destination.prefixlen >= subnet.prefixlen
            yield Clash(within, f"a route leads {destination} to {name or route.get('type', 'nowhere')}", name)


def server_clashes(subnet: Subnet, resolvers: Resolvers) -> Iterator[Clash]:
    """The DNS servers of this machine that lie in a subnet."""
    for address, path in resolvers.servers:
        if address.version == subnet.version and address in subnet:
            yield Clash(True, f"{path} names the DNS server {address}")  # noqa: FBT003 -- a field
