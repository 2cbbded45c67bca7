"""All who give out addresses for pods and services mean the same, and nobody else has them.

## What it looks at
The pods' and the services' subnets as kubeadm keeps them, as the API server and the controller manager were told by flags, kube-proxy's `clusterCIDR`,
flannel's `Network` and `/run/flannel/subnet.env`, the part that this Node has (`podCIDRs`), the subnets of the CNI configuration, and the
addresses of this machine's own interfaces.

## Why it matters
Each of them works alone. Where they disagree, pods start with addresses to which no other node has a route, kube-proxy takes pods for strangers, or
flannel ends at once; and where the machine's own network lies inside the pods' subnet, pods reach neither it nor each other there.

## How it is decided
Only what a cluster's node has. Families are compared apart. The pods' subnet that counts is the controller manager's, which gives nodes their parts, else
kubeadm's. A part has to lie within the whole. What a CNI file or flannel's subnet file gives outside the pods' subnet is said by `cni-config/SubnetDiffers`,
and not again here. Interfaces that a pod network or kube-proxy makes are passed over, and so are those that a plugin shares with pods (macvlan and its like). A
configuration that is only planned is judged by `kubeadm-config`.

## Reasons
- `Agree` (pass): all that could be compared agree
- `ClusterCidrDiffers` (warn): the controller manager gives out another subnet than kubeadm keeps, which the next upgrade writes
- `ServiceRangeDiffers` (warn): API server, controller manager and kubeadm do not have one range of services
- `ProxyCidrDiffers` (warn): kube-proxy takes other addresses for pods' than the cluster or a running pod has
- `FlannelNetworkDiffers` (fail, or warn where only other nodes' parts are outside): flannel's Network does not hold this Node's part, so flannel ends
- `FlannelSubnetDiffers` (fail): flannel's subnet file gives pods another part than the Node has
- `NodeCidrMissing` (fail): the Node has no part of the pods' subnet, and its network needs one
- `NodeCidrOutside` (warn): the Node's part is not within the cluster's pod subnet
- `NodeCidrDiffers` (warn): the CNI configuration gives pods addresses that are not of the Node's part
- `SubnetsOverlap` (fail): pods' and services' subnets share addresses
- `SubnetInUse` (fail): an interface of this machine has an address inside the pods' or the services' subnet
- `Untold` (unknown): nothing could be compared, since nobody could be asked
- `NothingTold` (skip): nobody says which addresses pods have
- `NotJoined` (skip): this machine is no node of a cluster

## What it sends
Requests to the API server for Nodes and for the ConfigMaps of kubeadm, kube-proxy and, where its plugin is used, flannel.

## How to fix
Decide which subnet is meant, write it where it differs, and restart who reads it: flannel, kube-proxy. A Node's part cannot be changed: drain the node, delete the
Node object, and let the kubelet register it anew. A subnet that is in use elsewhere has to be another: for pods that means a new cluster, or a slow migration.

## How to verify
`kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs` shows parts of one subnet, each node its own.

## References
- flannel `pkg/subnet/kube/kube.go`: `AcquireLease`
- kubernetes `cmd/kubeadm/app/componentconfigs/kubeproxy.go`, `pkg/controller/nodeipam`
- kubernetes.io, Creating a cluster with kubeadm: the Pod network must not overlap with any of the host networks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _subnet_clashes
from k8sdoctor.facts.cluster_nodes import ClusterNodes, Node
from k8sdoctor.facts.cluster_subnets import ClusterSubnets, Told, told
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.cni_network import Subnet

KUBEADM = "kubectl -n kube-system get configmap kubeadm-config -o yaml"
PARTS = "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs"

# Reasons of a host that say themselves why it could not be asked.
_BLIND = frozenset({"NotPermitted", "NotRecorded", "DeadlineExceeded", "Unreadable"})

# Plugins whose pods have addresses of the machine's own network, by design.
_SHARE = frozenset({"macvlan", "ipvlan", "sriov", "host-device", "azure-vnet", "aws-cni", "vpc-bridge", "ib-sriov"})

# Plugins that hand out this node's part by the file's own subnets, so that another part is another node's.
_BY_FILE = frozenset({"bridge", "ptp"})


@check(
    "subnets",
    title="Pods and services have subnets of their own, and all agree on them",
    area="pod network",
    profiles=NOT_DNS,
)
def subnets(  # noqa: PLR0913, PLR0917 -- each place that says something
    cluster: ClusterSubnets,
    nodes: ClusterNodes | Unobserved,
    cni: CniFolder | Unobserved,
    network: NodeNetwork | Unobserved,
    sandboxes: PodSandboxes | Unobserved,
    stage: Stage,
) -> Iterator[Finding]:
    """Hold each place against those that decide."""
    if not stage.joined:
        yield skip(
            "NotJoined",
            "This machine is no node of a cluster that kubeadm made, so nobody has told it which addresses pods have.",
        )
        return
    node = nodes.own if isinstance(nodes, ClusterNodes) else None
    lonely = isinstance(nodes, ClusterNodes) and nodes.complete and len(nodes.all) == 1
    folder = cni if isinstance(cni, CniFolder) else None
    found = [
        *_controller(cluster),
        *_services(cluster),
        *_proxy(cluster, sandboxes),
        *_flannel(cluster, node, folder),
        *_node(cluster, node, folder, lonely=lonely),
        *_overlap(cluster),
        *_in_use(cluster, folder, network),
    ]
    yield from found or [_agreed(cluster, nodes, node)]


def _agreed(cluster: ClusterSubnets, nodes: ClusterNodes | Unobserved, node: Node | None) -> Finding:
    part = _part(node)
    places = [
        each
        for each in (
            *(cluster.kubeadm_pods, cluster.controller_pods, cluster.proxy_pods, cluster.flannel, part),
            *(cluster.kubeadm_services, cluster.apiserver_services, cluster.controller_services),
        )
        if each is not None
    ]
    evidence = [Evidence(each.source, each.text) for each in places]
    if cluster.pods is None and part is None:
        problems = [*cluster.unseen, *([nodes] if isinstance(nodes, Unobserved) else [])]
        if not problems:
            return skip("NothingTold", "Neither kubeadm nor a Node says which addresses pods have here.")
        message = f"Which addresses pods are to have could not be asked: {problems[0].message.rstrip('.')}."
        if problems[0].reason == "Offline":  # not asked on request
            return skip("Offline", message)
        return unknown(
            problems[0].reason if problems[0].reason in _BLIND else "Untold", message, traits=problems[0].traits
        )
    whole = f"pods have {cluster.pods.text}" if cluster.pods else "the pods' subnet is not known"
    mine = f", this node {part.text}" if part else ""
    services = f" and services {cluster.services.text}" if cluster.services else ""
    return passed(
        "Agree",
        f"{whole[0].upper()}{whole[1:]}{mine}{services}.",
        evidence=evidence,
    )


def _part(node: Node | None) -> Told | None:
    return told(node.pod_cidrs, f"podCIDRs of the Node {node.name}") if node else None


def _seen(*places: Told | None) -> list[Evidence]:
    return [Evidence(each.source, each.text) for each in places if each is not None]


def _within(subnet: Subnet, wholes: Told) -> bool | None:
    """Whether a subnet lies within one of the same family; None where there is none."""
    alike = [whole for whole in wholes.subnets if whole.version == subnet.version]
    return any(_holds(whole, subnet) for whole in alike) if alike else None


def _holds(whole: Subnet, subnet: Subnet) -> bool:
    return whole.prefixlen <= subnet.prefixlen and _subnet_clashes.overlap(whole, subnet)


def _outside(parts: Told, wholes: Told) -> Subnet | None:
    """The first subnet that lies in no whole of its family."""
    return next((each for each in parts.subnets if _within(each, wholes) is False), None)


# -- those who give out subnets --------------------------------------------------------------------------------------


def _controller(cluster: ClusterSubnets) -> Iterator[Finding]:
    kubeadm, manager = cluster.kubeadm_pods, cluster.controller_pods
    if kubeadm is None or manager is None or set(kubeadm.subnets) == set(manager.subnets):
        return
    yield warn(
        "ClusterCidrDiffers",
        f"The controller manager gives nodes parts of {manager.text}, and kubeadm keeps {kubeadm.text}, which the next upgrade writes.",
        subject=manager.text,
        evidence=_seen(manager, kubeadm),
        fix=Fix(
            "Write the subnet that the nodes have into kubeadm's ConfigMap, too",
            (PARTS, "kubectl -n kube-system edit configmap kubeadm-config"),
            f"{KUBEADM} | grep -i podSubnet",
            Safety.MANUAL,
        ),
    )


def _services(cluster: ClusterSubnets) -> Iterator[Finding]:
    server = cluster.apiserver_services
    for other in (cluster.controller_services, cluster.kubeadm_services):
        if server is None or other is None or set(server.subnets) == set(other.subnets):
            continue
        yield warn(
            "ServiceRangeDiffers",
            f"The API server gives services addresses of {server.text}, and {other.source} says {other.text}.",
            subject=server.text,
            evidence=_seen(server, other),
            fix=Fix(
                "Write the API server's range in the other place, too",
                (
                    "kubectl get services --all-namespaces",
                    "grep -rn service-cluster-ip-range /etc/kubernetes/manifests",
                ),
                f"{KUBEADM} | grep -i serviceSubnet",
                Safety.MANUAL,
            ),
            explains=list(_first_addresses(server, other)),
        )
        return


def _first_addresses(server: Told, other: Told) -> Iterator[Link]:
    """The API server's own service has the first address of its range (GetAPIServerVirtualIP of kubeadm), for which all else was made."""
    for subnet in server.subnets:
        if subnet in other.subnets or subnet.num_addresses < 2:  # noqa: PLR2004 -- the network's own, and the first
            continue
        why = f"{subnet[1]} is the first address of the API server's range, and {other.source} says {other.text}"
        only = frozenset({f"address:{subnet[1]}"})
        for reason in ("AddressNotCovered", "EndpointUnreachable"):
            yield Link("apiserver-san", reason, why, when=only)


