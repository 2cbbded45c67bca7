"""`kubeconfig` and `certificates` on a lab node with real files, links and rights; each fix is pasted and mends what it is for."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.api_server import kubeconfig
from tests.certificates import DAY, Issued, base64_pem, issue
from tests.lab import kubeadm
from tests.pki import CLIENT, FOLDER, SERVER, etcd_leaf, kubeadm_pki, pair, public_pem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("openssl", "setpriv")]

ASK = """
import dataclasses, json, sys
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of
report = report_of(LiveHost(offline=True), *sys.argv[1:])
assert not report.broken, report.broken
print(json.dumps([dataclasses.asdict(each) for result in report.results for each in result.findings], default=list))
"""

START = time.time() - DAY  # the lab's clock is the machine's
YEAR_AGO = START - 400 * DAY
OWN = "192.0.2.10"
CA = issue("kubernetes", authority=True, start=START, days=3650)
PKI = kubeadm_pki(CA, node="lab1", address=OWN, start=START)
ETCD_CA = Issued.load(PKI[f"{FOLDER}/etcd/ca.crt"], PKI[f"{FOLDER}/etcd/ca.key"])
FRONT_CA = Issued.load(PKI[f"{FOLDER}/front-proxy-ca.crt"], PKI[f"{FOLDER}/front-proxy-ca.key"])
ETC = "/etc/kubernetes"
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def conf(name: str, *, group: str = "", start: float = START, ca: Issued = CA, key: Issued | None = None) -> str:
    one = issue(name, ca, usages=CLIENT, groups=[group] if group else [], start=start)
    user = {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(key or one, key=True)}
    return kubeconfig({"server": f"https://{OWN}:6443", "certificate-authority-data": base64_pem(ca)}, user)


def pod(name: str, *flags: str) -> str:
    spec = {"containers": [{"name": name, "image": name, "command": [name, *flags]}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def control_plane(node: LabNode) -> LabNode:
    """A control plane's files, as kubeadm writes them."""
    kubeadm.install(node)
    files = dict(PKI)
    for name, user, group in (
        ("admin", "kubernetes-admin", "kubeadm:cluster-admins"),
        ("controller-manager", "system:kube-controller-manager", ""),
        ("scheduler", "system:kube-scheduler", ""),
    ):
        files[f"{ETC}/{name}.conf"] = conf(user, group=group)
    files["/root/.kube/config"] = files[f"{ETC}/admin.conf"]
    rotated = {"client-certificate": CURRENT, "client-key": CURRENT}
    where = {"server": f"https://{OWN}:6443", "certificate-authority-data": base64_pem(CA)}
    files[f"{ETC}/kubelet.conf"] = kubeconfig(where, rotated)
    one = issue("system:node:lab1", CA, usages=CLIENT, groups=["system:nodes"], start=START)
    files["/var/lib/kubelet/pki/kubelet-client-2026-01-01.pem"] = one.pem + one.key_pem
    server = f"--advertise-address={OWN}"
    files[f"{ETC}/manifests/kube-apiserver.yaml"] = pod(
        "kube-apiserver", server, "--etcd-servers=https://127.0.0.1:2379"
    )
    files[f"{ETC}/manifests/etcd.yaml"] = pod(
        "etcd",
        f"--advertise-client-urls=https://{OWN}:2379",
        f"--initial-advertise-peer-urls=https://{OWN}:2380",
        f"--cert-file={FOLDER}/etcd/server.crt",
        f"--peer-cert-file={FOLDER}/etcd/peer.crt",
    )
    for name in ("kube-controller-manager", "kube-scheduler"):
        files[f"{ETC}/manifests/{name}.yaml"] = pod(name)
    files["/usr/local/bin/kubectl"] = "#!/bin/sh\nexit 0\n"
    put(node, files)
    node.shell(f"chmod 755 /usr/local/bin/kubectl; ln -s kubelet-client-2026-01-01.pem {CURRENT}")
    return node


