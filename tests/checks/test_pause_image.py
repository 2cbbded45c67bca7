"""The judgement about the sandbox image: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.pause_image import pause_image
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost, SkippedHost, Stopper
from k8sdoctor.facts.registry_exchange import Exchange
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage, Wish
from k8sdoctor.facts.settings import ConfigProblem, IgnoredSetting
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Safety, Status, Unobserved

if TYPE_CHECKING:
    from k8sdoctor.facts.distribution import Family

NAME = "registry.k8s.io/pause:3.6"
CONFIG = "/etc/containerd/config.toml"
V2 = 'plugins."io.containerd.grpc.v1.cri"'
RUNTIME = Runtime(kind="containerd", version=(1, 6, 20), endpoint="/run/containerd/containerd.sock", reachable=True)
IMAGE = SandboxImage(
    image=NAME,
    reference=ImageReference.parse(NAME),
    source="built-in default of containerd 1.6.20",
    runtime="containerd",
    runtime_version="1.6.20",
    config_path=CONFIG,
    key=f"{V2}.sandbox_image",
    default=True,
)
UPSTREAM = RegistryHost("https://registry.k8s.io/v2", "pause", "3.6", "default", upstream=True)
HOSTS_TOML = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"
MIRROR = RegistryHost("https://mirror.lab:5000/v2", "pause", "3.6", f"{HOSTS_TOML}:3", mirror_ns="registry.k8s.io")
HOSTS = RegistryHosts(ImageReference.parse(NAME), (UPSTREAM,), folder=HOSTS_TOML.rpartition("/")[0])
DEBIAN = Distribution("debian", (), "Debian", "debian")
BARE = Stage("prepared", "")
JOINED = Stage("worker", "")
SILENT = Unobserved("RuntimeUnreachable", "nobody listens at /run/containerd/containerd.sock")


def attempt(outcome: Any, host: RegistryHost = UPSTREAM, **changes: Any) -> Attempt:
    where = changes.pop("where", host.url(host.manifest))
    exchange = Exchange("HEAD", where, changes.get("status", 0), failure=changes.get("failure"))
    return Attempt(host, outcome, where, exchanges=(exchange,), **changes)


def pulled(*attempts: Attempt, **changes: Any) -> PullAttempts:
    return PullAttempts(NAME, attempts=attempts, **changes)


def judge(
    pull: PullAttempts | Unobserved,
    *,
    runtime: Runtime = RUNTIME,
    image: SandboxImage | Unobserved = IMAGE,
    hosts: RegistryHosts | Unobserved = HOSTS,
    stage: Stage = BARE,
    distribution: Distribution | Unobserved = DEBIAN,
) -> list[Finding]:
    return list(pause_image(runtime, image, hosts, pull, stage, distribution))


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


SERVES = attempt("serves", status=200)
TIMEOUT = attempt("unreachable", failure="timeout", words="192.0.2.9:443 gave no answer within 5 s (connecting)")


# -- healthy -----------------------------------------------------------------------------------------------------------


def test_an_image_that_is_here_passes_whatever_its_registry_does() -> None:
    [finding] = judge(PullAttempts(NAME, present="sha256:1"))

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "Present", NAME)


def test_an_image_that_a_registry_would_serve_passes() -> None:
    [finding] = judge(pulled(SERVES))

    assert (finding.status, finding.reason) == (Status.PASS, "Pullable")
    assert "registry.k8s.io" in finding.message


def test_a_machine_without_a_runtime_is_not_judged() -> None:
    assert reasons(judge(Unobserved("NotFound", "x"), runtime=Runtime())) == [("skip", "NoRuntime")]


def test_offline_it_is_skipped_unless_the_image_is_here() -> None:
    offline = attempt("untried", reason="Offline", words="--offline forbids HTTP requests")

    assert reasons(judge(pulled(offline))) == [("skip", "Offline")]
    assert reasons(judge(PullAttempts(NAME, present="sha256:1"))) == [("pass", "Present")]


# -- each way to fail --------------------------------------------------------------------------------------------------

WAYS: list[tuple[str, Attempt]] = [
    ("RegistryUnreachable", TIMEOUT),
    ("RegistryUnreachable", attempt("unreachable", failure="refused")),
    ("RegistryUnreachable", attempt("unreachable", failure="unreachable")),
    ("RegistryUnreachable", attempt("unreachable", failure="reset")),
    ("RegistryUnreachable", attempt("unreachable", failure="proxy")),
    ("NameNotResolved", attempt("unreachable", failure="name-not-resolved")),
    ("RegistryForbidden", attempt("forbidden", status=403)),
    ("RegistryForbidden", attempt("forbidden", failure="proxy-refused")),
    ("RegistryForbidden", attempt("auth-required", status=401, login=True)),
    ("AuthRequired", attempt("auth-required", status=401)),
    ("NotARegistry", attempt("no-registry", status=200, resolved=True)),
    ("NotARegistry", attempt("unreachable", failure="protocol")),
    ("ImageNotFound", attempt("not-found", status=404)),
    ("CertificateUntrusted", attempt("unreachable", failure="tls-untrusted")),
    ("CertificateNameMismatch", attempt("unreachable", failure="tls-name")),
    ("CertificateExpired", attempt("unreachable", failure="tls-expired")),
    ("CertificateNotYetValid", attempt("unreachable", failure="tls-not-yet-valid")),
    ("CaUnreadable", attempt("unreachable", failure="ca-unreadable")),
    ("ClientCertificateUnreadable", attempt("unreachable", failure="client-certificate-unreadable")),
    ("PlainHttpRegistry", attempt("unreachable", failure="tls-plain")),
    ("PlainHttpRegistry", attempt("tls-port", status=400)),
    ("RegistryError", attempt("error", status=429)),
    ("RegistryError", attempt("error", status=503)),
    ("NoMatchingPlatform", attempt("no-platform", status=200, resolved=True, platforms=("linux/arm64",))),
]


@pytest.mark.parametrize(("reason", "way"), WAYS)
def test_a_registry_that_does_not_serve_fails_for_its_reason(reason: str, way: Attempt) -> None:
    [finding] = judge(pulled(way))

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert NAME in finding.message
    assert finding.fix
    assert finding.fix.commands
    assert any("registry.k8s.io" in evidence.source for evidence in finding.evidence)


@pytest.mark.parametrize(("reason", "way"), WAYS)
def test_a_mirror_that_fails_where_a_later_host_serves_is_a_warning(reason: str, way: Attempt) -> None:
    mirror = replace(way, host=MIRROR, where=MIRROR.url(MIRROR.manifest))
    pull = pulled(mirror, SERVES)
    if pull.ends_with(mirror):
        [finding] = judge(pull)
        assert (finding.status, finding.reason) == (Status.FAIL, reason)
        assert "asks no other host" in finding.message
    else:
        warning, good = judge(pull)
        assert (warning.reason, good.reason) == ("MirrorFailing", "Pullable")
        assert warning.status is Status.WARN
        assert warning.subject == "mirror.lab:5000"


K3S_TOML = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/registry.k8s.io/hosts.toml"


@pytest.mark.parametrize(
    ("source", "edit", "data"),
    [
        (f"{HOSTS_TOML}:3", [f"${{EDITOR:-vi}} +3 {HOSTS_TOML}"], "/var/lib/containerd"),
        (
            f"{K3S_TOML}:3",
            ["${EDITOR:-vi} /etc/rancher/k3s/registries.yaml", "systemctl restart k3s"],
            "/var/lib/rancher/k3s/agent/containerd",
        ),
    ],
)
def test_a_host_that_gives_something_else_for_the_content_is_taken_out_with_what_is_kept_of_it(
    source: str, edit: list[str], data: str
) -> None:
    page = attempt("no-registry", replace(MIRROR, source=source), status=200, asked_by="registry.k8s.io")
    where = f"{MIRROR.base_url}/pause/manifests/sha256:c0ffee?ns=registry.k8s.io"

    [finding] = judge(pulled(SERVES, spoiler=replace(page, where=where)))

    assert (finding.status, finding.reason) == (Status.FAIL, "NotARegistry")
    assert "mirror.lab:5000, which is asked for the content of what registry.k8s.io names, answers" in finding.message
    assert any(evidence.source.startswith(MIRROR.base_url) for evidence in finding.evidence)
    assert finding.fix
    *first, last = finding.fix.commands
    assert first == edit
    assert last.startswith(f"grep -ls sha256:c0ffee {data}/io.containerd.content.v1.content/ingest/*/ref | ")
    assert reasons(judge(pulled(SERVES))) == [("pass", "Pullable")]


def test_what_a_body_says_is_in_the_message() -> None:
    [finding] = judge(pulled(attempt("forbidden", status=403, words="Blocked by Web Filter")))

    assert "answers 403 (“Blocked by Web Filter”)" in finding.message


def test_the_host_that_a_redirect_leads_to_is_named_with_the_one_that_sends_there() -> None:
    [finding] = judge(pulled(replace(TIMEOUT, where="https://s3.example/layer")))

    assert "s3.example (where registry.k8s.io sends it) cannot be used: 192.0.2.9:443" in finding.message


def test_the_first_host_names_the_reason_and_the_others_are_told() -> None:
    [finding] = judge(pulled(attempt("not-found", MIRROR, status=404), TIMEOUT))

    assert finding.reason == "ImageNotFound"
    assert "mirror.lab:5000 has no pause:3.6; registry.k8s.io cannot be used" in finding.message


def test_a_page_after_a_refusal_is_the_reason_since_it_ends_the_chain() -> None:
    page = attempt("no-registry", status=200, resolved=True)
    other = replace(SERVES, host=replace(UPSTREAM, base_url="https://third/v2"))

    [finding] = judge(pulled(attempt("forbidden", MIRROR, status=403), page, other))

    assert finding.reason == "NotARegistry"
    assert finding.message.endswith("so registry.k8s.io is not reached.")


def test_a_mirror_that_is_skipped_is_named() -> None:
    hosts = replace(HOSTS, skipped=(SkippedHost("https://m/v2", f"{HOSTS_TOML}:9", "a tag needs `resolve`"),))

    [finding] = judge(pulled(TIMEOUT), hosts=hosts)

    assert any("https://m/v2 is skipped: a tag needs `resolve`" in evidence.content for evidence in finding.evidence)


def test_the_runtimes_proxy_is_evidence() -> None:
    hosts = replace(HOSTS, proxy=ProxyEnvironment(https="http://proxy:3128", source="/proc/8/environ"))

    [finding] = judge(pulled(TIMEOUT), hosts=hosts)

    assert any(evidence.source == "/proc/8/environ" for evidence in finding.evidence)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ca-unreadable", "CaUnreadable"),
        ("client-certificate-unreadable", "ClientCertificateUnreadable"),
        ("config-conflict", "RuntimeConfigInvalid"),
        ("blocked", "RegistryBlocked"),
        ("policy", "PolicyRejects"),
        ("no-host", "NoRegistryHost"),
    ],
)
def test_configuration_that_ends_each_pull_fails(kind: Any, reason: str) -> None:
    hosts = replace(HOSTS, stoppers=(Stopper(kind, "/etc/ca.crt", f"{HOSTS_TOML}:4", "there is no such file"),))

    [finding] = judge(PullAttempts(NAME, stopped=True), hosts=hosts)

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert "/etc/ca.crt" in finding.message


def test_a_chain_without_a_host_fails() -> None:
    assert reasons(judge(pulled())) == [("fail", "NoRegistryHost")]


# -- what could not be looked at ---------------------------------------------------------------------------------------


def test_a_silent_runtime_is_unknown_and_the_way_is_judged_all_the_same() -> None:
    assert reasons(judge(pulled(SERVES, presence_problem=SILENT))) == [
        ("unknown", "RuntimeUnreachable"),
        ("pass", "Pullable"),
    ]
    unknown, failure = judge(pulled(TIMEOUT, presence_problem=SILENT))
    assert reasons([unknown, failure]) == [("unknown", "RuntimeUnreachable"), ("fail", "RegistryUnreachable")]
    assert NAME in unknown.message
    assert unknown.fix is not None
    assert "systemctl status --no-pager containerd" in unknown.fix.commands
    assert failure.message.startswith("If registry.k8s.io/pause:3.6 is not on this node already, containerd")


def test_on_a_node_that_ran_pods_the_image_may_be_here_so_a_blocked_pull_is_only_a_warning() -> None:
    found = judge(pulled(TIMEOUT, presence_problem=SILENT), stage=JOINED)

    assert reasons(found) == [("unknown", "RuntimeUnreachable"), ("warn", "RegistryUnreachable")]


def test_a_socket_that_we_may_not_open_is_not_permitted() -> None:
    found = judge(pulled(SERVES, presence_problem=Unobserved("NotPermitted", "run as root")))

    assert reasons(found)[0] == ("unknown", "NotPermitted")
    assert found[0].fix is None  # root is what it needs, and the message says so


@pytest.mark.parametrize("reason", ["NotPermitted", "NotRecorded", "DeadlineExceeded"])
@pytest.mark.parametrize("stage", [BARE, JOINED])
def test_who_could_not_look_whether_the_image_is_here_is_told_of_a_blocked_pull_and_given_no_alarm(
    reason: str, stage: Stage
) -> None:
    [found] = judge(pulled(TIMEOUT, presence_problem=Unobserved(reason, "run as root")), stage=stage)

    assert (found.status, found.reason, found.fix) == (Status.UNKNOWN, reason, None)
    assert "run as root. If it is not, containerd" in found.message
    assert "cannot pull it" in found.message
    assert [each.source for each in found.evidence if "HEAD" in each.content] == [
        "https://registry.k8s.io/v2 (default)"
    ]


def test_facts_that_could_not_be_observed_are_unknown() -> None:
    why = Unobserved("Unreadable", "config.toml is a directory")

    assert reasons(judge(why)) == [("unknown", "Unreadable")]
    assert reasons(judge(why, image=why, hosts=why)) == [("unknown", "Unreadable")]
    assert reasons(judge(pulled(), hosts=why)) == [("unknown", "Unreadable")]
    assert reasons(judge(PullAttempts(NAME, present="x"), hosts=why)) == [("pass", "Present")]


def test_a_host_that_could_not_be_tried_is_unknown_unless_another_serves() -> None:
    untried = attempt("untried", MIRROR, reason="Unreadable", words="a socks5 proxy")

    assert reasons(judge(pulled(untried))) == [("unknown", "Unreadable")]
    assert reasons(judge(pulled(untried, SERVES))) == [("pass", "Pullable")]


# -- settings ----------------------------------------------------------------------------------------------------------


def setting(kind: Any, **changes: Any) -> IgnoredSetting:
    values = {
        "key": f"{V2}.sandbox_image",
        "value": "mirror.lab/pause:3.9",
        "source": f"{CONFIG}:7",
        "why": "containerd 2.1.5 reads another key",
        "counts": "plugins.'io.containerd.cri.v1.images'.pinned_images.sandbox",
    }
    return IgnoredSetting(kind, **(values | changes))


def test_an_image_that_is_written_where_it_does_not_count_is_a_warning() -> None:
    found = judge(pulled(SERVES), image=replace(IMAGE, ignored=(setting("wrong-table"),)))

    assert reasons(found) == [("warn", "SandboxImageIgnored"), ("pass", "Pullable")]
    assert found[0].fix
    assert found[0].fix.commands[0] == f"sed -i '7d' {CONFIG}"


def test_a_mirror_of_docker_hub_is_told_only_to_who_gets_no_sandbox_image() -> None:
    mirror = setting("without-effect", key="registry-mirrors", value="https://m", source="/etc/docker/daemon.json")
    hosts = replace(HOSTS, ignored=(mirror,))

    assert reasons(judge(pulled(SERVES), hosts=hosts)) == [("pass", "Pullable")]
    assert reasons(judge(pulled(present="sha256:1"), hosts=hosts)) == [("pass", "Present")]
    assert ("warn", "MirrorIgnored") in reasons(judge(pulled(TIMEOUT), hosts=hosts))


def diagnoses(findings: list[Finding]) -> list[tuple[str, str, list[str]]]:
    """Status, cause and symptoms of each diagnosis that the check alone gives."""
    found = Links([("pause-image", finding) for finding in findings]).diagnoses()
    return [(str(one.status), one.cause.reason, [each.reason for each in one.explains]) for one in found]


def test_a_mirror_written_in_vain_is_the_likely_cause_of_a_pull_that_fails() -> None:
    hosts = replace(HOSTS, ignored=(setting("malformed"),))

    assert diagnoses(judge(pulled(TIMEOUT), hosts=hosts)) == [("fail", "MirrorIgnored", ["RegistryUnreachable"])]


def test_a_mirror_overruled_on_purpose_is_no_cause() -> None:
    hosts = replace(HOSTS, ignored=(setting("shadowed"),))

    assert diagnoses(judge(pulled(TIMEOUT), hosts=hosts)) == [
        ("fail", "RegistryUnreachable", []),
        ("warn", "MirrorIgnored", []),
    ]


@pytest.mark.parametrize("kind", ["malformed", "no-config-path", "other-folder", "not-loaded", "shadowed"])
def test_a_mirror_that_is_written_in_vain_is_a_warning_also_when_the_image_is_here(kind: str) -> None:
    ignored = setting(kind, key="hosts.toml", value="mirror.lab:5000", source=HOSTS_TOML, counts="/etc/x/hosts.toml")

    found = judge(PullAttempts(NAME, present="x"), hosts=replace(HOSTS, ignored=(ignored,)))

    assert reasons(found) == [("warn", "MirrorIgnored"), ("pass", "Present")]
    assert HOSTS_TOML in found[0].message
    assert found[0].fix
    assert found[0].fix.commands


def test_another_wish_for_the_sandbox_image_is_a_warning_and_the_same_wish_is_not() -> None:
    wish = Wish("kubeadm", "registry.k8s.io/pause:3.10", "kubeadm v1.33.1")

    [warning, _] = judge(PullAttempts(NAME, present="x"), image=replace(IMAGE, wishes=(wish,)))
    agreed = judge(PullAttempts(NAME, present="x"), image=replace(IMAGE, wishes=(replace(wish, image=NAME),)))

    assert (warning.status, warning.reason) == (Status.WARN, "PauseImageDiffers")
    assert reasons(agreed) == [("pass", "Present")]


def test_an_image_that_waits_for_a_restart_is_a_warning() -> None:
    image = replace(IMAGE, on_disk="mirror.lab/pause:3.9")

    assert reasons(judge(PullAttempts(NAME, present="x"), image=image))[0] == ("warn", "SandboxImageNotLoaded")


@pytest.mark.parametrize(("reachable", "status"), [(True, "warn"), (False, "fail")])
def test_a_configuration_that_the_runtime_cannot_take_fails_once_it_is_down(*, reachable: bool, status: str) -> None:
    image = replace(IMAGE, problems=(ConfigProblem(CONFIG, 3, "expected `=`"),))

    [found, *_] = judge(pulled(SERVES), image=image, runtime=replace(RUNTIME, reachable=reachable))

    assert reasons([found]) == [(status, "RuntimeConfigInvalid")]
    assert f"{CONFIG}:3" in found.message


# -- fixes -------------------------------------------------------------------------------------------------------------


def test_a_blocked_registry_is_replaced_by_the_one_that_kubeadm_uses() -> None:
    wish = Wish("kubeadm", "mirror.lab/google_containers/pause:3.6", "/etc/kubeadm.yaml:4")
    image = replace(IMAGE, default=False, source=f"{CONFIG}:12", wishes=(wish,))

    *_, finding = judge(pulled(TIMEOUT), image=image)

    assert finding.fix
    assert finding.fix.commands == (
        rf"sed -i '12s|registry\.k8s\.io/pause:3\.6|mirror.lab/google_containers/pause:3.6|' {CONFIG}",
        "systemctl restart containerd",
    )


@pytest.mark.parametrize(
    ("runtime", "command"),
    [
        ("containerd", "ctr -n k8s.io images import pause.tar"),
        ("cri-o", f"skopeo copy docker-archive:pause.tar containers-storage:{NAME}"),
        ("cri-dockerd", "docker load -i pause.tar"),
    ],
)
def test_an_air_gapped_node_gets_the_image_by_hand(runtime: Any, command: str) -> None:
    [finding] = judge(pulled(TIMEOUT), image=replace(IMAGE, runtime=runtime))

    assert finding.fix
    assert finding.fix.commands[1] == command
    assert finding.fix.safety is Safety.MANUAL


@pytest.mark.parametrize(
    ("family", "file", "update"),
    [
        ("debian", "/usr/local/share/ca-certificates/mirror.lab.crt", "update-ca-certificates"),
        ("rhel", "/etc/pki/ca-trust/source/anchors/mirror.lab.crt", "update-ca-trust extract"),
        ("suse", "/etc/pki/trust/anchors/mirror.lab.pem", "update-ca-certificates"),
        ("flatcar", "/etc/ssl/certs/mirror.lab.pem", "update-ca-certificates"),
    ],
)
def test_an_unknown_ca_goes_where_the_distribution_wants_it(family: Family, file: str, update: str) -> None:
    untrusted = attempt("unreachable", MIRROR, failure="tls-untrusted")

    [finding] = judge(pulled(untrusted), distribution=Distribution(family, (), family, family))

    assert finding.fix
    assert f">> {file}" in finding.fix.commands[1]
    assert finding.fix.commands[-2:] == (update, "systemctl restart containerd")


@pytest.mark.parametrize(
    ("runtime", "folder"), [("cri-o", "/etc/containers/certs.d"), ("cri-dockerd", "/etc/docker/certs.d")]
)
def test_other_runtimes_have_a_folder_for_a_registrys_ca(runtime: Any, folder: str) -> None:
    untrusted = attempt("unreachable", MIRROR, failure="tls-untrusted")

    [finding] = judge(pulled(untrusted), image=replace(IMAGE, runtime=runtime))

    assert finding.fix
    assert f">> {folder}/mirror.lab:5000/ca.crt" in finding.fix.commands[1]


def test_a_mirror_that_speaks_plain_http_gets_its_line_changed() -> None:
    [finding] = judge(pulled(attempt("unreachable", MIRROR, failure="tls-plain")))

    assert finding.fix
    assert finding.fix.commands == (
        rf"sed -i -E '3s#(https?://)?mirror\.lab:5000#http://mirror.lab:5000#' {HOSTS_TOML}",
    )


def test_a_mirror_without_the_image_is_filled_for_all_machines() -> None:
    [finding] = judge(pulled(attempt("not-found", MIRROR, status=404)))

    assert finding.fix
    assert finding.fix.commands[0].startswith(f"skopeo copy --all docker://{NAME} docker://mirror.lab:5000/pause:3.6")


# -- a cluster with a repository of its own ------------------------------------------------------------------------------


def of_cluster(repository: str | None, image: str, stage: Stage = JOINED) -> list[str]:
    """What is said where kubeadm itself would take registry.k8s.io/pause:3.10."""
    made: ClusterKubeadmConfig | Unobserved = Unobserved("NotPermitted", "forbidden")
    if repository:
        made = ClusterKubeadmConfig(KubeadmConfig(source="ConfigMap", image_repository=repository))
    wish = Wish("kubeadm", "registry.k8s.io/pause:3.10", "kubeadm 1.33.0")
    own = replace(IMAGE, image=image, reference=ImageReference.parse(image), wishes=(wish,))
    pull = PullAttempts(image, present="sha256:1")
    return [f.reason for f in pause_image(RUNTIME, own, HOSTS, pull, stage, DEBIAN, made)]


def test_a_private_repository_that_the_cluster_was_made_with_is_no_difference() -> None:
    assert of_cluster("registry.lab/k8s", "registry.lab/k8s/pause:3.10") == ["Present"]
    assert of_cluster("registry.lab/k8s", "registry.lab/k8s/pause:3.9") == ["PauseImageDiffers", "Present"]
    assert of_cluster("registry.lab/k8s", "registry.k8s.io/pause:3.10") == ["PauseImageDiffers", "Present"]


def test_where_the_clusters_repository_is_not_known_only_its_tag_can_differ() -> None:
    assert of_cluster(None, "registry.lab/k8s/pause:3.10") == ["Present"]
    assert of_cluster(None, "registry.k8s.io/pause:3.9") == ["PauseImageDiffers", "Present"]
    assert of_cluster(None, "registry.lab/k8s/pause:3.10", BARE) == ["PauseImageDiffers", "Present"]


def test_nothing_starts_on_a_node_that_cannot_get_its_sandbox_image() -> None:
    [gone] = judge(pulled(TIMEOUT))
    [maybe] = [
        each for each in judge(pulled(TIMEOUT, presence_problem=SILENT), stage=JOINED) if each.status is Status.WARN
    ]

    assert ("control-plane", "ComponentDown") in {(link.check, link.reason) for link in gone.explains}
    assert (maybe.status, "control-plane" in {link.check for link in maybe.explains}) == (Status.WARN, False)
