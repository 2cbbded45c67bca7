"""How to move a cluster's images from one registry to another: which files and objects change, in which order, and what restarts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.checks._pause_image_fixes import set_image
from k8sdoctor.checks._pull_fixes import place as position
from k8sdoctor.checks._pull_fixes import restart
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.image_places import ImagePlace
    from k8sdoctor.facts.runtime import Kind
    from k8sdoctor.facts.sandbox_image import SandboxImage

AGAIN = "k8sdoctor check image-registries"
ADMIN = "/etc/kubernetes/admin.conf"
_OBJECTS = ("config-map", "daemon-set", "deployment")


def move(  # noqa: PLR0913 -- what moves, from where, to where, on which runtime
    places: Sequence[ImagePlace], old: str, new: str, sandbox: SandboxImage | None, runtime: Kind, *, title: str
) -> Fix:
    """Let all places name `new` where they name `old`, whatever follows.

    What pulls is changed first, then what kubeadm reads, then what runs, so that each restart finds its image.
    """
    lines = [*_fetch(places, old, new)]
    if any(each.kind in _OBJECTS for each in places):
        lines.append(f"export KUBECONFIG={ADMIN}  # on a control plane")
    for each in places:
        lines += _change(each, old, new, sandbox, runtime)
    return Fix(title=title, commands=tuple(dict.fromkeys(lines)), verify=AGAIN, safety=Safety.MANUAL)


def edit(places: Sequence[ImagePlace], runtime: Kind, *, title: str) -> Fix:
    """Open each place in the order in which it is safe to change them, where only a person knows what shall stand there."""
    lines: list[str] = []
    if any(each.kind in _OBJECTS for each in places):
        lines.append(f"export KUBECONFIG={ADMIN}  # on a control plane")
    for each in places:
        lines += _open(each, runtime)
    return Fix(title=title, commands=tuple(dict.fromkeys(lines)), verify=AGAIN, safety=Safety.MANUAL)


def _moved(text: str, old: str, new: str) -> str:
    """An image or repository in its new place.

    >>> _moved("k8s.gcr.io/coredns/coredns:v1.8.6", "k8s.gcr.io", "registry.k8s.io")
    'registry.k8s.io/coredns/coredns:v1.8.6'
    """
    return new + text.removeprefix(old)


def _fetch(places: Sequence[ImagePlace], old: str, new: str) -> Iterator[str]:
    """Have the images before anything restarts with them."""
    for each in places:
        if each.kind in ("sandbox", "static-pod", "daemon-set", "deployment"):
            yield f"crictl pull {_moved(each.named, old, new)}"


def _change(place: ImagePlace, old: str, new: str, sandbox: SandboxImage | None, runtime: Kind) -> Iterator[str]:
    name = _moved(place.named, old, new)
    match place.kind:
        case "sandbox" if sandbox is not None:
            yield from set_image(sandbox, name)
            yield f"{restart(runtime)}  # running containers go on"
        case "static-pod":
            yield (
                f"sed -i {shlex.quote(_substitution(place.named, name))} {shlex.quote(place.source)}"
                "  # the kubelet restarts this pod; on each control plane, one after the other"
            )
        case "plan":
            path = place.source.removeprefix("--config ")
            yield f"sed -i {shlex.quote(_substitution(place.named, name))} {shlex.quote(path)}"
        case "config-map":
            substitution = shlex.quote(_substitution(f"mageRepository: {place.named}", f"mageRepository: {name}"))
            yield (
                "kubectl -n kube-system get configmap kubeadm-config -o yaml"
                f" | sed {substitution} | kubectl replace -f -  # restarts nothing; kubeadm join and upgrade read it"
            )
        case "daemon-set" | "deployment":
            what, told = _object(place)
            yield f"kubectl -n kube-system set image {what} '*={name}'  # {told}"
        case _:
            yield from _open(place, runtime)


def _substitution(old: str, new: str) -> str:
    escaped = "".join(f"\\{character}" if character in r".[]*^$\#" else character for character in old)
    return f"s#{escaped}#{new}#"


def _open(place: ImagePlace, runtime: Kind) -> Iterator[str]:
    path, line = position(place.source)
    opened = f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}"
    match place.kind:
        case "mirror":
            live = path.endswith("hosts.toml")
            yield f"{opened}  # {'counts at the next pull' if live else f'then {restart(runtime)}'}"
        case "sandbox":
            yield f"{opened}  # then {restart(runtime)}; running containers go on"
        case "kubelet":
            where = opened if path.startswith("/") else "systemctl cat kubelet"
            yield f"{where}  # the flag {place.what.partition(' ')[2]}; then systemctl restart kubelet: pods go on"
        case "plan":
            yield f"${{EDITOR:-vi}} {shlex.quote(place.source.removeprefix('--config '))}"
        case "config-map":
            yield "kubectl -n kube-system edit configmap kubeadm-config  # restarts nothing; kubeadm join and upgrade read it"
        case "static-pod":
            yield f"{opened}  # the kubelet restarts this pod; on each control plane, one after the other"
        case "daemon-set" | "deployment":
            what, told = _object(place)
            yield f"kubectl -n kube-system edit {what}  # {told}"


def _object(place: ImagePlace) -> tuple[str, str]:
    """An object as kubectl takes it, and what a change of its image restarts."""
    kind, _, name = place.what.partition(" kube-system/")
    wanted = "daemonset" if place.kind == "daemon-set" else "deployment"
    told = "restarts its pods on all nodes, one after the other"
    if kind == "Pod":  # whose owner could not be read
        return f"{wanted} -l k8s-app={'kube-proxy' if wanted == 'daemonset' else 'kube-dns'}", told
    return f"{wanted}/{name}", told
