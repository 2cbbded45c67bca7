"""kernel: a machine's files in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.kernel import kernel
from k8sdoctor.facts import versions
from k8sdoctor.facts.cgroups import Cgroups
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kernel_config import OPTIONAL, REQUIRED, REQUIRED_V1, REQUIRED_V2, KernelConfig
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Finding, Status
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH = Role("undecided", "nothing is planned for it")
NODE = Role("worker", "kubelet.conf is there", joined=True)
EVERYTHING = (*REQUIRED, *REQUIRED_V1, *REQUIRED_V2, *OPTIONAL, "NF_CONNTRACK", "NF_NAT")


def built(*without: str, modules: tuple[str, ...] = (), place: str = "/proc/config.gz") -> dict[str, str | HostError]:
    """A kernel's configuration with all that is wanted but some; `modules` are built as such."""
    lines = [
        f"# CONFIG_{name} is not set" if name in without else f"CONFIG_{name}={'m' if name in modules else 'y'}"
        for name in EVERYTHING
    ]
    return {place: "\n".join(["#", "# Linux/x86", 'CONFIG_LOCALVERSION=""', *lines, ""])}


def judge(
    files: Mapping[str, str | HostError],
    uname: str = "6.1.0-18-amd64",
    *,
    version: str | None = None,
    role: Role = FRESH,
    cgroup: Cgroups | None = None,
) -> list[Finding]:
    identity = {"hostname": "n", "kernel": uname, "machine": "x86_64", "euid": 0}
    host = FakeHost({"/etc/os-release": "ID=debian\n", **files}, identity=identity)  # type: ignore[arg-type] # -- JSON
    kubeadm = KubeadmBinary(versions.parse(version) if version else None)
    v2 = cgroup or Cgroups(2, frozenset())
    return list(kernel(KernelConfig.observe(host), role, v2, kubeadm, KubeadmConfig(), Distribution.observe(host)))


@pytest.mark.parametrize(
    "place",
    [
        "/proc/config.gz",
        "/boot/config-6.1.0-18-amd64",
        "/usr/src/linux/.config",
        "/usr/lib/modules/6.1.0-18-amd64/config",
        "/usr/lib/ostree-boot/config-6.1.0-18-amd64",
        "/lib/modules/6.1.0-18-amd64/build/.config",
    ],
)
def test_a_kernel_that_has_it_all_is_healthy_wherever_that_is_written(place: str) -> None:
    [finding] = judge(built(place=place))

    assert (finding.status, finding.reason) == (Status.PASS, "KernelFits")
    assert place in {each.source for each in finding.evidence}


# By kernel and release of kubeadm: what it says of the kernel's number (kubernetes/system-validators by tag).
NUMBERS = [
    ("6.18.44", None, Status.PASS, "KernelFits"),
    ("10.0.1", "1.36.2", Status.PASS, "KernelFits"),
    ("5.15.0-91-generic", "1.36.2", Status.PASS, "KernelFits"),
    ("5.4.0-26-generic", "1.36.2", Status.PASS, "KernelFits"),
    ("5.13.0-40-generic", "1.36.2", Status.WARN, "KernelUntried"),
    ("4.19.0-26-amd64", None, Status.WARN, "KernelUntried"),
    ("5.14.0-362.el9.x86_64", "1.36.2", Status.PASS, "VendorKernel"),
    ("4.18.0-513.el8.x86_64", None, Status.PASS, "VendorKernel"),
    ("5.14.21-150500.55.39-default", "1.35.0", Status.PASS, "VendorKernel"),
    ("5.14.0-362.el9.x86_64", "1.32.4", Status.PASS, "KernelFits"),
    ("4.18.0-513.el8.x86_64", "1.32.4", Status.FAIL, "KernelUntried"),
    ("4.18.0-513.el8.x86_64", "1.31.4", Status.PASS, "KernelFits"),
    ("3.10.0-1160.el7.x86_64", "1.28.0", Status.PASS, "KernelFits"),
    ("2.6.32", "1.28.0", Status.FAIL, "KernelUntried"),
    ("custom", None, Status.WARN, "KernelUntried"),
]


@pytest.mark.parametrize(("uname", "version", "status", "reason"), NUMBERS)
def test_each_release_of_kubeadm_has_its_own_list_of_kernels(
    uname: str, version: str | None, status: Status, reason: str
) -> None:
    [finding] = judge(built(), uname, version=version)

    assert (finding.status, finding.reason) == (status, reason)
    assert uname in finding.message


@pytest.mark.parametrize(("role", "status"), [(FRESH, Status.FAIL), (NODE, Status.WARN)])
def test_an_option_that_kubeadm_insists_on_fails_before_a_machine_joins(role: Role, status: Status) -> None:
    [finding] = judge(built("MEMCG", "EXT4_FS"), role=role)

    assert (finding.status, finding.reason) == (status, "OptionMissing")
    assert "without CONFIG_MEMCG, CONFIG_EXT4_FS, and kubeadm insists on them" in finding.message


