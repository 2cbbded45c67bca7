"""Which network namespaces are pods', and on which bridge each ends."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.bridge import Bridge, Bridges
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_namespaces import PodNamespaces
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.sandboxes import PodSandboxes, Sandbox
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

SILENT = Unobserved("RuntimeUnreachable", "/run/containerd/containerd.sock does not exist")
CNI = "/run/netns/cni-40af6cc7-4645-fb4d-ace2-2caef1f0a84d"


class Machine:
    """A node with bridges and veths, and namespaces behind them."""

    def __init__(self) -> None:
        self.links: list[dict[str, Any]] = [{"index": 1, "name": "lo"}, {"index": 2, "name": "eth0"}]
        self.addresses: list[dict[str, Any]] = [{"index": 2, "address": "192.0.2.10", "prefix": 24, "family": 4}]
        self.routes: list[dict[str, Any]] = [{"destination": "0.0.0.0/0", "gateway": "192.0.2.1", "oif": 2}]
        self.inside: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.inodes: dict[str, int] = {"/proc/1/ns/net": 1, "/proc/self/ns/net": 1}
        self.dumped: list[str | None] = []

    def bridge(self, name: str, network: str) -> int:
        index = len(self.links) + 1
        self.links.append({"index": index, "name": name, "kind": "bridge"})
        prefix, _, length = network.partition("/")
        self.routes.append({"destination": network, "oif": index, "type": "unicast"})
        self.addresses.append({"index": index, "address": f"{prefix.rstrip('0')}1", "prefix": int(length), "family": 4})
        return index

    def namespace(self, path: str, inode: int, *addresses: str, master: int | None = None, route: bool = False) -> None:
        index = len(self.links) + 1
        veth = {"index": index, "name": f"veth{index}", "kind": "veth", "link": 3, "link_netnsid": inode}
        self.links.append(veth | ({"master": master} if master else {}))
        self.inodes[path] = inode
        self.inside[path] = {
            "links": [{"index": 1, "name": "lo"}, {"index": 3, "name": "eth0", "kind": "veth", "link": index}],
            "addresses": [
                {"index": 1, "address": "127.0.0.1", "prefix": 8, "family": 4},
                *({"index": 3, "address": address, "prefix": 24} for address in addresses),
                {"index": 3, "address": "fe80::1", "prefix": 64, "family": 6},
            ],
        }
        if route:
            self.routes += [{"destination": f"{address}/32", "oif": index} for address in addresses]

    def host(self, *, files: dict[str, str] | None = None) -> FakeHost:
        def netlink(what: str, netns: str | None) -> Any:
            self.dumped.append(netns)
            if netns is None:
                return {"links": self.links, "addresses": self.addresses, "routes": self.routes}[what]
            if netns not in self.inside:
                return HostError("NotFound", f"the network namespace {netns} is gone")
            return self.inside[netns].get(what, [])

        def stat(path: str) -> Any:
            if path not in self.inodes:
                return HostError("NotFound", f"{path} does not exist")
            return {"kind": "file", "inode": self.inodes[path], "path": path}

        def readlink(path: str) -> Any:
            if path not in self.inodes:
                return HostError("NotFound", f"{path} does not exist")
            return f"net:[{self.inodes[path]}]"

        bound = {path: "" for path in self.inodes if path.startswith("/run/")}
        return FakeHost({**bound, **(files or {})}, netlink=netlink, stat=stat, readlink=readlink)


def observe(
    machine: Machine,
    sandboxes: PodSandboxes | Unobserved = SILENT,
    *,
    bridges: Bridges | Unobserved | None = None,
    kubeadm: KubeadmConfig | Unobserved = SILENT,
    pids: tuple[int, ...] = (),
) -> PodNamespaces:
    processes = Processes(tuple({"pid": pid, "ppid": 1, "name": "x", "cmdline": ["x"]} for pid in pids))
    host = machine.host()
    names = [link["name"] for link in machine.links if link.get("kind") == "bridge"]
    told = Bridges(tuple(Bridge(name, 1, ("veth",), carries="its name" if name == "cni0" else None) for name in names))
    return PodNamespaces.observe(host, sandboxes, NodeNetwork.observe(host), bridges or told, kubeadm, processes)


def sandbox(name: str, ip: str, path: str | None, **more: Any) -> Sandbox:
    return Sandbox(id=name, name=name, namespace="default", netns_path=path, ips=(ip,) if ip else (), **more)


def test_the_runtime_s_pods_are_named_and_their_bridge_is_told_by_the_node_s_routes_alone() -> None:
    machine = Machine()
    machine.namespace(CNI, 7, "10.244.0.5", master=machine.bridge("cni0", "10.244.0.0/24"))
    found = observe(machine, PodSandboxes((sandbox("a", "10.244.0.5", f"/var{CNI}"),)))

    [pod] = found.namespaces
    assert (pod.name, pod.path, pod.bridge, pod.addresses) == ("default/a", CNI, "cni0", ("10.244.0.5",))
    assert set(machine.dumped) == {None}
    assert found.bridge_of("10.244.0.5") == "cni0"
    assert found.bridge_of("10.244.0.99") == "cni0"
    assert found.bridge_of("10.244.9.9") is None


def test_a_pod_without_a_told_address_is_looked_into() -> None:
    machine = Machine()
    machine.namespace(CNI, 7, "10.244.0.5", master=machine.bridge("cni0", "10.244.0.0/24"))
    [pod] = observe(machine, PodSandboxes((sandbox("a", "", CNI),))).namespaces

    assert (pod.addresses, pod.bridge) == (("10.244.0.5",), "cni0")


def test_a_routed_pod_ends_on_no_bridge() -> None:
    machine = Machine()
    machine.bridge("docker0", "172.17.0.0/16")
    machine.namespace(CNI, 7, "10.244.0.5", route=True)
    [pod] = observe(machine, PodSandboxes((sandbox("a", "10.244.0.5", CNI),))).namespaces

    assert pod.bridge is None


def test_pods_of_the_node_s_own_network_and_ended_ones_are_left_out() -> None:
    machine = Machine()
    machine.namespace(CNI, 7, "10.244.0.5", master=machine.bridge("cni0", "10.244.0.0/24"))
    sandboxes = PodSandboxes(
        (
            sandbox("host", "192.0.2.10", None, host_network=True),
            sandbox("ended", "10.244.0.5", CNI, ready=False),
            sandbox("sly", "192.0.2.10", "/proc/1/ns/net"),
        )
    )

    found = observe(machine, sandboxes)

    assert [pod.name for pod in found.namespaces] == [CNI]  # found by searching, no one's name
    assert found.problems == ("the network namespace of pod default/sly was not found",)


def test_a_sandbox_whose_path_is_not_seen_here_is_entered_by_its_process() -> None:
    machine = Machine()
    machine.bridge("cni0", "10.244.0.0/24")
    machine.inodes["/proc/77/ns/net"] = 7
    [pod] = observe(machine, PodSandboxes((sandbox("a", "10.244.0.5", CNI, pid=77),))).namespaces

    assert (pod.path, pod.pid) == ("/proc/77/ns/net", 77)


def test_a_process_id_of_another_pid_namespace_is_not_believed() -> None:
    machine = Machine()
    machine.bridge("cni0", "10.244.0.0/24")
    machine.inodes |= {CNI: 7, "/proc/77/ns/net": 8}
    [pod] = observe(machine, PodSandboxes((sandbox("a", "10.244.0.5", CNI, pid=77),))).namespaces

    assert pod.pid is None


def test_without_a_runtime_bound_namespaces_on_a_pod_bridge_are_pods() -> None:
    machine = Machine()
    machine.namespace("/run/netns/2f1e", 7, "10.244.0.5", master=machine.bridge("cni0", "10.244.0.0/24"))
    machine.inodes["/proc/42/ns/net"] = 7
    found = observe(machine, pids=(42,))

    [pod] = found.namespaces
    assert (pod.path, pod.bridge, pod.pid, pod.addresses) == ("/run/netns/2f1e", "cni0", 42, ("10.244.0.5",))
    assert found.problems == (SILENT.message,)


def test_without_a_runtime_processes_lead_to_pods_as_well() -> None:
    machine = Machine()
    bridge = machine.bridge("mybridge", "10.244.0.0/24")
    machine.namespace("/proc/42/ns/net", 7, "10.244.0.5", master=bridge)
    machine.inodes |= {"/proc/43/ns/net": 7, "/proc/44/ns/net": 1}
    found = observe(machine, kubeadm=KubeadmConfig(pod_subnets=("10.244.0.0/16",)), pids=(42, 43, 44))

    assert [pod.path for pod in found.namespaces] == ["/proc/42/ns/net"]


def test_a_bridge_that_carries_pods_makes_its_namespaces_pods_whatever_its_name() -> None:
    machine = Machine()
    machine.namespace("/run/netns/2f1e", 7, "10.9.0.5", master=machine.bridge("mynet0", "10.9.0.0/24"))

    assert observe(machine).namespaces == ()
    bridges = Bridges((Bridge("mynet0", 3, ("veth4",), carries="the CNI network n names it"),))
    [pod] = observe(machine, bridges=bridges).namespaces
    assert pod.bridge == "mynet0"


def test_a_namespace_with_a_host_route_to_it_is_a_pod_s() -> None:
    machine = Machine()
    machine.namespace("/run/netns/2f1e", 7, "10.244.0.5", route=True)
    [pod] = observe(machine).namespaces

    assert pod.bridge is None


@pytest.mark.parametrize("bridge", ["docker0", "br-0123456789ab", "virbr0", "lxdbr0", "cni-podman0"])
def test_namespaces_on_other_people_s_bridges_are_no_pods(bridge: str) -> None:
    machine = Machine()
    machine.namespace("/run/netns/2f1e", 7, "172.17.0.2", master=machine.bridge(bridge, "172.17.0.0/24"))
    machine.namespace("/proc/42/ns/net", 8, "172.17.0.3", master=3)
    machine.namespace(CNI, 9, "172.17.0.4", master=3)

    assert observe(machine, pids=(42,)).namespaces == ()


def test_a_private_network_without_interfaces_is_no_pod_s() -> None:
    machine = Machine()
    machine.inodes["/proc/42/ns/net"] = 7
    machine.inside["/proc/42/ns/net"] = {"links": [{"index": 1, "name": "lo"}], "addresses": []}

    assert observe(machine, pids=(42,)).namespaces == ()


def test_a_veth_whose_peer_is_in_a_third_namespace_is_not_taken_for_one_on_the_bridge() -> None:
    machine = Machine()
    machine.namespace("/run/netns/2f1e", 7, "10.244.0.5", master=machine.bridge("cni0", "10.244.0.0/24"))
    machine.inside["/run/netns/2f1e"]["links"][1]["index"] = 9  # the node's end points at another index

    assert observe(machine).namespaces == ()


def test_a_namespace_that_cni_bound_is_a_pod_s_even_on_a_bridge_of_unknown_name() -> None:
    machine = Machine()
    machine.namespace(CNI, 7, "10.9.0.5", master=machine.bridge("mynet0", "10.9.0.0/24"))
    [pod] = observe(machine).namespaces

    assert pod.bridge == "mynet0"


def test_what_may_not_be_looked_at_is_a_problem() -> None:
    host = FakeHost(
        netlink=HostError("NotPermitted", "netlink needs root"),
        readlink=HostError("NotPermitted", "Permission denied"),
    )
    processes = Processes(({"pid": 42, "ppid": 1, "name": "x", "cmdline": []},))
    found = PodNamespaces.observe(
        host, SILENT, Unobserved("NotPermitted", "netlink needs root"), SILENT, SILENT, processes
    )

    assert found.namespaces == ()
    assert "netlink needs root" in found.problems
    assert any("root" in problem for problem in found.problems)
