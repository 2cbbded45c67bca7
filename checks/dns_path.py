"""Nothing on this node keeps DNS messages from passing between pods and DNS servers.

## What it looks at
Where pods' queries were lost: the rules of iptables (both variants) and nftables that drop, refuse or do not track packets, and the kernel's
count of packets dropped for their reverse path, before and after the lost queries are asked again. Always: the MTU of the pod network's
tunnels against that of the interface below, whether long messages reach DNS servers on other nodes, and what comes of A and AAAA that
are asked at once from one port, as resolvers ask.

## Why it matters
A pod's query crosses the node's FORWARD chain, and between nodes a tunnel. A firewall that was made for a machine without pods drops it,
silently. A tunnel that promises more bytes than fit below loses the long messages and lets the short ones through, so that
everything looks healthy until an answer is long.

## How it is decided
A rule is blamed when it could match the lost queries and counted at least as many packets as were lost while they were asked again (of a tunnel's, two: it holds queries back while it asks where to send them); a rule of
nftables that does not count is blamed only when it names port 53 or is the policy of a forward chain, and that is called likely. A
loss that nothing here explains is no fault of this node's path. An overlay's MTU is too big when a full packet and its headers do not fit
below: VXLAN takes 50 bytes (70 over IPv6), IP in IP 20, WireGuard 60 (80). That is a warning while long messages get through, for the
kernel may cut the packets in two, which many networks drop.

Two packets of one port race in the kernel's connection tracking while none of them has an entry, and one can be lost (kernels from 5.0 on settle
nearly all of these). So ten pairs of A and AAAA, each from a port of its own, are asked of each address that answered all before, and among
them as many queries of each type alone. Pairs are called torn when one of the two is lost more often than chance allows and no
query alone is, or as often as the kernel counts a loss meanwhile: then `conntrack` proves it.

## Reasons
- `PathClear` (pass): nothing that pods asked was lost, or nothing on this node lost it
- `NotAsked` (skip): no pod could be asked from
- `Blocked` (fail): a rule of this node drops or refuses DNS queries or replies
- `ForwardPolicyDrop` (fail): the FORWARD chain's policy drops what pods send, as Docker sets it
- `PolicyBlocks` (fail): a rule that a network policy wrote drops them
- `OverlayBlocked` (fail): a rule of this node drops the tunnel's packets
- `RepliesUntracked` (fail): a rule exempts DNS from connection tracking, so that nothing is translated
- `ReversePathFilter` (fail): the kernel drops packets whose sender it would reach by another interface
- `MtuTooBig` (fail, warn while long messages get through): a tunnel's MTU is too big for the interface below
- `LongMessagesLost` (fail): short messages reach a DNS server on another node and long ones do not
- `PairLost` (fail): of A and AAAA that are asked at once one is lost, and alone each is answered
- `TypeUnanswered` (fail): queries for A are answered and those for AAAA never, or the reverse
- `RulesUnread` (unknown): queries were lost, and the rules could not be read

## What it sends
From one pod to up to two DNS addresses: ten pairs of queries for A and AAAA, and ten of each alone; twice as many where a pair lost one. To DNS
servers on other nodes that answer over TCP: two TCP queries of 4 kB each. Where queries were lost: the same ones again, up to four times.

## How to fix
Take away the rule, or allow the pods' network before it: the fix names the rule. Where firewalld or ufw wrote it, tell them, for they write it again.
Give a tunnel the MTU that fits below, in the CNI's configuration, too. Ask first: a rule may be there on purpose.

## How to verify
`k8sdoctor check dns-path dns-reply-source`

## References
- https://docs.docker.com/engine/network/packet-filtering-firewalls/ (policy DROP)
- Linux `Documentation/networking/ip-sysctl.rst` (`rp_filter`), `net/ipv4/proc.c` (`IPReversePathFilter`)
- kubernetes/kubernetes#56903 (5 s), Linux commits ed07d9a021df and 4e35c1cb9460 (races); resolv.conf(5), `single-request-reopen`
- RFC 7348 (VXLAN), RFC 7830 (padding); projectcalico/calico#3404, #7651 (MTU)
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks import _dns_pairs
from k8sdoctor.checks import _dns_path_fixes as fixes
from k8sdoctor.checks._dns_path_rules import blamed, exempting, exempting_queries, kind_of, names_dns
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.dns_pairs import DnsPairs
from k8sdoctor.facts.dns_path import NETSTAT, PADDING, DnsPath, Overlay, answered
from k8sdoctor.facts.packet_filters import FilterRule
from k8sdoctor.finding import Certainty, Evidence, Finding, Link, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsOutcome

SYMPTOMS = ("NoReply", "RepliesLost", "TcpOnly", "UdpOnly", "BackendSilent")


@check("dns-path", title="DNS messages pass between pods and DNS servers", area="DNS")
def dns_path(path: DnsPath | Unobserved, dns: ClusterDns, pairs: DnsPairs | Unobserved) -> Iterator[Finding]:
    """Judge what lost pods' queries, the tunnels, and what becomes of pairs."""
    if isinstance(path, Unobserved):
        make = skip if path.reason == "Offline" else unknown
        yield make(path.reason, f"The way of DNS queries was not looked at: {path.message}.")
        return
    findings = [*_lengths(path), *_losses(path, dns), *_at_once(pairs)]
    yield from findings or [_clear(path, pairs)]


