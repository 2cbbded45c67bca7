"""How a whole node is broken, one cause at a time, and what must be said of it: the table behind `make accuracy`.

A row's cause and symptoms are written down before the doctor sees it; what it then does otherwise stands in `KNOWN`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from tests.api_server import kubeconfig
from tests.certificates import DAY, Issued, base64_pem, issue
from tests.lab.containerd import NETWORKS, PLUGINS
from tests.lab.registry import NAME as REGISTRY
from tests.lab.registry import SILENT
from tests.lab.whole_node import CACHE, FAR, NODE, PAUSE, VERSION
from tests.pki import CLIENT, etcd_leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

Role = Literal["worker", "control-plane", "prepared", "mirrored", "paired"]
"""Which lab node: a node of a cluster, one before `kubeadm init`, a worker that has no image and pulls from a mirror, or one of two nodes of which
each has a DNS server."""


@dataclass(frozen=True)
class Scenario:
    """One way to break a node.

    `breaks` is shell, or does it by itself. `cause` is the `check/Reason` that must be named first, `symptoms` are those that must stand
    under it; whatever else alarms is false. `heals` is shell for what `Ward.heal` does not know of. `options` are the doctor's.
    `mends` is true where a test pastes the fix and sees the alarm go. `blinds` are areas of which nothing can be said while this lasts.
    """

    area: str
    name: str
    breaks: str | Callable[[WholeNode], None]
    cause: str
    symptoms: tuple[str, ...] = ()
    role: Role = "worker"
    status: str = "fail"
    heals: str = ""
    options: tuple[str, ...] = ()
    mends: bool = False
    blinds: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    """Symptoms that are there or not, as it happens: a runtime sees a change of its folder when it sees it."""
    takes: tuple[str, ...] = ()
    """Causes that would rightly be taken for its symptoms: whoever ended the one may have ended the other."""


ASTRAY = "dns-reply-source/UnexpectedSource"
NO_REPLY = "dns-reply-source/NoReply"
NO_UPSTREAM = "coredns/UpstreamSilent"
TCP_ONLY = "dns-reply-source/TcpOnly"
SILENT_BACKEND = "dns-reply-source/BackendSilent"

# Pods remember for ten minutes what they were told of a path's MTU.
_WIDEN = "ip link set eth0 mtu 1500; ip link set flannel.1 mtu 1450; for each in $(ls /run/netns); do ip -n $each route flush cache; done"

CNI = f"{NETWORKS}/10-bridge.conflist"
MANIFESTS = "/etc/kubernetes/manifests"
KUBELET = "/var/lib/kubelet/config.yaml"
KUBELET_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
API = "/etc/lab-api"
"""What the API server answers lies there, a file for each kind."""

_POD = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
        "spec": {"containers": [{"name": "kube-scheduler", "image": PAUSE, "command": ["kube-scheduler"]}]},
    }
)

RULES = "/run/kube-proxy.rules"


# -- ways to break that are more than a line of shell ------------------------------------------------------------------


def _serve_dns(*options: str) -> Callable[[WholeNode], None]:
    """Another DNS server in the place of the one that is right."""

    def breaks(node: WholeNode) -> None:
        node.dns.stop()
        node.serve_dns(*options)

    return breaks


def _listen(port: int) -> str:
    """Somebody holds a TCP port."""
    program = f'import socket, time; s = socket.create_server(("127.0.0.1", {port})); time.sleep(10**6)'
    return (
        f"(exec -a squatter python3 -c '{program}' >/dev/null 2>&1 & echo $! >/run/squatter)\n"
        f"until ss -Hltn | grep -q '127.0.0.1:{port} '; do sleep 0.02; done"
    )


_UNLISTEN = "kill $(cat /run/squatter)"

_ASK_ONCE = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 40053)); s.sendto(bytes(12), ('10.96.0.10', 53))"


def _hold_a_client(node: WholeNode) -> None:
    """Have a pod's client tracked at a backend, and take that backend away."""
    node.lab.shell("iptables-save | sed '/DNAT.*:53$/s/10[.]244[.]0[.][0-9]*/10.244.9.99/' | iptables-restore")
    node.lab.run(["nsenter", f"--net={node.client.netns}", sys.executable, "-c", _ASK_ONCE])
    node.translate()


def _answers(kind: str, change: Callable[[dict[str, Any]], None]) -> Callable[[WholeNode], None]:
    """Have the API server answer otherwise, for each object of a kind."""

    def breaks(node: WholeNode) -> None:
        for path in node.lab.shell(f"ls {API}/*/api/{kind}.json").stdout.split():
            told = json.loads(node.lab.read(path))
            for item in told["items"]:
                change(item)
            node.lab.write(path, json.dumps(told))

    return breaks


def _unready(endpoints: dict[str, Any]) -> None:
    if endpoints["metadata"]["namespace"] == "kube-system":
        for each in endpoints["endpoints"]:
            each["conditions"] = {"ready": False, "serving": False, "terminating": False}


