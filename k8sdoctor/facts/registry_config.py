"""All that is written on this node about registries and their mirrors, whichever registry it is for. Nobody is asked here.

What it means for the sandbox image is in `RegistryHosts`; here is the rest, read by the same rules.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import toml, versions
from k8sdoctor.facts.containerd import CERTS_D, ContainerdConfig
from k8sdoctor.facts.containerd_files import leaves
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import DOCKER_HUB, ImageReference
from k8sdoctor.facts.registry_chain import Question, RegistryChain, RegistryHost, SkippedHost, Stopper
from k8sdoctor.facts.registry_hosts import PullConfig
from k8sdoctor.facts.settings import IgnoredSetting, Remark
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.read_once import ReadOnce
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.facts.runtime import Kind
    from k8sdoctor.host import Host

DEFAULT = "_default"
"""The folder of containerd that serves every registry without one of its own."""

_HUB_NAMES = frozenset({"registry-1.docker.io", "index.docker.io", "hub.docker.com", "registry.hub.docker.com"})


# A registry below a domain of which a file of CRI-O's names all, `*.example`.
_ANY = "any."


def is_made_up(registry: str) -> bool:
    """Whether a registry's name stands for many, so that there is nobody to ask under it."""
    return registry in {DEFAULT, "*"} or registry.startswith(_ANY)


def _says_something(host: RegistryHost) -> bool:
    """Whether anybody wrote about a registry itself: a folder without certificates, or a hosts.toml without `server`, says nothing of it."""
    in_file = re.search(r"\.toml:\d+$|\.(conf|json)(:\d+)?$", host.source)
    return bool(in_file or host.ca_files or host.client_certificate)


def called(registry: str) -> str:
    """A registry in a sentence.

    >>> called("docker.io"), called("_default"), called("any.example")
    ('docker.io', 'every other registry', '*.example')
    """
    if registry in {DEFAULT, "*"}:
        return "every other registry"
    return f"*.{registry.removeprefix(_ANY)}" if registry.startswith(_ANY) else registry


