"""The judgement about proxies: what programs have, and whom they talk to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.proxy import proxy
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.proxied_programs import Detour, Program, ProxiedPrograms, ProxyDetours
from k8sdoctor.facts.proxy import ProxyEnvironment, UnitProxy
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import Answer, RegistryAnswers
from k8sdoctor.facts.registry_chain import RegistryHost
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.finding import Evidence, Finding, Status, Unobserved, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

P = "http://proxy.corp:3128"
SERVICES, PODS, NODES = ("10.96.0.0/12",), ("10.244.0.0/16",), ("192.0.2.10", "192.0.2.11")
API = "https://192.0.2.10:6443"
WHOLE = "localhost,.svc,10.96.0.0/12,10.244.0.0/16,192.0.2.0/24"
DROP_IN = "/etc/systemd/system/containerd.service.d/http-proxy.conf"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
NONE = Unobserved("NotFound", "nothing of the kind")


def has(no_proxy: str | None = None, https: str | None = P, http: str | None = None) -> ProxyEnvironment:
    return ProxyEnvironment(http, https, no_proxy, source="/proc/8/environ")


def service(name: str, variables: ProxyEnvironment, **changes: Any) -> Program:
    unit = UnitProxy(
        name, variables, changes.pop("planned", variables), changes.pop("sources", {}), changes.pop("stale", ())
    )
    role: Any = {"kubelet": "kubelet"}.get(name, "runtime")
    return Program(name, role, variables, unit, api=API if name == "kubelet" else None, **changes)


def static(name: str, variables: ProxyEnvironment) -> Program:
    if name == "kube-apiserver":
        return Program(name, "api-server", variables, file=MANIFEST)
    return Program(name, "api-client", variables, file=f"/etc/kubernetes/manifests/{name}.yaml", api=API)


def judge(
    *programs: Program,
    tried: tuple[Detour, ...] = (),
    shell: tuple[tuple[str, str], ...] = (),
    answers: Mapping[str, Answer] | None = None,
    services: tuple[str, ...] = SERVICES,
    pods: tuple[str, ...] = PODS,
) -> list[Finding]:
    facts = ProxiedPrograms(programs, services, pods, NODES, shell)
    return list(
        proxy(
            facts, ProxyDetours(tried), RegistryAnswers(tuple((answers or {}).values())), PullAttempts("x", present="y")
        )
    )


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


# -- healthy -----------------------------------------------------------------------------------------------------------


def test_no_proxy_at_all_passes() -> None:
    found = judge(service("containerd", ProxyEnvironment()), service("kubelet", ProxyEnvironment()))

    assert reasons(found) == [("pass", "NoProxy")]
    assert [each.content for each in found[0].evidence] == ["containerd: none", "kubelet: none"]


@pytest.mark.parametrize("no_proxy", [WHOLE, "*", "svc,10.0.0.0/8,192.0.2.10,192.0.2.11"])
def test_a_proxy_that_leaves_the_cluster_out_passes(no_proxy: str) -> None:
    variables = has(no_proxy)
    found = judge(
        service("containerd", variables),
        service("kubelet", variables),
        static("kube-apiserver", variables),
        static("kube-scheduler", variables),
    )

    assert reasons(found) == [("pass", "ClusterLeftOut")]


def test_a_proxy_for_http_alone_is_not_between_the_kubelet_and_its_api_server() -> None:
    variables = has(None, https=None, http=P)

    assert reasons(judge(service("kubelet", variables), static("kube-apiserver", variables))) == [
        ("pass", "ClusterLeftOut")
    ]


def test_a_machine_without_anything_is_not_judged() -> None:
    assert reasons(list(proxy(ProxiedPrograms(), NONE, NONE, NONE))) == [("skip", "NotInstalled")]


def test_an_environment_that_we_may_not_read_is_unknown() -> None:
    denied = Unobserved("NotPermitted", "/proc/8/environ cannot be read; run as root")
    found = judge(
        replace(service("containerd", ProxyEnvironment()), unread=denied), service("kubelet", ProxyEnvironment())
    )

    assert reasons(found) == [("unknown", "NotPermitted")]
    assert "run as root" in found[0].message


def test_subnets_that_nobody_knows_are_not_missed() -> None:
    assert reasons(judge(service("containerd", has("localhost")), services=(), pods=())) == [("pass", "ClusterLeftOut")]


# -- the API server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [service("kubelet", has("10.96.0.0/12")), static("kube-controller-manager", has())])
def test_an_api_server_behind_the_proxy_warns_as_long_as_the_proxy_leads_there(program: Program) -> None:
    [finding] = judge(program)

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "ApiThroughProxy", program.name)
    assert "192.0.2.10" in finding.message
    assert finding.fix is not None


def test_an_api_server_that_the_proxy_does_not_lead_to_fails_when_it_answers_directly() -> None:
    lost = Detour("kubelet", API, "proxy.corp:3128", "403 Forbidden", direct=True, api=True)
    [broken] = judge(service("kubelet", has()), tried=(lost,))
    [down] = judge(service("kubelet", has()), tried=(replace(lost, direct=False),))

    assert (broken.status, down.status) == (Status.FAIL, Status.WARN)
    assert "403 Forbidden" in broken.message


# -- the cluster -------------------------------------------------------------------------------------------------------


def test_a_runtime_without_the_cluster_s_subnets_warns_and_the_drop_in_comes_last() -> None:
    [finding] = judge(service("containerd", has("localhost,10.244.0.0/16"), sources={"NO_PROXY": DROP_IN}))

    assert (finding.status, finding.reason) == (Status.WARN, "ClusterThroughProxy")
    assert "10.96.0.0/12" in finding.message
    assert finding.fix is not None
    [write] = [command for command in finding.fix.commands if command.startswith("printf")]
    assert "NO_PROXY=localhost,10.244.0.0/16,10.96.0.0/12" in write
    assert write.endswith("containerd.service.d/zz-no-proxy.conf")
    assert finding.fix.commands[-1] == "systemctl restart containerd"


def test_addresses_of_a_subnet_and_entries_with_an_asterisk_are_no_subnet() -> None:
    [finding] = judge(service("containerd", has("10.244.0.0/16,10.96.0.1,10.96.*")))

    assert finding.reason == "ClusterThroughProxy"
    assert "`10.96.*` matches nothing" in finding.message


def test_an_environment_file_that_sets_it_is_changed_itself() -> None:
    [finding] = judge(service("containerd", has("localhost"), sources={"NO_PROXY": "/etc/sysconfig/containerd"}))

    assert finding.fix is not None
    assert finding.fix.commands[0].endswith(">> /etc/sysconfig/containerd")


def test_docker_s_own_file_is_changed_where_it_sets_the_proxy() -> None:
    [finding] = judge(Program("dockerd", "runtime", has(), file="/etc/docker/daemon.json"))

    assert finding.fix is not None
    assert "/etc/docker/daemon.json" in finding.fix.commands[0]


def test_an_api_server_needs_webhooks_services_and_nodes_without_the_proxy() -> None:
    [finding] = judge(static("kube-apiserver", has("localhost,192.0.2.10")))

    assert (finding.status, finding.reason) == (Status.WARN, "ClusterThroughProxy")
    assert ".svc, 10.96.0.0/12, 192.0.2.11," in finding.message
    assert finding.fix is not None
    assert finding.fix.commands[-1].endswith(f"mv /etc/kubernetes/kube-apiserver.yaml.new {MANIFEST}")


# -- the variables themselves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "status"),
    [("http//proxy:3128", Status.FAIL), ('"http://proxy:3128"', Status.FAIL), ("http://proxy:port", Status.WARN)],
)
def test_a_proxy_that_is_no_address_is_told(address: str, status: Status) -> None:
    [finding] = judge(service("containerd", has(WHOLE, https=address)))

    assert (finding.status, finding.reason) == (status, "ProxyMalformed")


@pytest.mark.parametrize(
    "address", ["proxy:3128", "proxy.corp", "http://10.0.0.1:3128/", "socks5://proxy:1080", "http://[::1]:1"]
)
def test_an_address_without_a_scheme_is_good_enough(address: str) -> None:
    assert reasons(judge(service("containerd", has(WHOLE, https=address)))) == [("pass", "ClusterLeftOut")]


def test_a_password_is_in_no_message() -> None:
    secret = "http://me:s3cret@proxy:port"
    bad = has("", https=secret)
    stale = (IgnoredSetting("not-loaded", "HTTPS_PROXY", "http://proxy:1", DROP_IN, "it was not restarted"),)
    found = judge(
        service("containerd", bad, stale=stale, planned=bad),
        service("kubelet", has("", https="http://me:s3cret@proxy:1")),
        tried=(Detour("containerd", "https://m/v2", "proxy:1", "refused", direct=True),),
    )

    assert len(found) >= 4
    assert "s3cret" not in repr(found)


def test_two_values_of_one_variable_are_told() -> None:
    variables = replace(has(WHOLE), differing=("NO_PROXY",))

    assert reasons(judge(service("containerd", variables))) == [("warn", "VariablesDisagree")]


def test_a_unit_that_says_more_than_the_process_has_needs_a_restart_and_nothing_else() -> None:
    why = "the running containerd (pid 8) has none: it was not restarted since this was written"
    stale = (IgnoredSetting("not-loaded", "NO_PROXY", WHOLE, DROP_IN, why),)
    [finding] = judge(service("containerd", has("localhost"), planned=has(WHOLE), stale=stale))

    assert (finding.status, finding.reason) == (Status.WARN, "ProxyNotLoaded")
    assert DROP_IN in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("systemctl daemon-reload", "systemctl restart containerd")


# -- registries --------------------------------------------------------------------------------------------------------

MIRROR = RegistryHost("https://m.corp:5000/v2", "image", "latest", "hosts.toml:1")


def test_a_registry_that_answers_without_the_proxy_alone_is_the_proxy_s_fault() -> None:
    lost = Detour("containerd", MIRROR.base_url, "proxy.corp:3128", "403 Forbidden", direct=True)
    found = judge(
        service("containerd", has(WHOLE)), tried=(lost, replace(lost, target="https://dead/v2", direct=False))
    )

    assert reasons(found) == [("warn", "RegistryThroughProxy")]
    symptom = warn(
        "RegistryUnreachable", "m.corp:5000 cannot be used", traits={"host:m.corp:5000"}, evidence=[Evidence("a", "b")]
    )
    other = warn("RegistryUnreachable", "dead cannot be used", traits={"host:dead"}, evidence=[Evidence("a", "b")])
    links = Links([("proxy", found[0]), ("registry-config", symptom), ("registry-config", other)])
    assert len(links.explained_by(0)) == 1


def test_variables_that_shells_alone_have_are_told_when_a_registry_is_out_of_reach() -> None:
    shell = (("https_proxy", "/etc/environment"),)
    silent = {MIRROR.base_url: Answer(MIRROR, failure="timeout", said="no answer")}
    fine = {MIRROR.base_url: Answer(MIRROR, 200, registry=True)}

    [finding] = judge(service("containerd", ProxyEnvironment()), shell=shell, answers=silent)

    assert (finding.status, finding.reason) == (Status.WARN, "ProxyNotInUnit")
    assert finding.fix is not None
    assert any("EnvironmentFile=/etc/environment" in command for command in finding.fix.commands)
    assert any("NO_PROXY=10.96.0.0/12,10.244.0.0/16" in command for command in finding.fix.commands)
    assert reasons(judge(service("containerd", ProxyEnvironment()), shell=shell, answers=fine)) == [("pass", "NoProxy")]
    assert reasons(judge(service("containerd", has(WHOLE)), shell=shell, answers=silent)) == [
        ("pass", "ClusterLeftOut")
    ]
    assert reasons(judge(service("containerd", ProxyEnvironment()), answers=silent)) == [("pass", "NoProxy")]