@pytest.mark.parametrize(
    ("option", "version", "reason"),
    [
        ("CGROUP_BPF", 2, "OptionMissing"),
        ("CGROUP_BPF", 1, "KernelFits"),
        ("CGROUP_FREEZER", 1, "OptionMissing"),
        ("CGROUP_FREEZER", 2, "KernelFits"),
    ],
)
def test_what_control_groups_need_depends_on_their_version(option: str, version: int, reason: str) -> None:
    [finding] = judge(built(option), cgroup=Cgroups(2 if version == 2 else 1, frozenset()))

    assert finding.reason == reason


def test_an_option_may_have_its_other_name() -> None:
    files = built("NETFILTER_XT_TARGET_REDIRECT")
    [other] = judge({"/proc/config.gz": f"{files['/proc/config.gz']}CONFIG_IP_NF_TARGET_REDIRECT=m\n"})
    [none] = judge(files)

    assert (other.reason, none.reason) == ("KernelFits", "OptionMissing")


def test_what_runtimes_use_unless_told_otherwise_warns() -> None:
    [finding] = judge(built("SECCOMP_FILTER"))

    assert (finding.status, finding.reason) == (Status.WARN, "FeatureMissing")


AS_MODULES = built(modules=("OVERLAY_FS", "NF_CONNTRACK", "NF_NAT"))
FOLDER = "/lib/modules/6.1.0-18-amd64"
DEP = f"{FOLDER}/modules.dep"


@pytest.mark.parametrize(
    "files",
    [
        {"/proc/modules": "overlay 1 0 - Live 0x0\nnf_conntrack 1 0 - Live 0x0\nnf_nat 1 0 - Live 0x0\n"},
        {DEP: "kernel/fs/overlayfs/overlay.ko.xz:\nkernel/net/netfilter/nf_conntrack.ko: a\nkernel/n/nf_nat.ko.zst:\n"},
    ],
)
def test_modules_that_are_loaded_or_can_be_are_healthy(files: dict[str, str]) -> None:
    [finding] = judge({**AS_MODULES, **files})

    assert finding.reason == "KernelFits"


@pytest.mark.parametrize(("role", "status"), [(FRESH, Status.FAIL), (NODE, Status.WARN)])
def test_a_module_without_a_file_is_told_with_the_package_that_has_it(role: Role, status: Status) -> None:
    [finding] = judge(
        {**AS_MODULES, DEP: "kernel/a/overlay.ko:\nkernel/b/xt_nf_conntrack.ko:\nk/nf_nat.ko:\n"}, role=role
    )

    assert (finding.status, finding.reason, finding.subject) == (status, "ModuleMissing", "nf_conntrack")
    assert finding.fix is not None
    assert finding.fix.commands == (
        "apt-get install -y linux-modules-extra-$(uname -r)",
        "modprobe nf_conntrack",
    )


def test_a_kernel_that_was_updated_under_the_node_wants_a_reboot() -> None:
    [finding] = judge(AS_MODULES)

    assert (finding.status, finding.reason) == (Status.FAIL, "ModulesGone")
    assert [link.check for link in finding.explains] == ["br-netfilter"]
    assert finding.fix is not None
    assert finding.fix.commands[-1] == "reboot"


def test_a_kernel_of_which_no_file_tells_is_unknown_before_it_joins_and_right_on_a_node() -> None:
    [fresh] = judge({})
    [node] = judge({}, role=NODE)

    assert (fresh.status, fresh.reason) == (Status.UNKNOWN, "ConfigUnknown")
    assert (node.status, node.reason) == (Status.PASS, "KernelFits")


@pytest.mark.parametrize("reason", ["NotPermitted", "Unreadable"])
def test_a_file_that_cannot_be_read_is_unknown_unless_another_tells(reason: str) -> None:
    broken = {"/proc/config.gz": HostError(reason, "/proc/config.gz cannot be read")}

    [finding] = judge(broken)
    [saved] = judge({**broken, **built(place="/boot/config-6.1.0-18-amd64")})

    assert (finding.status, finding.reason) == (Status.UNKNOWN, reason)
    assert saved.reason == "KernelFits"


@pytest.mark.parametrize("text", ["", "\x7fELF\ufffd\n", "CONFIG_MEMCG\n"])
def test_a_file_that_is_no_configuration_is_unknown(text: str) -> None:
    [finding] = judge({"/proc/config.gz": text})

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "Unreadable")
    assert "/proc/config.gz" in finding.message


def test_a_machine_of_another_distribution_of_kubernetes_is_not_judged() -> None:
    [finding] = judge(built("MEMCG"), role=Role("other", "k3s runs here"))

    assert (finding.status, finding.reason) == (Status.SKIP, "OtherInstallation")
