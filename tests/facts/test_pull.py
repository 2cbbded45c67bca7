"""Whether an image is here, and how a chain of registry hosts is asked for it, against registries made of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost, Stopper
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost
from k8sdoctor.host.recording import Recorder, Recording
from tests.facts.registry_web import (
    BEARER,
    CRIO,
    DOCKER,
    IMAGE,
    INDEX_TYPE,
    JSON,
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
    index_digest,
    observe,
    only,
    reply,
)

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
