"""swap: files of a node in, findings out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.swap import swap
from k8sdoctor.facts.cgroups import Cgroups
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.planned_kubelet import PlannedKubelet
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.swap import FstabLine, Swap, SwapArea
from k8sdoctor.finding import Finding, Safety, Status
from k8sdoctor.host.answers import Process
from k8sdoctor.testing import FakeHost, examine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
OFF = {"/proc/swaps": HEADER}
ON = {"/proc/swaps": f"{HEADER}/swap.img file\t4194300\t0\t-2\n", "/swap.img": ""}
ZRAM = {"/proc/swaps": f"{HEADER}/dev/zram0 partition\t4194300\t0\t100\n"}
FSTAB = {"/etc/fstab": "# swap\nUUID=1 / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n"}
CONFIG = "/var/lib/kubelet/config.yaml"
PLAIN = {CONFIG: "kind: KubeletConfiguration\n"}


def judge(
    files: Mapping[str, str],
    *cmdline: str,
    version: str = "1.36.2",
    cgroup: Cgroups | None = None,
    config: str | None = None,
    denied: tuple[str, ...] = (),
) -> list[Finding]:
    given: dict[str, object] | None = (
        {"config": {"path": "k.yaml", "text": config}, "kubeconfig": None, "endpoints": []} if config else None
    )
    verbs = {"given": given} if given else {}
    host = FakeHost(files, denied=denied, run={"code": 0, "out": f"Kubernetes v{version}\n", "err": ""}, **verbs)  # type: ignore[arg-type] # -- JSON
    running = (Process(pid=7, ppid=1, name="kubelet", cmdline=["/usr/bin/kubelet", *cmdline]),) if cmdline else ()
    kubelet = Kubelet.observe(host, Processes(running))
    return list(swap(Swap.observe(host), kubelet, PlannedKubelet.observe(host), cgroup or Cgroups(2, frozenset())))


def persist(finding: Finding) -> tuple[str, ...]:
    assert finding.fix is not None
    return finding.fix.persist


def test_a_node_without_swap_is_healthy() -> None:
    [finding] = judge({**OFF, **PLAIN})

    assert (finding.status, finding.reason) == (Status.PASS, "NoSwap")


def test_swap_keeps_a_kubelet_from_starting() -> None:
    [finding] = judge({**ON, **FSTAB, **PLAIN})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "SwapOn", "/swap.img")
    assert "(4095 MiB)" in finding.message
    assert "it ends at once" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("swapoff -a",)
    assert finding.fix.safety is Safety.DISRUPTIVE
    assert persist(finding) == ("sed -i '3s/^/#/' /etc/fstab",)
    assert ("KubeletCrashes", frozenset({"points-to:swap"})) in {(link.reason, link.when) for link in finding.explains}


def test_a_kubelet_that_runs_beside_swap_will_not_start_again() -> None:
    [finding] = judge({**ON, **PLAIN}, "--v=2")

    assert finding.status is Status.WARN
    assert "will not start again" in finding.message


def test_swap_fails_before_a_node_has_joined_as_kubeadm_only_warns() -> None:
    [finding] = judge({**ON, **FSTAB})

    assert finding.status is Status.FAIL


@pytest.mark.parametrize(
    ("files", "cmdline"),
    [
        ({CONFIG: "failSwapOn: false\n"}, ()),
        (PLAIN, ("--fail-swap-on=false",)),
        ({"/etc/kubelet.d/a.conf": "failSwapOn: false\n"}, ("--config-dir=/etc/kubelet.d",)),
    ],
)
def test_a_kubelet_that_is_told_to_bear_swap_is_healthy(files: dict[str, str], cmdline: tuple[str, ...]) -> None:
    [finding] = judge({**ON, **FSTAB, **files}, *cmdline)

    assert (finding.status, finding.reason) == (Status.PASS, "SwapAllowed")


def test_what_is_planned_for_the_kubelet_counts_before_it_has_a_configuration() -> None:
    planned = (
        "kind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n---\nkind: KubeletConfiguration\nfailSwapOn: false\n"
    )

    [allowed] = judge(ON, config=planned)
    [refused] = judge({**ON, CONFIG: "failSwapOn: true\n"}, config=planned)

    assert (allowed.reason, allowed.message.count("--config k.yaml")) == ("SwapAllowed", 1)
    assert refused.reason == "SwapOn"


def test_swap_that_was_turned_off_by_hand_comes_back_at_boot() -> None:
    [finding] = judge({**OFF, **FSTAB, "/swap.img": ""})

    assert (finding.status, finding.reason) == (Status.WARN, "SwapAtBoot")
    assert "/etc/fstab:3 (`/swap.img none swap sw 0 0`)" in finding.message
    assert persist(finding) == ("sed -i '3s/^/#/' /etc/fstab",)


@pytest.mark.parametrize(
    "fstab",
    [
        "#/swap.img none swap sw 0 0\n",
        "/swap.img none swap noauto 0 0\n",
        "/gone.img none swap sw 0 0\n",
        "UUID=77 none swap sw 0 0\n",
        "/swap.img /swap ext4 defaults 0 0\n",
    ],
)
def test_lines_that_turn_nothing_on_are_healthy(fstab: str) -> None:
    [finding] = judge({**OFF, "/etc/fstab": fstab, "/swap.img": ""})

    assert finding.reason == "NoSwap"


def test_a_partition_by_uuid_that_is_there_counts() -> None:
    [finding] = judge({**OFF, "/etc/fstab": "UUID=77 none swap sw 0 0\n", "/dev/disk/by-uuid/77": ""})

    assert finding.reason == "SwapAtBoot"


def test_a_unit_that_is_enabled_turns_swap_on_at_boot_unless_it_is_masked() -> None:
    unit = {"/etc/systemd/system/swap.target.wants/swapfile.swap": ""}
    host = FakeHost({**OFF, **unit}, readlink="/dev/null")

    [finding] = judge({**OFF, **unit})

    assert (finding.reason, persist(finding)) == ("SwapAtBoot", ("systemctl mask swapfile.swap",))
    assert Swap.observe(host).units == ()


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (ZRAM, ("systemctl mask dev-zram0.swap",)),
        ({**ZRAM, "/etc/default/zramswap": ""}, ("systemctl disable --now zramswap",)),
        ({**ON, "/etc/dphys-swapfile": ""}, ("systemctl disable --now dphys-swapfile",)),
        (ON, ("systemctl mask swap.target",)),
    ],
)
def test_what_keeps_swap_off_fits_what_turns_it_on(files: dict[str, str], steps: tuple[str, ...]) -> None:
    [finding] = judge({**files, **PLAIN})

    assert persist(finding) == steps


def test_the_pasted_line_comments_every_line_of_swap_and_no_other(tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("/a none swap sw\n/dev/b / ext4 x\n/c none swap sw\n")
    lines = (FstabLine(1, "/a", "", there=True), FstabLine(3, "/c", "", there=True))
    [finding] = swap(
        Swap((SwapArea("/a", "file", 1),), lines),
        Kubelet.observe(FakeHost(), Processes(())),
        PlannedKubelet(),
        Cgroups(2, frozenset()),
    )

    subprocess.run(["sh", "-c", persist(finding)[0].replace("/etc/fstab", str(fstab))], check=True)

    assert fstab.read_text() == "#/a none swap sw\n/dev/b / ext4 x\n#/c none swap sw\n"


@pytest.mark.parametrize(
    ("version", "value", "gates", "healthy"),
    [
        ("1.36.2", "LimitedSwap", "", True),
        ("1.36.2", "NoSwap", "", True),
        ("1.36.2", "UnlimitedSwap", "", False),
        ("1.33.0", "LimitedSwap", "featureGates: {NodeSwap: false}\n", False),
        ("1.29.3", "UnlimitedSwap", "featureGates: {NodeSwap: true}\n", True),
        ("1.29.3", "LimitedSwap", "", False),
        ("1.29.3", "NoSwap", "featureGates: {NodeSwap: true}\n", False),
    ],
)
def test_a_value_of_swap_behavior_is_held_against_the_version(
    version: str, value: str, gates: str, *, healthy: bool
) -> None:
    files = {**ON, CONFIG: f"failSwapOn: false\n{gates}memorySwap: {{swapBehavior: {value}}}\n"}

    [finding] = judge(files, version=version)

    assert finding.reason == ("SwapAllowed" if healthy else "SwapBehaviorInvalid")
    assert finding.status is (Status.PASS if healthy else Status.FAIL)


def test_limited_swap_needs_cgroup_v2() -> None:
    files = {**ON, CONFIG: "failSwapOn: false\nmemorySwap: {swapBehavior: LimitedSwap}\n"}

    [finding] = judge(files, cgroup=Cgroups(1, frozenset()))

    assert (finding.status, finding.reason) == (Status.FAIL, "SwapNeedsCgroupV2")


def test_swap_under_a_configuration_that_may_not_be_read_is_unknown() -> None:
    [finding] = judge({**ON, **PLAIN}, denied=(CONFIG,))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
    assert CONFIG in finding.message


def test_what_may_not_be_read_is_unknown() -> None:
    [finding] = examine(FakeHost(OFF, denied={"/proc/swaps"}), "swap")
    hidden, _ = judge({**OFF, **FSTAB}, denied=("/etc/fstab",))

    assert finding.status is Status.UNKNOWN
    assert (hidden.status, hidden.reason) == (Status.UNKNOWN, "NotPermitted")
    assert "/etc/fstab" in hidden.message
