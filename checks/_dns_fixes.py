"""What shows, or mends, why pods' DNS queries go unanswered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Fix, Safety
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.checks._dns_exchanges import Exchange
    from k8sdoctor.facts.cluster_dns import Backend, ClusterDns

VERIFY = "k8sdoctor check dns-reply-source"

_POD = regex(r"[a-z0-9.-]+/[a-z0-9.-]+")


def kubectl(dns: ClusterDns) -> str:
    """The command and the namespace of the DNS service."""
    return f"kubectl -n {dns.service.partition('/')[0]}" if dns.service else "kubectl -n kube-system"


def show_servers(dns: ClusterDns) -> tuple[str, ...]:
    """The commands that show who should answer."""
    there = kubectl(dns)
    if dns.service is None:
        return (f"{there} get pods,services,endpointslices -o wide",)
    name = dns.service.partition("/")[2]
    return (
        f"{there} get endpointslices -l kubernetes.io/service-name={name} -o wide",
        f"{there} get pods -o wide",
        f"{there} describe service {name}",
    )


def show_logs(dns: ClusterDns) -> tuple[str, ...]:
    """The logs of the servers whose pods are known, two at most; else those of kubeadm's deployment."""
    pods = dict.fromkeys(one.name for one in dns.backends if _POD.fullmatch(one.name))
    named = [f"kubectl -n {pod.partition('/')[0]} logs {pod.partition('/')[2]} --tail=50" for pod in pods]
    return tuple(named[:2]) or (f"{kubectl(dns)} logs deployment/coredns --tail=50",)


_OTHERS = ("ipvsadm -Ln", "nft list tables")


def look_at_translation(exchange: Exchange, bridge: str, way: str) -> Fix:
    """See what translates the way there, and why not the way back."""
    six = ":" in exchange.address
    transport = "ip6tables" if six else "iptables"
    switch = (f"sysctl net.bridge.bridge-nf-call-{transport}",) if bridge else ()
    own = (f"cat /sys/class/net/{bridge}/bridge/nf_call_{transport}",) if bridge else ()
    return Fix(
        title="See why the way back is not translated"
        + (f": bridge {bridge} must pass its packets to {transport}" if bridge else ""),
        commands=(
            *switch,
            *own,
            entries("udp", exchange.address),
            *(() if bridge else (f"{transport}-save -t raw | grep -i notrack", *_OTHERS)),
            *(() if six or way == "bridge" else ("sysctl net.ipv4.conf.all.rp_filter",)),
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def entries(transport: str, address: str) -> str:
    """The command that shows the connections to an address, and how each is translated."""
    family = "ipv6" if ":" in address else "ipv4"
    return f"conntrack -L -f {family} -p {transport} --orig-dst {address}"


def no_reply(kind: str, exchanges: Sequence[Exchange], dns: ClusterDns) -> Fix:
    """See where the way ends."""
    address = exchanges[0].address
    rules = (
        "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
        f"{'ip6tables' if ':' in address else 'iptables'}-save | grep -F {address}; nft list ruleset | grep -F {address}; ipvsadm -Ln | grep -F -A3 {address}",
    )
    stale = entries("udp", address)
    commands: tuple[str, ...]
    match kind:
        case "service":
            title = f"See whether kube-proxy, or what stands in its place, has rules for {address}"
            commands = (*rules, stale)
        case "cache":
            title = f"See who listens on {address}"
            commands = (f"ss -lnup | grep -F {address}", "kubectl -n kube-system get pods -o wide")
        case "server":
            title = "See whether the DNS servers run, and whether pods reach each other"
            commands = (*show_servers(dns), *show_logs(dns))
        case "some":
            title, commands = "See which DNS server is silent", (*show_servers(dns), stale)
        case _:
            title = "See whether DNS servers run, and whether the service address leads to them"
            commands = (*show_servers(dns), *rules)
    return Fix(title=title, commands=commands, verify=VERIFY, safety=Safety.MANUAL)


def look_at_filters(transport: str, address: str, dns: ClusterDns) -> Fix:
    """See what filters one protocol."""
    return Fix(
        title=f"See what keeps {transport.upper()} port 53 from passing: a network policy, a firewall, a stale connection entry",
        commands=(
            "kubectl get networkpolicies -A",
            "iptables-save | grep -E -- '--dport 53|dports .*53'; nft list ruleset | grep -w 53",
            entries(transport, address),
            f"{kubectl(dns)} get service,endpointslices -o wide",
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def look_at_server(code: str, dns: ClusterDns) -> Fix:
    """See what the server says of its answers."""
    titles = {
        "REFUSED": "See whether the Corefile serves the cluster's domain, and whom it refuses",
        "NXDOMAIN": f"Compare the domain {dns.domain} with the zone that the Corefile gives to `kubernetes`",
    }
    return Fix(
        title=titles.get(code, "See what the DNS server says: often it does not reach the API server"),
        commands=(*show_logs(dns), f"{kubectl(dns)} get configmap coredns -o yaml"),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def look_at_load(dns: ClusterDns) -> Fix:
    """See who is overloaded."""
    return Fix(
        title="See whether the DNS servers, or this node's connection table, are overloaded",
        commands=(
            *show_servers(dns),
            "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",
            "conntrack -S",
        ),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def no_backends(dns: ClusterDns) -> Fix:
    """See why no server is ready."""
    return Fix(
        title="See why no DNS server is ready",
        commands=(*show_servers(dns), f"{kubectl(dns)} get events --sort-by=.lastTimestamp"),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )


def backend_silent(silent: Sequence[Backend], dns: ClusterDns) -> Fix:
    """See what is wrong with some servers of several; the service does well without them meanwhile."""
    pods = [one.name.partition("/") for one in silent if _POD.fullmatch(one.name)][:2]
    looks = [f"kubectl -n {namespace} logs {name} --tail=50" for namespace, _, name in pods]
    moves = [
        f"kubectl -n {namespace} delete pod {name}  # starts it anew, elsewhere perhaps" for namespace, _, name in pods
    ]
    return Fix(
        title="See why these DNS servers are silent, and start them anew",
        commands=(*show_servers(dns), *looks, *moves),
        verify=VERIFY,
        safety=Safety.MANUAL,
    )
