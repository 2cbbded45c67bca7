"""Which versions of a runtime go with a version of Kubernetes.

containerd recommends release lines for each version (RELEASES.md, "Kubernetes Support"; earlier ones in containerd/containerd.io#213 and #219).
CRI-O follows Kubernetes' own minor versions, and drops what is older than two of them (its README). Only the line is judged, since patch releases of
distributions carry fixes under older numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.facts.brought_runtimes import brought_by

if TYPE_CHECKING:
    from k8sdoctor.facts.versions import Version

# From which release of Kubernetes on (minor of 1.x), the oldest line of containerd that is recommended.
_CONTAINERD: tuple[tuple[int, tuple[int, int]], ...] = ((36, (2, 2)), (35, (1, 7)), (26, (1, 6)))
_CRIO_SKEW = 2


def too_old(kind: str | None, version: Version | None, kubernetes: Version, endpoint: str | None = None) -> str:
    """Why a runtime is too old for this Kubernetes, as the end of a sentence; empty where it is not.

    >>> too_old("containerd", (1, 6, 20), (1, 36, 2))
    'and containerd recommends 2.2 or later for Kubernetes 1.36'
    >>> too_old("containerd", (1, 6, 20), (1, 28, 15)), too_old("cri-o", (1, 34, 0), (1, 36, 2))
    ('', '')
    """
    if version is None or brought_by(endpoint):  # a distribution brings the runtime that it wants
        return ""
    if kind == "containerd":
        line = next((oldest for minor, oldest in _CONTAINERD if kubernetes[1] >= minor), None)
        if line is not None and version[:2] < line:
            wanted = ".".join(map(str, line))
            return f"and containerd recommends {wanted} or later for Kubernetes 1.{kubernetes[1]}"
    if kind == "cri-o" and kubernetes[1] - version[1] > _CRIO_SKEW:
        return f"and CRI-O goes with the Kubernetes of its own minor version, 1.{version[1]}"
    return ""
