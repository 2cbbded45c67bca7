"""What a registry's answer says about an image: its media types, its platforms, and the words of its errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from k8sdoctor.host import Json

INDEX_TYPES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFEST_TYPES = frozenset(
    {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
)
# Schema 1 is refused since containerd 2.0 and converted before; a registry that sends no type means it, too (containerd
# `core/remotes/docker/resolver.go` getManifestMediaType).
SCHEMA_1_TYPES = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "text/plain",
    }
)
ACCEPT = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"
)
"""What containerd accepts when it resolves a name (`pull.go`, `NewResolver`)."""

# uname -m, and GOARCH with its variant
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "i386": ("386", ""),
    "loongarch64": ("loong64", ""),
}


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system, architecture and variant, as in an image index."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of_node(cls, machine: str) -> Platform:
        """The platform of a Linux machine by `uname -m`.

        >>> str(Platform.of_node("aarch64"))
        'linux/arm64'
        """
        architecture, variant = _MACHINES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    @classmethod
    def parse(cls, document: Mapping[str, Json]) -> Platform:
        """From the fields of an index entry or of an image's configuration."""
        return cls(*(str(document.get(name) or "") for name in ("os", "architecture", "variant")))

    def runs(self, image: Platform) -> bool:
        """Whether a node of this platform runs an image of that one (containerd `platforms/compare.go`, platformVector).

        >>> Platform("linux", "arm64", "v8").runs(Platform("linux", "arm", "v7"))
        True
        >>> Platform("linux", "arm", "v6").runs(Platform("linux", "arm", "v7"))
        False
        """
        if self.os != image.os:
            return False
        if self.architecture == "amd64":
            return image.architecture in ("amd64", "386")
        if self.architecture == "arm64":
            return image.architecture in ("arm64", "arm")
        if self.architecture == "arm":
            return image.architecture == "arm" and (image.variant or "v7") <= (self.variant or "v7")
        return self.architecture == image.architecture

    def __str__(self) -> str:
        variant = self.variant if (self.architecture, self.variant) != ("arm64", "v8") else ""
        return "/".join(part for part in (self.os, self.architecture, variant) if part)


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def parse(body: str) -> dict[str, Json] | None:
    """A JSON object, or None where the body is none."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def entries(index: Mapping[str, Json]) -> list[tuple[Platform, str]]:
    """The platforms of an index with the digests of their manifests. Attestations name the platform `unknown` and are none."""
    found = []
    for entry in _objects(index.get("manifests")):
        platform = Platform.parse(cast("Mapping[str, Json]", entry.get("platform") or {}))
        if platform.os not in ("", "unknown"):
            found.append((platform, str(entry.get("digest") or "")))
    return found


def config_digest(manifest: Mapping[str, Json]) -> str:
    """The digest of an image's configuration; empty where the manifest names none."""
    config = manifest.get("config")
    return str(config.get("digest") or "") if isinstance(config, dict) else ""


def words(body: str) -> str:
    """What an error's body says in one line: the registry's own errors, else a page's title, else its first line.

    >>> words('{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}')
    'DENIED: requested access is denied'
    >>> words("<html><head><title>Guest &amp; Visitor login</title></head></html>")
    'Guest & Visitor login'
    """
    document = parse(body)
    if document is not None:
        told = [
            ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
            for error in _objects(document.get("errors"))
        ]
        if told:
            return _short("; ".join(told))
        # A token server's own form (Docker's is {"details": "…"}), and Go's problem documents.
        for key in ("message", "details", "error_description", "error", "detail"):
            if isinstance(document.get(key), str):
                return _short(str(document[key]))
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", body)
    text = title[1] if title else re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", body)
    import html

    return _short(html.unescape(text))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"  # noqa: PLR2004 -- a line that a person reads


def _objects(value: Json) -> Iterable[dict[str, Json]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