def _clear(path: DnsPath, pairs: DnsPairs | Unobserved) -> Finding:
    at_once = _dns_pairs.seen(pairs) if isinstance(pairs, DnsPairs) else []
    if not path.asked:
        return skip(
            "NotAsked", "No pod here could be asked from, and no tunnel's MTU is too big.", evidence=_mtus(path)
        )
    if not path.lost:
        return passed(
            "PathClear", "Nothing that pods asked of DNS was lost on its way.", evidence=[*at_once, *_mtus(path)]
        )
    back = sum(map(answered, path.again))
    return passed(
        "PathClear",
        f"{len(path.lost)} DNS queries of {_pod(path)} were lost, and no rule of this node and no reverse path filter dropped them; asked "
        f"again, {back} of {len(path.again)} were answered.",
        evidence=[*_asked_again(path), *at_once, *_mtus(path)],
    )


def _at_once(pairs: DnsPairs | Unobserved) -> Iterator[Finding]:
    problem = pairs if isinstance(pairs, Unobserved) else pairs.problem
    if problem:
        yield unknown(
            problem.reason, f"What becomes of A and AAAA that are asked at once was not seen: {problem.message}."
        )
    if isinstance(pairs, DnsPairs):
        yield from _dns_pairs.judge(pairs)


def _pod(path: DnsPath) -> str:
    return path.view.name if path.view else "no pod"


# -- what lost queries -------------------------------------------------------------------------------------------------


def _losses(path: DnsPath, dns: ClusterDns) -> Iterator[Finding]:
    if not path.lost:
        return
    guilty = blamed(path)
    for rule, packets in guilty:
        yield _blocked(path, rule, packets)
    untracked = exempting(path, dns)
    if untracked:
        yield _untracked(path, untracked)
    lost_for = [] if guilty or untracked else exempting_queries(path, dns)
    if lost_for:
        yield _untranslated(path, *lost_for[0])
    missing = [one for one in path.again if not answered(one)]
    if not guilty and not lost_for and missing and (path.reverse_path or 0) >= len(missing):
        yield _reverse(path)
    elif path.blind and not guilty and not untracked and not lost_for:
        yield unknown(
            "RulesUnread",
            f"{len(path.lost)} DNS queries of {_pod(path)} were lost, and whether a rule of this node drops them could not be seen: "
            f"{path.blind[0].message}.",
            evidence=_asked_again(path),
        )


