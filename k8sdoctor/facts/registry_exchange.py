"""What was said to a registry and what came back, and what that says of the place that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.host.answers import HttpAnswer, NetworkError

Method: TypeAlias = Literal["GET", "HEAD"]

REFUSED_CERTIFICATES: frozenset[NetworkError] = frozenset(
    {"tls-untrusted", "tls-name", "tls-expired", "tls-not-yet-valid"}
)

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


class EndError(Exception):
    """The attempt is decided."""

    def __init__(self, outcome: Outcome, exchange: Exchange, words: str = "", platforms: tuple[str, ...] = ()) -> None:
        """Keep what decided it; without `words`, those of the exchange."""
        super().__init__(outcome)
        self.outcome = outcome
        self.exchange = exchange
        self.words = words or exchange.words
        self.platforms = platforms


@dataclass(frozen=True, slots=True)
class Got:
    """An answer of whatever status, and the exchange that it came in."""

    answer: HttpAnswer
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes, with all but the request itself that decides whether anybody answers there."""

    origin: str
    """`scheme://host[:port]`."""
    ca_files: tuple[str, ...]
    client_certificate: tuple[str, str] | None
    verify: bool

    @classmethod
    def of(cls, url: str, registry: RegistryHost) -> Place:
        """The place of a URL that is asked with what belongs to a registry host."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return cls(origin, registry.ca_files, registry.client_certificate, registry.verify)


@dataclass(frozen=True, slots=True)
class Dead:
    """Why no request to a place gets an answer."""

    failure: NetworkError
    words: str


def without_user(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
