"""The version of the API server that the node reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions, yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

PATH = "/version"  # whoever has logged in may read it (ClusterRole system:public-info-viewer)


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """`text` is what it said, such as `v1.36.2`."""

    version: versions.Version
    text: str

    @classmethod
    def observe(cls, host: Host, access: ApiAccess) -> Self:
        """Ask it. Raises the reason why it cannot be asked, and Unreadable where its answer holds no version."""
        if access.kubeconfig is None:
            problem = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            raise HostError(problem.reason, problem.message, problem.traits)
        text = yaml.string(host.kube(PATH, kubeconfig=access.kubeconfig), "gitVersion") or ""
        version = versions.parse(text)
        if version is None:
            raise HostError("Unreadable", f"the API server's {PATH} holds no version")
        return cls(version, text)
