"""The judgement about all images that a node needs: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks._node_ready_links import UNTOLD
from k8sdoctor.checks.images import images
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.needed_images import Need, NeededImages
from k8sdoctor.facts.needed_pulls import NeededPulls
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost, Stopper
from k8sdoctor.facts.registry_exchange import Exchange
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Safety, Status, Unobserved, fail
from tests.checks.test_pause_image import judge as judge_pause
from tests.checks.test_pause_image import pulled as pause_pulled

if TYPE_CHECKING:
    from collections.abc import Callable

R = "registry.k8s.io"
RUNTIME = Runtime(kind="containerd", version=(1, 7, 34), endpoint="/run/containerd/containerd.sock", reachable=True)
DEBIAN = Distribution("debian", (), "Debian", "debian")
PROXY = Need(f"{R}/kube-proxy:1", ("DaemonSet kube-system/kube-proxy",), ("DaemonSet of the API server",))
API = Need(f"{R}/kube-apiserver:1", ("static pod kube-system/kube-apiserver",), ("/m/kube-apiserver.yaml",))
DNS = Need(
    f"{R}/coredns/coredns:2", ("Deployment kube-system/coredns",), ("Deployment of the API server",), vital=False
)
ALL = (PROXY, API, DNS)
HOSTS_TOML = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"
NOTHING = RuntimeImages(frozenset())
SILENT = Unobserved("RuntimeUnreachable", "nobody listens at /run/containerd/containerd.sock")
NO_SANDBOX = Unobserved("NotFound", "not told")


def mirror(image: str) -> RegistryHost:
    reference = ImageReference.parse(image)
    return RegistryHost("https://mirror.lab:5000/v2", reference.repository, reference.object, f"{HOSTS_TOML}:3")


def upstream(image: str) -> RegistryHost:
    reference = ImageReference.parse(image)
    base = f"https://{reference.registry}/v2"
    return RegistryHost(base, reference.repository, reference.object, "default", upstream=True)


def attempt(host: RegistryHost, outcome: Any, **changes: Any) -> Attempt:
    where = host.url(host.manifest)
    exchange = Exchange("HEAD", where, changes.get("status", 0), failure=changes.get("failure"))
    return Attempt(host, outcome, where, exchanges=changes.pop("exchanges", (exchange,)), **changes)


def dead(host: RegistryHost) -> Attempt:
    return attempt(host, "unreachable", failure="timeout", words="192.0.2.9:5000 gave no answer within 5 s")


def serves(host: RegistryHost) -> Attempt:
    return attempt(host, "serves", status=200)


def missing(host: RegistryHost) -> Attempt:
    return attempt(host, "not-found", status=404, words="MANIFEST_UNKNOWN: manifest unknown")


def pulls(make: Callable[[str], list[Attempt]], *needs: Need, **changes: Any) -> NeededPulls:
    """Attempts for each image, and a chain of their hosts."""
    attempts = {need.image: make(need.image) for need in needs or ALL}
    return NeededPulls(
        {
            image: RegistryHosts(ImageReference.parse(image), tuple(each.host for each in made), **changes)
            for image, made in attempts.items()
        },
        {image: PullAttempts(image, attempts=tuple(made)) for image, made in attempts.items()},
    )


MIRROR_DEAD = pulls(lambda image: [dead(mirror(image))])
ALL_SERVED = pulls(lambda image: [serves(upstream(image))])


def judge(
    found: NeededPulls | Unobserved,
    *needs: Need,
    blind: Any = (),
    present: RuntimeImages | Unobserved = NOTHING,
    runtime: Runtime = RUNTIME,
    stage: str = "worker",
    sandbox: SandboxImage | Unobserved = NO_SANDBOX,
) -> list[Finding]:
    named = NeededImages(needs or ALL, tuple(blind))
    return list(images(runtime, named, present, found, sandbox, Stage(stage, ""), DEBIAN))  # type: ignore[arg-type]


def reasons(findings: list[Finding]) -> list[str]:
    return [f"{finding.status} {finding.reason}" for finding in findings]


# -- healthy -----------------------------------------------------------------------------------------------------------


def test_images_that_are_here_pass_whatever_their_registries_do() -> None:
    here = RuntimeImages(frozenset(need.image for need in ALL))

    [finding] = judge(NeededPulls({}, {}), present=here)

    assert (finding.status, finding.reason) == (Status.PASS, "Present")
    assert finding.message == "All 3 images that this node needs are on it."


def test_images_that_a_registry_would_serve_pass_and_those_that_are_here_are_told() -> None:
    found = judge(ALL_SERVED, present=RuntimeImages(frozenset({API.image})))

    assert reasons(found) == ["pass Present", "pass Pullable"]
    assert found[0].message.startswith("1 of the 3 images")
    assert PROXY.image in found[1].message
    assert API.image not in found[1].message


def test_a_machine_without_a_runtime_is_not_judged() -> None:
    assert reasons(judge(NO_SANDBOX, runtime=Runtime())) == ["skip NoRuntime"]


def test_a_machine_where_nobody_names_an_image_is_not_judged() -> None:
    assert reasons(
        list(images(RUNTIME, NeededImages(), NOTHING, NO_SANDBOX, NO_SANDBOX, Stage("prepared", ""), DEBIAN))
    ) == ["skip NothingNamed"]


def test_the_sandbox_image_is_left_to_its_own_check() -> None:
    sandbox = SandboxImage(
        image=PROXY.image,
        reference=ImageReference.parse(PROXY.image),
        source="x",
        runtime="containerd",
        runtime_version="1",
        config_path=None,
    )

    assert reasons(judge(NeededPulls({}, {}), PROXY, sandbox=sandbox)) == ["pass Present"]


# -- one cause, one finding ----------------------------------------------------------------------------------------------


def test_a_dead_mirror_behind_all_is_one_finding_that_names_it_and_them() -> None:
    [finding] = judge(MIRROR_DEAD)

    assert (finding.status, finding.reason) == (Status.FAIL, "RegistryUnreachable")
    assert finding.subject == "mirror.lab:5000"
    assert "mirror.lab:5000 cannot be used" in finding.message
    assert all(need.image in finding.message for need in ALL)
    assert all(any(need.image in each.content for each in finding.evidence) for need in ALL)


def test_the_evidence_is_the_conversation_and_not_that_others_were_spared_it() -> None:
    spared = {
        API.image: PullAttempts(API.image, attempts=(dead(mirror(API.image)),)),
        PROXY.image: PullAttempts(PROXY.image, attempts=(replace(dead(mirror(PROXY.image)), exchanges=()),)),
    }

    [finding] = judge(replace(MIRROR_DEAD, pulls=spared), PROXY, API)

    assert any("timeout" in each.content for each in finding.evidence)
    assert not any("not asked" in each.content for each in finding.evidence)


def test_two_causes_are_two_findings() -> None:
    def made(image: str) -> list[Attempt]:
        return [missing(mirror(image))] if image == API.image else [dead(mirror(image))]

    found = judge(pulls(made))

    assert sorted(reasons(found)) == ["fail ImageNotFound", "fail RegistryUnreachable"]


def test_a_trouble_with_the_sandbox_image_at_the_same_host_is_the_same_trouble() -> None:
    [pause] = judge_pause(pause_pulled(dead(mirror("registry.k8s.io/pause:3.6"))))
    [finding] = judge(MIRROR_DEAD)

    links = Links([("images", finding), ("pause-image", pause)])

    [diagnosis] = links.diagnoses()
    assert diagnosis.cause.check == "pause-image"
    assert [each.check for each in diagnosis.explains] == ["images"]


def test_what_waits_for_an_image_that_nobody_serves_is_explained_and_what_has_its_image_is_not() -> None:
    [finding] = judge(pulls(lambda image: [dead(mirror(image))], API, DNS), API, DNS)
    coredns = fail("ImageNotPulled", "m", traits={f"image:{DNS.image}"})
    server = fail("ComponentDown", "m", traits={"component:kube-apiserver", UNTOLD})
    other = fail("ComponentDown", "m", traits={"component:kube-scheduler", UNTOLD})
    proxy = fail("NotRunning", "m")

    links = Links(
        [
            ("images", finding),
            ("coredns", coredns),
            ("control-plane", server),
            ("control-plane", other),
            ("kube-proxy", proxy),
        ]
    )

    first, *others = links.diagnoses()
    assert [each.reason for each in first.explains] == ["ComponentDown", "ImageNotPulled"]
    assert {each.cause.check for each in others} == {"control-plane", "kube-proxy"}


def test_an_image_that_may_be_here_explains_nothing_that_does_not_run() -> None:
    [_, finding] = judge(MIRROR_DEAD, present=SILENT)

    assert not {"control-plane", "coredns", "kube-proxy"} & {link.check for link in finding.explains}


def test_many_images_are_not_all_in_the_sentence() -> None:
    needs = tuple(replace(PROXY, image=f"{R}/app{number}:1") for number in range(40))

    [finding] = judge(pulls(lambda image: [dead(mirror(image))], *needs), *needs)

    assert "28 more images" in finding.message
    assert sum(any(need.image in each.content for each in finding.evidence) for need in needs) == 40


# -- how bad it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "present", "stage", "expected"),
    [
        (PROXY, NOTHING, "worker", "fail"),
        (PROXY, NOTHING, "prepared", "fail"),
        (DNS, NOTHING, "worker", "warn"),
        (PROXY, SILENT, "worker", "warn"),  # it may be here
        (PROXY, SILENT, "prepared", "fail"),
    ],
)
def test_it_fails_where_something_cannot_start_for_lack_of_it(
    need: Need, present: Any, stage: str, expected: str
) -> None:
    found = judge(MIRROR_DEAD, need, present=present, stage=stage)

    assert reasons(found)[-1] == f"{expected} RegistryUnreachable"


def test_one_vital_image_makes_the_finding_fail() -> None:
    assert reasons(judge(MIRROR_DEAD, DNS, PROXY)) == ["fail RegistryUnreachable"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outcome": "unreachable", "failure": "name-not-resolved"}, "NameNotResolved"),
        ({"outcome": "unreachable", "failure": "tls-untrusted"}, "CertificateUntrusted"),
        ({"outcome": "unreachable", "failure": "tls-name"}, "CertificateNameMismatch"),
        ({"outcome": "unreachable", "failure": "tls-expired"}, "CertificateExpired"),
        ({"outcome": "unreachable", "failure": "tls-not-yet-valid"}, "CertificateNotYetValid"),
        ({"outcome": "unreachable", "failure": "ca-unreadable"}, "CaUnreadable"),
        ({"outcome": "unreachable", "failure": "client-certificate-unreadable"}, "ClientCertificateUnreadable"),
        ({"outcome": "unreachable", "failure": "tls-plain"}, "PlainHttpRegistry"),
        ({"outcome": "forbidden", "status": 403}, "RegistryForbidden"),
        ({"outcome": "auth-required", "status": 401}, "AuthRequired"),
        ({"outcome": "no-registry", "status": 200}, "NotARegistry"),
        ({"outcome": "error", "status": 503}, "RegistryError"),
        ({"outcome": "no-platform", "status": 200}, "NoMatchingPlatform"),
    ],
)
def test_each_cause_has_the_reason_that_the_sandbox_image_has_for_it(changes: dict[str, Any], reason: str) -> None:
    found = judge(pulls(lambda image: [attempt(mirror(image), words="words", **changes)]))

    assert reasons(found) == [f"fail {reason}"]
    assert found[0].fix is not None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("blocked", "RegistryBlocked"),
        ("policy", "PolicyRejects"),
        ("no-host", "NoRegistryHost"),
        ("config-invalid", "RuntimeConfigInvalid"),
    ],
)
def test_configuration_that_ends_each_pull_is_one_finding(kind: Any, reason: str) -> None:
    stopper = Stopper(kind, "/etc/containers/policy.json", "/etc/containers/policy.json:3", "it rejects all")

    [finding] = judge(pulls(lambda image: [dead(mirror(image))], stoppers=(stopper,)))

    assert (finding.reason, finding.subject) == (reason, "/etc/containers/policy.json")


# -- what could not be looked at -----------------------------------------------------------------------------------------


def test_a_runtime_that_does_not_answer_is_unknown_and_the_way_to_the_images_is_judged() -> None:
    assert reasons(judge(ALL_SERVED, present=SILENT)) == ["unknown RuntimeUnreachable", "pass Pullable"]


@pytest.mark.parametrize("reason", ["NotPermitted", "NotRecorded"])
def test_why_we_may_not_look_is_told_by_its_own_name(reason: str) -> None:
    assert reasons(judge(ALL_SERVED, present=Unobserved(reason, "no")))[0] == f"unknown {reason}"


@pytest.mark.parametrize("reason", ["NotPermitted", "NotRecorded", "DeadlineExceeded"])
@pytest.mark.parametrize("stage", ["prepared", "worker"])
def test_who_could_not_look_which_images_are_here_is_told_of_a_blocked_pull_and_given_no_alarm(
    reason: str, stage: str
) -> None:
    cannot_ask, blocked = judge(MIRROR_DEAD, present=Unobserved(reason, "run as root"), stage=stage)

    assert reasons([cannot_ask, blocked]) == [f"unknown {reason}"] * 2
    assert blocked.message.startswith(f"If {PROXY.image}, {API.image} and {DNS.image} are not on this node already,")
    assert "cannot pull them: mirror.lab:5000" in blocked.message
    assert (blocked.fix, blocked.explains) == (None, ())


def test_what_names_several_images_is_quoted_once() -> None:
    both = [replace(need, sources=("kubeadm config images list",)) for need in (PROXY, API)]

    [finding] = judge(pulls(lambda image: [dead(mirror(image))], *both), *both)

    [named] = [each for each in finding.evidence if each.source == "kubeadm config images list"]
    assert named.content.splitlines() == [f"{need.users[0]}: {need.image}" for need in both]


def test_what_names_images_and_could_not_be_read_is_told_beside_the_rest() -> None:
    blind = [("what names the image of kube-proxy", Unobserved("NotPermitted", "forbidden"))]
    here = RuntimeImages(frozenset({API.image}))

    found = judge(NeededPulls({}, {}), API, blind=blind, present=here)

    assert reasons(found) == ["unknown NotPermitted", "pass Present"]
    assert found[0].message == "What names the image of kube-proxy could not be read: forbidden."


def test_offline_nobody_is_asked_and_it_is_no_failure() -> None:
    offline = pulls(lambda image: [attempt(mirror(image), "untried", reason="Offline", words="--offline")])

    assert reasons(judge(offline, blind=[("it", Unobserved("Offline", "--offline"))])) == [
        "skip Offline",
        "skip Offline",
    ]


def test_an_attempt_that_could_not_be_made_is_unknown() -> None:
    denied = pulls(lambda image: [attempt(mirror(image), "untried", reason="Unreadable", words="an identity token")])

    assert reasons(judge(denied)) == ["unknown Unreadable"]


def test_a_configuration_that_cannot_be_read_is_unknown() -> None:
    assert reasons(judge(Unobserved("NotPermitted", "config.toml: run as root"))) == ["unknown NotPermitted"]


def test_what_is_no_name_of_an_image_is_told_and_nobody_is_asked() -> None:
    bad = replace(API, image="Registry.local/Kube API")

    [finding] = judge(NeededPulls({}, {}), bad)

    assert (finding.status, finding.reason) == (Status.FAIL, "InvalidImageName")
    assert finding.fix is not None
    assert finding.fix.commands == ("${EDITOR:-vi} /m/kube-apiserver.yaml",)


# -- mirrors that fail, and fixes ------------------------------------------------------------------------------------------


def test_a_mirror_that_fails_before_another_serves_is_one_warning() -> None:
    found = judge(pulls(lambda image: [dead(mirror(image)), serves(upstream(image))]))

    assert reasons(found) == ["warn MirrorFailing", "pass Pullable"]
    assert found[0].subject == "mirror.lab:5000"
    assert all(need.image in found[0].message for need in ALL)


def test_images_that_a_mirror_lacks_are_named_and_copied_there() -> None:
    [finding] = judge(pulls(lambda image: [missing(mirror(image))]))

    assert "mirror.lab:5000 has no kube-proxy:1, kube-apiserver:1, coredns/coredns:2" in finding.message
    assert finding.fix is not None
    assert [line.partition("  #")[0] for line in finding.fix.commands] == [
        f"skopeo copy --all docker://{R}/{name} docker://mirror.lab:5000/{name}"
        for name in ("kube-proxy:1", "kube-apiserver:1", "coredns/coredns:2")
    ]


def test_an_own_registry_is_filled_from_where_the_image_is_published() -> None:
    own = Need("own.lab/k8s/coredns:2", ("kubeadm init",), ("kubeadm",), official=f"{R}/coredns/coredns:2")

    [finding] = judge(pulls(lambda image: [missing(upstream(image))], own), own)

    assert finding.fix is not None
    assert finding.fix.commands[0].startswith(
        f"skopeo copy --all docker://{R}/coredns/coredns:2 docker://own.lab/k8s/coredns:2"
    )


def test_what_cannot_be_mended_from_here_is_brought_by_hand() -> None:
    [finding] = judge(MIRROR_DEAD, PROXY, API)

    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL
    assert finding.fix.commands[1:] == (
        f"skopeo copy docker://{API.image} docker-archive:2.tar:{API.image}",
        "ctr -n k8s.io images import 1.tar",
        "ctr -n k8s.io images import 2.tar",
    )
    assert finding.fix.verify == "k8sdoctor check images"
