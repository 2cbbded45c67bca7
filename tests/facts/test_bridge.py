"""Which bridges are for pods, which interfaces pods use, and which IP families they have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.facts.boot_files import BootFiles
from k8sdoctor.facts.bridge import Bridge, Bridges
from k8sdoctor.facts.cni import CniFile, CniFolder
from k8sdoctor.facts.cni_network import parse
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.forwarding import Forwarding
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.sandboxes import PodSandboxes, Sandbox
from k8sdoctor.facts.switch_keepers import SwitchKeepers
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

SILENT = Unobserved("RuntimeUnreachable", "nobody answers")
UNREAD = Unobserved("NotPermitted", "Permission denied: /etc/cni/net.d")
EMPTY = FakeHost({"/proc/sys/net/ipv4/ip_forward": "1\n"})
BRIDGE_NETWORK = '{"cniVersion":"1.0.0","name":"%s","plugins":[{"type":"bridge","bridge":"%s","ipam":{"type":"host-local","subnet":"%s"}}]}'


def links(bridge: str, ports: int = 1, *, peer: bool = True) -> list[dict[str, Any]]:
    """lo, eth0, one bridge, and its veths."""
    found: list[dict[str, Any]] = [
        {"index": 1, "name": "lo", "up": True},
        {"index": 2, "name": "eth0", "up": True},
        {
            "index": 3,
            "name": bridge,
            "kind": "bridge",
            "up": True,
            "nf_call_iptables": False,
            "nf_call_ip6tables": True,
        },
    ]
    for number in range(ports):
        veth: dict[str, Any] = {"index": 10 + number, "name": f"veth{number}", "kind": "veth", "master": 3, "link": 2}
        found.append(veth | ({"link_netnsid": number} if peer else {}))
    return found


def network(
    bridge: str, *addresses: str, ports: int = 1, peer: bool = True, routes: list[dict[str, Any]] | None = None
) -> NodeNetwork:
    entries = [
        {
            "index": 3,
            "address": text.partition("/")[0],
            "prefix": int(text.partition("/")[2]),
            "family": 4,
            "scope": "global",
        }
        for text in addresses
    ]
    answers = {"links": links(bridge, ports, peer=peer), "addresses": entries, "routes": routes or []}
    return NodeNetwork.observe(FakeHost(netlink=lambda what, netns: answers[what]))


def folder(*texts: str) -> CniFolder:
    files = tuple(
        CniFile(f"/etc/cni/net.d/{number}.conflist", text, parse(text, is_list=True))
        for number, text in enumerate(texts)
    )
    settings = CniSettings.__new__(CniSettings)  # where the folder is does not matter here
    return CniFolder(kind="containerd", settings=settings, files=files, loaded=files)


def pods(*ips: str, host_network: bool = False) -> PodSandboxes:
    return PodSandboxes((Sandbox("1", "web-1", "shop", host_network=host_network, ips=ips),))


def observe(
    net: NodeNetwork,
    *,
    cni: CniFolder | Unobserved = UNREAD,
    sandboxes: PodSandboxes | Unobserved = SILENT,
    host: FakeHost = EMPTY,
) -> Bridges:
    return Bridges.observe(host, net, cni, sandboxes, PodFamilies())


def why(found: Bridges, name: str) -> str | None:
    [bridge] = [bridge for bridge in found.bridges if bridge.name == name]
    return bridge.carries


def test_the_bridge_that_the_cni_network_names_is_for_pods() -> None:
    found = observe(network("pods0", ports=0), cni=folder(BRIDGE_NETWORK % ("n", "pods0", "10.1.0.0/24")))

    assert why(found, "pods0") == "the CNI network n names it"


def test_a_bridge_that_the_cni_network_will_make_is_for_pods_before_it_exists() -> None:
    found = observe(network("docker0"), cni=folder(BRIDGE_NETWORK % ("n", "pods0", "10.1.0.0/24")))

    assert [(bridge.name, bridge.exists) for bridge in found.for_pods] == [("pods0", False)]


def test_a_second_network_of_cri_o_counts_only_once_its_bridge_has_pods() -> None:
    calico = '{"cniVersion":"0.3.1","name":"calico","plugins":[{"type":"calico"}]}'
    stock = BRIDGE_NETWORK % ("crio", "cni0", "10.85.0.0/16")

    assert observe(network("docker0"), cni=folder(calico, stock)).for_pods == ()
    assert observe(network("cni0", ports=0), cni=folder(calico, stock)).for_pods == ()
    assert observe(network("cni0"), cni=folder(calico, stock)).for_pods != ()


def test_a_running_pod_with_an_address_of_its_network_tells_of_a_bridge() -> None:
    net = network("br0", "10.1.0.1/24")

    assert why(observe(net, sandboxes=pods("10.1.0.7")), "br0") == "the pod shop/web-1 has an address of its network"
    assert why(observe(net, sandboxes=pods("10.2.0.7")), "br0") is None
    assert why(observe(net, sandboxes=pods("10.1.0.7", host_network=True)), "br0") is None


@pytest.mark.parametrize("name", ["cni0", "cbr0", "kube-bridge", "weave"])
def test_a_usual_name_counts_where_veths_lead_into_other_namespaces(name: str) -> None:
    assert why(observe(network(name)), name) is not None
    assert why(observe(network(name, ports=0)), name) is None
    assert why(observe(network(name, peer=False)), name) is None


@pytest.mark.parametrize(
    "name", ["docker0", "br-0123456789ab", "virbr0", "lxdbr0", "podman0", "cni-podman0", "docker_gwbridge"]
)
def test_bridges_of_other_programs_are_neither_for_pods_nor_a_riddle(name: str) -> None:
    found = observe(network(name))

    assert found.for_pods == ()
    assert found.unexplained == ()


def test_a_bridge_with_veths_and_no_explanation_is_a_riddle() -> None:
    assert [bridge.name for bridge in observe(network("br0")).unexplained] == ["br0"]


def test_its_own_switches_and_those_of_the_namespace_are_kept_apart() -> None:
    host = FakeHost(
        {"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n", "/proc/sys/net/bridge/bridge-nf-call-ip6tables": "0\n"}
    )

    found = observe(network("cni0"), host=host)

    assert (found.call_iptables, found.call_ip6tables) == (True, False)
    assert (found.bridges[0].own_ipv4, found.bridges[0].own_ipv6) == (False, True)
    assert observe(network("cni0")).call_iptables is None


def test_a_bridge_with_an_ipv6_address_carries_ipv6_and_link_local_ones_do_not_count() -> None:
    assert observe(network("cni0", "10.1.0.1/24", "fd00::1/64")).bridges[0].ipv6
    assert not observe(network("cni0", "10.1.0.1/24", "fe80::1/64")).bridges[0].ipv6


# -- families --------------------------------------------------------------------------------------------------------


def families(
    cni: CniFolder | Unobserved = UNREAD,
    sandboxes: PodSandboxes | Unobserved = SILENT,
    subnets: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
) -> tuple[bool, bool]:
    kubeadm = replace(KubeadmConfig(), source="--config kubeadm.yaml", pod_subnets=subnets)
    network = NodeNetwork(addresses=tuple({"index": 2, "address": each, "prefix": 64} for each in addresses))
    found = PodFamilies.observe(EMPTY, cni, sandboxes, kubeadm, network)
    return found.ipv4, found.ipv6


def test_pods_have_ipv4_where_nobody_tells() -> None:
    assert families() == (True, False)
    assert families(subnets=("nonsense",)) == (True, False)
    assert families(addresses=("192.0.2.10", "2001:db8::10")) == (True, False)


def test_pods_have_ipv6_where_nobody_tells_and_the_machine_has_no_other_address() -> None:
    own = ("127.0.0.1", "::1", "169.254.20.10", "fe80::1", "2001:db8::10")

    assert families(addresses=own) == (False, True)
    assert families(subnets=("10.244.0.0/16",), addresses=own) == (True, False)
    assert families(addresses=("127.0.0.1", "::1", "fe80::1")) == (True, False)


def test_running_pods_and_the_cni_network_are_believed_before_kubeadms_plan() -> None:
    assert families(subnets=("10.1.0.0/16", "fd00::/48")) == (True, True)
    assert families(subnets=("fd00::/48",)) == (False, True)
    assert families(folder(BRIDGE_NETWORK % ("n", "cni0", "10.1.0.0/24")), subnets=("fd00::/48",)) == (True, False)
    assert families(sandboxes=pods("fd00::7"), subnets=("10.1.0.0/16",)) == (False, True)
    assert families(sandboxes=pods("192.0.2.1", host_network=True), subnets=("fd00::/48",)) == (False, True)


# -- forwarding ------------------------------------------------------------------------------------------------------

ROUTES: list[dict[str, Any]] = [
    {"family": 4, "destination": "0.0.0.0/0", "gateway": "192.0.2.1", "oif": 2, "table": 254, "type": "unicast"},
    {"family": 4, "destination": "10.9.0.5/32", "oif": 10, "table": 254, "type": "unicast"},
]


def switch(name: str, value: str, family: int = 4, key: str = "forwarding") -> dict[str, str]:
    return {f"/proc/sys/net/ipv{family}/conf/{name}/{key}": value}


def test_the_uplink_the_pod_bridges_and_the_veths_of_routed_pods_are_used_by_pods() -> None:
    net = network("cni0", routes=ROUTES)
    routed = tuple(dict(link) for link in net.links)
    for link in routed:
        link.pop("master", None)
    host = FakeHost(
        {
            "/proc/sys/net/ipv4/ip_forward": "1\n",
            **switch("eth0", "1\n"),
            **switch("cni0", "0\n"),
            **switch("veth0", "0\n"),
        }
    )
    found = Forwarding.observe(
        host,
        NodeNetwork(routed, net.addresses, net.routes),  # type: ignore[arg-type]
        Bridges((Bridge("cni0", 3, carries="so"), Bridge("planned", carries="so"))),
    )

    assert [(each.name, each.ipv4, each.of_one_pod) for each in found.interfaces] == [
        ("eth0", True, False),
        ("cni0", False, False),
        ("veth0", False, True),
    ]


def test_a_node_s_own_address_makes_no_pod_of_its_veth_as_in_kind() -> None:
    own: list[dict[str, Any]] = [{"family": 4, "destination": "192.0.2.9/32", "oif": 10, "table": 255, "type": "local"}]
    net = network("cni0", routes=own)
    loose = tuple({**link, "master": 0} if link["index"] == 10 else link for link in net.links)
    for link in loose:
        if link["index"] == 10:
            del link["master"]
    host = FakeHost({"/proc/sys/net/ipv4/ip_forward": "1\n", **switch("veth0", "0\n")})

    found = Forwarding.observe(host, NodeNetwork(loose, (), net.routes), SILENT)  # type: ignore[arg-type]

    assert found.interfaces == ()


def test_a_port_of_a_bridge_is_no_routed_pod() -> None:
    host = FakeHost({"/proc/sys/net/ipv4/ip_forward": "1\n", **switch("veth0", "0\n")})

    assert Forwarding.observe(host, network("cni0", routes=ROUTES), SILENT).interfaces == ()


def test_without_netlink_the_general_switch_is_still_known() -> None:
    found = Forwarding.observe(FakeHost({"/proc/sys/net/ipv4/ip_forward": "0\n"}), UNREAD, UNREAD)

    assert (found.ipv4, found.ipv6, found.blind) == (False, None, UNREAD.message)


def test_an_uplink_lives_on_advertisements_where_it_accepts_them_only_while_not_forwarding() -> None:
    files = {"/proc/sys/net/ipv4/ip_forward": "1", **switch("all", "0", 6)}
    net = network("cni0", routes=ROUTES)

    accepting = Forwarding.observe(FakeHost({**files, **switch("eth0", "1\n", 6, "accept_ra")}), net, SILENT)
    always = Forwarding.observe(FakeHost({**files, **switch("eth0", "2\n", 6, "accept_ra")}), net, SILENT)

    assert accepting.accepts_ra == ("eth0",)
    assert always.accepts_ra == ()


def test_a_switch_that_is_not_there_is_not_observed() -> None:
    with pytest.raises(HostError, match="ip_forward does not exist"):
        Forwarding.observe(FakeHost(), UNREAD, UNREAD)


# -- programs that set switches again --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmdline", "bridge", "forwarding"),
    [
        (["/usr/local/bin/k3s", "server"], "k3s", "k3s"),
        (["/usr/local/bin/rke2", "agent"], "rke2", "rke2"),
        (["/usr/local/bin/kube-router", "--run-router=true"], "kube-router", None),
        (["/usr/local/bin/kube-router", "--run-router=false"], None, None),
        (["/usr/bin/dockerd", "-H", "fd://"], None, "dockerd"),
        (["/usr/bin/dockerd", "--ip-forward=false"], None, None),
        (["/usr/bin/dockerd", "--firewall-backend=nftables"], None, None),
        (["/usr/bin/kubelet"], None, None),
    ],
)
def test_programs_that_set_switches_again_are_known_by_name(
    cmdline: list[str], bridge: str | None, forwarding: str | None
) -> None:
    processes = Processes(({"pid": 7, "ppid": 1, "name": "x", "cmdline": cmdline},))

    found = SwitchKeepers.observe(EMPTY, processes)

    assert (found.bridge, found.forwarding) == (bridge, forwarding)


@pytest.mark.parametrize(
    ("daemon", "version", "keeps"),
    [
        ("", "Docker version 24.0.7, build 311b9ff", True),
        ("{}", "", True),
        ('{"ip-forward": false}', "", False),
        ('{"firewall-backend": "nftables"}', "Docker version 29.0.0, build 1", False),
        ('{"bridge": "none"}', "Docker version 27.5.1, build 1", True),
        ('{"bridge": "none"}', "Docker version 28.0.0, build 1", False),
        ('{"bridge": "none"}', "", False),
        ("{", "", False),
    ],
)
def test_dockerd_keeps_forwarding_on_unless_its_file_says_otherwise(daemon: str, version: str, *, keeps: bool) -> None:
    processes = Processes(({"pid": 7, "ppid": 1, "name": "dockerd", "cmdline": ["/usr/bin/dockerd"]},))
    host = FakeHost({"/etc/docker/daemon.json": daemon}, run={"code": 0, "out": version, "err": ""})

    assert (SwitchKeepers.observe(host, processes).forwarding is not None) is keeps


NETWORK = "/etc/systemd/network/10-eth0.network"
CONTAINERS = "/usr/lib/systemd/network/80-container-ve.network"
NETWORKD_D = "/usr/lib/systemd/networkd.conf.d"


def _networkd(files: dict[str, str], release: str) -> str | None:
    processes = Processes(
        ({"pid": 7, "ppid": 1, "name": "systemd-network", "cmdline": ["/lib/systemd/systemd-networkd"]},)
    )
    links = {
        "/run/systemd/netif/links/2": f"ADMIN_STATE=configured\nNETWORK_FILE={NETWORK}\nNETWORK_FILE_DROPINS=/x.conf\n"
    }
    host = FakeHost(links | files, run={"code": 0, "out": f"systemd {release} ({release}.4-1)\n+PAM", "err": ""})
    return SwitchKeepers.observe(host, processes).forwarding


@pytest.mark.parametrize(
    ("path", "text", "keeps"),
    [
        (NETWORK, "[Network]\nDHCP=yes\nIPForward=ipv4\n", True),
        (NETWORK, "[Network]\nIPMasquerade=both\n", True),
        ("/x.conf", "[Network]\nIPForward=yes\n", True),
        (NETWORK, "[Network]\n#IPForward=yes\nIPForward=ipv6\n", False),
        (NETWORK, "[Network]\nIPv4Forwarding=yes\n", False),  # not known yet
        (CONTAINERS, "[Network]\nIPMasquerade=both\n", False),  # no link has it
        (f"{NETWORKD_D}/50.conf", "[Network]\nIPv4Forwarding=yes\n", False),
    ],
)
def test_networkd_until_255_keeps_forwarding_on_where_the_file_of_a_link_asks_for_it(
    path: str, text: str, *, keeps: bool
) -> None:
    assert (_networkd({path: text}, "252") is not None) is keeps


@pytest.mark.parametrize(
    ("files", "keeps"),
    [
        ({f"{NETWORKD_D}/50.conf": "[Network]\nIPv4Forwarding = yes\n"}, True),
        ({"/etc/systemd/networkd.conf": "[Network]\nIPv4Forwarding=true\n"}, True),
        ({NETWORK: "[Network]\nIPForward=yes\n"}, False),
        ({NETWORK: "[Network]\nIPv4Forwarding=yes\nIPMasquerade=both\n"}, False),  # of that link alone
        (
            {
                "/etc/systemd/networkd.conf": "[Network]\nIPv4Forwarding=yes\n",
                f"{NETWORKD_D}/50.conf": "[Network]\nIPv4Forwarding=no\n",
            },
            False,
        ),
        (
            {
                f"{NETWORKD_D}/50.conf": "[Network]\nIPv4Forwarding=yes\n",
                "/etc/systemd/networkd.conf.d/50.conf": "[Network]\n# takes its place\n",
            },
            False,
        ),
    ],
)
def test_networkd_since_256_keeps_forwarding_on_where_networkd_conf_asks_for_it(
    files: dict[str, str], *, keeps: bool
) -> None:
    assert (_networkd(files, "257") is not None) is keeps


def test_no_files_at_boot_are_no_files() -> None:
    assert BootFiles.gather(EMPTY, "sysctl.d") == BootFiles()


def test_where_proc_is_not_mounted_no_switch_is_taken_for_absent() -> None:
    with pytest.raises(HostError, match="is /proc mounted") as told:
        observe(network("cni0"), host=FakeHost())

    assert told.value.reason == "Unreadable"
