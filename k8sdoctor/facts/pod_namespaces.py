"""The network namespaces of this node's pods: where one must stand to see what a pod sees."""

from __future__ import annotations

import re
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Self, TypeAlias

from k8sdoctor.facts.bridge import Bridges
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.sandboxes import PodSandboxes, Sandbox
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Netlink

Address: TypeAlias = "IPv4Address | IPv6Address"

BOUND = ("/run/netns", "/run/docker/netns")
"""Where CNI's callers and cri-dockerd's docker bind namespaces: containerd as `cni-<uuid>`, CRI-O as `<uuid>`."""

MOST_SEARCHED = 64
"""Namespaces that are looked into when no runtime names the pods; each costs two netlink dumps."""


@dataclass(frozen=True)
class PodNamespace:
    """One pod's network namespace.

    `path` is what one enters. `name` is `namespace/name` of the pod, or the path when nobody told. `pid` is a process that lives in
    it, None when none is known. `bridge` is the node's bridge on which its interface ends, None for a routed one.
    """

    path: str
    inode: int
    name: str
    addresses: tuple[str, ...]
    bridge: str | None
    labels: Mapping[str, str]
    pid: int | None = None

    def has(self, version: int) -> bool:
        """Whether it has an address of this IP version."""
        return any(ip_address(address).version == version for address in self.addresses)


@dataclass(frozen=True)
class PodNamespaces:
    """All that are known, by name. Namespaces of services, of builds and of virtual machines are not among them.

    `bridge_networks` are the networks that the node reaches over a bridge. `problems` say what could not be looked at, a sentence each.
    """

    namespaces: tuple[PodNamespace, ...]
    bridge_networks: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()

    def owner(self, address: str) -> PodNamespace | None:
        """The pod that has an address."""
        wanted = ip_address(address)
        return next(
            (pod for pod in self.namespaces if any(ip_address(one) == wanted for one in pod.addresses)),
            None,
        )

    def bridge_of(self, address: str) -> str | None:
        """The node's bridge behind which an address is, as far as pods and routes tell."""
        owner = self.owner(address)
        if owner is not None:
            return owner.bridge
        return _bridge_by_route(ip_address(address), self.bridge_networks)

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- each is a fact of its own
        cls,
        host: Host,
        sandboxes: PodSandboxes | Unobserved,
        network: NodeNetwork | Unobserved,
        bridges: Bridges | Unobserved,
        kubeadm: KubeadmConfig | Unobserved,
        processes: Processes | Unobserved,
    ) -> Self:
        """Ask the runtime's pods; if it names none, search. Never raises: what could not be looked at is a problem."""
        problems: list[str] = []
        if isinstance(network, Unobserved):
            problems.append(network.message)
            network = NodeNetwork()
        node = _Node(network, _own_inodes(host))
        if isinstance(sandboxes, PodSandboxes):
            named = list(_named_by_runtime(host, sandboxes, node, problems))
        else:
            problems.append(sandboxes.message)
            named = []
        if not named:
            pids = [process["pid"] for process in processes.all] if isinstance(processes, Processes) else []
            kinds = _Bridges.sorted(node, bridges, kubeadm)
            named = list(_searched(host, node, kinds, pids, problems))
        found = sorted(named, key=lambda pod: (pod.name, pod.path))
        return cls(tuple(found), node.bridge_networks, tuple(dict.fromkeys(problems)))