def _torn(*rules: str) -> Callable[[WholeNode], None]:
    """Rules where the node's own do not show them: in the network of the DNS server's pod."""

    def breaks(node: WholeNode) -> None:
        table = (
            "table inet torn { set seen { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 10s; } ; "
            f"chain input {{ type filter hook input priority 0; {'; '.join(rules)} ; }} ; }}"
        )
        node.lab.run(["nsenter", f"--net={node.server.netns}", "nft", table])

    return breaks


def _far(*commands: str) -> Callable[[WholeNode], None]:
    """Shell on the other node, then (after a line `--`) on this one."""

    def breaks(node: WholeNode) -> None:
        far, _, here = "\n".join(commands).partition("\n--\n")
        node.lab.far_run(["bash", "-ec", far])
        node.lab.shell(here or ":")

    return breaks


_UNTEAR = "for each in /run/netns/*; do nsenter --net=$each nft delete table inet torn 2>/dev/null || true; done"


def _upstream_refuses(node: WholeNode) -> None:
    node.upstream.stop()
    node.serve_upstream("--log-facility=-")


def _take_backends(node: WholeNode) -> None:
    """Let no DNS server be ready: the API server says so, and kube-proxy refuses what is sent to the service."""
    _answers("endpointslices.discovery.k8s.io", _unready)(node)
    _take_rules(node)


def _take_rules(node: WholeNode) -> None:
    """Have kube-proxy know of no DNS server, so that it refuses what is sent to the service."""
    node.lab.shell("iptables-save | grep -v KUBE- | iptables-restore -w")
    node.lab.run(["iptables-restore", "-w", "--noflush"], stdin=node.rules_for())


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


def _unlabel(node: dict[str, Any]) -> None:
    node["metadata"]["labels"].pop("node-role.kubernetes.io/control-plane", None)


def _stop(*programs: str) -> Callable[[WholeNode], None]:
    """End daemons of the node's by the names of its fields."""

    def breaks(node: WholeNode) -> None:
        for program in programs:
            if program == "api":
                for daemon in node.apis:
                    daemon.stop()
            elif program == "containerd":
                node.containerd.stop()
            elif program.startswith("kube-") and program != "kube-proxy":
                node.health[program].stop()
            else:
                getattr(node, program.replace("-", "_")).stop()

    return breaks


def _break_manifest(node: WholeNode) -> None:
    """What the kubelet does with a manifest that is no YAML any more: it ends the pod."""
    node.lab.shell(f"sed -i '1s/^/[/' {MANIFESTS}/kube-apiserver.yaml")
    _stop("api")(node)


def _serve(leaf: Callable[[WholeNode], Issued]) -> Callable[[WholeNode], None]:
    """An API server that shows another certificate."""

    def breaks(node: WholeNode) -> None:
        node.serve_api(leaf(node))

    return breaks


def _expired_leaf(node: WholeNode) -> Issued:
    return node.leaf(start=time.time() - 400 * DAY)


