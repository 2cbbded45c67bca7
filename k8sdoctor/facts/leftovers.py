"""What an earlier installation left on a machine that is no node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.processes import Processes, of_the_node
from k8sdoctor.facts.role import Role
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host import Host

FOLDER = "/etc/kubernetes"
MANIFESTS = tuple(
    f"{FOLDER}/manifests/{name}.yaml"
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
)
BOOTSTRAP = f"{FOLDER}/bootstrap-kubelet.conf"
CA = f"{FOLDER}/pki/ca.crt"
ETCD = "/var/lib/etcd"

# What pod networks and kube-proxy make in the node's own namespace, and `kubeadm reset` leaves.
INTERFACES = frozenset(
    {
        *("cni0", "flannel.1", "flannel-v6.1", "kube-bridge", "weave", "vxlan.calico", "vxlan-v6.calico"),
        *("cilium_host", "cilium_vxlan", "antrea-gw0", "kube-ipvs0", "nodelocaldns"),
    }
)


@dataclass(frozen=True)
class Leftovers:
    """`files` are those that are there of what kubeadm refuses to find, `ca` the path that a worker's CA will have.

    `etcd` is the folder of etcd's data and `held` what it holds, the first names of it; `etcd_pid` is an etcd that runs here. `interfaces` are links of
    a pod network or of kube-proxy while no pod runs. `problems` are places that could not be looked at.
    """

    files: tuple[str, ...] = ()
    ca: str = CA
    etcd: str = ETCD
    held: tuple[str, ...] = ()
    etcd_pid: int | None = None
    interfaces: tuple[str, ...] = ()
    problems: tuple[Unobserved, ...] = ()

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- what tells a leftover from what is in use
        cls,
        host: Host,
        role: Role,
        documents: KubeadmDocuments,
        network: NodeNetwork | Unobserved,
        processes: Processes | Unobserved,
        pods: PodSandboxes | Unobserved,
    ) -> Self:
        """Look at the places that kubeadm looks at. Never raises. On a machine that is a node nothing is left over, and nothing is looked at."""
        if role.joined or not role.known:
            return cls()
        join, cluster = documents.of("JoinConfiguration"), documents.of("ClusterConfiguration")
        ca = (join and join.text("caCertPath")) or CA
        etcd = (cluster and cluster.text("etcd", "local", "dataDir")) or ETCD
        problems: list[Unobserved] = []
        files = [path for path in dict.fromkeys((*MANIFESTS, BOOTSTRAP, ca)) if _is_there(host, path, problems)]
        etcds = of_the_node(host, processes.named("etcd")) if isinstance(processes, Processes) else ()
        idle = not (isinstance(pods, PodSandboxes) and any(each.ready for each in pods.sandboxes))
        links = network.links if isinstance(network, NodeNetwork) else ()
        return cls(
            tuple(files),
            ca,
            etcd,
            tuple(_names(host, etcd, problems)),
            etcds[0]["pid"] if etcds else None,
            tuple(sorted(INTERFACES & {link["name"] for link in links})) if idle else (),
            tuple(problems),
        )


def _is_there(host: Host, path: str, problems: list[Unobserved]) -> bool:
    try:
        return path.startswith("/") and host.exists(path)
    except HostError as error:
        problems.append(Unobserved(error.reason, error.message))
        return False


def _names(host: Host, folder: str, problems: list[Unobserved]) -> Iterable[str]:
    try:
        return [entry["name"] for entry in host.listdir_optional(folder)][:5] if folder.startswith("/") else []
    except HostError as error:
        problems.append(Unobserved(error.reason, error.message))
        return []
