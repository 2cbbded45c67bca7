"""What one host of a registry is asked, and what its answers come to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import Credentials
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.host.fake import FakeHost
from tests.certificates import DAY, NOW, Issued, issue
from tests.facts.registry_web import (
    BEARER,
    CRIO,
    DOCKER,
    IMAGE,
    INDEX_TYPE,
    JSON,
    MANIFEST,
    MANIFEST_TYPE,
    MIRROR,
    NAME,
    RUNTIME,
    UPSTREAM,
    Web,
    bearer,
    failure,
    good,
    guarded,
    index,
    only,
    reply,
)

if TYPE_CHECKING:
    from k8sdoctor.host import Json


def test_a_good_registry_is_asked_for_head_index_manifest_and_configuration() -> None:
    web = Web(good())

    attempt = only(web)

    assert attempt.outcome == "serves"
    assert web.lines == [
        "HEAD https://registry.k8s.io/v2/pause/manifests/3.6",
        "GET https://registry.k8s.io/v2/pause/manifests/3.6",
        "GET https://registry.k8s.io/v2/pause/manifests/sha256:m1",
        "GET https://registry.k8s.io/v2/pause/blobs/sha256:c0",
    ]
    assert "application/vnd.oci.image.index.v1+json" in web.asked[0]["headers"]["Accept"]


def test_crio_and_docker_get_the_manifest_at_once() -> None:
    web = Web(good())

    assert only(web, image=CRIO).outcome == "serves"
    assert web.lines[:2] == [
        "GET https://registry.k8s.io/v2/",
        "GET https://registry.k8s.io/v2/pause/manifests/3.6",
    ]


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "serves"), (403, "forbidden"), (404, "no-registry"), (500, "error")]
)
def test_crio_wants_a_registrys_answer_at_the_version_check(status: int, outcome: str) -> None:
    answers = good() | {"https://registry.k8s.io/v2/": reply(status, "no")}

    attempt = only(answers, image=CRIO)

    assert (attempt.outcome, attempt.status) == (outcome, status)
    assert only(answers, image=DOCKER).outcome == "serves"
    assert only(answers).outcome == "serves"


def test_crio_and_docker_log_in_by_the_challenge_of_the_version_check_alone() -> None:
    """gcr.io names no challenge beside a manifest's 401."""
    wanting = {"www-authenticate": 'Bearer realm="https://auth.example/token"'}

    def manifests(request: dict[str, Any]) -> dict[str, Any]:
        known = request["headers"].get("Authorization") == "Bearer t"
        return good()["https://registry.k8s.io/v2/pause/manifests/3.6"] if known else reply(401)

    answers = good() | {
        "https://auth.example/token": reply(200, json.dumps({"token": "t"}), JSON),
        "https://registry.k8s.io/v2/pause/manifests/3.6": manifests,
    }
    told = answers | {"https://registry.k8s.io/v2/": reply(401) | {"headers": wanting}}

    assert only(told, image=CRIO).outcome == "serves"
    assert only(told, image=DOCKER).outcome == "serves"
    assert only(told).outcome == "auth-required"  # containerd asks no /v2/
    late = answers | {"https://registry.k8s.io/v2/pause/manifests/3.6": reply(401) | {"headers": wanting}}
    assert only(late, image=CRIO).outcome == "auth-required"
    assert only(late, image=DOCKER).outcome == "auth-required"


def test_crios_token_is_for_the_registry_and_not_for_where_that_redirects_to() -> None:
    """registry.k8s.io redirects its version check and its manifests to another host; Go drops the token on the way there."""
    far = "https://far.example/v2"
    wanting = {"www-authenticate": 'Bearer realm="https://auth.example/token"'}
    web = Web(
        good()
        | {
            "https://registry.k8s.io/v2/": reply(307, location=f"{far}/"),
            f"{far}/": reply(401) | {"headers": wanting},
            "https://auth.example/token": reply(200, json.dumps({"token": "t"}), JSON),
            "https://registry.k8s.io/v2/pause/manifests/3.6": reply(307, location=f"{far}/m"),
            f"{far}/m": good()["https://registry.k8s.io/v2/pause/manifests/3.6"],
        }
    )

    assert only(web, image=CRIO).outcome == "serves"
    with_token = [one["url"] for one in web.asked if "Authorization" in one["headers"]]
    assert with_token[0] == "https://registry.k8s.io/v2/pause/manifests/3.6"
    assert not [url for url in with_token if url.startswith(far)]


