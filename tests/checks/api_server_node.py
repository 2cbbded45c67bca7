"""A control plane behind a balancer, whose addresses answer hellos as a test says."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET
from k8sdoctor.finding import Finding, Status
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost, examine
from tests.api_server import kubeconfig
from tests.certificates import Issued, cluster_ca, issue

if TYPE_CHECKING:
    from collections.abc import Callable


LB = "lb.example"
OWN = "10.0.0.1"
SERVICE = "10.96.0.1"
CERTIFICATE = "/etc/kubernetes/pki/apiserver.crt"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
MEMBERS = {"endpoints": [{"addresses": [OWN]}], "ports": [{"port": 6443}]}


def good(*extra: str, ca: Issued | None = None, **more: Any) -> Issued:
    """A certificate as kubeadm makes it, with more names."""
    dns = [
        "node1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    names = [name for name in extra if not name[0].isdigit()]
    ips = [SERVICE, OWN, *(name for name in extra if name[0].isdigit())]
    return issue("kube-apiserver", ca or cluster_ca(), dns=dns + names, ips=ips, **more)


def manifest(*flags: str) -> str:
    words = ["kube-apiserver", f"--advertise-address={OWN}", "--service-cluster-ip-range=10.96.0.0/16", *flags]
    text: str = yaml.safe_dump({"kind": "Pod", "spec": {"containers": [{"name": "kube-apiserver", "command": words}]}})
    return text


def conf(
    server: str = f"https://{LB}:6443",
    ca: Issued | None = None,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> str:
    data = base64.b64encode((ca or cluster_ca()).pem.encode()).decode()
    user = {"client-certificate": "/var/lib/kubelet/pki/kubelet-client-current.pem"} if user is None else user
    return kubeconfig({"server": server, "certificate-authority-data": data, **(cluster or {})}, user)


@dataclass
class Node:
    """A control plane behind a balancer; tests change what they are about."""

    leaf: Issued = field(default_factory=lambda: good(LB))
    disk: Issued | None = None
    files: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Any] = field(
        default_factory=dict
    )  # by host: a certificate, a failure, or a function of the attempt
    names: dict[str, list[str]] = field(default_factory=lambda: {LB: ["10.0.0.100"]})
    given: dict[str, Any] = field(default_factory=dict)
    kube: Any = None
    worker: bool = False
    hellos: list[tuple[str, int, str | None]] = field(default_factory=list)
    reply: Any = None  # the whole answer to every hello

    def tls(self, address: str, port: int, server_name: str | None, attempt: int) -> Any:
        self.hellos.append((address, attempt, server_name))
        what = self.served.get(address, self.leaf)
        return answer(what(attempt) if callable(what) else what, f"{address}:{port}")

    def host(self, **verbs: Any) -> FakeHost:
        files: dict[str, Any] = {KUBELET: conf(), "/etc/kubernetes/pki/ca.crt": cluster_ca().pem}
        if not self.worker:
            files |= {MANIFEST: manifest(), CERTIFICATE: (self.disk or self.leaf).pem}
        files |= self.files
        given = {"config": None, "kubeconfig": None, "endpoints": [], **self.given}
        kube = self.kube or HostError("NotPermitted", "403")
        return FakeHost(
            {path: text for path, text in files.items() if text is not None},
            tls=self.reply or self.tls,
            resolve=lambda name: {
                "addresses": self.names.get(name, []),
                "error": None if name in self.names else "no such name",
            },
            given=given,
            kube=kube,
            **verbs,
        )

    def findings(self, **verbs: Any) -> tuple[Finding, ...]:
        return examine(self.host(**verbs), "apiserver-san")


def answer(what: Any, peer: str, asks: bool = True) -> dict[str, Any]:  # noqa: FBT002
    if isinstance(what, Plain):
        what, asks = what.leaf, False
    if isinstance(what, Issued):
        return {"peer": peer, "chain": [what.pem], "client_cas": ["CN=kubernetes"] if asks else [], "failure": None}
    return {"peer": None, "chain": [], "client_cas": None, "failure": {"kind": what, "message": f"{peer} {what}"}}


@dataclass(frozen=True)
class Plain:
    """A certificate served by something that asks for no client's."""

    leaf: Issued


def only(findings: tuple[Finding, ...], *but: Status) -> Finding:
    """The one finding that is no pass (nor of the statuses named)."""
    [found] = [each for each in findings if each.status not in (Status.PASS, *but)]
    assert found.fix is not None or found.status in (Status.SKIP, Status.UNKNOWN)
    return found


def members(*addresses: str) -> Callable[..., Any]:
    def kube(path: str, kubeconfig: str) -> Any:
        assert kubeconfig == ADMIN
        if "endpointslices" in path:
            return {"endpoints": [{"addresses": [address]} for address in addresses], "ports": [{"port": 6443}]}
        if path.endswith("services/kubernetes"):
            return {"spec": {"clusterIPs": [SERVICE]}}
        return HostError("NotFound", "404")

    return kube
