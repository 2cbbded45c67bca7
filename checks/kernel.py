"""The kernel is one that Kubernetes is tried on, and has what it needs.

## What it looks at
The kernel's release, the configuration that it was built with (`/proc/config.gz`, `/boot/config-…` and the other places where kubeadm looks), and whether
the modules that every node needs are loaded or can be.

## Why it matters
kubeadm refuses a kernel that lacks an option on its list, and one whose configuration it does not find. An old kernel works until something does not that
newer ones have. After an update of the kernel without a reboot its modules are gone from the disk, and what is not loaded yet cannot be any more.

## How it is decided
By the lists of kubeadm's release: until 1.31 a kernel of 3.10 or later, in 1.32 of 4.19 or later, which it insists on; since 1.33 one of 5.4, 5.10, 5.15 or
any of 6.0 and later, and since 1.34 it only warns. A vendor's kernel that is kept with fixes under an old number (RHEL's 5.14, SUSE's) passes
where kubeadm only warns. An option that is missing fails before the machine joins, and warns on a node, which runs in spite of it until
`kubeadm upgrade` looks (1.33 and later). kubeadm would run `modprobe configs`; that is not done here, for it changes the kernel.

## Reasons
- `KernelFits` (pass): release and options are right; on a node that has no file of options, the release
- `VendorKernel` (pass): a distribution's own kernel of an older number, of which kubeadm warns
- `OtherInstallation` (skip): another distribution of Kubernetes runs here
- `KernelUntried` (warn, fail where kubeadm refuses it): a release that is not on kubeadm's list
- `OptionMissing` (fail, warn on a node): the kernel was built without something that kubeadm insists on
- `FeatureMissing` (warn): the kernel was built without something that runtimes use unless told otherwise
- `ModuleMissing` (fail, warn on a node): the kernel has something as a module, which is neither loaded nor on the disk
- `ModulesGone` (fail, warn on a node): all modules of the running kernel are gone from the disk
- `ConfigUnknown` (unknown): no file tells how this kernel was built, and kubeadm wants one
- `NotPermitted`, `Unreadable` (unknown): the file that tells could not be read

## What it sends
Nothing.

## How to fix
Boot a newer kernel of the distribution; install the package with the missing modules; after an update, reboot.

## How to verify
`uname -r`; `zgrep CONFIG_MEMCG= /proc/config.gz`, or `grep CONFIG_MEMCG= /boot/config-$(uname -r)`.

## References
- kubernetes/system-validators validators/types_unix.go and kernel_validator.go: v1.8.0 (kubeadm until 1.31), v1.9 (1.32), v1.10.0 (1.33), v1.12 (1.35)
- kubernetes/kubernetes#131919 (a warning since 1.34), #129401 (also at `kubeadm upgrade` since 1.33), #131898 (RHEL's 5.14 refused)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.facts import versions
from k8sdoctor.facts.cgroups import Cgroups
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kernel_config import OPTIONAL, REQUIRED, REQUIRED_V1, REQUIRED_V2, KernelConfig
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, skip, unknown, warn
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.facts.versions import Version

_LONG_TERM = ((5, 4), (5, 10), (5, 15))
_ANY_SINCE = (6, 0)

# RHEL and its kin mark their kernels so; SUSE's of a service pack have the number of its year and month after the dash.
_VENDOR = regex(r"\.el\d|-\d{6}\.")

_EXTRA = {
    "debian": "apt-get install -y linux-modules-extra-$(uname -r)",
    "rhel": "dnf install -y kernel-modules-$(uname -r)",
    "suse": "zypper install -y kernel-default",
}


@check("kernel", title="The kernel is fit for Kubernetes", area="node", profiles=NOT_DNS)
def kernel(  # noqa: PLR0913, PLR0917 -- what decides which list counts
    found: KernelConfig,
    role: Role,
    cgroups: Cgroups | Unobserved,
    kubeadm: KubeadmBinary,
    planned: KubeadmConfig,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge the release, then what the kernel was built with, then its modules."""
    if role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
        return
    release = kubeadm.version or versions.parse(planned.kubernetes_version or "")
    trouble = [
        *_release(found, release),
        *_options(found, role, cgroups),
        *_modules(found, role, distribution),
        *_unread(found, role),
    ]
    yield from trouble
    if trouble:
        return
    seen = [Evidence("uname -r", found.release), *([Evidence(found.path, "has what is needed")] if found.path else [])]
    if _listed(found.release, release):
        told = "and was built with what kubeadm wants" if found.path else "and no file tells how it was built"
        yield passed("KernelFits", f"The kernel {found.release} is one that kubeadm takes, {told}.", evidence=seen)
    else:
        yield passed(
            "VendorKernel",
            f"The kernel {found.release} is a distribution's own, which its maker keeps; kubeadm only warns of its number.",
            evidence=seen,
        )


def _listed(text: str, kubeadm: Version | None) -> bool:
    """Whether a kernel is on the list of that release of kubeadm; of an unknown one, on the newest list."""
    number = versions.parse(text)
    if number is None:
        return False
    minor = kubeadm[1] if kubeadm else 999
    if minor <= 31:  # noqa: PLR2004 -- the release whose successor has a new list, as below
        return number >= (3, 10, 0)
    if minor == 32:  # noqa: PLR2004
        return number >= (4, 19, 0)
    return number[:2] in _LONG_TERM or number[:2] >= _ANY_SINCE


