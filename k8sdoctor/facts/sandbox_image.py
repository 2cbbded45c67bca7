"""The image that this runtime uses for the sandbox of a pod, and who wanted another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.settings import ConfigProblem, IgnoredSetting


@dataclass(frozen=True, slots=True)
class Wish:
    """What another part of the node takes the sandbox image to be."""

    who: Literal["kubeadm", "kubelet"]
    image: str
    source: str


@dataclass(frozen=True)
class SandboxImage:
    """Which image, where it is written, and what was written in vain."""

    image: str
    """The name as the runtime holds it."""
    reference: ImageReference | None
    """Its parts; None where the name is none."""
    source: str
    """`path:line` or `path`, `CRI Status (config.sandboxImage)`, or `built-in default of containerd 1.6.20`."""
    runtime: Literal["containerd", "cri-o", "cri-dockerd"]
    runtime_version: str
    config_path: str | None
    """The main configuration file that the runtime reads, there or not; None where there is none (cri-dockerd)."""
    key: str = ""
    """The key that counts in this runtime's version, in full, for messages and fixes."""
    default: bool = False
    """Whether nobody wrote it down."""
    ignored: tuple[IgnoredSetting, ...] = ()
    wishes: tuple[Wish, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()
    on_disk: str | None = None
    """The image that the files name when the running daemon holds another one: it was not restarted since."""
    pinned: tuple[str, ...] = ()
    """Names of images that the runtime pins (containerd 2.x pins its sandbox image)."""
