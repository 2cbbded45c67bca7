"""Endpoints at which nobody speaks TLS as an API server does, and those that are not dialled."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, fail, skip
from k8sdoctor.checks import _apiserver_fixes as fixes
from k8sdoctor.checks._api_links import unasked
from k8sdoctor.checks._apiserver_refusals import Scene, used_by
from k8sdoctor.checks._words import listed
from k8sdoctor.facts.api_endpoints import ApiEndpoint
from k8sdoctor.facts.kubeconfig import KUBELET
from k8sdoctor.facts.served_certificates import Hello
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.finding import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def unresolved(endpoint: ApiEndpoint, why: str, scene: Scene) -> Finding:
    """The resolver of this node knows no address for the endpoint's name."""
    return fail(
        "NameNotResolved",
        f"This node cannot resolve {endpoint.host}, the API server in {listed(used_by(endpoint.uses))}: {why}.",
        subject=endpoint.host,
        evidence=[Evidence(f"the node's resolver, {endpoint.host}", why)],
        fix=fixes.mend_name(endpoint.host, scene.site.advertise_address),
        explains=unasked(f"{endpoint.host} is not resolved here", endpoint.authority),
    )


def unreachable(found: Sequence[tuple[ApiEndpoint, Hello]], scene: Scene, *, answers: bool) -> Iterator[Finding]:
    """One finding an endpoint; but one in all where no API server answers anywhere, for then that is the one cause."""
    if not found:
        return
    by_weight = sorted(found, key=lambda each: ("own" not in each[0].kinds, each[0].kinds == {"service"}))
    groups = [[each] for each in by_weight] if answers else [by_weight]
    for group in groups:
        endpoint, hello = group[0]
        said = hello.failure["message"] if hello.failure else "no answer"
        routeless = endpoint.kinds == {"service"} and said.endswith(os.strerror(errno.ENETUNREACH))
        if routeless:
            said += ", as the kernel says where a node has no default route"
        others = [each.authority for each, _ in group[1:]]
        tail = f"; nor does anybody at {listed(others)}" if others else ""
        yield fail(
            "EndpointUnreachable",
            f"No API server answers at {endpoint.authority} ({listed(used_by(endpoint.uses))}): {said}{tail}.",
            subject=endpoint.authority,
            evidence=[words for each, met in group for words in failures(each, [met])],
            fix=fixes.give_route(endpoint.authority)
            if routeless
            else fixes.find_silence(
                scene.site, endpoint.authority, own="own" in endpoint.kinds, service=endpoint.kinds == {"service"}
            ),
            explains=_without_api(group),
            traits=[
                *(trait for each, _ in group for trait in traits(each)),
                *(["endpoint:service"] if len(group) == 1 and endpoint.kinds == {"service"} else []),
                *([f"address:{endpoint.host}"] if len(group) == 1 else []),
                *(["manifest:unread"] if scene.server.malformed and not answers else []),
            ],
        )


def traits(endpoint: ApiEndpoint) -> list[str]:
    """What a cause may ask for: which endpoint it is, and whether it is this node's own API server."""
    return [f"endpoint:{endpoint.authority}", *(["endpoint:own"] if "own" in endpoint.kinds else [])]


def _without_api(group: Sequence[tuple[ApiEndpoint, Hello]]) -> Iterator[Link]:
    """What an API server that is not reached does to this node's being ready."""
    endpoint = group[0][0]
    silent = f"nobody answers at {endpoint.authority}"
    yield from unasked(silent, *(each.authority for each, _ in group))
    if any(use.source == KUBELET for each, _ in group for use in each.uses):
        for reason in ("StatusUnknown", "LeaseStale"):
            yield Link("node-ready", reason, f"{silent}, where the kubelet posts its status")


def plain(endpoint: ApiEndpoint, said: str) -> Finding:
    """Who listens answered a TLS hello in plain HTTP."""
    who = listed(used_by(endpoint.uses))
    return fail(
        "PlainHttpEndpoint",
        f"{endpoint.authority} ({who}) speaks plain HTTP where clients speak TLS: {said}.",
        subject=endpoint.authority,
        evidence=[Evidence(f"tls://{endpoint.authority}", said)],
        fix=fixes.speak_tls(endpoint.authority, who),
        explains=unasked(f"{endpoint.authority} speaks plain HTTP", endpoint.authority),
    )


def plain_by_configuration(every: Iterable[ApiEndpoint]) -> Iterator[Finding]:
    """A kubeconfig with `http://`; on loopback that is `kubectl proxy`, which is meant so."""
    for endpoint in every:
        address = as_address(endpoint.host)
        by_http = [use for use in endpoint.uses if use.plain]
        if by_http and not (address.is_loopback if address else endpoint.host == "localhost"):
            who = listed(used_by(by_http))
            yield fail(
                "PlainHttpEndpoint",
                f"{who} reaches the API server by http://{endpoint.authority}, without TLS.",
                subject=endpoint.authority,
                evidence=[Evidence(who, f"server: http://{endpoint.authority}")],
                fix=fixes.speak_tls(endpoint.authority, who),
            )


def through_proxy(every: Iterable[ApiEndpoint]) -> Iterator[Finding]:
    """Endpoints that are reached by a proxy alone, which is not followed."""
    for endpoint in every:
        if endpoint.uses and all(use.proxy for use in endpoint.uses):
            message = f"{endpoint.authority} is reached by a proxy, as {listed(used_by(endpoint.uses))} says, and was not dialled."
            yield skip("ThroughProxy", message, subject=endpoint.authority)


def failures(endpoint: ApiEndpoint, hellos: Iterable[Hello]) -> list[Evidence]:
    """How hellos failed, as evidence."""
    return [Evidence(f"tls://{endpoint.authority}", hello.failure["message"]) for hello in hellos if hello.failure]
