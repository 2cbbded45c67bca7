"""kubeadm's folder of certificates for tests: every file that `kubeadm init` writes, as it writes it (cmd/kubeadm/app/phases/certs/certlist.go)."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import DAY, NOW, Issued, cluster_ca, issue

FOLDER = "/etc/kubernetes/pki"
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
BOTH = SERVER + CLIENT  # etcd's, for it dials itself (etcd-io/etcd#9785)


def public_pem(one: Issued) -> str:
    """A public key as it stands in sa.pub."""
    key = one.certificate.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def pair(name: str, one: Issued) -> dict[str, str]:
    """A certificate and its key, by path."""
    return {f"{FOLDER}/{name}.crt": one.pem, f"{FOLDER}/{name}.key": one.key_pem}


def etcd_leaf(ca: Issued, node: str = "node1", address: str = "10.0.0.1", *, start: float = NOW - DAY) -> Issued:
    """A certificate of etcd's, with the names that kubeadm gives it (pkiutil.GetEtcdAltNames)."""
    return issue(node, ca, dns=[node, "localhost"], ips=[address, "127.0.0.1", "::1"], usages=BOTH, start=start)


def kubeadm_pki(
    ca: Issued | None = None,
    *,
    node: str = "node1",
    address: str = "10.0.0.1",
    etcd: bool = True,
    start: float = NOW - DAY,
) -> dict[str, str]:
    """Every file of pki/, by path. The API server's own names are few."""
    ca = ca or cluster_ca()
    front = issue("front-proxy-ca", authority=True, start=start, days=3650)
    files = pair("ca", ca) | pair("front-proxy-ca", front)
    files |= pair("apiserver", issue("kube-apiserver", ca, dns=[node, "kubernetes"], ips=[address], start=start))
    kubelet = issue("kube-apiserver-kubelet-client", ca, usages=CLIENT, start=start)
    files |= pair("apiserver-kubelet-client", kubelet)
    files |= pair("front-proxy-client", issue("front-proxy-client", front, usages=CLIENT, start=start))
    tokens = issue("service accounts")
    files |= {f"{FOLDER}/sa.key": tokens.key_pem, f"{FOLDER}/sa.pub": public_pem(tokens)}
    if etcd:
        files |= _etcd(node, address, start)
    return files


def _etcd(node: str, address: str, start: float) -> dict[str, str]:
    ca = issue("etcd-ca", authority=True, start=start, days=3650)
    files = pair("etcd/ca", ca)
    for name in ("server", "peer"):
        files |= pair(f"etcd/{name}", etcd_leaf(ca, node, address, start=start))
    for name, common in (
        ("etcd/healthcheck-client", "kube-etcd-healthcheck-client"),
        ("apiserver-etcd-client", "kube-apiserver-etcd-client"),
    ):
        files |= pair(name, issue(common, ca, usages=CLIENT, start=start))
    return files
