"""apiserver-san against real TLS servers and a real haproxy on the far side of a lab node."""

from __future__ import annotations

import base64
import json
import re
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.api_server import kubeconfig
from tests.certificates import DAY, Issued, issue
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.node import Daemon, LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("haproxy", "nginx", "ss", "openssl")]

ASK = """
import dataclasses, json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import examine
print(json.dumps([dataclasses.asdict(finding) for finding in examine(LiveHost(probe_limit=2), "apiserver-san")], default=list))
"""

LB = "lb.example"
BALANCER = "192.0.2.1"
MEMBERS = ("192.0.2.21", "192.0.2.22", "192.0.2.23")
START = time.time() - DAY  # the lab's clock is the machine's
CA = issue("kubernetes", authority=True, start=START, days=3650)
KUBELET = "/etc/kubernetes/kubelet.conf"
PKI = "/etc/kubernetes/pki"


def findings(node: LabNode) -> list[dict[str, Any]]:
    found = json.loads(node.run([sys.executable, "-c", ASK]).stdout)
    assert isinstance(found, list)
    return found


def verdict(node: LabNode) -> set[tuple[str, str, str]]:
    return {(finding["status"], finding["reason"], finding["subject"]) for finding in findings(node)}


def member(*names: str, ca: Issued = CA, cn: str = "kube-apiserver", **more: Any) -> Issued:
    dns = [name for name in names if not name[0].isdigit()]
    ips = [name for name in names if name[0].isdigit()]
    return issue(cn, ca, dns=dns, ips=ips, **{"start": START, **more})


def conf(server: str = f"https://{LB}:6443", ca: Issued = CA) -> str:
    data = base64.b64encode(ca.pem.encode()).decode()
    return kubeconfig({"server": server, "certificate-authority-data": data}, {"client-certificate": "/x.pem"})


def api_servers(node: LabNode, leaves: Mapping[str, Issued], *, far: bool = True) -> Daemon:
    """A TLS server at each address, which asks for clients' certificates as an API server does."""
    for address, leaf in leaves.items():
        node.write(f"/etc/lab/{address}.pem", leaf.pem)
        node.write(f"/etc/lab/{address}.key", leaf.key_pem)
    node.write("/etc/lab/clients.pem", CA.pem)
    blocks = "".join(
        f"""
        server {{
            listen {address}:6443 ssl;
            ssl_certificate /etc/lab/{address}.pem; ssl_certificate_key /etc/lab/{address}.key;
            ssl_client_certificate /etc/lab/clients.pem; ssl_verify_client optional;
            return 200;
        }}"""
        for address in leaves
    )
    return nginx(node, blocks, [f"{address}:6443" for address in leaves], far=far)


def nginx(node: LabNode, servers: str, listens: Sequence[str], *, far: bool = True) -> Daemon:
    name = f"/etc/lab/nginx-{listens[0].replace(':', '-')}"
    text = f"daemon off; pid {name}.pid; error_log stderr; events {{}} http {{ access_log off; {servers} }}"
    node.write(f"{name}.conf", text)
    daemon = node.popen(["nginx", "-c", f"{name}.conf", "-g", "user root;"], far=far)
    for listen in listens:
        wait_listening(node, listen, far=far)
    return daemon


def haproxy(node: LabNode, mode: str, servers: Sequence[str], *, crt: str = "") -> None:
    bind = f"{BALANCER}:6443" + (f" ssl crt {crt}" if crt else "")
    tls = " ssl verify none" if crt else ""
    lines = "".join(f"\n    server s{number} {server}{tls}" for number, server in enumerate(servers))
    text = f"""
defaults
    mode {mode}
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend api
    bind {bind}
    default_backend members
backend members
    balance roundrobin{lines}
"""
    node.write("/etc/lab/haproxy.cfg", text)
    node.popen(["haproxy", "-db", "-f", "/etc/lab/haproxy.cfg"], far=True)
    wait_listening(node, f"{BALANCER}:6443")


def wait_listening(node: LabNode, address: str, *, far: bool = True) -> None:
    run = node.far_run if far else node.run
    wait_for(lambda: address in run(["ss", "-ltn"]).stdout, f"a listener on {address}")


