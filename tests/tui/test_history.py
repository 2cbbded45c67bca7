"""What is called fixed, new and still."""

from __future__ import annotations

from k8sdoctor import Finding, fail, passed, skip, unknown, warn
from k8sdoctor.tui.history import Change, History, sparkline
from tests.render.reports import report

BROKEN = fail("SwitchOff", "The switch is off.", subject="cni0")
FINE = passed("SwitchOn", "The switch is on.")


def after(*runs: Finding | tuple[Finding, ...]) -> History:
    history = History()
    for findings in runs:
        history.add(report(("switch", findings)))
    return history


def test_the_first_run_has_nothing_to_be_compared_with() -> None:
    history = after(BROKEN)

    assert history.of_check("switch") is None
    assert history.of_finding("switch", BROKEN) is None
    assert not history.compared


def test_what_fails_again_is_still_there() -> None:
    history = after(BROKEN, BROKEN)

    assert history.of_check("switch") is Change.STILL
    assert history.of_finding("switch", BROKEN) is Change.STILL


def test_what_was_fine_and_fails_is_new() -> None:
    assert after(FINE, BROKEN).of_check("switch") is Change.NEW


def test_what_failed_and_is_fine_is_fixed() -> None:
    history = after(BROKEN, FINE)

    assert history.of_check("switch") is Change.FIXED
    assert history.fixed("switch") == ("SwitchOff (cni0)",)
    assert history.count(Change.FIXED) == 1


def test_a_check_that_is_left_out_is_not_fixed() -> None:
    history = after(BROKEN, skip("SkippedByUser", "Not run: --skip switch was given."))

    assert history.of_check("switch") is None
    assert history.fixed("switch") == ()


def test_what_can_no_longer_be_looked_at_is_not_fixed() -> None:
    assert after(BROKEN, unknown("NotPermitted", "Permission denied.")).of_check("switch") is Change.STILL


def test_another_fault_of_the_same_check_is_new_while_the_check_is_still_bad() -> None:
    other = warn("NotPersistent", "The switch is off after a boot.")
    history = after(BROKEN, other)

    assert history.of_check("switch") is Change.STILL
    assert history.of_finding("switch", other) is Change.NEW
    assert history.fixed("switch") == ("SwitchOff (cni0)",)


def test_the_same_fault_of_another_subject_is_new() -> None:
    other = fail("SwitchOff", "The switch is off.", subject="cni1")

    assert after(BROKEN, (BROKEN, other)).of_finding("switch", other) is Change.NEW


def test_a_check_that_was_not_run_before_is_compared_with_nothing() -> None:
    history = History()
    history.add(report(("other", FINE)))
    history.add(report(("other", FINE), ("switch", BROKEN)))

    assert history.of_check("switch") is None


def test_failures_are_counted_run_by_run() -> None:
    assert list(after(BROKEN, BROKEN, FINE).failing) == [1, 1, 0]


def test_a_sparkline_keeps_the_newest() -> None:
    assert sparkline([8, 1, 0, 4], 2) == "▁█"


def test_a_sparkline_without_failures_is_flat() -> None:
    assert sparkline([0, 0], 5) == "▁▁"
