"""One attempt to get an image of one registry host: its manifest for this machine, and its configuration. No layer is fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.facts import manifest
from k8sdoctor.facts.registry_conversation import Conversation
from k8sdoctor.facts.registry_exchange import REFUSED_CERTIFICATES, Dead, EndError, Exchange, Got, Outcome, Place
from k8sdoctor.host import Host, HostError, Json
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.facts.proxy import ProxyEnvironment
    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.facts.registry_exchange import Method
    from k8sdoctor.facts.runtime import Kind
    from k8sdoctor.host.answers import NetworkError

# Failures that no other request to the same place would escape.
_LASTING = REFUSED_CERTIFICATES | {"name-not-resolved", "timeout", "refused", "unreachable", "tls-plain", "proxy"}


@dataclass(frozen=True, slots=True)
class Content:
    """A part of an image that its digest names: `path` below the repository, and the sum of its text."""

    path: str
    sum: str


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
    """What was said; nothing where another image's attempt had shown that nobody answers."""
    content: tuple[Content, ...] = ()
    """What was got here of the image, in order."""
    asked_by: str = ""
    """Where nothing but the image's content is asked for here: `host[:port]` of the one that resolved the name."""
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


def attempt(  # noqa: PLR0913, PLR0917 -- whom to ask, as whom, and by which way
    host: Host,
    registry: RegistryHost,
    proxy: ProxyEnvironment,
    runtime: Kind,
    platform: manifest.Platform,
    dead: Mapping[Place, Dead],
) -> Attempt:
    """Ask one host for the image that it stands in a chain for, by plain HTTP too where the runtime falls back to it.

    Nobody is asked at a place that is known to be `dead`.
    """
    visit = _Visit(Conversation(host, registry, proxy, runtime, dead), platform)
    first = visit.run()
    if registry.http_fallback and visit.falls_back(first):
        plain = replace(registry, base_url=registry.http_fallback, http_fallback=None)
        second = _Visit(Conversation(host, plain, proxy, runtime, dead), platform).run()
        return replace(second, exchanges=first.exchanges + second.exchanges)
    return first


def content_instead(  # noqa: PLR0913, PLR0917 -- whom to ask for what, and by which way
    host: Host,
    registry: RegistryHost,
    proxy: ProxyEnvironment,
    runtime: Kind,
    served: Attempt,
    dead: Mapping[Place, Dead],
) -> Attempt | None:
    """What a host gives in the place of content that another one serves; None where it gives the same or nothing.

    containerd takes what the first host sends with a 2xx, and the pull ends when that has another size or digest (`fetcher.go` Fetch,
    `content/helpers.go` Copy); any error leads to the next host.
    """
    talk = Conversation(host, registry, proxy, runtime, dead)
    for part in served.content:
        accept = manifest.ACCEPT if part.path.startswith("manifests/") else "*/*"
        try:
            got = talk.ask("GET", registry.url(f"{registry.repository}/{part.path}"), accept)
        except EndError as end:
            if end.exchange.failure is None:
                continue
            if end.exchange.failure == "tls-plain" and registry.http_fallback:
                plain = replace(registry, base_url=registry.http_fallback, http_fallback=None)
                return content_instead(host, plain, proxy, runtime, served, dead)
            return None
        except HostError:
            return None
        if _sum(got.answer["body"]) != part.sum:
            return Attempt(
                host=registry,
                outcome="no-registry",
                where=got.exchange.url,
                status=got.exchange.status,
                words=manifest.words(got.answer["body"]),
                login=talk.login,
                exchanges=tuple(talk.exchanges),
                asked_by=served.netloc,
            )
    return None


def _sum(body: str) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(body.encode(errors='backslashreplace')).hexdigest()}"