@pytest.fixture
def worker(node: LabNode) -> LabNode:
    """A worker whose kubelet goes to lb.example, and addresses for three API servers on the far side."""
    node.write("/etc/hosts", f"127.0.0.1 localhost\n{BALANCER} {LB}\n")
    node.write(KUBELET, conf())
    node.write(f"{PKI}/ca.crt", CA.pem)
    for address in MEMBERS:
        node.far_run(["ip", "address", "add", f"{address}/24", "dev", "node0"])
    return node


def behind(node: LabNode, leaves: Sequence[Issued]) -> None:
    """A TCP balancer in front of an API server for each certificate."""
    addresses = MEMBERS[: len(leaves)]
    api_servers(node, dict(zip(addresses, leaves, strict=True)))
    haproxy(node, "tcp", [f"{address}:6443" for address in addresses])


def test_three_good_members_behind_a_balancer_cover_its_name(worker: LabNode) -> None:
    behind(worker, [member(LB), member(LB), member("*.example")])

    assert verdict(worker) == {("pass", "Covered", f"{LB}:6443")}


def test_one_member_of_three_without_the_name_is_found(worker: LabNode) -> None:
    behind(worker, [member(LB), member("other.example"), member(LB)])

    [found] = findings(worker)

    assert (found["status"], found["reason"]) == ("fail", "BackendsDisagree")
    assert "8 were answered well, 4 with a certificate that is not valid for lb.example" in found["message"]
    shown = [one["source"] for one in found["evidence"] if one["source"].startswith("hello ")]
    assert len(shown) == 2  # a good one, and the bad one once


def test_one_dead_member_of_three_is_found(worker: LabNode) -> None:
    api_servers(worker, {MEMBERS[0]: member(LB), MEMBERS[1]: member(LB)})
    haproxy(worker, "tcp", [f"{address}:6443" for address in MEMBERS])

    assert verdict(worker) == {("fail", "BackendsDisagree", f"{LB}:6443")}


@pytest.mark.parametrize(
    ("leaf", "reason", "subject"),
    [
        (member("10.0.0.9", "kubernetes"), "AddressNotCovered", LB),
        (member(cn=LB), "CommonNameOnly", f"{LB}:6443"),
        (member(LB, start=START - 400 * DAY), "CertificateExpired", f"{LB}:6443"),
        (member(LB, start=START + 30 * DAY), "NotYetValid", f"{LB}:6443"),
        (member(LB, ca=issue("kubernetes", authority=True, start=START)), "UntrustedIssuer", f"{LB}:6443"),
    ],
)
def test_a_certificate_that_clients_refuse_is_told_by_its_cause(
    worker: LabNode, leaf: Issued, reason: str, subject: str
) -> None:
    behind(worker, [leaf])

    assert verdict(worker) == {("fail", reason, subject)}


def test_a_balancer_that_ends_tls_is_named(worker: LabNode) -> None:
    api_servers(worker, {MEMBERS[0]: member(LB)})
    own = issue(LB, dns=[LB], start=START)
    worker.write("/etc/lab/balancer.pem", own.pem + own.key_pem)
    haproxy(worker, "http", [f"{MEMBERS[0]}:6443"], crt="/etc/lab/balancer.pem")

    assert verdict(worker) == {("fail", "TerminatedByBalancer", f"{LB}:6443")}


def test_a_balancer_that_ends_tls_with_the_clusters_own_certificate_is_named_where_a_member_shows_the_difference(
    worker: LabNode,
) -> None:
    leaf = member(LB, MEMBERS[0])
    api_servers(worker, {MEMBERS[0]: leaf})
    worker.write("/etc/lab/balancer.pem", leaf.pem + leaf.key_pem)
    worker.write("/etc/kubernetes/admin.conf", conf(f"https://{MEMBERS[0]}:6443"))
    haproxy(worker, "http", [f"{MEMBERS[0]}:6443"], crt="/etc/lab/balancer.pem")

    assert ("fail", "TerminatedByBalancer", f"{LB}:6443") in verdict(worker)


def test_plain_http_behind_the_address_is_named(worker: LabNode) -> None:
    nginx(worker, f"server {{ listen {BALANCER}:6443; return 200; }}", [f"{BALANCER}:6443"])

    assert verdict(worker) == {("fail", "PlainHttpEndpoint", f"{LB}:6443")}


