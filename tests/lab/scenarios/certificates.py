"""Certificates and kubeconfigs."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from tests.api_server import kubeconfig
from tests.certificates import DAY, Issued, base64_pem, issue
from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import stop
from tests.lab.whole_node import FAR, NODE
from tests.pki import CLIENT, etcd_leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

KUBELET_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def _serve(leaf: Callable[[WholeNode], Issued]) -> Callable[[WholeNode], None]:
    """An API server that shows another certificate."""

    def breaks(node: WholeNode) -> None:
        node.serve_api(leaf(node))

    return breaks


def _expired_leaf(node: WholeNode) -> Issued:
    return node.leaf(start=time.time() - 400 * DAY)


def _elsewhere_leaf(node: WholeNode) -> Issued:
    """One made for other addresses."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return issue("kube-apiserver", node.ca, dns=names, ips=["10.96.0.1", "198.51.100.7"], start=time.time() - DAY)


def _foreign_leaf(node: WholeNode) -> Issued:
    """One of a cluster that was made anew."""
    return node.leaf(ca=issue("kubernetes", authority=True, start=time.time() - DAY))


def _kubelet_certificate(
    node: WholeNode, *, name: str = "", start: float | None = None, ca: Issued | None = None
) -> None:
    """Give the kubelet another certificate of its own."""
    began = time.time() - DAY if start is None else start
    user = f"system:node:{name or node.lab.name}"
    one = issue(user, ca or node.ca, start=began, usages=CLIENT, groups=["system:nodes"])
    node.lab.write(KUBELET_CERTIFICATE, one.pem + one.key_pem, mode=0o600)


def _end_kubelet_certificate(node: WholeNode) -> None:
    _kubelet_certificate(node, start=time.time() - 400 * DAY)


def _other_kubelet_certificate(node: WholeNode) -> None:
    _kubelet_certificate(node, name="worker-7")


def _trust_others(node: WholeNode) -> None:
    """A kubelet.conf of a cluster that was there before."""
    cluster = {
        "server": f"https://{FAR}:6443",
        "certificate-authority-data": base64_pem(issue("kubernetes", authority=True, start=time.time() - DAY)),
    }
    user = {"client-certificate": KUBELET_CERTIFICATE, "client-key": KUBELET_CERTIFICATE}
    node.lab.write("/etc/kubernetes/kubelet.conf", kubeconfig(cluster, user), mode=0o600)


def _person(node: WholeNode, path: str, user: str, *groups: str, start: float | None = None) -> None:
    one = issue(user, node.ca, start=time.time() - DAY if start is None else start, usages=CLIENT, groups=list(groups))
    cluster = {"server": f"https://{NODE}:6443", "certificate-authority-data": base64_pem(node.ca)}
    shown = {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(one, key=True)}
    node.lab.write(path, kubeconfig(cluster, shown), mode=0o600)


def _age(node: WholeNode) -> None:
    """A cluster whose certificates nobody renewed for more than a year, so that all ended on one day."""
    began = time.time() - 400 * DAY
    folder = "/etc/kubernetes/pki"
    for name, user, authority in (
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "ca"),
        ("front-proxy-client", "front-proxy-client", "front-proxy-ca"),
    ):  # the authorities themselves live for ten years
        ca = Issued.load(*(node.lab.read(f"{folder}/{authority}.{kind}") for kind in ("crt", "key")))
        one = issue(user, ca, start=began, usages=CLIENT)
        node.lab.write(f"{folder}/{name}.crt", one.pem)
        node.lab.write(f"{folder}/{name}.key", one.key_pem, mode=0o600)
    for name, user, *groups in (
        ("admin", "kubernetes-admin", "kubeadm:cluster-admins"),
        ("super-admin", "kubernetes-super-admin", "system:masters"),
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
    ):
        _person(node, f"/etc/kubernetes/{name}.conf", user, *groups, start=began)
    node.lab.run(["install", "-m", "600", "/etc/kubernetes/admin.conf", "/root/.kube/config"])
    _kubelet_certificate(node, start=began)
    node.serve_api(_expired_leaf(node))


def _end_authority(node: WholeNode) -> None:
    """An authority that ended yesterday, after ten years; what it signed is of this year."""
    lab, before, after = node.lab, base64_pem(node.ca), 3651 * DAY
    old = issue("kubernetes", authority=True, start=time.time() - after, days=3650, of=node.ca)
    lab.write("/etc/kubernetes/pki/ca.crt", old.pem)
    for path in lab.shell("find /etc/kubernetes /root/.kube -name '*.conf' -o -name config").stdout.split():
        lab.write(path, lab.read(path).replace(before, base64_pem(old)), mode=0o600)


