"""What the checks predict, held against what the real parts do, for some seeds; `make differential` takes many more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.differential import boot_oracles, certificate_oracles, cni_oracle, pull_oracle
from tests.differential.certificates import certificate_case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab


def differing(differences: Iterable[str | None]) -> list[str]:
    """The seeds that differ, counted from 0, with what differs."""
    return [f"seed {seed}: {each}" for seed, each in enumerate(differences) if each is not None]


@pytest.mark.needs("openssl")
def test_certificates_are_judged_as_openssl_and_recorded_go_clients_judge_them() -> None:
    recorded = json.loads(certificate_oracles.RECORDED.read_text())
    cases = [certificate_case(seed) for seed in range(len(recorded["verdicts"]))]
    assert certificate_oracles.digest(cases) == recorded["cases"], (
        "other cases were recorded: make differential ARGS=--record"
    )
    verdicts = [certificate_oracles.Verdict(**each) for each in recorded["verdicts"]]

    found = differing(certificate_oracles.compared(cases, verdicts))

    assert not found
    assert len({(each.request, each.covered, each.chain) for each in verdicts}) == 7, "a kind of verdict is missing"


@pytest.mark.needs("/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-modules-load")
def test_what_is_set_and_loaded_at_boot_is_what_systemd_sets_and_loads_in_its_order(node: LabNode) -> None:
    boot_oracles.prepare(node)
    seeds = range(30)

    assert not differing(boot_oracles.sysctl_differences(node, seeds))
    assert not differing(boot_oracles.module_differences(node, seeds))


@pytest.mark.needs("containerd", "runc", "ctr", "busybox")
def test_a_cni_folder_comes_to_what_a_running_containerd_makes_of_it(node: LabNode) -> None:
    assert not differing(cni_oracle.differences(node, range(5)))


@pytest.mark.needs("containerd", "docker-registry", "nginx", "skopeo", "iptables", "busybox")
def test_a_pull_ends_where_containerd_ends_it_and_for_the_same_reason(node: LabNode) -> None:
    assert not differing(pull_oracle.differences(node, range(5)))
