"""A node with kubeconfigs, and whoever looks at it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.x509.oid import ExtendedKeyUsageOID

from k8sdoctor.facts.kubeconfig import ADMIN, CONTROLLER_MANAGER, KUBELET, ROOT_USER, SCHEDULER
from k8sdoctor.finding import Finding, Status
from k8sdoctor.testing import FakeHost, examine
from tests.api_server import kubeconfig
from tests.certificates import Issued, base64_pem, cluster_ca, issue

if TYPE_CHECKING:
    from collections.abc import Mapping


CA = "/etc/kubernetes/pki/ca.crt"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
CLIENT = [ExtendedKeyUsageOID.CLIENT_AUTH]
SERVER = "https://10.0.0.1:6443"


def client(name: str = "kubernetes-admin", ca: Issued | None = None, *, group: str = "", **more: Any) -> Issued:
    """A client's certificate, as kubeadm makes it."""
    return issue(name, ca or cluster_ca(), **{"usages": CLIENT, "groups": [group] if group else [], **more})


def node_client(name: str = "node1", **more: Any) -> Issued:
    return client(f"system:node:{name}", group="system:nodes", **more)


def conf(
    user: Issued | Mapping[str, Any] | None = None,
    *,
    ca: Issued | None = None,
    key: Issued | None = None,
    cluster: Mapping[str, Any] | None = None,
) -> str:
    """A kubeconfig with everything inline."""
    if user is None:
        user = client()
    if isinstance(user, Issued):
        user = {
            "client-certificate-data": base64_pem(user),
            "client-key-data": base64_pem(key or user, key=True),
        }
    where = {"server": SERVER, "certificate-authority-data": base64_pem(ca or cluster_ca())} | dict(cluster or {})
    return kubeconfig(where, user)


def manifest(clients: str) -> str:
    """An API server that trusts the clients of an authority."""
    words = ["kube-apiserver", f"--client-ca-file={clients}"]
    return json.dumps({"kind": "Pod", "spec": {"containers": [{"name": "kube-apiserver", "command": words}]}})


def rotated() -> str:
    return conf({"client-certificate": CURRENT, "client-key": CURRENT})


def pem(one: Issued) -> str:
    return one.pem + one.key_pem


@dataclass
class Node:
    """A healthy control plane; tests change what they are about (None removes a file)."""

    files: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    worker: bool = False
    denied: tuple[str, ...] = ()
    verbs: dict[str, Any] = field(default_factory=dict)

    def host(self) -> FakeHost:
        files: dict[str, Any] = {
            CA: cluster_ca().pem,
            KUBELET: rotated(),
            CURRENT: pem(node_client()),
            "/usr/bin/kubectl": "",
        }
        if not self.worker:
            files |= {
                ADMIN: conf(group_admin()),
                ROOT_USER: conf(group_admin()),
                CONTROLLER_MANAGER: conf(client("system:kube-controller-manager")),
                SCHEDULER: conf(client("system:kube-scheduler")),
                MANIFEST: manifest(CA),
            }
        files |= self.files
        modes = {**dict.fromkeys(files, 0o600), **self.modes}
        user = {"name": "root", "home": "/root", "kubeconfig": [], "sudo_user": None, "sudo_home": None, **self.user}
        return FakeHost(
            {path: text for path, text in files.items() if text is not None},
            modes=modes,
            denied=self.denied,
            user=user,
            **self.verbs,
        )

    def findings(self) -> tuple[Finding, ...]:
        return examine(self.host(), "kubeconfig")


def group_admin(**more: Any) -> Issued:
    return client(group="kubeadm:cluster-admins", **more)


def only(node: Node) -> Finding:
    """The one finding that is no pass and no skip."""
    [found] = [each for each in node.findings() if each.status not in (Status.PASS, Status.SKIP)]
    assert found.fix is not None or found.status is Status.UNKNOWN
    return found


def verdict(node: Node) -> set[tuple[str, str, str | None]]:
    return {(str(each.status), each.reason, each.subject) for each in node.findings()}
