"""The way to the DNS server of another node."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.lab.scenarios.scenario import Scenario
from tests.lab.scenarios.ways import stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

SILENT_BACKEND = "dns-reply-source/BackendSilent"
# Pods remember for ten minutes what they were told of a path's MTU.
_WIDEN = "ip link set eth0 mtu 1500; ip link set flannel.1 mtu 1450; for each in $(ls /run/netns); do ip -n $each route flush cache; done"


def _far(*commands: str) -> Callable[[WholeNode], None]:
    """Shell on the other node, then (after a line `--`) on this one."""

    def breaks(node: WholeNode) -> None:
        far, _, here = "\n".join(commands).partition("\n--\n")
        node.lab.far_run(["bash", "-ec", far])
        node.lab.shell(here or ":")

    return breaks


_PAIR = partial(Scenario, "between nodes", role="paired")

SCENARIOS = (
    _PAIR("the DNS server of the other node died", stop("far_dns"), SILENT_BACKEND),
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
)
