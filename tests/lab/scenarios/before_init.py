"""A machine before `kubeadm init`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import MANIFESTS, UNLISTEN, listen, stop
from tests.lab.whole_node import FAR, PAUSE, VERSION

if TYPE_CHECKING:
    from tests.lab.whole_node import WholeNode

_POD = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
        "spec": {"containers": [{"name": "kube-scheduler", "image": PAUSE, "command": ["kube-scheduler"]}]},
    }
)
_EXTERNAL = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: {version}
networking: {{podSubnet: 10.244.0.0/16}}
etcd: {{external: {{endpoints: ["http://{far}:2379"]}}}}
"""


def _plan_external_etcd(node: WholeNode) -> None:
    node.lab.write("/run/kubeadm.yaml", _EXTERNAL.format(version=VERSION, far=FAR))


_BEFORE = partial(Scenario, "before init", role="prepared", options=("--profile", "init"))

SCENARIOS = (
    _BEFORE(
        "a manifest of an earlier control plane is here",
        f"mkdir -p {MANIFESTS}; echo '{_POD}' > {MANIFESTS}/kube-scheduler.yaml",
        "leftovers/FilesLeft",
        status="warn",
        heals=f"rm -rf {MANIFESTS}",
    ),
    _BEFORE(
        "data of an earlier etcd are here",
        "mkdir -p /var/lib/etcd/member",
        "leftovers/EtcdFolderNotEmpty",
        status="warn",
        heals="rm -rf /var/lib/etcd/member",
    ),
    _BEFORE(
        "no Node can have the machine's name",
        "python3 -c 'import socket; socket.sethostname(\"my_host\")'",
        "hostname/HostnameInvalid",
        heals="hostname worker-1",
    ),
    _BEFORE(
        "the machine does not resolve its own name",
        "cp /etc/hosts /run/hosts; echo '127.0.0.1 localhost' > /etc/hosts",
        "hostname/HostnameNotResolved",
        status="warn",
        heals="cat /run/hosts > /etc/hosts",
    ),
    _BEFORE(
        "somebody holds the API server's port",
        listen(6443),
        "ports/PortTaken",
        status="warn",  # without a plan it is not known that it will be needed
        heals=UNLISTEN,
    ),
    _BEFORE(
        "bridges pass iptables by",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        "br-netfilter/BridgeNfCallOff",
        status="warn",
    ),
    _BEFORE("forwarding is off", "sysctl -qw net.ipv4.ip_forward=0", "ip-forward/ForwardingOff"),
    _BEFORE(
        "the runtime ended",
        stop("containerd"),
        "node-ready/RuntimeDown",
        ("pause-image/RuntimeUnreachable",),  # that no network is there yet is right
        blinds=("images",),
    ),
    _BEFORE(
        "swap is in use",
        "cp /run/swaps /run/no-swaps; echo '/swapfile file 2097148 0 -2' >> /run/swaps",
        "swap/SwapOn",
        heals="cat /run/no-swaps > /run/swaps",
    ),
    _BEFORE(
        "the kernel counts no processes of a group",
        "zcat /proc/config.gz | sed 's/^CONFIG_CGROUP_PIDS=.*/# CONFIG_CGROUP_PIDS is not set/' | gzip > /run/config.gz;"
        " mount --bind /run/config.gz /proc/config.gz",
        "kernel/OptionMissing",
        heals="umount /proc/config.gz",
    ),
    _BEFORE(
        "crictl is not installed",
        "mv /usr/local/bin/crictl /run/crictl",
        "tools/ToolMissing",
        heals="mv /run/crictl /usr/local/bin/crictl",
    ),
    _BEFORE(
        "the machine has a gigabyte of memory",
        "sed '/^MemTotal/s/[0-9][0-9]*/1000000/' /proc/meminfo > /run/meminfo; mount --bind /run/meminfo /proc/meminfo",
        "resources/TooLittleMemory",
        status="warn",  # no control plane is planned yet
        heals="umount /proc/meminfo",
    ),
    _BEFORE(
        "the planned etcd does not answer",
        _plan_external_etcd,
        "external-etcd/EtcdUnreachable",
        options=("--profile", "init", "--config", "/run/kubeadm.yaml"),
    ),
)