def put(node: LabNode, files: Mapping[str, str]) -> None:
    """Write files by one command, for root alone."""
    lines = []
    for path, text in files.items():
        lines.append(f"mkdir -p $(dirname {path}); rm -f {path}; cat > {path} <<'END OF FILE'\n{text}\nEND OF FILE")
    node.shell("umask 077\n" + "\n".join(lines))


def found(node: LabNode, *before: str, **env: str) -> list[dict[str, Any]]:
    """What both checks say that is no pass."""
    said = json.loads(node.run([*before, sys.executable, "-c", ASK, "certificates", "kubeconfig"], env=env).stdout)
    return [each for each in said if each["status"] != "pass"]


def told(findings: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(each["reason"], each["subject"]) for each in findings}


def paste(node: LabNode, findings: list[dict[str, Any]]) -> None:
    """Every fix, one after the other, without the time that the kubelet takes."""
    lines = [line for each in findings for line in (*each["fix"]["commands"], *each["fix"]["persist"])]
    node.shell(re.sub(r"sleep \d+", "sleep 0", "\n".join(lines)))
    for each in findings:
        node.shell(each["fix"]["verify"])


def test_what_ended_is_renewed_with_its_names_and_the_static_pods_come_back(control_plane: LabNode) -> None:
    admin = conf("kubernetes-admin", group="kubeadm:cluster-admins", start=YEAR_AGO)
    old = {f"{ETC}/admin.conf": admin, "/root/.kube/config": admin}
    old |= {f"{ETC}/scheduler.conf": conf("system:kube-scheduler", start=YEAR_AGO)}
    old |= pair("etcd/server", etcd_leaf(ETCD_CA, "lab1", OWN, start=YEAR_AGO))
    old |= pair("apiserver-kubelet-client", issue("kube-apiserver-kubelet-client", CA, usages=CLIENT, start=YEAR_AGO))
    put(control_plane, old)
    findings = found(control_plane)
    assert told(findings) == {
        ("CertificateExpired", f"{FOLDER}/apiserver-kubelet-client.crt, {FOLDER}/etcd/server.crt"),
        ("ClientCertificateExpired", f"{ETC}/admin.conf, {ETC}/scheduler.conf"),
        ("ClientCertificateExpired", "/root/.kube/config"),
    }

    paste(control_plane, findings)

    assert found(control_plane) == []
    manifests = control_plane.run(["ls", f"{ETC}/manifests"]).stdout.split()
    assert len(manifests) == 4


def test_what_ended_with_the_api_servers_certificate_is_renewed_by_one_paste(control_plane: LabNode) -> None:
    old = {
        f"{ETC}/admin.conf": conf("kubernetes-admin", group="kubeadm:cluster-admins", start=YEAR_AGO),
        f"{ETC}/controller-manager.conf": conf("system:kube-controller-manager", start=YEAR_AGO),
        f"{ETC}/scheduler.conf": conf("system:kube-scheduler", start=YEAR_AGO),
    }
    old |= pair("apiserver", issue("kube-apiserver", CA, ips=[OWN, "10.96.0.1"], start=YEAR_AGO))
    old |= pair("etcd/server", etcd_leaf(ETCD_CA, "lab1", OWN, start=YEAR_AGO))
    old |= pair("front-proxy-client", issue("front-proxy-client", FRONT_CA, usages=CLIENT, start=YEAR_AGO))
    put(control_plane, old)
    assert {each["reason"] for each in found(control_plane)} == {"CertificateExpired", "ClientCertificateExpired"}
    said = json.loads(control_plane.run([sys.executable, "-c", ASK, "apiserver-san"]).stdout)
    [expired] = [each for each in said if each["reason"] == "CertificateExpired"]

    paste(control_plane, [expired])

    assert found(control_plane) == []
    assert len(control_plane.run(["ls", f"{ETC}/manifests"]).stdout.split()) == 4