def test_a_mirror_is_asked_with_all_that_is_configured_for_it() -> None:
    web = Web(good("https://mirror:5000/v2", "proxy/pause"))
    mirror = replace(
        MIRROR,
        repository="proxy/pause",
        ca_files=("/etc/ca.crt",),
        client_certificate=("/c", "/k"),
        verify=False,
        headers={"X-Team": "a"},
    )

    assert only(web, mirror, proxy=ProxyEnvironment(https="proxy:3128")).outcome == "serves"
    for request in web.asked:
        assert request["url"].endswith("?ns=registry.k8s.io")
        assert request["headers"]["X-Team"] == "a"
        assert request["ca_files"] == ["/etc/ca.crt"]
        assert (request["client_certificate"], request["verify"]) == (("/c", "/k"), False)
        assert request["proxy"] == "http://proxy:3128"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("timeout", "unreachable"),
        ("tls-untrusted", "unreachable"),
        ("proxy", "unreachable"),
        ("proxy-refused", "forbidden"),
    ],
)
def test_a_failure_keeps_its_kind(kind: str, outcome: str) -> None:
    attempt = only({"https://registry.k8s.io/v2/pause/manifests/3.6": failure(kind, "why")})

    assert (attempt.outcome, attempt.failure, attempt.words) == (outcome, kind, "why")


def test_a_refused_certificate_says_for_whom_by_whom_and_until_when_it_is() -> None:
    leaf = issue("mirror", dns=["other.lab"], ips=["192.0.2.7"], days=10)
    tls: Json = {"peer": "192.0.2.1:443", "chain": [leaf.pem], "client_cas": [], "failure": None}
    web = Web({"https://registry.k8s.io/v2/pause/manifests/3.6": failure("tls-name", "refused")})
    host = FakeHost(http=web, cri={"image": None}, tls=tls)

    pull = PullAttempts.observe(host, IMAGE, RegistryHosts(ImageReference.parse(NAME), (UPSTREAM,)), RUNTIME)

    expected = "refused; it is for other.lab, 192.0.2.7, by CN=mirror, valid from 2026-05-27 to 2026-06-06"
    assert pull.attempts[0].words == expected


@pytest.mark.parametrize(
    ("leaf", "kind", "words"),
    [
        (issue("m", dns=["registry.k8s.io"], start=NOW - 9 * DAY, days=8), "tls-expired", "refused; it is for"),
        (issue("m", dns=["other.lab"], start=NOW - 9 * DAY, days=8), "tls-expired", "refused; it is for"),
        (issue("m", dns=["registry.k8s.io"], start=NOW + DAY, days=8), "tls-not-yet-valid", "refused; it is for"),
        (issue("m", dns=["other.lab"]), "tls-name", "refused; it is for"),
        (issue("registry.k8s.io"), "tls-name", "refused; it is for"),
        (issue("m", dns=["*.k8s.io"]), "tls-untrusted", "refused: self-signed certificate; it is for"),
    ],
)
def test_a_refused_certificate_is_refused_for_what_go_names_first(leaf: Issued, kind: str, words: str) -> None:
    tls: Json = {"peer": "192.0.2.1:443", "chain": [leaf.pem], "client_cas": [], "failure": None}
    said = failure("tls-untrusted", "the certificate was refused: self-signed certificate")
    host = FakeHost(http=Web({"https://registry.k8s.io/v2/pause/manifests/3.6": said}), cri={"image": None}, tls=tls)

    pull = PullAttempts.observe(host, IMAGE, RegistryHosts(ImageReference.parse(NAME), (UPSTREAM,)), RUNTIME)

    assert (pull.attempts[0].outcome, pull.attempts[0].failure) == ("unreachable", kind)
    assert words in pull.attempts[0].words
    assert pull.attempts[0].exchanges[-1].failure == kind


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (403, "forbidden"),
        (404, "not-found"),
        (429, "error"),
        (500, "error"),
        (503, "error"),
        (400, "error"),
        (418, "error"),
    ],
)
def test_an_error_is_asked_again_for_what_it_says(status: int, outcome: str) -> None:
    body = '{"errors": [{"code": "DENIED", "message": "not from here"}]}'

    def answer(request: dict[str, Any]) -> Any:
        return reply(status, body if request["method"] == "GET" else "", JSON)

    attempt = only({"https://registry.k8s.io/v2/pause/manifests/3.6": answer})

    assert (attempt.outcome, attempt.status, attempt.words) == (outcome, status, "DENIED: not from here")


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "<html><title>Log in</title></html>", "text/html; charset=utf-8"),
        reply(200, "<html><title>Log in</title></html>", "application/octet-stream"),
        reply(200, "<html><title>Log in</title></html>"),
        reply(200, "<html><title>Log in</title></html>", MANIFEST_TYPE),
        reply(200, '{"schemaVersion": 1}', MANIFEST_TYPE),
    ],
)
def test_a_page_is_no_registry(answer: dict[str, Any]) -> None:
    attempt = only({"https://registry.k8s.io/v2/pause/manifests/3.6": answer})

    assert (attempt.outcome, attempt.resolved) == ("no-registry", True)


