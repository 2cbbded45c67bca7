"""Whose pod network this is, and what of the kernel's settings that vendor cares about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import numbers, versions
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

Vendor: TypeAlias = Literal[
    "Calico", "Canal", "Cilium", "flannel", "Weave", "kube-router", "Antrea", "kindnet", "OVN-Kubernetes", "Kube-OVN"
]

# By the plugins of their own CNI configurations.
_BY_PLUGIN: tuple[tuple[str, Vendor], ...] = (
    ("cilium-cni", "Cilium"),  # first: it may be chained behind another's
    ("calico", "Calico"),
    ("flannel", "flannel"),
    ("weave-net", "Weave"),
    ("antrea", "Antrea"),
    ("ovn-k8s-cni-overlay", "OVN-Kubernetes"),
    ("kube-ovn", "Kube-OVN"),
)

ALL = "/proc/sys/net/ipv4/conf/all/rp_filter"


@dataclass(frozen=True, slots=True)
class CniVendor:
    """`vendor` is None for a network of nobody in particular. `plugins` are the programs of the network.

    `version` is what the vendor's own plugin says, None where it was not asked or does not tell. `reverse_path` is the value of
    `net.ipv4.conf.all.rp_filter`, None where it was not read, and `own` the values of interfaces that Cilium makes. `kernel` is `uname -r`.
    """

    vendor: Vendor | None = None
    plugins: tuple[str, ...] = ()
    version: versions.Version | None = None
    reverse_path: int | None = None
    own: tuple[tuple[str, int], ...] = ()
    kernel: str = ""

    @classmethod
    def observe(cls, host: Host, cni: CniFolder, network: NodeNetwork | Unobserved) -> Self:
        """Recognise it by its configuration, and read what it cares about. Raises NotPermitted, Unreadable."""
        links = [link["name"] for link in network.links] if isinstance(network, NodeNetwork) else []
        vendor = _recognise(cni, links)
        kernel = host.identity()["kernel"]
        if vendor not in ("Calico", "Canal", "Cilium"):
            return cls(vendor, cni.plugin_types, kernel=kernel)
        version = _version(host, cni) if vendor != "Cilium" else None
        names = [name for name in links if name.startswith(("lxc", "cilium_"))] if vendor == "Cilium" else []
        return cls(vendor, cni.plugin_types, version, _number(host, ALL), tuple(_values(host, names)), kernel)


def _recognise(cni: CniFolder, links: list[str]) -> Vendor | None:
    found = next((vendor for plugin, vendor in _BY_PLUGIN if plugin in cni.plugin_types), None)
    if found == "Calico" and any(name.startswith("flannel.") for name in links):
        return "Canal"  # Calico's plugin and policies over flannel's network
    if found is None and "kube-bridge" in cni.bridges:
        return "kube-router"
    if found is None and cni.chosen is not None and cni.chosen.name == "kindnet":
        return "kindnet"
    return found


def _version(host: Host, cni: CniFolder) -> versions.Version | None:
    """What Calico's plugin answers to `-v` (projectcalico/calico `cni-plugin/pkg/plugin/plugin.go`)."""
    program = cni.executables.get("calico")
    if program is None or program.path is None or program.problem is not None:
        return None
    try:
        return versions.parse(host.run(program.path, "-v")["out"])
    except HostError:
        return None


def _values(host: Host, names: list[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        value = _number(host, f"/proc/sys/net/ipv4/conf/{name}/rp_filter")
        if value is not None:  # an interface may go while we look
            yield name, value


def _number(host: Host, path: str) -> int | None:
    text = (host.read_optional(path) or "").strip()
    return numbers.whole(text)