def _etcd_of_others(node: WholeNode) -> None:
    """A certificate for etcd that an authority signed which was there before."""
    folder = "/etc/kubernetes/pki/etcd"
    ca = issue("etcd-ca", authority=True, start=time.time() - DAY, days=3650)
    one = etcd_leaf(ca, node.lab.name, NODE, start=time.time() - DAY)
    node.lab.write(f"{folder}/server.crt", one.pem)
    node.lab.write(f"{folder}/server.key", one.key_pem, mode=0o600)


_UNASKED = ("DNS", "kubelet and runtime", "pod network", "images")
"""Areas of which little can be said where the API server cannot be asked."""

_CERTIFICATES = partial(Scenario, "certificates")

SCENARIOS = (
    _CERTIFICATES(
        "the API server's certificate is for other addresses",
        _serve(_elsewhere_leaf),
        "apiserver-san/AddressNotCovered",
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the API server's certificate ended",
        _serve(_expired_leaf),
        "apiserver-san/CertificateExpired",
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the API server is of another cluster",
        _serve(_foreign_leaf),
        "apiserver-san/UntrustedIssuer",
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the API server does not listen",
        stop("api"),
        "apiserver-san/EndpointUnreachable",
        ("node-ready/NodeUnread",),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the name of the API server is not resolved",
        f"sed -i s,https://{FAR}:,https://api.example.test:, /etc/kubernetes/kubelet.conf",
        "apiserver-san/NameNotResolved",
        ("node-ready/NodeUnread",),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the kubelet's certificate ended",
        _end_kubelet_certificate,
        "kubeconfig/ClientCertificateExpired",
        ("node-ready/NodeUnread",),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the kubelet's certificate is another node's",
        _other_kubelet_certificate,
        "kubeconfig/OtherNode",
        blinds=("kubelet and runtime",),  # which looks at the Node that the certificate names
    ),
    _CERTIFICATES(
        "the kubelet's key is another certificate's",
        f"(openssl x509 -in {KUBELET_CERTIFICATE}; openssl ecparam -name prime256v1 -genkey -noout) > /run/other.pem;"
        f" cat /run/other.pem > {KUBELET_CERTIFICATE}",
        "kubeconfig/KeyMismatch",
        ("node-ready/NodeUnread",),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "the kubelet's certificate is gone",
        f"rm {KUBELET_CERTIFICATE}",
        "kubeconfig/ClientCertificateMissing",
        ("node-ready/NodeUnread",),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "kubelet.conf is of a cluster that was there before",
        _trust_others,
        "kubeconfig/OtherAuthority",
        ("apiserver-san/UntrustedIssuer", "node-ready/NodeUnread"),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "kubelet.conf is no YAML",
        "sed -i '1s/^/[/' /etc/kubernetes/kubelet.conf",
        "kubeconfig/KubeconfigInvalid",
        ("apiserver-san/KubeconfigInvalid", "node-ready/NodeUnread"),
        blinds=_UNASKED,
    ),
    _CERTIFICATES(
        "nobody renewed a cluster's certificates for a year",
        _age,
        "apiserver-san/CertificateExpired",
        ("certificates/CertificateExpired", "kubeconfig/ClientCertificateExpired"),
        role="control-plane",
        blinds=(*_UNASKED, "control plane"),
    ),
    _CERTIFICATES(
        "the cluster's authority ended after ten years",
        _end_authority,
        "certificates/CertificateExpired",
        ("apiserver-san/CertificateExpired",),
        role="control-plane",
        blinds=(*_UNASKED, "control plane"),
    ),
    _CERTIFICATES(
        "root's kubeconfig ended",
        lambda node: _person(
            node, "/root/.kube/config", "kubernetes-admin", "kubeadm:cluster-admins", start=time.time() - 400 * DAY
        ),
        "kubeconfig/ClientCertificateExpired",
        role="control-plane",
        status="warn",
    ),
    _CERTIFICATES(
        "the scheduler shows the controller manager's certificate",
        "cp -p /etc/kubernetes/controller-manager.conf /etc/kubernetes/scheduler.conf",
        "kubeconfig/WrongIdentity",
        role="control-plane",
    ),
    _CERTIFICATES(
        "the key of service accounts is not the public one's half",
        "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out /etc/kubernetes/pki/sa.pub 2>/dev/null",
        "certificates/KeyMismatch",
        role="control-plane",
    ),
    _CERTIFICATES(
        "everybody may read the authority's key",
        "chmod 644 /etc/kubernetes/pki/ca.key",
        "certificates/ReadableByOthers",
        role="control-plane",
        status="warn",
    ),
    _CERTIFICATES(
        "etcd's certificate is of another authority",
        _etcd_of_others,
        "certificates/WrongAuthority",
        ("etcd/CertificateRefused",),
        role="control-plane",
    ),
)
