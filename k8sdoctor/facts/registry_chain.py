"""What a chain of registry hosts consists of, whichever runtime would ask them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.image_reference import ImageReference
    from k8sdoctor.facts.settings import IgnoredSetting, Remark


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the runtime would log in with. Secrets are placeholders that only the host can resolve."""

    source: str
    """`path:line`, or a path."""
    username: str | None = None
    password: str | None = None
    auth: str | None = None
    """base64 of `user:password`: what `Authorization: Basic` carries."""
    identity_token: str | None = None


Question: TypeAlias = "tuple[str, tuple[str, ...], tuple[str, str] | None, bool, str | None]"
"""A place, with all that the runtime's TLS to it depends on."""


@dataclass(frozen=True, slots=True)
class RegistryHost:
    """One host of the chain, with all that the runtime brings along when it asks there."""

    base_url: str
    """`https://mirror:5000/v2`, `override_path` applied, no slash at the end; `url()` makes requests of it."""
    repository: str
    """The path to ask for on this host: `pause`, or with the project of a mirror in front (CRI-O's `location`)."""
    reference: str
    """The tag or the digest to ask for."""
    source: str
    """Where it is written: `path:line`, `path`, or `default`."""
    upstream: bool = False
    """Whether this is the registry of the image's own name."""
    capabilities: frozenset[str] = frozenset({"pull", "resolve"})
    mirror_ns: str | None = None
    """The value of `?ns=` that the runtime adds to each request to this host (containerd to mirrors)."""
    ca_files: tuple[str, ...] = ()
    """Trusted beside the node's trust store."""
    client_certificate: tuple[str, str] | None = None
    """Paths of certificate and key; the same path twice where one file holds both."""
    verify: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    http_fallback: str | None = None
    """The base URL in plain HTTP that the runtime falls back to when the peer speaks no TLS or refuses."""
    credentials: Credentials | None = None
    dial_timeout: float = 30.0
    """Seconds that the runtime waits for a connection."""

    def url(self, path: str) -> str:
        """A request's URL, `?ns=` included: `url("")` is the version check, `url(host.manifest)` the manifest."""
        query = f"?ns={self.mirror_ns}" if self.mirror_ns else ""
        return f"{self.base_url}/{path.lstrip('/')}{query}"

    @property
    def question(self) -> Question:
        """What decides whether anybody can be talked to here: one place may be named with a CA in one file, and without in another."""
        return self.base_url, self.ca_files, self.client_certificate, self.verify, self.http_fallback

    @property
    def manifest(self) -> str:
        """The path of the image's manifest below `base_url`."""
        return f"{self.repository}/manifests/{self.reference}"


@dataclass(frozen=True, slots=True)
class SkippedHost:
    """A host that the runtime reads and does not ask for this image."""

    url: str
    source: str
    why: str
    by_digest: bool = False
    """Whether it is asked for what a digest names, and only not for a tag."""


@dataclass(frozen=True, slots=True)
class Stopper:
    """What makes the runtime refuse the pull before it asks anybody, or keeps its CRI plugin from loading."""

    kind: Literal[
        "ca-unreadable",
        "client-certificate-unreadable",
        "config-invalid",  # of a file that is only read to pull
        "blocked",
        "policy",
        "no-host",
    ]
    path: str
    """The file that is missing or wrong."""
    source: str
    """Where it is named: `path:line`, or a path."""
    why: str
    base_url: str | None = None
    """The only host concerned; None where the whole pull fails."""


@dataclass(frozen=True)
class RegistryChain:
    """For one image: whom a runtime would ask, in which order, and with what."""

    image: ImageReference
    hosts: tuple[RegistryHost, ...]
    """In the order in which the runtime tries them; skipped ones left out."""
    content_hosts: tuple[RegistryHost, ...] = ()
    """Whom the runtime asks for the content of what one of the `hosts` resolved, in this order; empty where it stays with that host."""
    skipped: tuple[SkippedHost, ...] = ()
    ignored: tuple[IgnoredSetting, ...] = ()
    stoppers: tuple[Stopper, ...] = ()
    sources: tuple[str, ...] = ()
    """The files that were read to tell, in order."""
    first_error_ends: bool = False
    """Whether the first host that fails ends the pull; else the next is asked."""
    remarks: tuple[Remark, ...] = ()
    """What in the files that were read does something else than was meant."""
    folder: str | None = None
    """Where a hosts.toml or a registries.conf drop-in for this registry takes effect, if anywhere."""

    @property
    def ca_problems(self) -> tuple[Stopper, ...]:
        """The certificate files that the runtime cannot load."""
        return tuple(stopper for stopper in self.stoppers if stopper.kind.endswith("-unreadable"))
