"""The kubelet of this machine: its version, flags and configuration file."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions, yaml
from k8sdoctor.facts.processes import Processes, flag
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

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
    when there is none, with the drop-ins of `--config-dir` merged in; `problems` are files that could not be read or parsed.
    `drop_ins` are those drop-ins in their order, `setting_files` names the file that last set each of the configuration's keys.
    """

    version: versions.Version | None
    pid: int | None
    flags: Mapping[str, str]
    flag_sources: Mapping[str, str]
    config_path: str
    config: Mapping[str, Json]
    problems: tuple[Unobserved, ...]
    drop_ins: tuple[str, ...] = ()
    setting_files: Mapping[str, str] = field(default_factory=dict)

    def setting_source(self, key: str) -> str:
        """The file that sets a key of the configuration; the configuration file where none does."""
        return self.setting_files.get(key, self.config_path)

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

    @property
    def configured(self) -> bool:
        """Whether it runs here, or has a configuration to run with."""
        return self.pid is not None or bool(self.config)

    @property
    def config_problem(self) -> Unobserved | None:
        """Why its configuration is not known: the file, or a drop-in, could not be read or parsed."""
        paths = (self.config_path, *self.drop_ins)
        return next((each for each in self.problems if any(path in each.message for path in paths)), None)

    def switch(self, flag_name: str, key: str, *, default: bool) -> bool:
        """A switch as it counts: the flag, else the field, else the default."""
        given = self.flags.get(flag_name)
        if given is not None:
            return given.lower() not in ("false", "f", "0")
        value = self.config.get(key)
        return value if isinstance(value, bool) else default

    def source_of(self, flag_name: str, key: str) -> str:
        """Where a setting stands, as `what, where`; the default's place where it stands nowhere."""
        if flag_name in self.flags:
            return f"{flag_name} of {self.flag_sources[flag_name]}"
        return f"{key} of {self.setting_source(key)}" if key in self.config else f"the default of {key}"

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
        config = _load(host, config_path, problems)
        setting_files = dict.fromkeys(config, config_path)
        drop_ins = tuple(_drop_ins(host, flags.get("--config-dir"), problems))
        for path in drop_ins:
            patch = {key: value for key, value in _load(host, path, problems).items() if key not in _TYPE}
            config = _merged(config, patch)
            setting_files.update(dict.fromkeys(patch, path))
        return cls(
            _version(host, running[0]["cmdline"][0] if running and running[0]["cmdline"] else "kubelet"),
            running[0]["pid"] if running else None,
            flags,
            sources,
            config_path,
            config,
            tuple(problems),
            drop_ins,
            setting_files,
        )


_TYPE = frozenset({"apiVersion", "kind"})


def _load(host: Host, path: str, problems: list[Unobserved]) -> dict[str, Json]:
    text = _read(host, path, problems)
    try:
        return yaml.mapping(text, path) if text is not None else {}
    except yaml.YamlError as error:
        problems.append(Unobserved("Unreadable", str(error)))
        return {}


def _drop_ins(host: Host, folder: str | None, problems: list[Unobserved]) -> list[str]:
    """The files `*.conf` below a folder in the order of Go's WalkDir: names bytewise, a sub-folder's where its name stands.

    That is how mergeKubeletConfigurations walks it (kubernetes cmd/kubelet/app/server.go, 1.28 and later).
    """
    if not folder:
        return []
    found: list[str] = []
    try:
        for entry in host.listdir_optional(folder):
            path = f"{folder.rstrip('/')}/{entry['name']}"
            if entry["kind"] == "dir":
                found += _drop_ins(host, path, problems)
            elif entry["name"].endswith(".conf"):
                found.append(path)
    except HostError as error:
        problems.append(Unobserved(error.reason, error.message))
    return found


def _merged(config: dict[str, Json], patch: Mapping[str, Json]) -> dict[str, Json]:
    """A configuration with a drop-in over it, as a JSON merge patch (RFC 7386): mappings merge, null removes, all else replaces."""
    merged = dict(config)
    for key, value in patch.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged


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