def test_a_socket_that_accepts_and_says_nothing_is_unreachable(worker: LabNode) -> None:
    server = f"import socket, time; held = socket.create_server(('{BALANCER}', 6443)); time.sleep(999)"
    worker.popen(["python3", "-c", server], far=True)
    wait_listening(worker, f"{BALANCER}:6443")

    [found] = findings(worker)

    assert (found["status"], found["reason"]) == ("fail", "EndpointUnreachable")
    assert "did not answer within" in found["message"]


def test_nobody_there_and_no_route_are_told_apart(worker: LabNode) -> None:
    [refused] = findings(worker)
    worker.write(KUBELET, conf("https://198.51.100.7:6443"))
    worker.run(["ip", "route", "add", "unreachable", "198.51.100.0/24"])
    [unreachable] = findings(worker)

    assert (refused["reason"], unreachable["reason"]) == ("EndpointUnreachable", "EndpointUnreachable")
    assert "refused" in refused["message"]
    assert "No route to host" in unreachable["message"]


def test_a_name_that_nobody_knows_is_not_resolved(worker: LabNode) -> None:
    worker.write(KUBELET, conf("https://elsewhere.example:6443"))

    assert verdict(worker) == {("fail", "NameNotResolved", "elsewhere.example")}


# -- a control plane, and its fixes -----------------------------------------------------------------------------------

OWN = "192.0.2.10"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
CERTIFICATE = f"{PKI}/apiserver.crt"
BASE = ("lab1", "kubernetes", "10.96.0.1", OWN)

# There is no kubeadm here. The stand-in does of the real one's work what the fix relies on: it keeps a certificate that exists, makes a
# missing one from the names in the configuration, and renews one with the names that it has.
KUBEADM = """
import ipaddress, pathlib, sys
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.certificates import DAY, Issued, issue
import time

pki = pathlib.Path("/etc/kubernetes/pki")
ca = Issued(x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()), load_pem_private_key((pki / "ca.key").read_bytes(), None))
target, key = pki / "apiserver.crt", pki / "apiserver.key"
words = sys.argv[1:]
if words == ["certs", "renew", "apiserver"]:
    old = x509.load_pem_x509_certificate(target.read_bytes())
    san = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns, ips = san.get_values_for_type(x509.DNSName), list(map(str, san.get_values_for_type(x509.IPAddress)))
elif words[:5] == ["init", "phase", "certs", "apiserver", "--config"]:
    if target.exists() or key.exists():
        print("[certs] Using existing apiserver certificate and key on disk")
        raise SystemExit
    kinds = {each["kind"]: each for each in yaml.safe_load_all(open(words[5])) if each}
    assert all(each["apiVersion"] == "kubeadm.k8s.io/v1beta4" for each in kinds.values()), kinds
    cluster, init = kinds["ClusterConfiguration"], kinds["InitConfiguration"]
    names = [init["nodeRegistration"]["name"], "kubernetes", *(cluster.get("apiServer") or {}).get("certSANs", [])]
    network = ipaddress.ip_network(cluster["networking"]["serviceSubnet"])
    names += [str(network[1]), init["localAPIEndpoint"]["advertiseAddress"]]
    dns, ips = [n for n in names if not n[0].isdigit()], [n for n in names if n[0].isdigit()]
elif words[:3] == ["init", "phase", "upload-config"]:
    pathlib.Path("/etc/lab/uploaded").write_text(open(words[words.index("--config") + 1]).read())
    raise SystemExit
elif words[0] == "version":
    print("v1.36.2")
    raise SystemExit
else:
    raise SystemExit(f"unknown command {words}")
made = issue("kube-apiserver", ca, dns=dns, ips=ips, start=time.time() - DAY)
target.write_text(made.pem)
key.write_text(made.key_pem)
"""

KUBECTL = """#!/bin/sh
case "$*" in
*"get configmap kubeadm-config -o jsonpath={.data.ClusterConfiguration}") cat /etc/lab/ClusterConfiguration ;;
*) echo "unknown command $*" >&2; exit 1 ;;
esac
"""

CLUSTER = """apiServer: {}
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
networking:
  serviceSubnet: 10.96.0.0/16
"""