@dataclass(frozen=True)
class RegistryConfig:
    """What each registry that is named in the runtime's files means to it."""

    runtime: Kind
    chains: tuple[RegistryChain, ...] = ()
    """One for each registry that is written down, sorted; `image.registry` names it, and its repository is made up."""
    ignored: tuple[IgnoredSetting, ...] = ()
    remarks: tuple[Remark, ...] = ()
    stoppers: tuple[Stopper, ...] = ()
    """What keeps pulls from going on; without `base_url`, each one of that registry."""
    unreadable: tuple[tuple[str, Unobserved], ...] = ()
    """Registries of which a file could not be read, and why."""
    files: tuple[str, ...] = ()
    """The files that say something, sorted."""
    broken: tuple[str, ...] = ()
    """The runtime's own files that it cannot take, `path:line`: what they say of registries is not known."""
    folder: str | None = None
    """Where hosts.toml files (or certificates) are looked for; None when nowhere."""
    key: str = ""
    """The key that names that folder (containerd)."""
    config_path: str = ""
    """The runtime's own file."""

    @property
    def registries(self) -> tuple[str, ...]:
        """The names of the registries that are written down."""
        return tuple(chain.image.registry for chain in self.chains)

    @property
    def hosts(self) -> tuple[RegistryHost, ...]:
        """The places that somebody wrote down and that the runtime would ask, once each."""
        found: dict[Question, RegistryHost] = {}
        for chain in self.chains:
            if any(stopper.base_url is None for stopper in chain.stoppers):
                continue  # nobody is asked
            for host in chain.hosts:
                if not (host.upstream and (is_made_up(chain.image.registry) or not _says_something(host))):
                    found.setdefault(host.question, host)
        return tuple(found.values())

    @property
    def skipped(self) -> tuple[tuple[RegistryChain, SkippedHost], ...]:
        """Places that the runtime asks for digests, and not for a tag."""
        return tuple((chain, host) for chain in self.chains for host in chain.skipped if host.by_digest)

    @classmethod
    def observe(cls, host: Host, pulls: PullConfig) -> Self:
        """Read what the runtime that runs here reads. Raises NotPermitted."""
        once = ReadOnce(host)
        if isinstance(pulls.config, ContainerdConfig):
            found = cls._of_containerd(once, pulls.config, pulls.ignored)
        elif isinstance(pulls.config, CrioConfig):
            found = cls._of_crio(once, pulls.config)
        else:
            found = cls._of_docker(once, pulls.config)
        problems = pulls.config.problems
        return replace(found, broken=tuple(f"{one.path}:{one.line}" if one.line else one.path for one in problems))

    # -- containerd --------------------------------------------------------------------------------------------------

    @classmethod
    def _of_containerd(cls, host: Host, config: ContainerdConfig, vain: tuple[IgnoredSetting, ...]) -> Self:
        from k8sdoctor.facts import containerd_hosts

        roots = config.certs_folders
        listed = tuple(part for part in config.config_path.split(":") if part)
        names: set[str] = set()
        remarks: list[Remark] = []
        ignored = [*vain]
        for root in dict.fromkeys((*roots, *listed, CERTS_D, "/etc/docker/certs.d")):
            for entry in host.listdir_optional(root):
                path = posixpath.join(root, entry["name"])
                if entry["kind"] in {"dir", "link"} and (root in roots or host.exists(f"{path}/hosts.toml")):
                    names.add(registry_of(entry["name"]))
                elif entry["name"] == "hosts.toml" and root in roots:
                    why = f"containerd looks for it in a folder of the registry's name below {root}"
                    ignored.append(
                        IgnoredSetting("other-folder", "hosts.toml", "", path, why, f"{root}/{DEFAULT}/hosts.toml")
                    )
        names.update(toml.table(config.registry, "mirrors"), toml.table(config.registry, "configs"))
        remarks += _hub_names(names, roots)
        remarks += _old_format(config)
        read = _Read(lambda image: containerd_hosts.chain(host, config, image), names)
        single = roots[0] if roots and ":" not in roots[0] else None
        return cls(
            runtime="containerd",
            chains=tuple(read.chains),
            ignored=tuple(dict.fromkeys((*ignored, *read.ignored))),
            remarks=tuple(dict.fromkeys((*remarks, *read.remarks))),
            stoppers=tuple(dict.fromkeys(read.stoppers)),
            unreadable=tuple(read.unreadable),
            files=tuple(sorted({path for path in read.sources if path not in config.files and path not in roots})),
            folder=single,
            key=config.config_path_key,
            config_path=config.path,
        )

    # -- CRI-O -------------------------------------------------------------------------------------------------------

    @classmethod
    def _of_crio(cls, host: Host, config: CrioConfig) -> Self:
        from k8sdoctor.facts import crio_hosts

        conf = crio_hosts.registries(host, config)
        prefixes = {*conf.registries, *(lost.prefix for lost, _ in conf.replaced)}
        prefixes.update(registry.prefix for _, registries in conf.unread for registry in registries)
        prefixes.update(toml.texts_of(toml.setting(config.image, "insecure_registries")))
        for root in crio_hosts.CERTS:
            try:
                prefixes.update(entry["name"] for entry in host.listdir_optional(root) if entry["kind"] != "file")
            except HostError:
                continue  # root's own folder, which others may not see
        read = _Read(lambda image: crio_hosts.chain(host, config, image, conf), prefixes)
        stoppers = [stopper for stopper in read.stoppers if stopper.kind != "policy"]
        if conf.invalid is not None and not read.chains:
            path, line = conf.invalid.path, conf.invalid.line
            source = f"{path}:{line}" if line else path
            stoppers.append(Stopper("config-invalid", path, source, f"every pull fails: {conf.invalid}"))
        return cls(
            runtime="cri-o",
            chains=tuple(read.chains),
            ignored=tuple(dict.fromkeys(read.ignored)),
            remarks=tuple(conf.remarks),
            stoppers=tuple(dict.fromkeys(stoppers)),
            unreadable=tuple(read.unreadable),
            files=tuple(conf.files),
            folder="/etc/containers/certs.d",
            config_path=conf.files[0] if conf.files else "/etc/containers/registries.conf",
        )

    # -- Docker ------------------------------------------------------------------------------------------------------

    @classmethod
    def _of_docker(cls, host: Host, config: DockerConfig) -> Self:
        from k8sdoctor.facts import docker_hosts

        names = {entry.partition("://")[2] or entry for entry in config.insecure if not _is_network(entry)}
        if config.mirrors:
            names.add(DOCKER_HUB)
        names.update(entry["name"] for entry in host.listdir_optional(docker_hosts.CERTS) if entry["kind"] != "file")
        read = _Read(lambda image: docker_hosts.chain(host, config, image), names)
        # What registry-mirrors mean for other registries than Docker Hub is nothing, and nobody wrote it for them.
        ignored = [one for one in read.ignored if one.kind != "without-effect"]
        return cls(
            runtime="cri-dockerd",
            chains=tuple(read.chains),
            ignored=tuple(dict.fromkeys(ignored)),
            remarks=tuple(_misspelt(config)),
            stoppers=tuple(dict.fromkeys(read.stoppers)),
            unreadable=tuple(read.unreadable),
            files=config.files if config.mirrors or config.insecure else (),
            folder=docker_hosts.CERTS,
            config_path=config.path,
        )