def _elsewhere_leaf(node: WholeNode) -> Issued:
    """One made for other addresses."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return issue("kube-apiserver", node.ca, dns=names, ips=["10.96.0.1", "198.51.100.7"], start=time.time() - DAY)


def _foreign_leaf(node: WholeNode) -> Issued:
    """One of a cluster that was made anew."""
    return node.leaf(ca=issue("kubernetes", authority=True, start=time.time() - DAY))


def _kubelet_certificate(
    node: WholeNode, *, name: str = "", start: float | None = None, ca: Issued | None = None
) -> None:
    """Give the kubelet another certificate of its own."""
    began = time.time() - DAY if start is None else start
    user = f"system:node:{name or node.lab.name}"
    one = issue(user, ca or node.ca, start=began, usages=CLIENT, groups=["system:nodes"])
    node.lab.write(KUBELET_CERTIFICATE, one.pem + one.key_pem, mode=0o600)


def _end_kubelet_certificate(node: WholeNode) -> None:
    _kubelet_certificate(node, start=time.time() - 400 * DAY)


def _other_kubelet_certificate(node: WholeNode) -> None:
    _kubelet_certificate(node, name="worker-7")


def _trust_others(node: WholeNode) -> None:
    """A kubelet.conf of a cluster that was there before."""
    cluster = {
        "server": f"https://{FAR}:6443",
        "certificate-authority-data": base64_pem(issue("kubernetes", authority=True, start=time.time() - DAY)),
    }
    user = {"client-certificate": KUBELET_CERTIFICATE, "client-key": KUBELET_CERTIFICATE}
    node.lab.write("/etc/kubernetes/kubelet.conf", kubeconfig(cluster, user), mode=0o600)


def _person(node: WholeNode, path: str, user: str, *groups: str, start: float | None = None) -> None:
    one = issue(user, node.ca, start=time.time() - DAY if start is None else start, usages=CLIENT, groups=list(groups))
    cluster = {"server": f"https://{NODE}:6443", "certificate-authority-data": base64_pem(node.ca)}
    shown = {"client-certificate-data": base64_pem(one), "client-key-data": base64_pem(one, key=True)}
    node.lab.write(path, kubeconfig(cluster, shown), mode=0o600)


def _age(node: WholeNode) -> None:
    """A cluster whose certificates nobody renewed for more than a year, so that all ended on one day."""
    began = time.time() - 400 * DAY
    folder = "/etc/kubernetes/pki"
    for name, user, authority in (
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "ca"),
        ("front-proxy-client", "front-proxy-client", "front-proxy-ca"),
    ):  # the authorities themselves live for ten years
        ca = Issued.load(*(node.lab.read(f"{folder}/{authority}.{kind}") for kind in ("crt", "key")))
        one = issue(user, ca, start=began, usages=CLIENT)
        node.lab.write(f"{folder}/{name}.crt", one.pem)
        node.lab.write(f"{folder}/{name}.key", one.key_pem, mode=0o600)
    for name, user, *groups in (
        ("admin", "kubernetes-admin", "kubeadm:cluster-admins"),
        ("super-admin", "kubernetes-super-admin", "system:masters"),
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
    ):
        _person(node, f"/etc/kubernetes/{name}.conf", user, *groups, start=began)
    node.lab.run(["install", "-m", "600", "/etc/kubernetes/admin.conf", "/root/.kube/config"])
    _kubelet_certificate(node, start=began)
    node.serve_api(_expired_leaf(node))


def _end_authority(node: WholeNode) -> None:
    """An authority that ended yesterday, after ten years; what it signed is of this year."""
    lab, before, after = node.lab, base64_pem(node.ca), 3651 * DAY
    old = issue("kubernetes", authority=True, start=time.time() - after, days=3650, of=node.ca)
    lab.write("/etc/kubernetes/pki/ca.crt", old.pem)
    for path in lab.shell("find /etc/kubernetes /root/.kube -name '*.conf' -o -name config").stdout.split():
        lab.write(path, lab.read(path).replace(before, base64_pem(old)), mode=0o600)


def _fill_images(node: WholeNode) -> None:
    """A file system of the images that is full, of which the kubelet tells the cluster."""
    used = int(node.lab.shell("df -k --output=used /var/lib/containerd | tail -n 1").stdout)
    node.lab.shell(f"mount -o remount,size={used + 1024}k /var/lib/containerd")
    _answers("nodes", _press_disk)(node)


_EXTERNAL = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: {version}
networking: {{podSubnet: 10.244.0.0/16}}
etcd: {{external: {{endpoints: ["http://{far}:2379"]}}}}
"""


def _plan_external_etcd(node: WholeNode) -> None:
    node.lab.write("/run/kubeadm.yaml", _EXTERNAL.format(version=VERSION, far=FAR))


def _mirror(url: str, extra: str = "") -> Callable[[WholeNode], None]:
    """Let the runtime ask this mirror alone."""
    text = f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  {extra}\n'

    def breaks(node: WholeNode) -> None:
        node.lab.write("/etc/containerd/certs.d/registry.k8s.io/hosts.toml", text)

    return breaks


def _cache(*broken: str, told: bool = True, rules: bool = True) -> Callable[[WholeNode], None]:
    """A DNS cache on the node of which pods are told, and then shell that breaks it."""

    def breaks(node: WholeNode) -> None:
        node.serve_cache(rules=rules)
        if told:
            node.lab.shell(f"sed -i 's/10.96.0.10$/{CACHE}/' {KUBELET}")
        node.lab.shell("\n".join(broken) or ":")

    return breaks


def _cache_by_tcp(node: WholeNode) -> None:
    """A cache that asks the cluster's servers by TCP alone, as Kubernetes' manifest has it, and a rule that drops that."""
    _cache("iptables -w -I OUTPUT -p tcp -d 10.244.0.0/16 --dport 53 -j DROP")(node)
    for path in node.lab.shell(f"ls {API}/*/api/configmaps.json").stdout.split():
        told = json.loads(node.lab.read(path))
        metadata = {"name": "node-local-dns", "namespace": "kube-system"}
        text = "cluster.local:53 {\n    forward . __PILLAR__CLUSTER__DNS__ {\n        force_tcp\n    }\n}\n"
        told["items"].append({"metadata": metadata, "data": {"Corefile": text}})
        node.lab.write(path, json.dumps(told))


_END_CACHE = f"""\
ss -Hlntp 'src {CACHE}:53' | grep -o 'pid=[0-9]*' | sort -u | sed 's/pid=//' | xargs -r kill
while ss -Hlnt 'src {CACHE}:53' | grep -q .; do sleep 0.02; done"""
_UNCACHE = f"{_END_CACHE}\nip link del nodelocaldns"


def _etcd_of_others(node: WholeNode) -> None:
    """A certificate for etcd that an authority signed which was there before."""
    folder = "/etc/kubernetes/pki/etcd"
    ca = issue("etcd-ca", authority=True, start=time.time() - DAY, days=3650)
    one = etcd_leaf(ca, node.lab.name, NODE, start=time.time() - DAY)
    node.lab.write(f"{folder}/server.crt", one.pem)
    node.lab.write(f"{folder}/server.key", one.key_pem, mode=0o600)