@pytest.fixture
def control_plane(worker: LabNode) -> LabNode:
    """A control plane whose API server's port is served by nginx with kubeadm's files."""
    words = ["kube-apiserver", f"--advertise-address={OWN}", f"--tls-cert-file={CERTIFICATE}", "--client-ca-file=/x"]
    pod = {"kind": "Pod", "spec": {"containers": [{"name": "kube-apiserver", "command": words}]}}
    worker.write(MANIFEST, yaml.safe_dump(pod))
    worker.write(KUBELET, conf(f"https://{OWN}:6443"))
    worker.write(f"{PKI}/ca.key", CA.key_pem)
    worker.write("/etc/lab/ClusterConfiguration", CLUSTER)
    worker.write("/etc/lab/kubeadm.py", textwrap.dedent(KUBEADM))
    root = __file__.rpartition("/tests/")[0]
    worker.write(
        "/usr/local/bin/kubeadm",
        f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} /etc/lab/kubeadm.py "$@"\n',
        mode=0o755,
    )
    worker.write("/usr/local/bin/kubectl", KUBECTL, mode=0o755)
    return worker


def serve(node: LabNode, leaf: Issued) -> Daemon:
    """The API server with a certificate, as kubeadm laid it down."""
    node.write(CERTIFICATE, leaf.pem)
    node.write(f"{PKI}/apiserver.key", leaf.key_pem)
    block = f"""server {{ listen {OWN}:6443 ssl; ssl_certificate {CERTIFICATE}; ssl_certificate_key {PKI}/apiserver.key;
        ssl_client_certificate {PKI}/ca.crt; ssl_verify_client optional; return 200; }}"""
    return nginx(node, block, [f"{OWN}:6443"], far=False)


def restart(node: LabNode, server: Daemon) -> Daemon:
    """What the kubelet does when the manifest is back, and the API server by itself with a new certificate."""
    assert "kube-apiserver" in node.read(MANIFEST)
    server.stop()
    daemon = node.popen(["nginx", "-c", f"/etc/lab/nginx-{OWN}-6443.conf", "-g", "user root;"])
    wait_listening(node, f"{OWN}:6443", far=False)
    return daemon


def paste(node: LabNode, fix: dict[str, Any]) -> None:
    """What a person does with a fix, without the time of the kubelet and of the API server."""
    for line in (*fix["commands"], *fix["persist"]):
        node.shell(re.sub(r"sleep \d+", "sleep 0", line))
    node.shell(fix["verify"])


def test_a_healthy_control_plane_is_covered(control_plane: LabNode) -> None:
    serve(control_plane, member(*BASE))

    assert {reason for _, reason, _ in verdict(control_plane)} == {"Covered"}


@pytest.mark.parametrize("before", ["apiServer: {}", "apiServer:\n  certSANs:\n  - old.example"])
def test_the_fix_adds_the_missing_names_and_keeps_them(control_plane: LabNode, before: str) -> None:
    control_plane.write("/etc/lab/ClusterConfiguration", CLUSTER.replace("apiServer: {}", before))
    control_plane.write("/etc/kubernetes/admin.conf", conf(f"https://{OWN}:6443"))
    control_plane.write("/root/.kube/config", conf(f"https://{LB}:6443"))
    server = serve(control_plane, member(*BASE))
    behind(control_plane, [member(*BASE, LB)])
    [found] = [each for each in findings(control_plane) if each["status"] != "pass"]
    assert (found["reason"], found["subject"]) == ("AddressNotCovered", LB)

    paste(control_plane, found["fix"])
    restart(control_plane, server)

    assert {reason for _, reason, _ in verdict(control_plane)} == {"Covered"}
    assert LB in control_plane.read("/etc/lab/uploaded")


def test_the_fix_renews_an_expired_certificate(control_plane: LabNode) -> None:
    server = serve(control_plane, member(*BASE, start=START - 400 * DAY))
    [found] = findings(control_plane)
    assert found["reason"] == "CertificateExpired"

    paste(control_plane, found["fix"])
    restart(control_plane, server)

    assert {reason for _, reason, _ in verdict(control_plane)} == {"Covered"}


def test_a_certificate_renewed_on_disk_is_served_after_the_fix(control_plane: LabNode) -> None:
    server = serve(control_plane, member(*BASE))
    control_plane.run(["kubeadm", "certs", "renew", "apiserver"])
    found = [each for each in findings(control_plane) if each["status"] != "pass"]
    assert [(each["status"], each["reason"], each["subject"]) for each in found] == [
        ("warn", "FileNotServed", CERTIFICATE)
    ]

    paste(control_plane, found[0]["fix"])
    restart(control_plane, server)

    assert {reason for _, reason, _ in verdict(control_plane)} == {"Covered"}
