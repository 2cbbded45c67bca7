"""A cause is linked to its symptoms only where the evidence allows it."""

from __future__ import annotations

import pytest

from k8sdoctor import Certainty, Evidence, Finding, Fix, Link, Safety, Status, fail, passed, unknown, warn
from k8sdoctor.diagnosis import MENDING, Diagnosis, Links, Reference

FIX = Fix(title="Mend it", commands=("true",), verify="true", safety=Safety.SAFE)


def link(check: str, reason: str, *when: str, certainty: Certainty = Certainty.PROVEN) -> Link:
    return Link(check, reason, f"{check} follows.", certainty, frozenset(when))


def diagnoses(*findings: tuple[str, Finding]) -> tuple[Diagnosis, ...]:
    return Links(findings).diagnoses()


CAUSE = fail("Cause", "It is off.", subject="cni0", fix=FIX, explains=[link("dns", "Symptom", "bridge:cni0")])
SYMPTOM = fail("Symptom", "It does not answer.", subject="10.96.0.10", traits={"bridge:cni0", "transport:udp"})


def test_a_cause_and_its_symptom_are_one_diagnosis_with_the_causes_fix() -> None:
    [found] = diagnoses(("bridge", CAUSE), ("dns", SYMPTOM))

    assert found.title == "It is off."
    assert found.cause == Reference("bridge", "Cause", "cni0")
    assert found.explains == (Reference("dns", "Symptom", "10.96.0.10"),)
    assert found.fix == FIX
    assert found.certainty is Certainty.PROVEN
    assert found.why == "dns follows."


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("the switch was seen off", "The switch was seen off."),
        ("net.ipv4.ip_forward is 0", "net.ipv4.ip_forward is 0."),
        ("what is said of it elsewhere is the same", "What is said of it elsewhere is the same."),
        ("kubeadm renews all in one go", "kubeadm renews all in one go."),
    ],
)
def test_a_claim_is_told_as_a_sentence_and_a_name_keeps_its_small_letter(why: str, told: str) -> None:
    cause = fail("Cause", "It is off.", explains=[Link("dns", "Symptom", why)])

    [found] = diagnoses(("bridge", cause), ("dns", fail("Symptom", "It does not answer.")))

    assert found.why == told


def test_a_claim_that_another_says_with_what_follows_from_it_is_told_once() -> None:
    claims = ("it was seen off", "it was seen off, so nobody knows the rest", "it was seen offline")
    cause = fail(
        "Cause", "It is off.", explains=[Link("dns", name, why) for name, why in zip("ABC", claims, strict=True)]
    )

    [found] = diagnoses(("bridge", cause), *(("dns", fail(name, "It does not answer.")) for name in "ABC"))

    assert found.why == "It was seen off, so nobody knows the rest. It was seen offline."


def test_a_symptom_on_another_bridge_is_not_blamed_on_this_cause() -> None:
    elsewhere = fail("Symptom", "It does not answer.", traits={"bridge:br1"})

    found = diagnoses(("bridge", CAUSE), ("dns", elsewhere))

    assert [each.cause.check for each in found] == ["bridge", "dns"]
    assert all(each.explains == () for each in found)


def test_what_passes_is_no_symptom_and_causes_nothing() -> None:
    assert diagnoses(("dns", passed("Symptom", "Fine.", traits={"bridge:cni0"}))) == ()
    [found] = diagnoses(("bridge", CAUSE), ("dns", passed("Symptom", "Fine.", traits={"bridge:cni0"})))
    assert found.explains == ()


def test_what_could_not_be_looked_at_may_be_explained_but_is_no_diagnosis() -> None:
    blind = unknown("Symptom", "Nowhere to ask from.", traits={"bridge:cni0"})

    assert diagnoses(("dns", blind)) == ()
    [found] = diagnoses(("bridge", CAUSE), ("dns", blind))
    assert found.explains == (Reference("dns", "Symptom", None),)


def test_a_symptom_of_a_symptom_belongs_to_the_root() -> None:
    first = fail("A", "a", explains=[link("b", "B")])
    second = warn("B", "b", explains=[link("c", "C", certainty=Certainty.LIKELY)])
    third = fail("C", "c")

    [found] = diagnoses(("a", first), ("b", second), ("c", third))

    assert [each.check for each in found.explains] == ["b", "c"]
    assert found.certainty is Certainty.LIKELY  # a chain is as sure as its weakest link