class _Visit:
    """One attempt in the making."""

    def __init__(self, talk: Conversation, platform: manifest.Platform) -> None:
        self._talk = talk
        self._registry = talk.registry
        # CRI-O and Docker get a manifest where containerd first asks for its head.
        self._method: Method = "HEAD" if talk.runtime == "containerd" else "GET"
        self._platform = platform
        self._resolved = False
        self._digest = ""  # of what the name stands for
        self._content: list[Content] = []

    def run(self) -> Attempt:
        where = self._registry.url(self._registry.manifest)
        try:
            self._image()
        except EndError as end:
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
        if self._talk.runtime == "cri-o":
            return not self._talk.greeted and attempt.outcome != "untried"
        if self._talk.runtime == "cri-dockerd":
            return not self._talk.greeted and attempt.failure is not None
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
            login=self._talk.login,
            platforms=platforms,
            exchanges=tuple(self._talk.exchanges),
            content=tuple(self._content),
            reason=reason,
        )

    def _image(self) -> None:
        """Resolve the name, then follow it to a manifest for this platform and to the image's configuration."""
        if self._talk.runtime != "containerd":
            self._talk.greet()
        path = self._registry.manifest
        got = self._talk.ask(self._method, self._registry.url(path), manifest.ACCEPT)
        self._resolved = True
        self._digest = got.answer["headers"].get("docker-content-digest", "")
        kind = manifest.media_type(got.exchange.content_type)
        if kind not in manifest.INDEX_TYPES | manifest.MANIFEST_TYPES | manifest.SCHEMA_1_TYPES:
            page = got if self._method == "GET" else self._talk.ask_in_vain(self._registry.url(path), manifest.ACCEPT)
            raise EndError("no-registry", got.exchange, manifest.words(page.answer["body"]) if page else "")
        if kind in manifest.SCHEMA_1_TYPES:
            return
        if kind in manifest.INDEX_TYPES:
            document = self._manifest(got, self._registry.reference)
            entries = manifest.entries(document)
            ours = [digest for platform, digest in entries if self._platform.runs(platform)]
            if not ours:
                named = tuple(dict.fromkeys(str(platform) for platform, _ in entries))
                raise EndError("no-platform", self._talk.exchanges[-1], platforms=named)
            document = self._manifest(None, ours[0])
        else:
            document = self._manifest(got, self._registry.reference)
        self._configuration(document, single=kind in manifest.MANIFEST_TYPES)

    def _manifest(self, got: Got | None, reference: str) -> dict[str, Json]:
        if got is None or self._method == "HEAD":
            url = self._registry.url(f"{self._registry.repository}/manifests/{reference}")
            got = self._talk.ask("GET", url, manifest.ACCEPT)
        document = manifest.parse(got.answer["body"])
        if document is None or document.get("schemaVersion") != 2:  # noqa: PLR2004 -- the only one since 2017
            raise EndError("no-registry", got.exchange, manifest.words(got.answer["body"]))
        digest = reference
        if reference == self._registry.reference:
            digest = self._digest or _sum(got.answer["body"])
        self._keep(f"manifests/{digest}", got)
        return document

    def _keep(self, path: str, got: Got) -> None:
        self._content.append(Content(path, _sum(got.answer["body"])))

    def _configuration(self, document: dict[str, Json], *, single: bool) -> None:
        """Get the image's configuration, a small blob: registries often keep blobs on hosts of their own.

        Not by HEAD, since a signed address of an object store is good for GET alone.
        """
        digest = manifest.config_digest(document)
        if not digest:
            raise EndError("no-registry", self._talk.exchanges[-1], "the manifest names no configuration")
        got = self._talk.ask("GET", self._registry.url(f"{self._registry.repository}/blobs/{digest}"), "*/*")
        configuration = manifest.parse(got.answer["body"])
        if configuration is None:
            raise EndError("no-registry", got.exchange, manifest.words(got.answer["body"]))
        self._keep(f"blobs/{digest}", got)
        if single:  # no index said for which machine it is
            platform = manifest.Platform.parse(configuration)
            if platform.architecture and not self._platform.runs(platform):
                raise EndError("no-platform", got.exchange, platforms=(str(platform),))


def dead_places(attempts: Iterable[Attempt]) -> dict[Place, Dead]:
    """The places that answered none of the requests of these attempts."""
    dead: dict[Place, Dead] = {}
    alive: set[Place] = set()
    for each in attempts:
        for exchange in each.exchanges:
            place = Place.of(exchange.url, each.host)
            if exchange.failure is None:
                alive.add(place)
            elif exchange.failure in _LASTING:
                words = each.words if exchange.url == each.where else exchange.words
                dead.setdefault(place, Dead(exchange.failure, words))
    return {place: why for place, why in dead.items() if place not in alive}
