"""Whether the private registries of this runtime begin an upload for somebody who has not logged in. Only with `--intrusive`."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.lists import ListedImages
from k8sdoctor.facts.manifest import words
from k8sdoctor.facts.needed_images import NeededImages
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.registry_hosts import PullConfig, chains_for
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import Host, HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.host.answers import NetworkError, UploadRequest

LIMIT = 5.0
"""Seconds that each of the two exchanges may take. A constant, so that a recording holds the same question."""

REPOSITORY = "k8sdoctor-push-check"
"""What is asked for where no image is known that the registry serves."""

BEGUN = 202

# Registries for everybody, where an upload by nobody in particular is refused for sure. Their subdomains count as well.
_PUBLIC = (
    "docker.io",
    "docker.com",
    "registry.k8s.io",
    "gcr.io",
    "pkg.dev",
    "quay.io",
    "ghcr.io",
    "mcr.microsoft.com",
    "azurecr.io",
    "azurecr.cn",
    "azk8s.cn",
    "amazonaws.com",
    "ecr.aws",
    "aliyuncs.com",
    "daocloud.io",
    "gitlab.com",
    "nvcr.io",
    "redhat.io",
    "redhat.com",
    "suse.com",
    "elastic.co",
)


@dataclass(frozen=True, slots=True)
class UploadTry:
    """What one registry said. Where it was not tried, `untried` says why."""

    host: RegistryHost
    status: int = 0
    failure: NetworkError | None = None
    said: str = ""
    """The failure's words, or those of an error."""
    server: str = ""
    """The `Server` header of the answer, such as `nginx/1.22.1`."""
    location: str = ""
    """Where the upload lies that was begun."""
    cancelled: bool = True
    """Whether what was begun is gone again; true where nothing was begun."""
    cancelling: str = ""
    """What the registry said to that."""
    untried: Unobserved | None = None

    @property
    def netloc(self) -> str:
        """`host[:port]`, for a sentence."""
        return urlsplit(self.host.base_url).netloc.rpartition("@")[2]

    def __str__(self) -> str:
        url = f"{self.host.base_url}/{self.host.repository}/blobs/uploads/"
        if self.untried is not None:
            return f"POST {url} was not sent: {self.untried.message}"
        said = f" (“{self.said}”)" if self.said else ""
        lines = [f"POST {url} → {self.failure or self.status}{said}"]
        if self.location:
            # The query holds the upload's state, which is of use to nobody when it is gone.
            where = self.location.partition("?")[0] if self.cancelled else self.location
            lines.append(f"DELETE {where} → {self.cancelling}")
        return "\n".join(lines)


@dataclass(frozen=True)
class UploadTries:
    """One try for each private registry that is known; `allowed` is false without `--intrusive`, and nobody is asked then."""

    allowed: bool = False
    tries: tuple[UploadTry, ...] = ()
    public: tuple[str, ...] = ()
    """`host[:port]` of those that are not asked, since they are everybody's."""

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- whoever names registries
        cls,
        host: Host,
        config: PullConfig | Unobserved,
        written: RegistryConfig | Unobserved,
        sandbox: SandboxImage | Unobserved,
        needed: NeededImages | Unobserved,
        listed: ListedImages,
    ) -> Self:
        """Try each registry once that the runtime would ask for an image that is known here, or that is written down.

        Raises what keeps the runtime's configuration from being read.
        """
        if not host.given().get("intrusive", False):
            return cls()
        if isinstance(config, Unobserved):
            raise HostError(config.reason, config.message)
        images = [*_images(sandbox, needed), *listed.images]
        places = _places(host, config, images, written)
        public = tuple(dict.fromkeys(_netloc(place) for place in places.values() if _is_public(place)))
        private = [place for place in places.values() if not _is_public(place)]
        tries = side_by_side([partial(_try, host, place, config) for place in private])
        beyond = tuple(each.netloc for each in tries if each.untried is _ELSEWHERE)
        tried = tuple(each for each in tries if each.untried is not _ELSEWHERE)
        return cls(allowed=True, tries=tried, public=(*public, *beyond))


