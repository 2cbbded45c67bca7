"""The container runtime's service where the runtime does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.service import Service
from k8sdoctor.facts.stage import Stage
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

SILENT = frozenset({"NotFound", "RuntimeUnreachable"})
"""Reasons of a runtime's problem that say that it gives no answer, and not that we could not ask."""


@dataclass(frozen=True)
class RuntimeService:
    """The runtime's service; None where the runtime answers, could not be asked, or where none is installed."""

    service: Service | None = None

    @classmethod
    def observe(cls, host: Host, stage: Stage, runtime: Runtime) -> Self:
        """Ask systemd and read the log. Never raises."""
        silent = runtime.problem is not None and runtime.problem.reason in SILENT
        if stage.stage == "bare" or runtime.kind is None or not silent:
            return cls()
        return cls(Service.look(host, runtime.unit))
