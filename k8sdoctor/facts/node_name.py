"""The name by which this machine is a Node of its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.kubeconfig import KUBELET, inline
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host, Json

USER = "system:node:"
"""What a kubelet's common name begins with (kubernetes plugin/pkg/auth/nodeidentifier)."""

OVERRIDE = "--hostname-override"


@dataclass(frozen=True)
class NodeName:
    """The Node object's name, and where it is known from.

    The name in the kubelet's client certificate decides, for the API server lets a kubelet write no other Node; then `--hostname-override`,
    then the host name as the kubelet takes it. `certificate` is the name that the certificate holds (None: it could not be read), and
    `configured` the name by which this kubelet registers: a machine that was renamed or cloned has two different ones. `fingerprint` is that
    certificate's SHA-256 (empty: it could not be read), `kubeconfig` the file that shows it.
    """

    name: str
    source: str
    configured: str
    certificate: str | None = None
    fingerprint: str = ""
    kubeconfig: str = KUBELET

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet | Unobserved) -> Self:
        """Look at the kubelet's kubeconfig, its flags and the host name. Never raises."""
        flags = kubelet.flags if isinstance(kubelet, Kubelet) else {}
        override = flags.get(OVERRIDE)
        # kubernetes staging/src/k8s.io/component-helpers/node/util/hostname.go: trimmed and lower case, either way.
        configured = (override or host.identity()["hostname"]).strip().lower()
        path = flags.get("--kubeconfig", KUBELET)
        certificate, fingerprint = _of_certificate(host, path)
        if certificate:
            source = f"the client certificate of {path}"
            return cls(certificate, source, configured, certificate, fingerprint, path)
        return cls(configured, OVERRIDE if override else "the host name", configured, None, fingerprint, path)


def _of_certificate(host: Host, path: str) -> tuple[str | None, str]:
    """The Node's name in the certificate, None where it is nobody's of a Node; and the certificate's fingerprint."""
    from k8sdoctor.facts.x509 import BadCertificateError, certificates

    try:
        text = _client_certificate(host, yaml.mapping(host.read(path), path), path)
        certificate = certificates(text)[0]
    except (HostError, yaml.YamlError, BadCertificateError, ValueError):
        return None, ""  # the checks of kubeconfigs and certificates say so
    common_name = certificate.common_name or ""
    return common_name.removeprefix(USER) if common_name.startswith(USER) else None, certificate.fingerprint


def _client_certificate(host: Host, document: dict[str, Json], path: str) -> str:
    """The text of the certificate that the file's user shows; empty where it shows none."""
    for user in _users(document):
        if data := yaml.string(user, "client-certificate-data"):
            return inline(data)
        if named := yaml.string(user, "client-certificate"):
            return host.read(named if named.startswith("/") else f"{path.rpartition('/')[0]}/{named}")
    return ""


def _users(document: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The user of the current context; a kubelet's kubeconfig has one."""
    current = yaml.string(document, "current-context")
    wanted = {
        yaml.string(context, "user")
        for entry in _entries(document, "contexts")
        if yaml.string(entry, "name") == current and isinstance(context := entry.get("context"), dict)
    }
    for entry in _entries(document, "users"):
        if yaml.string(entry, "name") in wanted and isinstance(user := entry.get("user"), dict):
            yield user


def _entries(document: dict[str, Json], key: str) -> Iterator[dict[str, Json]]:
    listed = document.get(key)
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            yield entry