def _proxy(cluster: ClusterSubnets, sandboxes: PodSandboxes | Unobserved) -> Iterator[Finding]:
    proxy = cluster.proxy_pods
    if proxy is None:
        return
    whole = cluster.pods
    other = _outside(whole, proxy) if whole else None
    what = f"the cluster gives them {other}" if other else ""
    if not what and isinstance(sandboxes, PodSandboxes):
        what = _pod_outside(sandboxes, proxy)
    if what:
        yield warn(
            "ProxyCidrDiffers",
            f"kube-proxy takes {proxy.text} for the addresses of pods, and {what}; it hides where requests of such pods to services come from.",
            subject=proxy.text,
            evidence=_seen(proxy, whole),
            fix=Fix(
                "Write the pods' subnet into kube-proxy's clusterCIDR, and restart kube-proxy",
                (
                    "kubectl -n kube-system edit configmap kube-proxy",
                    "kubectl -n kube-system rollout restart daemonset kube-proxy",
                ),
                "kubectl -n kube-system get configmap kube-proxy -o yaml | grep clusterCIDR",
                Safety.MANUAL,
            ),
        )


def _pod_outside(sandboxes: PodSandboxes, proxy: Told) -> str:
    """A clause about a running pod whose address kube-proxy takes for a stranger's."""
    for sandbox in sandboxes.sandboxes:
        if not sandbox.ready or sandbox.host_network:
            continue
        addresses = told(sandbox.ips, "")
        for address in addresses.subnets if addresses else ():
            if _within(address, proxy) is False:
                return f"the pod {sandbox.namespace}/{sandbox.name} has {address.network_address}"
    return ""


