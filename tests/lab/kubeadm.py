"""A stand-in for kubeadm on a lab node, which has none: of the real one's work what pasted fixes rely on.

`certs renew` signs anew with the names and usages that a certificate has, `init phase certs` and `init phase kubeconfig` keep what exists and make what does not.
And for the kubelet: when it starts, it rotates the certificate in its kubeconfig.
"""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509

from tests.api_server import kubeconfig
from tests.certificates import DAY, Issued, base64_pem, issue
from tests.pki import CLIENT, FOLDER, etcd_leaf

if TYPE_CHECKING:
    from tests.lab.node import LabNode

ETC = Path("/etc/kubernetes")
CURRENT = Path("/var/lib/kubelet/pki/kubelet-client-current.pem")

# By name: the base of its file, and of its authority's (cmd/kubeadm/app/phases/certs/certlist.go).
CERTS = {
    "apiserver": ("apiserver", "ca"),
    "apiserver-kubelet-client": ("apiserver-kubelet-client", "ca"),
    "front-proxy-client": ("front-proxy-client", "front-proxy-ca"),
    "etcd-server": ("etcd/server", "etcd/ca"),
    "etcd-peer": ("etcd/peer", "etcd/ca"),
    "etcd-healthcheck-client": ("etcd/healthcheck-client", "etcd/ca"),
    "apiserver-etcd-client": ("apiserver-etcd-client", "etcd/ca"),
}
USERS = {
    "admin": ("kubernetes-admin", ["kubeadm:cluster-admins"]),
    "controller-manager": ("system:kube-controller-manager", []),
    "scheduler": ("system:kube-scheduler", []),
}

_SYSTEMCTL = """\
#!/bin/sh
[ "$*" = "restart kubelet" ] || exit 1
exec kubeadm kubelet-starts
"""


def install(node: LabNode) -> None:
    """Put it where kubeadm and systemctl are looked for."""
    root = __file__.rpartition("/tests/")[0]
    program = f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m tests.lab.kubeadm "$@"\n'
    node.write("/usr/local/bin/kubeadm", program, mode=0o755)
    node.write("/usr/local/bin/systemctl", _SYSTEMCTL, mode=0o755)


def main(words: list[str]) -> None:
    """Do what the words say, or end with an error."""
    match words:
        case ["version", *_]:
            sys.stdout.write("v1.36.2\n")
        case ["certs", "check-expiration"]:
            pass
        case ["certs", "renew", "all"]:
            for name in (*CERTS, *(f"{user}.conf" for user in USERS)):
                main(["certs", "renew", name])
        case ["certs", "renew", name] if name.endswith(".conf"):
            _renew_kubeconfig(ETC / name)
        case ["certs", "renew", name]:
            base, ca = CERTS[name]
            _write(base, _again(_load(Path(FOLDER) / f"{base}.crt"), _authority(ca)))
        case ["init", "phase", "certs", name, *options]:
            _make(name, options)
        case ["init", "phase", "kubeconfig", name, *options]:
            _write_kubeconfig(name, dict(zip(options[::2], options[1::2], strict=True)))
        case ["kubelet-starts"]:
            _rotate()
        case _:
            raise SystemExit(f"unknown command {words}")


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _authority(base: str) -> Issued:
    return Issued.load((Path(FOLDER) / f"{base}.crt").read_text(), (Path(FOLDER) / f"{base}.key").read_text())


def _again(old: x509.Certificate, ca: Issued) -> Issued:
    """A new certificate with the old one's names and usages (renewal's certToConfig)."""
    names: dict[str, Any] = {}
    for extension in old.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names["dns"] = extension.value.get_values_for_type(x509.DNSName)
            names["ips"] = list(map(str, extension.value.get_values_for_type(x509.IPAddress)))
        elif isinstance(extension.value, x509.ExtendedKeyUsage):
            names["usages"] = list(extension.value)
    common = str(old.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    groups = [str(each.value) for each in old.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]
    return issue(common, ca, groups=groups, start=time.time() - DAY, **names)


def _write(base: str, one: Issued) -> None:
    for suffix, text in (("crt", one.pem), ("key", one.key_pem)):
        path = Path(FOLDER) / f"{base}.{suffix}"
        path.write_text(text)
        path.chmod(0o600 if suffix == "key" else 0o644)


def _make(name: str, options: list[str]) -> None:
    base, ca = CERTS[name]
    if (Path(FOLDER) / f"{base}.crt").exists() or (Path(FOLDER) / f"{base}.key").exists():
        sys.stdout.write(f"[certs] Using existing {name} certificate and key on disk" + "\n")
        return
    start = time.time() - DAY
    if base in ("etcd/server", "etcd/peer"):
        [init] = [each for each in yaml.safe_load_all(Path(options[1]).read_text()) if each]
        assert init["apiVersion"] == "kubeadm.k8s.io/v1beta4", init
        node, address = init["nodeRegistration"]["name"], init["localAPIEndpoint"]["advertiseAddress"]
        _write(base, etcd_leaf(_authority(ca), node, address, start=start))
    else:
        _write(base, issue(f"kube-{name}", _authority(ca), usages=CLIENT, start=start))


def _renew_kubeconfig(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    user = document["users"][0]["user"]
    old = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    one = _again(old, _authority("ca"))
    user |= {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(one, key=True)}
    path.write_text(yaml.safe_dump(document))


def _write_kubeconfig(name: str, options: dict[str, str]) -> None:
    path = ETC / f"{name}.conf"
    if path.exists():
        sys.stdout.write(f'[kubeconfig] Using existing kubeconfig file: "{path}"' + "\n")
        return
    if name == "kubelet":
        common, groups = f"system:node:{options['--node-name']}", ["system:nodes"]
    else:
        common, groups = USERS[name]
    one = issue(common, _authority("ca"), usages=CLIENT, groups=groups, start=time.time() - DAY)
    user = {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(one, key=True)}
    server = f"https://{options['--apiserver-advertise-address']}:6443"
    path.write_text(kubeconfig({"server": server, "certificate-authority-data": base64_pem(_authority("ca"))}, user))
    path.chmod(0o600)


def _rotate() -> None:
    """A kubelet with a first certificate in its kubeconfig asks for its own at once, and keeps it in its folder."""
    user = yaml.safe_load((ETC / "kubelet.conf").read_text())["users"][0]["user"]
    if "client-certificate-data" in user and not CURRENT.exists():
        old = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
        one = _again(old, _authority("ca"))
        CURRENT.parent.mkdir(parents=True, exist_ok=True)
        CURRENT.write_text(one.pem + one.key_pem)
        CURRENT.chmod(0o600)


if __name__ == "__main__":
    main(sys.argv[1:])
