"""What a mode of kube-proxy's needs of the kernel, and which of it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k8sdoctor.facts.node_kernel import NodeKernel

NFTABLES_KERNEL = (5, 13, 0)  # kubernetes pkg/proxy/nftables/supported.go


def lacks(mode: str | None, kernel: NodeKernel) -> str | None:
    """What the kernel would have to be or have; None where nothing is known to be missing."""
    if mode == "nftables" and kernel.release is not None and kernel.release < NFTABLES_KERNEL:
        return f"Linux 5.13 or later, and this is {kernel.text}"
    if mode == "ipvs" and kernel.ipvs == "absent":
        return f"the module ip_vs, which the kernel {kernel.text} neither has nor can load"
    return None
