"""How a chain of registry hosts is asked, against registries made of answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import Credentials, RegistryHost, Stopper
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost
from k8sdoctor.host.recording import Recorder, Recording
from tests.certificates import DAY, NOW, Issued, issue

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.facts.registry_visit import Attempt
    from k8sdoctor.host import Json

NAME = "registry.k8s.io/pause:3.6"
IMAGE = SandboxImage(
    image=NAME,
    reference=ImageReference.parse(NAME),
    source="built-in default of containerd 1.6.20",
    runtime="containerd",
    runtime_version="1.6.20",
    config_path=None,
)
CRIO = replace(IMAGE, runtime="cri-o")
DOCKER = replace(IMAGE, runtime="cri-dockerd")
RUNTIME = Runtime(kind="containerd", endpoint="unix:///run/containerd/containerd.sock", reachable=True)
INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST = json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:c0"}})
CONFIG = json.dumps({"os": "linux", "architecture": "amd64"})
JSON = "application/json"


def index(*platforms: str) -> str:
    entries = []
    for number, platform in enumerate(platforms):
        os, architecture, variant = (*platform.split("/"), "")[:3]
        described = {"os": os, "architecture": architecture, "variant": variant}
        entries.append({"digest": f"sha256:m{number}", "platform": described})
    return json.dumps({"schemaVersion": 2, "manifests": entries})


def reply(status: int = 200, body: str = "", content_type: str = "", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        named["content-type"] = content_type
    return {"status": status, "headers": named, "body": body, "peer": "192.0.2.1:443", "failure": None}


def failure(kind: str, message: str = "no") -> dict[str, Any]:
    failed = {"kind": kind, "message": message}
    return {"status": 0, "headers": {}, "body": "", "peer": None, "failure": failed}


class Web:
    """Answers by URL, without its query; keeps what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers.get(request["url"].partition("?")[0], failure("refused", f"{request['url']} refused"))
        return answer(request) if callable(answer) else answer

    @property
    def lines(self) -> list[str]:
        return [f"{request['method']} {request['url']}" for request in self.asked]


def good(base: str = "https://registry.k8s.io/v2", repository: str = "pause") -> dict[str, Any]:
    """A registry that serves."""
    return {
        f"{base}/": reply(200, "{}", JSON),
        f"{base}/{repository}/manifests/3.6": reply(200, index("linux/arm64", "linux/amd64"), INDEX_TYPE),
        f"{base}/{repository}/manifests/sha256:m1": reply(200, MANIFEST, MANIFEST_TYPE),
        f"{base}/{repository}/blobs/sha256:c0": reply(200, CONFIG, "application/octet-stream"),
    }


UPSTREAM = RegistryHost("https://registry.k8s.io/v2", "pause", "3.6", "default", upstream=True)
MIRROR = RegistryHost(
    "https://mirror:5000/v2",
    "pause",
    "3.6",
    "/etc/containerd/certs.d/_default/hosts.toml:1",
    mirror_ns="registry.k8s.io",
)


def observe(
    answers: dict[str, Any] | Web,
    *hosts: RegistryHost,
    image: SandboxImage = IMAGE,
    runtime: Runtime = RUNTIME,
    machine: str = "x86_64",
    **changes: Any,
) -> PullAttempts:
    assert image.reference
    chain = RegistryHosts(image.reference, hosts or (UPSTREAM,), **changes)
    identity: dict[str, Any] = {"hostname": "n", "kernel": "6.1", "machine": machine, "euid": 0}
    web = answers if isinstance(answers, Web) else Web(answers)
    return PullAttempts.observe(FakeHost(http=web, cri={"image": None}, identity=identity), image, chain, runtime)


def only(answers: dict[str, Any] | Web, *hosts: RegistryHost, **changes: Any) -> Attempt:
    [attempt] = observe(answers, *hosts, **changes).attempts
    return attempt


# -- whether it is here ----------------------------------------------------------------------------------------------


def test_nobody_is_asked_when_the_image_is_here() -> None:
    host = FakeHost(cri={"image": {"id": "sha256:1"}})  # http would raise

    pull = PullAttempts.observe(host, IMAGE, RegistryHosts(ImageReference.parse(NAME), (UPSTREAM,)), RUNTIME)

    assert (pull.present, pull.attempts) == ("sha256:1", ())


def test_a_runtime_that_does_not_answer_is_a_problem_and_registries_are_asked() -> None:
    silent = replace(RUNTIME, reachable=False, problem=Unobserved("RuntimeUnreachable", "nobody listens"))

    pull = observe(good(), runtime=silent)

    assert pull.presence_problem == silent.problem
    assert pull.serving


