"""The kubelet of this machine: its version, flags and configuration file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions, yaml
from k8sdoctor.facts.processes import Processes, flag
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json

CONFIG = "/var/lib/kubelet/config.yaml"

# Where flags stand that the unit of the kubeadm package passes on: kubeadm writes the first at init and join; the others are the
# administrator's, for deb and rpm (10-kubeadm.conf of kubernetes/release).
FLAG_FILES = ("/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet")


@dataclass(frozen=True)
class Kubelet:
    """What is known of the kubelet.

    `version` is None when none is installed or it will not say. `pid` is None when it does not run. `flags` are those of the running process,
    else those of the environment files; `flag_sources` names the file or process of each. `config` is its configuration file, empty
    when there is none; `problems` are files that could not be read or parsed.
    """

    version: versions.Version | None
    pid: int | None
    flags: Mapping[str, str]
    flag_sources: Mapping[str, str]
    config_path: str
    config: Mapping[str, Json]
    problems: tuple[Unobserved, ...]

    @property
    def cluster_dns(self) -> tuple[str, ...]:
        """The DNS addresses that it writes into pods' resolv.conf."""
        given = self.flags.get("--cluster-dns")
        return tuple(given.split(",")) if given else yaml.strings(self.config, "clusterDNS")

    @property
    def cluster_domain(self) -> str | None:
        """The cluster's DNS domain."""
        return self.flags.get("--cluster-domain") or yaml.string(self.config, "clusterDomain")

    @property
    def static_pod_path(self) -> str | None:
        """The folder whose manifests it runs."""
        return self.flags.get("--pod-manifest-path") or yaml.string(self.config, "staticPodPath")

    @property
    def resolv_conf(self) -> str:
        """The resolv.conf from which pods' upstream settings come."""
        return self.flags.get("--resolv-conf") or yaml.string(self.config, "resolvConf") or "/etc/resolv.conf"

    @property
    def runtime_endpoint(self) -> str | None:
        """The runtime's socket as configured; a flag until 1.26, a field since."""
        return self.flags.get("--container-runtime-endpoint") or yaml.string(self.config, "containerRuntimeEndpoint")

    @property
    def pause_image_flag(self) -> str | None:
        """The value of `--pod-infra-container-image`, which the kubelet of 1.35 no longer knows."""
        return self.flags.get("--pod-infra-container-image")

    @classmethod
    def observe(cls, host: Host, processes: Processes | Unobserved) -> Self:
        """Ask the program for its version, and read flags and configuration. Never raises: what fails is a problem."""
        running = processes.named("kubelet") if isinstance(processes, Processes) else ()
        flags: dict[str, str] = {}
        sources: dict[str, str] = {}
        problems: list[Unobserved] = []
        if running:
            words = running[0]["cmdline"]
            source = f"command line of kubelet, pid {running[0]['pid']}"
            _collect(words[1:], source, flags, sources)
        else:
            for path in FLAG_FILES:
                text = _read(host, path, problems)
                _collect(_flag_words(text or ""), path, flags, sources)
        config_path = flags.get("--config", CONFIG)
        config: dict[str, Json] = {}
        text = _read(host, config_path, problems)
        if text is not None:
            try:
                config = yaml.mapping(text, config_path)
            except yaml.YamlError as error:
                problems.append(Unobserved("Unreadable", str(error)))
        return cls(
            _version(host, running[0]["cmdline"][0] if running and running[0]["cmdline"] else "kubelet"),
            running[0]["pid"] if running else None,
            flags,
            sources,
            config_path,
            config,
            tuple(problems),
        )


def _read(host: Host, path: str, problems: list[Unobserved]) -> str | None:
    try:
        return host.read_optional(path)
    except HostError as error:
        problems.append(Unobserved(error.reason, error.message))
        return None


def _version(host: Host, program: str) -> versions.Version | None:
    try:
        return versions.parse(host.run(program, "--version")["out"])
    except HostError:
        return None


def _flag_words(text: str) -> list[str]:
    """The words inside `NAME="--a=b --c=d"` lines of an environment file."""
    words: list[str] = []
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if not sign or not name.isidentifier():
            continue
        try:
            words += [word for part in shlex.split(value) for word in shlex.split(part)]
        except ValueError:  # an unclosed quote: systemd ignores such a line as well
            continue
    return words


def _collect(words: list[str], source: str, flags: dict[str, str], sources: dict[str, str]) -> None:
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--"):
            flags[name] = flag(words, name) or ""
            sources[name] = source
