"""The judgement about what is written of registries: the files as a runtime reads them in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.registry_config import registry_config
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import Answer, RegistryAnswers
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts, chain_for
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.versions import parse
from k8sdoctor.finding import Finding, Safety, Status, Unobserved, warn
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE = ImageReference.parse("registry.k8s.io/pause:3.8")
CERTS_D = "/etc/containerd/certs.d"
HUB = f"{CERTS_D}/docker.io/hosts.toml"
SANDBOX = f"{CERTS_D}/registry.k8s.io/hosts.toml"
V2 = 'plugins."io.containerd.grpc.v1.cri".registry'
SEARCHED = f'version = 2\n[{V2}]\nconfig_path = "{CERTS_D}"\n'
MIRROR = '[host."https://m:5000"]\n'
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUWCk=\n-----END CERTIFICATE-----\n"
DEBIAN = Distribution("debian", (), "Debian", "debian")
RHEL = Distribution("rhel", (), "RHEL", "rhel")
UP = "https://registry-1.docker.io/v2"
AT = "https://m:5000/v2"


def containerd(
    files: Mapping[str, str | HostError], version: str = "1.7.34", config: str = SEARCHED
) -> tuple[FakeHost, PullConfig]:
    host = FakeHost({CONFIG: config, **files})
    release = parse(version)
    assert release is not None
    read = ContainerdConfig.read(host, release)
    return host, PullConfig("containerd", read, ignored=tuple(one for one in read.ignored if "registry" in one.key))


def crio(files: Mapping[str, str]) -> tuple[FakeHost, PullConfig]:
    host = FakeHost({"/etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}', **files})
    return host, PullConfig("cri-o", CrioConfig.read(host, (1, 36, 3)))


def docker(files: Mapping[str, str]) -> tuple[FakeHost, PullConfig]:
    host = FakeHost(dict(files), run={"code": 0, "out": "cri-dockerd 0.3.16 (abc)\n", "err": ""})
    config = DockerConfig.observe(host, Runtime(kind="cri-dockerd", version=(28, 5, 2)), Processes(()))
    return host, PullConfig("cri-dockerd", config)


def judge(
    made: tuple[FakeHost, PullConfig],
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    present: bool = True,
    reachable: bool = True,
    distribution: Distribution = DEBIAN,
) -> list[Finding]:
    """The findings when each place that is written answers like a registry, except for those given by their URL."""
    host, pulls = made
    config = RegistryConfig.observe(host, pulls)
    places = {place.question: place for place in config.hosts}
    for chain, _ in config.skipped:
        places.update((place.question, place) for place in chain.hosts)
    given = dict(answers or {})
    said = [replace(Answer(each, 200, registry=True), **given.get(each.base_url, {})) for each in places.values()]
    assert given.keys() <= {each.base_url for each in places.values()}
    version = getattr(pulls.config, "version", None)
    runtime = Runtime(kind=pulls.kind, version=version, reachable=reachable)
    sandbox = chain_for(host, PAUSE, pulls)
    pull = PullAttempts(str(PAUSE), present="sha256:1" if present else None)
    return list(registry_config(runtime, config, RegistryAnswers(tuple(said)), sandbox, pull, distribution))


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


# -- healthy -----------------------------------------------------------------------------------------------------------

HEALTHY: dict[str, str] = {
    "a mirror": f'server = "https://registry-1.docker.io"\n{MIRROR}  capabilities = ["pull", "resolve"]\n',
    "a mirror with everything": (
        f"{MIRROR}  capabilities = ['pull', 'resolve', 'push']\n  skip_verify = true\n  override_path = false\n"
        "  [host.\"https://m:5000\".header]\n    x-team = 'a'\n"
    ),
    "a mirror by plain HTTP": '[host."http://m:5000"]\n  skip_verify = true\n',
    "a mirror without a scheme": '[host."m:5000"]\n',
    "a path that ends with /v2": '[host."https://m:5000/api/v2"]\n',
    "a path of a repository manager": '[host."https://m:5000/repository/hub"]\n',
    "a whole path": '[host."https://m:5000/v2/hub"]\n  override_path = true\n',
}


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY.keys())
def test_what_is_written_rightly_passes(text: str) -> None:
    [finding] = judge(containerd({HUB: text}))

    assert (finding.status, finding.reason) == (Status.PASS, "AsWritten")
    assert "docker.io" in finding.message


def test_a_node_without_any_such_file_passes() -> None:
    assert reasons(judge(containerd({}))) == [("pass", "NothingWritten")]
    assert reasons(judge(crio({}))) == [("pass", "NothingWritten")]
    assert reasons(judge(docker({}))) == [("pass", "NothingWritten")]


def test_a_machine_without_a_runtime_is_not_judged() -> None:
    none = Unobserved("NotFound", "x")

    assert reasons(list(registry_config(Runtime(), none, none, none, none, none))) == [("skip", "NoRuntime")]


def test_files_that_we_may_not_read_are_unknown() -> None:
    denied = Unobserved("NotPermitted", "/etc/containerd/config.toml cannot be read; run as root")
    [finding] = registry_config(Runtime(kind="containerd"), denied, denied, denied, denied, DEBIAN)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
    assert "run as root" in finding.message


def test_one_file_that_we_may_not_read_is_unknown_and_the_others_are_judged() -> None:
    denied = HostError("NotPermitted", "Permission denied; run as root")
    host, pulls = containerd({HUB: f"{MIRROR}  skip-verify = true\n", f"{CERTS_D}/quay.io/hosts.toml": denied})

    assert reasons(judge((host, pulls))) == [("warn", "UnknownKey"), ("unknown", "NotPermitted")]


def test_naming_a_mirror_as_the_server_passes_and_is_said() -> None:
    found = judge(containerd({HUB: f'server = "https://m:5000"\n{MIRROR}'}))

    assert reasons(found) == [("pass", "MirrorsOnly"), ("pass", "AsWritten")]
    assert "docker.io" in found[0].message


def test_a_mirror_that_is_not_trusted_with_tags_passes_and_is_said() -> None:
    found = judge(containerd({HUB: f'{MIRROR}  capabilities = ["pull"]\n'}))

    assert reasons(found) == [("pass", "NotAskedForTags"), ("pass", "AsWritten")]
    assert "https://m:5000" in found[0].message


def test_a_registry_behind_a_mirror_need_not_be_reachable() -> None:
    text = f'server = "https://registry-1.docker.io"\n{MIRROR}'

    assert reasons(judge(containerd({HUB: text}), {UP: TIMEOUT})) == [("pass", "AsWritten")]


# -- hosts.toml --------------------------------------------------------------------------------------------------------

TIMEOUT = {"status": 0, "registry": False, "failure": "timeout", "said": "no answer within 5 s"}

WRITTEN: list[tuple[str, str, str]] = [
    ("UnknownKey", f"{MIRROR}  insecure_skip_verify = true\n", "sed -i 2s/insecure_skip_verify/skip_verify/"),
    ("UnknownKey", f"{MIRROR}  skip-verify = true\n", "sed -i 2s/skip-verify/skip_verify/"),
    ("UnknownKey", f"{MIRROR}  capabilites = ['pull']\n", "sed -i 2s/capabilites/capabilities/"),
    ("UnknownKey", f"{MIRROR}  ca_file = '/ca'\n", "sed -i 2s/ca_file/ca/"),
    ("UnknownKey", '[hosts."https://m:5000"]\n', r"\1host\2"),
    ("UnknownKey", '[host.m.example]\n  capabilities = ["pull"]\n', "vi} +1"),
    ("UnknownKey", f"{MIRROR}  username = 'me'\n", "vi} +2"),
    ("WrongApiPath", '[host."https://m:5000/v2/hub"]\n', "1a override_path = true"),
    ("WrongApiPath", f"{MIRROR}  override_path = true\n", "vi} +1"),
    ("UnknownScheme", '[host."ftp://m:5000"]\n', "1s#ftp://m:5000#https://m:5000#"),
    ("UnknownScheme", '[host."http:/m:5000"]\n', "1s#http:/m:5000#http://m:5000#"),
    ("UnknownScheme", '[host."httpd.example:5000"]\n', "1s#httpd.example:5000#https://httpd.example:5000#"),
    ("UnknownScheme", 'server = "https//m:5000"\n', "1s#https//m:5000#https://m:5000#"),
    ("MalformedConfig", '[host."https://m:5000"\n', "vi} +1"),
    ("MalformedConfig", f"{MIRROR}  capabilities = ['pull', 'fetch']\n", "vi} +2"),
]


@pytest.mark.parametrize(("reason", "text", "mends"), WRITTEN)
def test_each_mistake_in_a_hosts_toml_is_told(reason: str, text: str, mends: str) -> None:
    host, pulls = containerd({HUB: text}, version="2.1.0")
    config = RegistryConfig.observe(host, pulls)
    html = {place.base_url: {"registry": False, "status": 404} for place in config.hosts}
    [finding] = [one for one in judge((host, pulls), html) if one.status is not Status.PASS]

    assert (finding.status, finding.reason) == (Status.WARN, reason)
    assert finding.subject is not None
    assert finding.subject.startswith(HUB)
    assert finding.fix is not None
    assert mends in " ".join(finding.fix.commands)


def test_a_file_that_is_dropped_for_a_misspelt_host_is_told_once_and_by_its_cause() -> None:
    text = '[hosts."https://m:5000"]\n'
    ours = judge(containerd({HUB: text}, version="1.6.20"))
    sandbox = judge(containerd({SANDBOX: text}, version="1.6.20"))

    assert reasons(ours) == [("warn", "UnknownKey")]
    assert reasons(sandbox) == [("skip", "ToldByPauseImage")]


def test_a_malformed_file_is_told_with_line_and_column() -> None:
    [finding] = judge(containerd({HUB: f"{MIRROR}  capabilities = pull\n"}))

    assert f"{HUB}:2 " in finding.message
    assert "column 18" in finding.message


def test_a_key_that_is_off_is_as_good_as_none() -> None:
    assert reasons(judge(containerd({HUB: f"{MIRROR}  insecure_skip_verify = false\n"}))) == [("pass", "AsWritten")]


def test_an_odd_path_that_answers_like_a_registry_is_right() -> None:
    assert reasons(judge(containerd({HUB: '[host."https://m:5000/v2/hub"]\n'}))) == [("pass", "AsWritten")]


def test_a_ca_for_plain_http_has_no_effect() -> None:
    files = {HUB: '[host."http://m"]\n  ca = "/ca.crt"\n', "/ca.crt": PEM}
    [finding] = judge(containerd(files, version="1.7.20"))

    assert (finding.reason, finding.subject) == ("TlsWithoutEffect", f"{HUB}:1")
    # Newer ones ask by HTTPS first, so that it has.
    assert reasons(judge(containerd(files, version="2.1.0"))) == [("pass", "AsWritten")]


@pytest.mark.parametrize("folder", ["m_5000_", "m:5000", "_default"])
def test_every_folder_is_looked_into(folder: str) -> None:
    [finding] = judge(containerd({f"{CERTS_D}/{folder}/hosts.toml": f"{MIRROR}  insecure = true\n"}))

    assert (finding.reason, finding.subject) == ("UnknownKey", f"{CERTS_D}/{folder}/hosts.toml:2")


def test_docker_hub_by_another_name_is_told_unless_the_right_one_is_there() -> None:
    wrong = {f"{CERTS_D}/registry-1.docker.io/hosts.toml": MIRROR}
    [finding] = judge(containerd(wrong))

    assert finding.reason == "WrongRegistryName"
    assert finding.fix is not None
    assert finding.fix.commands == (f"mv -nT {CERTS_D}/registry-1.docker.io {CERTS_D}/docker.io",)
    assert reasons(judge(containerd({**wrong, HUB: MIRROR}))) == [("pass", "AsWritten")]


def test_a_ca_that_is_not_there_fails_each_pull_of_that_registry() -> None:
    [finding] = judge(containerd({HUB: f'{MIRROR}  ca = "/no/ca.crt"\n'}))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "CaUnreadable", "/no/ca.crt")
    assert "docker.io" in finding.message


def test_no_host_left_to_ask_for_a_tag_fails() -> None:
    [finding] = [
        one
        for one in judge(containerd({HUB: 'server = "https://m"\ncapabilities = ["push"]\n'}, version="2.1.0"))
        if one.fix
    ]

    assert (finding.status, finding.reason) == (Status.FAIL, "NoRegistryHost")


@pytest.mark.parametrize(
    ("version", "config"),
    [
        ("1.7.34", "version = 2\n"),
        ("2.2.7", "version = 3\n"),
        ("2.1.9", SEARCHED.replace(CERTS_D, f"{CERTS_D}:/etc/docker/certs.d")),
    ],
)
def test_a_hosts_toml_that_nobody_reads_is_told_for_any_registry(version: str, config: str) -> None:
    [finding] = judge(containerd({HUB: MIRROR}, version=version, config=config))

    assert (finding.reason, finding.subject) == ("MirrorIgnored", HUB)
    assert finding.fix is not None
    assert any("config_path" in command for command in finding.fix.commands)


def test_a_hosts_toml_beside_the_folders_is_told() -> None:
    [finding] = judge(containerd({f"{CERTS_D}/hosts.toml": MIRROR}))

    assert (finding.reason, finding.subject) == ("MirrorIgnored", f"{CERTS_D}/hosts.toml")


def test_the_old_tables_are_told_to_be_dropped() -> None:
    old = f'version = 2\n[{V2}.mirrors."docker.io"]\nendpoint = ["https://m:5000"]\n'
    tls = f'[{V2}.configs."m:5000".tls]\ninsecure_skip_verify = true\n'

    [mirrors] = judge(containerd({}, config=old))
    both = judge(containerd({}, config=old + tls))

    assert (mirrors.status, mirrors.reason) == (Status.WARN, "DeprecatedFormat")
    assert "2.4" in mirrors.message
    assert mirrors.fix is not None
    assert any('[host."https://m:5000"]' in command and HUB in command for command in mirrors.fix.commands)
    assert [one.reason for one in both] == ["DeprecatedFormat", "DeprecatedFormat"]
    assert "2.0" in both[1].message


def test_old_tables_that_a_distribution_writes_itself_are_its_own_affair() -> None:
    path = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
    host = FakeHost({path: f'version = 2\n[{V2}.mirrors."docker.io"]\nendpoint = ["https://m:5000"]\n'})
    read = ContainerdConfig.read(host, (1, 7, 1), cmdline=("containerd", "-c", path))

    assert reasons(judge((host, PullConfig("containerd", read)))) == [("pass", "AsWritten")]


# -- what pause-image tells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [True, False])
def test_what_is_written_in_vain_for_the_sandbox_image_is_left_to_its_check(present: bool) -> None:
    found = judge(containerd({SANDBOX: MIRROR}, config="version = 2\n"), present=present)

    assert reasons(found) == [("skip", "ToldByPauseImage")]


def test_a_ca_of_the_sandbox_image_s_registry_is_told_here_only_while_the_image_is_here() -> None:
    made = containerd({SANDBOX: f'{MIRROR}  ca = "/no/ca.crt"\n'})

    assert reasons(judge(made)) == [("fail", "CaUnreadable")]
    assert reasons(judge(made, present=False)) == [("skip", "ToldByPauseImage")]


def test_a_misspelt_key_for_the_sandbox_image_is_told_here_since_nobody_else_does() -> None:
    assert reasons(judge(containerd({SANDBOX: f"{MIRROR}  insecure = true\n"}), present=False)) == [
        ("warn", "UnknownKey")
    ]


# -- what answers --------------------------------------------------------------------------------------------------------

UNTRUSTED = {"status": 0, "registry": False, "failure": "tls-untrusted", "said": "self-signed certificate"}
OWN = {f"{CERTS_D}/own:5000/hosts.toml": 'server = "https://own:5000"\n'}
PLACES: list[tuple[dict[str, Any], str, Status, Status]] = [
    (UNTRUSTED, "CertificateUntrusted", Status.WARN, Status.FAIL),
    ({**UNTRUSTED, "failure": "tls-name"}, "CertificateNameMismatch", Status.WARN, Status.FAIL),
    ({**UNTRUSTED, "failure": "tls-expired"}, "CertificateExpired", Status.WARN, Status.FAIL),
    ({**UNTRUSTED, "failure": "tls-not-yet-valid"}, "CertificateNotYetValid", Status.WARN, Status.FAIL),
    ({**UNTRUSTED, "failure": "tls-plain"}, "PlainHttpRegistry", Status.WARN, Status.FAIL),
    ({**UNTRUSTED, "failure": None, "wants_tls": True}, "PlainHttpRegistry", Status.WARN, Status.FAIL),
    (
        {**UNTRUSTED, "failure": "client-certificate-unreadable"},
        "ClientCertificateUnreadable",
        Status.WARN,
        Status.FAIL,
    ),
    (TIMEOUT, "RegistryUnreachable", Status.WARN, Status.WARN),
    ({**TIMEOUT, "failure": "name-not-resolved"}, "NameNotResolved", Status.WARN, Status.WARN),
]


@pytest.mark.parametrize(("answer", "reason", "mirror", "own"), PLACES)
def test_a_place_that_cannot_be_talked_to_is_told(
    answer: dict[str, Any], reason: str, mirror: Status, own: Status
) -> None:
    [at_mirror] = judge(containerd({HUB: MIRROR}), {AT: answer})
    [at_own] = judge(containerd(OWN, version="2.1.0"), {"https://own:5000/v2": answer})

    assert (at_mirror.status, at_mirror.reason, at_mirror.subject) == (mirror, reason, "m:5000")
    assert (at_own.status, at_own.reason, at_own.subject) == (own, reason, "own:5000")
    assert at_mirror.fix
    assert at_own.fix


def test_a_key_that_is_not_read_is_the_cause_of_the_mistrust_that_follows() -> None:
    found = judge(containerd({HUB: f"{MIRROR}  ca_file = '/ca.crt'\n"}), {AT: UNTRUSTED})
    image = warn("CertificateUntrusted", "m:5000 is not trusted", traits={"host:m:5000"})
    other = warn("CertificateUntrusted", "n:5000 is not trusted", traits={"host:n:5000"})
    links = Links([*(("registry-config", each) for each in found), ("images", image), ("images", other)])

    assert [each.reason for each in found] == ["UnknownKey", "CertificateUntrusted"]
    assert [(each.check, each.subject) for each in links.explained_by(0)] == [
        ("images", None),
        ("registry-config", "m:5000"),
    ]
    assert [each.cause.check for each in links.diagnoses()] == ["registry-config", "images"]


@pytest.mark.parametrize("text", ['[hosts."https://m:5000"]\n', '[host."https://m:5000"\n'])
def test_a_mirror_that_is_not_asked_explains_images_that_the_registry_does_not_give(text: str) -> None:
    [finding] = [each for each in judge(containerd({HUB: text}, version="2.1.0")) if each.status is Status.WARN]
    silent = warn("RegistryUnreachable", "no answer", traits={"host:registry-1.docker.io"})
    another = warn("RegistryUnreachable", "no answer", traits={"host:quay.io"})
    links = Links([("registry-config", finding), ("images", silent), ("images", another)])

    assert len(links.explained_by(0)) == 1


def test_a_dead_mirror_of_several_registries_is_one_finding() -> None:
    files = {HUB: MIRROR, f"{CERTS_D}/quay.io/hosts.toml": MIRROR}
    [finding] = judge(containerd(files), {AT: TIMEOUT})

    assert "docker.io, quay.io" in finding.message


def test_one_mirror_with_a_ca_in_one_file_and_without_in_another_is_told_for_the_other() -> None:
    files = {HUB: f'{MIRROR}  ca = "/ca.crt"\n', "/ca.crt": PEM, f"{CERTS_D}/quay.io/hosts.toml": MIRROR}
    host, pulls = containerd(files)
    config = RegistryConfig.observe(host, pulls)
    said = [
        Answer(place, 200, registry=True) if place.ca_files else Answer(place, failure="tls-untrusted")
        for place in config.hosts
    ]
    none = Unobserved("NotFound", "no sandbox image")
    [finding] = registry_config(Runtime(kind="containerd"), config, RegistryAnswers(tuple(said)), none, none, DEBIAN)

    assert len(said) == 2
    assert (finding.status, finding.reason) == (Status.WARN, "CertificateUntrusted")
    assert "quay.io" in finding.message
    assert "docker.io" not in finding.message


def test_a_registry_that_is_not_trusted_behind_a_mirror_that_answers_warns() -> None:
    text = f'server = "https://registry-1.docker.io"\n{MIRROR}'
    [finding] = judge(containerd({HUB: text}), {UP: UNTRUSTED})
    both = judge(containerd({HUB: text}), {UP: UNTRUSTED, AT: UNTRUSTED})

    assert (finding.status, finding.reason) == (Status.WARN, "CertificateUntrusted")
    assert "nobody is left to ask" in finding.message
    assert [each.status for each in both] == [Status.FAIL, Status.FAIL]


def test_a_dead_mirror_that_is_the_server_as_well_leaves_nobody_to_ask() -> None:
    [finding] = judge(containerd({HUB: f'server = "https://m:5000"\n{MIRROR}'}), {AT: TIMEOUT})

    assert "cannot be pulled" in finding.message
    assert "names no other place after it" in finding.message


def test_a_mirror_that_may_not_be_asked_for_tags_is_told_when_the_registry_is_silent() -> None:
    [finding] = judge(containerd({HUB: f'{MIRROR}  capabilities = ["pull"]\n'}), {UP: TIMEOUT})

    assert (finding.status, finding.reason) == (Status.WARN, "TagsSkipMirror")
    assert '"resolve"' in finding.message


def test_a_private_ca_is_put_where_the_runtime_looks_for_it() -> None:
    def commands(made: tuple[FakeHost, PullConfig], url: str, distribution: Distribution = DEBIAN) -> str:
        [finding] = [
            one
            for one in judge(made, {url: UNTRUSTED}, distribution=distribution)
            if one.reason == "CertificateUntrusted"
        ]
        assert finding.fix is not None
        assert finding.fix.safety is Safety.MANUAL
        return "\n".join(finding.fix.commands)

    hosts_toml = commands(containerd({HUB: MIRROR}), AT)
    old = f'version = 2\n[{V2}.mirrors."docker.io"]\nendpoint = ["https://m:5000"]\n'
    mirrors = commands(containerd({}, config=old), AT, RHEL)
    with_crio = commands(
        crio({"/etc/containers/registries.conf": '[[registry]]\nlocation = "own:5000"\n'}), "https://own:5000/v2"
    )
    with_docker = commands(docker({"/etc/docker/daemon.json": '{"registry-mirrors": ["https://m:5000"]}'}), AT)

    assert "restart" not in hosts_toml
    assert f'1a ca = "{CERTS_D}/docker.io/m-5000.crt"' in hosts_toml
    assert "/etc/pki/ca-trust/source/anchors/m.crt" in mirrors
    assert mirrors.endswith("update-ca-trust extract\nsystemctl restart containerd")
    assert "/etc/containers/certs.d/own:5000/ca.crt" in with_crio
    assert "/etc/docker/certs.d/m:5000/ca.crt" in with_docker


def test_offline_nobody_is_asked_and_the_files_are_judged() -> None:
    offline = {"status": 0, "registry": False, "untried": Unobserved("Offline", "--offline forbids HTTP requests")}

    assert reasons(judge(containerd({HUB: MIRROR}), {AT: offline})) == [("skip", "Offline"), ("pass", "AsWritten")]
    assert reasons(judge(containerd({HUB: f"{MIRROR}  insecure = true\n"}), {AT: offline})) == [
        ("warn", "UnknownKey"),
        ("skip", "Offline"),
    ]


def test_what_a_recording_does_not_hold_is_unknown() -> None:
    gone = {"status": 0, "registry": False, "untried": Unobserved("NotRecorded", "the recording does not hold it")}

    assert ("unknown", "NotRecorded") in reasons(judge(containerd({HUB: MIRROR}), {AT: gone}))


def test_files_that_rancher_makes_are_mended_where_they_come_from() -> None:
    folder = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
    config = f'version = 2\n[{V2}]\nconfig_path = "{folder}"\n'
    [finding] = judge(containerd({f"{folder}/docker.io/hosts.toml": f"{MIRROR}  insecure = true\n"}, config=config))

    assert finding.fix is not None
    assert finding.fix.commands == ("${EDITOR:-vi} /etc/rancher/k3s/registries.yaml", "systemctl restart k3s")
    rewritten = f'{MIRROR}  [host."https://m:5000".rewrite]\n    "^(.*)$" = "hub/$1"\n'
    assert reasons(judge(containerd({f"{folder}/docker.io/hosts.toml": rewritten}, config=config))) == [
        ("pass", "AsWritten")
    ]
    assert reasons(judge(containerd({HUB: rewritten}))) == [("warn", "UnknownKey")]


# -- CRI-O ---------------------------------------------------------------------------------------------------------------

REGISTRIES = "/etc/containers/registries.conf"
HUB_MIRROR = '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "m:5000"\n'

FILES: list[tuple[str, Status, str]] = [
    ("UnknownKey", Status.WARN, HUB_MIRROR.replace("registry.mirror", "registry.mirrors")),
    ("UnknownKey", Status.WARN, f"{HUB_MIRROR}insecure_skip_verify = true\n"),
    ("UnknownKey", Status.WARN, f"{HUB_MIRROR}[[registrys]]\nlocation = 'x.y'\n"),
    ("RuntimeConfigInvalid", Status.FAIL, f"{HUB_MIRROR}[registries.insecure]\nregistries = ['a.b']\n"),
    ("RuntimeConfigInvalid", Status.FAIL, HUB_MIRROR.replace('"m:5000"', '"https://m:5000"')),
    ("RuntimeConfigInvalid", Status.FAIL, HUB_MIRROR.replace('location = "docker.io"\n', "")),
    (
        "RuntimeConfigInvalid",
        Status.FAIL,
        f"short-name-mode = 'lax'\n{HUB_MIRROR}",
    ),
    ("RuntimeConfigInvalid", Status.FAIL, "[[registry]]\nlocation = \n"),
    ("RuntimeConfigInvalid", Status.FAIL, HUB_MIRROR.replace('"m:5000"', '"mirror/hub"')),
]


def test_a_mirror_of_crio_passes() -> None:
    drop_in = '[[registry]]\nlocation = "own:5000"\ninsecure = true\n'
    found = judge(
        crio(
            {
                REGISTRIES: f'unqualified-search-registries = ["docker.io"]\n{HUB_MIRROR}',
                f"{REGISTRIES}.d/own.conf": drop_in,
            }
        )
    )

    assert reasons(found) == [("pass", "AsWritten")]


def test_a_client_certificate_without_its_key_stops_one_place_alone() -> None:
    certificate = {"/etc/containers/certs.d/m:5000/client.cert": PEM}
    [at_mirror] = judge(crio({REGISTRIES: HUB_MIRROR, **certificate}))
    [at_own] = judge(crio({REGISTRIES: '[[registry]]\nlocation = "m:5000"\n', **certificate}))

    assert (at_mirror.status, at_mirror.reason) == (Status.WARN, "ClientCertificateUnreadable")
    assert (at_own.status, at_own.reason) == (Status.FAIL, "ClientCertificateUnreadable")
    assert "client.key" in at_own.message


def test_a_prefix_that_stands_for_many_registries_is_asked_nothing() -> None:
    text = '[[registry]]\nprefix = "*.example"\ninsecure = true\n[[registry.mirror]]\nlocation = "m:5000"\n'
    host, pulls = crio({REGISTRIES: text})

    assert [place.base_url for place in RegistryConfig.observe(host, pulls).hosts] == [AT]
    assert "*.example" in judge((host, pulls))[-1].message


def test_mirrors_for_digests_alone_pass_for_each_prefix() -> None:
    more = '[[registry]]\nlocation = "docker.io/team"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "n:5000"\n'
    digests = HUB_MIRROR.replace("[[registry.mirror]]", "mirror-by-digest-only = true\n[[registry.mirror]]")

    found = judge(crio({REGISTRIES: digests + more}))

    assert reasons(found) == [("pass", "NotAskedForTags"), ("pass", "NotAskedForTags"), ("pass", "AsWritten")]


def test_a_registry_that_is_blocked_is_what_somebody_wanted() -> None:
    assert reasons(judge(crio({REGISTRIES: '[[registry]]\nlocation = "docker.io"\nblocked = true\n'}))) == [
        ("pass", "AsWritten")
    ]


@pytest.mark.parametrize(("reason", "status", "text"), FILES)
def test_each_mistake_in_registries_conf_is_told(reason: str, status: Status, text: str) -> None:
    found = [one for one in judge(crio({REGISTRIES: text})) if one.status is not Status.PASS]

    assert {(one.status, one.reason) for one in found} == {(status, reason)}
    assert all(REGISTRIES in one.message and one.fix for one in found)


def test_a_drop_in_that_takes_a_mirror_s_place_and_one_of_the_wrong_name_are_told() -> None:
    lost = judge(crio({REGISTRIES: HUB_MIRROR, f"{REGISTRIES}.d/hub.conf": '[[registry]]\nlocation = "docker.io"\n'}))
    unread = judge(crio({f"{REGISTRIES}.d/hub.toml": HUB_MIRROR}))

    assert [one.reason for one in lost if one.status is Status.WARN] == ["MirrorIgnored"]
    assert [one.reason for one in unread if one.status is Status.WARN] == ["MirrorIgnored"]


# -- Docker --------------------------------------------------------------------------------------------------------------

DAEMON = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"registry-mirrors": ["m:5000"]}', "MalformedConfig"),
        ('{"registry-mirror": ["https://m:5000"]}', "UnknownKey"),
        ('{"registry_mirrors": ["https://m:5000"]}', "UnknownKey"),
        ('{"insecure_registries": ["m:5000"]}', "UnknownKey"),
    ],
)
def test_each_mistake_in_daemon_json_is_told(text: str, reason: str) -> None:
    [finding] = judge(docker({DAEMON: text}))

    assert (finding.status, finding.reason) == (Status.WARN, reason)
    assert DAEMON in finding.message


@pytest.mark.parametrize(
    "made",
    [
        docker({DAEMON: '{"registry-mirrors": [}'}),
        containerd({}, config="version = 2\n[plugins\n"),
        crio({"/etc/crio/crio.conf": "[crio.image\n"}),
    ],
    ids=["daemon.json", "config.toml", "crio.conf"],
)
def test_a_runtime_s_own_file_that_it_cannot_take_is_not_called_good(made: tuple[FakeHost, PullConfig]) -> None:
    [finding] = judge(made)

    assert (finding.status, finding.reason) == (Status.SKIP, "ToldByPauseImage")


def test_a_key_that_keeps_a_stopped_dockerd_from_starting_fails() -> None:
    [finding] = judge(docker({DAEMON: '{"registry_mirrors": ["https://m:5000"]}'}), reachable=False)
    [taken] = judge(docker({DAEMON: '{"registry-mirror": ["https://m:5000"]}'}), reachable=False)

    assert (finding.status, taken.status) == (Status.FAIL, Status.WARN)


def test_mirrors_and_insecure_registries_of_docker_pass() -> None:
    found = judge(
        docker({DAEMON: '{"registry-mirrors": ["https://m:5000"], "insecure-registries": ["own:5000", "10.0.0.0/8"]}'})
    )

    assert reasons(found) == [("pass", "AsWritten")]
    assert (
        "about docker.io and own:5000 is understood and counts, and one of the places named there answers."
        in found[0].message
    )


def test_an_unread_hosts_toml_in_vain_is_not_told_for_facts_that_are_not_there() -> None:
    host, pulls = containerd({HUB: f"{MIRROR}  insecure = true\n"})
    config = RegistryConfig.observe(host, pulls)
    none = Unobserved("NotFound", "no sandbox image")
    found = registry_config(Runtime(kind="containerd"), config, none, none, none, none)

    assert reasons(list(found)) == [("warn", "UnknownKey"), ("unknown", "NotFound")]
    assert isinstance(chain_for(host, PAUSE, pulls), RegistryHosts)
