"""The images that the runtime has, all in one question."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host, Json


@dataclass(frozen=True)
class RuntimeImages:
    """What `crictl images` lists.

    `names` are whole (`docker.io/library/busybox:latest`, `registry.k8s.io/pause@sha256:…`): containerd and CRI-O tell them so, and
    Docker's short ones are made so. `ids` are the images' own. `pinned` are names of those that the runtime never throws away, in its words.
    """

    names: frozenset[str]
    ids: frozenset[str] = frozenset()
    pinned: tuple[str, ...] = ()

    def has(self, image: str) -> bool:
        """Whether the runtime would say that it has an image, which is what kubelet asks before it starts a container.

        A name counts as `ImageStatus` makes it whole: without a tag it is `latest`, and beside a digest the tag does not count (containerd
        `internal/cri/store/image` and distribution/reference ParseDockerRef).
        """
        if image in self.ids or f"sha256:{image}" in self.ids:
            return True
        try:
            return str(ImageReference.parse(image)) in self.names
        except ValueError:
            return False

    @classmethod
    def observe(cls, host: Host, runtime: Runtime) -> Self:
        """Ask the runtime. Raises what keeps it from answering."""
        if runtime.endpoint is None or not runtime.reachable:
            problem = runtime.problem
            reason = problem.reason if problem else "RuntimeUnreachable"
            raise HostError(reason, problem.message if problem else f"{runtime.label} does not answer")
        images = host.cri(runtime.endpoint, "ImageService/ListImages").get("images")
        found = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
        return cls(
            names=frozenset(name for image in found for name in _names(image)),
            ids=frozenset(str(image["id"]) for image in found if image.get("id")),
            pinned=tuple(name for image in found if image.get("pinned") for name in _texts(image.get("repo_tags"))),
        )


def _names(image: dict[str, Json]) -> Iterator[str]:
    for text in (*_texts(image.get("repo_tags")), *_texts(image.get("repo_digests"))):
        if "<none>" not in text:  # as Docker calls what has lost its name
            with suppress(ValueError):
                yield str(ImageReference.parse(text))


def _texts(value: Json) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
