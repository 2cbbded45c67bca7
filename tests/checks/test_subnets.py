"""subnets: facts in, findings out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8sdoctor.checks.subnets import subnets
from k8sdoctor.facts.cluster_nodes import ClusterNodes, Node
from k8sdoctor.facts.cluster_subnets import ClusterSubnets, Told, told
from k8sdoctor.facts.cni import CniFile, CniFolder
from k8sdoctor.facts.cni_network import parse
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.flannel import SubnetFile
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.sandboxes import PodSandboxes, Sandbox
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved

ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


def place(text: str, source: str = "") -> Told | None:
    return told(text.split(","), source)


def cluster(**changed: Any) -> ClusterSubnets:
    return ClusterSubnets(
        **{
            "kubeadm_pods": place("10.244.0.0/16", "podSubnet in ConfigMap kube-system/kubeadm-config"),
            "kubeadm_services": place("10.96.0.0/16", "serviceSubnet in ConfigMap kube-system/kubeadm-config"),
            "controller_pods": place("10.244.0.0/16", "--cluster-cidr"),
            "controller_services": place("10.96.0.0/16", "--service-cluster-ip-range of the controller manager"),
            "apiserver_services": place("10.96.0.0/16", "--service-cluster-ip-range"),
            "proxy_pods": place("10.244.0.0/16", "clusterCIDR"),
        }
        | changed
    )


def nodes(*cidrs: str, others: int = 1) -> ClusterNodes:
    mine = Node("w1", pod_cidrs=cidrs)
    return ClusterNodes((mine, *(Node(f"o{number}") for number in range(others))), "w1", "/etc/kubernetes/kubelet.conf")


def folder(plugin: dict[str, Any], *files: SubnetFile) -> CniFolder:
    network = parse(
        json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [plugin]}),
        is_list=True,
    )
    loaded = (CniFile("/etc/cni/net.d/10-pods.conflist", network=network),)
    return CniFolder("containerd", CniSettings(), loaded=loaded, subnet_files=files)


def bridge(subnet: str, name: str = "cni0") -> CniFolder:
    return folder({"type": "bridge", "bridge": name, "ipam": {"type": "host-local", "subnet": subnet}})


FLANNEL = folder({"type": "flannel"}, SubnetFile.parse(ENV, "/run/flannel/subnet.env"))
CALICO = folder({"type": "calico"})


def network(*addresses: tuple[str, str, int]) -> NodeNetwork:
    listed = (("eth0", "192.0.2.10", 24), ("cni0", "10.244.1.1", 24), *addresses)
    return NodeNetwork(
        tuple({"index": index, "name": name} for index, (name, _, _) in enumerate(listed, 2)),
        tuple(
            {"index": index, "address": address, "prefix": size} for index, (_, address, size) in enumerate(listed, 2)
        ),
        (),
    )


def judge(**changed: Any) -> list[Finding]:
    facts: dict[str, Any] = {
        "cluster": cluster(),
        "nodes": nodes("10.244.1.0/24"),
        "cni": bridge("10.244.1.0/24"),
        "network": network(),
        "sandboxes": PodSandboxes(()),
        "stage": Stage("worker", ""),
    }
    return list(subnets(**(facts | changed)))


def only(**changed: Any) -> Finding:
    [finding] = judge(**changed)
    return finding


def verdict(**changed: Any) -> tuple[str, Status]:
    finding = only(**changed)
    return finding.reason, finding.status


def test_a_cluster_in_which_all_mean_the_same_agrees_and_says_what() -> None:
    finding = only()

    assert (finding.reason, finding.status) == ("Agree", Status.PASS)
    assert finding.message == "Pods have 10.244.0.0/16, this node 10.244.1.0/24 and services 10.96.0.0/16."
    assert len(finding.evidence) == 7


@pytest.mark.parametrize("cni", [FLANNEL, CALICO, bridge("10.244.1.0/25"), Unobserved("NotPermitted", "")])
def test_other_pod_networks_that_agree_are_healthy(cni: CniFolder | Unobserved) -> None:
    assert verdict(cni=cni, cluster=cluster(flannel=place("10.244.0.0/16"))) == ("Agree", Status.PASS)


def test_a_machine_that_is_no_node_is_not_judged() -> None:
    assert verdict(stage=Stage("prepared", "")) == ("NotJoined", Status.SKIP)


def test_families_are_compared_apart() -> None:
    dual = cluster(kubeadm_pods=place("10.244.0.0/16,fd00:1::/56"), controller_pods=place("fd00:1::/56,10.244.0.0/16"))

    assert verdict(cluster=dual, nodes=nodes("10.244.1.0/24", "fd00:1:0:1::/64")) == ("Agree", Status.PASS)
    assert verdict(cluster=dual, nodes=nodes("10.244.1.0/24", "fd00:2:0:1::/64"))[0] == "NodeCidrOutside"


def test_the_first_address_of_another_range_of_services_is_in_no_certificate_and_serves_nobody() -> None:
    [finding] = judge(cluster=cluster(apiserver_services=place("10.97.0.0/16,fd00::/108,10.98.0.1/32")))

    assert {(link.check, link.reason, *link.when) for link in finding.explains} == {
        ("apiserver-san", reason, f"address:{first}")
        for reason in ("AddressNotCovered", "EndpointUnreachable")
        for first in ("10.97.0.1", "fd00::1")
    }


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kubeadm_pods": place("10.200.0.0/16")}, "ClusterCidrDiffers"),
        ({"kubeadm_services": place("10.97.0.0/16")}, "ServiceRangeDiffers"),
        ({"controller_services": place("10.97.0.0/16")}, "ServiceRangeDiffers"),
        ({"proxy_pods": place("10.200.0.0/16")}, "ProxyCidrDiffers"),
        ({"flannel": place("10.244.0.0/20")}, "FlannelNetworkDiffers"),
        (
            {"kubeadm_pods": place("10.200.0.0/16"), "controller_pods": place("10.200.0.0/16"), "proxy_pods": None},
            "NodeCidrOutside",
        ),
    ],
)
def test_who_differs_from_those_that_give_out_addresses_is_named(changed: dict[str, Any], reason: str) -> None:
    assert verdict(cluster=cluster(**changed)) == (reason, Status.WARN)


def test_a_wider_subnet_of_kube_proxy_or_flannel_holds_all_the_same() -> None:
    wider = cluster(proxy_pods=place("10.240.0.0/12"), flannel=place("10.240.0.0/12"))

    assert verdict(cluster=wider) == ("Agree", Status.PASS)


def test_a_running_pod_with_an_address_of_another_pool_shows_that_kube_proxy_was_told_wrong() -> None:
    def pod(ip: str, *, host_network: bool = False) -> PodSandboxes:
        return PodSandboxes((Sandbox("a" * 64, "web", "shop", ips=(ip,), host_network=host_network),))

    finding = only(cni=CALICO, sandboxes=pod("192.168.3.4"))

    assert finding.reason == "ProxyCidrDiffers"
    assert "shop/web has 192.168.3.4" in finding.message
    assert verdict(cni=CALICO, sandboxes=pod("10.244.9.4"))[0] == "Agree"
    assert verdict(cni=CALICO, sandboxes=pod("192.0.2.10", host_network=True))[0] == "Agree"
    assert verdict(cni=CALICO, sandboxes=pod("192.168.3.4"), cluster=cluster(proxy_pods=None))[0] == "Agree"


def test_a_network_of_flannel_without_this_node_s_part_fails_and_explains_the_missing_file() -> None:
    finding = only(
        cluster=cluster(flannel=place("10.200.0.0/16", "net-conf.json")),
        cni=folder({"type": "flannel"}, SubnetFile("/run/flannel/subnet.env")),
    )

    assert (finding.reason, finding.status) == ("FlannelNetworkDiffers", Status.FAIL)
    assert [(link.check, link.reason) for link in finding.explains] == [("cni-config", "SubnetFileMissing")]


def test_a_subnet_file_of_another_part_fails_unless_flannel_has_its_subnets_from_elsewhere() -> None:
    part = nodes("10.244.2.0/24")

    known = cluster(flannel=place("10.244.0.0/16"))
    assert verdict(nodes=part, cni=FLANNEL, cluster=known) == ("FlannelSubnetDiffers", Status.FAIL)
    assert verdict(nodes=part, cni=FLANNEL) == ("Agree", Status.PASS)


def test_a_node_without_a_part_fails_only_where_its_network_waits_for_one() -> None:
    waiting = folder({"type": "flannel"}, SubnetFile("/run/flannel/subnet.env"))
    router = folder({"type": "bridge", "bridge": "kube-bridge", "ipam": {"type": "host-local"}})

    finding = only(nodes=nodes(), cni=waiting, cluster=cluster(allocates=False))

    assert (finding.reason, finding.status) == ("NodeCidrMissing", Status.FAIL)
    assert "--allocate-node-cidrs=false" in finding.message
    assert verdict(nodes=nodes(), cni=router)[0] == "NodeCidrMissing"
    assert verdict(nodes=nodes(), cni=FLANNEL)[0] == "Agree"
    assert verdict(nodes=nodes(), cni=CALICO)[0] == "Agree"


def test_a_file_that_gives_another_node_s_part_warns() -> None:
    assert verdict(cni=bridge("10.244.7.0/24")) == ("NodeCidrDiffers", Status.WARN)
    assert verdict(cni=bridge("10.244.0.0/16")) == ("NodeCidrDiffers", Status.WARN)


def test_a_single_node_may_give_its_pods_all_there_is() -> None:
    assert verdict(cni=bridge("10.244.0.0/16"), nodes=nodes("10.244.1.0/24", others=0)) == ("Agree", Status.PASS)


def test_what_cni_config_says_already_is_not_said_again() -> None:
    assert verdict(cni=bridge("10.99.0.0/24")) == ("Agree", Status.PASS)


def test_subnets_that_overlap_fail() -> None:
    assert verdict(cluster=cluster(**dict.fromkeys(
        ("kubeadm_services", "controller_services", "apiserver_services"), place("10.244.0.0/20")
    ))) == ("SubnetsOverlap", Status.FAIL)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "address", "size"),
    [("eth1", "10.244.3.7", 24), ("docker0", "10.244.0.1", 16), ("eth1", "10.96.0.20", 24)],
)
def test_an_interface_inside_a_subnet_of_the_cluster_fails(name: str, address: str, size: int) -> None:
    finding = only(network=network((name, address, size)))

    assert (finding.reason, finding.status, finding.subject) == ("SubnetInUse", Status.FAIL, name)
    assert f"{address}/{size}" in finding.message


@pytest.mark.parametrize(
    ("name", "address", "size"),
    [
        *[(name, "10.244.1.0", 32) for name in ("flannel.1", "tunl0", "vxlan.calico", "cilium_host", "antrea-gw0")],
        ("kube-ipvs0", "10.96.0.10", 32),
        ("nodelocaldns", "10.96.0.10", 32),
        ("eth1", "10.0.0.5", 8),
        ("docker0", "172.17.0.1", 16),
    ],
)
def test_interfaces_of_the_cluster_and_wider_networks_are_healthy(name: str, address: str, size: int) -> None:
    assert verdict(network=network((name, address, size))) == ("Agree", Status.PASS)


def test_pods_that_share_the_machine_s_own_network_do_so_by_design() -> None:
    shared = network(("eth1", "10.244.3.7", 24), ("br0", "10.244.4.1", 24))

    assert verdict(network=shared, cni=folder({"type": "macvlan", "master": "eth1"})) == ("Agree", Status.PASS)
    assert verdict(network=network(("br0", "10.244.1.9", 24)), cni=bridge("10.244.1.0/24", "br0"))[0] == "Agree"


def test_where_nobody_could_be_asked_nothing_is_known() -> None:
    blind = ClusterSubnets(unseen=(Unobserved("NotFound", "no kubeconfig works here"),))
    nobody = Unobserved("NotFound", "no kubeconfig works here")

    assert verdict(cluster=blind, nodes=nobody) == ("Untold", Status.UNKNOWN)
    offline = ClusterSubnets(unseen=(Unobserved("Offline", "not asked"),))
    assert verdict(cluster=offline, nodes=nobody) == ("Offline", Status.SKIP)
    assert verdict(cluster=ClusterSubnets(), nodes=nodes()) == ("NothingTold", Status.SKIP)


def test_addresses_that_could_not_be_listed_are_unknown() -> None:
    assert verdict(network=Unobserved("NotPermitted", "netlink refuses")) == ("NotPermitted", Status.UNKNOWN)
