"""DNS, and what leads to its servers."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import API, KUBELET, answers, stop
from tests.lab.whole_node import API_SERVICE, CACHE, DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

ASTRAY = "dns-reply-source/UnexpectedSource"
NO_REPLY = "dns-reply-source/NoReply"
NO_UPSTREAM = "coredns/UpstreamSilent"
TCP_ONLY = "dns-reply-source/TcpOnly"


def _serve_dns(*options: str) -> Callable[[WholeNode], None]:
    """Another DNS server in the place of the one that is right."""

    def breaks(node: WholeNode) -> None:
        node.dns.stop()
        node.serve_dns(*options)

    return breaks


_ASK_ONCE = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 40053)); s.sendto(bytes(12), ('10.96.0.10', 53))"


def _hold_a_client(node: WholeNode) -> None:
    """Have a pod's client tracked at a backend, and take that backend away."""
    node.lab.shell("iptables-save | sed '/DNAT.*:53$/s/10[.]244[.]0[.][0-9]*/10.244.9.99/' | iptables-restore")
    node.lab.run(["nsenter", f"--net={node.client.netns}", sys.executable, "-c", _ASK_ONCE])
    node.translate()


def _unready(endpoints: dict[str, Any]) -> None:
    if endpoints["metadata"]["namespace"] == "kube-system":
        for each in endpoints["endpoints"]:
            each["conditions"] = {"ready": False, "serving": False, "terminating": False}


def _take_backends(node: WholeNode) -> None:
    """Let no DNS server be ready: the API server says so, and kube-proxy refuses what is sent to the service."""
    answers("endpointslices.discovery.k8s.io", _unready)(node)
    _take_rules(node)


def _take_rules(node: WholeNode) -> None:
    """Have kube-proxy know of no DNS server, so that it refuses what is sent to the service."""
    node.lab.shell("iptables-save | grep -v KUBE- | iptables-restore -w")
    node.lab.run(["iptables-restore", "-w", "--noflush"], stdin=node.rules_for())


def _torn(*rules: str) -> Callable[[WholeNode], None]:
    """Rules where the node's own do not show them: in the network of the DNS server's pod."""

    def breaks(node: WholeNode) -> None:
        table = (
            "table inet torn { set seen { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 10s; } ; "
            f"chain input {{ type filter hook input priority 0; {'; '.join(rules)} ; }} ; }}"
        )
        node.lab.run(["nsenter", f"--net={node.server.netns}", "nft", table])

    return breaks


_UNTEAR = "for each in /run/netns/*; do nsenter --net=$each nft delete table inet torn 2>/dev/null || true; done"


def _upstream_refuses(node: WholeNode) -> None:
    node.upstream.stop()
    node.serve_upstream("--no-poll")


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


SANDBOXES = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes"


def _told(change: str) -> str:
    """What pods of the cluster are told of DNS, changed by sed where it lies: their runtime has mounted the very file."""
    return f"""\
for each in $(grep -ls ndots {SANDBOXES}/*/resolv.conf); do sed '{change}' $each > /run/told; cat /run/told > $each; done"""


def _answer_all_of_a_domain(node: WholeNode) -> None:
    """A DNS server that has an address for each name of a domain, in which pods look for all names."""
    _serve_dns(
        f"--address=/kubernetes.default.svc.{DOMAIN}/{API_SERVICE}",
        f"--local=/{DOMAIN}/",
        "--address=/wild.example/192.0.2.99",
        "--local=/wild.example/",
    )(node)
    node.lab.shell(_told("s/^search.*/& wild.example/"))


def _refuse_a_domain(node: WholeNode) -> None:
    """A DNS server that answers for the cluster alone, and a domain besides in which pods look for all names."""
    _serve_dns(f"--address=/kubernetes.default.svc.{DOMAIN}/{API_SERVICE}", f"--local=/{DOMAIN}/")(node)
    node.lab.shell(_told("s/^search.*/& refused.example/"))


_END_CACHE = f"""\
ss -Hlntp 'src {CACHE}:53' | grep -o 'pid=[0-9]*' | sort -u | sed 's/pid=//' | xargs -r kill
while ss -Hlnt 'src {CACHE}:53' | grep -q .; do sleep 0.02; done"""
_UNCACHE = f"{_END_CACHE}\nip link del nodelocaldns"

_DNS = partial(Scenario, "DNS")

SCENARIOS = (
    _DNS(
        "the DNS server knows each name of a domain in which pods look for all",
        _answer_all_of_a_domain,
        "pod-resolv-conf/SearchWildcard",
        heals=_told("s/ wild[.]example//"),
    ),
    _DNS(
        "a domain in which pods look for all is refused by its DNS server",
        _refuse_a_domain,
        "pod-resolv-conf/SearchDomainFails",
        status="warn",
        heals=_told("s/ refused[.]example//"),
    ),
    _DNS(
        "pods are told a resolver on loopback, which is the node's alone",
        _told("s/^nameserver .*/nameserver 127.0.0.53/"),
        "pod-resolv-conf/StubResolver",
        heals=_told("s/^nameserver .*/nameserver 10.96.0.10/"),
    ),
    _DNS(
        "pods are told more DNS servers than anybody asks",
        _told("s/^nameserver .*/&\\nnameserver 192.0.2.1\\nnameserver 192.0.2.1\\nnameserver 192.0.2.1/"),
        "pod-resolv-conf/TooManyServers",
        status="warn",
        heals=_told("/^nameserver 192/d"),
    ),
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
    _DNS("kube-proxy ended", stop("kube-proxy"), "kube-proxy/NotRunning"),
    _DNS(
        "a client is held at a DNS server that is gone",
        _hold_a_client,
        "conntrack/StaleEntry",
        status="warn",
        heals="conntrack -D -p udp --orig-port-src 40053 2>/dev/null || true",
    ),
    _DNS("the DNS server died in its pod", stop("dns"), NO_REPLY),
    _DNS("the DNS server refuses", _serve_dns("--no-poll"), "dns-reply-source/RefusedQuery"),
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
    _DNS("the upstream DNS server is silent", stop("upstream"), NO_UPSTREAM),
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
)
