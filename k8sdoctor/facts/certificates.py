"""The API server's certificate and the cluster's authority, as they lie on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.kubeconfig import KUBELET, Kubeconfigs
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

CLUSTER_CA = "/etc/kubernetes/pki/ca.crt"
_BESIDE = ("apiserver-kubelet-client.crt", "front-proxy-client.crt", "etcd/server.crt")
"""What kubeadm makes together with the API server's certificate, in the same folder."""


@dataclass(frozen=True)
class Certificates:
    """The chain in `path` that the API server of this node serves (empty: no such file), and the cluster's authority.

    `ca` comes from `ca_source`: pki/ca.crt, else the kubelet's kubeconfig; empty where neither tells. `malformed` are files that hold no
    certificate, and why, `unreadable` why files could not be read. `now` is the node's clock. `beside` are, where the API server's own has ended, the certificates
    that kubeadm makes together with it.
    """

    path: str
    chain: tuple[Certificate, ...]
    ca: tuple[Certificate, ...]
    ca_source: str | None
    now: float
    malformed: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[Unobserved, ...] = ()
    beside: tuple[tuple[str, Certificate], ...] = ()

    @classmethod
    def observe(cls, host: Host, server: ApiServer, kubeconfigs: Kubeconfigs | Unobserved) -> Self:
        """Read them. Raises nothing: what could not be read or parsed is told."""
        malformed: list[tuple[str, str]] = []
        unreadable: list[Unobserved] = []
        path = server.certificate
        chain = _read(host, path, malformed, unreadable)
        ca, source = _read(host, CLUSTER_CA, malformed, unreadable), CLUSTER_CA
        kubelet = kubeconfigs.at(KUBELET) if isinstance(kubeconfigs, Kubeconfigs) else None
        if not ca and kubelet and kubelet.ca:
            source = kubelet.ca_source or KUBELET
            ca = parsed(kubelet.ca, source, malformed)
        now = host.now()
        beside = _beside(host, path) if chain and chain[0].not_after < now else ()
        return cls(path, chain, ca, source if ca else None, now, tuple(malformed), tuple(unreadable), beside)


def _beside(host: Host, path: str) -> tuple[tuple[str, Certificate], ...]:
    """Those that can be read: the check of certificates tells of the others."""
    paths = [f"{path.rpartition('/')[0]}/{name}" for name in _BESIDE]
    chains = [(each, _read(host, each, [], [])) for each in paths]
    return tuple((each, chain[0]) for each, chain in chains if chain)


def _read(
    host: Host, path: str, malformed: list[tuple[str, str]], unreadable: list[Unobserved]
) -> tuple[Certificate, ...]:
    try:
        text = host.read_optional(path)
    except HostError as error:
        unreadable.append(Unobserved(error.reason, error.message))
        return ()
    return () if text is None else parsed(text, path, malformed)


def parsed(text: str, source: str, malformed: list[tuple[str, str]]) -> tuple[Certificate, ...]:
    """The certificates in a text; none, and an entry in `malformed`, for what holds none."""
    try:
        return certificates(text)
    except BadCertificateError as error:
        malformed.append((source, str(error)))
        return ()
