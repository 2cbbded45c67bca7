"""The kubelet's systemd service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.service_unit import ServiceUnit
from k8sdoctor.host.read_once import ReadOnce
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True)
class KubeletUnit:
    """`unit` is as it lies on disk now, which is what the next start runs once systemd has read it anew."""

    unit: ServiceUnit

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read kubelet.service. Raises NotPermitted, Unreadable."""
        return cls(ServiceUnit.read(ReadOnce(host), "kubelet"))
