"""What tells this machine from every other: its machine ID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

# Where cAdvisor looks, in this order (machine/info.go, getInfoFromFiles; kubelet's --machine-id-file is its flag).
FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


@dataclass(frozen=True, slots=True)
class Machine:
    """`machine_id` is what the first file holds that is there, be it nothing; `source` is that file, empty where there is none."""

    machine_id: str = ""
    source: str = ""

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read it. Raises NotPermitted, Unreadable."""
        for path in FILES:
            text = host.read_optional(path)
            if text is not None:  # cAdvisor takes an empty file for an answer, too
                return cls(text.strip(), path)
        return cls()
