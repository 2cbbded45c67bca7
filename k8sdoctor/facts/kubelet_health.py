"""Whether the kubelet of this machine is alive, as it says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers, yaml
from k8sdoctor.facts.cluster_nodes import ClusterNodes
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.service import Service
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import HttpRequest
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import HttpAnswer

PORT = 10248  # pkg/kubelet/apis/config/v1beta1/defaults.go
LIMIT = 3.0
"""Seconds that its health check may take; kubeadm waits for one second at a time."""


@dataclass(frozen=True)
class KubeletHealth:
    """What the kubelet answers to `GET /healthz` at `url`.

    `answer` is None where it was not asked: its port is switched off (`url` is None), this machine is no node, or `problem`.
    """

    url: str | None = None
    answer: HttpAnswer | None = None
    problem: Unobserved | None = None

    @property
    def alive(self) -> bool | None:
        """Whether it said that it is well; None where it was not asked."""
        return self.answer["status"] == 200 if self.answer else None  # noqa: PLR2004 -- OK

    @property
    def said(self) -> str:
        """Its answer in a few words."""
        if self.answer is None:
            return self.problem.message if self.problem else "it was not asked"
        if self.answer["failure"]:
            return self.answer["failure"]["message"]
        return f"{self.answer['status']} {' '.join(self.answer['body'].split())[:200]}".strip()

    @classmethod
    def observe(cls, host: Host, stage: Stage, kubelet: Kubelet | Unobserved) -> Self:
        """Ask it on a node that has joined. Never raises."""
        if not stage.joined:
            return cls()
        url = _url(kubelet) if isinstance(kubelet, Kubelet) else f"http://127.0.0.1:{PORT}/healthz"
        if url is None:
            return cls()
        request = HttpRequest(
            method="GET",
            url=url,
            headers={},
            ca_files=[],
            client_certificate=None,
            verify=True,
            proxy=None,
            limit=LIMIT,
        )
        try:
            return cls(url, host.http(request))
        except HostError as error:
            return cls(url, problem=Unobserved(error.reason, error.message))


def health_socket(kubelet: Kubelet) -> tuple[str, int] | None:
    """Address and port where its health is asked from this node; None where that is switched off."""
    port = numbers.port(kubelet.flags.get("--healthz-port") or yaml.string(kubelet.config, "healthzPort") or str(PORT))
    if port is None:  # 0 switches it off
        return None
    address = (
        kubelet.flags.get("--healthz-bind-address") or yaml.string(kubelet.config, "healthzBindAddress") or "127.0.0.1"
    )
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address), port  # noqa: S104 -- what is written there


def _url(kubelet: Kubelet) -> str | None:
    reached = health_socket(kubelet)
    return f"http://{authority(*reached)}/healthz" if reached else None


@dataclass(frozen=True)
class KubeletService:
    """The kubelet's service where the kubelet or its Node is not well; None where both are, and where this machine is no node."""

    service: Service | None = None

    @classmethod
    def observe(
        cls,
        host: Host,
        stage: Stage,
        kubelet: Kubelet | Unobserved,
        health: KubeletHealth,
        nodes: ClusterNodes | Unobserved,
    ) -> Self:
        """Ask systemd and read the log. Never raises."""
        runs = isinstance(kubelet, Kubelet) and kubelet.pid is not None
        ready = isinstance(nodes, Unobserved) or (nodes.own is not None and nodes.own.is_ready)
        if not stage.joined or (ready and runs and health.alive is not False):
            return cls()
        return cls(Service.look(host, "kubelet"))
