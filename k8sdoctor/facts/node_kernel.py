"""What kube-proxy's modes need of the kernel: its release, and for ipvs a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import versions
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

Ipvs: TypeAlias = Literal["here", "loadable", "absent", "unknown"]
"""`unknown`: neither in the kernel now, nor is there a list of the modules that could be loaded."""


@dataclass(frozen=True, slots=True)
class NodeKernel:
    """`text` is what `uname -r` says. `ipvs` is None where nobody wants that mode."""

    text: str
    ipvs: Ipvs | None = None

    @property
    def release(self) -> versions.Version | None:
        """The release as numbers; None when it has none."""
        return versions.parse(self.text)

    @classmethod
    def observe(cls, host: Host, given: KubeadmDocuments, running: KubeProxy | Unobserved) -> Self:
        """Look at the kernel, and at its modules where the planned or the cluster's configuration asks for ipvs. Raises NotPermitted, Unreadable."""
        text = host.identity()["kernel"]
        planned = given.of("KubeProxyConfiguration")
        modes = {planned.text("mode") if planned else None, running.mode if isinstance(running, KubeProxy) else None}
        return cls(text, _ipvs(host, text) if "ipvs" in modes else None)


def _ipvs(host: Host, release: str) -> Ipvs:
    if host.exists("/proc/net/ip_vs"):  # made by the module, loaded or built in (net/netfilter/ipvs/ip_vs_ctl.c)
        return "here"
    index = host.read_optional(f"/lib/modules/{release}/modules.dep")
    if index is None:
        return "unknown"
    return "loadable" if any("/ip_vs.ko" in line.partition(":")[0] for line in index.splitlines()) else "absent"
