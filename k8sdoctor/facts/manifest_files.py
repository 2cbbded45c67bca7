"""What the manifests of a control plane lean on: the files that flags name, the folders and files that volumes mount, and who may write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.pod_manifest import Container, Manifest
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import FileStat

State: TypeAlias = Literal["there", "absent", "hidden", "elsewhere"]
"""`hidden`: we may not look. `elsewhere`: on a volume that is not the host's."""

_SERVING = ("--tls-cert-file", "--tls-private-key-file", "--client-ca-file", "--requestheader-client-ca-file")
_KUBECONFIGS = ("--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig")

FILE_FLAGS: dict[str, tuple[str, ...]] = {
    "kube-apiserver": (
        *_SERVING,
        *("--etcd-cafile", "--etcd-certfile", "--etcd-keyfile"),
        *("--kubelet-client-certificate", "--kubelet-client-key", "--kubelet-certificate-authority"),
        *("--proxy-client-cert-file", "--proxy-client-key-file"),
        *("--service-account-key-file", "--service-account-signing-key-file"),
        *("--audit-policy-file", "--audit-webhook-config-file", "--encryption-provider-config"),
        *("--admission-control-config-file", "--egress-selector-config-file", "--tracing-config-file"),
        *("--token-auth-file", "--oidc-ca-file", "--authentication-config", "--authorization-config"),
        *("--authentication-token-webhook-config-file", "--authorization-webhook-config-file"),
    ),
    "kube-controller-manager": (
        *_SERVING,
        *_KUBECONFIGS,
        *("--cluster-signing-cert-file", "--cluster-signing-key-file"),
        *("--root-ca-file", "--service-account-private-key-file"),
    ),
    "kube-scheduler": (*_SERVING, *_KUBECONFIGS, "--config"),
    "etcd": (
        *("--cert-file", "--key-file", "--trusted-ca-file"),
        *("--peer-cert-file", "--peer-key-file", "--peer-trusted-ca-file"),
    ),
}
"""Flags whose value is a file without which the program ends; each may come more than once (`--service-account-key-file`)."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a flag names. `host` is where it lies on the host, None where no volume of the host is mounted there.

    `state` is that of the path on the host: of `host`, else of the path itself as named.
    """

    manifest: str
    program: str
    flag: str
    path: str
    host: str | None
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class MountedPath:
    """A hostPath volume with a `type` that the kubelet tests before it starts the pod, and what is there: a kind of `stat`, or a state."""

    manifest: str
    path: str
    type: str
    found: str
    parent: State = "there"


@dataclass(frozen=True)
class ManifestFiles:
    """All that was looked up. `writable` are the watched folder and manifests that any user may change."""

    named: tuple[NamedFile, ...] = ()
    mounted: tuple[MountedPath, ...] = ()
    writable: tuple[str, ...] = ()

    @classmethod
    def observe(cls, host: Host, pods: StaticPods) -> Self:
        """Look each path up. Never raises: what may not be looked at is `hidden`."""
        named = tuple(
            _named(host, manifest, container, flag, path)
            for manifest, container in pods.containers()
            for flag in FILE_FLAGS.get(container.program, ())
            for path in _values(container.words, flag)
        )
        mounted = tuple(
            _mounted(host, manifest, path, type_)
            for manifest in pods.manifests
            if manifest.fault is None
            for path, type_ in manifest.volumes
            if type_
        )
        watched = [pods.folder, *(each.path for each in pods.manifests)] if pods.folder and pods.present else []
        return cls(named, mounted, tuple(path for path in watched if path and _anybody_writes(host, path)))


def _values(words: tuple[str, ...], flag: str) -> Iterator[str]:
    """The absolute paths given to a flag, each time that it comes."""
    for position, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name == flag:
            path = value if sign else "".join(words[position + 1 : position + 2])
            if path.startswith("/"):
                yield path


def _named(host: Host, manifest: Manifest, container: Container, flag: str, path: str) -> NamedFile:
    on_host = container.on_host(path)
    state, why = _state(host, on_host or path)
    if on_host is None and any(path == each or path.startswith(f"{each}/") for each in container.covered):
        state = "elsewhere"
    return NamedFile(manifest.path, container.program, flag, path, on_host, state, why)


def _mounted(host: Host, manifest: Manifest, path: str, type_: str) -> MountedPath:
    parent = path.rstrip("/").rpartition("/")[0] or "/"
    try:
        found: str = host.stat(path)["kind"]
    except HostError as error:
        found = "absent" if error.reason == "NotFound" else "hidden"
    return MountedPath(manifest.path, path, type_, found, _state(host, parent)[0] if found == "absent" else "there")


def _state(host: Host, path: str) -> tuple[State, str]:
    try:
        host.stat(path)
    except HostError as error:
        return ("absent" if error.reason == "NotFound" else "hidden"), error.message
    return "there", ""


def _anybody_writes(host: Host, path: str) -> bool:
    try:
        stat: FileStat = host.stat(path)
    except HostError:
        return False
    return bool(stat["mode"] & 0o002)
