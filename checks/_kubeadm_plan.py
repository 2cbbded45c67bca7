"""What a kubeadm configuration is held against, and how a finding points into it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.finding import Evidence, Fix, Safety, Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.cri_sockets import CriSockets
    from k8sdoctor.facts.kubeadm_documents import KubeadmDocument, KubeadmDocuments
    from k8sdoctor.facts.kubelet import Kubelet
    from k8sdoctor.facts.node_kernel import NodeKernel
    from k8sdoctor.facts.node_network import NodeNetwork
    from k8sdoctor.facts.planned_name import PlannedName
    from k8sdoctor.facts.resolvers import Resolvers
    from k8sdoctor.facts.stage import Stage
    from k8sdoctor.facts.versions import Version


@dataclass(frozen=True)
class Plan:
    """The documents, the release of kubeadm that will read them (None: not known), and the machine that they are for."""

    documents: KubeadmDocuments
    release: Version | None
    stage: Stage
    sockets: CriSockets | Unobserved
    network: NodeNetwork | Unobserved
    resolvers: Resolvers | Unobserved
    name: PlannedName | Unobserved
    kubelet: Kubelet
    kernel: NodeKernel | Unobserved

    def where(self, document: KubeadmDocument, *path: str | int) -> tuple[str, int, Evidence]:
        """`FILE, line N`, the line's number, and the line as evidence."""
        line = document.line_of(*path)
        return f"{self.documents.path}, line {line}", line, self.documents.seen(line)

    def edit(self, title: str, line: int | None) -> Fix:
        """A fix that a person makes in the file."""
        return edit(title, self.documents, line)


def edit(title: str, documents: KubeadmDocuments, line: int | None) -> Fix:
    """A change of the file, which nobody but its owner can make; shows the lines in question."""
    path = quote(documents.path or "")
    if documents.path is None or documents.path.startswith("ConfigMap "):
        return Fix(
            title,
            ("kubectl -n kube-system edit configmap kubeadm-config",),
            "kubectl -n kube-system get configmap kubeadm-config -o yaml",
            Safety.MANUAL,
        )
    shown = f"sed -n '{max(1, line - 2)},{line + 2}p' {path}" if line else f"cat {path}"
    return Fix(title, (shown,), f"kubeadm config validate --config {path}", Safety.MANUAL)