@dataclass()
class _Read:
    """The chain of each registry, and what its files say in vain."""

    chain: Callable[[ImageReference], RegistryChain]
    names: set[str]
    chains: list[RegistryChain] = field(default_factory=list)
    ignored: list[IgnoredSetting] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    stoppers: list[Stopper] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, Unobserved]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in sorted(self.names):
            # A prefix of CRI-O's may hold a part of the path, and stand for every name below a domain.
            registry, _, path = name.replace("*.", _ANY, 1).partition("/")
            image = ImageReference(registry, f"{path or 'library'}/image", "latest", None)
            try:
                found = self.chain(image)
            except HostError as error:
                self.unreadable.append((name, Unobserved(error.reason, error.message)))
                continue
            self.chains.append(found)
            self.ignored += found.ignored
            self.remarks += found.remarks
            self.stoppers += found.stoppers
            self.sources += found.sources


def registry_of(folder: str) -> str:
    """The registry that a folder's name stands for.

    >>> registry_of("mirror_5000_"), registry_of("docker.io")
    ('mirror:5000', 'docker.io')
    """
    name, _, port = folder.removesuffix("_").rpartition("_")
    return f"{name}:{port}" if folder.endswith("_") and name and port.isdigit() else folder


def _is_network(entry: str) -> bool:
    """Whether an entry of insecure-registries is a CIDR."""
    return entry.rpartition("/")[2].isdigit()


def _hub_names(names: set[str], roots: tuple[str, ...]) -> Iterator[Remark]:
    """Docker Hub by another name than images have, where nothing is written for the name that they have."""
    for name in sorted(names & _HUB_NAMES) if DOCKER_HUB not in names and roots else ():
        path = posixpath.join(roots[0], name)
        why = f"images of Docker Hub are looked up as {DOCKER_HUB}, so {name} counts for none of them"
        yield Remark("wrong-name", name, path, why, posixpath.join(roots[0], DOCKER_HUB))


def _old_format(config: ContainerdConfig) -> Iterator[Remark]:
    """`registry.mirrors` and `registry.configs` where they count.

    RELEASES.md announces both to be gone in 2.4, whose first beta still reads them; `configs.<host>.tls` went with 2.0
    (`internal/cri/config/config.go` RegistryConfig).
    """
    mirrors = next(leaves(toml.table(config.registry, "mirrors")), None)
    count = not config.certs_folders and (config.pulls_locally or config.version < (2, 1, 0))
    if mirrors is not None and count:
        why = f"containerd {versions.text(config.version)} still reads registry.mirrors, which is deprecated since 1.5 and to go with 2.4"
        yield Remark("old-format", "registry.mirrors", mirrors.source, why, "hosts.toml")
    for name, inner in toml.table(config.registry, "configs").items() if config.version < (2, 0, 0) else ():
        found = next(leaves(toml.table(inner, "tls") if isinstance(inner, dict) else None), None)
        if found is not None and not config.certs_folders:
            why = f"containerd 2.0 no longer knows it, and asks {name} without what it says after an upgrade"
            yield Remark("old-format", f'registry.configs."{name}".tls', found.source, why, "hosts.toml")


def _misspelt(config: DockerConfig) -> Iterator[Remark]:
    """Keys of daemon.json for registries that are none.

    dockerd does not start with a key that is neither an option nor a flag; a flag's own name, `registry-mirror`, it takes and
    passes over (moby `daemon/config/config.go` findConfigurationConflicts).
    """
    for key in config.unknown:
        right = "insecure-registries" if "secure" in key.lower() else "registry-mirrors"
        flag = key in {"registry-mirror", "insecure-registry"}
        why = (
            "dockerd takes it for the flag of that name, and passes over it"
            if flag
            else "dockerd does not start with a key that it does not know"
        )
        yield Remark("unknown-key", key, config.path, why, right)