def test_faults_of_every_kind_in_pki_are_mended_by_what_is_pasted(control_plane: LabNode) -> None:
    files = pair("front-proxy-client", issue("front-proxy-client", CA, usages=CLIENT, start=START))
    files |= {f"{FOLDER}/apiserver-kubelet-client.key": issue("x").key_pem, f"{FOLDER}/sa.pub": public_pem(issue("y"))}
    files |= pair("etcd/peer", etcd_leaf(ETCD_CA, "node2", "192.0.2.22", start=START))
    files |= pair("etcd/healthcheck-client", issue("kube-etcd-healthcheck-client", ETCD_CA, usages=SERVER, start=START))
    put(control_plane, files)
    control_plane.run(["chmod", "644", f"{FOLDER}/front-proxy-ca.key"])
    findings = found(control_plane)
    assert told(findings) == {
        ("WrongAuthority", f"{FOLDER}/front-proxy-client.crt"),
        ("KeyMismatch", f"{FOLDER}/apiserver-kubelet-client.key"),
        ("KeyMismatch", f"{FOLDER}/sa.pub"),
        ("NamesMissing", f"{FOLDER}/etcd/peer.crt"),
        ("WrongUsage", f"{FOLDER}/etcd/healthcheck-client.crt"),
        ("ReadableByOthers", f"{FOLDER}/front-proxy-ca.key"),
    }

    paste(control_plane, findings)

    assert found(control_plane) == []


def test_faults_of_every_kind_in_kubeconfigs_are_mended_by_what_is_pasted(control_plane: LabNode) -> None:
    other = issue("kubernetes", authority=True, start=START)
    put(
        control_plane,
        {
            f"{ETC}/controller-manager.conf": conf("system:kube-controller-manager", ca=other),
            f"{ETC}/scheduler.conf": conf("system:kube-controller-manager"),
            f"{ETC}/admin.conf": conf("kubernetes-admin", group="kubeadm:cluster-admins", key=other),
            "/root/.kube/config": "",
        },
    )
    control_plane.run(["chmod", "644", f"{ETC}/scheduler.conf"])
    control_plane.run(["rm", "/var/lib/kubelet/pki/kubelet-client-2026-01-01.pem"])
    findings = found(control_plane)
    assert told(findings) == {
        ("NoKubeconfig", "/root/.kube/config"),
        ("OtherAuthority", f"{ETC}/controller-manager.conf"),
        ("WrongIdentity", f"{ETC}/scheduler.conf"),
        ("KeyMismatch", f"{ETC}/admin.conf"),
        ("ClientCertificateMissing", f"{ETC}/kubelet.conf"),
        ("ReadableByOthers", f"{ETC}/scheduler.conf"),
    }
    [dangling] = [each for each in findings if each["reason"] == "ClientCertificateMissing"]
    assert "it is a link to kubelet-client-2026-01-01.pem, which does not exist" in dangling["message"]

    findings.sort(key=lambda each: each["reason"] == "NoKubeconfig")  # a copy of admin.conf comes after admin.conf
    paste(control_plane, findings)

    assert found(control_plane) == []


def test_a_healthy_node_is_silent_and_each_user_is_told_of_his_own_kubeconfig(control_plane: LabNode) -> None:
    assert found(control_plane) == []
    assert found(control_plane, KUBECONFIG="/gone:/etc/kubernetes/admin.conf") == []
    variable = found(control_plane, KUBECONFIG="/gone:/etc/kubernetes/also-gone")
    assert told(variable) == {("KubeconfigMissing", "/gone")}

    control_plane.shell(
        "chmod -R a+rX /etc/kubernetes; chmod 600 /etc/kubernetes/*.conf /etc/kubernetes/pki/*.key /etc/kubernetes/pki/etcd/*.key"
    )
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    findings = found(control_plane, *nobody, HOME="/var/lib/nobody")
    assert told(findings) == {("NotPermitted", None), ("NoKubeconfig", "/var/lib/nobody/.kube/config")}


def test_a_first_certificate_is_replaced_by_the_rotated_one(control_plane: LabNode) -> None:
    put(control_plane, {f"{ETC}/kubelet.conf": conf("system:node:lab1", group="system:nodes")})
    findings = found(control_plane)
    assert told(findings) == {("EmbeddedCertificate", f"{ETC}/kubelet.conf")}

    paste(control_plane, findings)

    assert found(control_plane) == []
    assert control_plane.read(f"{ETC}/kubelet.conf").count(CURRENT) == 2
