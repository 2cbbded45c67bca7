"""Where names of workloads stand: namespaces, pods, containers, services, labels, and paths of images.

What every cluster has, such as `kube-system/coredns`, is no name of anybody's. It is told by its words, all of which are of the field or
of well-known projects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor.anonymize.names import is_public
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.anonymize.names import Names

_NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_HOST = r"(?:[\w-]+(?:\.[\w-]+)+(?::\d+)?|localhost(?::\d+)?|[\w-]+:\d+)"
_PODS = (
    # kubelet's folder of a pod's logs: pkg/kubelet/kuberuntime/helpers.go, BuildPodLogsDirectory.
    regex(
        rf"(?<![\w.-])(?P<namespace>{_NAME})_(?P<name>{_NAME})_(?:[0-9a-f]{{32}}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"
    ),
    # kubelet's and kube-proxy's logs, kube-proxy's comments in iptables, and paths of the API.
    regex(rf"\b(?:pods?|service|claim|object)=\[?\\*\"(?P<namespace>{_NAME})/(?P<name>{_NAME})"),
    regex(rf"\bcomment \\*\"(?P<namespace>{_NAME})/(?P<name>{_NAME})(?=[:\" ])"),
    regex(rf"/namespaces/(?P<namespace>{_NAME})/[a-z]+/(?P<name>{_NAME})(?=[/?\"' ]|$)"),
)
_NAMESPACES = regex(rf"\bnamespaces?(?:=|[\"']?: ?|[ ]|/)\\*\"?(?P<namespace>{_NAME})(?=[\\\"'/,?\s]|$)")
_PATH = r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*"
_IMAGE = regex(rf"(?:{_HOST}/)?(?P<path>{_PATH})(?::[\w][\w.-]*)?(?:@sha256:[0-9a-f]+)?")
_IMAGES = regex(rf"(?<![\w./@-])(?P<image>{_HOST}/{_PATH}(?=:[\w][\w.-]*|@sha256:)|(?<=image: ){_PATH})")
_LABELS_OF_NO_NAME = regex(r"hash|uid$|generation|revision|version|arch|\bos\b|instance-type|\btier\b|^pod-template")


def see_text(text: str, names: Names) -> None:
    """Note the workloads that a text names by the words around them."""
    for pattern in _PODS:
        for match in pattern.finditer(text):
            names.see_workload(match["namespace"], "namespace")
            names.see_workload(match["name"], "pod")
    for match in _IMAGES.finditer(text):
        see_image(match["image"], names)
    if "namespace" in text:
        for match in _NAMESPACES.finditer(text):
            names.see_workload(match["namespace"], "namespace")


def see_image(reference: str, names: Names) -> None:
    """Note the path of an image, part by part."""
    match = _IMAGE.fullmatch(reference)
    for part in match["path"].split("/") if match else ():
        names.see_workload(part, "image")


def see_objects(objects: Iterator[dict[str, Any]], names: Names) -> None:
    """Note what objects of the API and the runtime's pods, containers and images are called."""
    for each in objects:
        _see_object(each, names)


def _see_object(each: dict[str, Any], names: Names) -> None:
    for key, kind in (
        ("namespace", "namespace"),
        ("io.kubernetes.pod.namespace", "namespace"),
        ("io.kubernetes.pod.name", "pod"),
        ("io.kubernetes.container.name", "pod"),
    ):
        if isinstance(each.get(key), str):
            names.see_workload(each[key], kind)  # type: ignore[arg-type]  # one of the two
    if isinstance(each.get("namespace"), str) and isinstance(each.get("name"), str):
        names.see_workload(each["name"], "pod")
    for key in ("image", "user_specified_image", "repo_tags", "repo_digests"):
        found = each.get(key)
        for reference in found if isinstance(found, list) else [found]:
            if isinstance(reference, str):
                see_image(reference, names)
    labels = each.get("labels")
    for key, value in labels.items() if isinstance(labels, dict) else ():
        domain, slash, _ = key.rpartition("/")
        if (
            isinstance(value, str)
            and not _LABELS_OF_NO_NAME.search(key)
            and not (slash and is_public(domain.lower().split(".")))
        ):
            names.see_workload(value, "label")
