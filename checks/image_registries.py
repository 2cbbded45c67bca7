"""Every place that names an image registry names one that is alive, and they agree.

## What it looks at
All that tells this node, the next one, and kubeadm where images come from: `imageRepository` (and those of `dns` and `etcd`) in the ConfigMap
`kubeadm-config`, or in `--config` before `kubeadm init`; the images of static pods, of the kube-proxy daemon set and of CoreDNS's deployment; the
runtime's sandbox image; kubelet's `--pod-infra-container-image`; the mirrors in `hosts.toml`, `registries.conf` and `daemon.json`.

## Why it matters
A running node has its images and shows nothing. Then a registry is closed or frozen, one place is corrected and another forgotten, and months
later the next node does not join, an upgrade stops, or a pod does not come back after a disk was cleared.

## How it is decided
Each name is compared with a table of registries that those who run them have frozen or closed; every entry names its source, and a registry
that is merely slow or unknown is not in it. A registry that only machines of Azure in China may ask is no fault on such a machine. Then
what kubeadm writes from one setting is compared: the control plane's static pods and kube-proxy with `imageRepository`, CoreDNS and etcd with theirs. A
private repository that all of them name is silent; so is the sandbox image beside it, unless it comes from the public registry by no mirror.
Nothing is asked of any registry: whether images can be pulled is judged by `images` and `pause-image`.

## Reasons
- `RegistriesAgree` (pass): no place names a registry that is known to be gone, and they do not contradict each other
- `NothingNamed` (skip): nothing names a registry here
- `RegistryFrozen` (warn): a registry that gets no new images is still named, and another took its place
- `RegistryClosed` (warn): a registry or mirror that was closed is still named
- `RegistriesDiffer` (warn): places that kubeadm fills from one setting name different repositories

## What it sends
On a node a GET to the API server for the ConfigMap `kubeadm-config`, the kube-proxy daemon set and CoreDNS's deployment. Nothing with `--offline`.

## How to fix
In this order, so that each restart finds its image: pull the images under their new names; the mirrors and the sandbox image (the runtime
restarts, running containers go on); the ConfigMap (nothing restarts); static pods on one control plane after the other (the kubelet
restarts each); the daemon set and the deployment (their pods are replaced one after the other). Restarting a control plane needs a person's decision.

## How to verify
`kubectl -n kube-system get pods -o jsonpath='{..image}'` shows the new registry alone; run this check again on each node.

## References
- kubernetes.io/blog/2023/03/10/image-registry-redirect and the announcement of the freeze of k8s.gcr.io
- kubeadm `app/images/images.go`: which setting gives which image its repository
- Azure/container-service-for-azure-china issue 58, and the sources in `k8sdoctor/facts/retired_registries.py`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _image_registry_fixes as fixes
from k8sdoctor.checks._pull_judgement import PULL_FAILS, blames, says
from k8sdoctor.checks._words import all_of, enumerated
from k8sdoctor.facts.api_access import refused
from k8sdoctor.facts.image_places import ImagePlaces
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.retired_registries import Retired, retired
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.finding import Evidence, Finding, Link, Unobserved, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.image_places import ImagePlace

PUBLIC = frozenset({"registry.k8s.io", "k8s.gcr.io"})
_OF_KUBEADM = frozenset(
    {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "etcd"}
)


@check(
    "image-registries",
    title="Every place that names an image registry names one that is alive, and they agree",
    area="images",
    profiles=NOT_DNS,
)
def image_registries(
    runtime: Runtime,
    places: ImagePlaces,
    sandbox: SandboxImage | Unobserved,
    hosts: RegistryHosts | Unobserved,
) -> Iterator[Finding]:
    """Judge each registry that is named, then whether the names agree."""
    for who, why in places.blind:
        make = skip if why.reason == "Offline" or refused(why) else unknown
        yield make(why.reason, f"{who[:1].upper()}{who[1:]} could not be read: {why.message}.", traits=why.traits)
    own = sandbox if isinstance(sandbox, SandboxImage) else None
    gone: dict[str, tuple[Retired, list[ImagePlace]]] = {}
    for place in places.places:
        found = retired(place.repository, azure=places.azure)
        if found is not None:
            gone.setdefault(_old(place, found), (found, []))[1].append(place)
    for name, (found, named) in gone.items():
        yield _retired(name, found, named, own, runtime)
    retired_places = [place for _, named in gone.values() for place in named]
    different = _different(places, own, hosts, retired_places)
    if different:
        yield _differ(places, different, runtime)
    if places.places and not gone and not different:
        names = enumerated(list(dict.fromkeys(place.registry for place in places.places)))
        which = all_of(len(places.places), "place that names a registry has", "places that name a registry have")
        yield passed(
            "RegistriesAgree",
            f"{which} {names}.",
            evidence=_evidence(places.places),
        )
    elif not places.places and not places.blind:
        yield skip("NothingNamed", "No setting, manifest or object names an image registry here.")


# -- registries that are gone ----------------------------------------------------------------------------------------------


def _old(place: ImagePlace, found: Retired) -> str:
    """The name of what is gone, for a whole domain the host that is named."""
    return place.registry if found.name.startswith(".") else found.name


def _retired(
    name: str, found: Retired, places: Sequence[ImagePlace], sandbox: SandboxImage | None, runtime: Runtime
) -> Finding:
    reason = "RegistryFrozen" if "frozen" in found.why else "RegistryClosed"
    kind = runtime.kind or "containerd"
    # A mirror is taken away rather than replaced by what it stood for.
    images = [place for place in places if place.kind != "mirror"]
    if found.instead is not None and images:
        title = f"Let {_names(places)} name {found.instead} instead of {name}"
        fix = fixes.move(places, name, found.instead, sandbox, kind, title=title)
    else:
        fix = fixes.edit(places, kind, title=f"Take {name} out of {_names(places)}, or name another registry")
    return warn(
        reason,
        f"{_names(places)} {'names' if len(places) == 1 else 'name'} {name}, which {found.why}.",
        subject=name,
        evidence=[*_evidence(places), Evidence(found.source, f"{name} {found.why}")],
        fix=fix,
        explains=_explained(reason, found, places),
    )


def _explained(reason: str, found: Retired, places: Sequence[ImagePlace]) -> Iterator[Link]:
    """A pull that fails at what was closed fails for that; what is frozen still answers, and lacks what is newer."""
    faults = (*PULL_FAILS, "MirrorFailing") if reason == "RegistryClosed" else ("ImageNotFound",)
    for registry in dict.fromkeys(place.registry for place in places):
        for fault in faults:
            for other in ("pause-image", "images", "image-list", "registry-config"):
                if says(other, fault):
                    yield Link(other, fault, f"{registry} {found.why} ({found.source}).", when=blames(registry))
    yield from _pause(places)


def _pause(places: Sequence[ImagePlace]) -> Iterator[Link]:
    """A sandbox image from the wrong registry differs from kubeadm's for that, and kubeadm's from the runtime's likewise."""
    if any(place.kind == "sandbox" for place in places):
        yield Link("pause-image", "PauseImageDiffers", "The sandbox image is one of the names that are behind.")
    for place in places:
        if place.kind == "config-map":
            why = f"kubeadm's own sandbox image is named by {place.what}."
            yield Link("pause-image", "PauseImageDiffers", why, when=frozenset({f"wished:{place.registry}"}))


