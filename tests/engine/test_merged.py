"""A report in which some checks were run again."""

from __future__ import annotations

from dataclasses import replace

from k8sdoctor import fail, passed, unknown
from k8sdoctor.report import Broken, merged
from tests.render.reports import CAUSE, SYMPTOM, report

FINE = passed("Filtered", "Bridged packets pass iptables.")


def test_a_result_of_the_later_run_stands_for_the_earlier_one() -> None:
    old = report(("br-netfilter", CAUSE), ("dns-reply-source", SYMPTOM))

    both = merged(old, report(("br-netfilter", FINE)))

    assert [(result.check, str(result.status)) for result in both.results] == [
        ("br-netfilter", "pass"),
        ("dns-reply-source", "fail"),
    ]


def test_a_symptom_whose_cause_is_gone_is_a_diagnosis_of_its_own() -> None:
    old = report(("br-netfilter", CAUSE), ("dns-reply-source", SYMPTOM))
    assert [each.cause.check for each in old.diagnoses] == ["br-netfilter"]

    both = merged(old, report(("br-netfilter", FINE)))

    assert [each.cause.check for each in both.diagnoses] == ["dns-reply-source"]
    assert both.explains == (((),), ((),))


def test_a_cause_that_comes_back_explains_its_symptom_again() -> None:
    old = report(("br-netfilter", FINE), ("dns-reply-source", SYMPTOM))

    [diagnosis] = merged(old, report(("br-netfilter", CAUSE))).diagnoses

    assert [each.check for each in diagnosis.explains] == ["dns-reply-source"]


def test_the_profile_stays_the_earlier_one_and_contacts_add_up() -> None:
    old = replace(report(("a", FINE)), profile="dns", contacted=("udp://10.96.0.10:53",))
    new = replace(report(("b", FINE)), contacted=("tls://192.0.2.1:6443",))

    both = merged(old, new)

    assert both.profile == "dns"
    assert both.contacted == ("tls://192.0.2.1:6443", "udp://10.96.0.10:53")


def broke(check: str) -> Broken:
    return Broken(f"check {check}", "ValueError: no", "Traceback …")


def test_a_check_that_broke_and_works_now_is_no_longer_broken() -> None:
    crashed = unknown("CheckBroke", "The check a is at fault: ValueError: no.")
    old = report(("a", crashed), ("b", FINE), broken=(broke("a"),))

    assert merged(old, report(("a", FINE))).broken == ()


def test_what_broke_elsewhere_stays_broken() -> None:
    crashed = unknown("CheckBroke", "The check a is at fault: ValueError: no.")
    plug_in = Broken("plug-in acme", "ImportError: acme", "")
    old = report(("a", crashed), ("b", fail("Off", "It is off.")), broken=(broke("a"), plug_in))

    assert merged(old, report(("b", FINE), broken=(plug_in,))).broken == (broke("a"), plug_in)
