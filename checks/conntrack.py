"""The kernel has room to track connections, and loses none.

## What it looks at
How many connections the node's network namespace tracks and how many it may; the counters of what was lost, before and after DNS was asked
from pods; the tracked UDP connections to the cluster's DNS addresses, and the backends to which they are translated.

## Why it matters
Every packet to a service is translated by an entry of this table. When it is full, new connections are dropped, DNS queries first, for
each is a connection of its own. When two queries of one socket race (A and AAAA at once), one can be lost, and the resolver waits 5 seconds. An
entry that leads to a pod that is gone holds a client there for as long as it asks again from the same port.

## How it is decided
From 90 % on the table is called nearly full; full is at its maximum, or when packets were dropped for room between the two readings. Losses
count only when they rose between the readings, for the counters since boot tell of the past. Kernels from 4.7 on settle most races without a
loss, and count `drop` beside `insert_failed` where one lost a packet; older ones count `insert_failed` alone. An entry is stale when the API server lists all
backends, there are some, and the entry's is none of them.

## Reasons
- `RoomLeft` (pass): there is room, and nothing was lost while DNS was asked
- `NoConntrack` (skip): the kernel tracks no connections here
- `TableFull` (fail): no new connection can be tracked
- `TableNearlyFull` (warn): over 90 % is used
- `InsertFailing` (warn): packets were lost between two readings, to a race or for want of room
- `StaleEntry` (warn): a DNS client is held at a backend that is gone
- `EntriesUnread` (unknown): the tracked DNS connections could not be read

## What it sends
Nothing of its own; it reads again after `dns-reply-source` and `dns-path` have asked.

## How to fix
Let the table hold more, now by sysctl and for good in kube-proxy's configuration, which sets it at each start; find who opens so many
connections. Delete stale entries. Against races: NodeLocal DNSCache, or `single-request-reopen` in the pods' resolver options.

## How to verify
`sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max` and `k8sdoctor check conntrack`.

## References
- Linux `Documentation/networking/nf_conntrack-sysctl.rst`, `net/netfilter/nf_conntrack_core.c`, commit 71d8c47fc653
- kubernetes/kubernetes#56903 (lost queries, 5 s), #71261 (table full), #125467 (stale entries)
- kubernetes `pkg/proxy/apis/config`: `conntrack.maxPerCore`, `conntrack.min`
"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time

from k8sdoctor.check import check
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.conntrack import COUNT, MAX, TABLE, Conntrack, DnsEntry
from k8sdoctor.facts.conntrack_losses import STATISTICS
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)

NEARLY = 0.9
"""Of the maximum; node-problem-detector warns from there on, too."""

VERIFY = "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"


@check("conntrack", title="The kernel has room to track connections, and loses none", area="pod network")
def conntrack(table: Conntrack | Unobserved, dns: ClusterDns) -> Iterator[Finding]:
    """Judge room, losses, and entries that lead nowhere."""
    if isinstance(table, Unobserved):
        if table.reason == "NotFound":
            yield skip("NoConntrack", f"The kernel tracks no connections here: {table.message}.")
        else:
            yield unknown(table.reason, f"The table of connections could not be looked at: {table.message}.")
        return
    findings = [*_room(table), *_losses(table), *_stale(table, dns)]
    yield from findings or [
        passed(
            "RoomLeft",
            f"{table.count} of {table.maximum} connections are tracked, and none was lost between two looks at the counters.",
            evidence=[_size(table), _lost(table)],
        )
    ]


def _size(table: Conntrack) -> Evidence:
    return Evidence(f"{COUNT}, {MAX.rpartition('/')[2]}", f"{table.count} of {table.maximum}")


def _lost(table: Conntrack) -> Evidence:
    rose = ", ".join(f"{name} rose by {by}" for name, by in table.lost.items()) or "none rose between two looks"
    boot = ", ".join(f"{name} {count}" for name, count in table.since_boot.items())
    return Evidence(STATISTICS, f"{rose}; since boot: {boot}")


def _room(table: Conntrack) -> Iterator[Finding]:
    full = table.count >= table.maximum or table.refused > 0
    if not full and table.count < NEARLY * table.maximum:
        return
    more = max(262_144, 2 * table.maximum)
    drop_in = f"/etc/sysctl.d/99-nf-conntrack-max-{more}.conf"
    fix = Fix(
        f"Let the table hold {more} connections (kube-proxy sets it at each start: raise conntrack.min in its ConfigMap, too)",
        (f"sysctl -w net.netfilter.nf_conntrack_max={more}",),
        VERIFY,
        Safety.SAFE,
        (f"mkdir -p /etc/sysctl.d && echo 'net.netfilter.nf_conntrack_max = {more}' > {drop_in}",),
    )
    evidence = [_size(table), _lost(table)]
    if full:
        why = f"{table.count} of {table.maximum} connections are tracked: new ones are dropped"
        yield fail(
            "TableFull",
            f"The table of connections is full ({table.count} of {table.maximum}): packets of new connections are dropped.",
            subject="nf_conntrack_max",
            evidence=evidence,
            fix=fix,
            explains=_explains(why),
        )
    else:
        yield warn(
            "TableNearlyFull",
            f"{table.count} of {table.maximum} connections are tracked ({table.count * 100 // table.maximum} %): at the maximum new ones "
            "are dropped.",
            subject="nf_conntrack_max",
            evidence=evidence,
            fix=fix,
        )


def _losses(table: Conntrack) -> Iterator[Finding]:
    rose = {name: table.lost[name] for name in ("insert_failed", "early_drop") if name in table.lost}
    if (not table.raced and "early_drop" not in rose) or table.count >= table.maximum or table.refused:
        return
    told = " and ".join(f"{name} rose by {by}" for name, by in rose.items())
    yield warn(
        "InsertFailing",
        f"The kernel lost packets of new connections while DNS was asked: {told}. A query that is lost so is asked again after 5 s.",
        subject="nf_conntrack",
        evidence=[_lost(table), _size(table)],
        fix=Fix(
            "Let pods ask a cache on their own node, whose queries are not tracked, or send A and AAAA one after the other",
            (
                "kubectl -n kube-system get daemonset node-local-dns",
                "echo 'spec.dnsConfig.options of a pod that suffers: [{name: single-request-reopen}]'",
            ),
            f"grep . {STATISTICS}",
            Safety.MANUAL,
        ),
        explains=(*_explains(told), *_tears(table, told)),
    )


def _tears(table: Conntrack, why: str) -> tuple[Link, ...]:
    """What a race does to A and AAAA that are asked at once."""
    return (Link("dns-path", "PairLost", why, Certainty.PROVEN, frozenset({"pairs:raced"})),) if table.raced else ()


def _explains(why: str) -> tuple[Link, ...]:
    return tuple(Link("dns-reply-source", reason, why) for reason in ("NoReply", "RepliesLost", "SlowReply"))


def _stale(table: Conntrack, dns: ClusterDns) -> Iterator[Finding]:
    if table.entries is None:
        yield unknown(
            "EntriesUnread", f"Which DNS connections are tracked could not be read: {table.blind}.", subject=TABLE
        )
        return
    known = {backend.address for backend in dns.backends}
    if not dns.complete or not known:
        return
    # An entry that is not translated goes to the service's own address, before kube-proxy has written a rule.
    stale = [one for one in table.entries if one.backend not in known and one.backend != one.address]
    by_backend: dict[tuple[str, str], list[DnsEntry]] = {}
    for one in stale:
        by_backend.setdefault((one.address, one.backend), []).append(one)
    for (address, backend), entries in by_backend.items():
        silent = sum(one.unreplied for one in entries)
        yield warn(
            "StaleEntry",
            f"{len(entries)} tracked DNS connections to {address} lead to {backend}, which is no backend of {dns.service} ({silent} of them "
            "without a reply): a client that asks again from the same port is held there.",
            subject=backend,
            evidence=[Evidence(TABLE, "\n".join(one.line for one in entries[:5]))],
            traits=[f"backend:{backend}"],
            fix=Fix(
                "Delete these entries; clients ask again",
                (f"conntrack -D -p udp --orig-dst {address} --orig-port-dst 53 --reply-src {backend}",),
                f"conntrack -L -p udp --orig-dst {address} --reply-src {backend}",
                Safety.SAFE,
            ),
            explains=tuple(
                Link(
                    "dns-reply-source",
                    reason,
                    f"tracked connections to {address} lead to {backend}",
                    when=frozenset({f"address:{address}"}),
                )
                for reason in ("NoReply", "RepliesLost")
            ),
        )
