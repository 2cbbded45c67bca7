"""What a judgement of kubeconfigs leans on, and what mends one that has to be made anew."""

from __future__ import annotations

from dataclasses import replace

from k8sdoctor import Unobserved
from k8sdoctor.checks import _apiserver_fixes
from k8sdoctor.checks import _kubeconfig_fixes as fixes
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import CLUSTER_CA, Certificates
from k8sdoctor.facts.credentials import Credentials, Pair
from k8sdoctor.facts.kubeconfig import KUBEADM, KUBELET, Kubeconfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import Certificate
from k8sdoctor.finding import Fix
from k8sdoctor.records import dataclass

NAMELESS = frozenset({"", "localhost", "localhost.localdomain", "(none)"})
"""What a machine is called until something on the network names it: of another root, /etc/hostname does not tell that name."""


@dataclass(frozen=True)
class Scene:
    """What a judgement leans on."""

    stage: Stage
    site: _apiserver_fixes.Site
    disk: Certificates
    authority: tuple[Certificate, ...]  # of the cluster's clients; empty where that is not known
    kubelet: Kubelet | Unobserved
    kubelet_conf: str
    node: str | None  # the name by which the kubelet registers, where that is known
    rotated: Pair | None

    def is_component(self, file: Kubeconfig) -> bool:
        """Whether a component of this node's cluster reads it; a person's own, or one named by --kubeconfig, may lead anywhere."""
        return not file.personal and (file.path in KUBEADM or file.path == self.kubelet_conf)

    @property
    def now(self) -> float:
        """The node's clock."""
        return self.disk.now


def scene_of(  # noqa: PLR0913, PLR0917 -- as many facts as a kubeconfig has sides
    stage: Stage,
    disk: Certificates,
    server: ApiServer,
    node: NodeName | Unobserved,
    kubelet: Kubelet | Unobserved,
    credentials: Credentials,
    site: _apiserver_fixes.Site,
) -> Scene:
    """What the facts say of it."""
    # kubeadm has one authority for servers and clients; where the API server was told of another one, or where pki/ is not there, nothing is known.
    clients = server.flag("--client-ca-file") or CLUSTER_CA
    known = disk.ca_source == CLUSTER_CA == clients
    flags = kubelet.flags if isinstance(kubelet, Kubelet) else {}
    # Before external providers, a cloud's own name for the machine was the node's.
    cloud = flags.get("--cloud-provider") not in (None, "", "external")
    name = node.configured if isinstance(node, NodeName) and node.configured not in NAMELESS else None
    return Scene(
        stage=stage,
        site=replace(site, node_name=name) if name else site,
        disk=disk,
        authority=disk.ca if known else (),
        kubelet=kubelet,
        kubelet_conf=flags.get("--kubeconfig", KUBELET),
        node=None if cloud else name,
        rotated=credentials.rotated,
    )


def anew(file: Kubeconfig, scene: Scene, suffix: str) -> Fix:
    """Have a kubeconfig made anew by whoever makes it; the old one is kept under this suffix."""
    if file.personal:
        return fixes.copy_admin(file.path, suffix)
    return (
        fixes.enroll_kubelet(scene.site, suffix, file.server)
        if file.path == scene.kubelet_conf
        else fixes.write_anew(scene.site, file.path, suffix, file.server)
    )
