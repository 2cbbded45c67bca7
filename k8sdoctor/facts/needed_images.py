"""The images that this node needs, or will need: who names them, and whether it can do without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions
from k8sdoctor.facts.cluster_addons import ClusterAddons
from k8sdoctor.facts.kubeadm_images import CONTROL_PLANE, KubeadmImages
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class Need:
    """One image, by the name that it is asked for.

    `users` name it: `static pod kube-system/etcd`, `DaemonSet kube-system/kube-proxy`, `kubeadm init`; `sources` are where they do. `vital` is false where
    the node goes on without it: what the scheduler may send elsewhere, or a later upgrade wants. `official` is the name under which it is
    published, where that may be another one.
    """

    image: str
    users: tuple[str, ...]
    sources: tuple[str, ...]
    vital: bool = True
    official: str = ""


@dataclass(frozen=True)
class NeededImages:
    """Each image once, in the order in which they are found.

    `blind` are those who may name more images and could not be asked, with the reason.
    """

    needs: tuple[Need, ...] = ()
    blind: tuple[tuple[str, Unobserved], ...] = ()

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- whoever names images
        cls,
        host: Host,  # noqa: ARG003 -- what a fact's observe is given; whom it takes its names from was asked already
        stage: Stage,
        pods: StaticPods,
        addons: ClusterAddons | Unobserved,
        kubeadm: KubeadmImages | Unobserved,
        images: RuntimeImages | Unobserved,
    ) -> Self:
        """Put together what static pods, the cluster's addons and kubeadm name. Never raises."""
        found = list(_static(pods))
        blind: list[tuple[str, Unobserved]] = []
        if pods.problem is not None:
            blind.append((f"the static pods in {pods.folder}", pods.problem))
        if stage.joined:
            if isinstance(addons, ClusterAddons):
                found += _addons(addons)
            else:
                blind.append(("what names the images of kube-proxy and of the cluster's DNS server", addons))
        if isinstance(kubeadm, KubeadmImages):
            found += _kubeadm(kubeadm, stage, images)
        elif kubeadm.reason != "NotFound" and not stage.joined:
            blind.append(("kubeadm's configuration", kubeadm))
        return cls(tuple(_merged(found)), tuple(blind))


def _static(pods: StaticPods) -> Iterator[Need]:
    for manifest, container in pods.containers():
        yield Need(container.image, (f"static pod {manifest.namespace}/{manifest.name}",), (manifest.path,))


def _addons(addons: ClusterAddons) -> Iterator[Need]:
    for workload in addons.workloads:
        # A daemon set has a pod on each node, and a pod that is read as such is this node's; a deployment's may run elsewhere.
        vital = workload.kind != "Deployment"
        for image in workload.images:
            yield Need(image, (workload.label,), (f"{workload.label} of the API server",), vital)


def _kubeadm(kubeadm: KubeadmImages, stage: Stage, images: RuntimeImages | Unobserved) -> Iterator[Need]:
    release = versions.text(kubeadm.version)
    wanted, user, vital = kubeadm.images, f"kubeadm init of v{release}", True
    if stage.stage == "worker":
        return
    if stage.stage == "control-plane":
        # Which etcd, CoreDNS and pause image an upgrade takes is up to that kubeadm, and the ones in use are named by what runs them.
        wanted = tuple(each for each in wanted if each.component in CONTROL_PLANE)
        user, vital = f"kubeadm upgrade node to v{release}", False
    elif kubeadm.joins == "worker" or (kubeadm.joins is None and _prepared_as_worker(kubeadm, images)):
        wanted, user = kubeadm.workers, f"kubeadm join of v{release}"
    elif kubeadm.joins:
        user = f"kubeadm join of v{release} as a control plane"
    for each in wanted:
        yield Need(each.image, (user,), (f"{kubeadm.source} ({kubeadm.told})",), vital, each.official)


def _prepared_as_worker(kubeadm: KubeadmImages, images: RuntimeImages | Unobserved) -> bool:
    """Whether somebody brought what a worker needs of this release, and nothing of what a control plane needs."""
    if not isinstance(images, RuntimeImages) or not kubeadm.workers:
        return False
    ruling = [each.image for each in kubeadm.images if each.component in CONTROL_PLANE]
    return all(images.has(each.image) for each in kubeadm.workers) and not any(map(images.has, ruling))


def _merged(needs: Iterable[Need]) -> Iterator[Need]:
    """Each image once: vital if it is to anybody."""
    found: dict[str, Need] = {}
    for need in needs:
        known = found.get(need.image)
        found[need.image] = need if known is None else _both(known, need)
    return iter(found.values())


def _both(first: Need, second: Need) -> Need:
    if first.vital and not second.vital:
        return replace(first, official=first.official or second.official)
    return replace(
        first,
        users=tuple(dict.fromkeys(first.users + second.users)),
        sources=tuple(dict.fromkeys(first.sources + second.sources)),
        vital=second.vital,
        official=first.official or second.official,
    )
