"""The containerds that distributions of Kubernetes bring along, each at a socket of its own."""

from __future__ import annotations

DISTRIBUTIONS = {
    "/run/k3s/containerd/containerd.sock": "k3s",
    "/run/k0s/containerd.sock": "k0sworker",
    "/var/snap/microk8s/common/run/containerd.sock": "snap.microk8s.daemon-containerd",
}
"""Where those listen that k3s and RKE2, k0s (docs.k0sproject.io "Runtime") and MicroK8s (canonical/microk8s
`microk8s-resources/default-args/containerd`) bring along, and the units that run them; a controller of k0s that is a worker, too, has `k0scontroller`."""


def brought_by(endpoint: str | None) -> str | None:
    """The unit of the distribution that brought the runtime at an endpoint along; None where none did.

    >>> brought_by("unix:///run/k0s/containerd.sock"), brought_by("unix:///run/containerd/containerd.sock")
    ('k0sworker', None)
    """
    path = (endpoint or "").removeprefix("unix://")
    return DISTRIBUTIONS.get(path) or DISTRIBUTIONS.get(path.removeprefix("/var"))
