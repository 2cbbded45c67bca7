"""What to paste when a certificate in kubeadm's folder is at fault.

`kubeadm certs renew` keeps names and usages, and makes a new key (cmd/kubeadm/app/phases/certs/renewal/manager.go); `kubeadm init phase certs` keeps what exists, so that
is moved aside first. Authorities are never renewed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor.checks._apiserver_fixes import Site, local_configuration
from k8sdoctor.checks._kubeconfig_fixes import certs, restart
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.pki import Accounts, Item
    from k8sdoctor.facts.x509 import Certificate

API_SERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ETCD = "/etc/kubernetes/manifests/etcd.yaml"

# Who reads a certificate when it starts. The health check of etcd's pod reads its own each time.
_READERS = {
    "apiserver": (API_SERVER,),
    "apiserver-kubelet-client": (API_SERVER,),
    "front-proxy-client": (API_SERVER,),
    "apiserver-etcd-client": (API_SERVER,),
    "etcd-server": (ETCD,),
    "etcd-peer": (ETCD,),
}


def _restarts(items: Sequence[Item]) -> tuple[str, ...]:
    manifests = dict.fromkeys(path for item in items for path in _READERS.get(item.kind.name, ()))
    return (restart([*manifests]),) if manifests else ()


def _suffix(item: Item) -> str:
    return item.pair.chain[0].fingerprint[:8] if item.pair.chain else "old"


def renew(site: Site, items: Sequence[Item], *, external: bool = False) -> Fix:
    """Sign certificates anew, with the names that they have."""
    commands = []
    for item in items:
        base = item.path.removesuffix(".crt")
        kept = f"{item.path}.{_suffix(item)}"
        commands += [
            f"cp -an {item.path} {kept}",
            f"cp -an {base}.key {kept}.key",
            f"{certs(site)} renew {item.kind.name}",
        ]
    where = "Where the authority's key is kept, since it is not here: sign anew " if external else "Renew "
    return Fix(
        title=where + ", ".join(item.kind.name for item in items),
        commands=(f"{certs(site)} check-expiration",) if external else (*commands, *_restarts(items)),
        verify=f"{certs(site)} check-expiration",
        safety=Safety.MANUAL if external else Safety.DISRUPTIVE,
    )


def renew_all(site: Site, leaf: Certificate, *, etcd: bool) -> Fix:
    """All that kubeadm signed has ended with the API server's certificate. The kubelet's own is not among what it renews."""
    suffix = leaf.fingerprint[:8]
    folder = site.manifest.rpartition("/")[0]
    programs = (*(["etcd"] if etcd else []), "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return Fix(
        title=f"{site.on}Renew all certificates that kubeadm signed, restart who read them, and copy admin.conf again to where it was copied to",
        commands=(
            f"cp -an /etc/kubernetes /etc/kubernetes.{suffix}",
            f"{certs(site)} renew all",
            restart([f"{folder}/{program}.yaml" for program in programs]),
        ),
        verify=f"{certs(site)} check-expiration",
        safety=Safety.DISRUPTIVE,
    )


def make_anew(site: Site, item: Item) -> Fix:
    """A certificate with wrong names or usages, or none at all."""
    base = item.path.removesuffix(".crt")
    kept = f"{item.path}.{_suffix(item)}"
    config = f"/etc/kubernetes/kubeadm-{item.kind.name}-{_suffix(item)}.yaml"
    named = item.kind.name in ("etcd-server", "etcd-peer")
    return Fix(
        title=f"Make {item.kind.name} anew"
        + (
            " with this node's names; names of your own (etcd.local's certSANs) go into that file first"
            if named
            else ""
        ),
        commands=(
            *([local_configuration(replace(site, api_version=site.kubeadm_api), config)] if named else []),
            f"mv -n {item.path} {kept}; mv -n {base}.key {kept}.key",
            f"kubeadm init phase certs {item.kind.name}" + (f" --config {config}" if named else ""),
            *_restarts([item]),
        ),
        verify=f"openssl x509 -noout -subject -enddate -ext subjectAltName,extendedKeyUsage -in {item.path}",
        safety=Safety.MANUAL,
    )


def bring_authority(item: Item) -> Fix:
    """An authority's certificate, or its key, is not the cluster's. Where there is no key, as on a worker, none may be brought."""
    base = item.path.removesuffix(".crt")
    pair = f"openssl pkey -in {base}.key -pubout | sha256sum; openssl x509 -noout -pubkey -in {item.path} | sha256sum"
    keyless = item.pair.key_absent
    return Fix(
        title=f"Bring {item.path}{'' if keyless else ' and its key'} from a control plane that is well, after you compared what each node prints",
        commands=(
            f"openssl x509 -noout -subject -serial -fingerprint -sha256 -in {item.path}",
            *(() if keyless else (pair,)),
        ),
        verify=f"openssl verify -CAfile {item.path} {item.path.rpartition('/')[0]}/*.crt",
        safety=Safety.MANUAL,
    )


def replace_authority(items: Sequence[Item]) -> Fix:
    """An authority has ended, or will: kubeadm does not renew it."""
    names = ", ".join(item.kind.name for item in items)
    return Fix(
        title=f'Replace {names} by hand (kubernetes.io, "Manual Rotation of CA Certificates"): all that was signed by it is made anew',
        commands=("kubeadm certs check-expiration",),
        verify="; ".join(f"openssl x509 -noout -enddate -in {item.path}" for item in items),
        safety=Safety.MANUAL,
    )


def accounts(found: Accounts) -> Fix:
    """sa.pub is not the public key of sa.key."""
    return Fix(
        title="Make sa.pub anew from sa.key, which must be the same on every control plane: compare it with another one's first",
        commands=(
            f"mv -n {found.path} {found.path}.old && openssl pkey -in {found.key_path} -pubout -out {found.path}",
            restart([API_SERVER]),
        ),
        verify=f"openssl pkey -in {found.key_path} -pubout | cmp - {found.path}",
        safety=Safety.MANUAL,
    )


def approve() -> Fix:
    """A kubelet's request for a serving certificate is approved by a person, or by a controller of one's own."""
    return Fix(
        title="Approve the kubelet's request for a serving certificate, after you saw that its names are this node's",
        commands=(
            "kubectl --kubeconfig /etc/kubernetes/admin.conf get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving",
            "kubectl --kubeconfig /etc/kubernetes/admin.conf certificate approve NAME",
        ),
        verify="ls -l /var/lib/kubelet/pki/kubelet-server-current.pem",
        safety=Safety.MANUAL,
    )


def protect(paths: Sequence[str]) -> Fix:
    """Private keys are root's alone."""
    return Fix(
        title="Let root alone read the private keys",
        commands=(f"chmod 600 {' '.join(paths)}",),
        verify=f"stat -L -c '%a %n' {' '.join(paths)}",
        safety=Safety.SAFE,
    )
