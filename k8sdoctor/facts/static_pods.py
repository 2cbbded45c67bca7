"""Static pods: the folder that the kubelet watches, and every manifest that it reads there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_manifest import Container, Manifest
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

MANIFESTS = "/etc/kubernetes/manifests"
"""kubeadm's folder: kubeadmconstants.ManifestsSubDirName under /etc/kubernetes, which it also writes as the kubelet's staticPodPath."""


MOST = 1000
"""Files that are read of one folder; a control plane has a handful, and what is no more than that is not judged by a part."""


@dataclass(frozen=True)
class StaticPods:
    """What the kubelet reads, in its order, which is bytewise by name (kubernetes pkg/kubelet/config/file.go).

    `folder` is the path that it watches, None where it watches none; it may be a single file. `source` says who named it. `assumed` is true where the
    kubelet's configuration could not be read or is not there yet, and the folder is kubeadm's. `present` tells whether the folder is there.
    `manifests` are the files that it reads; `ignored` are names that it passes over: dot files and sub-folders. `elsewhere` are the
    manifests of kubeadm's folder where that is not the one watched. `problem` is why the folder could not be listed.
    """

    folder: str | None = MANIFESTS
    source: str = "kubeadm's default"
    assumed: bool = False
    present: bool = True
    manifests: tuple[Manifest, ...] = ()
    ignored: tuple[str, ...] = ()
    elsewhere: tuple[Manifest, ...] = ()
    problem: Unobserved | None = None

    def find(self, program: str) -> Manifest | None:
        """The manifest of a program such as `kube-apiserver`: kubeadm's file of that name, else the last one that runs the program.

        Looked for among those that the kubelet reads, then in kubeadm's folder.
        """
        for manifests in (self.manifests, self.elsewhere):
            for each in manifests:
                if each.path.endswith(f"/{program}.yaml"):
                    return each
            for each in reversed(manifests):
                if each.container(program):
                    return each
        return None

    def containers(self) -> tuple[tuple[Manifest, Container], ...]:
        """Every container that the kubelet makes of these files, with its manifest."""
        return tuple(
            (each, container) for each in self.manifests if each.fault is None for container in each.containers
        )

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet | Unobserved) -> Self:
        """List the folder and read its files. Never raises: what could not be read is a `problem`, or a manifest's fault."""
        folder, source, assumed = _folder(kubelet)
        elsewhere: tuple[Manifest, ...] = ()
        if folder != MANIFESTS:
            try:
                elsewhere, _ = _read_all(host, MANIFESTS)
            except HostError:
                elsewhere = ()
        if folder is None:
            return cls(None, source, assumed=assumed, present=False, elsewhere=elsewhere)
        try:
            if not host.exists(folder):
                return cls(folder, source, assumed=assumed, present=False, elsewhere=elsewhere)
            manifests, ignored = _read_all(host, folder)
        except HostError as error:
            problem = Unobserved(error.reason, error.message)
            return cls(folder, source, assumed=assumed, elsewhere=elsewhere, problem=problem)
        return cls(folder, source, assumed=assumed, manifests=manifests, ignored=ignored, elsewhere=elsewhere)


def _folder(kubelet: Kubelet | Unobserved) -> tuple[str | None, str, bool]:
    if isinstance(kubelet, Unobserved):
        return MANIFESTS, f"kubeadm's default; {kubelet.message}", True
    path = kubelet.static_pod_path
    if path:
        source = kubelet.flag_sources.get("--pod-manifest-path") or kubelet.setting_source("staticPodPath")
        return path.rstrip("/") or "/", source, False
    if kubelet.config or kubelet.pid is not None:
        if kubelet.problems and not kubelet.config:
            return MANIFESTS, f"kubeadm's default; {kubelet.problems[0].message}", True
        return None, kubelet.config_path, False
    return MANIFESTS, "kubeadm's default; the kubelet has no configuration yet", True


def _read_all(host: Host, folder: str) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
    """The manifests of a folder, or of the single file that it is. Raises HostError where it is not to be listed."""
    try:
        entries = host.listdir(folder)
    except HostError as error:
        if error.reason == "NotFound":
            return (), ()
        if error.reason == "Unreadable" and host.stat(folder)["kind"] == "file":
            return (_read(host, folder),), ()
        raise
    if len(entries) > MOST:
        raise HostError("Unreadable", f"{folder} holds {len(entries)} names, and no more than {MOST} are read")
    manifests: list[Manifest] = []
    ignored: list[str] = []
    for entry in entries:
        path = f"{folder}/{entry['name']}"
        if entry["name"].startswith(".") or entry["kind"] == "dir" or _leads_to_folder(host, path, entry["kind"]):
            ignored.append(path)
        else:
            manifests.append(_read(host, path))
    return tuple(manifests), tuple(ignored)


def _leads_to_folder(host: Host, path: str, kind: str) -> bool:
    try:
        return kind == "link" and host.stat(path)["kind"] == "dir"
    except HostError:
        return False


def _read(host: Host, path: str) -> Manifest:
    try:
        return Manifest.parse(host.read(path), path)
    except HostError as error:
        return Manifest(path, fault="unreadable", problem=error.message, reason=error.reason)
