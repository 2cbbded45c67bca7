"""What to paste where the node's own packet filter shuts out, or keeps in, what the cluster needs.

Each by the program that keeps the rules, for what is changed behind its back is gone with its next reload.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from k8sdoctor.checks._words import enumerated
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.filter_rules import RuleSet
    from k8sdoctor.facts.node_filter import NodeFilter
    from k8sdoctor.facts.sent_in_vain import Unreached


class Wanted(NamedTuple):
    """A port that others need, and what for."""

    port: int
    protocol: str
    program: str

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


class Shut(NamedTuple):
    """A port that is shut, by which table and rule. `address` is where the node's own programs look for it; `out`: what they send does not even leave."""

    wanted: Wanted
    rules: RuleSet
    rule: str
    address: str = ""
    out: bool = False

    @property
    def by(self) -> tuple[str, str]:
        """What tells its rule, or its policy, from others."""
        return self.rules.name, self.rule


def keeper(filters: NodeFilter, rules: RuleSet) -> str:
    """Who keeps the rules of a table: `firewalld`, `ufw`, or else the table's own name, such as `iptables` or `nft inet fw`."""
    if filters.firewalld and ("firewalld" in rules.name or "INPUT_ZONES" in rules.chains):
        return "firewalld"
    return "ufw" if filters.ufw and "ufw-user-input" in rules.chains else rules.name


def forward(bridge: str, filters: NodeFilter, rules: RuleSet) -> Fix:
    """Let through what pods at a bridge send out."""
    if keeper(filters, rules) == "firewalld":
        change = f"--zone=trusted --change-interface={bridge}"
        return Fix(
            "Put the pods' interface into firewalld's zone `trusted`",
            (f"firewall-cmd {change}",),
            "firewall-cmd --zone=trusted --list-interfaces",
            Safety.MANUAL,
            (f"firewall-cmd --permanent {change}",),
        )
    where = f"{rules.name.removeprefix('nft ')} {rules.forwarding[0][0]}"
    return Fix(
        f"Let through what pods send, here and in the file that makes {rules.name} at boot (often /etc/nftables.conf)",
        (f'nft insert rule {where} iifname "{bridge}" accept', f'nft insert rule {where} oifname "{bridge}" accept'),
        f"nft list chain {where}",
        Safety.MANUAL,
    )


def open_ports(wanted: Sequence[Wanted], filters: NodeFilter, shut: Shut, by: str) -> Fix:
    """Open ports to others. `by` names all tables that shut some; they are opened in that of `shut`."""
    match keeper(filters, shut.rules):
        case "firewalld":
            ports = " ".join(f"--add-port={each}" for each in wanted)
            return Fix(
                "Open the ports in firewalld's zone of the uplink (which senders may use them is yours to decide)",
                (f"firewall-cmd {ports}",),
                "firewall-cmd --list-ports",
                Safety.MANUAL,
                (f"firewall-cmd --permanent {ports}",),
            )
        case "ufw":
            return Fix(
                "Open the ports in ufw (which senders may use them is yours to decide)",
                tuple(f"ufw allow {each}" for each in wanted),
                "ufw status",
                Safety.MANUAL,
            )
        case name if name.startswith("nft "):
            table = name.removeprefix("nft ")
            chain = shut.rules.bases[0][0]
            return Fix(
                f"Open the ports, here and in the file that makes {by} at boot (often /etc/nftables.conf)",
                tuple(f"nft insert rule {table} {chain} {each.protocol} dport {each.port} accept" for each in wanted),
                f"nft list chain {table} {chain}",
                Safety.MANUAL,
            )
        case name:
            return Fix(
                f"Open the ports, here and in what makes the rules of {by} at boot",
                tuple(f"{name} -w -I INPUT -p {each.protocol} --dport {each.port} -j ACCEPT" for each in wanted),
                f"{name} -S INPUT",
                Safety.MANUAL,
            )


