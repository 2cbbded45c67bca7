"""What this runtime would meet if it pulled its sandbox image now. Every host is asked as the runtime asks it; nothing is pulled."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from k8sdoctor.facts import manifest
from k8sdoctor.facts.registry_chain import Credentials, RegistryHost
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, as_address
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import Host, HostError, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.proxy import ProxyEnvironment
    from k8sdoctor.host.base import HttpAnswer, NetworkError

LIMIT = 5.0
"""Seconds that one exchange with a registry may take. A constant, so that a recording holds the same question."""

RuntimeKind: TypeAlias = Literal["containerd", "cri-o", "cri-dockerd"]

REDIRECTS = 10
"""As many as Go's client follows (containerd `core/remotes/docker/resolver.go`, net/http `client.go`)."""

_REFUSED_CERTIFICATES = frozenset({"tls-untrusted", "tls-name", "tls-expired", "tls-not-yet-valid"})

Outcome: TypeAlias = Literal[
    "serves",
    "unreachable",  # no answer came: `failure` says why
    "not-found",
    "auth-required",  # 401, or a token that is not given out
    "forbidden",  # 403, or a proxy that lets nobody through
    "no-registry",  # an answer that is no manifest
    "error",  # 429, 5xx and whatever else
    "no-platform",  # an image for other machines
    "tls-port",  # plain HTTP was spoken to a port that wants TLS
    "untried",  # we could not ask: `words` says why
]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and what came back."""

    method: str
    url: str
    status: int = 0
    peer: str | None = None
    failure: NetworkError | None = None
    words: str = ""
    """What the failure or an error's body says."""
    content_type: str = ""
    location: str = ""
    proxy: str | None = None

    def __str__(self) -> str:
        said = f"{self.status}" if self.failure is None else self.failure
        parts = [f"{self.method} {self.url}", f"→ {said}"]
        if self.location:
            parts.append(f"to {self.location}")
        elif self.content_type and self.status:
            parts.append(self.content_type)
        if self.words:
            parts.append(f"“{self.words}”" if self.failure is None else f"({self.words})")
        if self.proxy:
            parts.append(f"through the proxy {self.proxy}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one host of the chain would give the runtime."""

    host: RegistryHost
    outcome: Outcome
    where: str
    """The URL that decided: that of the host, of its token server, or of where it redirects to."""
    status: int = 0
    failure: NetworkError | None = None
    words: str = ""
    resolved: bool = False
    """Whether the name was answered with a 2xx here: a runtime takes any for the image, whatever becomes of the content."""
    login: bool = False
    """Whether credentials were used."""
    platforms: tuple[str, ...] = ()
    """Of an index without ours."""
    exchanges: tuple[Exchange, ...] = ()
    reason: str = ""
    """For `untried`, the host's reason, such as `Offline`."""

    @property
    def netloc(self) -> str:
        """`host[:port]` of the URL that decided, for a sentence."""
        return urlsplit(self.where).netloc.rpartition("@")[2]

    @property
    def elsewhere(self) -> bool:
        """Whether another machine than the registry host decided (a token server, a redirect's target)."""
        return self.netloc != urlsplit(self.host.base_url).netloc.rpartition("@")[2]


@dataclass(frozen=True)
class PullAttempts:
    """Whether the sandbox image is here, and if not, what each host of the chain would answer."""

    image: str
    present: str | None = None
    """The image's id where the runtime has it; hosts are not asked then."""
    presence_problem: Unobserved | None = None
    """Why the runtime could not be asked whether it has the image."""
    attempts: tuple[Attempt, ...] = ()
    """In the runtime's order, as many as there are hosts; it would stop earlier."""
    platform: str = "linux/amd64"
    first_error_ends: bool = False
    runtime: RuntimeKind = "containerd"
    stopped: bool = False
    """Whether the runtime's configuration ends each pull before anybody is asked."""

    @property
    def reached(self) -> tuple[Attempt, ...]:
        """The attempts that the runtime would come to, the last one being the one that serves or ends the pull."""
        done: list[Attempt] = []
        for attempt in self.attempts:
            done.append(attempt)
            if attempt.outcome == "serves" or self.ends_with(attempt):
                break
        return tuple(done)

    def ends_with(self, attempt: Attempt) -> bool:
        """Whether this runtime asks nobody else after such a failure.

        containerd holds on to the digest that the first 2xx names, and only looks elsewhere for its content (`resolver.go` Resolve,
        `fetcher.go`). CRI-O goes on after any error until a source answered the manifest's request with 200, whatever came with it,
        and stays with that one (containers/image `docker/docker_image_src.go` newImageSource). Docker goes on after nearly any
        error of a mirror (moby `daemon/internal/distribution/errors.go` continueOnError, formerly `distribution/errors.go`).
        """
        if attempt.outcome in ("serves", "untried"):
            return False
        if self.first_error_ends:
            return True
        if self.runtime == "containerd":
            return attempt.resolved and attempt.outcome in ("no-registry", "no-platform")
        return attempt.resolved and self.runtime == "cri-o"

    @property
    def serving(self) -> Attempt | None:
        """The attempt that would give the image, if any does."""
        found = [attempt for attempt in self.reached if attempt.outcome == "serves"]
        return found[0] if found else None

    @classmethod
    def observe(cls, host: Host, image: SandboxImage, hosts: RegistryHosts | Unobserved, runtime: Runtime) -> Self:
        """Ask the runtime for the image; where it has none, ask all registry hosts side by side. Never raises HostError."""
        present, problem = _present(host, image.image, runtime)
        if present is not None or isinstance(hosts, Unobserved):
            return cls(image.image, present, problem)
        if any(stopper.base_url is None for stopper in hosts.stoppers):
            return cls(image.image, None, problem, stopped=True)
        platform = manifest.Platform.of_node(host.identity()["machine"])
        # A hosts.toml that names its mirror as `server` as well makes containerd ask it twice; once is enough to know.
        distinct: list[RegistryHost] = []
        for registry in map(_question, hosts.hosts):
            if registry not in distinct:
                distinct.append(registry)
        asked = side_by_side(
            [partial(_attempt, host, registry, hosts.proxy, image.runtime, platform) for registry in distinct]
        )
        attempts = [replace(asked[distinct.index(_question(registry))], host=registry) for registry in hosts.hosts]
        return cls(
            image.image,
            None,
            problem,
            tuple(attempts),
            platform=str(platform),
            first_error_ends=hosts.first_error_ends,
            runtime=image.runtime,
        )


def _present(host: Host, image: str, runtime: Runtime) -> tuple[str | None, Unobserved | None]:
    if runtime.endpoint is None or not runtime.reachable:
        return None, runtime.problem or Unobserved("RuntimeUnreachable", f"{runtime.label} does not answer")
    try:
        answer = host.cri(runtime.endpoint, "ImageService/ImageStatus", {"image": {"image": image}})
    except HostError as error:
        return None, Unobserved(error.reason, error.message)
    found = answer.get("image")
    return (str(found["id"]) if isinstance(found, dict) and found.get("id") else None), None


def _question(registry: RegistryHost) -> RegistryHost:
    """What decides what a host is asked, and nothing else."""
    return replace(registry, source="", upstream=False, capabilities=frozenset(), dial_timeout=0.0)


def _attempt(
    host: Host,
    registry: RegistryHost,
    proxy: ProxyEnvironment,
    runtime: RuntimeKind,
    platform: manifest.Platform,
) -> Attempt:
    visit = _Visit(host, registry, proxy, runtime, platform)
    first = visit.run()
    if registry.http_fallback and visit.falls_back(first):
        plain = replace(registry, base_url=registry.http_fallback, http_fallback=None)
        second = _Visit(host, plain, proxy, runtime, platform).run()
        return replace(second, exchanges=first.exchanges + second.exchanges)
    return first


class _EndError(Exception):
    """The attempt is decided."""

    def __init__(self, outcome: Outcome, exchange: Exchange, words: str = "", platforms: tuple[str, ...] = ()) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.exchange = exchange
        self.words = words or exchange.words
        self.platforms = platforms


@dataclass(frozen=True, slots=True)
class _Got:
    answer: HttpAnswer
    exchange: Exchange


class _Visit:
    """One attempt in the making."""

    def __init__(
        self,
        host: Host,
        registry: RegistryHost,
        proxy: ProxyEnvironment,
        runtime: RuntimeKind,
        platform: manifest.Platform,
    ) -> None:
        self._host = host
        self._registry = registry
        self._proxy = proxy
        self._runtime = runtime
        # CRI-O and Docker get a manifest where containerd first asks for its head.
        self._method: Literal["GET", "HEAD"] = "HEAD" if runtime == "containerd" else "GET"
        self._platform = platform
        self._greeted = False
        self._exchanges: list[Exchange] = []
        self._authorization: dict[str, str] = {}  # by host[:port], as containerd's authorizer keeps it
        self._users: dict[str, str] = {}
        self._resolved = False
        self._login = False

    def run(self) -> Attempt:
        where = self._registry.url(self._registry.manifest)
        try:
            self._image()
        except _EndError as end:
            return self._made(
                end.outcome,
                end.exchange.url,
                status=end.exchange.status,
                failure=end.exchange.failure,
                words=end.words,
                platforms=end.platforms,
            )
        except HostError as error:
            return self._made("untried", where, words=error.message, reason=error.reason)
        return self._made("serves", where, status=200)

    def falls_back(self, attempt: Attempt) -> bool:
        """Whether the runtime now tries the same host in plain HTTP, where its configuration lets it.

        containerd does so when the peer answers TLS in plain HTTP, and without a port in the URL also when nobody answers
        (NewHTTPFallback of `core/remotes/docker/resolver.go`). CRI-O does so unless the version check went well (containers/image
        `docker/docker_client.go` detectPropertiesHelper), Docker unless it was answered at all (moby
        `daemon/internal/distribution/pull.go` pullEndpoints).
        """
        if self._runtime == "cri-o":
            return not self._greeted and attempt.outcome != "untried"
        if self._runtime == "cri-dockerd":
            return not self._greeted and attempt.failure is not None
        silent = ("refused", "timeout") if urlsplit(self._registry.base_url).port is None else ("refused",)
        return attempt.failure == "tls-plain" or attempt.failure in silent

    def _made(  # noqa: PLR0913 -- the parts of an attempt
        self,
        outcome: Outcome,
        where: str,
        *,
        status: int = 0,
        failure: NetworkError | None = None,
        words: str = "",
        platforms: tuple[str, ...] = (),
        reason: str = "",
    ) -> Attempt:
        return Attempt(
            host=self._registry,
            outcome=outcome,
            where=where,
            status=status,
            failure=failure,
            words=words,
            resolved=self._resolved,
            login=self._login,
            platforms=platforms,
            exchanges=tuple(self._exchanges),
            reason=reason,
        )

    # -- what the runtime asks for -------------------------------------------------------------------------------------

    def _image(self) -> None:
        """Resolve the name, then follow it to a manifest for this platform and to the image's configuration."""
        if self._runtime != "containerd":
            self._greet()
        path = self._registry.manifest
        got = self._ask(self._method, self._registry.url(path), manifest.ACCEPT)
        self._resolved = True
        kind = manifest.media_type(got.exchange.content_type)
        if kind not in manifest.INDEX_TYPES | manifest.MANIFEST_TYPES | manifest.SCHEMA_1_TYPES:
            page = got if self._method == "GET" else self._try("GET", self._registry.url(path), manifest.ACCEPT)
            raise _EndError("no-registry", got.exchange, manifest.words(page.answer["body"]) if page else "")
        if kind in manifest.SCHEMA_1_TYPES:
            return
        if kind in manifest.INDEX_TYPES:
            document = self._manifest(got, self._registry.reference)
            entries = manifest.entries(document)
            ours = [digest for platform, digest in entries if self._platform.runs(platform)]
            if not ours:
                named = tuple(dict.fromkeys(str(platform) for platform, _ in entries))
                raise _EndError("no-platform", self._exchanges[-1], platforms=named)
            document = self._manifest(None, ours[0])
        else:
            document = self._manifest(got, self._registry.reference)
        self._configuration(document, single=kind in manifest.MANIFEST_TYPES)

    def _manifest(self, got: _Got | None, reference: str) -> dict[str, Json]:
        if got is None or self._method == "HEAD":
            url = self._registry.url(f"{self._registry.repository}/manifests/{reference}")
            got = self._ask("GET", url, manifest.ACCEPT)
        document = manifest.parse(got.answer["body"])
        if document is None or document.get("schemaVersion") != 2:  # noqa: PLR2004 -- the only one since 2017
            raise _EndError("no-registry", got.exchange, manifest.words(got.answer["body"]))
        return document

    def _configuration(self, document: dict[str, Json], *, single: bool) -> None:
        """Get the image's configuration, a small blob: registries often keep blobs on hosts of their own.

        Not by HEAD, since a signed address of an object store is good for GET alone.
        """
        digest = manifest.config_digest(document)
        if not digest:
            raise _EndError("no-registry", self._exchanges[-1], "the manifest names no configuration")
        got = self._ask("GET", self._registry.url(f"{self._registry.repository}/blobs/{digest}"), "*/*")
        configuration = manifest.parse(got.answer["body"])
        if configuration is None:
            raise _EndError("no-registry", got.exchange, manifest.words(got.answer["body"]))
        if single:  # no index said for which machine it is
            platform = manifest.Platform.parse(configuration)
            if platform.architecture and not self._platform.runs(platform):
                raise _EndError("no-platform", got.exchange, platforms=(str(platform),))

    # -- requests ------------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        """Ask for `/v2/`, as CRI-O and Docker do before anything else, to learn how to log in.

        To CRI-O any answer but 200 and 401 is the end of this host (containers/image `docker/docker_client.go`
        detectPropertiesHelper); Docker wants no more than an answer (moby `daemon/pkg/registry/auth.go` PingV2Registry).
        """
        got = self._follow("GET", self._registry.url(""), "*/*")
        status = got.answer["status"]
        if self._runtime == "cri-o" and status not in (200, 401):
            said = manifest.words(got.answer["body"])
            outcome: Outcome = "forbidden" if status == 403 else "no-registry" if status == 404 else "error"  # noqa: PLR2004
            raise _EndError(outcome, got.exchange, said)
        self._greeted = True
        if status == 401:  # noqa: PLR2004 -- Unauthorized
            self._log_in(got)

    def _ask(self, method: Literal["GET", "HEAD"], url: str, accept: str) -> _Got:
        """The answer of 2xx, after redirects and login. Raises _EndError for any other."""
        got = self._follow(method, url, accept)
        # CRI-O and Docker know the challenge of `/v2/` alone.
        if got.answer["status"] == 401 and self._runtime == "containerd":  # noqa: PLR2004 -- Unauthorized
            self._log_in(got)
            got = self._follow(method, url, accept)
        status = got.answer["status"]
        if status // 100 == 2:  # noqa: PLR2004 -- success
            return got
        told = got
        if method == "HEAD" and status >= 400:  # noqa: PLR2004 -- an error whose body says more
            told = self._try("GET", url, accept) or got
        said = manifest.words(told.answer["body"])
        match status:
            case 401:
                raise _EndError("auth-required", got.exchange, said)
            case 403:
                raise _EndError("forbidden", got.exchange, said)
            case 404:
                raise _EndError("not-found", got.exchange, said)
            case 400 if self._speaks_tls(got.exchange.url):
                raise _EndError("tls-port", got.exchange, said)
        raise _EndError("error", got.exchange, said)

    def _try(self, method: Literal["GET", "HEAD"], url: str, accept: str) -> _Got | None:
        """The answer, whatever it is; None when there is none. Only for what it says."""
        with contextlib.suppress(_EndError):
            return self._follow(method, url, accept)
        return None

    def _follow(self, method: Literal["GET", "HEAD"], url: str, accept: str) -> _Got:
        for _ in range(REDIRECTS + 1):
            got = self._once(method, url, accept)
            location = got.answer["headers"].get("location", "").partition("\n")[0]
            if got.answer["status"] not in (301, 302, 303, 307, 308) or not location:
                return got
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https"):
                raise _EndError("error", got.exchange, f"redirected to {location}, which is no HTTP")
        raise _EndError("error", self._exchanges[-1], f"stopped after {REDIRECTS} redirects")

    def _once(self, method: Literal["GET", "HEAD"], url: str, accept: str) -> _Got:
        registry = self._registry
        netloc = urlsplit(url).netloc
        headers = {"Accept": accept, **registry.headers}
        if urlsplit(registry.base_url).netloc != netloc:  # Go drops these when a redirect leads to another host
            headers = {
                name: value for name, value in headers.items() if name.lower() not in ("authorization", "cookie")
            }
        if netloc in self._authorization:
            headers["Authorization"] = self._authorization[netloc]
        login = self._users.get(netloc, "")
        answer = self._send(method, url.replace("://", f"://{login}", 1), headers, verify=registry.verify)
        exchange = self._exchanges[-1]
        if answer["failure"] is not None:
            if answer["failure"]["kind"] in ("protocol", "reset") and self._speaks_tls(url):
                raise _EndError("tls-port", exchange)
            if answer["failure"]["kind"] in _REFUSED_CERTIFICATES and exchange.proxy is None:
                raise _EndError("unreachable", exchange, exchange.words + self._certificate(url))
            raise _EndError("forbidden" if answer["failure"]["kind"] == "proxy-refused" else "unreachable", exchange)
        return _Got(answer, exchange)

    def _send(
        self, method: Literal["GET", "HEAD"], url: str, headers: dict[str, str], *, verify: bool, note: bool = True
    ) -> HttpAnswer:
        proxy = self._proxy.proxy_for(url)
        answer = self._host.http(
            {
                "method": method,
                "url": url,
                "headers": headers,
                "ca_files": list(self._registry.ca_files),
                "client_certificate": self._registry.client_certificate,
                "verify": verify,
                "proxy": proxy,
                "limit": LIMIT,
            }
        )
        failure = answer["failure"]
        told = ""
        if failure is not None:
            told = failure["message"]
        elif answer["status"] >= 400:  # noqa: PLR2004 -- an error
            told = manifest.words(answer["body"])
        if note:
            self._exchanges.append(
                Exchange(
                    method=method,
                    url=_without_user(url),
                    status=answer["status"],
                    peer=answer["peer"],
                    failure=failure["kind"] if failure else None,
                    words=told,
                    content_type=answer["headers"].get("content-type", ""),
                    location=answer["headers"].get("location", "") if answer["status"] // 100 == 3 else "",  # noqa: PLR2004 -- redirection
                    proxy=_without_user(proxy) if proxy else None,
                )
            )
        return answer

    def _certificate(self, url: str) -> str:
        """What a refused certificate says of itself; empty where it cannot be had."""
        parts = urlsplit(url)
        name = parts.hostname or ""
        with contextlib.suppress(HostError, BadCertificateError):
            served = self._host.tls(name, parts.port or 443, server_name=None if as_address(name) else name)["chain"]
            if served:
                leaf = Certificate.parse(served[0])
                begin, end = (
                    f"{dt.datetime.fromtimestamp(when, dt.UTC):%F}" for when in (leaf.not_before, leaf.not_after)
                )
                names = ", ".join(leaf.names) or "no name at all (no subject alternative name)"
                return f"; it is for {names}, by {leaf.issuer}, valid from {begin} to {end}"
        return ""

    def _speaks_tls(self, url: str) -> bool:
        """Whether a port that did not understand plain HTTP understands TLS."""
        if not url.startswith("http://"):
            return False
        secure = "https" + url.removeprefix("http")
        return self._send("HEAD", secure, {}, verify=False, note=False)["failure"] is None

    # -- login ---------------------------------------------------------------------------------------------------------

    def _log_in(self, got: _Got) -> None:
        """Do what a 401's challenge asks for: fetch a token, or name user and password. Raises _EndError where that fails."""
        # CRI-O sends its token to the registry that it asked, the others to whoever wanted one.
        netloc = urlsplit(self._registry.base_url if self._runtime == "cri-o" else got.exchange.url).netloc
        challenges = _challenges(got.answer["headers"].get("www-authenticate", ""))
        credentials = self._registry.credentials
        if "bearer" in challenges:
            self._authorization[netloc] = f"Bearer {self._token(got.exchange, challenges['bearer'])}"
        elif "basic" in challenges and credentials and credentials.auth:
            self._authorization[netloc] = f"Basic {credentials.auth}"
            self._login = True
        elif "basic" in challenges and credentials and credentials.password:
            self._users[netloc] = self._user(credentials)
        else:
            raise _EndError("auth-required", got.exchange, manifest.words(got.answer["body"]))

    def _user(self, credentials: Credentials) -> str:
        """User and password for a URL, since a password is a placeholder here that only the host can put into a header."""
        self._login = True
        return f"{quote(credentials.username or '', safe='')}:{credentials.password}@"

    def _token(self, exchange: Exchange, challenge: Mapping[str, str]) -> str:
        """A token by GET; containerd first tries a POST where it has credentials, and then this."""
        credentials = self._registry.credentials
        if credentials and credentials.identity_token:
            message = (
                f"logging in with an identity token ({credentials.source}) takes a POST, which the doctor does not send"
            )
            raise HostError("Unreadable", message)
        realm = urljoin(exchange.url, challenge.get("realm", ""))
        scopes = dict.fromkeys([f"repository:{self._registry.repository}:pull", *challenge.get("scope", "").split()])
        parts = urlsplit(realm)
        query = parse_qsl(parts.query, keep_blank_values=True)
        query += [("service", challenge["service"])] if challenge.get("service") else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        netloc = parts.netloc
        if credentials and credentials.auth:
            headers["Authorization"] = f"Basic {credentials.auth}"
            self._login = True
        elif credentials and credentials.password:
            netloc = self._user(credentials) + netloc
        url = urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))
        answer = self._send("GET", url, headers, verify=self._registry.verify)
        asked = self._exchanges[-1]
        if answer["failure"] is not None:
            raise _EndError("forbidden" if asked.failure == "proxy-refused" else "unreachable", asked)
        document = manifest.parse(answer["body"])
        if answer["status"] in (401, 403):
            raise _EndError("auth-required", asked)
        if answer["status"] // 100 != 2:  # noqa: PLR2004 -- success
            raise _EndError("error", asked)
        token = (document or {}).get("token") or (document or {}).get("access_token")
        if not isinstance(token, str):
            raise _EndError("no-registry", asked, manifest.words(answer["body"]))
        return token


def _challenges(text: str) -> dict[str, dict[str, str]]:
    """The challenges of WWW-Authenticate by scheme; each line holds one, as Go's parser in containerd expects.

    >>> _challenges('Bearer realm="https://auth.example/token",service="r, s"')
    {'bearer': {'realm': 'https://auth.example/token', 'service': 'r, s'}}
    """
    from urllib.request import parse_http_list, parse_keqv_list  # 25 ms of CPU, and seldom needed

    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        scheme, _, rest = line.strip().partition(" ")
        pairs = [pair for pair in parse_http_list(rest) if "=" in pair]
        found.setdefault(
            scheme.lower(), {name.strip().lower(): value for name, value in parse_keqv_list(pairs).items()}
        )
    return found


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
