"""Kubelet and runtime, and the machine that they run on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import KUBELET, UNLISTEN, answers, listen, stop
from tests.lab.whole_node import VERSION

if TYPE_CHECKING:
    from tests.lab.whole_node import WholeNode

_STARTED = ("kube-proxy/NotRunning", "control-plane/ComponentDown")
"""What a kubelet starts again where it can."""


def _cordon(node: dict[str, Any]) -> None:
    node["spec"]["unschedulable"] = True
    node["spec"]["taints"] = [
        *node["spec"].get("taints", []),
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ]


def _press_disk(node: dict[str, Any]) -> None:
    for each in node["status"]["conditions"]:
        if each["type"] == "DiskPressure":
            each |= {
                "status": "True",
                "reason": "KubeletHasDiskPressure",
                "message": "kubelet has disk pressure",
            }
    taint = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    node["spec"]["taints"] = [*node["spec"].get("taints", []), taint]


def _fill_images(node: WholeNode) -> None:
    """A file system of the images that is full, of which the kubelet tells the cluster."""
    used = int(node.lab.shell("df -k --output=used /var/lib/containerd | tail -n 1").stdout)
    node.lab.shell(f"mount -o remount,size={used + 1024}k /var/lib/containerd")
    answers("nodes", _press_disk)(node)


_KUBELET = partial(Scenario, "kubelet and runtime")

SCENARIOS = (
    _KUBELET("the kubelet ended", stop("kubelet"), "node-ready/KubeletStopped", takes=_STARTED),
    _KUBELET(
        "the runtime ended",
        stop("containerd"),
        "node-ready/RuntimeDown",
        ("cni-config/RuntimeUnreachable", "images/RuntimeUnreachable", "pause-image/RuntimeUnreachable"),
        blinds=("pod network", "images", "DNS"),
    ),
    _KUBELET(
        "the kubelet's configuration is no YAML",
        f"sed -i 's/^clusterDomain:/clusterDomain: [/' {KUBELET}",
        "kubelet/ConfigSyntax",
        status="warn",
        blinds=("DNS",),
    ),
    _KUBELET(
        "the kubelet's configuration has a field of another kind",
        f"echo 'maxPods: many' >> {KUBELET}",
        "kubelet/ConfigFieldInvalid",
        status="warn",
    ),
    _KUBELET(
        "the kubelet's configuration has a misspelt field",
        f"echo 'maxPod: 200' >> {KUBELET}",
        "kubelet/ConfigFieldIgnored",
        status="warn",
    ),
    _KUBELET(
        "kubelet and runtime make groups by different drivers",
        f"sed -i 's/^cgroupDriver: .*/cgroupDriver: systemd/' {KUBELET}",
        "cgroups/DriverDiffers",
        status="warn",
    ),
    _KUBELET(
        "the resolv.conf for pods is not there",
        f"echo resolvConf: /run/systemd/resolve/resolv.conf >> {KUBELET}",
        "kubelet/ResolvConfMissing",
    ),
    _KUBELET("somebody holds the kubelet's port", listen(10250), "ports/PortTaken", heals=UNLISTEN),
    _KUBELET("somebody cordoned the node", answers("nodes", _cordon), "node-ready/Cordoned", status="warn"),
    _KUBELET("the kubelet runs short of disk", answers("nodes", _press_disk), "node-ready/DiskPressure"),
    _KUBELET(
        "the firewall shuts the kubelet's port",
        "iptables -A INPUT -i eth0 -p tcp --dport 10250 -j REJECT",
        "firewall/PortsClosed",
        status="warn",  # the cluster has no other node
        mends=True,
    ),
    _KUBELET(
        "the clock is not synchronised",
        "rm /run/systemd/timesync/synchronized",
        "time-sync/NotSynchronised",
        status="warn",
        heals="touch /run/systemd/timesync/synchronized",
    ),
    _KUBELET(
        "nobody keeps the clock",
        "kill $(pgrep -f '^systemd-timesyncd'); rm /run/systemd/timesync/synchronized",
        "time-sync/NoTimeService",
        status="warn",
        heals="touch /run/systemd/timesync/synchronized; (exec -a systemd-timesyncd sleep 1000000 >/dev/null 2>&1 &)",
    ),
    _KUBELET(
        "the kubelet is newer than the control plane",
        f"sed -i s/{VERSION}/v1.29.0/ /usr/local/bin/kubelet",
        "version-skew/KubeletNewer",
        status="warn",  # it runs
        heals=f"sed -i s/v1.29.0/{VERSION}/ /usr/local/bin/kubelet",
    ),
    _KUBELET(
        "the disk of images is full",
        _fill_images,
        "disk/NoSpaceLeft",
        ("node-ready/DiskPressure",),
        takes=_STARTED,
        heals="mount -o remount,size=50% /var/lib/containerd",
    ),
    _KUBELET(
        "the machine has no ID",
        "cp /etc/machine-id /run/machine-id; : > /etc/machine-id",
        "node-identity/MachineIdMissing",
        status="warn",
        heals="cat /run/machine-id > /etc/machine-id",
    ),
)
