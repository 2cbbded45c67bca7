"""kubeadm's names for its preflight checks lead to reasons of ours, and leave out nothing else."""

from __future__ import annotations

import json
import re

import pytest

from k8sdoctor import engine, kubeadm_names, registry
from k8sdoctor.check import check
from k8sdoctor.documentation import Documentation
from k8sdoctor.facts.stage import Stage  # noqa: TC001 -- the engine resolves a check's annotations
from k8sdoctor.finding import Finding, Status, fail, passed
from k8sdoctor.kubeadm_names import NAMES, Name, find
from k8sdoctor.testing import FakeHost
from tests.cli.doctor import doctor

# kubernetes cmd/kubeadm/app/preflight/checks.go: InitNodeChecks, JoinNodeChecks, addCommonChecks, RunRootCheckOnly, RunPullImagesCheck;
# checks_linux.go: addExecChecks, addIPv4Checks, addIPv6Checks; app/phases/upgrade/health.go and preflight.go. Until 1.36.
PREFLIGHT = [
    "IsPrivilegedUser",
    "NumCPU",
    "Mem",
    "KubernetesVersion",
    "Port-6443",
    "Port-10259",
    "Port-10257",
    "Port-10250",
    "Port-2379",
    "Port-2380",
    "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
    "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
    "FileAvailable--etc-kubernetes-kubelet.conf",
    "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf",
    "FileAvailable--etc-kubernetes-pki-ca.crt",
    "DirAvailable--var-lib-etcd",
    "HTTPProxy",
    "HTTPProxyCIDR",
    "FileContent--proc-sys-net-ipv4-ip_forward",
    "FileContent--proc-sys-net-ipv6-conf-default-forwarding",
    "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables",
    "FileContent--proc-sys-net-bridge-bridge-nf-call-ip6tables",
    "ExternalEtcdVersion",
    "ExternalEtcdClientCertificates",
    "ImagePull",
    "Firewalld",
    "CRI",
    "ContainerRuntimeVersion",
    "Swap",
    "FileExisting-conntrack",
    "FileExisting-crictl",
    "FileExisting-mount",
    "FileExisting-losetup",
    "FileExisting-cp",
    "SystemVerification",
    "Hostname",
    "KubeletVersion",
    "Service-Kubelet",
    "CreateJob",
    "ControlPlaneNodesReady",
    "StaticPodManifest",
    "CoreDNSUnsupportedPlugins",
    "CoreDNSMigration",
]


@pytest.mark.parametrize("name", PREFLIGHT)
def test_each_of_kubeadms_names_is_known_in_upper_and_lower_case(name: str) -> None:
    found = find(name)

    assert found is not None
    assert find(name.upper()) == find(name.lower()) == found
    assert bool(found.judged) != bool(found.instead)  # judged here, or told where else


@pytest.mark.parametrize("word", ["", "port-", "FileExisting", "NumCPUs", "all", "resources", "xport-1"])
def test_what_kubeadm_does_not_say_is_none_of_its_names(word: str) -> None:
    assert find(word) is None


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)
def test_what_a_name_leads_to_is_there(name: Name) -> None:
    known = registry.load(plug_ins=False)
    for id_, reasons in name.judged:
        entry = known.get(id_)
        assert entry is not None, id_
        documented = {each.reason: each.status for each in Documentation.of(entry.check).reasons}
        assert [each for each in reasons if each not in documented] == []
        assert all(documented[each] not in (Status.PASS, Status.SKIP) for each in reasons)


def judge(findings: list[Finding], *names: str) -> list[tuple[str, str]]:
    """What a check called `ports` with these findings says when kubeadm's names are left out."""

    @check("ports", title="t", area="a")
    def ports(stage: Stage):  # type: ignore[no-untyped-def] # noqa: ANN202 -- any findings
        yield from findings

    omitted = tuple(
        omission for name in names if (found := find(name)) for omission in kubeadm_names.omissions(name, found)
    )
    report = engine.run(FakeHost(), [ports], engine.Request(named=("ports",), omitted=omitted))
    return [(str(each.status), each.reason) for each in report.results[0].findings]