# -- places that disagree --------------------------------------------------------------------------------------------------


def _different(
    places: ImagePlaces, sandbox: SandboxImage | None, hosts: RegistryHosts | Unobserved, gone: Sequence[ImagePlace]
) -> list[ImagePlace]:
    """What contradicts the cluster's configuration of kubeadm; nothing where that is unknown, or names what is gone."""
    settings = {place.what.partition(" ")[0]: place for place in places.of("config-map")}
    main = settings.get("imageRepository")
    if main is None or main in gone:
        return []
    found = []
    for place in places.of("static-pod", "daemon-set", "deployment"):
        if place.component in _OF_KUBEADM and place not in gone:
            key = {"coredns": "dns.imageRepository", "etcd": "etcd.local.imageRepository"}.get(place.component, "")
            wanted = _whole(settings.get(key, main).named)
            # CoreDNS has a folder of its own in the public registry.
            if place.repository not in (wanted, f"{wanted}/coredns" if place.component == "coredns" else wanted):
                found.append(place)
    if main.registry not in PUBLIC and sandbox is not None and sandbox.reference is not None:
        mirrored = isinstance(hosts, Unobserved) or any(not host.upstream for host in hosts.hosts)
        if sandbox.reference.registry in PUBLIC and not mirrored:
            found += places.of("sandbox") or [_built_in(sandbox)]
    return [place for place in found if place not in gone]


def _built_in(sandbox: SandboxImage) -> ImagePlace:
    from k8sdoctor.facts.image_places import ImagePlace

    repository = sandbox.reference.name.rpartition("/")[0] if sandbox.reference else ""
    what = f"the sandbox image of {sandbox.runtime}"
    return ImagePlace("sandbox", what, sandbox.image, sandbox.config_path or sandbox.source, repository, "pause")


def _whole(repository: str) -> str:
    """A repository as names of images in it are made whole."""
    try:
        return ImageReference.parse(f"{repository.rstrip('/')}/x").name.rpartition("/")[0]
    except ValueError:
        return repository


def _differ(places: ImagePlaces, different: Sequence[ImagePlace], runtime: Runtime) -> Finding:
    settings = places.of("config-map")
    others = ", ".join(dict.fromkeys(place.repository for place in different))
    return warn(
        "RegistriesDiffer",
        f"{settings[0].what} is {settings[0].named}, from which the next node or upgrade takes its images, and "
        f"{_names(different)} {'comes' if len(different) == 1 else 'come'} from {others}.",
        subject=settings[0].named,
        evidence=_evidence([*settings, *different]),
        fix=fixes.edit(
            _in_order(places, [*settings, *different]),
            runtime.kind or "containerd",
            title="Decide on one repository, and name it everywhere",
        ),
        explains=_pause(different),
    )


def _in_order(places: ImagePlaces, chosen: Sequence[ImagePlace]) -> list[ImagePlace]:
    """Places in the order in which a change is safe."""
    extra = [place for place in chosen if place not in places.places]
    return [*extra, *(place for place in places.places if place in chosen)]


def _names(places: Sequence[ImagePlace]) -> str:
    return enumerated(list(dict.fromkeys(place.what for place in places)))


def _evidence(places: Sequence[ImagePlace]) -> list[Evidence]:
    return [Evidence(place.source, f"{place.what}: {place.named}") for place in places]