def let_out(places: Sequence[Unreached], rules: RuleSet, filters: NodeFilter) -> Fix:
    """To each address and port; to a DNS server also by TCP, as what is too long for UDP is asked again."""
    wanted = list(
        dict.fromkeys(
            (each.address.partition("%")[0], each.port, protocol)
            for each in places
            for protocol in (("udp", "tcp") if each.kind == "dns" else ("tcp",))
        )
    )
    chain = rules.outgoing[0][0]
    match keeper(filters, rules):
        case "firewalld":
            return Fix(
                "Change the policy of firewalld, or the direct rule, that keeps what the node sends",
                ("firewall-cmd --list-all-policies", "firewall-cmd --direct --get-all-rules"),
                "firewall-cmd --list-all-policies",
                Safety.MANUAL,
            )
        case "ufw":
            return Fix(
                "Let it out in ufw",
                tuple(f"ufw prepend allow out to {to} port {port} proto {protocol}" for to, port, protocol in wanted),
                "ufw status",
                Safety.MANUAL,
            )
        case name if name.startswith("nft "):
            where = f"{name.removeprefix('nft ')} {chain}"
            return Fix(
                f"Let it out, here and in the file that makes {name} at boot (often /etc/nftables.conf)",
                tuple(
                    f"nft insert rule {where} {'ip6' if ':' in to else 'ip'} daddr {to} {protocol} dport {port} accept"
                    for to, port, protocol in wanted
                ),
                f"nft list chain {where}",
                Safety.MANUAL,
            )
        case name:
            return Fix(
                f"Let it out, here and in what makes the rules of {name} at boot",
                tuple(
                    f"{name} -w -I OUTPUT -d {to} -p {protocol} --dport {port} -j ACCEPT"
                    for to, port, protocol in wanted
                ),
                f"{name} -S OUTPUT",
                Safety.MANUAL,
            )


def joined(fixes: Sequence[Fix]) -> Fix:
    """The first one, with the commands of all; what lets in or out comes before what opens ports."""
    first, *more = fixes
    return replace(
        first,
        commands=tuple(dict.fromkeys(command for each in (*more, first) for command in each.commands)),
        persist=tuple(dict.fromkeys(command for each in (*more, first) for command in each.persist)),
    )


def let_through(own: Sequence[Shut], pods: Sequence[tuple[str, Shut]], filters: NodeFilter) -> list[Fix]:
    """What the node sends to itself is let in, or out, or both; what pods send comes in."""
    coming = [*(("lo", each) for each in own if not each.out), *pods]
    leaving = [each for each in own if each.out]
    return [
        *([trust(list(dict.fromkeys(name for name, _ in coming)), filters, coming[0][1])] if coming else []),
        *([trust(["lo"], filters, leaving[0])] if leaving else []),
    ]


def trust(interfaces: Sequence[str], filters: NodeFilter, shut: Shut) -> Fix:
    """Let in what comes in at interfaces of this node's own: the loopback interface, and those of pods; or let out what goes to the former."""
    pods = [each for each in interfaces if each != "lo"]
    named = [*(["the loopback interface"] if "lo" in interfaces else []), *(["the pods' interface"] if pods else [])]
    title = f"Let {enumerated(named)} in" if not shut.out else "Let out what this node sends to itself"
    match keeper(filters, shut.rules):
        case "firewalld":
            changes = [f"--zone=trusted --change-interface={each}" for each in interfaces]
            return Fix(
                title,
                tuple(f"firewall-cmd {change}" for change in changes),
                "firewall-cmd --zone=trusted --list-interfaces",
                Safety.SAFE,
                tuple(f"firewall-cmd --permanent {change}" for change in changes),
            )
        case "ufw":
            way = "out" if shut.out else "in"
            return Fix(title, tuple(f"ufw allow {way} on {each}" for each in interfaces), "ufw status", Safety.SAFE)
        case name if name.startswith("nft "):
            chain, _ = (shut.rules.outgoing if shut.out else shut.rules.bases)[0]
            where, by = f"{name.removeprefix('nft ')} {chain}", "oifname" if shut.out else "iifname"
            return Fix(
                f"{title}, here and in the file that makes the rules at boot (often /etc/nftables.conf)",
                tuple(f'nft insert rule {where} {by} "{each}" accept' for each in interfaces),
                f"nft list chain {where}",
                Safety.MANUAL,
            )
        case name:
            chain, by = ("OUTPUT", "-o") if shut.out else ("INPUT", "-i")
            return Fix(
                f"{title}, here and in what makes the rules at boot",
                tuple(f"{name} -w -I {chain} {by} {each} -j ACCEPT" for each in interfaces),
                f"{name} -S {chain}",
                Safety.MANUAL,
            )