def test_of_two_that_claim_to_cause_each_other_one_is_the_root() -> None:
    one = fail("A", "a", explains=[link("b", "B")])
    other = fail("B", "b", explains=[link("a", "A")])

    [found] = diagnoses(("a", one), ("b", other))

    assert found.cause.check == "a"


def test_a_ring_of_three_still_has_a_root() -> None:
    ring = {"a": "b", "b": "c", "c": "a"}
    findings = [(id_, fail(id_.upper(), id_, explains=[link(to, to.upper())])) for id_, to in ring.items()]

    [found] = diagnoses(*findings)

    assert len(found.explains) == 2


def test_a_finding_does_not_explain_itself() -> None:
    [found] = diagnoses(("a", fail("A", "a", explains=[link("a", "A")])))

    assert found.explains == ()


def test_one_symptom_with_two_causes_stands_under_both() -> None:
    found = diagnoses(
        ("a", fail("A", "a", explains=[link("c", "C")])),
        ("b", fail("B", "b", explains=[link("c", "C")])),
        ("c", fail("C", "c")),
    )

    assert [each.cause.check for each in found] == ["a", "b"]
    assert all(each.explains == (Reference("c", "C", None),) for each in found)


def test_the_worst_comes_first_then_what_explains_most() -> None:
    found = diagnoses(
        ("disk", warn("Warned", "w")),
        ("disk", fail("Alone", "f")),
        ("etcd", fail("Busy", "f", explains=[link("e", "E")])),
        ("e", warn("E", "e")),
    )

    assert [(each.cause.check, each.status) for each in found] == [
        ("etcd", Status.FAIL),
        ("disk", Status.FAIL),
        ("disk", Status.WARN),
    ]


def test_a_symptom_that_fails_counts_for_more_than_any_that_warn_or_could_not_be_seen() -> None:
    found = diagnoses(
        ("disk", fail("Blinds", "f", explains=[link("u", "U"), link("u", "V"), link("u", "W")])),
        ("disk", fail("Warns", "f", explains=[link("w", "W"), link("w", "X")])),
        ("coredns", fail("Breaks", "f", explains=[link("f", "F")])),
        ("f", fail("F", "f")),
        *(("u", unknown(each, "u")) for each in "UVW"),
        *(("w", warn(each, "w")) for each in "WX"),
    )

    assert [each.cause.reason for each in found] == ["Breaks", "Warns", "Blinds"]


def test_what_is_alike_is_mended_from_the_machine_up_to_dns() -> None:
    layers = [checks[0] for checks in MENDING.values()]
    names = sorted([*layers, "of-a-plug-in", "another"])

    found = diagnoses(*((name, fail("Cause", "f", subject="eth0")) for name in names))

    assert [each.cause.check for each in found] == [*layers, "another", "of-a-plug-in"]


def test_one_checks_causes_come_in_the_order_in_which_it_tells_them() -> None:
    found = diagnoses(("kubelet", fail("Zebra", "z")), ("kubelet", fail("Ape", "a", subject="a")))

    assert [each.cause.reason for each in found] == ["Zebra", "Ape"]


def test_a_warning_whose_symptom_fails_is_as_bad_as_its_symptom() -> None:
    [found] = diagnoses(("a", warn("A", "a", explains=[link("b", "B")])), ("b", fail("B", "b")))

    assert found.status is Status.FAIL


def test_a_warning_that_only_keeps_something_from_being_seen_stays_a_warning() -> None:
    cause = warn("Cause", "It is off.", explains=[link("dns", "Blind")])

    [found] = diagnoses(("bridge", cause), ("dns", unknown("Blind", "It could not be asked.")))

    assert (found.status, len(found.explains)) == (Status.WARN, 1)


def test_a_finding_that_explains_nothing_rests_on_what_was_seen() -> None:
    [found] = diagnoses(("a", fail("A", "a", evidence=[Evidence("/proc/x", "0"), Evidence("/etc/y", "1")])))

    assert found.why == "Seen directly: /proc/x, /etc/y."
    assert found.certainty is Certainty.PROVEN
