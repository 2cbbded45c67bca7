"""Control groups: which hierarchy the kubelet and the runtime get to use, and its controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

ROOT = "/sys/fs/cgroup"
V2 = f"{ROOT}/cgroup.controllers"
HYBRID = f"{ROOT}/unified/cgroup.controllers"
V1 = "/proc/cgroups"


@dataclass(frozen=True)
class Cgroups:
    """`version` is 2 where /sys/fs/cgroup itself is the unified hierarchy, which is what the kubelet and runc ask (libcontainer IsCgroup2UnifiedMode).

    `hybrid` is true where systemd has a second, unified hierarchy beside those of version 1; that is version 1 to the kubelet.
    `controllers` are those that are there and enabled. `source` is the file that told.
    """

    version: Literal[1, 2]
    controllers: frozenset[str]
    hybrid: bool = False
    source: str = V2

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the controllers. Raises NotFound where no hierarchy is mounted."""
        unified = host.read_optional(V2)
        if unified is not None:
            return cls(2, frozenset(unified.split()))
        lines = [line.split() for line in (host.read_optional(V1) or "").splitlines() if not line.startswith("#")]
        mounted = {words[0] for words in lines if len(words) == 4 and words[1] != "0"}  # noqa: PLR2004 -- subsys_name hierarchy num_cgroups enabled
        if not mounted:
            raise HostError("NotFound", f"no control groups: {V2} is not there, and {V1} names no hierarchy")
        enabled = {words[0] for words in lines if len(words) == 4 and words[3] == "1"}  # noqa: PLR2004 -- as above
        return cls(1, frozenset(enabled), _exists(host, HYBRID), V1)


def _exists(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except HostError:
        return False
