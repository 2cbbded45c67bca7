"""What became of a finding: the same check, reason and subject, whatever else moved."""

from __future__ import annotations

import pytest

from k8sdoctor import Evidence, Finding, Link, fail, passed, skip, unknown, warn
from k8sdoctor.comparison import Change, Verdict, compare
from k8sdoctor.comparison.noise import Own
from tests.comparison.sides import compared, marks, side

GOOD = passed("On", "The switch is on.", subject="cni0")
OFF = fail("Off", "The switch is off.", subject="cni0", evidence=[Evidence("/proc/switch", "0")])
RISKY = warn("NotPersistent", "The switch is on until the next boot.", subject="cni0")
BROKEN = fail("Burnt", "The switch is burnt.", subject="cni0")
BLIND = unknown("NotPermitted", "Permission denied: /proc/switch; run as root to look.")
AWAY = skip("NoSwitch", "There is no switch here.")
UNASKED = skip("SkippedByUser", "It was skipped as asked.")


@pytest.mark.parametrize(
    ("a", "b", "change", "verdict"),
    [
        (GOOD, OFF, Change.NEW, Verdict.WORSE),
        (GOOD, RISKY, Change.NEW, Verdict.WORSE),
        (AWAY, OFF, Change.NEW, Verdict.WORSE),
        (RISKY, OFF, Change.WORSE, Verdict.WORSE),
        (OFF, RISKY, Change.BETTER, Verdict.BETTER),
        (OFF, GOOD, Change.FIXED, Verdict.BETTER),
        (OFF, AWAY, Change.GONE, Verdict.BETTER),
        (OFF, OFF, Change.STILL, Verdict.SAME),
        (OFF, BROKEN, Change.CHANGED, Verdict.SAME),
        (BLIND, BLIND, Change.STILL, Verdict.SAME),
        (BLIND, GOOD, Change.BETTER, Verdict.BETTER),
        (OFF, BLIND, Change.UNSEEN_IN_B, Verdict.UNCLEAR),
        (GOOD, BLIND, Change.UNSEEN_IN_B, Verdict.UNCLEAR),
        (BLIND, OFF, Change.UNSEEN_IN_A, Verdict.UNCLEAR),
        (OFF, UNASKED, Change.UNSEEN_IN_B, Verdict.UNCLEAR),
        (UNASKED, OFF, Change.UNSEEN_IN_A, Verdict.UNCLEAR),
        (OFF, None, Change.UNSEEN_IN_B, Verdict.UNCLEAR),
        (None, OFF, Change.UNSEEN_IN_A, Verdict.UNCLEAR),
    ],
)
def test_a_finding_becomes_what_both_sides_saw_of_it(
    a: Finding | None, b: Finding | None, change: Change, verdict: Verdict
) -> None:
    found = compared(a, b)

    assert [each.change for each in found.changes] == [change]
    assert found.verdict is verdict
    assert found.exit_code == {Verdict.WORSE: 1, Verdict.UNCLEAR: 3}.get(verdict, 0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *((GOOD, GOOD), (GOOD, AWAY), (AWAY, GOOD), (GOOD, UNASKED), (UNASKED, GOOD), (UNASKED, UNASKED)),
        *((GOOD, None), (None, GOOD), (None, AWAY), (UNASKED, AWAY), (BLIND, None), (BLIND, UNASKED)),
    ],
)
def test_what_fails_on_neither_side_is_no_change(a: Finding | None, b: Finding | None) -> None:
    found = compared(a, b)

    assert found.changes == ()
    assert found.exit_code == 0


def test_what_hides_behind_something_unknown_is_not_called_fixed_and_not_new() -> None:
    before = compared((OFF, GOOD), (BLIND, GOOD))
    after = compared((BLIND,), (OFF, fail("Else", "Something else fails.", subject="eth0")))

    assert [each.change for each in before.changes] == [Change.UNSEEN_IN_B]
    assert before.changes[0].why == BLIND.message
    assert {each.change for each in after.changes} == {Change.UNSEEN_IN_A}


def test_a_check_with_several_findings_is_compared_one_by_one() -> None:
    def off(link: str) -> Finding:
        return fail("Off", f"The switch of {link} is off.", subject=link)

    found = compared((off("eth0"), off("eth1"), off("eth2")), (off("eth2"), off("eth3")))

    assert {each.told.subject: each.change for each in found.changes} == {
        "eth0": Change.FIXED,
        "eth1": Change.FIXED,
        "eth2": Change.STILL,
        "eth3": Change.NEW,
    }


def test_equal_findings_are_counted_and_not_lost() -> None:
    assert [each.change for each in compared((OFF, OFF), (OFF,)).changes] == [Change.STILL, Change.FIXED]


def test_another_process_id_in_the_subject_is_the_same_finding() -> None:
    def held(pid: int) -> Finding:
        return fail("Held", f"Port 10250 is held by pid {pid}.", subject=f"kubelet (pid {pid})")

    [change] = compared(held(812), held(90210)).changes

    assert change.change is Change.STILL


