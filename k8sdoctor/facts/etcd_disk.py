"""How long the disk of etcd's data takes to keep small records. Only with `--intrusive`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.disk import Disk
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Space


@dataclass(frozen=True)
class EtcdDisk:
    """`times` are seconds, sorted. `folder` is where was written, None where this node keeps no data of etcd; without `allowed` nothing was written."""

    allowed: bool
    folder: str | None = None
    times: tuple[float, ...] = ()
    space: Space | None = None

    def percentile(self, share: float) -> float:
        """The time that `share` of the writes did not exceed; 0 without any.

        >>> EtcdDisk(True, "/", (1.0, 2.0, 3.0, 9.0)).percentile(0.99)
        9.0
        """
        return self.times[min(len(self.times) - 1, int(share * len(self.times)))] if self.times else 0.0

    @classmethod
    def observe(cls, host: Host, disk: Disk | Unobserved) -> Self:
        """Write, if that was asked for. Raises what kept us from it."""
        if not host.given().get("intrusive", False):
            return cls(allowed=False)
        if isinstance(disk, Unobserved):
            raise HostError(disk.reason, disk.message)
        place = disk.at("etcd")
        if place is None:
            return cls(allowed=True)
        return cls(True, place.seen, tuple(sorted(host.sync_times(place.seen))), place.space)  # noqa: FBT003 -- a field
