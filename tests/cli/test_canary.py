"""A real run over a node whose every file holds every kind of secret writes none of them anywhere."""

from __future__ import annotations

import json
import tarfile
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.render import FORMATS
from tests.anonymize.nodes import healthy_node, sick_node
from tests.canaries import FORMS, NOT_IN_LOGS, leaks
from tests.cli.doctor import doctor

if TYPE_CHECKING:
    from collections.abc import Iterator
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


PLUG_IN = """
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


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """All that lies in a folder, and what is in its archives."""
    for path in sorted(folder.iterdir()):
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    yield f"{path.name}:{member.name}", member.name + (file.read().decode() if file else "")
        else:
            yield path.name, path.read_text()


@pytest.mark.parametrize("whole", [True, False], ids=["in files as they are", "in files of nothing else"])
def test_no_secret_is_in_a_bundle_a_report_a_traceback_or_on_the_screen(tmp_path: Path, *, whole: bool) -> None:
    root, out, plug_ins = planted(tmp_path / "root", whole=whole), tmp_path / "out", tmp_path / "checks"
    out.mkdir()
    plug_ins.mkdir()
    (plug_ins / "quoting.py").write_text(f'"""It quotes."""\n{PLUG_IN}')
    for name in ("config.yaml", "images.list"):
        (tmp_path / name).write_text(EVERY)
    reports = [f"--report={out / name}" for name in ("r.txt", "r.json", "r.yaml", "r.md", "r.xml", "r.html")]
    asked = ["--root", str(root), "--offline", "--checks-dir", str(plug_ins), "--config", str(tmp_path / "config.yaml")]
    asked += ["--images", str(tmp_path / "images.list")]

    done = doctor("record", "-o", str(out / "node.tar.gz"), *asked, *reports)
    assert done.returncode == 0, done.stderr
    judged = doctor("check", "--bundle", str(out / "node.tar.gz"), "--checks-dir", str(plug_ins))

    found = dict(texts(out)) | {"stdout": done.stdout, "stderr": done.stderr, "judged": judged.stdout + judged.stderr}
    assert set(FORMATS) <= {"text", "json", "yaml", "markdown", "junit", "html"}  # each has a report above
    broken = json.loads(found["r.json"])["broken"]
    assert "REDACTED-" in broken[0]["traceback"]
    assert "REDACTED-" in found["node.tar.gz:files/root/.docker/config.json"]
    assert {name: leaks(text) for name, text in found.items() if leaks(text)} == {}


def test_the_recorded_node_that_comes_along_holds_no_secret() -> None:
    text = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")

    assert "PRIVATE KEY-----\\nMI" not in text
    assert "token:" not in text
