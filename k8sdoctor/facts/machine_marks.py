"""What only one machine may have: the UUID of its board, the addresses of its network cards, the certificate of its kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubeconfig import Kubeconfigs
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

PRODUCT_UUID = "/sys/class/dmi/id/product_uuid"
"""Where kubeadm's documentation and cAdvisor (`utils/sysfs` GetSystemUUID) look for it; root alone may read it."""

NODE = "the Node's name"
LINKS = "network cards"
CLIENT_CERTIFICATE = "the kubelet's client certificate"
AUTHORITY = "the cluster's authority"
POD_CIDRS = "the Node's pod CIDRs"
"""The sources of a report's evidence of each mark; a comparison of reports finds it by them."""


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """A link of the hardware that leads off the machine, with the addresses (with prefix) that it and the links above it have."""

    name: str
    mac: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineMarks:
    """The marks that could be seen; empty is what could not, or is not there. Certificates are named by the SHA-256 of the first one."""

    node_name: str = ""
    product_uuid: str = ""
    cards: tuple[NetworkCard, ...] = ()
    client_certificate: str = ""
    authority: str = ""

    @classmethod
    def observe(
        cls, host: Host, network: NodeNetwork | Unobserved, name: NodeName, kubeconfigs: Kubeconfigs | Unobserved
    ) -> Self:
        """Look at each. Never raises: a mark that nobody may see is no fault of the machine."""
        try:
            uuid = host.read(PRODUCT_UUID).strip()
        except HostError:
            uuid = ""
        return cls(
            node_name=name.certificate or "",
            product_uuid=uuid,
            cards=tuple(_cards(network)) if isinstance(network, NodeNetwork) else (),
            client_certificate=name.fingerprint,
            authority=_authority(kubeconfigs, name.kubeconfig) if isinstance(kubeconfigs, Kubeconfigs) else "",
        )


def _cards(network: NodeNetwork) -> Iterator[NetworkCard]:
    """Hardware that has an address or a default route, by itself or by a bond, bridge or VLAN upon it.

    What the kernel made (`kind`) gets its address by a rule: veths of Calico all have the same, bridges of docker one made of their IP. And a server's
    link to its own management controller over USB has one address on every board of a maker, with a link-local IP if any.
    """
    links = {link["index"]: link for link in network.links}
    uplinks = set(network.uplinks)
    for link in network.links:
        if "kind" in link or not link.get("mac", "").strip("0:"):
            continue
        chain, waiting = {link["index"]}, [link]
        while waiting:
            below = waiting.pop()
            above = [
                each for each in network.links if each.get("link") == below["index"] and "link_netnsid" not in each
            ]
            master = links.get(below.get("master", 0))
            for each in [*above, *([master] if master else [])]:
                if each.get("kind") in ("bond", "bridge", "team", "vlan") and each["index"] not in chain:
                    chain.add(each["index"])
                    waiting.append(each)
        addresses = tuple(str(address) for index in sorted(chain) for address in network.addresses_of(index))
        if addresses or uplinks & {links[index]["name"] for index in chain}:
            yield NetworkCard(link["name"], link["mac"], addresses)


def _authority(kubeconfigs: Kubeconfigs, path: str) -> str:
    from k8sdoctor.facts.x509 import BadCertificateError, certificates

    file = kubeconfigs.at(path)
    try:
        return certificates(file.ca)[0].fingerprint if file and file.ca else ""
    except BadCertificateError:
        return ""