# -- flannel ---------------------------------------------------------------------------------------------------------


def _flannel(cluster: ClusterSubnets, node: Node | None, folder: CniFolder | None) -> Iterator[Finding]:
    """As flannel with Kubernetes' own subnets judges; without its ConfigMap it may have them from etcd, and then none of this holds."""
    flannel, part, whole = cluster.flannel, _part(node), cluster.pods
    if flannel is None:
        return
    restart = "kubectl -n kube-flannel rollout restart daemonset kube-flannel-ds"
    fix = Fix(
        "Write the cluster's pod subnet into flannel's Network, and restart flannel",
        ("kubectl -n kube-flannel edit configmap kube-flannel-cfg", restart),
        "kubectl -n kube-flannel get pods -o wide",
        Safety.MANUAL,
    )
    outside = _outside(part, flannel) if part else None
    if outside:
        yield fail(
            "FlannelNetworkDiffers",
            f"flannel's Network is {flannel.text}, which does not hold {outside}, this Node's part: flannel ends with an error here.",
            subject=flannel.text,
            evidence=_seen(flannel, part, whole),
            fix=fix,
            explains=[
                Link(
                    "cni-config",
                    "SubnetFileMissing",
                    "flannel writes its subnet file only when its Network holds the Node's part",
                    Certainty.PROVEN,
                )
            ],
        )
    elif whole and (other := _outside(whole, flannel)):
        yield warn(
            "FlannelNetworkDiffers",
            f"flannel's Network is {flannel.text}, and the cluster gives nodes parts of {other}: flannel will end on a node whose part is outside.",
            subject=flannel.text,
            evidence=_seen(flannel, whole),
            fix=fix,
        )
    if part is None or folder is None or outside:
        return
    for file in folder.subnet_files:
        mine = told(map(str, file.subnets), file.path)
        if mine and (other := _outside(mine, part)):
            yield fail(
                "FlannelSubnetDiffers",
                f"{file.path} gives pods addresses of {other}, and this Node's part is {part.text}, to which other nodes send.",
                subject=str(other),
                evidence=_seen(mine, part),
                fix=Fix(
                    "Let flannel write the file anew",
                    (restart,),
                    f"grep FLANNEL_SUBNET {file.path}",
                    Safety.DISRUPTIVE,  # pods with the old addresses have to be made anew
                ),
            )


