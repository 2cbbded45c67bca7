"""The recorded control plane of `tests/data/control-plane-v1.36` as a host.

Files, links, addresses, routes, the runtime's and the API server's answers are as recorded. What the recording lacks is added
here and was true of that node: the kernel's switches, what sets them at boot, the plugins' folder, processes, DNS and TLS answers.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from k8sdoctor.facts.x509 import certificates
from k8sdoctor.facts.x509 import public_key as public_key_of_certificate
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parent / "data" / "control-plane-v1.36"

NOW = 1_795_181_400.0  # 2026-11-20T13:30:00Z, eight minutes after the pods came up
SERVICE = "10.96.0.10"

# Private keys were taken out of the recording, and sa.pub with them.
_TAKEN_OUT = (
    *("ca.key", "apiserver.key", "apiserver-kubelet-client.key", "front-proxy-ca.key", "front-proxy-client.key"),
    *("sa.key", "sa.pub"),
)
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
KUBECONFIGS = tuple(f"/etc/kubernetes/{name}.conf" for name in ("admin", "controller-manager", "scheduler", "kubelet"))

_PLUGINS = ("bridge", "portmap", "host-local", "loopback")


@cache
def text(name: str) -> str:
    """A recorded file."""
    return (DATA / name).read_text()


def data(name: str) -> Any:
    """A recorded JSON file."""
    return json.loads(text(name))


def files() -> dict[str, str | HostError]:
    """The node's files."""
    found: dict[str, str | HostError] = {
        "/etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "/etc/hostname": "cp1\n",
        "/etc/machine-id": data("api/nodes.json")["items"][0]["status"]["nodeInfo"]["machineID"] + "\n",
        "/etc/resolv.conf": "nameserver 10.27.53.1\n",
        "/etc/modules-load.d/k8s.conf": "overlay\nbr_netfilter\n",
        "/etc/sysctl.d/k8s.conf": (
            "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\n"
        ),
        "/etc/containerd/config.toml": text("containerd-config.toml"),
        "/etc/cni/net.d/10-bridge.conflist": text("cni-net.d/10-bridge.conflist"),
        "/run/containerd/containerd.sock": "",
        "/usr/bin/kubelet": "",
        "/usr/bin/containerd": "",
        "/proc/modules": text("proc/modules"),
        "/proc/cgroups": text("proc/cgroups"),
        "/proc/swaps": text("proc/swaps"),
        "/proc/cmdline": "console=ttyS0\n",
        "/proc/1/status": "Cpus_allowed_list:\t0-1\n",
        "/sys/devices/system/cpu/online": "0-1\n",
        "/proc/meminfo": f"MemTotal: {_capacity()['memory'].removesuffix('Ki')} kB\n",
        "/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
        "/proc/sys/net/bridge/bridge-nf-call-ip6tables": "1\n",
        "/proc/sys/net/ipv4/ip_forward": "1\n",
        "/proc/sys/net/ipv6/conf/all/forwarding": "0\n",
        "/proc/sys/net/ipv6/conf/default/forwarding": "0\n",
        "/proc/1/environ": "PATH=/usr/bin\0",
        "/proc/900/environ": "PATH=/usr/bin\0",
        "/proc/950/environ": "PATH=/usr/bin\0",
    }
    for unrecorded in ("/proc/1/net/stat/nf_conntrack", "/proc/1/net/nf_conntrack"):
        found[unrecorded] = HostError("NotRecorded", f"the recording does not hold {unrecorded}")
    for plugin in _PLUGINS:
        found[f"/opt/cni/bin/{plugin}"] = "\x7fELF"
    for device in ("all", "default", "lo", "eth0", "cni0"):
        found[f"/proc/sys/net/ipv4/conf/{device}/forwarding"] = "1\n"
    for folder, target in (("etc-kubernetes", "/etc/kubernetes"), ("var-lib-kubelet", "/var/lib/kubelet")):
        for path in sorted((DATA / folder).rglob("*")):
            if path.is_file():
                found[f"{target}/{path.relative_to(DATA / folder)}"] = path.read_text()
    for name in _TAKEN_OUT:
        taken = f"/etc/kubernetes/pki/{name}"
        found[taken] = HostError("NotRecorded", f"the recording does not hold {taken}")
    found[CURRENT] = HostError("NotRecorded", f"the recording does not hold {CURRENT}")
    for sandbox in _sandboxes():
        found[f"/run/netns/{sandbox['netns']}"] = ""
    return found