def _blocked(path: DnsPath, rule: FilterRule, packets: int | None) -> Finding:
    reason = kind_of(rule)
    counted = f"it counted {packets} packets" if packets is not None else "it does not count packets"
    did = "refuses" if rule.verdict == "reject" else "drops"
    missing = sum(not answered(one) for one in path.again)
    what = {
        "ForwardPolicyDrop": "what pods send and no other rule accepts",
        "OverlayBlocked": "packets of the pod network's tunnel",
        "PolicyBlocks": "DNS queries of pods, as a network policy wants",
    }.get(reason, "DNS messages of pods")
    message = f"The {rule} {did} {what}: {counted} while {missing} of {len(path.again)} DNS queries of {_pod(path)} were lost."
    why = f"the {rule} {did} {what}, and {counted}"
    # TCP sends its first packet up to three times in 3 s. Who counted more has dropped something else, too.
    most = sum(1 if one["query"]["transport"] == "udp" else 3 for one in path.again if not answered(one))
    sure = packets is not None and reason != "OverlayBlocked" and (names_dns(rule) or packets <= most)
    return fail(
        reason,
        message,
        subject=f"{rule.table}/{rule.chain}",
        evidence=[Evidence(rule.program, f"{rule}\n{counted} while queries were asked again"), *_asked_again(path)],
        fix=fixes.blocked(rule, reason, path),
        explains=[*_links(path, why, Certainty.PROVEN if sure else Certainty.LIKELY), *_beyond(reason, why)],
    )


def _beyond(reason: str, why: str) -> list[Link]:
    """What else such a rule keeps pods from."""
    links = [
        Link("coredns", "UpstreamSilent", f"{why}, and the node itself is answered", when=frozenset({"node:answered"})),
        Link("pod-resolv-conf", "SearchDomainFails", why),
    ]
    if reason == "ForwardPolicyDrop":
        links.append(Link("coredns", "ApiNotReached", why))
    return links if reason in ("ForwardPolicyDrop", "Blocked", "PolicyBlocks") else []


def _untracked(path: DnsPath, rules: list[FilterRule]) -> Finding:
    rule = rules[0]
    why = f"the {rule} exempts DNS from connection tracking, so that replies are not translated back"
    return fail(
        "RepliesUntracked",
        f"{why[0].upper()}{why[1:]}: {_pod(path)} had replies from {' and '.join(path.strayed) or 'nobody'} instead of the address that it asked.",
        subject=f"{rule.table}/{rule.chain}",
        evidence=[Evidence(one.program, str(one)) for one in rules],
        fix=fixes.blocked(rule, "RepliesUntracked", path),
        explains=[
            *(
                Link("dns-reply-source", "UnexpectedSource", why, Certainty.PROVEN, frozenset({f"address:{address}"}))
                for address in _addresses(path)
            ),
            *_links(path, why, Certainty.LIKELY),
        ],
    )


def _untranslated(path: DnsPath, rule: FilterRule, packets: int | None) -> Finding:
    missing = sum(not answered(one) for one in path.again)
    counted = f"it counted {packets} packets" if packets is not None else "it does not count packets"
    why = f"the {rule} exempts DNS queries from connection tracking, so that nothing translates them to a DNS server"
    return fail(
        "RepliesUntracked",
        f"{why[0].upper()}{why[1:]}: {counted} while {missing} of {len(path.again)} DNS queries of {_pod(path)} were lost.",
        subject=f"{rule.table}/{rule.chain}",
        evidence=[Evidence(rule.program, f"{rule}\n{counted} while queries were asked again"), *_asked_again(path)],
        fix=fixes.blocked(rule, "RepliesUntracked", path),
        explains=_links(path, why, Certainty.LIKELY if packets is None else Certainty.PROVEN),
    )


