"""The machine's processors and memory, as kubeadm counts them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

ONLINE = "/sys/devices/system/cpu/online"
STATUS = "/proc/1/status"
MEMORY = "/proc/meminfo"

MOST = 1 << 16  # the kernel's NR_CPUS is 8192 at most (arch/x86/Kconfig)

_TOTAL = regex(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)
_ALLOWED = regex(r"^Cpus_allowed_list:\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resources:
    """`online` processors run, and `usable` of them are those that programs started on this node may use.

    kubeadm's runtime.NumCPU asks sched_getaffinity, which is the processors that run and are allowed; here those of process 1, from which all
    others have them. `megabytes` is the memory that the kernel manages, in MiB, as in sysinfo(2); firmware and the kernel itself
    take their part before, so it is less than what was bought.
    """

    usable: int
    online: int
    megabytes: int

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read /proc and /sys. Raises NotFound, NotPermitted, and Unreadable for what the kernel never writes."""
        online = _of(host.read(ONLINE), ONLINE)
        status = _ALLOWED.search(host.read(STATUS))
        usable = online & _of(status[1], STATUS) if status else online
        total = _TOTAL.search(host.read(MEMORY))
        memory = numbers.whole(total[1]) if total else None
        if memory is None:
            raise HostError("Unreadable", f"{MEMORY} has no line MemTotal")
        return cls(len(usable), len(online), memory // 1024)


def _of(text: str, path: str) -> frozenset[int]:
    """The numbers of a list such as `0-3,8`.

    >>> sorted(_of("0-2,5", "x"))
    [0, 1, 2, 5]
    """
    found: set[int] = set()
    try:
        for part in text.strip().split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), min(int(last or first), MOST) + 1))
    except ValueError as error:
        raise HostError("Unreadable", f"{path} holds no list of processors: {text.strip()[:40]!r}") from error
    return frozenset(found)
