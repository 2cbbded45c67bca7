"""The judgement about registries that anyone may push to: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.checks.registry_push import registry_push
from k8sdoctor.facts.registry_chain import RegistryHost
from k8sdoctor.facts.upload_tries import UploadTries, UploadTry
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, examine

PLACE = RegistryHost("http://registry.lab:5000/v2", "pause", "3.6", "/etc/containerd/certs.d/_default/hosts.toml:2")
BEGUN = UploadTry(PLACE, 202, location="http://registry.lab:5000/v2/pause/blobs/uploads/1", cancelling="204")


def judge(*tries: UploadTry, public: tuple[str, ...] = ()) -> list[Finding]:
    return list(registry_push(UploadTries(allowed=True, tries=tries, public=public)))


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


def test_it_is_skipped_and_says_how_to_ask_for_it() -> None:
    [finding] = examine(FakeHost(), "registry-push")

    assert (finding.status, finding.reason) == (Status.SKIP, "NotAskedFor")
    assert "--intrusive" in finding.message


def test_an_upload_that_is_begun_without_a_login_fails() -> None:
    [finding] = judge(BEGUN)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "AnyoneMayPush", "registry.lab:5000")
    assert "POST http://registry.lab:5000/v2/pause/blobs/uploads/ → 202" in finding.evidence[0].content
    assert finding.fix
    assert any("auth:" in command for command in finding.fix.commands)


def test_behind_nginx_the_fix_is_in_nginx_and_leaves_pulls_without_a_login() -> None:
    [finding] = judge(replace(BEGUN, server="nginx/1.22.1"))

    assert finding.fix
    assert any("limit_except GET HEAD" in command for command in finding.fix.commands)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_refusal_passes_with_what_was_said(status: int) -> None:
    [finding] = judge(UploadTry(PLACE, status, said="UNSUPPORTED"))

    assert (finding.status, finding.reason) == (Status.PASS, "PushRefused")
    assert f"{status} (“UNSUPPORTED”)" in finding.message


@pytest.mark.parametrize("location", ["http://registry.lab:5000/v2/pause/blobs/uploads/1", ""])
def test_an_upload_that_could_not_be_cancelled_is_named(location: str) -> None:
    first, second = judge(replace(BEGUN, cancelled=False, cancelling="503", location=location))

    assert reasons([first, second]) == [("fail", "AnyoneMayPush"), ("warn", "UploadLeftBehind")]
    assert "503" in second.message
    assert second.fix
    assert ("curl -sS -X DELETE" in second.fix.commands[0]) == bool(location)


@pytest.mark.parametrize("answer", [{"status": 502}, {"status": 200}, {"failure": "timeout", "said": "no answer"}])
def test_silence_and_odd_answers_are_neither_yes_nor_no(answer: dict[str, Any]) -> None:
    assert reasons(judge(UploadTry(PLACE, **answer))) == [("unknown", "NoAnswer")]


def test_a_registry_that_may_not_be_asked_or_found_is_told() -> None:
    offline = UploadTry(PLACE, untried=Unobserved("Offline", "--offline forbids HTTP requests"))
    nameless = UploadTry(PLACE, untried=Unobserved("NameNotResolved", "the node's resolver has no address"))

    assert reasons(judge(offline, nameless)) == [("skip", "Offline"), ("unknown", "NameNotResolved")]


def test_without_a_private_registry_it_is_skipped_and_the_others_are_named() -> None:
    [finding] = judge(public=("registry.k8s.io", "registry-1.docker.io"))

    assert (finding.status, finding.reason) == (Status.SKIP, "NoPrivateRegistry")
    assert "registry.k8s.io, registry-1.docker.io are not asked" in finding.message


def test_each_registry_is_judged_by_itself() -> None:
    other = replace(PLACE, base_url="http://other.lab/v2")

    assert reasons(judge(BEGUN, UploadTry(other, 401))) == [("fail", "AnyoneMayPush"), ("pass", "PushRefused")]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (Unobserved("NotFound", "the runtime's configuration is not known"), ("skip", "NoPrivateRegistry")),
        (Unobserved("NotPermitted", "run as root"), ("unknown", "NotPermitted")),
    ],
)
def test_where_registries_are_not_known_it_says_why(problem: Unobserved, told: tuple[str, str]) -> None:
    assert reasons(list(registry_push(problem))) == [told]
