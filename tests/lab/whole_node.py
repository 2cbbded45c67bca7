"""A whole node of a cluster in the lab: runtime, pods on a bridge, DNS in one of them, and an API server, all healthy.

    with LabNode("worker-1") as lab:
        node = WholeNode(lab)
        node.start()

What is real: the kernel's bridge, switches and rules, containerd with its plugins and sandboxes, the DNS server, TLS and HTTPS with certificates of the
node's own. The API server answers what a real one answered (tests/data), with this node's addresses. The kubelet is a process with a
kubelet's name and command line.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from tests.api_server import CONTROL_PLANE, kubeconfig
from tests.certificates import DAY, Issued, base64_pem, issue
from tests.lab.containerd import BRIDGE_NETWORK, PLUGINS, Containerd
from tests.lab.kube_proxy import ServicePort, restore
from tests.lab.node import DNSMASQ_SERVES, Outcome, wait_for
from tests.pki import CLIENT, kubeadm_pki
from tests.reports import concluded, differences, judged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.containerd import LabSandbox
    from tests.lab.node import Daemon, LabNode

REPOSITORY = Path(__file__).resolve().parents[2]
NODE = "192.0.2.10"
FAR = "192.0.2.1"
VERSION = "v1.28.15"
"""A release that goes with the runtime that is real here, Debian's containerd 1.6.20, and with cgroup v1."""

PAUSE = "registry.k8s.io/pause:3.9"
"""What kubeadm of that version wants; kubeadm's documentation has the runtime use the same."""

# What that version has other than the recorded one: versions, and fields that came later.
_OLDER = (
    ("v1.36.2", VERSION),
    ("pause:3.10.2", "pause:3.9"),
    ("coredns:v1.14.2", "coredns:v1.10.1"),
    ("kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3"),
    ("caCertificateValidityPeriod: 87600h0m0s\\ncertificateValidityPeriod: 8760h0m0s\\n", ""),
    ("encryptionAlgorithm: RSA-2048\\n", ""),
)
_LATER_FIELDS = ("crashLoopBackOff", "failCgroupV1", "imageMaximumGCAge")

IMAGES = (
    *(f"registry.k8s.io/kube-{name}:{VERSION}" for name in ("apiserver", "controller-manager", "scheduler", "proxy")),
    "registry.k8s.io/coredns/coredns:v1.10.1",
    PAUSE,
    "registry.k8s.io/etcd:3.5.15-0",
)
"""What `kubeadm config images list` of that version prints, and `kubeadm config images pull` gets."""

