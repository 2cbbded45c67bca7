"""Which of some programs are installed, where root's shell and systemd's services look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""systemd's default for services (systemd.exec(5), "Environment Variables in Spawned Processes"), and root's in a login shell."""

NEWEST = 999
"""A minor later than all that changed the list."""

_EXECUTABLE = 0o111


@dataclass(frozen=True, slots=True)
class Wanted:
    """A program that kubeadm looks for. `mandatory` is true where it refuses to go on without; `since` and `until` are minors of 1.x (until: no more)."""

    name: str
    mandatory: bool
    since: int = 0
    until: int = NEWEST + 1


TOOLS = (
    Wanted("mount", mandatory=True),
    Wanted("losetup", mandatory=True, since=33),  # kubernetes/kubernetes#129450
    Wanted("cp", mandatory=True, since=33),  # #130045
    Wanted("conntrack", mandatory=True, until=32),  # #126953
    Wanted("ip", mandatory=True, until=33),  # #129131
    Wanted("iptables", mandatory=True, until=33),  # #129131
    Wanted("nsenter", mandatory=True, until=33),  # #129450
    Wanted("crictl", mandatory=True, until=31),  # #124685
    Wanted("crictl", mandatory=False, since=31, until=32),  # #126596
    Wanted("ebtables", mandatory=False, until=32),  # #127151
    Wanted("socat", mandatory=False, until=32),  # #127151
    Wanted("ethtool", mandatory=False, until=33),  # #129131
    Wanted("tc", mandatory=False, until=33),  # #129131
    Wanted("touch", mandatory=False, until=33),  # #129317
)
"""As addExecChecks has it (kubernetes cmd/kubeadm/app/preflight/checks.go, checks_linux.go), with the pull requests that changed it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """`missing` are the programs that kubeadm of this `release` looks for and that are in none of the folders; `found` those that are.

    `release` is the installed kubeadm's, else the planned one's; None where neither is known, and then the rules are the newest.
    """

    release: Version | None
    found: tuple[str, ...]
    missing: tuple[Wanted, ...]

    @classmethod
    def observe(cls, host: Host, kubeadm: KubeadmBinary, planned: KubeadmConfig) -> Self:
        """Look into the folders of the search path. Raises NotPermitted, Unreadable."""
        release = kubeadm.version or versions.parse(planned.kubernetes_version or "")
        minor = release[1] if release else NEWEST
        target = versions.parse(planned.kubernetes_version or "")
        wanted = [each for each in TOOLS if each.since <= _minor(each, minor, target) < each.until]
        found = [each.name for each in wanted if _installed(host, each.name)]
        return cls(release, tuple(found), tuple(each for each in wanted if each.name not in found))


def _minor(wanted: Wanted, kubeadm: int, target: Version | None) -> int:
    """The minor that decides. Whether kube-proxy needs conntrack, kubeadm takes from the version that it is to install."""
    return min(kubeadm, target[1]) if wanted.name == "conntrack" and target else kubeadm


def _installed(host: Host, name: str) -> bool:
    """Whether a folder of the search path has an executable file of that name; a link that leads nowhere is none."""
    for folder in PATH:
        path = f"{folder}/{name}"
        if host.exists(path):
            found = host.stat(path)
            if found["kind"] == "file" and found["mode"] & _EXECUTABLE:
                return True
    return False