def test_plain_http_on_a_tls_port_is_told_from_another_bad_request() -> None:
    host = replace(MIRROR, base_url="http://mirror:5000/v2")
    bad = {"http://mirror:5000/v2/pause/manifests/3.6": reply(400, "no")}

    assert only(bad, host).outcome == "error"
    assert only(bad | {"https://mirror:5000/v2/pause/manifests/3.6": reply(200)}, host).outcome == "tls-port"
    garbled = {"http://mirror:5000/v2/pause/manifests/3.6": failure("protocol")}
    assert only(garbled, host).outcome == "unreachable"
    assert only(garbled | {"https://mirror:5000/v2/pause/manifests/3.6": reply(404)}, host).outcome == "tls-port"


def test_a_host_that_speaks_plain_http_is_asked_again_where_the_runtime_does_so() -> None:
    host = replace(MIRROR, http_fallback="http://mirror:5000/v2")
    answers = good("http://mirror:5000/v2") | {"https://mirror:5000/v2/pause/manifests/3.6": failure("tls-plain")}

    attempt = only(answers, host)

    assert attempt.outcome == "serves"
    assert [exchange.failure for exchange in attempt.exchanges][:2] == ["tls-plain", None]
    assert only(answers, MIRROR).failure == "tls-plain"


HTTPS = "https://mirror/v2"
PLAIN = replace(MIRROR, base_url=HTTPS, http_fallback="http://mirror/v2", mirror_ns=None)


@pytest.mark.parametrize(
    ("answer", "containerd", "crio", "docker"),
    [
        (failure("tls-plain"), True, True, True),
        (failure("timeout"), True, True, True),
        (failure("tls"), False, True, True),
        (reply(404, "no"), False, True, False),
        (reply(401), False, False, False),
    ],
)
def test_which_failure_leads_to_plain_http_differs_by_runtime(
    answer: dict[str, Any], *, containerd: bool, crio: bool, docker: bool
) -> None:
    answers = good("http://mirror/v2") | {f"{HTTPS}/": answer, f"{HTTPS}/pause/manifests/3.6": answer}

    assert (only(answers, PLAIN).outcome == "serves") is containerd
    assert (only(answers, PLAIN, image=CRIO).outcome == "serves") is crio
    assert (only(answers, PLAIN, image=DOCKER).outcome == "serves") is docker


def test_with_a_port_containerd_does_not_ask_a_silent_host_again_in_plain_http() -> None:
    host = replace(PLAIN, base_url="https://mirror:5000/v2", http_fallback="http://mirror:5000/v2")
    answers = good("http://mirror:5000/v2") | {"https://mirror:5000/v2/pause/manifests/3.6": failure("timeout")}

    assert only(answers, host).failure == "timeout"


# -- platforms ---------------------------------------------------------------------------------------------------------


def test_an_index_without_this_machine_names_those_that_it_has() -> None:
    attempt = only(good(), machine="s390x")

    assert (attempt.outcome, attempt.platforms) == ("no-platform", ("linux/arm64", "linux/amd64"))
    assert attempt.resolved


def test_an_attestation_is_no_platform() -> None:
    answers = good() | {
        "https://registry.k8s.io/v2/pause/manifests/3.6": reply(
            200, index("unknown/unknown", "linux/amd64"), INDEX_TYPE
        )
    }

    assert only(answers).outcome == "serves"
    assert only(answers, machine="aarch64").platforms == ("linux/amd64",)


@pytest.mark.parametrize(("machine", "outcome"), [("x86_64", "serves"), ("aarch64", "no-platform")])
def test_an_image_without_an_index_tells_its_machine_in_its_configuration(machine: str, outcome: str) -> None:
    answers = good() | {"https://registry.k8s.io/v2/pause/manifests/3.6": reply(200, MANIFEST, MANIFEST_TYPE)}

    assert only(answers, machine=machine).outcome == outcome


# -- redirects, blobs --------------------------------------------------------------------------------------------------


def test_redirects_are_followed_and_each_hop_is_kept() -> None:
    elsewhere = good("https://us.pkg.dev/v2/k8s")
    answers = elsewhere | {
        url.replace("us.pkg.dev/v2/k8s", "registry.k8s.io/v2"): reply(307, location=url) for url in elsewhere
    }

    attempt = only(answers)

    assert attempt.outcome == "serves"
    assert str(attempt.exchanges[0]) == (
        "HEAD https://registry.k8s.io/v2/pause/manifests/3.6 → 307 to https://us.pkg.dev/v2/k8s/pause/manifests/3.6"
    )