DNS_SERVICE = "10.96.0.10"
API_SERVICE = "10.96.0.1"
CACHE = "169.254.20.10"
"""Where NodeLocal DNSCache listens by Kubernetes' documentation."""
PODS = "10.244.0.0/16"
FAR_PODS, FAR_DNS = "10.244.1.0/24", "10.244.1.2"
DOMAIN = "cluster.local"
POD_DNS = {
    "servers": [DNS_SERVICE],
    "searches": [f"default.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN],
    "options": ["ndots:5"],
}
"""What the kubelet hands to the runtime for a pod with the policy ClusterFirst."""

NODE_DNS = {"servers": [FAR], "searches": [], "options": []}
"""What it hands over for a pod with the policy Default, such as CoreDNS's: the node's own."""

_BRIDGE = cast("list[dict[str, Any]]", BRIDGE_NETWORK["plugins"])[0]
FLANNEL: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": "cbr0",
    "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
FLANNEL_SUBNET = """\
FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.0.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
FLANNEL_PLUGIN = f"""\
#!/bin/sh
# What flannel's plugin does: it hands the plugin `bridge` what the subnet file says.
exec {PLUGINS}/bridge <<'EOF'
{json.dumps({**_BRIDGE, "cniVersion": "0.4.0", "name": "cbr0", "mtu": 1450, "ipMasq": False})}
EOF
"""

_KEPT = (
    "/etc/sysctl.d",
    "/etc/modules-load.d",
    "/etc/containerd",
    "/etc/kubernetes",
    "/var/lib/kubelet",
    "/root/.kube",
)

SYSCTLS = """\
net.bridge.bridge-nf-call-iptables  = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.ipv4.ip_forward                 = 1
"""
"""The file that Kubernetes' documentation of container runtimes had people write."""

_PROGRAM = f"""\
#!/bin/sh
case "$*" in
--version) echo Kubernetes {VERSION} ;;
"version -o short") echo {VERSION} ;;
"config images list --kubernetes-version {VERSION}") printf '%s\\n' {" ".join(IMAGES)} ;;
*) exit 1 ;;
esac
"""

_HEALTHY = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", 10248), Handler).serve_forever()
"""
# A process with this name and these arguments, for as long as the node lives, that says that it is well.
_KUBELET = (
    f"exec -a /usr/local/bin/kubelet python3 -c '{_HEALTHY}'"
    " --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
    " --config=/var/lib/kubelet/config.yaml"
)

_OPTION = "    - "
_ETCD_OPTIONS = "".join(
    f"{_OPTION}--etcd-{name}\n"
    for name in (
        "cafile=/etc/kubernetes/pki/etcd/ca.crt",
        "certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
        "keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
        "servers=https://127.0.0.1:2379",
    )
)
"""The API server's flags as kubeadm writes them for an etcd of the same machine; the recorded node had another."""

_ETCD = (
    *("--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379"),
    *("--listen-peer-urls=http://127.0.0.1:2380", "--cert-file=/etc/kubernetes/pki/etcd/server.crt"),
    *("--key-file=/etc/kubernetes/pki/etcd/server.key", "--client-cert-auth"),
    "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
)

# Its mark says that it has synchronised; the kernel's clock is the machine's, which nobody may keep.
_TIMESYNCD = (
    "mkdir -p /run/systemd/timesync; touch /run/systemd/timesync/synchronized; exec -a systemd-timesyncd sleep 1000000"
)

_KUBE_PROXY = "exec -a kube-proxy python3 -c 'import time; time.sleep(10**6)' --config=/var/lib/kube-proxy/config.conf"

SERVE_API = """
import sys, threading
from pathlib import Path
Path("/proc/self/comm").write_text("kube-apiserver")  # as `ss` and the doctor name it
repository, address, folder, *forbidden = sys.argv[1:]
sys.path.insert(0, repository)
from tests.api_server import api_server
from tests.certificates import Issued
folder = Path(folder)
leaf, ca = (Issued.load((folder / f"{name}.pem").read_text(), (folder / f"{name}.key").read_text()) for name in ("leaf", "ca"))
with api_server(folder, leaf=leaf, ca=ca, address=address, port=6443, answers=folder / "api", forbidden=forbidden or ["/none"]):
    threading.Event().wait()
"""


_SERVE_HEALTH = """
import ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


@dataclass
class WholeNode:
    """See the module. `network` is the pods' CNI configuration, `forbidden` are paths that the API server refuses to everybody.

    `endpoint` is the URL by which the kubelet reaches it (by default its own), `members` are the addresses of several API servers. With `paired` the
    far side is a second node, and the cluster's second DNS server runs there, behind a VXLAN tunnel as flannel makes it.
    """

    lab: LabNode
    role: Literal["worker", "control-plane"] = "worker"
    network: Mapping[str, Any] | None = None
    forbidden: Sequence[str] = ()
    endpoint: str | None = None
    members: Sequence[str] = ()
    paired: bool = False
    containerd: Containerd = field(init=False)
    dns: Daemon = field(init=False)
    cache: Daemon = field(init=False, repr=False)
    far_dns: Daemon = field(init=False, repr=False)  # of a paired node
    upstream: Daemon = field(init=False)
    kube_proxy: Daemon = field(init=False)
    kubelet: Daemon = field(init=False)
    etcd: Daemon = field(init=False, repr=False)  # of a control plane
    health: dict[str, Daemon] = field(default_factory=dict)
    apis: list[Daemon] = field(default_factory=list)
    server: LabSandbox = field(init=False)
    client: LabSandbox = field(init=False)

    @property
    def api_address(self) -> str:
        """Where the API server serves: here on a control plane, else on the far side."""
        return self.members[0] if self.members else NODE if self.role == "control-plane" else FAR

    @cached_property
    def ca(self) -> Issued:
        """The cluster's authority; the lab's clock is the machine's."""
        return issue("kubernetes", authority=True, start=time.time() - DAY, days=3650)

    def leaf(self, *more: str, ca: Issued | None = None, start: float | None = None) -> Issued:
        """An API server's certificate as kubeadm makes it, with more names."""
        dns = ["cp1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
        ips = [API_SERVICE, self.api_address, *self.members[1:], *(name for name in more if name[0].isdigit())]
        dns += [name for name in more if not name[0].isdigit()]
        begin = time.time() - DAY if start is None else start
        return issue("kube-apiserver", ca or self.ca, dns=dns, ips=ips, start=begin)

    # -- making it ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make all of it."""
        self.prepare()
        self._start_pods()
        if self.paired:
            self._pair()
        self._join()
        balancer = [urlsplit(self.endpoint).hostname or ""] if self.endpoint else []
        self.serve_api(*(self.leaf(*balancer) for _ in self.members or "1"))
        self.start_kubelet()
        self.start_kube_proxy()
        self.translate()
        self.keep()

    def start_kubelet(self) -> None:
        """Run it, and wait until it answers."""
        self.kubelet = self.lab.popen(["bash", "-c", _KUBELET])
        wait_for(lambda: "127.0.0.1:10248" in self.lab.run(["ss", "-Hltn"]).stdout, "the kubelet")

    def start_kube_proxy(self) -> None:
        """Run what has its name."""
        self.kube_proxy = self.lab.popen(["bash", "-c", _KUBE_PROXY])
        self.lab.await_process("kube-proxy")

    def prepare(self) -> None:
        """Make what Kubernetes' documentation wants before `kubeadm init` or `kubeadm join`: programs, switches, and a runtime."""
        lab = self.lab
        lab.write("/run/swaps", "Filename Type Size Used Priority\n")  # the kernel's swap is not the lab's own
        lab.run(["mount", "--bind", "/run/swaps", "/proc/swaps"])
        lab.popen(["bash", "-c", _TIMESYNCD])
        lab.write("/etc/os-release", (Path(__file__).parent / "data" / "os-release").read_text())
        for name in ("kubelet", "kubeadm"):
            lab.write(f"/usr/local/bin/{name}", _PROGRAM, mode=0o755)
        for name in ("crictl", "ebtables", "ethtool", "socat"):  # what kubeadm's packages bring along
            lab.write(f"/usr/local/bin/{name}", "#!/bin/sh\nexit 1\n", mode=0o755)
        lab.write("/etc/modules-load.d/k8s.conf", "overlay\nbr_netfilter\n")
        lab.write("/etc/sysctl.d/k8s.conf", SYSCTLS)
        lab.shell("sysctl -qp /etc/sysctl.d/k8s.conf")
        containerd = self.containerd = Containerd(lab, sandbox_image=PAUSE, pod_dns=POD_DNS)
        containerd.link_plugins()
        containerd.start()
        containerd.import_image(*IMAGES)

    def _start_pods(self) -> None:
        containerd = self.containerd
        if self.paired:
            self.lab.write(f"{PLUGINS}/flannel", FLANNEL_PLUGIN, mode=0o755)
            self.lab.write("/run/flannel/subnet.env", FLANNEL_SUBNET)
            containerd.write_network("10-flannel.conflist", FLANNEL)
        elif self.network is None:
            containerd.write_bridge_network()
        else:
            containerd.write_network("10-pods.conflist", self.network)
        wait_for(lambda: containerd.network_ready, "the network")
        self.client = containerd.run_pod("web-0")
        containerd.run_pod("web-1")
        usual, containerd.pod_dns = containerd.pod_dns, NODE_DNS
        self.server = containerd.run_pod("coredns-0", "kube-system", **{"k8s-app": "kube-dns"})
        containerd.pod_dns = usual
        self.serve_dns()
        self.serve_upstream()

    def serve_dns(self, *options: str) -> None:
        """Run a DNS server in its pod."""
        inside = ["nsenter", f"--net={self.server.netns}"]
        self.dns = self.lab.popen(
            [
                *(*inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
                *("--user=root", "--pid-file=", "--log-facility=-"),
                *(options or (f"--address=/kubernetes.default.svc.{DOMAIN}/{API_SERVICE}", f"--local=/{DOMAIN}/")),
            ]
        )
        wait_for(lambda: DNSMASQ_SERVES in self.dns.log, "the DNS server")

    def _pair(self) -> None:
        """Make the tunnel to the other node, and its DNS server."""
        # Only what that node's pods send goes through the tunnel: its own answers to pods do not.
        back = f"ip rule add from {FAR_PODS} lookup 100; ip route add 10.244.0.0/24 via 10.244.0.0 dev flannel.1 onlink table 100"
        for run, other, address, pods in (
            (self.lab.run, FAR, "10.244.0.0/32", f"ip route add {FAR_PODS} via 10.244.1.0 dev flannel.1 onlink"),
            (self.lab.far_run, NODE, "10.244.1.0/32", f"{back}; ip link add cni0 type bridge; ip link set cni0 up"),
        ):
            device = "eth0" if other == FAR else "node0"
            tunnel = f"ip link add flannel.1 type vxlan id 1 remote {other} dev {device} dstport 8472"
            run(["sh", "-ec", f"{tunnel}; ip addr add {address} dev flannel.1; ip link set flannel.1 up; {pods}"])
        # As flannel does: nobody is asked for a hardware address through the tunnel (`pkg/backend/vxlan/device.go`, AddARP).
        for run, their, peer in (
            (self.lab.run, self.lab.far_run, "10.244.1.0"),
            (self.lab.far_run, self.lab.run, "10.244.0.0"),
        ):
            mac = json.loads(their(["ip", "-json", "link", "show", "flannel.1"]).stdout)[0]["address"]
            run(["ip", "neighbour", "replace", peer, "lladdr", mac, "dev", "flannel.1", "nud", "permanent"])
        self.lab.far_run(["ip", "addr", "add", f"{FAR_DNS}/24", "dev", "cni0"])
        self.serve_far_dns()

    def heal_far(self) -> None:
        """Bring the other node back as it was."""
        lines = [
            "ip link set node0 mtu 1500; nft delete table inet fw 2>/dev/null || true",
            f"ip rule list | grep -q {FAR_PODS} || ip rule add from {FAR_PODS} lookup 100",
        ]
        self.lab.far_run(["bash", "-ec", "\n".join(lines)])
        if not self.far_dns.running:
            self.serve_far_dns()

    def serve_far_dns(self) -> None:
        """Run the DNS server of the other node."""
        words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
        names = [f"--address=/kubernetes.default.svc.{DOMAIN}/{API_SERVICE}", f"--local=/{DOMAIN}/"]
        self.far_dns = self.lab.popen(
            [*words, "--pid-file=", "--log-facility=-", f"--listen-address={FAR_DNS}", "--bind-interfaces", *names],
            far=True,
        )
        wait_for(lambda: DNSMASQ_SERVES in self.far_dns.log, "the other node's DNS server")

    def serve_cache(self, *, rules: bool = True) -> None:
        """Run a DNS cache on the node as NodeLocal DNSCache is run: its interface, its name, its rules."""
        self.lab.shell(
            f"ip link add nodelocaldns type bridge; ip addr add {CACHE}/32 dev nodelocaldns; ip link set nodelocaldns up"
        )
        words = "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= --log-facility=- --bind-interfaces"
        names = f"--listen-address={CACHE} --address=/{DOMAIN}/{API_SERVICE}"
        self.cache = self.lab.popen(["bash", "-c", f"exec -a /node-cache dnsmasq {words} {names}"])
        wait_for(lambda: DNSMASQ_SERVES in self.cache.log, "the cache")
        if rules:
            chains = "for chain in PREROUTING OUTPUT; do for each in udp tcp; do"
            exempt = f"iptables -w -t raw -A $chain -d {CACHE}/32 -p $each --dport 53 -j NOTRACK"
            self.lab.shell(f"{chains} {exempt}; done; done")

    def serve_upstream(self, *options: str) -> None:
        """Run the DNS server that the node's resolv.conf would name, by default one that knows each name to exist; it knows the way to pods."""
        self.lab.far_run(["ip", "route", "replace", PODS, "via", NODE])
        words = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
        ]
        self.upstream = self.lab.popen(
            [*words, f"--listen-address={FAR}", "--bind-interfaces", *(options or ["--address=/#/"])], far=True
        )
        wait_for(lambda: DNSMASQ_SERVES in self.upstream.log, "the upstream DNS server")

    def _join(self) -> None:
        lab, where = self.lab, self.endpoint or f"https://{self.api_address}:6443"
        cluster = {"server": where, "certificate-authority-data": base64_pem(self.ca)}
        mine = issue(
            f"system:node:{lab.name}", self.ca, start=time.time() - DAY, usages=CLIENT, groups=["system:nodes"]
        )
        client = "/var/lib/kubelet/pki/kubelet-client-current.pem"
        lab.write(client, mine.pem + mine.key_pem, mode=0o600)
        lab.write(
            "/etc/kubernetes/kubelet.conf",
            kubeconfig(cluster, {"client-certificate": client, "client-key": client}),
            mode=0o600,
        )
        lab.write("/etc/kubernetes/pki/ca.crt", self.ca.pem)
        lab.run(["mkdir", "-p", "/root/.kube"])
        lab.run(["mkdir", "-p", "/etc/kubernetes/manifests"])
        config = (CONTROL_PLANE / "var-lib-kubelet/config.yaml").read_text()
        later = [line for line in config.splitlines() if line.startswith(_LATER_FIELDS)]
        lab.write(
            "/var/lib/kubelet/config.yaml", "".join(f"{each}\n" for each in config.splitlines() if each not in later)
        )
        lab.write("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS=""\n')
        if self.role == "control-plane":
            self._rule(cluster)

    def _rule(self, cluster: Mapping[str, str]) -> None:
        """What a control plane has beyond a worker."""
        lab = self.lab
        begin = time.time() - DAY
        for name, user, groups in (
            ("admin", "kubernetes-admin", ["kubeadm:cluster-admins"]),
            ("super-admin", "kubernetes-super-admin", ["system:masters"]),
            ("controller-manager", "system:kube-controller-manager", []),
            ("scheduler", "system:kube-scheduler", []),
        ):
            one = issue(user, self.ca, start=begin, usages=CLIENT, groups=groups)
            shown = {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(one, key=True)}
            lab.write(f"/etc/kubernetes/{name}.conf", kubeconfig(cluster, shown), mode=0o600)
        lab.run(["install", "-D", "-m", "600", "/etc/kubernetes/admin.conf", "/root/.kube/config"])
        for path in sorted((CONTROL_PLANE / "etc-kubernetes/manifests").iterdir()):
            text = path.read_text().replace(f"{_OPTION}--etcd-servers=http://127.0.0.1:2379\n", _ETCD_OPTIONS)
            lab.write(f"/etc/kubernetes/manifests/{path.name}", self._ours(text), mode=0o600)
        self._issue_pki()
        self.start_etcd()
        self.serve_health()

    def _issue_pki(self) -> None:
        """The certificates and keys that the manifests name, and etcd; the API server's own come with `serve_api`."""
        for path, text in kubeadm_pki(self.ca, node=self.lab.name, address=NODE, start=time.time() - DAY).items():
            self.lab.write(path, text, mode=0o600 if path.endswith(".key") else 0o644)

    def start_etcd(self) -> None:
        """A real etcd of one member, with an authority of its own and TLS, as kubeadm's has."""
        lab = self.lab
        etcd = self.etcd = lab.popen(["etcd", "--name", lab.name, "--data-dir", "/var/lib/etcd", *_ETCD])
        wait_for(lambda: "ready to serve client requests" in etcd.log, "etcd")

    def serve_health(self) -> None:
        """What controller manager and scheduler say of themselves; like the real ones, with a certificate that nobody else signed."""
        own = issue("localhost", start=time.time() - DAY)
        self.lab.write("/etc/lab-health/own.pem", own.pem)
        self.lab.write("/etc/lab-health/own.key", own.key_pem, mode=0o600)
        files = ["/etc/lab-health/own.pem", "/etc/lab-health/own.key"]
        for name, port in (("kube-controller-manager", "10257"), ("kube-scheduler", "10259")):
            if name not in self.health or not self.health[name].running:
                words = ["bash", "-c", f'exec -a {name} python3 -c "$0" "$@"', _SERVE_HEALTH, *files, port]
                self.health[name] = self.lab.popen(words)

        def both_listen() -> bool:
            told = self.lab.run(["ss", "-Hltn"]).stdout
            return "127.0.0.1:10257 " in told and "127.0.0.1:10259 " in told

        wait_for(both_listen, "the components' health")

    def _ours(self, text: str) -> str:
        """Recorded text with this node's names and addresses."""
        for old, new in (
            ("10.27.53.32", self.api_address),
            ("10.244.0.2", self.server.ip),
            ("10.244.0.3", FAR_DNS if self.paired else self.server.ip),
            ("cp1", self.lab.name),
            *_OLDER,
        ):
            text = text.replace(old, new)
        return text

    def serve_api(self, *leaves: Issued) -> None:
        """Serve the API with these certificates, one for each member, instead of what served before."""
        for daemon in self.apis:
            daemon.stop()
        if self.role == "control-plane":
            self.lab.write("/etc/kubernetes/pki/apiserver.crt", leaves[0].pem)
            self.lab.write("/etc/kubernetes/pki/apiserver.key", leaves[0].key_pem, mode=0o600)
        addresses = self.members or (self.api_address,)
        self.apis = [self._serve(address, leaf) for address, leaf in zip(addresses, leaves, strict=True)]
        for address, daemon in zip(addresses, self.apis, strict=True):
            self._await(address, daemon)

    def _serve(self, address: str, leaf: Issued) -> Daemon:
        lab, folder = self.lab, f"/etc/lab-api/{address}"
        for name, one in (("leaf", leaf), ("ca", self.ca)):
            lab.write(f"{folder}/{name}.pem", one.pem)
            lab.write(f"{folder}/{name}.key", one.key_pem, mode=0o600)
        for path in sorted((CONTROL_PLANE / "api").iterdir()):
            lab.write(f"{folder}/api/{path.name}", self._ours(path.read_text()))
        words = [sys.executable, "-c", SERVE_API, str(REPOSITORY), address, folder, *self.forbidden]
        return lab.popen(words, far=self.role == "worker")

    def _await(self, address: str, daemon: Daemon) -> None:
        run = self.lab.far_run if self.role == "worker" else self.lab.run

        def serves() -> bool:
            assert daemon.running, daemon.log
            return f"{address}:6443" in run(["ss", "-Hltn"]).stdout

        wait_for(serves, "the API server")

    @property
    def rules(self) -> str:
        """What kube-proxy writes for the two services."""
        return self.rules_for(self.server.ip, *([FAR_DNS] if self.paired else []))

    def rules_for(self, *servers: str) -> str:
        """What it writes when these are the DNS servers that are ready."""
        ports = [
            ServicePort(f"kube-system/kube-dns:{name}", kind, DNS_SERVICE, port, [f"{each}:{port}" for each in servers])
            for name, kind, port in (("dns", "udp", 53), ("dns-tcp", "tcp", 53), ("metrics", "tcp", 9153))
        ]
        ports.append(ServicePort("default/kubernetes:https", "tcp", API_SERVICE, 443, (f"{self.api_address}:6443",)))
        return restore(ports, pods=PODS)

    def translate(self) -> None:
        """Write the rules of kube-proxy, instead of those that it wrote before."""
        self.lab.shell("iptables-save | grep -v KUBE- | iptables-restore -w")
        self.lab.run(["iptables-restore", "-w", "--noflush"], stdin=self.rules)

    # -- breaking and mending it -------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Remember the node's files, for `restore`."""
        self.lab.run(["mkdir", "-p", *_KEPT])
        self.lab.shell("rm -rf /run/kept; mkdir /run/kept; cp -a --parents " + " ".join(_KEPT) + " /run/kept")

    def restore(self) -> None:
        """Bring the node's files back, and nothing else."""
        self.lab.shell(
            "\n".join(f"find {folder} -mindepth 1 -delete; cp -a /run/kept{folder}/. {folder}/" for folder in _KEPT)
        )

    def paste(self, fix: Mapping[str, Any]) -> None:
        """Run a fix as root pastes it: commands, then what makes it last, in one shell."""
        lines = [*fix["commands"], *fix["persist"]]
        done = self.lab.shell("\n".join(lines), check=False)
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"

    def check(self, *arguments: str) -> Outcome:
        """`k8sdoctor check -o json` on the node, of which nothing may be broken."""
        outcome = self.lab.check(*arguments)
        assert outcome.out, outcome.err
        assert outcome.report["broken"] == [], outcome.report["broken"][0]["traceback"]
        return outcome

    def record(self, *arguments: str) -> tuple[Outcome, list[str]]:
        """`k8sdoctor record` on the node: its report, of which nothing may be broken, and in what that of the bundle differs, judged out here.

        With stand-ins for names and addresses, it is the conclusions that may not differ.
        """
        bundle, saved = (self.lab.root / "run" / f"k8sdoctor{suffix}" for suffix in (".tar.gz", ".json"))
        done = self.lab.doctor(
            "record", "-o", f"/run/{bundle.name}", "--force", "--report", f"/run/{saved.name}", *arguments
        )
        assert done.code == 0, done.err
        outcome = Outcome(done.code, saved.read_text(), done.err)
        assert outcome.report["broken"] == [], outcome.report["broken"][0]["traceback"]
        named = differences(outcome.report, judged(bundle))
        unnamed = concluded(outcome.report, judged(bundle, "--anonymize"))
        return outcome, [*named, *(f"anonymized {each}" for each in unnamed)]


def alarms(outcome: Outcome) -> set[str]:
    """All that is no pass and no skip, as `check/Reason (status)`."""
    return {
        f"{result['check']}/{finding['reason']} ({finding['status']})"
        for result in outcome.report["results"]
        for finding in result["findings"]
        if finding["status"] not in ("pass", "skip")
    }
