"""The findings about the servers that CoreDNS asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.checks import _coredns_fixes as fixes
from k8sdoctor.checks._coredns_fixes import outside_too
from k8sdoctor.facts.coredns import CoreDns
from k8sdoctor.facts.dns_upstreams import DnsUpstreams
from k8sdoctor.finding import Evidence, Finding, Unobserved, fail, unknown, warn
from k8sdoctor.host.base import authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.host.answers import DnsOutcome


def upstream_servers(servers: CoreDns, upstreams: DnsUpstreams | Unobserved) -> Iterator[Finding]:
    """What is wrong with how they answer."""
    if isinstance(upstreams, Unobserved) or upstreams.problem is not None:
        problem = upstreams if isinstance(upstreams, Unobserved) else upstreams.problem
        if problem is not None and problem.reason != "Offline":
            yield unknown(problem.reason, f"The servers that CoreDNS asks could not be asked: {problem.message}.")
        return
    asked = upstreams.from_pod or upstreams.from_node
    silent = [address for address in addresses(asked) if not _alive(asked, address)]
    by_zone: dict[str, list[str]] = {}
    for one in upstreams.servers:
        by_zone.setdefault(one.zone, []).append(authority(one.address, one.port))
    dead = False
    for zone, all_ in by_zone.items():
        gone = [address for address in dict.fromkeys(all_) if address in silent]
        if gone:
            whole = zone == "." and set(gone) == set(all_)
            dead = dead or whole
            yield _silent(zone, gone, upstreams, whole=whole)
    codes = {_code(asked, address) for address in by_zone.get(".", ()) if address in addresses(asked)}
    if codes and codes <= {"REFUSED", "SERVFAIL"}:
        yield warn(
            "UpstreamRefuses",
            f"The servers that CoreDNS asks, {', '.join(by_zone['.'])}, answer `. NS` with {' and '.join(sorted(codes))}: names outside the "
            "cluster do not resolve, unless they answer for some alone.",
            subject=by_zone["."][0],
            evidence=seen(upstreams),
            fix=fixes.edit(
                "Have them answer this cluster's machines, or name others", f"dig @{_host(by_zone['.'][0])} . NS"
            ),
            explains=outside_too("the servers that CoreDNS asks refuse"),
        )
    # Silence alone says little: a policy may keep the node from asking these pods, and a server that waits for its upstream is slower than we.
    said = {_outcome(one) for one in upstreams.own} - {""}
    if not dead and said == {"SERVFAIL"}:
        yield warn(
            "OutsideNamesFail",
            "CoreDNS answers `. NS`, a name outside the cluster, with SERVFAIL.",
            subject=f"ConfigMap {servers.config_map}",
            evidence=seen(upstreams),
            fix=fixes.edit(
                "See whom it asks, and whether they answer it",
                "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20",
            ),
        )


def _silent(zone: str, gone: Sequence[str], upstreams: DnsUpstreams, *, whole: bool) -> Finding:
    from_pod = bool(upstreams.from_pod)
    node_well = from_pod and all(_alive(upstreams.from_node, address) for address in gone)
    where = f"pod {upstreams.pod}" if from_pod else "the node"
    both = ", while the node itself is answered" if node_well else " and the node" if from_pod else ""
    whom = "names outside the cluster" if zone == "." else f"names below {zone}"
    message = (
        f"{', '.join(gone)}, which CoreDNS asks for {whom}, left every query from {where} unanswered{both}"
        if node_well
        else f"{', '.join(gone)}, which CoreDNS asks for {whom}, left every query from {where}{both} unanswered"
    )
    sources = dict.fromkeys(
        one.source for one in upstreams.servers if authority(one.address, one.port) in gone and one.zone == zone
    )
    first = _host(gone[0])
    look = (
        "iptables-save -t nat | grep -E 'MASQUERADE|SNAT'; sysctl net.ipv4.ip_forward"
        if node_well
        else f"ip route get {first}"
    )
    return (fail if whole else warn)(
        "UpstreamSilent",
        f"{message} ({', '.join(sources)}).",
        subject=gone[0],
        evidence=seen(upstreams),
        traits={"node:answered"} if node_well else (),
        fix=fixes.edit(
            "Let what pods send out pass" if node_well else "Bring that server back, or name others",
            f"dig @{first} . NS",
            look,
        ),
        explains=outside_too(f"{gone[0]} is silent"),
    )


def _host(place: str) -> str:
    return place.rpartition(":")[0].strip("[]")


def addresses(outcomes: Iterable[DnsOutcome]) -> list[str]:
    """Who was asked, each once, as `address:port`."""
    return list(dict.fromkeys(authority(one["query"]["server"], one["query"]["port"]) for one in outcomes))


def _of(outcomes: Iterable[DnsOutcome], place: str) -> Iterator[DnsOutcome]:
    return (one for one in outcomes if authority(one["query"]["server"], one["query"]["port"]) == place)


def _alive(outcomes: Iterable[DnsOutcome], place: str) -> bool:
    return any(_outcome(one) for one in _of(outcomes, place))


def _code(outcomes: Iterable[DnsOutcome], place: str) -> str:
    return next((code for one in _of(outcomes, place) if (code := _outcome(one))), "")


def _outcome(outcome: DnsOutcome) -> str:
    """The code of the reply that is one to the query; empty where none came."""
    return next((each["rcode"] for each in outcome["replies"] if each["matches"]), "")


def seen(upstreams: DnsUpstreams | Unobserved) -> list[Evidence]:
    """What each was asked from where, and answered."""
    if isinstance(upstreams, Unobserved):
        return []
    views = (
        (f"`. NS` asked from pod {upstreams.pod}", upstreams.from_pod),
        ("`. NS` asked from the node", upstreams.from_node),
        ("`. NS` asked of CoreDNS from the node", upstreams.own),
    )
    return [
        Evidence(
            source,
            "\n".join(
                f"{authority(one['query']['server'], one['query']['port'])} {one['query']['transport']}: "
                f"{_outcome(one) or one['error'] or 'no reply'}"
                for one in outcomes
            ),
        )
        for source, outcomes in views
        if outcomes
    ]