def test_a_number_that_may_be_a_setting_tells_findings_apart() -> None:
    def held(port: int) -> Finding:
        return fail("Held", f"Port {port} is held.", subject=f"port {port}")

    assert [each.change for each in compared(held(6443), held(10250)).changes] == [Change.NEW, Change.FIXED]


def test_two_nodes_that_fail_alike_by_their_own_names_fail_alike() -> None:
    def down(name: str) -> tuple[str, Finding]:
        return "node-ready", fail("NotReady", f'Node "{name}" is not Ready.', subject=name)

    found = compare(side(down("node1"), node="node1"), side(down("node2"), node="node2"))

    assert not found.same_node
    assert [each.change for each in found.changes] == [Change.STILL]


def test_causes_come_before_their_symptoms_and_before_other_findings() -> None:
    cause = fail("Off", "The switch is off.", explains=[Link("symptom", "Down", "It needs the switch.")])
    symptom = fail("Down", "It is down.")
    other = warn("Old", "It is old.")
    names = ("z-cause", "symptom", "another")
    good = side(*((name, passed("Fine", "All is fine.")) for name in names))

    found = compare(good, side(("z-cause", cause), ("symptom", symptom), ("another", other)))

    assert [each.check for each in found.changes] == list(names)


def test_evidence_that_changed_is_told_by_the_lines_that_one_side_alone_has() -> None:
    before = fail(
        "Off", "It is off.", evidence=[Evidence("/etc/x.conf", "a = 1\nb = 2\nc = 3"), Evidence("/f", "same")]
    )
    after = fail("Off", "It is off.", evidence=[Evidence("/etc/x.conf", "a = 1\nb = 7\nc = 3"), Evidence("/f", "same")])

    [change] = compared(before, after).changes

    [evidence] = change.evidence
    assert (evidence.source, evidence.before, evidence.after) == ("/etc/x.conf", ("b = 2",), ("b = 7",))


def off_by(text: str) -> Finding:
    return fail("Off", "It is off.", evidence=[Evidence("/f", text)])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("answered after 12.5 ms", "answered after 3 ms"),
        ("touched 42 min ago", "touched 2 h ago"),
        ("since 2026-11-20T10:00:00Z", "since 2026-11-21T09:30:12Z"),
        ("container 4f3c2b1a09876543210f", "container aaaabbbbccccddddeeee"),
        ("uid 8d7f8b9c-1111-4222-8333-123456789abc", "uid 00000000-1111-4222-8333-123456789abc"),
        ("52:54:00:aa:bb:cc is up", "52:54:00:dd:ee:ff is up"),
        ("kubelet (pid 12)", "kubelet (pid 4711)"),
        ("17 MiB free", "18.5 MiB free"),
    ],
)
def test_what_never_stays_the_same_is_no_change_of_evidence(before: str, after: str) -> None:
    found = compared(off_by(before), off_by(after))

    assert found.changes[0].evidence == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("net.ipv4.ip_forward = 0", "net.ipv4.ip_forward = 1"),
        ("nameserver 192.0.2.1", "nameserver 192.0.2.2"),
        ("mtu 1500", "mtu 1450"),
        ("containerd 1.6.20", "containerd 1.7.2"),
        ("10.244.0.0/16", "10.245.0.0/16"),
        ("maxPods: 110", "maxPods: 11"),
        ("certificateValidity: 24h", "certificateValidity: 48h"),
        ("listen on :10250", "listen on :10255"),
    ],
)
def test_what_somebody_may_have_set_is_a_change_of_evidence(before: str, after: str) -> None:
    found = compared(off_by(before), off_by(after))

    assert [(each.before, each.after) for each in found.changes[0].evidence] == [((before,), (after,))]


def test_evidence_of_a_hundred_thousand_lines_takes_no_time_to_speak_of() -> None:
    long = "\n".join(f"rule {number % 7} x{number}" for number in range(100_000))
    before, after = (
        fail("Off", "It is off.", evidence=[Evidence("rules", text)]) for text in (long, f"{long}\nrule of B")
    )

    [change] = compared(before, after).changes

    assert [(each.before, each.after) for each in change.evidence] == [((), ("rule of B",))]


def test_a_node_s_own_words_are_whole_words() -> None:
    own = Own({"n1": "node", "10.0.0.5": "address", "": "node"})

    assert own.stable("n1, N1 at 10.0.0.5:6443") == "<node>, <node> at <address>:6443"
    for other in ("n10", "xn1", "10.0.0.55", "110.0.0.5", "n1.example.org", "n1-old"):
        assert own.stable(other) == other


@pytest.mark.parametrize("word", ["node", "localhost"])
def test_a_name_that_is_a_word_of_the_field_is_left_alone(word: str) -> None:
    machine = side(("node-identity", marks()), node=word)

    assert machine.own.stable(f"The {word} is there.") == f"The {word} is there."