def test_a_redirects_target_that_is_walled_off_is_named() -> None:
    blob = "https://registry.k8s.io/v2/pause/blobs/sha256:c0"
    answers = good() | {blob: reply(307, location="https://s3.example/x"), "https://s3.example/x": failure("timeout")}

    attempt = only(answers)

    assert (attempt.outcome, attempt.netloc, attempt.elsewhere) == ("unreachable", "s3.example", True)
    assert attempt.resolved


def test_redirects_without_end_are_an_error() -> None:
    url = "https://registry.k8s.io/v2/pause/manifests/3.6"

    attempt = only({url: reply(302, location=url)})

    assert (attempt.outcome, len(attempt.exchanges)) == ("error", 11)


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_an_anonymous_token_is_fetched_and_shown() -> None:
    web = Web(guarded(BEARER, bearer) | {"https://auth.example/token": reply(200, '{"token": "REDACTED-1"}', JSON)})

    assert only(web).outcome == "serves"
    asked = [line for line in web.lines if "auth.example" in line]
    assert asked == ["GET https://auth.example/token?service=registry&scope=repository%3Apause%3Apull"]


def test_the_name_of_a_token_may_be_the_other_one() -> None:
    token = reply(200, '{"access_token": "REDACTED-1"}', JSON)

    assert only(guarded(BEARER, bearer) | {"https://auth.example/token": token}).outcome == "serves"


def test_a_token_server_that_refuses_wants_a_login() -> None:
    refused = reply(401, '{"details": "incorrect username or password"}', JSON)

    attempt = only(guarded(BEARER, bearer) | {"https://auth.example/token": refused})

    assert (attempt.outcome, attempt.netloc) == ("auth-required", "auth.example")
    assert attempt.words == "incorrect username or password"


def test_a_token_server_that_cannot_be_reached_is_named() -> None:
    attempt = only(guarded(BEARER, bearer) | {"https://auth.example/token": failure("timeout")})

    assert (attempt.outcome, attempt.netloc) == ("unreachable", "auth.example")


def test_a_page_for_a_token_is_no_registry_and_is_not_taken_for_the_image() -> None:
    portal = reply(200, "<title>Hotel</title>", "text/html")

    attempt = only(guarded(BEARER, bearer) | {"https://auth.example/token": portal})

    assert (attempt.outcome, attempt.words, attempt.resolved) == ("no-registry", "Hotel", False)


def test_a_login_is_shown_to_the_token_server_alone() -> None:
    web = Web(
        guarded(BEARER, bearer) | {"https://user:REDACTED-7@auth.example/token": reply(200, '{"token": "REDACTED-1"}')}
    )
    host = replace(UPSTREAM, credentials=Credentials("/etc/x:1", "user", "REDACTED-7"))

    attempt = only(web, host)

    assert (attempt.outcome, attempt.login) == ("serves", True)
    assert not any("REDACTED-7" in line for line in web.lines if "registry.k8s.io" in line)
    assert "REDACTED-7" not in str([str(exchange) for exchange in attempt.exchanges])


@pytest.mark.parametrize(
    "credentials", [Credentials("/etc/x:1", auth="REDACTED-9"), Credentials("/etc/x:1", "user", "REDACTED-7"), None]
)
def test_a_basic_challenge_is_met_with_a_login_or_not_at_all(credentials: Credentials | None) -> None:
    def accepted(request: dict[str, Any]) -> bool:
        return request["headers"].get("Authorization") == "Basic REDACTED-9" or "user:REDACTED-7@" in request["url"]

    answers = guarded('Basic realm="r"', accepted)
    answers |= {url.replace("https://", "https://user:REDACTED-7@"): answer for url, answer in answers.items()}

    attempt = only(answers, replace(UPSTREAM, credentials=credentials))

    assert attempt.outcome == ("serves" if credentials else "auth-required")


def test_a_token_that_does_not_help_is_a_refusal() -> None:
    answers = guarded(BEARER, lambda _: False) | {"https://auth.example/token": reply(200, '{"token": "REDACTED-1"}')}

    assert (only(answers).outcome, only(answers).status) == ("auth-required", 401)


def test_an_identity_token_cannot_be_tried_without_a_post() -> None:
    host = replace(UPSTREAM, credentials=Credentials("/etc/x:1", identity_token="REDACTED-1"))

    assert only(guarded(BEARER, bearer), host).outcome == "untried"
