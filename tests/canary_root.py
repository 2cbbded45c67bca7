"""A machine's files with every kind of secret in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.anonymize.nodes import healthy_node, sick_node
from tests.canaries import FORMS, NOT_IN_LOGS

if TYPE_CHECKING:
    from pathlib import Path

EVERY = "\n".join(FORMS.values())
IN_LOGS = "\n".join(text for name, text in FORMS.items() if name not in NOT_IN_LOGS)

# Beside what facts asked for on two recorded nodes: where runtimes, clouds and networks keep what logs in.
PLACES = (
    *(
        "/root/.docker/config.json",
        "/etc/crio/auth.json",
        "/run/containers/0/auth.json",
        "/var/lib/kubelet/config.json",
    ),
    *(
        "/etc/containerd/certs.d/registry.example/hosts.toml",
        "/etc/containerd/conf.d/auth.toml",
        "/etc/docker/daemon.json",
    ),
    *(
        "/etc/kubernetes/admin.conf",
        "/etc/kubernetes/kubelet.conf",
        "/etc/kubernetes/bootstrap-kubelet.conf",
        "/root/.kube/config",
    ),
    *(
        "/etc/kubernetes/cloud.conf",
        "/etc/kubernetes/encryption.yaml",
        "/etc/cni/net.d/calico-kubeconfig",
        "/etc/cni/net.d/10-calico.conflist",
    ),
    *(
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
        "/etc/systemd/system/containerd.service.d/proxy.conf",
        "/etc/default/kubelet",
    ),
    *(
        "/etc/sysconfig/kubelet",
        "/var/lib/kubelet/kubeadm-flags.env",
        "/etc/environment",
        "/etc/profile.d/proxy.sh",
        "/proc/1/environ",
    ),
    *(
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "/etc/kubernetes/manifests/etcd.yaml",
        "/etc/kubernetes/pki/ca.key",
        "/etc/kubernetes/pki/ca.crt",
    ),
    *(
        "/etc/rancher/k3s/config.yaml",
        "/etc/rancher/rke2/config.yaml",
        "/etc/wireguard/wg0.conf",
        "/etc/NetworkManager/conf.d/a.conf",
    ),
    *(
        "/var/log/pods/kube-system_kube-apiserver/kube-apiserver/0.log",
        "/var/log/syslog",
        "/proc/cmdline",
        "/etc/resolv.conf",
        "/etc/hosts",
    ),
)


def planted(root: Path, *, whole: bool) -> Path:
    """The root of a machine with secrets in each file that a run of the doctor ever asked for, and in those above.

    With `whole`, behind what two nodes had there, so that the file is what a fact expects.
    """
    known: dict[str, str] = dict.fromkeys(PLACES, "")
    for entry in (*sick_node(), *healthy_node()):
        path = entry["arguments"].get("path")
        if entry["verb"] in ("read", "tail", "lines", "stat", "public_key") and isinstance(path, str):
            answer = entry.get("answer")
            known[path] = answer if whole and isinstance(answer, str) else known.get(path, "")
    for path, text in sorted(known.items(), reverse=True):  # a file's folder after the file
        file = root / path.lstrip("/")
        if file.is_dir() or any(parent.is_file() for parent in file.parents):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n{IN_LOGS if path.startswith('/var/log/') else EVERY}\n", newline="")
    return root


PLUG_IN = """'It quotes what it reads.'

from k8sdoctor import Host, check
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    text: str

    @classmethod
    def observe(cls, host: Host) -> "Config":
        return cls(host.read("/root/.docker/config.json"))

@check("quoting", title="It quotes", area="test")
def quoting(config: Config):
    print(config.text)
    raise ValueError(config.text)
    yield
"""
"""A check that breaks, and says a secret as it does."""
