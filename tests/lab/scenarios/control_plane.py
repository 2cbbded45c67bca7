"""The control plane: etcd, the components, their manifests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.lab.scenarios.pod_network import CNI
from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import MANIFESTS, answers, stop

if TYPE_CHECKING:
    from tests.lab.whole_node import WholeNode


def _unlabel(node: dict[str, Any]) -> None:
    node["metadata"]["labels"].pop("node-role.kubernetes.io/control-plane", None)


def _break_manifest(node: WholeNode) -> None:
    """What the kubelet does with a manifest that is no YAML any more: it ends the pod."""
    node.lab.shell(f"sed -i '1s/^/[/' {MANIFESTS}/kube-apiserver.yaml")
    stop("api")(node)


_NO_NETWORK = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized"


def _not_ready(node: dict[str, Any]) -> None:
    for each in node["status"]["conditions"]:
        if each["type"] == "Ready":
            each |= {"status": "False", "reason": "KubeletNotReady", "message": _NO_NETWORK}
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    node["spec"]["taints"] = [*node["spec"].get("taints", []), taint]


def _unplaced(pod: dict[str, Any]) -> None:
    if pod["metadata"].get("labels", {}).get("k8s-app") == "kube-dns":
        pod["spec"].pop("nodeName", None)
        words = "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate"
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        pod["status"] = {"phase": "Pending", "conditions": [told]}


def _without_network(node: WholeNode) -> None:
    """A cluster just after `kubeadm init`."""
    node.lab.shell(f"rm {CNI}")
    answers("nodes", _not_ready)(node)
    answers("pods", _unplaced)(node)


_UNASKED = ("DNS", "certificates", "pod network", "images", "kubelet and runtime")
"""Areas of which little can be said where the API server cannot be asked."""

_CONTROL = partial(Scenario, "control plane")

SCENARIOS = (
    _CONTROL(
        "etcd ended, and the API server after it",
        stop("etcd", "api"),
        "etcd/Unreachable",
        ("apiserver-san/EndpointUnreachable", "node-ready/NodeUnread"),
        role="control-plane",
        blinds=_UNASKED,
    ),
    _CONTROL(
        "the API server ended",
        stop("api"),
        "control-plane/ComponentDown",
        ("apiserver-san/EndpointUnreachable", "node-ready/NodeUnread"),
        role="control-plane",
        blinds=_UNASKED,
    ),
    _CONTROL(
        "the controller manager ended",
        stop("kube-controller-manager"),
        "control-plane/ComponentDown",
        role="control-plane",
    ),
    _CONTROL("the scheduler ended", stop("kube-scheduler"), "control-plane/ComponentDown", role="control-plane"),
    _CONTROL(
        "the runtime ended, and the API server after it",
        stop("containerd", "api"),
        "node-ready/RuntimeDown",
        ("control-plane/ComponentDown", "apiserver-san/EndpointUnreachable", "pause-image/RuntimeUnreachable"),
        role="control-plane",
        blinds=_UNASKED,
    ),
    _CONTROL(
        "the kubelet ended, and the scheduler after it",
        stop("kubelet", "kube-scheduler"),
        "node-ready/KubeletStopped",
        ("control-plane/ComponentDown",),
        role="control-plane",
    ),
    _CONTROL(
        "the API server's manifest is no YAML, and it ended",
        _break_manifest,
        "static-pods/ManifestSyntax",
        ("apiserver-san/ManifestInvalid",),
        role="control-plane",
        blinds=_UNASKED,
    ),
    _CONTROL(
        "a copy of a manifest lies beside it",
        f"cp {MANIFESTS}/kube-apiserver.yaml {MANIFESTS}/kube-apiserver.yaml.bak;"
        f" sed -i s/--secure-port=6443/--secure-port=7443/ {MANIFESTS}/kube-apiserver.yaml.bak",
        "static-pods/DuplicateManifest",
        role="control-plane",
        mends=True,
    ),
    _CONTROL(
        "a manifest has a flag that was removed",
        f"sed -i 's/^    - --secure-port=6443$/&\\n    - --insecure-port=0/' {MANIFESTS}/kube-apiserver.yaml",
        "static-pods/FlagRemoved",
        role="control-plane",
        mends=True,
    ),
    _CONTROL(
        "any user may change a manifest",
        f"chmod 777 {MANIFESTS}/kube-apiserver.yaml",
        "static-pods/WritableByAll",
        role="control-plane",
        status="warn",
        mends=True,
    ),
    _CONTROL(
        "the API server looks for etcd at another port",
        f"sed -i s,https://127.0.0.1:2379,https://127.0.0.1:2479, {MANIFESTS}/kube-apiserver.yaml",
        "etcd/Unreachable",
        role="control-plane",
    ),
    _CONTROL(
        "the controller manager gives out another subnet",
        f"sed -i s,cluster-cidr=10.244.0.0/16,cluster-cidr=10.244.0.0/17, {MANIFESTS}/kube-controller-manager.yaml",
        "subnets/ClusterCidrDiffers",
        role="control-plane",
        status="warn",
    ),
    _CONTROL(
        "the API server has another range of services",
        f"sed -i s,service-cluster-ip-range=10.96.0.0/16,service-cluster-ip-range=10.97.0.0/16, {MANIFESTS}/kube-apiserver.yaml",
        "subnets/ServiceRangeDiffers",
        ("apiserver-san/AddressNotCovered", "apiserver-san/EndpointUnreachable"),  # of the range's first address
        role="control-plane",
    ),
    _CONTROL(
        "the Node lost the label of control planes",
        answers("nodes", _unlabel),
        "control-plane/LabelMissing",
        role="control-plane",
        status="warn",
    ),
    _CONTROL(
        "nobody installed a network, so CoreDNS waits for a node",
        _without_network,
        "cni-config/NoConfig",
        ("node-ready/NetworkNotReady", "coredns/NotScheduled"),
        role="control-plane",
    ),
    _CONTROL(
        "a rule shuts pods out from the API server",
        "iptables -I INPUT -s 10.244.0.0/16 -p tcp --dport 6443 -j DROP",
        "firewall/PodsShutOut",
        role="control-plane",
    ),
    _CONTROL(
        "a rule drops whatever is sent to the API server's port",
        "iptables -w -A INPUT -p tcp --dport 6443 -j DROP",
        "firewall/PortsClosed",
        ("control-plane/ComponentDown", "apiserver-san/EndpointUnreachable", "node-ready/NodeUnread"),
        role="control-plane",
        blinds=_UNASKED,
    ),
    _CONTROL(
        "the policy drops what no rule lets in, and nobody thought of the loopback interface",
        "iptables -w -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -w -A INPUT -p tcp --dport 22 -j ACCEPT\n"
        "iptables -w -A INPUT -p tcp -m multiport --dports 6443,10250 -j ACCEPT; iptables -w -P INPUT DROP",
        "firewall/LocalPortsClosed",
        ("etcd/Unreachable", "control-plane/ComponentDown", "node-ready/KubeletUnhealthy"),
        role="control-plane",
        blinds=("certificates", "kubelet and runtime"),  # etcd shows none
    ),
    _CONTROL(
        "the disk of etcd's data is full",
        "mount -t tmpfs -o size=1m tmpfs /var/lib/etcd; head -c 2M /dev/zero > /var/lib/etcd/full 2>/dev/null || true",
        "disk/NoSpaceLeft",
        role="control-plane",
        heals="umount /var/lib/etcd",
    ),
)
