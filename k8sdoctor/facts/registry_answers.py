"""What the places answer that somebody wrote down as registries or mirrors: the version check of `/v2/`, asked as the runtime asks it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from k8sdoctor.facts.manifest import words
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.refused_certificate import Refusal
from k8sdoctor.facts.registry_config import RegistryConfig, is_made_up
from k8sdoctor.facts.registry_exchange import REFUSED_CERTIFICATES
from k8sdoctor.facts.registry_hosts import PullConfig
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.proxy import ProxyEnvironment
    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import HttpAnswer, NetworkError

LIMIT = 5.0
"""Seconds that one request may take. A constant, so that a recording holds the same question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one place said to `GET /v2/`."""

    host: RegistryHost
    status: int = 0
    failure: NetworkError | None = None
    said: str = ""
    """The failure's words, or those of an error."""
    registry: bool = False
    """Whether it answers like a registry: 200, a challenge, or the API's own header."""
    wants_tls: bool = False
    """Plain HTTP was spoken to a port that speaks TLS."""
    proxy: str | None = None
    untried: Unobserved | None = None
    """Why it could not be asked."""

    @property
    def netloc(self) -> str:
        """`host[:port]`, for a sentence."""
        return urlsplit(self.host.base_url).netloc.rpartition("@")[2]

    def __str__(self) -> str:
        way = f" through the proxy {self.proxy}" if self.proxy else ""
        if self.untried is not None:
            return f"not asked: {self.untried.message}"
        said = (
            f"{self.failure} ({self.said})"
            if self.failure
            else f"{self.status}{f' “{self.said}”' if self.said else ''}"
        )
        return f"GET {self.host.url('')} → {said}{way}"


@dataclass(frozen=True)
class RegistryAnswers:
    """Places that are asked for the sandbox image are not asked twice, and are not among them."""

    all: tuple[Answer, ...] = ()

    @classmethod
    def observe(cls, host: Host, config: RegistryConfig, pulls: PullConfig, pull: PullAttempts | Unobserved) -> Self:
        """Ask each place that is written down, and the registries that must answer where mirrors are not asked. Never raises HostError."""
        asked = {attempt.host.question for attempt in pull.attempts} if isinstance(pull, PullAttempts) else set()
        places = {place.question: place for place in config.hosts}
        for chain, _ in config.skipped:
            if not is_made_up(chain.image.registry):
                places.update((place.question, place) for place in chain.hosts)
        chosen = [place for question, place in places.items() if question not in asked]
        return cls(tuple(side_by_side([partial(_ask, host, place, pulls.proxy) for place in chosen])))


def _ask(host: Host, place: RegistryHost, proxy: ProxyEnvironment) -> Answer:
    first = _once(host, place, proxy)
    # The runtime then tries plain HTTP itself, where its configuration lets it.
    if place.http_fallback and first.failure in {"tls-plain", "refused"}:
        plain = _once(host, replace(place, base_url=place.http_fallback, http_fallback=None), proxy)
        return replace(plain, host=place)
    return first


def _once(host: Host, place: RegistryHost, proxy: ProxyEnvironment) -> Answer:
    url = place.url("")
    way = proxy.proxy_for(url)
    shown = way.rpartition("@")[2] if way else None
    try:
        got = _get(host, place, url, way, verify=place.verify)
        failure = got["failure"]
        if failure is not None and failure["kind"] in REFUSED_CERTIFICATES and way is None:
            refusal = Refusal.observe(host, url, failure["kind"], failure["message"])
            return Answer(place, failure=refusal.kind, said=refusal.words)
        if failure is not None and failure["kind"] not in {"protocol", "reset"}:
            return Answer(place, failure=failure["kind"], said=failure["message"], proxy=shown)
        tls = url.startswith("http://") and (failure is not None or got["status"] == 400)  # noqa: PLR2004 -- Bad Request
        if tls and _get(host, place, f"https{url.removeprefix('http')}", way, verify=False)["failure"] is None:
            return Answer(place, got["status"], wants_tls=True, proxy=shown)
    except HostError as error:
        return Answer(place, untried=Unobserved(error.reason, error.message))
    if failure is not None:
        return Answer(place, failure=failure["kind"], said=failure["message"], proxy=shown)
    api = "docker-distribution-api-version" in got["headers"]
    challenge = got["status"] == 401 and "www-authenticate" in got["headers"]  # noqa: PLR2004 -- Unauthorized
    fine = got["status"] == 200 and "html" not in got["headers"].get("content-type", "")  # noqa: PLR2004 -- OK
    said = words(got["body"]) if got["status"] >= 400 else ""  # noqa: PLR2004 -- an error
    return Answer(place, got["status"], said=said, registry=api or challenge or fine, proxy=shown)


def _get(host: Host, place: RegistryHost, url: str, proxy: str | None, *, verify: bool) -> HttpAnswer:
    return host.http(
        {
            "method": "GET",
            "url": url,
            "headers": {**place.headers},
            "ca_files": list(place.ca_files),
            "client_certificate": place.client_certificate,
            "verify": verify,
            "proxy": proxy,
            "limit": LIMIT,
        }
    )
