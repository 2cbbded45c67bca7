"""Records the sick node that `k8sdoctor demo` judges: `python -m tests.lab.record_demo` writes k8sdoctor/data/demo.json.

For maintainers, as root, on a machine that can run the lab tests. A lab node is really broken: a real containerd, two pods and a
DNS server on one CNI bridge, whose packets pass iptables by. The doctor then looks at it through a recorder. What belongs to
the machine that made the recording is replaced by what a node of this kind has.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from tests.api_server import kubeconfig
from tests.lab.containerd import Containerd
from tests.lab.node import LabNode, wait_for
from tests.lab.test_apiserver_san import CA, KUBELET, PKI, api_servers, member
from tests.lab.test_dns_reply_source import NAME as RECORD
from tests.lab.test_dns_reply_source import join, translate

TARGET = Path(__file__).resolve().parents[2] / "k8sdoctor" / "data" / "demo.json"

NODE = "worker-1"
KERNEL = "6.1.0-40-amd64"  # a release of Debian 12
COMMAND_LINE = f"BOOT_IMAGE=/boot/vmlinuz-{KERNEL} root=/dev/sda1 ro quiet\n"
API_SERVER = "192.0.2.1"

_SCRIPT = """
import sys
from k8sdoctor import engine, registry
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import Recorder
recorder = Recorder(LiveHost())
report = engine.run(recorder, registry.load(plug_ins=False).checks)
assert not report.broken, report.broken
sys.stdout.write(recorder.dump())
"""


def main() -> None:
    """Break a node, record it, and keep the recording."""
    with LabNode(NODE) as node:
        sicken(node)
        recorded = json.loads(node.run([sys.executable, "-B", "-c", _SCRIPT]).stdout)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(anonymous(recorded), indent=1, ensure_ascii=False) + "\n", "utf-8")


def sicken(node: LabNode) -> None:
    """Make a worker whose pods ask DNS in vain."""
    join(node)
    serve_api(node)
    node.write("/etc/os-release", (Path(__file__).parent / "data" / "os-release").read_text())
    node.write("/etc/modules-load.d/k8s.conf", "overlay\nbr_netfilter\n")
    node.write("/etc/sysctl.d/k8s.conf", "net.ipv4.ip_forward = 1\n")
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_bridge_network()
    containerd.start()
    containerd.import_image()
    containerd.run_pod("web-0")
    server = containerd.run_pod("coredns-0", "kube-system", **{"k8s-app": "kube-dns"})
    node.popen(
        [
            *("nsenter", f"--net={server.netns}", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"),
            *("--no-resolv", "--no-hosts", "--user=root", "--pid-file=", f"--address=/{RECORD}/10.96.0.1"),
        ]
    )
    wait_for(lambda: ":53 " in node.run(["nsenter", f"--net={server.netns}", "ss", "-lnut"]).stdout, "the DNS server")
    translate(node, server.ip)
    node.shell("sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0")


def serve_api(node: LabNode) -> None:
    """An API server's certificate on the far side, and a kubelet that goes there."""
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "control-plane-1", "10.96.0.1", API_SERVER)
    api_servers(node, {API_SERVER: member(*names)})
    cluster = {
        "server": f"https://{API_SERVER}:6443",
        "certificate-authority-data": base64.b64encode(CA.pem.encode()).decode(),
    }
    client = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    node.write(KUBELET, kubeconfig(cluster, {"client-certificate": client, "client-key": client}))
    node.write(f"{PKI}/ca.crt", CA.pem)


def anonymous(recorded: dict[str, Any]) -> dict[str, Any]:
    """The recording without what belongs to the machine that made it."""
    for entry in recorded["answers"]:
        match entry["verb"]:
            case "identity":
                entry["answer"] |= {"hostname": NODE, "kernel": KERNEL, "machine": "x86_64", "euid": 0}
            case "read" if entry["arguments"]["path"] == "/proc/cmdline":
                entry["answer"] = COMMAND_LINE
            case "read" if entry["arguments"]["path"].endswith("/environ"):
                entry["answer"] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0"
            case "processes":
                entry["answer"] = [
                    process for process in entry["answer"] if process["name"] in ("containerd", "dnsmasq")
                ]
    return recorded


if __name__ == "__main__":
    main()
