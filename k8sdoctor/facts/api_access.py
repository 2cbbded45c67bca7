"""Whether the API server can be asked, and by which kubeconfig."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET, SUPER_ADMIN, Kubeconfigs
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host import Host

# Every API server holds this object, and a kubelet may read it too (ClusterRole system:node of Kubernetes' bootstrap policy).
PROBE = "/api/v1/namespaces/default/services/kubernetes"

# The most powerful first: a kubelet may read little of what facts want. super-admin.conf comes second, since its holder passes
# every authorization, and reading needs no such thing where admin.conf works.
BY_POWER = (ADMIN, SUPER_ADMIN, KUBELET)


@dataclass(frozen=True)
class ApiAccess:
    """The kubeconfig that works for reading; None where none does, and `problem` says why.

    It may still be refused single objects: a kubelet reads few. The problem's traits, which go along with it to whatever it keeps from being
    judged, are `unread:` with each kubeconfig that was tried and each server that it leads to (`unread:192.0.2.10:6443`).
    """

    kubeconfig: str | None
    problem: Unobserved | None

    @classmethod
    def observe(cls, host: Host, kubeconfigs: Kubeconfigs) -> Self:
        """Ask for one object by each kubeconfig until one is answered; the one of the command line alone where it was given.

        Different servers are asked side by side, for silence costs seconds; by one server's kubeconfigs in turn, for what does not answer
        one does not answer the next.
        """
        given = host.given()["kubeconfig"]
        paths = [given] if given else BY_POWER
        files = [file for file in map(kubeconfigs.at, paths) if file is not None]
        problems = [why for name, why in kubeconfigs.unreadable if name in paths]
        problems += [Unobserved("Unreadable", file.problem) for file in files if file.problem]
        servers: dict[str | None, list[str]] = {}
        for file in files:
            if not file.problem:
                servers.setdefault(file.server, []).append(file.path)
        answers = side_by_side([partial(_first, host, each) for each in servers.values()])
        working = [path for path, _ in answers if path is not None]
        if working:
            return cls(min(working, key=list(paths).index), None)
        problems += [why for _, why in answers if why is not None]
        if not problems:
            return cls(None, NONE)
        tried = [*(file.path for file in files), *(_authority(file.server) for file in files if not file.problem)]
        return cls(None, replace(problems[0], traits=frozenset(f"unread:{each}" for each in tried)))


def refused(problem: Unobserved) -> bool:
    """Whether an API server that answers would not show an object to this kubeconfig: a kubelet may read little, which is no fault."""
    return problem.reason == "NotPermitted" and " answered 403" in problem.message


NONE = Unobserved("NotFound", "there is no kubeconfig here; name one by --kubeconfig")


def _authority(server: str | None) -> str:
    """`host:port` of a server's URL; nothing useful of what is none."""
    try:
        where = urlsplit(server or "")
    except ValueError:
        return ""
    return where.netloc if where.netloc.rpartition(":")[2].isdigit() else f"{where.netloc}:443"


def _first(host: Host, paths: Sequence[str]) -> tuple[str | None, Unobserved | None]:
    """The first kubeconfig of one server that works, or why the first does not."""
    problem: Unobserved | None = None
    for path in paths:
        try:
            host.kube(PROBE, kubeconfig=path)
        except HostError as error:
            problem = problem or Unobserved(error.reason, error.message)
            if error.reason not in ("NotPermitted", "NotFound"):
                break
        else:
            return path, None
    return None, problem
