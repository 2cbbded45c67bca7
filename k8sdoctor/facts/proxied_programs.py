"""The programs of this node that a proxy may come between: the runtime, the kubelet, the control plane's static pods."""

from __future__ import annotations

import posixpath
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from k8sdoctor.facts import urls
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.kubeconfig import KUBELET, Kubeconfigs
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_subnets import PodSubnets
from k8sdoctor.facts.processes import flag
from k8sdoctor.facts.proxy import NAMES, ProxyEnvironment, UnitProxy
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import RegistryAnswers
from k8sdoctor.facts.registry_hosts import PullConfig
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import Host, HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.registry_chain import RegistryHost

LIMIT = 5.0
"""Seconds that one request may take. A constant, so that a recording holds the same question."""

Role: TypeAlias = Literal["runtime", "kubelet", "api-server", "api-client"]

# What talks to the API server from a static pod (kubeadm's own), with the kubeconfig that names where.
_CLIENTS = ("kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True, slots=True)
class Program:
    """One of them, with what it has of a proxy."""

    name: str
    role: Role
    proxy: ProxyEnvironment
    """What counts as it is running."""
    unit: UnitProxy | None = None
    """Its service; None for a static pod, and for dockerd where its own file names the proxy."""
    file: str = ""
    """The manifest, or Docker's file, that sets the variables where no unit does."""
    api: str | None = None
    """The URL of the API server that it talks to."""
    unread: Unobserved | None = None

    @property
    def lasting(self) -> ProxyEnvironment:
        """What it has after its next start."""
        return self.unit.planned if self.unit is not None and self.unit.stale else self.proxy


@dataclass(frozen=True, slots=True)
class Detour:
    """A peer that was asked through the proxy in vain, and then directly."""

    program: str
    target: str
    proxy: str
    said: str
    """What came of asking through the proxy."""
    direct: bool
    """Whether it answers without the proxy."""
    api: bool = False


@dataclass(frozen=True)
class ProxiedPrograms:
    """Who goes by which proxy, and what is in the cluster, where no proxy belongs."""

    programs: tuple[Program, ...] = ()
    services: tuple[str, ...] = ()
    """The service subnets, as far as they are known."""
    pods: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    """The addresses of the cluster's nodes, as far as they are known."""
    shell: tuple[tuple[str, str], ...] = ()
    """Variables that people's shells have, and the file that sets each; no service reads those files."""

    @classmethod
    def observe(  # noqa: PLR0913, PLR0917 -- whoever may be between programs and a proxy
        cls,
        host: Host,
        runtime: Runtime,
        pulls: PullConfig | Unobserved,
        kubelet: Kubelet | Unobserved,
        static_pods: StaticPods | Unobserved,
        kubeconfigs: Kubeconfigs | Unobserved,
        server: ApiServer,
        planned: KubeadmConfig | Unobserved,
        cluster: ClusterKubeadmConfig | Unobserved,
        pod_subnets: PodSubnets | Unobserved,
        nodes: ClusterNodes | Unobserved,
    ) -> Self:
        """Read what each has. Never raises."""
        configs = [
            config.config if isinstance(config, ClusterKubeadmConfig) else config
            for config in (cluster, planned)
            if not isinstance(config, Unobserved)
        ]
        programs = (
            *_runtime(runtime, pulls),
            *_kubelet(host, kubelet, kubeconfigs),
            *(_static(static_pods, kubeconfigs) if isinstance(static_pods, StaticPods) else ()),
        )
        services = [*(server.flag("--service-cluster-ip-range") or "").split(",")]
        services += [subnet for config in configs for subnet in config.service_subnets]
        known_pods = pod_subnets.subnets if isinstance(pod_subnets, PodSubnets) else ()
        pods = [str(subnet) for subnet, _ in known_pods]
        pods += [subnet for config in configs for subnet in config.pod_subnets]
        addresses = [server.address or ""]
        if isinstance(nodes, ClusterNodes):
            addresses += [address for node in nodes.all for address in node.internal_addresses]
        return cls(
            programs,
            services=_subnets(services),
            pods=_subnets(pods),
            nodes=tuple(dict.fromkeys(filter(None, addresses))),
            shell=tuple(_shell(host)),
        )


def _subnets(texts: list[str]) -> tuple[str, ...]:
    import ipaddress

    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
    return tuple(dict.fromkeys(found))


def _runtime(runtime: Runtime, pulls: PullConfig | Unobserved) -> Iterator[Program]:
    if isinstance(pulls, Unobserved):
        return
    name = "dockerd" if pulls.kind == "cri-dockerd" else runtime.kind or "containerd"
    if pulls.unit is not None:
        yield Program(name, "runtime", pulls.proxy, pulls.unit, unread=pulls.unit.unread)
    elif isinstance(pulls.config, DockerConfig):
        yield Program(name, "runtime", pulls.proxy, file=pulls.config.path)


def _kubelet(host: Host, kubelet: Kubelet | Unobserved, kubeconfigs: Kubeconfigs | Unobserved) -> Iterator[Program]:
    if isinstance(kubelet, Unobserved) or (kubelet.pid is None and kubelet.version is None):
        return
    unit = UnitProxy.of(host, kubelet.pid, "kubelet")
    api = _server(kubeconfigs, kubelet.flags.get("--kubeconfig", KUBELET))
    yield Program("kubelet", "kubelet", unit.held, unit, api=api, unread=unit.unread)


def _static(pods: StaticPods, kubeconfigs: Kubeconfigs | Unobserved) -> Iterator[Program]:
    for manifest, container in pods.containers():
        # kubeadm hands the environment that it was run with on to them (`GetProxyEnvVars` in cmd/kubeadm/app/util/env.go).
        proxy = ProxyEnvironment.of(container.env, manifest.path)
        if container.program == "kube-apiserver":
            yield Program("kube-apiserver", "api-server", proxy, file=manifest.path)
        elif container.program in _CLIENTS:
            path = flag(container.words, "--kubeconfig") or ""
            api = _server(kubeconfigs, container.on_host(path) or path)
            yield Program(container.program, "api-client", proxy, file=manifest.path, api=api)


def _server(kubeconfigs: Kubeconfigs | Unobserved, path: str) -> str | None:
    """Where a kubeconfig leads; one that names a proxy of its own has no use for the environment's."""
    found = kubeconfigs.at(path) if isinstance(kubeconfigs, Kubeconfigs) else None
    return found.server if found is not None and not found.proxy and urls.is_url(found.server or "") else None


def _shell(host: Host) -> Iterator[tuple[str, str]]:
    """Proxies in the files of pam_env and of login shells."""
    paths = ["/etc/environment"]
    with suppress(HostError):
        paths += [
            posixpath.join("/etc/profile.d", entry["name"])
            for entry in host.listdir_optional("/etc/profile.d")
            if "proxy" in entry["name"].lower()
        ]
    for path in paths:
        with suppress(HostError):
            for line in (host.read_optional(path) or "").splitlines():
                name, sign, value = line.strip().removeprefix("export ").partition("=")
                if sign and name.upper() in NAMES and _words(value):
                    yield name, path


def _words(value: str) -> list[str]:
    try:
        return [word for word in shlex.split(value) if word]
    except ValueError:
        return []


@dataclass(frozen=True)
class ProxyDetours:
    """The peers that a proxy did not lead to."""

    all: tuple[Detour, ...] = ()

    @classmethod
    def observe(
        cls,
        host: Host,
        programs: ProxiedPrograms,
        answers: RegistryAnswers | Unobserved,
        pull: PullAttempts | Unobserved,
    ) -> Self:
        """Ask API servers through the proxy, and again without it whom the proxy did not lead to. Never raises."""
        return cls(tuple(_detours(host, programs.programs, answers, pull)))


def _detours(
    host: Host, programs: tuple[Program, ...], answers: RegistryAnswers | Unobserved, pull: PullAttempts | Unobserved
) -> Iterator[Detour]:
    probes = []
    asked: set[tuple[str, str]] = set()
    for program in programs:
        way = program.proxy.proxy_for(program.api) if program.api else None
        if program.api and way and (program.api, way) not in asked:
            asked.add((program.api, way))
            probes.append(partial(_api, host, program.name, program.api, way))
    puller = next((program.name for program in programs if program.role == "runtime"), "the runtime")
    if isinstance(answers, RegistryAnswers):
        probes += [
            partial(_registry, host, puller, answer.host, answer.proxy, answer.said)
            for answer in answers.all
            if answer.proxy and answer.failure and answer.untried is None
        ]
    for attempt in pull.attempts if isinstance(pull, PullAttempts) else ():
        last = attempt.exchanges[-1] if attempt.exchanges else None
        if attempt.failure and last is not None and last.proxy and not attempt.elsewhere:
            probes.append(partial(_registry, host, puller, attempt.host, last.proxy, attempt.words))
    yield from filter(None, side_by_side(probes))


def _api(host: Host, name: str, server: str, proxy: str) -> Detour | None:
    url = f"{server.rstrip('/')}/livez"
    shown = urlsplit(proxy).netloc.rpartition("@")[2]
    try:
        failure = _failure(host, url, proxy)
        if failure is None:
            return None
        return Detour(name, server, shown, failure, direct=_failure(host, url, None) is None, api=True)
    except HostError:
        return None


def _registry(host: Host, name: str, place: RegistryHost, proxy: str, said: str) -> Detour | None:
    try:
        direct = _failure(host, replace(place, mirror_ns=None).url(""), None) is None
    except HostError:
        return None
    return Detour(name, place.base_url, proxy.rpartition("://")[2], said, direct)


def _failure(host: Host, url: str, proxy: str | None) -> str | None:
    """What keeps anybody from answering; None for any answer at all."""
    answer = host.http(
        {
            "method": "GET",
            "url": url,
            "headers": {},
            "ca_files": [],
            "client_certificate": None,
            "verify": False,
            "proxy": proxy,
            "limit": LIMIT,
        }
    )
    return answer["failure"]["message"] if answer["failure"] else None
