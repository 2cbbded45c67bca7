"""kubelet: files of a node in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from k8sdoctor.checks.kubelet import kubelet
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_config import KubeletConfigFiles
from k8sdoctor.facts.kubelet_unit import KubeletUnit
from k8sdoctor.facts.pod_resolver import PodResolver
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Safety, Status, Unobserved
from k8sdoctor.host.answers import Process
from k8sdoctor.testing import FakeHost, HostError, examine
from tests.facts.test_service_unit import BASE, DROP_IN, ETC, PACKAGE, UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "/var/lib/kubelet/config.yaml"
FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
ENABLED = {"/etc/systemd/system/multi-user.target.wants/kubelet.service": ""}
NODE = {
    **PACKAGE,
    **ENABLED,
    CONFIG: HEAD,
    "/etc/kubernetes/kubelet.conf": "",
    "/etc/resolv.conf": "nameserver 192.0.2.53\n",
}
FITS = Runtime(kind="containerd", version=(2, 2, 1), reachable=True, api="v1")


def judge(
    files: Mapping[str, str | None],
    *cmdline: str,
    version: str = "1.36.2",
    runtime: Runtime = FITS,
    denied: tuple[str, ...] = (),
    masked: bool = False,
) -> list[Finding]:
    """A joined node as kubeadm leaves it, with some files changed (None removes one); the words of a running kubelet."""
    present = {path: text for path, text in {**NODE, **files}.items() if text is not None}
    link = "/dev/null" if masked else HostError("NotFound", "no link")
    host = FakeHost(
        present, denied=denied, run={"code": 0, "out": f"Kubernetes v{version}\n", "err": ""}, readlink=link
    )
    processes = Processes((Process(pid=7, ppid=1, name="kubelet", cmdline=list(cmdline)),) if cmdline else ())
    found = Kubelet.observe(host, processes)
    return list(
        kubelet(
            found,
            KubeletConfigFiles.observe(host, found),
            unit(host),
            processes,
            runtime,
            PodResolver.observe(host, found),
            Stage.observe(host),
        )
    )


def unit(host: FakeHost) -> KubeletUnit | Unobserved:
    try:
        return KubeletUnit.observe(host)
    except HostError as error:
        return Unobserved(error.reason, error.message)


def one(files: Mapping[str, str | None], *cmdline: str, version: str = "1.36.2", runtime: Runtime = FITS) -> Finding:
    [finding] = judge(files, *cmdline, version=version, runtime=runtime)
    return finding


def commands(finding: Finding) -> tuple[str, ...]:
    assert finding.fix is not None
    return finding.fix.commands


# -- healthy, not applicable, cannot look ----------------------------------------------------------------------------


def test_a_kubelet_as_its_packages_and_kubeadm_set_it_up_is_healthy() -> None:
    for cmdline in ((), BASE):
        finding = one({}, *cmdline)
        assert (finding.status, finding.reason) == (Status.PASS, "Configured")


def test_a_bare_machine_is_skipped() -> None:
    [finding] = examine(FakeHost(), "kubelet")

    assert (finding.status, finding.reason) == (Status.SKIP, "NoKubelet")


def test_before_kubeadm_init_the_configuration_is_absent_by_right() -> None:
    finding = one(
        {CONFIG: None, "/etc/kubernetes/kubelet.conf": None, "/etc/resolv.conf": None, **dict.fromkeys(ENABLED)}
    )

    assert finding.reason == "Configured"


def test_a_kubelet_without_a_unit_of_systemd_is_judged_by_the_rest() -> None:
    assert one({UNIT: None, DROP_IN: None}, "/opt/kubelet", f"--config={CONFIG}").reason == "Configured"


def test_files_that_may_not_be_read_are_unknown() -> None:
    for path in (CONFIG, UNIT, "/etc/resolv.conf"):
        [finding] = judge({}, denied=(path,))
        assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
        assert path in finding.message


def test_an_environment_file_that_may_not_be_read_is_unknown() -> None:
    [finding] = judge({FLAGS: "KUBELET_KUBEADM_ARGS=--v=2\n"}, denied=(FLAGS,))

    assert (finding.status, finding.subject) == (Status.UNKNOWN, "kubelet.service")


# -- the unit --------------------------------------------------------------------------------------------------------


def test_two_commands_are_refused_by_systemd() -> None:
    path = f"{ETC}/20-mine.conf"
    finding = one({path: "[Service]\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml\n"})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "UnitInvalid", path)
    assert "2 ExecStart lines are left" in finding.message


def test_a_masked_unit_fails() -> None:
    [finding] = judge({}, masked=True)

    assert (finding.status, finding.reason) == (Status.FAIL, "UnitMasked")
    assert {link.reason for link in finding.explains} == {"KubeletCrashes", "KubeletStopped"}


def test_a_file_of_the_environment_that_must_be_there_fails() -> None:
    finding = one({f"{ETC}/20.conf": "[Service]\nEnvironmentFile=/etc/gone\n"})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "EnvironmentFileMissing", "/etc/gone")


def test_a_unit_that_no_boot_starts_is_a_warning_on_a_node_and_none_before() -> None:
    off = dict.fromkeys(ENABLED)
    finding = one(off)

    assert (finding.status, finding.reason) == (Status.WARN, "NotEnabled")
    assert finding.fix is not None
    assert finding.fix.persist == ("systemctl enable kubelet",)
    assert one({**off, "/etc/kubernetes/kubelet.conf": None}).reason == "Configured"


def test_without_kubeadms_drop_in_the_kubelet_has_no_configuration() -> None:
    absent = one({DROP_IN: None})
    other = one(
        {DROP_IN: "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf\n"}
    )

    assert (absent.status, absent.reason) == (Status.FAIL, "ConfigNotUsed")
    assert "10-kubeadm.conf of kubeadm's package is not there" in absent.message
    assert f"{DROP_IN} does not give it" in other.message


def test_a_change_that_waits_for_a_restart_is_told_with_the_words_that_differ() -> None:
    finding = one({FLAGS: 'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1"\n'}, *BASE, "--v=4")

    assert (finding.status, finding.reason) == (Status.WARN, "NotRestarted")
    assert "runs without --node-ip=192.0.2.1 and with --v=4" in finding.message
    assert commands(finding) == ("systemctl daemon-reload", "systemctl restart kubelet")


def test_nobody_is_sent_to_restart_a_kubelet_that_would_not_start_again() -> None:
    finding = one({FLAGS: 'KUBELET_KUBEADM_ARGS="--network-plugin=cni"\n'}, *BASE, version="1.36.0")

    assert (finding.status, finding.reason) == (Status.WARN, "FlagRemoved")


# -- flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "before", "since"),
    [
        ("--network-plugin=cni", "1.23.17", "1.24.0"),
        ("--container-runtime=remote", "1.26.15", "1.27.0"),
        ("--logtostderr=true", "1.25.16", "1.26.0"),
        ("--pod-infra-container-image=registry.k8s.io/pause:3.9", "1.34.2", "1.35.0"),
    ],
)
def test_a_removed_flag_fails_from_the_release_that_removed_it(flag: str, before: str, since: str) -> None:
    files = {FLAGS: f'KUBELET_KUBEADM_ARGS="--v=2 {flag} --node-ip=192.0.2.1"\n'}
    old = Runtime(kind="containerd", version=(2, 2, 1), api="v1")

    finding = one(files, version=since, runtime=old)

    assert one(files, version=before, runtime=old).reason == "Configured"
    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "FlagRemoved", FLAGS)
    name = flag.partition("=")[0]
    assert commands(finding) == (f"sed -i 's/{name}=[^ \"]*//g' {FLAGS}", "systemctl restart kubelet")


def test_a_flag_that_waits_for_the_next_start_is_a_warning_while_the_kubelet_runs() -> None:
    files = {FLAGS: "KUBELET_KUBEADM_ARGS=--network-plugin=cni\n"}
    found = {each.reason: each for each in judge(files, *BASE)}

    assert found["FlagRemoved"].status is Status.WARN
    assert "does not start again" in found["FlagRemoved"].message


def test_a_flag_of_the_unit_s_own_files_is_named_there() -> None:
    path = f"{ETC}/20.conf"
    finding = one(
        {path: f"[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --config={CONFIG} --container-runtime=remote\n"}
    )

    assert (finding.reason, finding.subject) == ("FlagRemoved", path)


# -- the configuration -----------------------------------------------------------------------------------------------


def test_a_configuration_that_is_no_yaml_fails_and_warns_where_the_kubelet_runs() -> None:
    broken = {CONFIG: f"{HEAD}clusterDNS:\n - a\n  b: c\n"}
    finding, running = one(broken), one(broken, *BASE)

    assert (finding.status, finding.reason) == (Status.FAIL, "ConfigSyntax")
    assert f"{CONFIG}, line 5, column" in finding.message
    assert running.status is Status.WARN
    assert ("KubeletCrashes", frozenset({"points-to:kubelet"})) in {
        (link.reason, link.when) for link in finding.explains
    }
    assert {(link.check, link.reason, link.when) for link in running.explains} == {
        (check, "Unreadable", frozenset({f"file:{CONFIG}"})) for check in ("dns-reply-source", "pod-resolv-conf")
    }


@pytest.mark.parametrize(
    "text", ["", "kind: KubeletConfiguration\n", HEAD.replace("v1beta1", "v1"), HEAD.replace("Kubelet", "KubeProxy")]
)
def test_a_file_of_another_kind_fails(text: str) -> None:
    finding = next(each for each in judge({CONFIG: text}) if each.reason != "ConfigNotUsed")

    assert (finding.status, finding.reason) == (Status.FAIL, "ConfigKind")


def test_a_configuration_that_is_not_there_fails_on_a_node() -> None:
    finding = one({CONFIG: None})

    assert (finding.status, finding.reason) == (Status.FAIL, "ConfigMissing")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("clusterDNS: 10.96.0.10", "clusterDNS is the text '10.96.0.10' where a list is wanted"),
        ("clusterDNS: [1]", "clusterDNS is a list that holds the number 1 where text is wanted"),
        ('maxPods: "110"', "maxPods is the text '110' where a number is wanted"),
        ('failSwapOn: "false"', "failSwapOn is the text 'false' where true or false is wanted"),
        ("syncFrequency: 10", "syncFrequency is the number 10 where text is wanted such as 10s"),
        ("reservedSystemCPUs: 0", "reservedSystemCPUs is the number 0 where text is wanted; quote it"),
        ("evictionHard: {memory.available: 100}", "evictionHard is a mapping whose memory.available is the number 100"),
        ('featureGates: {NodeSwap: "true"}', "featureGates is a mapping whose NodeSwap is the text 'true'"),
        ("authentication: yes", "authentication is the boolean true where a mapping is wanted"),
        ("registerWithTaints: a", "registerWithTaints is the text 'a' where a list is wanted"),
    ],
)
def test_a_value_of_the_wrong_kind_keeps_the_kubelet_from_starting(line: str, words: str) -> None:
    finding = one({CONFIG: f"{HEAD}{line}\n"})

    assert (finding.status, finding.reason) == (Status.FAIL, "ConfigFieldInvalid")
    assert words in finding.message


def test_values_of_every_kind_are_taken() -> None:
    tree = {
        "clusterDNS": ["10.96.0.10"],
        "maxPods": 110,
        "failSwapOn": False,
        "syncFrequency": "10s",
        "evictionHard": {"memory.available": "100Mi"},
        "featureGates": {"NodeSwap": True},
        "registerWithTaints": [{"key": "a", "effect": "NoSchedule"}],
        "kubeReserved": None,
        "memoryThrottlingFactor": 0.9,
    }

    assert one({CONFIG: HEAD + yaml.safe_dump(tree)}).reason == "Configured"


@pytest.mark.parametrize(
    ("line", "version", "words"),
    [
        ("maxpods: 110", "1.36.2", "maxpods (maxPods may be meant)"),
        ("clusterDns: []", "1.36.2", "clusterDns (clusterDNS may be meant)"),
        ("failCgroupV1: false", "1.30.1", "failCgroupV1 (1.31 brought it)"),
        ("authentication: {webhook: {enable: true}}", "1.36.2", "authentication.webhook.enable (enabled may be meant)"),
        ("tuning: high", "1.36.2", "tuning."),
    ],
)
def test_a_field_that_this_version_does_not_know_does_nothing(line: str, version: str, words: str) -> None:
    finding = one({CONFIG: f"{HEAD}{line}\n"}, version=version)

    assert (finding.status, finding.reason) == (Status.WARN, "ConfigFieldIgnored")
    assert words in finding.message


def test_fields_of_a_release_that_is_not_known_are_not_judged() -> None:
    assert one({CONFIG: f"{HEAD}brandNew: 1\n"}, version="1.38.0").reason == "Configured"


def test_a_folder_of_drop_ins_that_is_not_there_fails_at_the_next_start() -> None:
    found = {each.reason: each for each in judge({}, *BASE, "--config-dir=/etc/gone.d")}

    assert found["ConfigMissing"].subject == "/etc/gone.d"
    assert commands(found["ConfigMissing"])[0] == "mkdir -p /etc/gone.d"


def test_drop_ins_are_judged_like_the_file() -> None:
    drop_in = "/etc/kubelet.d/10.conf"
    found = {each.reason for each in judge({drop_in: f"{HEAD}maxPods: many\n"}, *BASE, "--config-dir=/etc/kubelet.d")}

    assert found == {"ConfigFieldInvalid"}


# -- the resolver ----------------------------------------------------------------------------------------------------

STUB = {"/etc/resolv.conf": "# stub\nnameserver 127.0.0.53\noptions edns0\n"}
BEHIND = {"/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\n"}


def test_a_resolver_that_is_not_there_lets_no_pod_be_made() -> None:
    finding = one({CONFIG: f"{HEAD}resolvConf: /run/gone\n"})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ResolvConfMissing", "/run/gone")


def test_a_stub_on_loopback_is_a_warning_and_the_resolvers_behind_it_are_named() -> None:
    finding = one({**STUB, **BEHIND})

    assert (finding.status, finding.reason) == (Status.WARN, "ResolvConfLoopback")
    assert commands(finding)[0] == f"printf '\\n%s\\n' 'resolvConf: /run/systemd/resolve/resolv.conf' >> {CONFIG}"
    assert {(link.check, link.reason) for link in finding.explains} == {
        ("dns-reply-source", "NoBackends"),
        ("coredns", "Looping"),
        ("coredns", "CrashLoop"),
        ("pod-resolv-conf", "StubResolver"),
    }


def test_without_resolvers_behind_it_a_person_names_others() -> None:
    finding = one(STUB)

    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL


def test_a_configuration_that_names_what_is_behind_the_stub_is_healthy() -> None:
    assert (
        one({**STUB, **BEHIND, CONFIG: f"{HEAD}resolvConf: /run/systemd/resolve/resolv.conf\n"}).reason == "Configured"
    )
    assert one({**STUB, CONFIG: f'{HEAD}resolvConf: ""\n'}).reason == "Configured"


# -- the runtime -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "runtime", "version", "fits"),
    [
        ("containerd", (1, 6, 20), "1.28.15", True),
        ("containerd", (1, 6, 20), "1.34.2", True),
        ("containerd", (1, 6, 36), "1.35.0", False),
        ("containerd", (1, 7, 27), "1.35.0", True),
        ("containerd", (1, 7, 27), "1.36.0", False),
        ("containerd", (2, 1, 5), "1.36.0", False),
        ("containerd", (2, 2, 0), "1.36.0", True),
        ("containerd", (1, 5, 18), "1.26.0", False),
        ("cri-o", (1, 34, 1), "1.36.2", True),
        ("cri-o", (1, 33, 1), "1.36.2", False),
        ("cri-dockerd", (0, 3, 4), "1.36.2", True),
    ],
)
def test_a_runtime_must_go_with_the_version(
    kind: str, runtime: tuple[int, int, int], version: str, *, fits: bool
) -> None:
    found = Runtime(kind=kind, version=runtime, api="v1")  # type: ignore[arg-type] # -- one of the kinds

    finding = one({}, version=version, runtime=found)

    assert (finding.reason, finding.status) == (("Configured", Status.PASS) if fits else ("RuntimeTooOld", Status.WARN))


def test_a_runtime_without_cri_v1_fails_since_1_26() -> None:
    old = Runtime(kind="containerd", version=(1, 5, 18), api="v1alpha2")

    assert one({}, version="1.26.0", runtime=old).status is Status.FAIL
    assert one({}, version="1.25.0", runtime=old).reason == "Configured"
