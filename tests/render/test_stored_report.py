"""Reports are read back from what was written, whole or with a sentence that says what is wrong."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import render
from k8sdoctor.stored_report import StoredReportError, read_report
from tests.render.reports import HEALTHY, SICK, SPIKED

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("report", [SICK, HEALTHY, SPIKED])
@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_what_was_written_is_read_back_whole(report: Any, format_: str) -> None:
    read = read_report(render.report(report, format_))

    assert read.document() == report.document()
    assert read.exit_code() == report.exit_code()


@pytest.mark.parametrize("format_", render.FORMATS)
def test_a_report_that_was_read_is_written_as_it_was(format_: str) -> None:
    read = read_report(render.report(SICK, "json"))

    assert render.report(read, format_) == render.report(SICK, format_)


def test_whether_names_are_stand_ins_is_read_back_and_older_reports_that_do_not_say_have_names() -> None:
    older = SICK.document()
    del older["metadata"]["anonymized"]

    assert read_report(render.report(replace(SICK, anonymized=True), "json")).anonymized
    assert not read_report(json.dumps(older)).anonymized


def test_what_a_newer_version_adds_is_passed_over() -> None:
    document = SICK.document()
    document["weather"] = "fine"
    document["metadata"]["moon"] = {"phase": "full"}
    document["results"][0]["findings"][0]["colour"] = "red"

    assert read_report(json.dumps(document)).document() == SICK.document()


def sick_but(change: Callable[[dict[str, Any]], object]) -> str:
    document = SICK.document()
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        ("{", "it is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[" * 100_000, "it is nested too deeply for a report"),
        ('{"a": ' * 100_000, "it is nested too deeply for a report"),
        ("a: &x [1]\nb: *x\n", "it holds a YAML alias, and no report does"),
        ("a: [\n", "it is neither JSON nor YAML: did not find expected node content (line 2)"),
        ("\x00", "it is neither JSON nor YAML: "),
        ("a: !!bool x\n", "it is neither JSON nor YAML: a value does not fit its tag"),
        ("DIAGNOSIS: fail\n", "it is no report of k8sdoctor: it has no `kind: Report`"),
        ("[]", "it is no report of k8sdoctor: it has no `kind: Report`"),
        ("3", "it is no report of k8sdoctor: it has no `kind: Report`"),
        (sick_but(lambda it: it.update(kind="Bundle")), "it is no report of k8sdoctor: it has no `kind: Report`"),
        (
            sick_but(lambda it: it.update(apiVersion="k8sdoctor/v2")),
            'it is a report of apiVersion "k8sdoctor/v2", and this k8sdoctor reads k8sdoctor/v1; a newer k8sdoctor wrote it',
        ),
        (
            sick_but(lambda it: it.update(apiVersion=["v1"])),
            "it is a report of apiVersion a list, and this k8sdoctor reads k8sdoctor/v1",
        ),
        (
            sick_but(lambda it: it["metadata"].update(anonymized="no")),
            'it is no whole report: metadata.anonymized is "no", not true or false',
        ),
        (sick_but(lambda it: it.pop("results")), "it is no whole report: results is missing"),
        (sick_but(lambda it: it.update(results={})), "it is no whole report: results is an object, not a list"),
        (
            sick_but(lambda it: it["results"][1].update(findings=[])),
            "it is no whole report: results[1].findings is empty",
        ),
        (
            sick_but(lambda it: it["results"][1]["findings"][0].update(status="bad")),
            'it is no whole report: results[1].findings[0].status is "bad", not one of skip, pass, warn, unknown, fail',
        ),
        (
            sick_but(lambda it: it["results"][1]["findings"][0].update(reason="\x1b[2J")),
            'it is no whole report: results[1].findings[0].reason is "\\u001b[2J", not a word like [A-Z][A-Za-z0-9]{0,126}',
        ),
        (
            sick_but(lambda it: it["metadata"].update(node=None)),
            "it is no whole report: metadata.node is null, not a string",
        ),
        (
            sick_but(lambda it: it["metadata"].update(euid=True)),
            "it is no whole report: metadata.euid is true, not an integer",
        ),
        (
            sick_but(lambda it: it["metadata"].update(durationSeconds=float("nan"))),
            "it is no whole report: metadata.durationSeconds is NaN, not a number of seconds",
        ),
        (
            sick_but(lambda it: it["metadata"].update(startedAt="yesterday")),
            'it is no whole report: metadata.startedAt is "yesterday", not a time such as 2026-11-20T10:00:00Z',
        ),
        (sick_but(lambda it: it.update(metadata=[])), "it is no whole report: metadata is a list, not an object"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_report_is_refused_by_the_name_of_the_place(text: str, told: str) -> None:
    with pytest.raises(StoredReportError) as refused:
        read_report(text)

    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


def test_a_report_cut_anywhere_is_refused() -> None:
    whole = render.report(HEALTHY, "json").rstrip()

    for end in range(len(whole)):
        with pytest.raises(StoredReportError):
            read_report(whole[:end])