# -- this Node's part ------------------------------------------------------------------------------------------------


def _node(cluster: ClusterSubnets, node: Node | None, folder: CniFolder | None, *, lonely: bool) -> Iterator[Finding]:
    if node is None:
        return
    part, whole = _part(node), cluster.pods
    if part is None:
        yield from _no_part(cluster, node, folder)
        return
    if whole and (outside := _outside(part, whole)):
        yield warn(
            "NodeCidrOutside",
            f"The Node {node.name} has the part {outside}, which is not within the cluster's {whole.text}.",
            subject=node.name,
            evidence=_seen(part, whole),
            fix=_register_anew(node),
        )
        return
    if folder is None or lonely:  # a single node may give its pods all there is
        return
    for network in folder.networks:
        written = told(map(str, network.subnets), f"the CNI network {network.name}")
        if written is None or not {plugin.type for plugin in network.plugins} & _BY_FILE:
            continue
        other = _outside(written, part)
        # What is outside the cluster's subnet is said by cni-config.
        if other and not (whole and _within(other, whole) is False):
            yield warn(
                "NodeCidrDiffers",
                f"The CNI network {network.name} gives pods addresses of {other}, and this Node's part is {part.text}.",
                subject=str(other),
                evidence=_seen(written, part),
                fix=Fix(
                    "Write the Node's part into the CNI configuration",
                    (PARTS, f"grep -n subnet {folder.loaded[0].path}"),
                    PARTS,
                    Safety.MANUAL,
                ),
            )
            return