def _capacity() -> dict[str, str]:
    """What the kubelet told of the machine: the memory is /proc/meminfo's MemTotal, and the processors were 2."""
    capacity: dict[str, str] = data("api/nodes.json")["items"][0]["status"]["capacity"]
    return capacity


def _sandboxes() -> list[dict[str, str]]:
    return [
        {"netns": namespace["path"].rpartition("/")[2]}
        for pod in data("cri.json")["pods"]
        for namespace in pod["info"]["info"]["runtimeSpec"]["linux"]["namespaces"]
        if namespace["type"] == "network" and namespace.get("path")
    ]


def netlink(what: str, netns: str | None) -> list[dict[str, Any]]:
    """Links, addresses and routes of the node; a pod's namespace has a loopback and an eth0."""
    if netns is not None:
        return _pod_netlink(what, netns)
    indices = {link["ifname"]: link["ifindex"] for link in data("ip-link.json")}
    if what == "links":
        return [_link(link, indices) for link in data("ip-link.json")]
    if what == "addresses":
        return [
            {
                "index": link["ifindex"],
                "address": address["local"],
                "prefix": address["prefixlen"],
                "family": 6 if ":" in address["local"] else 4,
                "scope": address["scope"],
            }
            for link in data("ip-addr.json")
            for address in link["addr_info"]
        ]
    return [
        {
            "family": 4,
            "destination": "0.0.0.0/0" if route["dst"] == "default" else route["dst"],
            "oif": indices[route["dev"]],
            "table": 254,
            "type": "unicast",
        }
        | ({"gateway": route["gateway"]} if "gateway" in route else {})
        for route in data("ip-route.json")
    ]


def _link(link: Mapping[str, Any], indices: Mapping[str, int]) -> dict[str, Any]:
    info = link.get("linkinfo", {})
    found: dict[str, Any] = {
        "index": link["ifindex"],
        "name": link["ifname"],
        "up": "UP" in link["flags"],
        "mtu": link["mtu"],
        "mac": link["address"],
    }
    if "info_kind" in info:
        found["kind"] = info["info_kind"]
    if "master" in link:
        found["master"] = indices[link["master"]]
    for key, name in (("link_index", "link"), ("link_netnsid", "link_netnsid")):
        if key in link:
            found[name] = link[key]
    if info.get("info_kind") == "bridge":
        found["nf_call_iptables"] = bool(info["info_data"]["nf_call_iptables"])
        found["nf_call_ip6tables"] = bool(info["info_data"]["nf_call_ip6tables"])
    return found


def _pod_netlink(what: str, netns: str) -> list[dict[str, Any]]:
    names = sorted({sandbox["netns"] for sandbox in _sandboxes()})
    number = names.index(netns.rpartition("/")[2]) if netns.rpartition("/")[2] in names else 0
    peers = [link["ifindex"] for link in data("ip-link.json") if link["ifname"].startswith("veth")]
    peer = peers[number % len(peers)]
    if what == "links":
        return [
            {"index": 1, "name": "lo", "up": True, "mtu": 65536, "mac": "00:00:00:00:00:00"},
            {
                "index": 2,
                "name": "eth0",
                "kind": "veth",
                "link": peer,
                "link_netnsid": 0,
                "up": True,
                "mtu": 1500,
                "mac": "02:00:00:00:00:01",
            },
        ]
    if what == "addresses":
        return [
            {"index": 1, "address": "127.0.0.1", "prefix": 8, "family": 4, "scope": "host"},
            {"index": 2, "address": f"10.244.0.{number + 2}", "prefix": 24, "family": 4, "scope": "global"},
        ]
    return [
        {"family": 4, "destination": "0.0.0.0/0", "gateway": "10.244.0.1", "oif": 2, "table": 254, "type": "unicast"}
    ]