def _images(sandbox: SandboxImage | Unobserved, needed: NeededImages | Unobserved) -> Iterator[ImageReference]:
    """The images that this node pulls, as far as their names are any."""
    if isinstance(sandbox, SandboxImage) and sandbox.reference is not None:
        yield sandbox.reference
    for need in needed.needs if isinstance(needed, NeededImages) else ():
        with suppress(ValueError):
            yield ImageReference.parse(need.image)


def _places(
    host: Host, config: PullConfig, images: Iterable[ImageReference], written: RegistryConfig | Unobserved
) -> Mapping[str, RegistryHost]:
    known: Iterable[RegistryHost] = [
        each for chain in chains_for(host, images, config).values() for each in chain.hosts
    ]
    if isinstance(written, RegistryConfig):
        known = [*known, *(replace(each, repository=REPOSITORY) for each in written.hosts)]
    found: dict[str, RegistryHost] = {}
    for each in known:
        found.setdefault(each.base_url, each)
    return found


def _netloc(place: RegistryHost) -> str:
    return urlsplit(place.base_url).netloc.rpartition("@")[2]


def _is_public(place: RegistryHost) -> bool:
    name = (urlsplit(place.base_url).hostname or "").rstrip(".")
    return any(name == each or name.endswith(f".{each}") for each in _PUBLIC)


_ELSEWHERE = Unobserved("NotPermitted", "it has an address that is not private")


def _try(host: Host, place: RegistryHost, config: PullConfig) -> UploadTry:
    try:
        problem = _not_private(host, urlsplit(place.base_url).hostname or "")
        if problem is not None:
            return UploadTry(place, untried=problem)
        first = _once(host, place, config)
        # The runtime then tries plain HTTP itself, where its configuration lets it.
        if place.http_fallback and first.failure in {"tls-plain", "refused"}:
            return _once(host, replace(place, base_url=place.http_fallback, http_fallback=None), config)
    except HostError as error:
        return UploadTry(place, untried=Unobserved(error.reason, error.message))
    return first


def _not_private(host: Host, name: str) -> Unobserved | None:
    """Why a registry is not to be asked: a stranger is not, whatever is written here."""
    found = host.resolve(name)
    if not found["addresses"]:
        return Unobserved("NameNotResolved", f"the node's resolver has no address for {name}: {found['error']}")
    if any(ipaddress.ip_address(address.partition("%")[0]).is_global for address in found["addresses"]):
        return _ELSEWHERE
    return None


def _once(host: Host, place: RegistryHost, config: PullConfig) -> UploadTry:
    request: UploadRequest = {
        "base_url": place.base_url,
        "repository": place.repository,
        "ca_files": list(place.ca_files),
        "verify": place.verify,
        "proxy": config.proxy.proxy_for(place.url("")),
        "limit": LIMIT,
    }
    answer = host.upload(request)
    start, cancel = answer["start"], answer["cancel"]
    if start["failure"] is not None:
        return UploadTry(place, failure=start["failure"]["kind"], said=start["failure"]["message"])
    said = words(start["body"]) if start["status"] >= 400 else ""  # noqa: PLR2004 -- an error
    tried = UploadTry(place, start["status"], said=said, server=start["headers"].get("server", ""))
    if start["status"] != BEGUN:
        return tried
    if cancel is None:
        return replace(tried, cancelled=False, cancelling="the registry did not say where the upload lies")
    failure = cancel["failure"]
    return replace(
        tried,
        location=start["headers"].get("location", ""),
        # 404 is as good: it is not there.
        cancelled=failure is None and (cancel["status"] // 100 == 2 or cancel["status"] == 404),  # noqa: PLR2004
        cancelling=failure["message"] if failure is not None else str(cancel["status"]),
    )
