"""What the runtime would meet if it pulled the images of a list that it does not have."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar, Self

from k8sdoctor.facts.lists import ListedImages
from k8sdoctor.facts.pull import PullAttempts, attempts_for
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts, chains_for
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host


@dataclass(frozen=True)
class ListedPulls:
    """By image, in the order of the list: whom the runtime would ask, and what they answer. Only of images that are not known to be here."""

    lasting: ClassVar[bool] = True  # as many questions as the list is long

    hosts: Mapping[str, RegistryHosts] = field(default_factory=dict)
    pulls: Mapping[str, PullAttempts] = field(default_factory=dict)

    @classmethod
    def observe(cls, host: Host, listed: ListedImages, images: RuntimeImages | Unobserved, config: PullConfig) -> Self:
        """Ask the registries, some images at a time. Raises NotPermitted where the runtime's files may not be read."""
        missing = {
            str(image): image
            for image in listed.images
            if not (isinstance(images, RuntimeImages) and images.has(str(image)))
        }
        found = chains_for(host, missing.values(), config)
        hosts = {name: found[image] for name, image in missing.items()}
        done = len(listed.images) - len(missing)

        def told(_: PullAttempts) -> None:
            nonlocal done
            done += 1
            host.advanced("images", done, len(listed.images))

        return cls(hosts, attempts_for(host, hosts, config.kind, told=told))
