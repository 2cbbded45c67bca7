"""Programs that show the kernel's rules: what they say where they may not look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.refused_program import refused
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from k8sdoctor import Unobserved

DENIED = (
    "iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)"
)


def said(err: str, *, euid: int = 0, code: int = 4) -> Unobserved | None:
    host = FakeHost(identity={"hostname": "n", "kernel": "6.1", "machine": "x86_64", "euid": euid})
    return refused(host, ["iptables-save", "-c"], {"code": code, "out": "", "err": err})


def test_a_program_that_ended_well_was_refused_nothing() -> None:
    assert said("Warning: iptables-legacy tables present", code=0) is None


@pytest.mark.parametrize(("euid", "advice"), [(1000, "; run as root to look"), (0, "")])
def test_who_is_not_root_is_told_to_be_and_root_is_not(euid: int, advice: str) -> None:
    found = said(f"{DENIED}\n", euid=euid)

    assert found is not None
    assert (found.reason, found.message) == ("NotPermitted", f"`iptables-save -c` ended with 4: {DENIED}{advice}")


def test_any_other_end_is_unreadable_whoever_asked() -> None:
    found = said("iptables-save: out of memory", euid=1000)

    assert found is not None
    assert (found.reason, found.message) == (
        "Unreadable",
        "`iptables-save -c` ended with 4: iptables-save: out of memory",
    )
