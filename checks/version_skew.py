"""The kubelet's version goes with the control plane's.

## What it looks at
The versions of the installed kubelet and of the API server; before the machine is a node, in the API server's place that which kubeadm will
install: `kubernetesVersion` of `--config`, else kubeadm's own.

## Why it matters
A kubelet newer than the API server asks for what that does not know, and pods are lost in ways that nobody tries; `kubeadm init` refuses it. One that is
too old is not tried either, and stands in the way of the next upgrade of the control plane.

## How it is decided
By Kubernetes' version skew policy, on minor versions: the kubelet is not newer than the API server, and at most three minors older (two, where the API
server is older than 1.28). Fails before the machine joins, as kubeadm does; where the cluster's version is not known yet, since kubeadm's own is only
its likely one, a newer kubelet is a warning. Warns on a node, which runs in spite of it. With several API servers, the one that this node reaches counts.

## Reasons
- `VersionsFit` (pass): the kubelet goes with the control plane
- `NothingToCompare` (skip): no kubelet is installed yet, or nothing says which version the control plane has or will have
- `OtherInstallation` (skip): another distribution of Kubernetes runs here
- `KubeletNewer` (fail, warn on a node and before a join): the kubelet is newer than the control plane
- `KubeletTooOld` (fail, warn on a node): the kubelet is older than the control plane allows
- `NotPermitted`, `Unreadable`, `NotFound` (unknown): this is a node, and its API server's version could not be had

## What it sends
On a node a question for `/version` to its API server; nothing with `--offline`.

## How to fix
Upgrade control planes first, then kubelets, one minor at a time: `kubeadm upgrade`. On a machine that is to join, install the kubelet of the cluster's
minor version; each minor has a package repository of its own at pkgs.k8s.io.

## How to verify
`kubelet --version`, and `kubectl version` for the server's.

## References
- https://kubernetes.io/releases/version-skew-policy/ (three minors since 1.28: KEP-3935)
- kubernetes cmd/kubeadm/app/preflight/checks.go (KubeletVersionCheck)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.facts import versions
from k8sdoctor.facts.api_version import ApiVersion
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.versions import Version

_THREE_SINCE = (1, 28)

_LIST = {
    "debian": "apt-cache madison kubelet",
    "rhel": "dnf list --showduplicates kubelet",
    "suse": "zypper search -s kubelet",
}


@check("version-skew", title="The kubelet's version goes with the control plane's", area="node", profiles=NOT_DNS)
def version_skew(  # noqa: PLR0913, PLR0917 -- whoever may say the version
    role: Role,
    kubelet: Kubelet | Unobserved,
    server: ApiVersion | Unobserved,
    kubeadm: KubeadmBinary,
    planned: KubeadmConfig,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Hold the kubelet's version against the control plane's."""
    if role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
        return
    own = kubelet.version if isinstance(kubelet, Kubelet) else None
    if own is None:
        yield skip("NothingToCompare", "No kubelet is installed here that tells its version.")
        return
    if role.joined and isinstance(server, Unobserved):
        make = skip if server.reason == "Offline" else unknown
        message = f"The API server's version is not known: {server.message}."
        yield make(server.reason, message, traits=server.traits)
        return
    target, source = _control_plane(server, kubeadm, planned)
    if target is None:
        yield skip("NothingToCompare", "Nothing says which version the control plane has, or will have.")
        return
    yield _judged(own, target, source, role, planned, distribution)


def _control_plane(
    server: ApiVersion | Unobserved, kubeadm: KubeadmBinary, planned: KubeadmConfig
) -> tuple[Version | None, str]:
    """The version that counts for the control plane, and who says so."""
    if isinstance(server, ApiVersion):
        return server.version, f"the API server is {server.text}"
    written = versions.parse(planned.kubernetes_version or "")
    if written:
        return written, f"{planned.source} plans {planned.kubernetes_version}"
    return kubeadm.version, f"kubeadm is {versions.text(kubeadm.version)}" if kubeadm.version else ""


def _judged(  # noqa: PLR0913, PLR0917 -- as above
    own: Version,
    target: Version,
    source: str,
    role: Role,
    planned: KubeadmConfig,
    distribution: Distribution | Unobserved,
) -> Finding:
    text = versions.text(own)
    seen = [Evidence("kubelet --version", text), Evidence("control plane", source)]
    most = 3 if target[:2] >= _THREE_SINCE else 2
    family = distribution.family if isinstance(distribution, Distribution) else "other"
    fix = Fix(
        f"Install the kubelet of {target[0]}.{target[1]}",
        (_LIST.get(family, "kubelet --version"),),  # each minor has a repository of its own, which a person enters
        "kubelet --version",
        Safety.MANUAL,
    )
    if own[:2] > target[:2]:
        # What a join leads to is the cluster's to say; kubeadm's own version is only likely to be it.
        sure = not role.joined and not planned.joins and role.name != "worker"
        return (fail if sure else warn)(
            "KubeletNewer",
            f"The kubelet is {text}, newer than the control plane: {source}.",
            subject="kubelet",
            evidence=seen,
            fix=fix,
        )
    if own[0] == target[0] and target[1] - own[1] > most:
        return (warn if role.joined else fail)(
            "KubeletTooOld",
            f"The kubelet is {text}, and {source}: {target[1] - own[1]} minor versions apart, where {most} are allowed.",
            subject="kubelet",
            evidence=seen,
            fix=fix,
        )
    return passed(
        "VersionsFit", f"The kubelet is {text}, and {source}: they go together.", subject="kubelet", evidence=seen
    )