def taken(*ports: int) -> Finding:
    return fail("PortTaken", "taken", traits=[f"kubeadm:Port-{port}" for port in ports])


def test_a_name_leaves_out_what_it_names_and_nothing_else() -> None:
    both = [taken(6443), taken(10250)]

    assert judge(both) == [("fail", "PortTaken"), ("fail", "PortTaken")]
    assert judge(both, "Port-6443") == [("fail", "PortTaken"), ("skip", "SkippedByUser")]
    assert judge(both, "port-6443", "PORT-10250") == [("skip", "SkippedByUser"), ("skip", "SkippedByUser")]
    assert judge(both, "Port-80") == [("fail", "PortTaken"), ("fail", "PortTaken")]
    assert judge(both, "Port-644") == [("fail", "PortTaken"), ("fail", "PortTaken")]


def test_a_finding_about_several_things_is_left_out_when_each_is_named() -> None:
    assert judge([taken(1, 2)], "Port-1") == [("fail", "PortTaken")]
    assert judge([taken(1, 2)], "Port-1", "Port-2") == [("skip", "SkippedByUser"), ("skip", "SkippedByUser")]


def test_a_name_of_another_check_leaves_nothing_out() -> None:
    assert judge([taken(6443), passed("PortsFree", "free")], "NumCPU") == [("fail", "PortTaken"), ("pass", "PortsFree")]


def test_what_is_left_out_says_by_which_word() -> None:
    @check("resources", title="t", area="a")
    def resources(stage: Stage):  # type: ignore[no-untyped-def] # noqa: ANN202 -- as above
        yield fail("TooFewCpus", "one")
        yield fail("TooLittleMemory", "little")

    found = find("numcpu")
    assert found is not None
    omitted = tuple(kubeadm_names.omissions("numcpu", found))
    [result] = engine.run(FakeHost(), [resources], engine.Request(named=("resources",), omitted=omitted)).results

    assert [(each.reason, each.message) for each in result.findings] == [
        ("TooLittleMemory", "little"),
        ("SkippedByUser", "TooFewCpus is left out: --skip numcpu was given."),
    ]


def test_explain_takes_kubeadms_names() -> None:
    text = doctor("explain", "numcpu").stdout
    several = doctor("explain", "SystemVerification").stdout
    document = json.loads(doctor("explain", "Hostname", "-o", "json").stdout)

    assert re.match(r"NumCPU\nkubeadm tests here: .*\n\nresources/TooFewCpus\n", text)
    assert "KernelUntried (warn or fail)" in " ".join(several.split())
    assert "k8sdoctor explain cgroups" in several
    assert [each["id"] for each in document["checks"]] == ["hostname", "kubeadm-config"]
    assert {each["reason"] for each in document["checks"][1]["reasons"]} == {"NodeNameInvalid", "NodeNameNotResolved"}


def test_skip_takes_kubeadms_names_and_single_reasons() -> None:
    words = (
        "check",
        "swap",
        "resources",
        "--skip",
        "NumCPU,swap/SwapOn,ImagePull",
        "--skip",
        "swap",
        "--offline",
        "-o",
        "json",
    )
    done = doctor(*words)

    report = json.loads(done.stdout)
    assert {each["check"]: each["status"] for each in report["results"]}["swap"] == "skip"
    assert {each["check"] for each in report["results"]} == {"swap", "resources"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "--skip", "swap/Nothing"), "swap has no reason 'Nothing'"),
        (("check", "--skip", "nosuch/Reason"), "no check is called 'nosuch'"),
        (("check", "--skip", "NumCPUs"), "do you mean NumCPU?"),
        (("explain", "swap/"), "swap has no reason ''"),
    ],
)
def test_a_name_that_is_none_is_wrong_usage(words: tuple[str, ...], told: str) -> None:
    done = doctor(*words)

    assert done.returncode == 2
    assert told in done.stderr