@dataclass(frozen=True)
class _Node:
    """The node's own network namespace, and the numbers by which it goes."""

    network: NodeNetwork
    inodes: frozenset[int]

    @cached_property
    def bridges(self) -> dict[int, str]:
        return {link["index"]: link["name"] for link in self.network.links if link.get("kind") == "bridge"}

    @property
    def bridge_networks(self) -> tuple[tuple[str, str], ...]:
        """The networks routed to a bridge, longest prefix first."""
        bridges = self.bridges
        found = {
            (route["destination"], bridges[route["oif"]])
            for route in self.network.routes
            if route.get("oif") in bridges
            and "destination" in route
            and "gateway" not in route
            and route.get("type", "unicast") == "unicast"  # not what is the bridge's own or a broadcast
        }
        return tuple(sorted(found, key=lambda pair: (-ip_network(pair[0], strict=False).prefixlen, pair)))

    def route_to(self, address: Address) -> Netlink | None:
        """The longest route to an address that is on a link of the node; not the default route."""
        fitting = [pair for pair in self._direct if pair[0].prefixlen and address in pair[0]]
        return max(fitting, key=lambda pair: pair[0].prefixlen)[1] if fitting else None

    @cached_property
    def _direct(self) -> tuple[tuple[IPv4Network | IPv6Network, Netlink], ...]:
        """The routes without a gateway, parsed once for all pods."""
        return tuple(
            (ip_network(route["destination"], strict=False), route)
            for route in self.network.routes
            if "oif" in route and "destination" in route and "gateway" not in route
        )

    def peer_of(self, link: Netlink) -> Netlink | None:
        """The node's end of a veth that was seen inside another namespace."""
        for mine in self.network.links:
            # Indexes are counted per namespace, so both ends must point at each other.
            if mine["index"] == link.get("link") and mine.get("link") == link["index"] and mine.get("kind") == "veth":
                return mine
        return None

    def routes_to(self, address: Address, link: Netlink) -> bool:
        """Whether a host route leads to this address over this link: how Calico and the ptp plugin reach a pod."""
        return any(
            route.get("oif") == link["index"] and ip_network(route["destination"], strict=False) == ip_network(address)
            for route in self.network.routes
            if "destination" in route
        )


def _named_by_runtime(host: Host, sandboxes: PodSandboxes, node: _Node, problems: list[str]) -> Iterable[PodNamespace]:
    for sandbox in sandboxes.sandboxes:
        if not sandbox.ready or sandbox.host_network:
            continue
        path, inode = _entry(host, sandbox)
        if path is None or inode is None or inode in node.inodes:
            problems.append(f"the network namespace of pod {sandbox.namespace}/{sandbox.name} was not found")
            continue
        addresses = sandbox.ips
        route = node.route_to(ip_address(addresses[0])) if addresses else None
        if route is not None:  # told by the node's routes alone, so that a hundred pods cost no netlink dump
            bridge = node.bridges.get(route["oif"])
        else:
            inside = _look_inside(host, path, node, problems)
            bridge = inside.bridge if inside else None
            addresses = addresses or (inside.addresses if inside else ())
        yield PodNamespace(
            path=path,
            inode=inode,
            name=f"{sandbox.namespace}/{sandbox.name}",
            addresses=addresses,
            bridge=bridge,
            labels=dict(sandbox.labels),
            pid=sandbox.pid if sandbox.pid and _inode(host, f"/proc/{sandbox.pid}/ns/net") == inode else None,
        )


def _entry(host: Host, sandbox: Sandbox) -> tuple[str | None, int | None]:
    """Where one enters a sandbox's namespace: the path that the runtime bound, else its process's."""
    paths = []
    if sandbox.netns_path:
        # containerd says /var/run, which is a link to /run wherever the two are not the same folder.
        paths = [re.sub(r"^/var/run/", "/run/", sandbox.netns_path), sandbox.netns_path]
    if sandbox.pid:
        paths.append(f"/proc/{sandbox.pid}/ns/net")
    for path in paths:
        inode = _inode(host, path)
        if inode is not None:
            return path, inode
    return None, None


def _searched(
    host: Host, node: _Node, bridges: _Bridges, pids: Iterable[int], problems: list[str]
) -> Iterable[PodNamespace]:
    """Pods that no runtime names: bound namespaces, then processes', each once."""
    living = _by_inode(host, pids, problems)
    seen = set(node.inodes)
    candidates = [*_bound(host, problems)]
    candidates += [(f"/proc/{pid}/ns/net", inode) for inode, pid in living.items()]
    looked = 0
    for path, inode in candidates:
        if inode in seen:
            continue
        seen.add(inode)
        if looked == MOST_SEARCHED:
            problems.append(f"more than {MOST_SEARCHED} network namespaces; the others were not looked into")
            return
        looked += 1
        inside = _look_inside(host, path, node, problems)
        if inside is None or not inside.addresses:
            continue
        ends_well = inside.bridge in bridges.pods if inside.bridge else inside.routed
        if not ends_well and not (_bound_by_cni(path) and inside.bridge not in bridges.others):
            continue
        yield PodNamespace(
            path=path,
            inode=inode,
            name=path,
            addresses=inside.addresses,
            bridge=inside.bridge,
            labels={},
            pid=living.get(inode),
        )


