"""The findings about CoreDNS's configuration: whether it starts with it, serves the cluster's domain, and asks another than itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.checks import _coredns_fixes as fixes
from k8sdoctor.checks._coredns_fixes import links, outside_too
from k8sdoctor.facts import corefile
from k8sdoctor.facts.cluster_dns import ClusterDns
from k8sdoctor.facts.coredns import CoreDns
from k8sdoctor.facts.dns_upstreams import DnsUpstreams
from k8sdoctor.finding import Certainty, Evidence, Finding, Link, Unobserved, fail, warn
from k8sdoctor.host.base import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def configuration(servers: CoreDns, dns: ClusterDns, upstreams: DnsUpstreams | Unobserved) -> Iterator[Finding]:
    """What is wrong with the Corefile; nothing where there is none to read."""
    if servers.corefile is None:
        return
    make = warn if servers.some_ready else fail
    subject = f"ConfigMap {servers.config_map}"
    try:
        blocks = corefile.read(servers.corefile)
    except corefile.CorefileError as error:
        yield make(
            "CorefileMalformed",
            f"The Corefile of {subject} cannot be read, {error}: CoreDNS does not start with it.",
            subject=subject,
            evidence=[Evidence(subject, servers.corefile)],
            fix=fixes.edit("Correct the Corefile"),
            explains=[] if servers.some_ready else links("NoBackends", "NoReply", why="CoreDNS does not start"),
        )
        return
    lines = servers.corefile.splitlines()
    yield from _twice(blocks, lines, subject, make)
    yield from _misspelt(blocks, lines, subject)
    yield from _domain(blocks, servers, dns, subject)
    if isinstance(upstreams, DnsUpstreams):
        yield from _loops(upstreams, servers, dns, blocks)
        for file in upstreams.empty:
            yield make(
                "NoUpstream",
                f"CoreDNS forwards to the servers of {file}, which names none: it does not start with that.",
                subject=subject,
                evidence=[Evidence(file, "no nameserver")],
                fix=fixes.edit("Name resolvers in that file, or in the Corefile, or take the line `forward` away"),
                explains=[] if servers.some_ready else links("NoBackends", "NoReply", why="CoreDNS does not start"),
            )


def _line(lines: Sequence[str], number: int) -> str:
    return f"{number}: {lines[number - 1].strip()}" if 0 < number <= len(lines) else str(number)


def _twice(
    blocks: Sequence[corefile.ServerBlock], lines: Sequence[str], subject: str, make: Callable[..., Finding]
) -> Iterator[Finding]:
    """Zones that two blocks serve at the same addresses, unless a plugin `view` tells their queries apart (register.go)."""
    first: dict[tuple[object, ...], corefile.ServerBlock] = {}
    for block in blocks:
        if block.named("view"):
            continue
        bound = tuple(sorted(word for each in block.named("bind") for word in each.words))
        for zone in block.zones:
            if "/" in zone[1] or "{$" in zone[1]:  # a network becomes several zones; a variable is the container's
                continue
            earlier = first.setdefault((zone, bound), block)
            if earlier is not block or block.zones.count(zone) > 1:
                yield make(
                    "DuplicateZone",
                    f"The Corefile serves {zone[1]} on port {zone[2]} twice, in lines {earlier.line} and {block.line}: CoreDNS does not start "
                    "with it.",
                    subject=subject,
                    evidence=[Evidence(subject, f"{_line(lines, earlier.line)}\n{_line(lines, block.line)}")],
                    fix=fixes.edit("Make one block of the two"),
                )
                return


def _misspelt(blocks: Sequence[corefile.ServerBlock], lines: Sequence[str], subject: str) -> Iterator[Finding]:
    for block in blocks:
        for each in block.directives:
            if each.name in corefile.PLUGINS or "{$" in each.name:
                continue
            import difflib

            near = difflib.get_close_matches(each.name, corefile.PLUGINS, 1)
            meant = f" (`{near[0]}` is one)" if near else ""
            yield warn(
                "UnknownPlugin",
                f"Line {each.line} of the Corefile names {each.name!r}, which is no plugin that CoreDNS is built with{meant}: unless this build has "
                "it, CoreDNS refuses the Corefile.",
                subject=subject,
                evidence=[Evidence(subject, _line(lines, each.line))],
                fix=fixes.edit(f"Write `{near[0]}`, if that is meant" if near else "Take the line away, or correct it"),
                explains=[Link("coredns", "ConfigRefused", f"line {each.line} names {each.name!r}", Certainty.LIKELY)],
            )


def _domain(
    blocks: Sequence[corefile.ServerBlock], servers: CoreDns, dns: ClusterDns, subject: str
) -> Iterator[Finding]:
    """Whether some block on port 53 serves the domain that pods are told, by the plugin that knows services."""
    if dns.domain is None or dns.domain_source is None or any(block.named("import") for block in blocks):
        return
    wanted = f"{dns.domain.rstrip('.').lower()}."
    served: list[str] = []
    for block in blocks:
        zones = [zone for transport, zone, _ in block.zones if transport == "dns"]
        for each in block.named("kubernetes"):
            words = [f"{word.rstrip('.').lower()}." for word in each.words] or zones
            served += [word for word in words if any(_within(word, zone) for zone in zones)]
        # What others may answer for it: a zone's own server to which it is forwarded, a file, a rewritten name.
        others = ("file", "auto", "secondary", "etcd", "rewrite", "template", "hosts", "grpc")
        if any(block.named(each) for each in others) and any(_within(wanted, zone) for zone in zones):
            return
        if any(zone != "." and _within(wanted, zone) and block.named("forward") for zone in zones):
            return
    if any(_within(wanted, zone) or "{$" in zone for zone in served):
        return
    has = ", ".join(dict.fromkeys(zone.rstrip(".") or "." for zone in served if not zone.endswith("arpa."))) or "none"
    yield fail(
        "ClusterDomainUnserved",
        f"Pods here look for services under {dns.domain} ({dns.domain_source}), and the Corefile gives its plugin `kubernetes` other "
        f"domains: {has}.",
        subject=subject,
        evidence=[Evidence(dns.domain_source, dns.domain), Evidence(subject, servers.corefile or "")],
        fix=fixes.edit(f"Give the plugin `kubernetes` the domain {dns.domain}, or the kubelets the Corefile's"),
        explains=links(
            "NameNotFound", "RefusedQuery", "ServerFailure", why=f"CoreDNS does not serve the domain {dns.domain}"
        ),
    )


def _within(name: str, zone: str) -> bool:
    return zone in {".", name} or name.endswith(f".{zone}")


def _loops(
    upstreams: DnsUpstreams, servers: CoreDns, dns: ClusterDns, blocks: Sequence[corefile.ServerBlock]
) -> Iterator[Finding]:
    """Forwards of the root zone to the server itself: on loopback, by the service address, or by its pods."""
    ports = {port for block in blocks for _, _, port in block.zones}
    services = {one.address for one in dns.addresses if "service " in one.source}
    own = {pod.address for pod in servers.pods if pod.address}
    for one in upstreams.servers:
        if str(one.port) not in ports or one.zone != ".":
            continue
        if one.loopback:
            what = "which in its pod is CoreDNS itself"
        elif one.address in services:
            what = f"the address of {dns.service}, which is CoreDNS itself"
        elif one.address in own:
            what = "which is one of its own pods"
        else:
            continue
        yield (warn if servers.some_ready and one.loopback else fail)(
            "Looping",
            f"CoreDNS forwards to {authority(one.address, one.port)} ({one.source}), {what}: each name outside the cluster goes in circles.",
            subject=f"ConfigMap {servers.config_map}",
            evidence=[Evidence(one.source, authority(one.address, one.port))],
            fix=fixes.break_loop(),
            explains=[
                *links("NoBackends", "NoReply", why=f"CoreDNS forwards to itself by {one.source}"),
                Link("coredns", "CrashLoop", "its plugin `loop` ends it", Certainty.LIKELY),
                *outside_too(f"CoreDNS forwards to itself by {one.source}"),
            ],
        )
        return
