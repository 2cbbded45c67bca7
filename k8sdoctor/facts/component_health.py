"""Whether the components of this node's control plane say that they are well."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.host.answers import HttpRequest
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.pod_manifest import Container
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import NetworkFailure

LIMIT = 4.0

# Default ports (kubernetes pkg/cluster/ports), and the path that anybody may ask without a certificate: `--authorization-always-allow-paths` is /healthz,
# /readyz and /livez by default, and of the API server they are public by the role system:public-info-viewer.
PROGRAMS = {
    "kube-apiserver": (6443, "/livez"),
    "kube-controller-manager": (10257, "/healthz"),
    "kube-scheduler": (10259, "/healthz"),
}

UNAVAILABLE = 500


@dataclass(frozen=True, slots=True)
class Health:
    """What one component answered at `url`. `status` is 0 without an answer, and `failure` says why; `said` is the body's first line."""

    component: str
    url: str
    status: int
    said: str = ""
    failure: NetworkFailure | None = None

    @property
    def well(self) -> bool:
        """Whether it answers, and does not say that it is not well; one that lets nobody in (401, 403) is there."""
        return self.failure is None and self.status < UNAVAILABLE


@dataclass(frozen=True)
class ComponentHealth:
    """What each component answered that has a static pod here."""

    all: tuple[Health, ...]

    def of(self, component: str) -> Health | None:
        """What one answered."""
        return next((each for each in self.all if each.component == component), None)

    @classmethod
    def observe(cls, host: Host, pods: StaticPods) -> Self:
        """Ask them, without credentials, where their flags have them listen, all at the same time. Raises Offline."""
        found = [
            (name, container)
            for name in PROGRAMS
            for manifest, container in pods.containers()
            if container.program == name and not container.init and manifest.host_network
            if container.flag("--secure-port") != "0"  # which turns it off
        ]
        return cls(tuple(side_by_side([partial(_ask, host, name, container) for name, container in found])))


def _ask(host: Host, name: str, container: Container) -> Health:
    port, path = PROGRAMS[name]
    given = container.flag("--secure-port") or ""
    bind = container.flag("--bind-address") or ""
    if bind in ("", "0.0.0.0", "::"):  # noqa: S104 -- listens everywhere
        bind = container.flag("--advertise-address") or ("::1" if bind == "::" else "127.0.0.1")
    url = f"https://{authority(bind, numbers.port(given) or port)}{path}"
    answer = host.http(
        HttpRequest(
            method="GET",
            url=url,
            headers={},
            ca_files=[],
            client_certificate=None,
            verify=False,  # controller manager and scheduler sign their own certificate
            proxy=None,
            limit=LIMIT,
        )
    )
    lines = answer["body"].strip().splitlines()
    return Health(name, url, answer["status"], lines[0] if lines else "", answer["failure"])
