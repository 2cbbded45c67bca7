"""The name of an image, taken apart as every runtime does it."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

DOCKER_HUB = "docker.io"

# distribution/reference `regexp.go`: path-component, tag and digest.
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = regex(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = regex(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]+")


def is_address(text: str) -> bool:
    """Whether a text is a `host[:port]` that a URL may bear.

    >>> is_address("m:5000"), is_address("[::1]:5000"), is_address("m:port"), is_address("[::1"), is_address("")
    (True, True, False, False, False)
    """
    try:
        parts = urlsplit(f"//{text}")
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and parts.netloc == text


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`registry.k8s.io/pause:3.8` in its parts. `tag` and `digest` are None where the name bears none."""

    registry: str
    """`host[:port]` as names and mirror settings are keyed: `docker.io`, `registry.k8s.io`, `[::1]:5000`."""
    repository: str
    """The path on the registry, `pause` or `library/busybox`."""
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a name, by the rules of distribution/reference (`normalize.go`, `splitDockerDomain`).

        The first part is a registry when it bears a dot, a colon or an upper-case letter, or is `localhost`; else the
        image is Docker Hub's. Without tag and digest the tag is `latest`; beside a digest a tag does not count.
        Raises ValueError.

        >>> ImageReference.parse("registry.k8s.io/pause:3.8")
        ImageReference(registry='registry.k8s.io', repository='pause', tag='3.8', digest=None)
        >>> ImageReference.parse("pause").name
        'docker.io/library/pause'
        """
        rest, _, digest = text.partition("@")
        first, slash, path = rest.partition("/")
        if not (slash and (set(first) & set(".:") or first == "localhost" or first.lower() != first)):
            first, path = DOCKER_HUB, rest
        if first == "index.docker.io":
            first = DOCKER_HUB
        path, colon, tag = path.partition(":")
        if first == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        if (
            not is_address(first)
            or not _PATH.fullmatch(path)
            or (colon and not _TAG.fullmatch(tag))
            or ("@" in text and not _DIGEST.fullmatch(digest))
            or set(first) & set(" \t\n\"'")
        ):
            msg = f"{text!r} is no name of an image"
            raise ValueError(msg)
        if digest:
            return cls(first, path, None, digest)
        return cls(first, path, tag or "latest", None)

    @property
    def name(self) -> str:
        """Registry and repository, without tag or digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def object(self) -> str:
        """What is asked for at `/manifests/`: the digest, or the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"
