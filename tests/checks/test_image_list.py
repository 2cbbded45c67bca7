"""The judgement about a list of images: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.checks._pull_judgement import same_host
from k8sdoctor.checks.image_list import image_list
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.listed_pulls import ListedPulls
from k8sdoctor.facts.lists import Line, ListedImages
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost, Stopper
from k8sdoctor.facts.registry_exchange import Exchange
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, examine

SOURCE = "images.list"
NAMES = tuple(f"registry.k8s.io/app{number}:1" for number in range(20))
RUNTIME = Runtime(kind="containerd", version=(1, 7, 34), endpoint="/run/containerd/containerd.sock", reachable=True)
UPSTREAM = RegistryHost("https://registry.k8s.io/v2", "app", "1", "default", upstream=True)
MIRROR = RegistryHost("https://mirror.lab:5000/v2", "app", "1", "/etc/containerd/certs.d/registry.k8s.io/hosts.toml:2")
DEBIAN = Distribution("debian", (), "Debian", "debian")
SILENT = Unobserved("RuntimeUnreachable", "nobody listens at /run/containerd/containerd.sock")


def attempt(outcome: Any, host: RegistryHost = UPSTREAM, **changes: Any) -> Attempt:
    where = changes.pop("where", host.url(host.manifest))
    exchange = Exchange("HEAD", where, changes.get("status", 0), failure=changes.get("failure"))
    return Attempt(host, outcome, where, exchanges=(exchange,), **changes)


SERVES = attempt("serves", status=200)
TIMEOUT = attempt("unreachable", failure="timeout", words="registry.k8s.io gave no answer within 5 s (connecting)")


def judge(
    pulls: dict[str, tuple[Attempt, ...]],
    *,
    names: tuple[str, ...] = NAMES,
    strangers: tuple[Line, ...] = (),
    runtime: Runtime = RUNTIME,
    present: RuntimeImages | Unobserved | None = None,
    stage: Any = "prepared",
    stoppers: tuple[Stopper, ...] = (),
) -> list[Finding]:
    """Judge a list of which `pulls` are not here, with what the hosts said of each."""
    listed = ListedImages(SOURCE, tuple(map(ImageReference.parse, names)), strangers)
    hosts = {
        name: RegistryHosts(ImageReference.parse(name), tuple(each.host for each in said), stoppers=stoppers)
        for name, said in pulls.items()
    }
    found = ListedPulls(hosts, {name: PullAttempts(name, attempts=said) for name, said in pulls.items()})
    here = present if present is not None else RuntimeImages(frozenset(names) - pulls.keys())
    return list(image_list(listed, runtime, here, found, Stage(stage, ""), DEBIAN))


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


def test_images_that_are_all_here_pass_in_one_finding() -> None:
    [finding] = judge({})

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "Present", SOURCE)
    assert finding.message == "All 20 images of images.list are on this node."


def test_images_that_would_be_served_pass_in_one_finding_that_lists_them() -> None:
    here, pullable = judge(dict.fromkeys(NAMES[:5], (SERVES,)))

    assert reasons([here, pullable]) == [("pass", "Present"), ("pass", "Pullable")]
    assert here.message.startswith("15 of 20 images")
    assert (
        "5 of 20 images of images.list are not on this node, and registry.k8s.io would serve them" in pullable.message
    )
    assert all(name in pullable.evidence[0].content for name in NAMES[:5])


def test_without_a_list_it_is_skipped_and_the_option_is_named() -> None:
    [finding] = examine(FakeHost(), "image-list")

    assert (finding.status, finding.reason) == (Status.SKIP, "NoListGiven")
    assert "--images FILE" in finding.message


def test_a_machine_without_a_runtime_is_not_judged() -> None:
    assert reasons(judge({}, runtime=Runtime())) == [("skip", "NoRuntime")]


def test_a_list_of_nothing_is_unknown() -> None:
    assert reasons(judge({}, names=())) == [("unknown", "EmptyList")]


def test_a_line_that_is_no_image_warns_with_its_number_and_the_rest_is_judged() -> None:
    first, second = judge({}, strangers=(Line(3, "W1121 10:00:00 version.go"),))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "NotAnImage", "images.list:3")
    assert "W1121 10:00:00 version.go" in first.message
    assert first.fix
    assert second.reason == "Present"


WAYS: list[tuple[str, Attempt]] = [
    ("RegistryUnreachable", TIMEOUT),
    ("NameNotResolved", attempt("unreachable", failure="name-not-resolved")),
    ("RegistryForbidden", attempt("forbidden", status=403)),
    ("AuthRequired", attempt("auth-required", status=401)),
    ("NotARegistry", attempt("no-registry", status=200, resolved=True)),
    ("ImageNotFound", attempt("not-found", status=404)),
    ("CertificateUntrusted", attempt("unreachable", failure="tls-untrusted")),
    ("CertificateNameMismatch", attempt("unreachable", failure="tls-name")),
    ("CertificateExpired", attempt("unreachable", failure="tls-expired")),
    ("CertificateNotYetValid", attempt("unreachable", failure="tls-not-yet-valid")),
    ("CaUnreadable", attempt("unreachable", failure="ca-unreadable")),
    ("ClientCertificateUnreadable", attempt("unreachable", failure="client-certificate-unreadable")),
    ("PlainHttpRegistry", attempt("tls-port", status=400)),
    ("RegistryError", attempt("error", status=503)),
    ("NoMatchingPlatform", attempt("no-platform", status=200, resolved=True, platforms=("linux/arm64",))),
]


@pytest.mark.parametrize(("reason", "way"), WAYS)
def test_one_cause_behind_many_images_is_one_finding_that_lists_them(reason: str, way: Attempt) -> None:
    *_, finding = judge(dict.fromkeys(NAMES[:15], (way,)))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, reason, "registry.k8s.io")
    assert "15 of 20 images of images.list are not on this node" in finding.message
    assert finding.evidence[0].content.splitlines() == list(NAMES[:15])
    assert finding.fix
    assert finding.fix.commands
    assert finding.traits == {"host:registry.k8s.io"}


def test_two_causes_are_two_findings_beside_what_passes() -> None:
    missing = attempt("not-found", status=404)
    pulls: dict[str, tuple[Attempt, ...]] = {NAMES[0]: (TIMEOUT,), NAMES[1]: (missing,), NAMES[2]: (SERVES,)}

    found = judge(pulls)

    assert sorted(reasons(found)) == [
        ("fail", "ImageNotFound"),
        ("fail", "RegistryUnreachable"),
        ("pass", "Present"),
        ("pass", "Pullable"),
    ]
    assert {finding.subject for finding in found if finding.status is Status.FAIL} == {NAMES[0], NAMES[1]}


def test_a_mirror_that_fails_where_upstream_serves_is_one_warning() -> None:
    dead = replace(TIMEOUT, host=MIRROR, where=MIRROR.url(MIRROR.manifest))

    found = judge(dict.fromkeys(NAMES[:15], (dead, SERVES)))

    assert reasons(found) == [("pass", "Present"), ("warn", "MirrorFailing"), ("pass", "Pullable")]
    assert found[1].subject == "mirror.lab:5000"
    assert "11 more images from registry.k8s.io" in found[1].message


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ca-unreadable", "CaUnreadable"),
        ("config-invalid", "RuntimeConfigInvalid"),
        ("blocked", "RegistryBlocked"),
        ("policy", "PolicyRejects"),
        ("no-host", "NoRegistryHost"),
    ],
)
def test_configuration_that_forbids_the_pulls_is_one_finding(kind: Any, reason: str) -> None:
    stopper = Stopper(kind, "/etc/containers/x", "/etc/containers/registries.conf:3", "it is blocked")

    *_, finding = judge(dict.fromkeys(NAMES[:3], ()), stoppers=(stopper,))

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert finding.fix


def test_offline_what_is_not_here_is_skipped() -> None:
    offline = attempt("untried", reason="Offline", words="--offline forbids HTTP requests")

    assert reasons(judge(dict.fromkeys(NAMES, (offline,)))) == [("skip", "Offline")]


def test_what_was_not_recorded_is_unknown() -> None:
    untold = attempt("untried", reason="NotRecorded", words="the recording does not hold it")

    assert reasons(judge(dict.fromkeys(NAMES, (untold,)))) == [("unknown", "NotRecorded")]


@pytest.mark.parametrize(("stage", "status"), [("prepared", "fail"), ("worker", "warn")])
def test_when_the_runtime_is_silent_the_images_may_be_here(stage: str, status: str) -> None:
    found = judge(dict.fromkeys(NAMES, (TIMEOUT,)), present=SILENT, stage=stage)

    assert reasons(found) == [("unknown", "RuntimeUnreachable"), (status, "RegistryUnreachable")]
    assert "not known to be on this node" in found[1].message


def test_when_the_run_ends_before_the_answers_it_is_unknown() -> None:
    listed = ListedImages(SOURCE, (ImageReference.parse(NAMES[0]),))
    late = Unobserved("DeadlineExceeded", "listed pulls not seen in time")

    found = list(image_list(listed, RUNTIME, RuntimeImages(frozenset()), late, Stage("worker", ""), DEBIAN))

    assert reasons(found) == [("unknown", "DeadlineExceeded")]


def test_many_images_are_brought_by_a_loop_over_the_list_and_few_by_a_command_each() -> None:
    *_, many = judge(dict.fromkeys(NAMES[:15], (TIMEOUT,)))
    *_, few = judge(dict.fromkeys(NAMES[:2], (TIMEOUT,)))

    assert many.fix
    assert few.fix
    assert len(many.fix.commands) == 2
    assert NAMES[1] in "".join(few.fix.commands)
    assert many.fix.verify == few.fix.verify == "k8sdoctor check image-list --images images.list"


def test_one_host_that_fails_the_sandbox_image_and_the_list_is_one_trouble() -> None:
    *_, finding = judge(dict.fromkeys(NAMES[:15], (TIMEOUT,)))

    [link] = same_host("RegistryUnreachable", "registry.k8s.io", "image-list")
    assert link.when <= finding.traits
    [other] = same_host("RegistryUnreachable", "mirror.lab:5000", "image-list")
    assert not other.when <= finding.traits


def test_many_lines_that_are_no_image_are_one_warning() -> None:
    first, second = judge({}, strangers=tuple(Line(number, "\x7fELF" * 40) for number in range(2, 40)))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "NotAnImage", SOURCE)
    assert first.message.startswith("38 lines of images.list are no name of an image, from line 2 on: ")
    assert len(first.message) < 200
    assert len(first.evidence[0].content.splitlines()) == 38
    assert second.reason == "Present"
