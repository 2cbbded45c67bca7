"""tools: what is installed in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.tools import tools
from k8sdoctor.facts import versions
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.role import Role
from k8sdoctor.facts.tools import Tools
from k8sdoctor.finding import Finding, Safety, Status
from k8sdoctor.testing import FakeHost, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDECIDED = Role("undecided", "nothing is planned for it")
DEBIAN = "ID=debian\n"
RHEL = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'


def machine(*without: str) -> dict[str, str]:
    """A machine with every program that any release looks for, but some."""
    everywhere = {
        **dict.fromkeys(("mount", "cp", "nsenter", "socat", "touch", "crictl"), "/usr/bin"),
        **dict.fromkeys(("losetup", "ip", "iptables", "conntrack", "ebtables", "ethtool", "tc"), "/sbin"),
    }
    return {f"{folder}/{name}": "" for name, folder in everywhere.items() if name not in without}


def judge(
    files: Mapping[str, str],
    version: str | None = "1.36.2",
    *,
    planned: str | None = None,
    role: Role = UNDECIDED,
    release: str = DEBIAN,
    modes: Mapping[str, int] | None = None,
) -> list[Finding]:
    host = FakeHost({**files, "/etc/os-release": release}, modes=modes)
    config = KubeadmConfig(source="--config k.yaml", kubernetes_version=planned) if planned else KubeadmConfig()
    found = Tools.observe(host, KubeadmBinary(versions.parse(version) if version else None), config)
    return list(tools(found, role, Distribution.observe(host)))


@pytest.mark.parametrize("version", ["1.28.0", "1.31.3", "1.32.0", "1.33.0", "1.36.2", None])
def test_a_machine_with_all_of_them_is_healthy(version: str | None) -> None:
    [finding] = judge(machine(), version)

    assert (finding.status, finding.reason) == (Status.PASS, "Installed")


# By release of kubeadm: what it refuses to go without, and what it warns of.
HISTORY = {
    "1.30.4": ("conntrack crictl ip iptables mount nsenter", "ebtables ethtool socat tc touch"),
    "1.31.0": ("conntrack ip iptables mount nsenter", "crictl ebtables ethtool socat tc touch"),
    "1.32.0": ("ip iptables mount nsenter", "ethtool tc touch"),
    "1.33.0": ("cp losetup mount", ""),
    "1.36.2": ("cp losetup mount", ""),
}


@pytest.mark.parametrize(("version", "lists"), HISTORY.items())
def test_each_release_has_its_own_list(version: str, lists: tuple[str, str]) -> None:
    found = judge({}, version)

    refused = sorted(str(each.subject) for each in found if each.status is Status.FAIL)
    warned = sorted(str(each.subject) for each in found if each.status is Status.WARN)
    assert (refused, warned) == (lists[0].split(), lists[1].split())
    assert {each.reason for each in found} == {"ToolMissing"}


def test_the_planned_release_counts_where_kubeadm_is_not_installed_yet() -> None:
    [finding] = judge(machine("conntrack"), None, planned="v1.31.4")

    assert finding.subject == "conntrack"
    assert "kubeadm of 1.31.4" in finding.message
    assert finding.traits == {"kubeadm:FileExisting-conntrack"}


def test_an_older_kube_proxy_needs_conntrack_though_kubeadm_no_longer_does() -> None:
    [older] = judge(machine("conntrack"), "1.32.1", planned="v1.31.4")
    [same] = judge(machine("conntrack"), "1.32.1", planned="v1.32.1")

    assert (older.reason, same.reason) == ("ToolMissing", "Installed")


@pytest.mark.parametrize(
    ("release", "name", "line"),
    [
        (DEBIAN, "losetup", "apt-get install -y mount"),
        (RHEL, "losetup", "dnf install -y util-linux"),
        ("ID=opensuse-leap\n", "losetup", "zypper install -y util-linux"),
        ("ID=alpine\n", "losetup", "type -a losetup"),
    ],
)
def test_the_fix_fits_the_distribution(release: str, name: str, line: str) -> None:
    [finding] = judge(machine(name), release=release)

    assert finding.fix is not None
    assert finding.fix.commands == (line,)
    assert (finding.fix.safety is Safety.MANUAL) == line.startswith("type")


def test_a_file_that_nobody_may_execute_is_no_program() -> None:
    [finding] = judge(machine(), modes={"/sbin/losetup": 0o644})

    assert finding.subject == "losetup"


@pytest.mark.parametrize(
    ("role", "status", "reason"),
    [
        (Role("worker", "w", joined=True), Status.SKIP, "Joined"),
        (Role("other", "k3s runs here"), Status.SKIP, "OtherInstallation"),
        (Role("unknown", "Permission denied"), Status.UNKNOWN, "NotPermitted"),
    ],
)
def test_where_kubeadm_will_not_look_nothing_is_judged(role: Role, status: Status, reason: str) -> None:
    [finding] = judge({}, role=role)

    assert (finding.status, finding.reason) == (status, reason)


def test_a_folder_that_may_not_be_looked_into_is_unknown() -> None:
    [finding] = examine(FakeHost(machine("cp"), denied={"/usr/local/sbin/cp"}), "tools")

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
