"""The programs that kubeadm looks for are installed.

## What it looks at
The folders in which root's shell and systemd's services look for programs, and the release of kubeadm, else the one planned by `--config`.

## Why it matters
kubeadm refuses to start without some, and warns of others. The kubelet mounts volumes with `mount` and keeps block devices open with `losetup`.

## How it is decided
By the list of that release, which has become shorter: until 1.31 `conntrack`, `ip`, `iptables`, `nsenter`, `mount` (and `crictl` until 1.30), until 1.32
the same without `conntrack`, since 1.33 `mount`, `losetup` and `cp`. Fails for what kubeadm refuses to go without, warns for what it warns of. Where
no release is known, the newest list counts. Skipped on a node: kubeadm has been through there.

## Reasons
- `Installed` (pass): all that kubeadm looks for is there
- `Joined` (skip): this machine is a node
- `OtherInstallation` (skip): another distribution of Kubernetes runs here
- `ToolMissing` (fail, warn for what kubeadm only warns of): a program is in none of the folders
- `NotPermitted`, `Unreadable` (unknown): a folder could not be looked into

## What it sends
Nothing.

## How to fix
Install the package that has the program.

## How to verify
`command -v losetup` prints a path, as root.

## References
- kubernetes cmd/kubeadm/app/preflight/checks_linux.go (addExecChecks)
- kubernetes/kubernetes pull requests 124685, 126596, 126953, 127151, 129131, 129317, 129450, 130045
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import Profile, check
from k8sdoctor.facts import versions
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.role import Role
from k8sdoctor.facts.tools import PATH, Tools
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.tools import Wanted

_INSTALL = {"debian": "apt-get install -y", "rhel": "dnf install -y", "suse": "zypper install -y"}

# The package of a program on Debian, RHEL and SUSE, where it is not named alike; cri-tools comes with the packages of Kubernetes (pkgs.k8s.io).
_UTIL_LINUX = ("util-linux", "util-linux", "util-linux")
_COREUTILS = ("coreutils", "coreutils", "coreutils")
_PACKAGES = {
    "mount": ("mount", "util-linux", "util-linux"),
    "losetup": ("mount", "util-linux", "util-linux"),
    "nsenter": _UTIL_LINUX,
    "cp": _COREUTILS,
    "touch": _COREUTILS,
    "conntrack": ("conntrack", "conntrack-tools", "conntrack-tools"),
    "ip": ("iproute2", "iproute", "iproute2"),
    "tc": ("iproute2", "iproute-tc", "iproute2"),
    "iptables": ("iptables", "iptables-nft", "iptables"),
    "crictl": ("cri-tools", "cri-tools", "cri-tools"),
}
_FAMILIES = tuple(_INSTALL)


@check(
    "tools",
    title="The programs that kubeadm looks for are installed",
    area="node",
    profiles=frozenset({Profile.INIT, Profile.JOIN}),
)
def tools(found: Tools, role: Role, distribution: Distribution | Unobserved) -> Iterator[Finding]:
    """Judge each program that is missing."""
    if role.name == "unknown":
        yield unknown("NotPermitted", f"Whether this machine is a node could not be told: {role.why}.")
    elif role.joined:
        yield skip("Joined", f"This machine is a node ({role.why}); kubeadm looks for programs before that.")
    elif role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
    elif not found.missing:
        yield passed("Installed", f"{', '.join(found.found)} are installed, for which {_who(found)} looks.")
    else:
        family = distribution.family if isinstance(distribution, Distribution) else "other"
        yield from (_missing(each, found, family) for each in found.missing)


def _who(found: Tools) -> str:
    return f"kubeadm of {versions.text(found.release)}" if found.release else "kubeadm since 1.33"


def _missing(wanted: Wanted, found: Tools, family: str) -> Finding:
    name = wanted.name
    so = "refuses to start without it" if wanted.mandatory else "warns of it"
    install = _INSTALL.get(family)
    package = _PACKAGES[name][_FAMILIES.index(family)] if install and name in _PACKAGES else name
    return (fail if wanted.mandatory else warn)(
        "ToolMissing",
        f"{name} is not installed, and {_who(found)} {so}.",
        subject=name,
        evidence=[Evidence(":".join(PATH), f"no executable file {name}")],
        fix=Fix(
            f"Install {name}",
            (f"{install} {package}",) if install else (f"type -a {name}",),  # how, its distribution says
            f"command -v {name}",
            Safety.SAFE if install else Safety.MANUAL,
        ),
        traits=[f"kubeadm:FileExisting-{name}"],
    )
