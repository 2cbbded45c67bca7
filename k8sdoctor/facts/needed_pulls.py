"""What the runtime would meet if it pulled the images that this node needs and does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.needed_images import NeededImages
from k8sdoctor.facts.pull import PullAttempts, attempts_for
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts, chains_for
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.needed_images import Need
    from k8sdoctor.host import Host


@dataclass(frozen=True)
class NeededPulls:
    """By image: whom the runtime would ask, and what they answer. Only of images that are not on the node, as far as it could be asked."""

    hosts: Mapping[str, RegistryHosts]
    pulls: Mapping[str, PullAttempts]

    @classmethod
    def observe(
        cls,
        host: Host,
        needed: NeededImages,
        images: RuntimeImages | Unobserved,
        config: PullConfig,
        sandbox: SandboxImage | Unobserved,
    ) -> Self:
        """Ask the registries, and nobody where each image is here. Raises what keeps the runtime's configuration from being read."""
        names = {need.image: reference(need.image) for need in absent(needed, images, sandbox)}
        references = {image: parsed for image, parsed in names.items() if parsed is not None}
        found = chains_for(host, references.values(), config)
        chains = {image: found[parsed] for image, parsed in references.items()}
        return cls(chains, attempts_for(host, chains, config.kind))


def absent(
    needed: NeededImages, images: RuntimeImages | Unobserved, sandbox: SandboxImage | Unobserved
) -> tuple[Need, ...]:
    """The needs that the runtime is not known to have, without its sandbox image, which is a matter of its own."""
    own = sandbox.reference if isinstance(sandbox, SandboxImage) else None
    return tuple(
        need
        for need in needed.needs
        if not (isinstance(images, RuntimeImages) and images.has(need.image))
        and (own is None or reference(need.image) != own)
    )


def reference(image: str) -> ImageReference | None:
    """The parts of an image's name; None where it is none."""
    try:
        return ImageReference.parse(image)
    except ValueError:
        return None
