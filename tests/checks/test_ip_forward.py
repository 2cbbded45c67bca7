"""ip-forward: facts in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.ip_forward import ip_forward
from k8sdoctor.facts.boot_files import BootFiles
from k8sdoctor.facts.forwarding import Forwarding, InterfaceForwarding
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.switch_keepers import SwitchKeepers
from k8sdoctor.facts.sysctl import SysctlBoot
from k8sdoctor.finding import Finding, Fix, Safety, Status
from k8sdoctor.testing import FakeHost, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = {"/etc/sysctl.d/k8s.conf": "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n"}
IPV4_PODS = PodFamilies()
DUAL = PodFamilies(ipv4=True, ipv6=True, why="the CNI network x")
ONLY6 = PodFamilies(ipv4=False, ipv6=True, why="the CNI network x")


def judge(
    forwarding: Forwarding,
    *,
    files: Mapping[str, str] = KEPT,
    pods: PodFamilies = IPV4_PODS,
    keeper: str | None = None,
) -> list[Finding]:
    boot = SysctlBoot.observe(FakeHost(files))
    return list(ip_forward(forwarding, pods, boot, SwitchKeepers(forwarding=keeper)))


def fix(finding: Finding) -> Fix:
    assert finding.fix is not None
    return finding.fix


def test_forwarding_that_is_on_and_stays_on_is_healthy() -> None:
    [finding] = judge(Forwarding(ipv4=True, ipv6=False))

    assert (finding.status, finding.reason) == (Status.PASS, "ForwardingOn")


def test_forwarding_that_is_off_fails_and_one_command_and_one_new_file_mend_it() -> None:
    [finding] = judge(Forwarding(ipv4=False), files={})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ForwardingOff", "net.ipv4.ip_forward")
    assert fix(finding).commands == ("sysctl -w net.ipv4.ip_forward=1",)
    assert fix(finding).persist == (
        "mkdir -p /etc/sysctl.d && echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/99-ip-forward.conf",
    )
    assert fix(finding).safety is Safety.MANUAL


def test_forwarding_turned_off_by_hand_needs_no_new_file_where_one_turns_it_on_at_boot() -> None:
    [finding] = judge(Forwarding(ipv4=False))

    assert fix(finding).persist == ()


def test_ipv6_is_judged_where_pods_have_it_and_nowhere_else() -> None:
    [finding] = judge(Forwarding(ipv4=True, ipv6=False), pods=DUAL)
    [healthy] = judge(Forwarding(ipv4=True, ipv6=True), pods=DUAL)

    assert (finding.status, finding.reason) == (Status.FAIL, "Forwarding6Off")
    assert healthy.message == "IPv4 and IPv6 forwarding is on."


def test_ipv4_does_not_matter_to_pods_with_ipv6_only() -> None:
    [finding] = judge(Forwarding(ipv4=False, ipv6=True), pods=ONLY6)

    assert finding.reason == "ForwardingOn"


def test_an_uplink_that_lives_on_router_advertisements_keeps_them() -> None:
    [finding] = judge(
        Forwarding(ipv4=True, ipv6=False, accepts_ra=("eth0.100",)),
        pods=DUAL,
        files={**KEPT, "/etc/sysctl.d/k8s.conf": "net.ipv4.ip_forward=1"},
    )

    assert fix(finding).commands == (
        "sysctl -w net/ipv6/conf/eth0.100/accept_ra=2",
        "sysctl -w net.ipv6.conf.all.forwarding=1",
    )
    assert len(fix(finding).persist) == 2


def test_a_kernel_without_ipv6_cannot_carry_ipv6_pods() -> None:
    [finding] = judge(Forwarding(ipv4=True, ipv6=None), pods=DUAL)

    assert finding.reason == "Forwarding6Off"
    assert "no IPv6" in finding.message


def test_an_interface_of_pods_with_forwarding_off_is_named() -> None:
    interfaces = (
        InterfaceForwarding("eth0", "the default route uses it", ipv4=True),
        InterfaceForwarding("cni0", "the CNI network x names it", ipv4=False),
    )

    [finding] = judge(Forwarding(ipv4=True, default_ipv4=False, interfaces=interfaces))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "InterfaceForwardingOff", "cni0")
    assert fix(finding).commands == (
        "sysctl -w net/ipv4/conf/default/forwarding=1",
        "sysctl -w net/ipv4/conf/cni0/forwarding=1",
    )
    assert len(fix(finding).persist) == 2


def test_a_veth_of_one_pod_is_turned_on_and_not_written_down() -> None:
    veths = tuple(InterfaceForwarding(f"cali{number}", "routed", ipv4=False, of_one_pod=True) for number in range(9))

    [finding] = judge(Forwarding(ipv4=True, default_ipv4=True, interfaces=veths))

    assert finding.subject == "cali0, cali1, cali2 and 6 more"
    assert len(fix(finding).commands) == 9
    assert fix(finding).persist == ()


def test_interfaces_are_not_blamed_while_forwarding_is_off_for_all() -> None:
    [finding] = judge(Forwarding(ipv4=False, interfaces=(InterfaceForwarding("cni0", "so", ipv4=False),)))

    assert finding.reason == "ForwardingOff"


def test_interfaces_that_could_not_be_told_are_unknown() -> None:
    [finding] = judge(Forwarding(ipv4=True, blind="the kernel does not let this process ask"))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "InterfacesUnknown")


def test_forwarding_that_no_file_turns_on_is_a_warning_beside_the_pass() -> None:
    passing, finding = judge(Forwarding(ipv4=True), files={})

    assert passing.reason == "ForwardingOn"
    assert (finding.status, finding.reason) == (Status.WARN, "NotPersistent")


def test_the_file_that_wins_at_boot_and_turns_it_off_is_named_with_its_line() -> None:
    files = {**KEPT, "/usr/lib/sysctl.d/z.conf": "# hardened\nnet.ipv4.ip_forward = 0"}

    _, finding = judge(Forwarding(ipv4=True), files=files)

    assert finding.reason == "PersistedOff"
    assert "/usr/lib/sysctl.d/z.conf:2" in finding.message
    assert fix(finding).persist[0].endswith("> /etc/sysctl.d/zz-ip-forward.conf")


def test_another_name_of_the_switch_that_is_set_last_decides() -> None:
    files = {
        "/etc/sysctl.d/10-k8s.conf": "net.ipv4.ip_forward = 1",
        "/usr/lib/sysctl.d/50-hard.conf": "net.ipv4.conf.all.forwarding=0",
    }

    _, finding = judge(Forwarding(ipv4=True), files=files)

    assert (finding.status, finding.reason, finding.subject) == (
        Status.WARN,
        "PersistedOff",
        "/usr/lib/sysctl.d/50-hard.conf",
    )
    assert "/usr/lib/sysctl.d/50-hard.conf:1" in finding.message
    assert fix(finding).persist == (
        "mkdir -p /etc/sysctl.d && echo 'net.ipv4.conf.all.forwarding = 1' > /etc/sysctl.d/99-ip-forward.conf",
    )


@pytest.mark.parametrize("keeper", ["dockerd", "k3s-server"])
def test_a_program_that_turns_it_on_when_it_starts_needs_no_file(keeper: str) -> None:
    [finding] = judge(Forwarding(ipv4=True), files={}, keeper=keeper)

    assert finding.status is Status.PASS


def test_files_of_the_boot_that_may_not_be_read_are_unknown() -> None:
    boot = SysctlBoot(BootFiles((), frozenset(), ("Permission denied: /etc/sysctl.d/99-x.conf",)))

    passing, finding = ip_forward(Forwarding(ipv4=True), PodFamilies(), boot, SwitchKeepers())

    assert passing.reason == "ForwardingOn"
    assert finding.status is Status.UNKNOWN


def test_a_switch_we_may_not_read_is_unknown_and_never_a_failure() -> None:
    path = "/proc/sys/net/ipv4/ip_forward"

    [finding] = examine(FakeHost({path: "0"}, denied={path}), "ip-forward")

    assert finding.status is Status.UNKNOWN
    assert "Permission denied" in finding.message