def _bound_by_cni(path: str) -> bool:
    """Whether the name is one that CNI's callers give; Podman and nerdctl call CNI as well, with bridges of their own."""
    return re.fullmatch(r"/run/netns/cni-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", path) is not None


def _bound(host: Host, problems: list[str]) -> Iterable[tuple[str, int]]:
    for folder in BOUND:
        try:
            entries = host.listdir_optional(folder)
        except HostError as error:
            problems.append(error.message)
            continue
        for entry in entries:
            path = f"{folder}/{entry['name']}"
            inode = _inode(host, path)
            if inode is not None:
                yield path, inode


def _by_inode(host: Host, pids: Iterable[int], problems: list[str]) -> dict[int, int]:
    """The lowest pid that lives in each namespace."""
    found: dict[int, int] = {}
    for pid in pids:
        try:
            text = host.readlink(f"/proc/{pid}/ns/net")
        except HostError as error:
            if error.reason != "NotFound":  # a process that ended meanwhile is no problem
                problems.append("the network namespaces of other users' processes are seen only by root")
            continue
        if number := re.fullmatch(r"net:\[(\d+)\]", text):
            found.setdefault(int(number[1]), pid)
    return found


@dataclass(frozen=True)
class _Inside:
    """What a namespace's own interfaces say."""

    addresses: tuple[str, ...]
    bridge: str | None
    routed: bool


def _look_inside(host: Host, path: str, node: _Node, problems: list[str]) -> _Inside | None:
    try:
        links = host.netlink("links", netns=path)
        addresses = host.netlink("addresses", netns=path)
    except HostError as error:
        if error.reason != "NotFound":
            problems.append(error.message)
        return None
    names = node.bridges
    bridge: str | None = None
    routed = False
    for link in links:
        peer = node.peer_of(link) if link.get("kind") == "veth" else None
        if peer is None:
            continue
        own = [ip_address(one["address"]) for one in addresses if one.get("index") == link["index"]]
        bridge = bridge or names.get(peer.get("master", 0))
        routed = routed or any(node.routes_to(address, peer) for address in own)
    return _Inside(_usable(addresses), bridge, routed)


def _usable(addresses: Iterable[Netlink]) -> tuple[str, ...]:
    found = (ip_address(one["address"]) for one in addresses)
    return tuple(str(one) for one in found if not one.is_loopback and not one.is_link_local)


@dataclass(frozen=True)
class _Bridges:
    """The node's bridges by whose they are: `pods` carry pods, `others` connect something else."""

    pods: frozenset[str]
    others: frozenset[str]

    @classmethod
    def sorted(cls, node: _Node, bridges: Bridges | Unobserved, kubeadm: KubeadmConfig | Unobserved) -> Self:
        """Sort them; one with an address of the planned pod subnets carries pods, too."""
        names = node.bridges
        subnets = kubeadm.pod_subnets if isinstance(kubeadm, KubeadmConfig) else ()
        pods = {
            names[one["index"]]
            for one in node.network.addresses
            if one.get("index") in names and any(_contains(subnet, one["address"]) for subnet in subnets)
        }
        open_: set[str] = set()
        if isinstance(bridges, Bridges):
            pods |= {bridge.name for bridge in bridges.for_pods}
            open_ = {bridge.name for bridge in bridges.unexplained}
        return cls(frozenset(pods), frozenset(names.values()) - pods - open_)


def _contains(subnet: str, address: str) -> bool:
    try:
        network = ip_network(subnet, strict=False)
    except ValueError:
        return False
    return ip_address(address) in network


def _bridge_by_route(address: Address, networks: Iterable[tuple[str, str]]) -> str | None:
    for network, bridge in networks:
        if address in ip_network(network, strict=False):
            return bridge
    return None


def _own_inodes(host: Host) -> frozenset[int]:
    own = {_inode(host, "/proc/1/ns/net"), _inode(host, "/proc/self/ns/net")}
    return frozenset(inode for inode in own if inode is not None)


def _inode(host: Host, path: str) -> int | None:
    """The number of a namespace; equal numbers are one namespace."""
    try:
        return host.stat(path)["inode"]
    except HostError:
        return None
