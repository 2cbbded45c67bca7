"""What lets DNS messages pass between pods and servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.dns_path import DnsPath, Overlay
    from k8sdoctor.facts.packet_filters import FilterRule

VERIFY = "k8sdoctor check dns-path dns-reply-source"


def blocked(rule: FilterRule, reason: str, path: DnsPath) -> Fix:
    """Take a rule away; where a program keeps rules of its own, tell that."""
    del path
    program = rule.program.removesuffix("-save")
    owner = _owner(rule)
    if reason == "PolicyBlocks":
        return Fix(
            "Let the network policies allow DNS: UDP and TCP port 53 to the DNS servers",
            ("kubectl get networkpolicies -A -o yaml", _show(rule)),
            VERIFY,
            Safety.MANUAL,
        )
    if owner == "firewalld":
        return Fix(
            "Let firewalld trust what comes from pods",
            ("for each in cni0 flannel.1; do firewall-cmd --zone=trusted --add-interface=$each; done",),
            VERIFY,
            Safety.MANUAL,
            ("for each in cni0 flannel.1; do firewall-cmd --permanent --zone=trusted --add-interface=$each; done",),
        )
    if owner == "ufw":
        return Fix(
            "Let ufw forward, and take in, what comes from pods",
            ("ufw route allow in on cni0", "ufw allow in on cni0"),
            VERIFY,
            Safety.MANUAL,
        )
    if not rule.line and program == "nft":
        return Fix(
            "Let the forward chain accept what no rule drops",
            (f"nft 'chain {rule.table} {rule.chain} {{ policy accept; }}'",),
            VERIFY,
            Safety.MANUAL,
        )
    if not rule.line:
        return Fix(
            f"Let the {rule.chain} chain accept what no rule drops. Docker sets it to drop when it turns forwarding on itself: turn it on at boot, "
            'or tell Docker `"ip-forward-no-drop": true`',
            (f"{program} -w -P {rule.chain} ACCEPT",),
            VERIFY,
            Safety.MANUAL,
        )
    if program == "nft":
        delete = f"nft delete rule {rule.table} {rule.chain} handle {rule.handle}"
    else:
        delete = f"{program} -w -t {rule.table} {rule.line.replace('-A', '-D', 1)}"
    return Fix(f"Take away the rule: {rule.line} (and what writes it: {_KEEPERS})", (delete,), VERIFY, Safety.MANUAL)


_KEEPERS = "/etc/nftables.conf, /etc/iptables/, a firewall's service"


def _owner(rule: FilterRule) -> str | None:
    if rule.table.endswith(" firewalld"):
        return "firewalld"
    return "ufw" if rule.chain.startswith("ufw") else None


def _show(rule: FilterRule) -> str:
    if rule.program == "nft":
        return f"nft -a list chain {rule.table} {rule.chain}"
    return f"{rule.program} -c -t {rule.table} | grep -F -e '-A {rule.chain} '"


def reverse_path() -> Fix:
    """Make the filter loose: the sender must be reachable, over whichever interface."""
    return Fix(
        "Let the kernel take in packets whose sender it reaches over another interface (2 is loose; Calico wants 0 or 1 for `all`)",
        (
            "sysctl net.ipv4.conf.all.rp_filter",
            'for each in /proc/sys/net/ipv4/conf/*/rp_filter; do if [ "$(cat $each)" = 1 ]; then echo 2 > $each; fi; done',
        ),
        VERIFY,
        Safety.MANUAL,
        (
            (
                "[ -e /etc/sysctl.d/99-zz-rp-filter.conf ] || printf '%s\\n' net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2 "
                "> /etc/sysctl.d/99-zz-rp-filter.conf"
            ),
        ),
    )


def mtu(overlay: Overlay) -> Fix:
    """Give a tunnel the MTU that fits."""
    return Fix(
        f"Give {overlay.name} an MTU of {overlay.most}, in the CNI's configuration, too; pods that start later have it",
        (f"ip link set dev {overlay.name} mtu {overlay.most}",),
        VERIFY,
        Safety.MANUAL,
    )


def long_messages(server: str) -> Fix:
    """See how long a packet may be on the way."""
    return Fix(
        "See how long a packet may be on the way, and set the pod network's MTU to it",
        (f"ip route get {server}", f"tracepath -n {server}", "ip -d link | grep -E 'mtu|vxlan|ipip|wireguard'"),
        VERIFY,
        Safety.MANUAL,
    )
