"""Judges what became of A and AAAA that were asked at once, as resolvers ask."""

from __future__ import annotations

from collections import Counter
from math import comb
from typing import TYPE_CHECKING

from k8sdoctor.facts.conntrack_losses import STATISTICS
from k8sdoctor.facts.dns_pairs import TYPES
from k8sdoctor.facts.dns_path import answered
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.dns_pairs import DnsPairs

CHANCE = 0.05
"""How likely it may be that a way which loses one packet in so many, whatever it is, spared all but those of pairs."""


def judge(asked: DnsPairs) -> Iterator[Finding]:
    """A finding for each address that loses one of a pair, or never answers one type."""
    for address in asked.addresses:
        mute = [kind for kind in TYPES if not any(map(answered, asked.alone(address, kind)))]
        if len(mute) == 1:
            yield _mute(asked, address, mute[0])
        elif _torn(asked, address):
            yield _pair_lost(asked, address)


def seen(asked: DnsPairs) -> list[Evidence]:
    """What was asked, and what came of it."""
    lines = []
    for address in asked.addresses:
        pairs = asked.pairs(address)
        lost = Counter(pair.lost for pair in pairs if pair.lost)
        whole = sum(answered(pair.first) and answered(pair.second) for pair in pairs)
        told = "".join(f", {kind} alone lost {count} times" for kind, count in lost.items())
        lines.append(f"{address}: {whole} of {len(pairs)} pairs of A and AAAA from one port were answered{told}")
        for kind in TYPES:
            alone = asked.alone(address, kind)
            lines.append(
                f"{address}: {sum(map(answered, alone))} of {len(alone)} queries for {kind} from ports of their own were answered"
            )
    if asked.raced is not None:
        lines.append(f"{STATISTICS}: packets lost to races meanwhile: {asked.raced}")
    if asked.problem:
        lines.append(f"not asked: {asked.problem.message}")
    return [Evidence(f"A and AAAA asked at once from {asked.view.name}", "\n".join(lines))] if asked.view else []


def _torn(asked: DnsPairs, address: str) -> bool:
    """Whether pairs lose one of the two, and nothing else is lost: more than chance would do, or as many as the kernel counts."""
    pairs = asked.pairs(address)
    alone = [one for kind in TYPES for one in asked.alone(address, kind)]
    lost = sum(pair.lost is not None for pair in pairs)
    if (
        not lost
        or not all(map(answered, alone))
        or any(not (answered(one.first) or answered(one.second)) for one in pairs)
    ):
        return False
    messages = 2 * len(pairs)
    return _raced(asked, lost) or comb(messages, lost) / comb(messages + len(alone), lost) <= CHANCE


def _raced(asked: DnsPairs, lost: int) -> bool:
    return asked.raced is not None and asked.raced >= lost


def _pair_lost(asked: DnsPairs, address: str) -> Finding:
    pairs = asked.pairs(address)
    kinds = Counter(pair.lost for pair in pairs if pair.lost)
    lost = sum(kinds.values())
    raced = _raced(asked, lost)
    which = " and ".join(f"{kind} {count} times" for kind, count in kinds.items())
    name = asked.view.name if asked.view else "a pod"
    because = (
        f" The kernel counted {asked.raced} packets lost to races of connections meanwhile."
        if raced
        else " Most likely two packets of one port race in the kernel's connection tracking, or the server takes one query at a time from a port."
    )
    return fail(
        "PairLost",
        f"{address} left {lost} of {len(pairs)} pairs from {name} half unanswered ({which}), and answered each query that had a port of its own: a "
        f"resolver that asks for A and AAAA at once waits 5 s for what is lost.{because}",
        subject=address,
        evidence=seen(asked),
        traits=[f"address:{address}", *(["pairs:raced"] if raced else [])],
        explains=[
            Link(
                "dns-reply-source",
                "FailedWhileWatched",
                "queries of pairs failed, and no others",
                when=frozenset({f"address:{address}", "pairs:alone"}),
            )
        ],
        fix=Fix(
            "Let pods ask a cache on their own node (NodeLocal DNSCache), whose queries are not tracked; until then have those that suffer ask from "
            "two ports (`single-request-reopen`) or over TCP (`use-vc`). Where the kernel is older than 5.0, update it",
            (
                "uname -r",
                "kubectl -n kube-system get daemonset node-local-dns",
                "echo 'spec.dnsConfig.options of a pod that suffers: [{name: single-request-reopen}]'",
            ),
            "k8sdoctor check dns-path conntrack",
            Safety.MANUAL,
        ),
    )


def _mute(asked: DnsPairs, address: str, kind: str) -> Finding:
    other = next(each for each in TYPES if each != kind)
    count, answers = len(asked.alone(address, kind)), sum(map(answered, asked.alone(address, other)))
    return fail(
        "TypeUnanswered",
        f"{address} answered none of {count} queries for {kind} from {asked.view.name if asked.view else 'a pod'}, and {answers} for {other}: a resolver "
        "asks for both, and waits for what does not come.",
        subject=address,
        evidence=seen(asked),
        traits=[f"address:{address}"],
        fix=Fix(
            f"Find who drops queries for {kind}: ask each DNS server itself as well, and look for a `template` or `acl` in the Corefile",
            (
                "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
                f"dig +tries=1 @{address} kubernetes.default.svc.cluster.local {kind}",
                "kubectl -n kube-system get configmap coredns -o yaml",
            ),
            "k8sdoctor check dns-path",
            Safety.MANUAL,
        ),
    )
