"""The recorded control plane with all sorts of files and answers beside its own, so that every parser has something to parse.

It is no real node: what stands here is what each place may hold, and no judgement on it is looked at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from tests import control_plane as recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.testing import FakeHost

Runtime = Literal["containerd", "cri-o", "docker"]
RUNTIMES: tuple[Runtime, ...] = ("containerd", "cri-o", "docker")

_HOSTS = """server = "https://registry.k8s.io"
[host."https://10.0.0.9:5000"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/containerd/certs.d/registry.k8s.io/ca.crt"
  client = [["client.crt", "client.key"]]
  skip_verify = false
  override_path = true
  dial_timeout = "5s"
[host."https://10.0.0.9:5000".header]
  x-custom = ["a", "b"]
"""

_REGISTRIES = """unqualified-search-registries = ["docker.io"]
short-name-mode = "permissive"
[[registry]]
prefix = "registry.k8s.io"
location = "10.0.0.9:5000/k8s"
insecure = true
[[registry.mirror]]
location = "mirror.example:5000"
pull-from-mirror = "all"
"""

_CRIO = """[crio]
[crio.image]
pause_image = "registry.k8s.io/pause:3.9"
insecure_registries = ["10.0.0.9:5000"]
registries = ["docker.io"]
[crio.runtime]
cgroup_manager = "systemd"
conmon_cgroup = "pod"
[crio.network]
network_dir = "/etc/cni/net.d/"
plugin_dirs = ["/opt/cni/bin/"]
cni_default_network = "bridge"
"""

_DAEMON = {
    "registry-mirrors": ["https://10.0.0.9:5000"],
    "insecure-registries": ["10.0.0.0/8", "mirror.example:5000"],
    "exec-opts": ["native.cgroupdriver=systemd"],
    "proxies": {"http-proxy": "http://10.0.0.1:3128", "no-proxy": "10.96.0.0/12,localhost"},
    "data-root": "/var/lib/docker",
    "iptables": False,
}

_UNIT = """[Unit]
Description=%s
[Service]
Environment="HTTP_PROXY=http://10.0.0.1:3128" "NO_PROXY=10.96.0.0/12,.cluster.local"
EnvironmentFile=-/etc/environment
ExecStart=/usr/bin/%s --flag=value \\
  --other 'a b'
Restart=always
[Install]
WantedBy=multi-user.target
"""

_COREDNS_LOG = """2026-11-20T13:25:00.000000000Z stdout F [INFO] plugin/reload: Running configuration SHA512 = 1b22
2026-11-20T13:25:01.000000000Z stdout F [ERROR] plugin/errors: 2 example.org. A: read udp 10.244.0.2:40001->10.27.53.1:53: i/o timeout
2026-11-20T13:25:02.000000000Z stderr P [FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :53) detected for zone ".",
2026-11-20T13:25:02.000000000Z stderr F  see https://coredns.io/plugins/loop#troubleshooting.
"""

_KUBEADM = """---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {apiServerEndpoint: "10.27.53.32:6443", unsafeSkipCAVerification: true}}
nodeRegistration: {name: cp2, kubeletExtraArgs: [{name: node-ip, value: 10.27.53.33}], taints: []}
controlPlane: {localAPIEndpoint: {advertiseAddress: 10.27.53.33, bindPort: 6443}}
"""

_CONNECTION = (
    "ipv4 2 udp 17 26 src=10.244.0.5 dst=10.96.0.10 sport=4623 dport=53 [UNREPLIED] src=10.244.0.2 dst=10.244.0.5 sport=53"
    " dport=4623 mark=0 zone=0 use=2\n"
)

_FILES: dict[str, str] = {
    "/boot/config-6.18.0": "CONFIG_NAMESPACES=y\nCONFIG_NET_NS=y\nCONFIG_CGROUPS=y\nCONFIG_OVERLAY_FS=m\n# CONFIG_IPC_NS is not set\n",
    "/etc/containerd/certs.d/registry.k8s.io/hosts.toml": _HOSTS,
    "/etc/containerd/certs.d/_default/hosts.toml": _HOSTS,
    "/etc/containers/registries.conf": _REGISTRIES,
    "/etc/containers/registries.conf.d/10-more.conf": _REGISTRIES,
    "/etc/crio/crio.conf": _CRIO,
    "/etc/crio/crio.conf.d/10-more.conf": _CRIO,
    "/etc/docker/daemon.json": json.dumps(_DAEMON),
    "/etc/docker/certs.d/registry.k8s.io/hosts.toml": _HOSTS,
    "/etc/environment": 'HTTPS_PROXY="http://10.0.0.1:3128"\nNO_PROXY=localhost,10.0.0.0/8\n',
    "/etc/profile.d/proxy.sh": "export http_proxy=http://10.0.0.1:3128\n",
    "/etc/fstab": "UUID=ab-cd / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n",
    "/etc/modprobe.d/k8s.conf": "options nf_conntrack hashsize=65536\nblacklist br_netfilter\ninstall overlay /bin/false\n",
    "/etc/sysctl.d/99-x.conf": "-net.ipv4.conf.*.rp_filter = 2\nnet/ipv4/ip_forward=1\n",
    "/etc/sysctl.conf": "net.ipv4.ip_forward=0\n",
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": _UNIT % ("kubelet", "kubelet"),
    "/etc/systemd/system/containerd.service.d/proxy.conf": _UNIT % ("containerd", "containerd"),
    "/usr/lib/systemd/system/kubelet.service": _UNIT % ("kubelet", "kubelet"),
    "/usr/lib/systemd/system/containerd.service": _UNIT % ("containerd", "containerd"),
    "/etc/ufw/ufw.conf": "ENABLED=yes\n",
    "/proc/1/net/ip_tables_names": "filter\nnat\n",
    "/proc/1/net/ip_vs": (
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\nUDP  0A60000A:0035 rr\n  -> 0AF40002:0035 Masq 1 0 0\n"
        "TCP  [fd00:0096:0000:0000:0000:0000:0000:000a]:0035 rr\n"
    ),
    "/proc/1/net/nf_conntrack": _CONNECTION * 3,
    "/proc/1/net/stat/nf_conntrack": (
        "entries clashres found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error\n"
        "00000010 00000002 00000000 00000000 0000001c 00000000 00000000 00000000 00000000 00000007 00000001 00000000 00000000\n"
    ),
    "/proc/sys/net/netfilter/nf_conntrack_count": "12000\n",
    "/proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
    "/proc/sys/net/ipv6/conf/eth0/accept_ra": "1\n",
    "/root/.kube/config": recorded.text("etc-kubernetes/admin.conf"),
    "/run/systemd/resolve/resolv.conf": "nameserver 10.27.53.1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:5\n",
    "/run/flannel/subnet.env": "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
    "/sys/class/dmi/id/product_uuid": "4c4c4544-0051-3010-8058-b9c04f4d3132\n",
    "/etc/kubernetes/super-admin.conf": recorded.text("etc-kubernetes/admin.conf"),
}

_FILES |= {
    f"/etc/kubernetes/pki/{name}.crt": recorded.text("etc-kubernetes/pki/apiserver.crt")
    for name in ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "etcd/ca", "apiserver-etcd-client")
}
_FILES |= {
    path: json.dumps(
        {"auths": {"https://index.docker.io/v1/": {"auth": "eDp5"}, "registry.k8s.io": {}}, "credHelpers": {"a": "b"}}
    )
    for path in ("/run/containers/0/auth.json", "/root/.docker/config.json", "/var/lib/kubelet/config.json")
}

_ETCD = {
    "/health": {"health": "true", "reason": ""},
    "/v3/maintenance/status": {
        "header": {"cluster_id": "14841639068965178418", "member_id": "10276657743932975437", "raft_term": "2"},
        "version": "3.5.16",
        "dbSize": "2000000",
        "leader": "10276657743932975437",
        "raftIndex": "9",
        "raftTerm": "2",
        "dbSizeInUse": "1000000",
        "errors": ["NOSPACE"],
    },
    "/v3/cluster/member/list": {
        "header": {"cluster_id": "14841639068965178418", "member_id": "10276657743932975437"},
        "members": [
            {
                "ID": "10276657743932975437",
                "name": "cp1",
                "peerURLs": ["http://127.0.0.1:2380"],
                "clientURLs": ["http://127.0.0.1:2379"],
            },
            {"ID": "9", "name": "", "peerURLs": ["http://10.0.0.8:2380"], "clientURLs": []},
        ],
    },
}

_LEASE = {
    "metadata": {"name": "cp1", "namespace": "kube-node-lease"},
    "spec": {"holderIdentity": "cp1", "leaseDurationSeconds": 40, "renewTime": "2026-11-20T13:29:55.000000Z"},
}

_CONTAINER = {
    "id": "c1",
    "pod_sandbox_id": "p1",
    "metadata": {"name": "kube-apiserver", "attempt": 3},
    "image": {"image": "registry.k8s.io/kube-apiserver:v1.36.2"},
    "state": "CONTAINER_RUNNING",
    "created_at": "1795181000000000000",
    "labels": {"io.kubernetes.pod.name": "kube-apiserver-cp1", "io.kubernetes.pod.namespace": "kube-system"},
}

_PLUGIN = {"code": 0, "out": '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}\n', "err": ""}
_ANSWERS = {
    "head": "\x7fELF",
    "systemctl": "systemd 252 (252.39-1~deb12u1)\nActiveState=active\nNRestarts=7\nResult=exit-code\n",
    "journalctl": "Nov 20 13:29:00 cp1 kubelet[950]: E1120 13:29:00.000001     950 run.go:74] command failed: open /x: no such file\n",
    "nft": '{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"rule": {"family": "ip", "expr": [{"drop": null}]}}]}',
    "ip6tables-save": recorded.text("iptables-save.txt"),
    "cri-dockerd": "cri-dockerd 0.3.15 (c1c566e)\n",
    "crio": "crio version 1.30.4\n",
}

_GIVEN = {
    "config": {"path": "kubeadm.yaml", "text": recorded.text("kubeadm.yaml") + _KUBEADM},
    "kubeconfig": None,
    "endpoints": ["10.27.53.32:6443", "lb.example:6443"],
    "images": {"path": "images.txt", "text": "registry.k8s.io/pause:3.9\n# more\nquay.io/a/b@sha256:%s\n" % ("0" * 64)},
    "files": {"path": "files.txt", "text": "https://dl.example/kubelet\nhttp://10.0.0.9/x.tar.gz\n"},
}

_PULL = {
    "status": 200,
    "headers": {
        "content-type": "application/vnd.oci.image.index.v1+json",
        "docker-content-digest": f"sha256:{'a' * 64}",
        "content-length": "4096",
        "www-authenticate": 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull"',
        "date": "Fri, 20 Nov 2026 13:30:00 GMT",
        "location": "https://cdn.example/blob?x=1",
    },
    "body": json.dumps(
        {
            "schemaVersion": 2,
            "token": "x",
            "manifests": [{"digest": f"sha256:{'b' * 64}", "platform": {"os": "linux", "architecture": "amd64"}}],
            "config": {"digest": f"sha256:{'c' * 64}"},
            "layers": [{"digest": f"sha256:{'d' * 64}", "size": 7}],
            "errors": [{"code": "UNAUTHORIZED", "message": "no"}],
        }
    ),
    "peer": "10.0.0.9:5000",
    "failure": None,
}


_LISTENER: dict[str, Any] = {
    "protocol": "tcp",
    "address": "::",
    "port": 6443,
    "uid": 0,
    "kernel": False,
    "pid": 900,
    "name": "x",
    "cmdline": ["x"],
}
_SPACE: dict[str, Any] = {
    "total": 10**10,
    "free": 10**9,
    "available": 10**9,
    "inodes": 0,
    "inodes_free": 0,
    "read_only": False,
    "no_exec": False,
    "mount": "/",
    "type": "ext4",
    "source": "/dev/sda1",
}


def _run(argv: list[str], keep: tuple[str, ...] = (), attempt: int = 0) -> Any:
    name = argv[0].rpartition("/")[2]
    if name == "env":
        return _PLUGIN
    if name in _ANSWERS and argv[1:] not in (["list", "chains"], ["list", "tables"]):
        return {"code": 0, "out": _ANSWERS[name], "err": ""}
    return recorded.run(argv, keep)


def _logs() -> dict[str, str]:
    return {
        f"/var/log/pods/{folder}/coredns/0.log": _COREDNS_LOG
        for pod in recorded.data("api/pods.json")["items"]
        if (meta := pod["metadata"])["name"].startswith("coredns")
        for folder in [f"kube-system_{meta['name']}_{meta['uid']}"]
    }


def node(runtime: Runtime) -> FakeHost:
    """The node, as if this runtime were what serves CRI on it."""

    def cri(endpoint: str, method: str, request: Mapping[str, Any]) -> Any:
        if method == "RuntimeService/ListContainers":
            return {"containers": [_CONTAINER]}
        if method == "RuntimeService/ContainerStatus":
            status = {
                **_CONTAINER,
                "exit_code": 1,
                "reason": "Error",
                "message": "",
                "log_path": "/var/log/pods/x/0.log",
            }
            return {"status": status, "info": {"info": json.dumps({"pid": 7, "runtimeSpec": {}})}}
        answer = recorded.cri(endpoint, method, dict(request))
        return {**answer, "runtime_name": runtime} if method == "RuntimeService/Version" else answer

    def kube(path: str, kubeconfig: str) -> Any:
        return _LEASE if "/leases/" in path else recorded.kube(path, kubeconfig)

    def http(**request: Any) -> Any:
        for path, body in _ETCD.items():
            if request["url"].endswith(f":2379{path}"):
                return {
                    "status": 200,
                    "headers": {},
                    "body": json.dumps(body),
                    "peer": "127.0.0.1:2379",
                    "failure": None,
                }
        return recorded.http(**request) if request["url"].partition("?")[0] in recorded._WELL else _PULL

    return recorded.control_plane(
        {**_FILES, **_logs()},
        given=_GIVEN,
        cri=cri,
        kube=kube,
        http=http,
        run=_run,
        listeners=[_LISTENER],
        space=_SPACE,
        clock={"unsynchronised": False, "max_error": 0.1, "estimated_error": 0.01},
        resolve={"addresses": ["10.0.0.9"], "error": None},
    )