def _no_part(cluster: ClusterSubnets, node: Node, folder: CniFolder | None) -> Iterator[Finding]:
    if folder is None:
        return
    waits = any(file.text is None and file.unseen is None for file in folder.subnet_files)
    router = "kube-bridge" in folder.bridges and not folder.subnets
    if not waits and not router:
        return
    who = "flannel" if waits else "kube-router"
    told_not_to = cluster.allocates is False
    why = "the controller manager was told not to give any (--allocate-node-cidrs=false)" if told_not_to else ""
    if not why and cluster.pods is None:
        why = "nobody has told the cluster a pod subnet"
    yield fail(
        "NodeCidrMissing",
        f"The Node {node.name} has no podCIDR, and {who} takes pods' addresses from there{f'; {why}' if why else ''}.",
        subject=node.name,
        evidence=[Evidence(f"Node {node.name}", "no podCIDRs"), *_seen(cluster.pods)],
        fix=Fix(
            "Give the controller manager --allocate-node-cidrs=true and --cluster-cidr on every control plane, and kubeadm's ConfigMap the podSubnet",
            (
                "kubectl -n kube-system edit configmap kubeadm-config",
                "kubeadm init phase control-plane controller-manager",
            ),
            PARTS,
            Safety.MANUAL,
        ),
        explains=[
            Link(
                "cni-config",
                "SubnetFileMissing",
                "flannel writes its subnet file only when the Node has a part of the pods' subnet",
                Certainty.PROVEN,
            )
        ]
        if waits
        else (),
    )


def _register_anew(node: Node) -> Fix:
    return Fix(
        "Let the Node register anew, and it gets a part of the right subnet (its pods move away)",
        (
            f"kubectl drain {node.name} --ignore-daemonsets",
            f"kubectl delete node {node.name}",
            "systemctl restart kubelet",
        ),
        PARTS,
        Safety.MANUAL,
    )


# -- others who have the addresses -----------------------------------------------------------------------------------


def _overlap(cluster: ClusterSubnets) -> Iterator[Finding]:
    pods, services = cluster.pods, cluster.services
    for pod in pods.subnets if pods else ():
        for service in services.subnets if services else ():
            if _subnet_clashes.overlap(pod, service):
                yield fail(
                    "SubnetsOverlap",
                    f"Pods have {pod} and services {service}, which share addresses: a pod may get the address of a service.",
                    subject=str(pod),
                    evidence=_seen(pods, services),
                    fix=_move(),
                )


def _in_use(cluster: ClusterSubnets, folder: CniFolder | None, network: NodeNetwork | Unobserved) -> Iterator[Finding]:
    if isinstance(network, Unobserved):
        yield unknown(network.reason, f"Which addresses this machine has is not known: {network.message}.")
        return
    own_pods = folder is None or not folder.settings.enabled or _SHARE & set(folder.plugin_types)
    bridges = set(folder.bridges) if folder else set()
    for name, place in (("pods", None if own_pods else cluster.pods), ("services", cluster.services)):
        for subnet in place.subnets if place else ():
            met = [
                clash
                for clash in _subnet_clashes.clashes(subnet, network, routes=False)
                if clash.within and clash.link not in bridges
            ]
            if met and place:
                yield fail(
                    "SubnetInUse",
                    f"{met[0].what[0].upper()}{met[0].what[1:]}, inside {subnet}, which is for {name} ({place.source}).",
                    subject=met[0].link,
                    evidence=[*_seen(place), *(Evidence("this machine", clash.what) for clash in met)],
                    fix=_move(),
                )


def _move() -> Fix:
    return Fix(
        "Take the addresses off this machine's interfaces, or plan another subnet for the cluster",
        ("ip -brief address", KUBEADM),
        "k8sdoctor check subnets",
        Safety.MANUAL,
    )