def cri(endpoint: str, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the runtime answered; the recorded `info` values are decoded, and the interface sends them as JSON text."""
    del endpoint
    recorded = data("cri.json")
    match method:
        case "RuntimeService/Version":
            return dict(recorded["version"])
        case "RuntimeService/Status":
            status = recorded["status"]
            return {"status": status["status"], "info": {key: _encoded(value) for key, value in status["info"].items()}}
        case "RuntimeService/ListPodSandbox":
            return {"items": [pod["sandbox"] | {"state": "SANDBOX_READY"} for pod in recorded["pods"]]}
        case "RuntimeService/PodSandboxStatus":
            pod = next((each for each in recorded["pods"] if each["sandbox"]["id"] == request["pod_sandbox_id"]), None)
            if pod is None:
                raise HostError("NotFound", f"the runtime has no sandbox {request['pod_sandbox_id']}")
            status = {"id": pod["sandbox"]["id"], "metadata": pod["sandbox"]["metadata"], "state": "SANDBOX_READY"}
            ip = _pod_ip(pod["sandbox"]["metadata"]["name"])
            return {
                "status": status | {"network": {"ip": ip}, "labels": pod["sandbox"]["labels"]},
                "info": {key: _encoded(value) for key, value in pod["info"].items()},
            }
        case "ImageService/ImageStatus":
            image = request["image"]["image"]
            return {
                "image": {
                    "id": "sha256:873ed75102791e5b0b8a7fcd41606c92fcec98d56d05ead4ac5131650004c136",
                    "repo_tags": [image],
                }
            }
        case "ImageService/ListImages":
            # The kubelet reported what this very call answered (pkg/kubelet/nodestatus Images), up to 50 of them.
            [node] = data("api/nodes.json")["items"]
            return {
                "images": [{"id": image["names"][0], "repo_tags": image["names"]} for image in node["status"]["images"]]
            }
    raise HostError("RuntimeUnreachable", f"the recording does not hold {method}")


def _encoded(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _pod_ip(name: str) -> str:
    [pod] = [pod for pod in data("api/pods.json")["items"] if pod["metadata"]["name"] == name] or [{}]
    ip = pod.get("status", {}).get("podIP", "")
    return "" if ip == pod.get("status", {}).get("hostIP") else ip


def kube(path: str, kubeconfig: str) -> dict[str, Any]:
    """What the API server answers to a list or a get in the recorded resources."""
    del kubeconfig
    if path == "/version":  # kubelet and API server of that node were of one version
        return {"gitVersion": data("api/nodes.json")["items"][0]["status"]["nodeInfo"]["kubeletVersion"]}
    parts = path.partition("?")[0].strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource, name = parts[0], parts[1] if len(parts) > 1 else None
    file = next((each for each in (DATA / "api").glob(f"{resource}.*") if each.name.split(".")[0] == resource), None)
    if file is None:
        raise HostError("NotFound", f"the API server has no {path}")
    listed = data(f"api/{file.name}")
    items = [item for item in listed["items"] if namespace in (None, item["metadata"].get("namespace"))]
    selector = path.partition("labelSelector=")[2].partition("&")[0].replace("%3D", "=").replace("%2F", "/")
    if selector:
        key, _, wanted = selector.partition("=")
        items = [item for item in items if item["metadata"].get("labels", {}).get(key) == wanted]
    if name is None:
        return {**listed, "items": items}
    for item in items:
        if item["metadata"]["name"] == name:
            return dict(item)
    raise HostError("NotFound", f"the API server has no {path}")


def tls(address: str, port: int, server_name: str | None, attempt: int) -> dict[str, Any]:
    """The API server's certificate, wherever it is asked for."""
    del server_name, attempt
    if (address, port) not in ((SERVICE, 443), ("10.27.53.32", 6443), ("10.96.0.1", 443), ("127.0.0.1", 6443)):
        return {
            "peer": None,
            "chain": [],
            "client_cas": None,
            "failure": {"kind": "refused", "message": "connection refused"},
        }
    return {
        "peer": f"{address}:{port}",
        "chain": [text("etc-kubernetes/pki/apiserver.crt")],
        "client_cas": ["CN=kubernetes", "CN=front-proxy-ca"],
        "failure": None,
    }


_WELL = (
    *("https://10.27.53.32:6443/readyz", "https://10.27.53.32:6443/livez"),
    *("https://127.0.0.1:10257/healthz", "https://127.0.0.1:10259/healthz", "http://127.0.0.1:10248/healthz"),
)


def http(**request: Any) -> dict[str, Any]:
    """API server, controller manager and scheduler were well, as their pods' status tells, and the kubelet, which told it.

    No registry: the resolver said nothing, as the waiting kube-proxy pod tells in its.
    """
    where = request["url"].partition("?")[0]
    host = where.partition("://")[2].partition("/")[0]
    if where in _WELL:
        return {"status": 200, "headers": {}, "body": "ok", "peer": host, "failure": None}
    if host != "registry.k8s.io":
        raise HostError("NotRecorded", f"the recording does not hold what {host} answers")
    words = f"{host}: lookup {host} on 10.255.255.53:53: i/o timeout"
    return {
        "status": 0,
        "headers": {},
        "body": "",
        "peer": None,
        "failure": {"kind": "name-not-resolved", "message": words},
    }


def dns(queries: list[Any], netns: str | None) -> list[dict[str, Any]]:
    """Every query is answered by whom it was sent to."""
    del netns
    return [
        {
            "query": query,
            "replies": [
                {
                    "source": query["server"],
                    "port": query["port"],
                    "seconds": 0.001,
                    "matches": True,
                    "rcode": "NOERROR",
                    "truncated": False,
                    "answers": ["10.96.0.1"],
                }
            ],
            "dropped": 0,
            "error": None,
            "offender": None,
            "seconds": 0.001,
        }
        for query in queries
    ]


def processes() -> list[dict[str, Any]]:
    """The programs that a control plane runs."""
    words = {
        1: ["/sbin/init"],
        900: ["/usr/bin/containerd"],
        950: [
            "/usr/bin/kubelet",
            "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
            "--kubeconfig=/etc/kubernetes/kubelet.conf",
            "--config=/var/lib/kubelet/config.yaml",
        ],
        990: [
            "/usr/bin/kube-proxy",
            "--config=/etc/kubernetes/kube-proxy.conf",
        ],  # a process of the host there, and no pod
    }
    return [
        {"pid": pid, "ppid": 0 if pid == 1 else 1, "name": cmdline[0].rpartition("/")[2], "cmdline": cmdline}
        for pid, cmdline in words.items()
    ]


def run(argv: list[str], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The programs' versions, the runtime's effective configuration, and kube-proxy's rules."""
    answers = {
        ("kubelet", "--version"): "Kubernetes v1.36.2\n",
        ("kubeadm", "version", "-o", "short"): "v1.36.2\n",
        ("containerd", "--version"): "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1\n",
        ("containerd", "config", "dump"): text("containerd-config-dump.toml"),
        ("iptables-save",): text("iptables-save.txt"),
        ("iptables-save", "-t", "filter"): text("iptables-save.txt"),
        ("nft", "list", "chains"): "table ip mangle {\ntable ip filter {\ntable ip nat {\n",
        ("nft", "list", "tables"): "table ip mangle\ntable ip filter\ntable ip nat\n",
    }
    words = (argv[0].rpartition("/")[2], *argv[1:])
    if words not in answers:
        raise HostError("NotFound", f"the command {argv[0]} is not installed")
    lines = [line for line in answers[words].splitlines() if not keep or any(each in line for each in keep)]
    return {"code": 0, "out": "".join(f"{line}\n" for line in lines), "err": ""}


def public_key(path: str, user: str | None) -> dict[str, Any]:
    """Private keys were not recorded; that each belonged to the certificate beside it is sure, for the node worked with them."""
    recorded = files().get(f"{path.removesuffix('.key')}.crt" if path.endswith(".key") else path)
    if not isinstance(recorded, str):
        raise HostError("NotRecorded", f"the recording does not hold {path}")
    if user is not None:
        recorded = base64.b64decode(yaml.safe_load(recorded)["users"][0]["user"]["client-certificate-data"]).decode()
    [certificate] = certificates(recorded)
    return {"public_key": public_key_of_certificate(certificate), "problem": None}


def control_plane(changed: Mapping[str, str | HostError | None] | None = None, **verbs: Any) -> FakeHost:
    """The recorded node, with some files changed (None removes one) and some verbs answered otherwise."""
    found = files()
    for path, content in (changed or {}).items():
        found.pop(path, None)
        if content is not None:
            found[path] = content
    answers: dict[str, Any] = {
        "identity": {"hostname": "cp1", "kernel": "6.18.0", "machine": "x86_64", "euid": 0},
        "now": NOW,
        "processes": processes(),
        "netlink": netlink,
        "cri": cri,
        "kube": kube,
        "tls": tls,
        "http": http,
        "dns": dns,
        "run": run,
        "public_key": public_key,
        "space": HostError("NotRecorded", "the recording does not hold the room on its disks"),
        "clock": HostError("NotRecorded", "the recording does not hold the kernel's clock"),
        "resolve": lambda name: {"addresses": [], "error": f"{name} does not exist"},
    }
    # kubeadm and the kubelet write what holds a key for root alone.
    private = [*KUBECONFIGS, CURRENT, *(path for path in found if path.endswith(".key"))]
    return FakeHost(found, modes=dict.fromkeys(private, 0o600), **{**answers, **verbs})