# -- the table ---------------------------------------------------------------------------------------------------------

_DNS = partial(Scenario, "DNS")
_PAIR = partial(Scenario, "between nodes", role="paired")
_NETWORK = partial(Scenario, "pod network")
_IMAGES = partial(Scenario, "images")
_KUBELET = partial(Scenario, "kubelet and runtime")
_CERTIFICATES = partial(Scenario, "certificates")
_CONTROL = partial(Scenario, "control plane")
_BEFORE = partial(Scenario, "before init", role="prepared", options=("--profile", "init"))

_STARTED = ("kube-proxy/NotRunning", "control-plane/ComponentDown")
"""What a kubelet starts again where it can."""

SCENARIOS = (
    # -- DNS and what leads there
    _DNS(
        "the bridge's switch is off",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        "br-netfilter/BridgeNfCallOff",
        (ASTRAY,),
        mends=True,
    ),
    _DNS(
        "the bridge's switch is off, now and at boot",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0; sed -i '/iptables/s/1/0/' /etc/sysctl.d/k8s.conf",
        "br-netfilter/BridgeNfCallOff",
        (ASTRAY,),
        mends=True,
    ),
    _DNS(
        "a later file turns the bridge's switch off at boot",
        "echo net.bridge.bridge-nf-call-iptables=0 > /etc/sysctl.d/zz-hardening.conf",
        "br-netfilter/PersistedOff",
        status="warn",
        mends=True,
    ),
    _DNS(
        "a package's file that sorts later turns forwarding off at boot",
        "echo net/ipv4/ip_forward=0 > /usr/lib/sysctl.d/zz-vendor.conf",
        "ip-forward/PersistedOff",
        status="warn",
        mends=True,
    ),
    _DNS(
        "nothing turns forwarding on at boot",
        "rm /etc/sysctl.d/k8s.conf",
        "ip-forward/NotPersistent",
        status="warn",
        mends=True,
    ),
    _DNS(
        "forwarding is off",
        "sysctl -qw net.ipv4.ip_forward=0",
        "ip-forward/ForwardingOff",
        (NO_UPSTREAM, NO_REPLY),
        mends=True,
    ),
    _DNS(
        "forwarding is off for the bridge",
        "sysctl -qw net.ipv4.conf.cni0.forwarding=0",
        "ip-forward/InterfaceForwardingOff",
        (NO_UPSTREAM, NO_REPLY),
        mends=True,
    ),
    _DNS(
        "forwarding is off for the uplink",
        "sysctl -qw net.ipv4.conf.eth0.forwarding=0",
        "ip-forward/InterfaceForwardingOff",
        (NO_UPSTREAM,),
        mends=True,
    ),
    _DNS(
        "nothing translates service addresses",
        "iptables-save | grep -v KUBE- | iptables-restore",
        "kube-proxy/NoRules",
        ("apiserver-san/EndpointUnreachable", NO_REPLY),
        mends=True,
    ),
    _DNS(
        "the rules lead to a DNS server that is gone",
        "iptables-save | sed '/DNAT.*:53$/s/10[.]244[.]0[.][0-9]*/10.244.9.99/' | iptables-restore",
        "kube-proxy/StaleBackend",
        ("conntrack/StaleEntry", NO_REPLY),
        mends=True,
    ),
    _DNS(
        "kube-proxy still refuses what the DNS service has backends for",
        _take_rules,
        "kube-proxy/StaleReject",
        (NO_REPLY,),
    ),
    _DNS(
        "rules of an earlier kube-proxy lie in the other variant of iptables",
        "iptables-legacy -t nat -N KUBE-SERVICES",
        "kube-proxy/MixedIptables",
        status="warn",
        heals="iptables-legacy -t nat -F; iptables-legacy -t nat -X",
        mends=True,
    ),
    _DNS("kube-proxy ended", _stop("kube-proxy"), "kube-proxy/NotRunning"),
    _DNS(
        "a client is held at a DNS server that is gone",
        _hold_a_client,
        "conntrack/StaleEntry",
        status="warn",
        heals="conntrack -D -p udp --orig-port-src 40053 2>/dev/null || true",
    ),
    _DNS("the DNS server died in its pod", _stop("dns"), NO_REPLY),
    _DNS("the DNS server refuses", _serve_dns("--log-facility=-"), "dns-reply-source/RefusedQuery"),
    _DNS(
        "the DNS server does not know the cluster's names",
        _serve_dns("--local=/cluster.local/"),
        "dns-reply-source/NameNotFound",
        status="warn",
    ),
    _DNS(
        "UDP 53 is dropped on the way",
        "iptables -I FORWARD -p udp --dport 53 -j DROP",
        "dns-path/Blocked",
        (TCP_ONLY,),
    ),
    _DNS(
        "TCP 53 is dropped on the way",
        "iptables -I FORWARD -p tcp --dport 53 -j DROP",
        "dns-path/Blocked",
        ("dns-reply-source/UdpOnly",),
    ),
    _DNS(
        "the FORWARD chain drops what pods send, as Docker sets it",
        "iptables -w -P FORWARD DROP",
        "dns-path/ForwardPolicyDrop",
        (NO_UPSTREAM, NO_REPLY),
        mends=True,
    ),
    _DNS(
        "a firewall drops DNS over UDP",
        "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; }'; "
        "nft add rule inet fw forward iifname cni0 udp dport 53 counter drop",
        "dns-path/Blocked",
        (TCP_ONLY,),
        mends=True,
    ),
    _DNS(
        "a rule exempts DNS replies from connection tracking",
        "iptables -w -t raw -A PREROUTING -p udp --sport 53 -j CT --notrack",
        "dns-path/RepliesUntracked",
        (ASTRAY,),
        mends=True,
    ),
    _DNS(
        "a rule exempts DNS queries from connection tracking",
        "iptables -t raw -A PREROUTING -p udp --dport 53 -j NOTRACK",
        "dns-path/RepliesUntracked",
        (TCP_ONLY,),
        mends=True,
    ),
    _DNS(
        "one of two queries from one port is lost beside the DNS server",
        _torn("udp dport 53 ip saddr . udp sport @seen drop", "udp dport 53 add @seen { ip saddr . udp sport }"),
        "dns-path/PairLost",
        heals=_UNTEAR,
    ),
    _DNS(
        "queries for AAAA are lost beside the DNS server",
        # The type stands behind 8 bytes of UDP, 12 of DNS's header and 38 of this name.
        _torn("udp dport 53 @th,464,16 28 drop"),
        "dns-path/TypeUnanswered",
        heals=_UNTEAR,
    ),
    _DNS(
        "the DNS cache on the node wrote no rules",
        _cache(rules=False),
        "nodelocal-dns/RulesMissing",
        status="warn",
        heals=_UNCACHE,
    ),
    _DNS(
        "pods are not told of the DNS cache on the node",
        _cache(told=False),
        "nodelocal-dns/Bypassed",
        status="warn",
        heals=_UNCACHE,
    ),
    _DNS(
        "the DNS cache on the node ended", _cache(_END_CACHE), "nodelocal-dns/NotListening", (NO_REPLY,), heals=_UNCACHE
    ),
    _DNS(
        "the DNS cache asks by TCP alone, and a rule drops that",
        _cache_by_tcp,
        "nodelocal-dns/TcpBlocked",
        heals=_UNCACHE,
    ),
    _DNS(
        "a network policy lets pods ask no DNS server",
        "iptables -w -N cali-fw-web; iptables -w -A cali-fw-web -m comment --comment 'Drop if no policies passed packet' -j DROP\n"
        "for each in udp tcp; do iptables -w -I FORWARD -p $each -s 10.244.0.0/16 -d 10.244.0.0/16 --dport 53 -j cali-fw-web; done",
        "dns-path/PolicyBlocks",
        (NO_REPLY,),
    ),
    _PAIR("the DNS server of the other node died", _stop("far_dns"), SILENT_BACKEND),
    _PAIR(
        "a rule drops what the tunnel sends",
        "iptables -w -A OUTPUT -p udp --dport 8472 -j DROP",
        "dns-path/OverlayBlocked",
        (SILENT_BACKEND,),
        mends=True,
    ),
    _PAIR(
        "the tunnel's packets are too long for the network below",
        _far("ip link set node0 mtu 1400", "--", "ip link set eth0 mtu 1400"),
        "dns-path/MtuTooBig",
        status="warn",
        heals=_WIDEN,
        mends=True,
    ),
    _PAIR(
        "the tunnel's packets are too long for the network below, which drops the pieces",
        _far(
            "ip link set node0 mtu 1400",
            "nft 'table inet fw { chain first { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 drop ; } ; }'",
            "--",
            "ip link set eth0 mtu 1400",
        ),
        "dns-path/MtuTooBig",
        heals=_WIDEN,
        mends=True,
    ),
    _PAIR(
        "something between the nodes drops long packets",
        _far(
            "nft 'table inet fw { chain first { type filter hook prerouting priority -450; udp dport 8472 meta length > 1300 drop ; } ; }'"
        ),
        "dns-path/LongMessagesLost",
    ),
    _PAIR(
        "replies from the other node come by another interface than the reverse path filter wants",
        _far("ip rule del from 10.244.1.0/24 lookup 100", "--", "sysctl -qw net.ipv4.conf.eth0.rp_filter=1"),
        "dns-path/ReversePathFilter",
        (SILENT_BACKEND,),
        heals="sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
        mends=True,
    ),
    _DNS("the upstream DNS server is silent", _stop("upstream"), NO_UPSTREAM),
    _DNS("the upstream DNS server refuses", _upstream_refuses, "coredns/UpstreamRefuses", status="warn"),
    _DNS(
        "CoreDNS forwards to a stub resolver",
        f"sed -i 's,forward [.] /etc/resolv.conf,forward . 127.0.0.53,' {API}/*/api/configmaps.json",
        "coredns/Looping",
        status="warn",
    ),
    _DNS(
        "the Corefile serves one zone twice",
        f"sed -i 's,[.]:53 {{,.:53 {{\\\\n    whoami\\\\n}}\\\\n.:53 {{,' {API}/*/api/configmaps.json",
        "coredns/DuplicateZone",
        status="warn",
    ),
    _DNS(
        "the kubelet names an address that is no DNS service's",
        f"sed -i s/10.96.0.10/10.96.0.11/ {KUBELET}",
        "pod-resolv-conf/WrongClusterDns",
        (NO_REPLY,),
    ),
    _DNS("the DNS service has no server that is ready", _take_backends, "dns-reply-source/NoBackends"),
    _DNS(
        "pods are handed a resolver on loopback",
        f"echo nameserver 127.0.0.53 > /etc/resolv.conf; echo resolvConf: /etc/resolv.conf >> {KUBELET}",
        "kubelet/ResolvConfLoopback",
        status="warn",
        heals=": > /etc/resolv.conf",
    ),
    # -- the pod network
    _NETWORK("a plugin is missing", f"rm {PLUGINS}/bridge", "cni-config/PluginMissing", mends=True),
    _NETWORK("the plugin of addresses is missing", f"rm {PLUGINS}/host-local", "cni-config/PluginMissing", mends=True),
    _NETWORK(
        "a plugin may not be run",
        f"rm {PLUGINS}/portmap; install -m 644 /usr/lib/cni/portmap {PLUGINS}/portmap",
        "cni-config/PluginNotExecutable",
        mends=True,
    ),
    _NETWORK(
        "a second network is never used",
        f"sed s/cbr0/other/ {CNI} > {NETWORKS}/99-other.conflist",
        "cni-config/ConfigShadowed",
        status="warn",
        mends=True,
    ),
    _NETWORK(
        "a version that no plugin knows",
        f"sed -i 's/0[.]4[.]0/9.9.9/' {CNI}",
        "cni-config/VersionUnsupported",
        mends=True,
    ),
    _NETWORK(
        "a network that was moved in from elsewhere, which the runtime does not notice",
        "seen() { grep -c 'no network config found' /var/log/containerd.log || true; }; before=$(seen)\n"
        f"mv {CNI} /etc/cni/aside; until [ $(seen) -gt $before ]; do sleep 0.02; done; mv /etc/cni/aside {CNI}",
        "cni-config/StaleLoad",
        ("node-ready/NetworkNotReady",),
        mends=True,
    ),
    _NETWORK(
        "the folder was made again behind the runtime's back",
        f"mv {NETWORKS} /etc/cni/old; mkdir {NETWORKS}; cp /etc/cni/old/* {NETWORKS}/",
        "cni-config/StaleLoad",
        heals="systemctl restart containerd",
        mends=True,
        sometimes=("node-ready/NetworkNotReady",),
    ),
    _NETWORK("the network's file is gone", f"rm {CNI}", "cni-config/NoConfig", ("node-ready/NetworkNotReady",)),
    _NETWORK(
        "the network's file is no JSON",
        f"sed -i '1s/{{/{{,/' {CNI}",
        "cni-config/ConfigInvalid",
        ("node-ready/NetworkNotReady",),
    ),
    _NETWORK(
        "docker took the pods' addresses",
        "ip link add docker0 type bridge; ip address add 10.244.7.1/24 dev docker0",
        "subnets/SubnetInUse",
        heals="ip link delete docker0",
    ),
    # -- images, of a worker that has none and a mirror
    _IMAGES(
        "the mirror forbids",
        _mirror(f"http://{REGISTRY}:5003"),
        "pause-image/RegistryForbidden",
        ("images/RegistryForbidden",),
        role="mirrored",
    ),
    _IMAGES(
        "a login page answers in the mirror's place",
        _mirror(f"http://{REGISTRY}:5004"),
        "pause-image/NotARegistry",
        ("images/NotARegistry",),
        role="mirrored",
    ),
    _IMAGES(
        "nobody serves at the mirror's port",
        _mirror(f"http://{REGISTRY}:5999"),
        "pause-image/RegistryUnreachable",
        ("images/RegistryUnreachable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror takes packets and is silent",
        _mirror(f"http://{SILENT}:5000"),
        "pause-image/RegistryUnreachable",
        ("images/RegistryUnreachable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror speaks HTTP and is asked for HTTPS",
        _mirror(f"https://{REGISTRY}:5001"),
        "pause-image/PlainHttpRegistry",
        ("images/PlainHttpRegistry",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's authority is a file that is not there",
        _mirror(f"https://{REGISTRY}:5002", 'ca = "/etc/lab-ca/missing.crt"'),
        "pause-image/CaUnreadable",
        ("images/CaUnreadable",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's authority is not known",
        _mirror(f"https://{REGISTRY}:5002"),
        "pause-image/CertificateUntrusted",
        ("images/CertificateUntrusted",),
        role="mirrored",
    ),
    _IMAGES(
        "the mirror's name is not resolved",
        _mirror("http://mirror.example.test:5001"),
        "pause-image/NameNotResolved",
        ("images/NameNotResolved",),
        role="mirrored",
    ),
    _IMAGES(
        "the cluster still names a registry that was frozen",
        f"sed -i s,registry.k8s.io,k8s.gcr.io, {API}/*/api/configmaps.json",
        "image-registries/RegistryFrozen",
        status="warn",
    ),
    # -- kubelet and runtime
    _KUBELET("the kubelet ended", _stop("kubelet"), "node-ready/KubeletStopped", takes=_STARTED),
    _KUBELET(
        "the runtime ended",
        _stop("containerd"),
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
    _KUBELET("somebody holds the kubelet's port", _listen(10250), "ports/PortTaken", heals=_UNLISTEN),
    _KUBELET("somebody cordoned the node", _answers("nodes", _cordon), "node-ready/Cordoned", status="warn"),
    _KUBELET("the kubelet runs short of disk", _answers("nodes", _press_disk), "node-ready/DiskPressure"),
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
    # -- certificates and kubeconfigs
    _CERTIFICATES(
        "the API server's certificate is for other addresses",
        _serve(_elsewhere_leaf),
        "apiserver-san/AddressNotCovered",
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the API server's certificate ended",
        _serve(_expired_leaf),
        "apiserver-san/CertificateExpired",
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the API server is of another cluster",
        _serve(_foreign_leaf),
        "apiserver-san/UntrustedIssuer",
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the API server does not listen",
        _stop("api"),
        "apiserver-san/EndpointUnreachable",
        ("node-ready/NodeUnread",),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the name of the API server is not resolved",
        f"sed -i s,https://{FAR}:,https://api.example.test:, /etc/kubernetes/kubelet.conf",
        "apiserver-san/NameNotResolved",
        ("node-ready/NodeUnread",),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the kubelet's certificate ended",
        _end_kubelet_certificate,
        "kubeconfig/ClientCertificateExpired",
        ("node-ready/NodeUnread",),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the kubelet's certificate is another node's",
        _other_kubelet_certificate,
        "kubeconfig/OtherNode",
        blinds=("kubelet and runtime",),  # which looks at the Node that the certificate names
    ),
    _CERTIFICATES(
        "the kubelet's key is another certificate's",
        f"(openssl x509 -in {KUBELET_CERTIFICATE}; openssl ecparam -name prime256v1 -genkey -noout) > /run/other.pem;"
        f" cat /run/other.pem > {KUBELET_CERTIFICATE}",
        "kubeconfig/KeyMismatch",
        ("node-ready/NodeUnread",),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "the kubelet's certificate is gone",
        f"rm {KUBELET_CERTIFICATE}",
        "kubeconfig/ClientCertificateMissing",
        ("node-ready/NodeUnread",),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "kubelet.conf is of a cluster that was there before",
        _trust_others,
        "kubeconfig/OtherAuthority",
        ("apiserver-san/UntrustedIssuer", "node-ready/NodeUnread"),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "kubelet.conf is no YAML",
        "sed -i '1s/^/[/' /etc/kubernetes/kubelet.conf",
        "kubeconfig/KubeconfigInvalid",
        ("apiserver-san/KubeconfigInvalid", "node-ready/NodeUnread"),
        blinds=("DNS", "kubelet and runtime", "pod network", "images"),
    ),
    _CERTIFICATES(
        "nobody renewed a cluster's certificates for a year",
        _age,
        "apiserver-san/CertificateExpired",
        ("certificates/CertificateExpired", "kubeconfig/ClientCertificateExpired"),
        role="control-plane",
        blinds=("DNS", "kubelet and runtime", "pod network", "images", "control plane"),
    ),
    _CERTIFICATES(
        "the cluster's authority ended after ten years",
        _end_authority,
        "certificates/CertificateExpired",
        ("apiserver-san/CertificateExpired",),
        role="control-plane",
        blinds=("DNS", "kubelet and runtime", "pod network", "images", "control plane"),
    ),
    _CERTIFICATES(
        "root's kubeconfig ended",
        lambda node: _person(
            node, "/root/.kube/config", "kubernetes-admin", "kubeadm:cluster-admins", start=time.time() - 400 * DAY
        ),
        "kubeconfig/ClientCertificateExpired",
        role="control-plane",
        status="warn",
    ),
    _CERTIFICATES(
        "the scheduler shows the controller manager's certificate",
        "cp -p /etc/kubernetes/controller-manager.conf /etc/kubernetes/scheduler.conf",
        "kubeconfig/WrongIdentity",
        role="control-plane",
    ),
    _CERTIFICATES(
        "the key of service accounts is not the public one's half",
        "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out /etc/kubernetes/pki/sa.pub 2>/dev/null",
        "certificates/KeyMismatch",
        role="control-plane",
    ),
    _CERTIFICATES(
        "everybody may read the authority's key",
        "chmod 644 /etc/kubernetes/pki/ca.key",
        "certificates/ReadableByOthers",
        role="control-plane",
        status="warn",
    ),
    _CERTIFICATES(
        "etcd's certificate is of another authority",
        _etcd_of_others,
        "certificates/WrongAuthority",
        ("etcd/CertificateRefused",),
        role="control-plane",
    ),
    # -- the control plane
    _CONTROL(
        "etcd ended, and the API server after it",
        _stop("etcd", "api"),
        "etcd/Unreachable",
        ("apiserver-san/EndpointUnreachable", "node-ready/NodeUnread"),
        role="control-plane",
        blinds=("DNS", "certificates", "pod network", "images", "kubelet and runtime"),
    ),
    _CONTROL(
        "the API server ended",
        _stop("api"),
        "control-plane/ComponentDown",
        ("apiserver-san/EndpointUnreachable", "node-ready/NodeUnread"),
        role="control-plane",
        blinds=("DNS", "certificates", "pod network", "images", "kubelet and runtime"),
    ),
    _CONTROL(
        "the controller manager ended",
        _stop("kube-controller-manager"),
        "control-plane/ComponentDown",
        role="control-plane",
    ),
    _CONTROL("the scheduler ended", _stop("kube-scheduler"), "control-plane/ComponentDown", role="control-plane"),
    _CONTROL(
        "the runtime ended, and the API server after it",
        _stop("containerd", "api"),
        "node-ready/RuntimeDown",
        ("control-plane/ComponentDown", "apiserver-san/EndpointUnreachable", "pause-image/RuntimeUnreachable"),
        role="control-plane",
        blinds=("DNS", "certificates", "pod network", "images", "kubelet and runtime"),
    ),
    _CONTROL(
        "the kubelet ended, and the scheduler after it",
        _stop("kubelet", "kube-scheduler"),
        "node-ready/KubeletStopped",
        ("control-plane/ComponentDown",),
        role="control-plane",
    ),
    _CONTROL(
        "the API server's manifest is no YAML, and it ended",
        _break_manifest,
        "static-pods/ManifestSyntax",
        ("apiserver-san/ManifestInvalid",),
        role="control-plane",
        blinds=("DNS", "certificates", "pod network", "images", "kubelet and runtime"),
    ),
    _CONTROL(
        "a copy of a manifest lies beside it",
        f"cp {MANIFESTS}/kube-apiserver.yaml {MANIFESTS}/kube-apiserver.yaml.bak;"
        f" sed -i s/--secure-port=6443/--secure-port=7443/ {MANIFESTS}/kube-apiserver.yaml.bak",
        "static-pods/DuplicateManifest",
        role="control-plane",
        mends=True,
    ),
    _CONTROL(
        "a manifest has a flag that was removed",
        f"sed -i 's/^    - --secure-port=6443$/&\\n    - --insecure-port=0/' {MANIFESTS}/kube-apiserver.yaml",
        "static-pods/FlagRemoved",
        role="control-plane",
        mends=True,
    ),
    _CONTROL(
        "any user may change a manifest",
        f"chmod 777 {MANIFESTS}/kube-apiserver.yaml",
        "static-pods/WritableByAll",
        role="control-plane",
        status="warn",
        mends=True,
    ),
    _CONTROL(
        "the API server looks for etcd at another port",
        f"sed -i s,https://127.0.0.1:2379,https://127.0.0.1:2479, {MANIFESTS}/kube-apiserver.yaml",
        "etcd/Unreachable",
        role="control-plane",
    ),
    _CONTROL(
        "the controller manager gives out another subnet",
        f"sed -i s,cluster-cidr=10.244.0.0/16,cluster-cidr=10.244.0.0/17, {MANIFESTS}/kube-controller-manager.yaml",
        "subnets/ClusterCidrDiffers",
        role="control-plane",
        status="warn",
    ),
    _CONTROL(
        "the API server has another range of services",
        f"sed -i s,service-cluster-ip-range=10.96.0.0/16,service-cluster-ip-range=10.97.0.0/16, {MANIFESTS}/kube-apiserver.yaml",
        "subnets/ServiceRangeDiffers",
        ("apiserver-san/AddressNotCovered", "apiserver-san/EndpointUnreachable"),  # of the range's first address
        role="control-plane",
    ),
    _CONTROL(
        "the Node lost the label of control planes",
        _answers("nodes", _unlabel),
        "control-plane/LabelMissing",
        role="control-plane",
        status="warn",
    ),
    _CONTROL(
        "a rule shuts pods out from the API server",
        "iptables -I INPUT -s 10.244.0.0/16 -p tcp --dport 6443 -j DROP",
        "firewall/PodsShutOut",
        role="control-plane",
    ),
    _CONTROL(
        "the disk of etcd's data is full",
        "mount -t tmpfs -o size=1m tmpfs /var/lib/etcd; head -c 2M /dev/zero > /var/lib/etcd/full 2>/dev/null || true",
        "disk/NoSpaceLeft",
        role="control-plane",
        heals="umount /var/lib/etcd",
    ),
    # -- a machine before `kubeadm init`
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
        _listen(6443),
        "ports/PortTaken",
        status="warn",  # without a plan it is not known that it will be needed
        heals=_UNLISTEN,
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
        _stop("containerd"),
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