def _reverse(path: DnsPath) -> Finding:
    missing = sum(not answered(one) for one in path.again)
    why = f"the kernel dropped {path.reverse_path} packets for their reverse path while {missing} DNS queries were lost"
    return fail(
        "ReversePathFilter",
        f"{why[0].upper()}{why[1:]}: by its routes it would reach their sender over another interface, and `rp_filter` is strict.",
        subject="rp_filter",
        evidence=[Evidence(f"{NETSTAT} IPReversePathFilter", f"rose by {path.reverse_path}"), *_asked_again(path)],
        fix=fixes.reverse_path(),
        explains=_links(path, why, Certainty.LIKELY),
    )


def _addresses(path: DnsPath) -> list[str]:
    return list(dict.fromkeys(one["query"]["server"] for one in path.lost))


def _links(path: DnsPath, why: str, certainty: Certainty) -> list[Link]:
    return [
        Link("dns-reply-source", reason, why, certainty, frozenset({f"{kind}:{address}"}))
        for address in _addresses(path)
        for reason in SYMPTOMS
        for kind in ("address", "backend")
    ]


def _asked_again(path: DnsPath) -> list[Evidence]:
    lines: dict[tuple[str, str], list[bool]] = {}
    for one in path.again:
        lines.setdefault((one["query"]["server"], one["query"]["transport"]), []).append(answered(one))
    told = [f"{server} {transport}: {sum(good)} of {len(good)} answered" for (server, transport), good in lines.items()]
    by = sorted({one["offender"] for one in (*path.lost, *path.again) if one["offender"]})
    if by:
        told.append(f"refused by {' and '.join(by)}")
    return [Evidence(f"asked again from {_pod(path)}", "\n".join(told))] if told else []


# -- how long a message may be -----------------------------------------------------------------------------------------


def _lengths(path: DnsPath) -> Iterator[Finding]:
    servers = dict.fromkeys(one["query"]["server"] for one in path.long)
    # A server that hangs up has received the message, and thinks it too long itself.
    dead = [server for server in servers if all(_silent(one) for one in path.long if one["query"]["server"] == server)]
    big = [overlay for overlay in path.overlays if overlay.mtu > overlay.most]
    for overlay in big:
        yield _too_big(path, overlay, dead)
    if dead and not big:
        yield fail(
            "LongMessagesLost",
            f"{' and '.join(dead)} on another node answers short queries of {_view(path)} over TCP and none of {PADDING} bytes: full packets "
            "are lost on the way between the nodes.",
            subject=", ".join(dead),
            evidence=[*_long(path), *_mtus(path)],
            fix=fixes.long_messages(dead[0]),
        )


def _silent(one: DnsOutcome) -> bool:
    return not one["replies"] and one["error"] is None


def _too_big(path: DnsPath, overlay: Overlay, dead: list[str]) -> Finding:
    lost = f", and queries of {PADDING} bytes to {' and '.join(dead)} are lost" if dead else ""
    passes = "" if dead or not path.long else " Long queries get through for now, for packets are cut in two below."
    return (fail if dead else warn)(
        "MtuTooBig",
        f"{overlay.name} has an MTU of {overlay.mtu}, and {overlay.below} below it one of {overlay.below_mtu}: with the {overlay.overhead} "
        f"bytes of {overlay.kind}'s headers only {overlay.most} fit{lost}.{passes}",
        subject=overlay.name,
        evidence=[*_mtus(path), *_long(path)],
        fix=fixes.mtu(overlay),
    )


def _view(path: DnsPath) -> str:
    return path.view.name if path.view else "a pod"


def _long(path: DnsPath) -> list[Evidence]:
    lines = [f"{one['query']['server']}: {'answered' if answered(one) else 'lost'}" for one in path.long]
    return [Evidence(f"TCP queries of {PADDING} bytes", "\n".join(lines))] if lines else []


def _mtus(path: DnsPath) -> list[Evidence]:
    lines = [
        f"{one.name} ({one.kind}) {one.mtu}, over {one.below} {one.below_mtu}: at most {one.most}"
        for one in path.overlays
    ]
    return [Evidence("MTUs by netlink", "\n".join(lines))] if lines else []
