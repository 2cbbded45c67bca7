"""resources: processors and memory in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.resources import resources
from k8sdoctor.facts.resources import Resources
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Finding, Status
from k8sdoctor.testing import FakeHost, HostError, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

ENOUGH = {
    "/sys/devices/system/cpu/online": "0-1\n",
    "/proc/1/status": "Name:\tsystemd\nCpus_allowed:\tffff\nCpus_allowed_list:\t0-127\nMems_allowed_list:\t0\n",
    "/proc/meminfo": "MemTotal:        2013260 kB\nMemFree:          160000 kB\n",
}
ONE = {**ENOUGH, "/sys/devices/system/cpu/online": "0\n"}
PINNED = {
    **ENOUGH,
    "/sys/devices/system/cpu/online": "0-3\n",
    "/proc/1/status": "Cpus_allowed_list:\t2\n",
}
SMALL = {**ENOUGH, "/proc/meminfo": "MemTotal:        1740799 kB\n"}

PLANNED = Role("control-plane", "--config k.yaml plans it", planned="--config k.yaml")
RUNS = Role("control-plane", "its manifest is there", joined=True)
UNDECIDED = Role("undecided", "nothing is planned for it")


def judge(files: Mapping[str, str], role: Role = PLANNED) -> list[Finding]:
    return list(resources(Resources.observe(FakeHost(files)), role))


@pytest.mark.parametrize("role", [PLANNED, RUNS, UNDECIDED])
def test_two_processors_and_1700_megabytes_are_enough(role: Role) -> None:
    [finding] = judge({**ENOUGH, "/proc/meminfo": "MemTotal:        1740800 kB\n"}, role)

    assert (finding.status, finding.reason) == (Status.PASS, "Sufficient")
    assert "1700 MB" in finding.message


@pytest.mark.parametrize(
    ("role", "status", "words"),
    [
        (PLANNED, Status.FAIL, "kubeadm refuses to make a control plane of it, for which it wants 2."),
        (UNDECIDED, Status.WARN, "a worker may have less"),
        (RUNS, Status.WARN, "which this is"),
    ],
)
def test_one_processor_is_too_few_for_a_control_plane(role: Role, status: Status, words: str) -> None:
    [finding] = judge(ONE, role)

    assert (finding.status, finding.reason) == (status, "TooFewCpus")
    assert "has 1 processor," in finding.message
    assert words in finding.message


def test_processors_that_programs_may_not_use_do_not_count() -> None:
    [finding] = judge(PINNED)

    assert finding.reason == "TooFewCpus"
    assert "1 processor of 4 that run" in finding.message
    assert finding.fix is not None
    assert "CPUAffinity" in finding.fix.commands[0]


@pytest.mark.parametrize(("role", "status"), [(PLANNED, Status.FAIL), (UNDECIDED, Status.WARN), (RUNS, Status.WARN)])
def test_less_than_1700_megabytes_are_too_little(role: Role, status: Status) -> None:
    [finding] = judge(SMALL, role)

    assert (finding.status, finding.reason) == (status, "TooLittleMemory")
    assert "1699 MB" in finding.message


def test_both_shortages_are_told() -> None:
    assert {each.reason for each in judge({**ONE, "/proc/meminfo": SMALL["/proc/meminfo"]})} == {
        "TooFewCpus",
        "TooLittleMemory",
    }


@pytest.mark.parametrize(
    ("role", "status", "reason"),
    [
        (Role("worker", "kubelet.conf is there", joined=True), Status.SKIP, "NoMinimum"),
        (Role("other", "k3s runs here"), Status.SKIP, "OtherInstallation"),
        (Role("unknown", "Permission denied"), Status.UNKNOWN, "RoleUnknown"),
    ],
)
def test_what_kubeadm_asks_nothing_of_is_not_judged(role: Role, status: Status, reason: str) -> None:
    [finding] = judge(ONE, role)

    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize(
    "broken",
    [
        {"/sys/devices/system/cpu/online": "zero\n"},
        {"/proc/1/status": "Cpus_allowed_list:\t0-9-9\n"},
        {"/proc/meminfo": "MemFree: 1 kB\n"},
    ],
)
def test_what_the_kernel_never_writes_is_unknown_and_names_the_file(broken: dict[str, str]) -> None:
    with pytest.raises(HostError, match=next(iter(broken))):
        Resources.observe(FakeHost({**ENOUGH, **broken}))


def test_what_may_not_be_read_is_unknown() -> None:
    [finding] = examine(FakeHost(ENOUGH, denied={"/proc/meminfo"}), "resources")

    assert finding.status is Status.UNKNOWN
    assert "/proc/meminfo" in finding.message
