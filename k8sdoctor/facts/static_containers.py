"""The containers that the runtime has made of the static pods: whether each runs, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.facts import numbers
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json

State: TypeAlias = Literal["created", "running", "exited", "unknown"]

LINES = 30
"""Last lines of a log that are looked at."""

LOG = 32 * 1024
"""Bytes of a log's end that hold them."""

_POD, _NAMESPACE, _NAME = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.container.name"
_NANO = 1e9


@dataclass(frozen=True, slots=True)
class StaticContainer:
    """The newest container that was made for one container of a static pod.

    `manifest` is the file that it comes from. `attempt` counts how often it was started again. Times are seconds since the epoch (0: not yet). `exit_code`,
    `reason` and `message` are the runtime's, and `log` its last lines, of one that has ended.
    """

    name: str
    manifest: str
    state: State
    attempt: int = 0
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class StaticContainers:
    """By the order of the manifests. `now` is the node's clock."""

    all: tuple[StaticContainer, ...]
    now: float = 0.0

    def named(self, name: str) -> StaticContainer | None:
        """The one of that name."""
        return next((each for each in self.all if each.name == name), None)

    @classmethod
    def observe(cls, host: Host, runtime: Runtime, pods: StaticPods) -> Self:
        """Ask the runtime. Raises what keeps it from answering."""
        wanted = [(manifest, container.name) for manifest, container in pods.containers() if not container.init]
        if not wanted:
            return cls((), host.now())
        if runtime.endpoint is None or not runtime.reachable:
            problem = runtime.problem
            reason = problem.reason if problem else "RuntimeUnreachable"
            raise HostError(reason, problem.message if problem else f"{runtime.label} does not answer")
        answer = host.cri(runtime.endpoint, "RuntimeService/ListContainers")
        listed = answer.get("containers")
        newest: dict[tuple[str, str, str], Mapping[str, Json]] = {}
        for each in listed if isinstance(listed, list) else []:
            if not isinstance(each, dict):
                continue
            labels = each.get("labels")
            told = labels if isinstance(labels, dict) else {}
            key = (str(told.get(_NAMESPACE)), str(told.get(_POD)), str(told.get(_NAME)))
            if key not in newest or _seconds(each, "created_at") > _seconds(newest[key], "created_at"):
                newest[key] = each
        found: list[StaticContainer] = []
        for manifest, name in wanted:
            # The kubelet puts its Node's name behind a static pod's (kubernetes pkg/kubelet/config/common.go).
            made = [
                each
                for (namespace, pod, container), each in newest.items()
                if (namespace, container) == (manifest.namespace, name) and pod.startswith(f"{manifest.name}-")
            ]
            if made:
                latest = max(made, key=lambda each: _seconds(each, "created_at"))
                found.append(_look(host, runtime.endpoint, name, manifest.path, latest))
        return cls(tuple(found), host.now())


def _look(host: Host, endpoint: str, name: str, manifest: str, listed: Mapping[str, Json]) -> StaticContainer:
    metadata = listed.get("metadata")
    attempt = metadata.get("attempt") if isinstance(metadata, dict) else 0
    state = _state(listed)
    seen = StaticContainer(
        name,
        manifest,
        state,
        attempt if isinstance(attempt, int) else 0,
        created=_seconds(listed, "created_at"),
    )
    if state == "running":
        return seen
    answer = host.cri(endpoint, "RuntimeService/ContainerStatus", {"container_id": str(listed.get("id"))}).get("status")
    status = answer if isinstance(answer, dict) else {}
    code = status.get("exit_code")
    return StaticContainer(
        name,
        manifest,
        _state(status),
        seen.attempt,
        created=seen.created,
        started=_seconds(status, "started_at"),
        finished=_seconds(status, "finished_at"),
        exit_code=code if isinstance(code, int) else 0,
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        log=_last_lines(host, str(status.get("log_path") or "")),
    )


def _state(told: Mapping[str, Json]) -> State:
    names: dict[str, State] = {
        "CONTAINER_CREATED": "created",
        "CONTAINER_RUNNING": "running",
        "CONTAINER_EXITED": "exited",
    }
    return names.get(str(told.get("state")), "unknown")


def _seconds(told: Mapping[str, Json], key: str) -> float:
    """A time of the interface, in seconds: it counts nanoseconds, as text."""
    return (numbers.whole(str(told.get(key) or "0")) or 0) / _NANO


def _last_lines(host: Host, path: str) -> tuple[str, ...]:
    """The end of a log, without the time and stream in front of each line (CRI's format: `TIME stream F text`)."""
    if not path.startswith("/"):
        return ()
    try:
        lines = host.tail(path, LOG).splitlines()
    except HostError:
        return ()
    return tuple(map(_text, lines[-LINES:]))


def _text(line: str) -> str:
    words = line.split(" ", 3)
    return words[-1] if words[1:2] in (["stdout"], ["stderr"]) else line
