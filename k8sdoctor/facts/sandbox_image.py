"""The image that this runtime uses for the sandbox of a pod, and who wanted another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeVar

from k8sdoctor.facts import crio as crio_module
from k8sdoctor.facts import docker as docker_module
from k8sdoctor.facts import versions
from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.settings import ConfigProblem, IgnoredSetting
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

T = TypeVar("T")


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

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- whoever has a say in it
        cls,
        host: Host,  # noqa: ARG003 -- what a fact's observe is given; the configurations were read already
        runtime: Runtime,
        containerd: ContainerdConfig | Unobserved,
        crio: CrioConfig | Unobserved,
        docker: DockerConfig | Unobserved,
        kubelet: Kubelet | Unobserved,
        kubeadm: KubeadmConfig | Unobserved,
        program: KubeadmBinary | Unobserved,
    ) -> Self:
        """Ask the configuration of the runtime that runs here. Raises NotFound without one, and what kept it from being read."""
        wishes = tuple(_wishes(kubelet, kubeadm, program))
        if runtime.kind == "containerd":
            return cls._of_containerd(runtime, _observed(containerd), wishes)
        if runtime.kind == "cri-o":
            return cls._of_crio(runtime, _observed(crio), wishes)
        if runtime.kind == "cri-dockerd":
            return cls._of_docker(_observed(docker), wishes)
        raise HostError("NotFound", "no container runtime was found, so nobody would pull a sandbox image")

    @classmethod
    def _of_containerd(cls, runtime: Runtime, config: ContainerdConfig, wishes: tuple[Wish, ...]) -> Self:
        image = config.sandbox_image
        source = f"built-in default of {runtime.label}"
        if config.sandbox is not None and config.sandbox.value == image:
            source = config.sandbox.source
        elif config.running and image != config.written_image:
            source = f"CRI status of {runtime.label} (config.sandboxImage)"
        problems = config.problems
        if config.disabled is not None:
            found = config.disabled
            names = ", ".join(f'"{name}"' for name in found.value)
            message = f"disabled_plugins = [{names}] switches CRI off, so kubelet finds no runtime"
            problems += (ConfigProblem(found.path, found.line, message),)
        return cls(
            image=image,
            reference=_reference(image),
            source=source,
            runtime="containerd",
            runtime_version=runtime.version_text,
            config_path=config.path,
            key=config.sandbox_key,
            default=source.startswith("built-in"),
            ignored=tuple(one for one in config.ignored if "registry" not in one.key),
            wishes=wishes,
            problems=problems,
            on_disk=config.written_image if config.written_image != image else None,
        )

    @classmethod
    def _of_crio(cls, runtime: Runtime, config: CrioConfig, wishes: tuple[Wish, ...]) -> Self:
        image = config.sandbox_image
        source = f"built-in default of {runtime.label}"
        if config.pause is not None and config.pause.value == image:
            source = config.pause.source
        elif image != config.written_image:
            source = f"CRI status of {runtime.label} (config.sandboxImage)"
        return cls(
            image=image,
            reference=_reference(image),
            source=source,
            runtime="cri-o",
            runtime_version=runtime.version_text,
            config_path=config.path,
            key=crio_module.KEY,
            default=source.startswith("built-in"),
            ignored=config.ignored,
            wishes=wishes,
            problems=config.problems,
            on_disk=config.written_image if config.written_image != image else None,
        )

    @classmethod
    def _of_docker(cls, config: DockerConfig, wishes: tuple[Wish, ...]) -> Self:
        return cls(
            image=config.sandbox_image,
            reference=_reference(config.sandbox_image),
            source=config.source,
            runtime="cri-dockerd",
            runtime_version=config.program,
            config_path=None,
            key=docker_module.FLAG,
            default=config.default,
            wishes=wishes,
            problems=config.problems,
        )


def _observed(config: T | Unobserved) -> T:
    """The configuration, or the error that kept it from being read."""
    if isinstance(config, Unobserved):
        raise HostError(config.reason, config.message)
    return config


def _reference(image: str) -> ImageReference | None:
    try:
        return ImageReference.parse(image)
    except ValueError:
        return None


# kubeadm's own pause image by minor release (`PauseVersion` in cmd/kubeadm/app/constants/constants.go).
_PAUSE_BY_MINOR = {
    18: "3.2",
    19: "3.2",
    20: "3.2",
    21: "3.4.1",
    22: "3.5",
    23: "3.6",
    24: "3.7",
    25: "3.8",
    **dict.fromkeys(range(26, 31), "3.9"),
    **dict.fromkeys(range(31, 34), "3.10"),
    **dict.fromkeys(range(34, 36), "3.10.1"),
    **dict.fromkeys(range(36, 38), "3.10.2"),
}

# From these on kubeadm's images come from registry.k8s.io; 1.25 had it from the start, the others with the patches of December 2022
# (kubernetes.io/blog/2022/11/28/registry-k8s-io-faster-cheaper-ga).
_NEW_REGISTRY = {22: 17, 23: 15, 24: 9}
_NEW_REGISTRY_MINOR = 25


def kubeadm_pause_image(version: Version, repository: str | None) -> str | None:
    """The pause image that this kubeadm pulls; None for a release that we do not know.

    >>> kubeadm_pause_image((1, 30, 2), None)
    'registry.k8s.io/pause:3.9'
    >>> kubeadm_pause_image((1, 23, 14), None)
    'k8s.gcr.io/pause:3.6'
    """
    tag = _PAUSE_BY_MINOR.get(version[1]) if version[0] == 1 else None
    if tag is None:
        return None
    new = version[1] >= _NEW_REGISTRY_MINOR or version[2] >= _NEW_REGISTRY.get(version[1], version[2] + 1)
    return f"{repository or ('registry.k8s.io' if new else 'k8s.gcr.io')}/pause:{tag}"


def _wishes(
    kubelet: Kubelet | Unobserved, kubeadm: KubeadmConfig | Unobserved, program: KubeadmBinary | Unobserved
) -> Iterator[Wish]:
    if isinstance(program, KubeadmBinary) and program.version is not None:
        config = kubeadm if isinstance(kubeadm, KubeadmConfig) else KubeadmConfig()
        image = kubeadm_pause_image(program.version, config.image_repository)
        if image is not None:
            source = f"kubeadm {versions.text(program.version)}"
            if config.image_repository:
                source += f", imageRepository of {config.source}"
            yield Wish("kubeadm", image, source)
    if isinstance(kubelet, Kubelet) and kubelet.pause_image_flag:
        flag = "--pod-infra-container-image"
        yield Wish("kubelet", kubelet.pause_image_flag, f"{flag} ({kubelet.flag_sources.get(flag, 'kubelet')})")
