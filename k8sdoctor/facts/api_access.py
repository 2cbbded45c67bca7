"""Whether the API server can be asked, and by which kubeconfig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET, SUPER_ADMIN, Kubeconfigs
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Host

# Every API server holds this object, and a kubelet may read it too (ClusterRole system:node of Kubernetes' bootstrap policy).
PROBE = "/api/v1/namespaces/default/services/kubernetes"

# The most powerful first: a kubelet may read little of what facts want. super-admin.conf comes second, since its holder passes
# every authorization, and reading needs no such thing where admin.conf works.
BY_POWER = (ADMIN, SUPER_ADMIN, KUBELET)


@dataclass(frozen=True)
class ApiAccess:
    """The kubeconfig that works for reading; None where none does, and `problem` says why.

    It may still be refused single objects: a kubelet reads few.
    """

    kubeconfig: str | None
    problem: Unobserved | None

    @classmethod
    def observe(cls, host: Host, kubeconfigs: Kubeconfigs) -> Self:
        """Ask for one object by each kubeconfig until one is answered; the one of the command line alone where it was given."""
        given = host.given()["kubeconfig"]
        problem: Unobserved | None = None
        silent: set[str | None] = set()
        for path in [given] if given else BY_POWER:
            file = kubeconfigs.at(path)
            refused = next((why for name, why in kubeconfigs.unreadable if name == path), None)
            if file is None:
                problem = problem or refused
                continue
            if file.problem:
                problem = problem or Unobserved("Unreadable", file.problem)
                continue
            if (
                file.server in silent
            ):  # what does not answer one kubeconfig does not answer the next, and silence costs seconds
                continue
            try:
                host.kube(PROBE, kubeconfig=path)
            except HostError as error:
                problem = problem or Unobserved(error.reason, error.message)
                if error.reason not in ("NotPermitted", "NotFound"):
                    silent.add(file.server)
                continue
            return cls(path, None)
        return cls(None, problem or Unobserved("NotFound", "there is no kubeconfig here; name one by --kubeconfig"))
