"""Records the sick node that `k8sdoctor demo` judges: `python -m tests.lab.record_demo` writes k8sdoctor/data/demo.json.

For maintainers, as root, on a machine that can run the lab tests. A whole lab node is really broken: its pods and its DNS server are on one
CNI bridge, whose packets pass iptables by. The doctor then looks at it through a recorder. What belongs to
the machine that made the recording is replaced by what a node of this kind has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode

TARGET = Path(__file__).resolve().parents[2] / "k8sdoctor" / "data" / "demo.json"

NODE = "worker-1"
KERNEL = "6.1.0-40-amd64"  # a release of Debian 12
COMMAND_LINE = f"BOOT_IMAGE=/boot/vmlinuz-{KERNEL} root=/dev/sda1 ro quiet\n"
PROGRAMS = {
    "containerd": "/usr/bin/containerd",
    "dnsmasq": "/usr/sbin/dnsmasq",
    "kubelet": "/usr/local/bin/kubelet",
    "kube-proxy": "/usr/local/bin/kube-proxy",
    "systemd-timesyncd": "/lib/systemd/systemd-timesyncd",
}
"""What runs on the node, and from where."""

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
    with LabNode(NODE) as lab:
        sicken(lab)
        recorded = json.loads(lab.run([sys.executable, "-B", "-c", _SCRIPT]).stdout)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(anonymous(recorded), indent=1, ensure_ascii=False) + "\n", "utf-8")


def sicken(lab: LabNode) -> None:
    """Make a healthy worker, and let bridged packets pass iptables by, as after a boot without the line that says otherwise."""
    WholeNode(lab).start()
    lab.shell("sed -i /bridge/d /etc/sysctl.d/k8s.conf; sysctl -qw net.bridge.bridge-nf-call-iptables=0")


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
                entry["answer"] = [_usual(each) for each in entry["answer"] if _program(each) in PROGRAMS]
            case "listeners":
                for each in entry["answer"]:
                    each["process"] = "kubelet" if "python" in str(each.get("process")) else each.get("process")
    return recorded


def _program(process: dict[str, Any]) -> str:
    return str((process["cmdline"] or [""])[0]).rpartition("/")[2]


def _usual(process: dict[str, Any]) -> dict[str, Any]:
    """A process as a node has it: some of the lab's are of the same name and options, and of another program."""
    name = _program(process)
    options = [word for word in process["cmdline"][1:] if word.startswith("--")]
    return process | {"name": name, "cmdline": [PROGRAMS[name], *options]}


if __name__ == "__main__":
    main()