def test_a_runtime_that_fails_the_question_is_a_problem() -> None:
    host = FakeHost(http=Web(good()), cri=HostError("RuntimeUnreachable", "no image service"))

    pull = PullAttempts.observe(host, IMAGE, RegistryHosts(ImageReference.parse(NAME), (UPSTREAM,)), RUNTIME)

    assert pull.presence_problem == Unobserved("RuntimeUnreachable", "no image service")


def test_a_configuration_that_ends_each_pull_keeps_everybody_from_being_asked() -> None:
    stopper = Stopper("ca-unreadable", "/etc/ca.crt", "/etc/containerd/certs.d/x/hosts.toml:3", "no such file")

    assert observe(Web({}), stoppers=(stopper,)).stopped


# -- one host ----------------------------------------------------------------------------------------------------------


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


def guarded(challenge: str, accepted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A registry that wants to know who asks."""

    def guard(answer: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        return lambda request: answer if accepted(request) else reply(401, www_authenticate=challenge)

    return {url: guard(answer) for url, answer in good().items()}


def bearer(request: dict[str, Any]) -> bool:
    return bool(request["headers"].get("Authorization") == "Bearer REDACTED-1")


BEARER = 'Bearer realm="https://auth.example/token",service="registry"'


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


# -- the chain ---------------------------------------------------------------------------------------------------------


def test_an_error_leads_to_the_next_host() -> None:
    pull = observe(good() | {"https://mirror:5000/v2/pause/manifests/3.6": reply(403)}, MIRROR, UPSTREAM)

    assert pull.serving
    assert pull.serving.host == UPSTREAM


def test_a_page_ends_the_chain_for_containerd_and_not_for_docker() -> None:
    page = reply(200, "<html>", "text/html")
    answers = good() | {"https://mirror:5000/v2/": page, "https://mirror:5000/v2/pause/manifests/3.6": page}

    assert observe(answers, MIRROR, UPSTREAM).serving is None
    assert len(observe(answers, MIRROR, UPSTREAM).reached) == 1
    assert observe(answers, MIRROR, UPSTREAM, image=CRIO).serving is None
    assert observe(answers, MIRROR, UPSTREAM, image=DOCKER).serving


def test_an_image_for_other_machines_ends_the_chain_for_containerd() -> None:
    mirror = "https://mirror:5000/v2/pause/manifests/3.6"
    answers = good() | {mirror: reply(200, index("linux/s390x"), INDEX_TYPE)}

    assert observe(answers, MIRROR, UPSTREAM).serving is None


@pytest.mark.parametrize(("runtime", "saved"), [("containerd", True), ("cri-o", False)])
def test_content_that_one_host_lacks_is_looked_for_at_the_next_by_containerd_alone(
    runtime: Any, *, saved: bool
) -> None:
    answers = good() | good("https://mirror:5000/v2")
    del answers["https://mirror:5000/v2/pause/blobs/sha256:c0"]

    pull = observe(answers, MIRROR, UPSTREAM, image=replace(IMAGE, runtime=runtime))

    assert (pull.serving is not None) == saved


def test_where_the_first_error_ends_the_pull_nobody_else_is_reached() -> None:
    pull = observe(good(), MIRROR, UPSTREAM, first_error_ends=True)

    assert pull.serving is None
    assert len(pull.reached) == 1


# -- content -----------------------------------------------------------------------------------------------------------

PAGE = reply(200, "<html><title>Guest login</title></html>", "text/html")
FIRST = "https://mirror:5000/v2/pause/manifests/"


def index_digest() -> str:
    body = good()["https://registry.k8s.io/v2/pause/manifests/3.6"]["body"]
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"


def for_content(answers: dict[str, Any] | Web, *, asked: tuple[RegistryHost, ...] = (UPSTREAM,)) -> PullAttempts:
    """A mirror that the file names first, and that may be asked for no tag unless it is among `asked`."""
    return observe(answers, *asked, content_hosts=(MIRROR, UPSTREAM))


def test_a_page_in_the_place_of_content_ends_the_pull_though_nobody_asked_that_host_for_the_tag() -> None:
    pull = for_content(good() | {f"{FIRST}{index_digest()}": PAGE})

    assert pull.serving is None
    assert pull.spoiler
    assert (pull.spoiler.outcome, pull.spoiler.netloc, pull.spoiler.asked_by) == (
        "no-registry",
        "mirror:5000",
        "registry.k8s.io",
    )
    assert pull.spoiler.words == "Guest login"


def test_the_digest_that_a_registry_names_is_the_one_that_is_asked_for() -> None:
    answers = good()
    answers["https://registry.k8s.io/v2/pause/manifests/3.6"]["headers"]["docker-content-digest"] = "sha256:named"

    assert for_content(answers | {f"{FIRST}sha256:named": PAGE}).spoiler
    assert not for_content(answers | {f"{FIRST}{index_digest()}": PAGE}).spoiler


@pytest.mark.parametrize("path", ["manifests/sha256:m1", "blobs/sha256:c0"])
def test_a_page_in_the_place_of_a_later_part_ends_the_pull_as_well(path: str) -> None:
    same = good("https://mirror:5000/v2")
    same[f"{FIRST}{index_digest()}"] = same.pop(f"{FIRST}3.6")

    pull = for_content(good() | same | {f"https://mirror:5000/v2/pause/{path}": PAGE})

    assert pull.spoiler
    assert pull.spoiler.where.startswith(f"https://mirror:5000/v2/pause/{path}")


@pytest.mark.parametrize("answer", [reply(404), reply(403, "no"), reply(503), failure("timeout"), failure("refused")])
def test_a_host_that_has_no_content_or_is_dead_is_passed_over(answer: dict[str, Any]) -> None:
    pull = for_content(good() | {f"{FIRST}{index_digest()}": answer})

    assert pull.spoiler is None
    assert pull.serving


def test_a_host_that_has_the_same_content_does_no_harm() -> None:
    answers = good() | good("https://mirror:5000/v2")
    answers[f"{FIRST}{index_digest()}"] = answers.pop(f"{FIRST}3.6")

    web = Web(answers)

    assert for_content(web).serving
    assert f"GET {FIRST}{index_digest()}?ns=registry.k8s.io" in web.lines, "it was asked"


def test_a_dead_host_is_asked_for_content_once() -> None:
    web = Web(good())

    assert for_content(web).serving
    assert len([line for line in web.lines if "mirror:5000" in line]) == 1


def test_a_host_behind_the_one_that_serves_is_not_asked_for_content() -> None:
    web = Web(good())

    pull = observe(web, UPSTREAM, content_hosts=(UPSTREAM, MIRROR))

    assert pull.serving
    assert not any("mirror:5000" in line for line in web.lines)


@pytest.mark.parametrize(("to_get", "spoils"), [(PAGE, True), (reply(403, "no"), False)])
def test_a_host_that_refuses_head_and_answers_a_get_with_a_page_spoils_the_pull(
    to_get: dict[str, Any], *, spoils: bool
) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return reply(403) if request["method"] == "HEAD" else to_get

    answers = good() | {f"{FIRST}3.6": answer, f"{FIRST}{index_digest()}": answer}

    assert (for_content(answers, asked=(MIRROR, UPSTREAM)).spoiler is not None) == spoils


def test_a_host_that_is_asked_for_content_by_plain_http_in_the_end_spoils_the_pull_there() -> None:
    mirror = replace(MIRROR, http_fallback="http://mirror:5000/v2")
    path = f"pause/manifests/{index_digest()}"
    answers = good() | {f"https://mirror:5000/v2/{path}": failure("tls-plain"), f"http://mirror:5000/v2/{path}": PAGE}

    pull = observe(answers, UPSTREAM, content_hosts=(mirror, UPSTREAM))

    assert pull.spoiler
    assert pull.spoiler.where.startswith("http://")


def test_what_could_not_be_asked_for_content_spoils_nothing() -> None:
    assert for_content(good() | {f"{FIRST}{index_digest()}": _offline}).serving


def test_hosts_after_the_one_that_serves_do_not_matter() -> None:
    pull = observe(good("https://mirror:5000/v2"), MIRROR, UPSTREAM)

    assert [attempt.host for attempt in pull.reached] == [MIRROR]


def test_hosts_that_may_not_be_asked_are_not_tried_and_say_so() -> None:
    assert only(Web({"https://registry.k8s.io/v2/pause/manifests/3.6": _offline})).reason == "Offline"


def _offline(_request: dict[str, Any]) -> Any:
    raise HostError("Offline", "--offline forbids HTTP requests")


def test_a_host_that_stands_in_the_chain_twice_is_asked_once() -> None:
    web = Web({"https://mirror:5000/v2/pause/manifests/3.6": failure("timeout")})

    pull = observe(web, MIRROR, replace(MIRROR, source="/etc/containerd/certs.d/_default/hosts.toml:0"))

    assert len(web.lines) == 1
    assert [attempt.host.source[-1] for attempt in pull.attempts] == ["1", "0"]


def test_what_was_asked_can_be_replayed() -> None:
    answers = guarded(BEARER, bearer) | {"https://auth.example/token": reply(200, '{"token": "REDACTED-1"}', JSON)}
    chain = RegistryHosts(ImageReference.parse(NAME), (MIRROR, UPSTREAM))
    recorder = Recorder(FakeHost(http=Web(answers), cri={"image": None}))

    seen = PullAttempts.observe(recorder, IMAGE, chain, RUNTIME)

    assert PullAttempts.observe(Recording(recorder.dump()), IMAGE, chain, RUNTIME) == seen
