"""What a runtime and a registry host say to each other: requests, redirects, tokens. Every peer is asked as the runtime asks it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts import manifest, urls
from k8sdoctor.facts.refused_certificate import Refusal
from k8sdoctor.facts.registry_exchange import REFUSED_CERTIFICATES, EndError, Exchange, Got, Place, without_user
from k8sdoctor.facts.registry_login import log_in
from k8sdoctor.host import Host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.proxy import ProxyEnvironment
    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.facts.registry_exchange import Dead, Method, Outcome
    from k8sdoctor.facts.runtime import Kind
    from k8sdoctor.host.answers import HttpAnswer

LIMIT = 5.0
"""Seconds that one exchange with a registry may take. A constant, so that a recording holds the same question."""

REDIRECTS = 10
"""As many as Go's client follows (containerd `core/remotes/docker/resolver.go`, net/http `client.go`)."""


class Conversation:
    """The requests of one runtime to one registry host, and whom that host sends it to, for one image.

    `exchanges` holds what was said, `login` tells whether credentials were used, `greeted` whether the version check went well. At a place
    that is known to be `dead` nobody is asked.
    """

    def __init__(
        self,
        host: Host,
        registry: RegistryHost,
        proxy: ProxyEnvironment,
        runtime: Kind,
        dead: Mapping[Place, Dead],
    ) -> None:
        """Begin with nothing said."""
        self.registry = registry
        self.runtime = runtime
        self.exchanges: list[Exchange] = []
        self.authorization: dict[str, str] = {}  # by host[:port], as containerd's authorizer keeps it
        self.users: dict[str, str] = {}
        self.login = False
        self.greeted = False
        self._host = host
        self._proxy = proxy
        self._dead = dead

    def ask(self, method: Method, url: str, accept: str) -> Got:
        """The answer of 2xx, after redirects and login. Raises EndError for any other."""
        got = self.follow(method, url, accept)
        # CRI-O and Docker know the challenge of `/v2/` alone.
        if got.answer["status"] == 401 and self.runtime == "containerd":  # noqa: PLR2004 -- Unauthorized
            log_in(self, got)
            got = self.follow(method, url, accept)
        status = got.answer["status"]
        if status // 100 == 2:  # noqa: PLR2004 -- success
            return got
        told = got
        if method == "HEAD" and status >= 400:  # noqa: PLR2004 -- an error whose body says more
            told = self.ask_in_vain(url, accept) or got
        said = manifest.words(told.answer["body"])
        match status:
            case 401:
                raise EndError("auth-required", got.exchange, said)
            case 403:
                raise EndError("forbidden", got.exchange, said)
            case 404:
                raise EndError("not-found", got.exchange, said)
            case 400 if self._speaks_tls(got.exchange.url):
                raise EndError("tls-port", got.exchange, said)
        raise EndError("error", got.exchange, said)

    def greet(self) -> None:
        """Ask for `/v2/`, as CRI-O and Docker do before anything else, to learn how to log in.

        To CRI-O any answer but 200 and 401 is the end of this host (containers/image `docker/docker_client.go`
        detectPropertiesHelper); Docker wants no more than an answer (moby `daemon/pkg/registry/auth.go` PingV2Registry).
        """
        got = self.follow("GET", self.registry.url(""), "*/*")
        status = got.answer["status"]
        if self.runtime == "cri-o" and status not in (200, 401):
            said = manifest.words(got.answer["body"])
            outcome: Outcome = "forbidden" if status == 403 else "no-registry" if status == 404 else "error"  # noqa: PLR2004
            raise EndError(outcome, got.exchange, said)
        self.greeted = True
        if status == 401:  # noqa: PLR2004 -- Unauthorized
            log_in(self, got)

    def ask_in_vain(self, url: str, accept: str) -> Got | None:
        """The answer to a GET, whatever it is; None when there is none. Only for what it says."""
        with contextlib.suppress(EndError):
            return self.follow("GET", url, accept)
        return None

    def follow(self, method: Method, url: str, accept: str) -> Got:
        """The answer at the end of all redirects. Raises EndError where there is none."""
        for _ in range(REDIRECTS + 1):
            got = self._once(method, url, accept)
            location = got.answer["headers"].get("location", "").partition("\n")[0]
            if got.answer["status"] not in (301, 302, 303, 307, 308) or not location:
                return got
            target = urls.joined(url, location)
            if target is None:
                raise EndError("error", got.exchange, f"redirected to {location}, which is no URL of HTTP")
            url = target
        raise EndError("error", self.exchanges[-1], f"stopped after {REDIRECTS} redirects")

    def send(self, method: Method, url: str, headers: dict[str, str]) -> Got:
        """One request to whomever, with an answer of any status. Raises EndError where there is none."""
        known = self._dead.get(Place.of(url, self.registry))
        if known is not None:
            raise EndError("unreachable", Exchange(method, without_user(url), failure=known.failure, words=known.words))
        proxy = self._proxy.proxy_for(url)
        answer = self._http(method, url, headers, proxy, verify=self.registry.verify)
        failure = answer["failure"]
        told = ""
        if failure is not None:
            told = failure["message"]
        elif answer["status"] >= 400:  # noqa: PLR2004 -- an error
            told = manifest.words(answer["body"])
        exchange = Exchange(
            method=method,
            url=without_user(url),
            status=answer["status"],
            peer=answer["peer"],
            failure=failure["kind"] if failure else None,
            words=told,
            content_type=answer["headers"].get("content-type", ""),
            location=answer["headers"].get("location", "") if answer["status"] // 100 == 3 else "",  # noqa: PLR2004 -- redirection
            proxy=without_user(proxy) if proxy else None,
        )
        self.exchanges.append(exchange)
        if failure is not None:
            raise EndError("forbidden" if failure["kind"] == "proxy-refused" else "unreachable", exchange)
        return Got(answer, exchange)

    def _once(self, method: Method, url: str, accept: str) -> Got:
        """One request to the registry, or to where it redirects."""
        registry = self.registry
        netloc = urlsplit(url).netloc
        headers = {"Accept": accept, **registry.headers}
        if urlsplit(registry.base_url).netloc != netloc:  # Go drops these when a redirect leads to another host
            headers = {
                name: value for name, value in headers.items() if name.lower() not in ("authorization", "cookie")
            }
        if netloc in self.authorization:
            headers["Authorization"] = self.authorization[netloc]
        login = self.users.get(netloc, "")
        try:
            return self.send(method, url.replace("://", f"://{login}", 1), headers)
        except EndError as end:
            failure, exchange = end.exchange.failure, end.exchange
            if failure in ("protocol", "reset") and self._speaks_tls(url):
                raise EndError("tls-port", exchange) from None
            asked = exchange in self.exchanges
            if failure in REFUSED_CERTIFICATES and exchange.proxy is None and asked:
                refusal = Refusal.observe(self._host, url, failure, exchange.words)
                told = replace(exchange, failure=refusal.kind, words=refusal.words)
                self.exchanges[self.exchanges.index(exchange)] = told
                raise EndError("unreachable", told) from None
            raise

    def _http(
        self, method: Method, url: str, headers: dict[str, str], proxy: str | None, *, verify: bool
    ) -> HttpAnswer:
        return self._host.http(
            {
                "method": method,
                "url": url,
                "headers": headers,
                "ca_files": list(self.registry.ca_files),
                "client_certificate": self.registry.client_certificate,
                "verify": verify,
                "proxy": proxy,
                "limit": LIMIT,
            }
        )

    def _speaks_tls(self, url: str) -> bool:
        """Whether a port that did not understand plain HTTP understands TLS."""
        if not url.startswith("http://"):
            return False
        secure = "https" + url.removeprefix("http")
        return self._http("HEAD", secure, {}, self._proxy.proxy_for(secure), verify=False)["failure"] is None