def _release(found: KernelConfig, kubeadm: Version | None) -> Iterator[Finding]:
    if _listed(found.release, kubeadm):
        return
    refused = kubeadm is not None and kubeadm[1] <= 32  # noqa: PLR2004 -- as above
    if not refused and _VENDOR.search(found.release):
        return
    who = f"kubeadm of {versions.text(kubeadm)}" if kubeadm else "kubeadm"
    wants = (
        "4.19 or later"
        if kubeadm and kubeadm[1] == 32  # noqa: PLR2004
        else "3.10 or later"
        if refused
        else "5.4, 5.10, 5.15, or 6.0 and later"
    )
    so = (
        "refuses to start"
        if refused
        else "warns; the first releases of 1.33 refuse to start"
        if _is_33(kubeadm)
        else "warns"
    )
    yield (fail if refused else warn)(
        "KernelUntried",
        f"The kernel is {found.release}, and {who} wants {wants}: it {so}.",
        subject=found.release,
        evidence=[Evidence("uname -r", found.release)],
        fix=Fix(
            "Install a newer kernel of the distribution, and boot it",
            ("uname -r; ls /boot",),  # which ones there are; the packages are the distribution's
            "uname -r",
            Safety.MANUAL,
        ),
    )


def _is_33(kubeadm: Version | None) -> bool:
    return kubeadm is not None and kubeadm[1] == 33  # noqa: PLR2004 -- system-validators v1.10.0; v1.10.1 came with a later patch


def _options(found: KernelConfig, role: Role, cgroups: Cgroups | Unobserved) -> Iterator[Finding]:
    if found.path is None:
        return
    version = cgroups.version if isinstance(cgroups, Cgroups) else None
    wanted = (*REQUIRED, *({1: REQUIRED_V1, 2: REQUIRED_V2}[version] if version else ()))
    for names, reason, say, make in (
        (wanted, "OptionMissing", "kubeadm insists on", _severity(role)),
        (OPTIONAL, "FeatureMissing", "runtimes use unless they are told otherwise", warn),
    ):
        missing = [f"CONFIG_{name}" for name in names if not found.has(name)]
        if missing:
            them = "it" if len(missing) == 1 else "them"
            yield make(
                reason,
                f"The kernel {found.release} was built without {', '.join(missing)}, and {say} {them}.",
                subject=found.release,
                evidence=[Evidence(found.path, f"{name} is not set") for name in missing],
                fix=Fix(
                    "Boot a kernel that was built with them, such as the distribution's own",
                    ("uname -r; ls /boot",),
                    f"grep -E '{'|'.join(missing)}' {found.path}"
                    if not found.path.endswith(".gz")
                    else f"zgrep -E '{'|'.join(missing)}' {found.path}",
                    Safety.MANUAL,
                ),
            )


def _modules(found: KernelConfig, role: Role, distribution: Distribution | Unobserved) -> Iterator[Finding]:
    if not found.unloadable:
        return
    make = _severity(role)
    names, folder = ", ".join(found.unloadable), f"/lib/modules/{found.release}"
    if found.folder_gone:
        yield make(
            "ModulesGone",
            f"{folder} is not there, so the running kernel can load no module any more, {names} among them: it was updated without a reboot.",
            subject=found.release,
            evidence=[Evidence(folder, "does not exist"), Evidence("/proc/modules", f"does not list {names}")],
            fix=Fix(
                "Reboot into the kernel that is installed", ("ls /lib/modules", "reboot"), "uname -r", Safety.DISRUPTIVE
            ),
            explains=[
                Link("br-netfilter", "ModuleNotLoaded", f"{folder} was seen to be gone, so nothing can be loaded")
            ],
        )
        return
    family = distribution.family if isinstance(distribution, Distribution) else "other"
    command = _EXTRA.get(family)
    yield make(
        "ModuleMissing",
        f"The kernel {found.release} has {names} as a module, which is neither loaded nor in {folder}.",
        subject=names,
        evidence=[Evidence(f"{folder}/modules.dep", f"no {name}.ko") for name in found.unloadable],
        fix=Fix(
            "Install the rest of this kernel's modules",
            (command or f"find {folder} -name '*.ko*' | wc -l", *(f"modprobe {name}" for name in found.unloadable)),
            f"modprobe -n {found.unloadable[0]}",
            Safety.SAFE if command else Safety.MANUAL,
        ),
    )


def _severity(role: Role) -> Callable[..., Finding]:
    """A machine that is to join will be refused; a node runs in spite of it."""
    return fail if role.known and not role.joined else warn


def _unread(found: KernelConfig, role: Role) -> Iterator[Finding]:
    if found.path is not None:
        return
    if found.problem is not None:
        yield unknown(found.problem.reason, f"How the kernel was built is not known: {found.problem.message}.")
    elif not role.joined:
        yield unknown(
            "ConfigUnknown",
            f"No file tells how the kernel {found.release} was built; kubeadm looks for one, and refuses to start where `modprobe configs` brings none either.",
            subject=found.release,
        )
