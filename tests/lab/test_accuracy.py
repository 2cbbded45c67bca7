"""Every scenario that no other test pastes the fix of: told as the table expects, but for the misses that are known and written here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.accuracy import Ward, one_of_each_cause, pairs
from tests.lab.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.scenarios import Scenario

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs(
        *("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "iptables-legacy", "conntrack", "ss"),
        *("openssl", "etcd", "docker-registry", "nginx", "skopeo"),
    ),
]

KNOWN: dict[str, frozenset[str]] = {}
"""What is said wrongly, by scenario. A miss that is mended must be taken off here."""

TOGETHER = (
    ("the bridge's switch is off", "a plugin is missing"),
    ("kube-proxy ended", "the kubelet's configuration has a misspelt field"),
    ("a later file turns the bridge's switch off at boot", "the cluster still names a registry that was frozen"),
    ("the controller manager ended", "everybody may read the authority's key"),
)
"""Of all pairs of unrelated causes (`make accuracy ARGS=--pairs`) those that each run of the tests sees."""

HERE = [
    each
    for each in one_of_each_cause(
        each for each in SCENARIOS if not each.mends and each.role not in {"mirrored", "paired"}
    )
    if not any(each.name in names for names in TOGETHER)
]
"""One of each cause; `make accuracy` sees all."""


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward() as made:
        yield made


@pytest.mark.parametrize("scenario", HERE, ids=[f"{each.area}: {each.name}" for each in HERE])
def test_a_cause_is_named_first_with_its_symptoms_and_nothing_else(ward: Ward, scenario: Scenario) -> None:
    verdict = ward.look(scenario)

    assert verdict.wrong == KNOWN.get(f"{scenario.area}: {scenario.name}", frozenset())


@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_two_unrelated_causes_are_two_diagnoses(ward: Ward, names: tuple[str, str]) -> None:
    [(one, other)] = [pair for pair in pairs() if {each.name for each in pair} == set(names)]

    assert ward.look_at_both(one, other) == frozenset()


def test_the_table_is_whole() -> None:
    names = [f"{each.area}: {each.name}" for each in SCENARIOS]

    assert len(SCENARIOS) >= 40
    assert len(names) == len(set(names))
    assert set(KNOWN) <= set(names)
