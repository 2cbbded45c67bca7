"""control-plane: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks._node_ready_links import UNTOLD
from k8sdoctor.checks.control_plane import control_plane
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.cluster_nodes import CONTROL_PLANE, OLD_CONTROL_PLANE, ClusterNodes, Node, Taint
from k8sdoctor.facts.component_health import ComponentHealth, Health
from k8sdoctor.facts.control_plane_pods import ControlPlanePod, ControlPlanePods
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmAddons, KubeadmConfig
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_manifest import Container, Manifest
from k8sdoctor.facts.stage import Stage, StageName
from k8sdoctor.facts.static_containers import StaticContainer, StaticContainers
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import NetworkFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host.answers import Netlink

NOW = 10_000.0
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ASKED = NAMES[1:]
NOBODY = Unobserved("NotFound", "not there")
REFUSED = NetworkFailure(kind="refused", message="127.0.0.1:10259: Connection refused")
STACKED = KubeadmConfig("ConfigMap kube-system/kubeadm-config")
EXTERNAL = replace(STACKED, addons=KubeadmAddons(external_etcd=True))
LOCAL_ETCD = EtcdServer("/etc/kubernetes/manifests/etcd.yaml", ("etcd", "--listen-client-urls=https://127.0.0.1:2379"))


def path(name: str) -> str:
    return f"/etc/kubernetes/manifests/{name}.yaml"


PODS = StaticPods(
    manifests=tuple(
        Manifest(path(name), name, "kube-system", (Container(name, "x", (name,)),), host_network=True) for name in NAMES
    )
)


def container(name: str, **more: object) -> StaticContainer:
    return replace(StaticContainer(name, path(name), "running", created=NOW - 86400), **more)  # type: ignore[arg-type]


RUNNING = tuple(container(name) for name in NAMES)


def health(**others: Health) -> ComponentHealth:
    well = {name: Health(name, f"https://127.0.0.1/{name}", 200, "ok") for name in ASKED}
    return ComponentHealth(tuple({**well, **{each.component: each for each in others.values()}}.values()))


def dead(name: str) -> Health:
    return Health(name, f"https://127.0.0.1/{name}", 0, failure=REFUSED)


def node(number: int, *, label: str | None = CONTROL_PLANE, taint: str | None = CONTROL_PLANE) -> Node:
    return Node(
        f"cp{number}",
        labels={label: ""} if label else {},
        taints=(Taint(taint, "NoSchedule"),) if taint else (),
    )


def judge(
    *,
    stage: StageName = "control-plane",
    pods: StaticPods = PODS,
    containers: Sequence[StaticContainer] | Unobserved = RUNNING,
    asked: ComponentHealth | Unobserved | None = None,
    nodes: Sequence[Node] = (),
    servers: Sequence[ControlPlanePod] | None = None,
    etcd_servers: str = "https://127.0.0.1:2379",
    own_etcd: EtcdServer = LOCAL_ETCD,
    told: KubeadmConfig | None = STACKED,
    network: NodeNetwork | Unobserved = NOBODY,
) -> list[Finding]:
    return list(
        control_plane(
            Stage(stage, ""),
            pods,
            containers if isinstance(containers, Unobserved) else StaticContainers(tuple(containers), NOW),
            health() if asked is None else asked,
            ClusterNodes(tuple(nodes), "cp1", "admin.conf") if nodes else NOBODY,
            NOBODY if servers is None else ControlPlanePods(tuple(servers)),
            ApiServer(
                path("kube-apiserver"),
                ("kube-apiserver", "--advertise-address=10.0.0.1", f"--etcd-servers={etcd_servers}"),
            ),
            own_etcd,
            ClusterKubeadmConfig(told) if told else NOBODY,
            network,
        )
    )


def test_manifests_that_may_not_be_read_leave_it_open_whether_a_control_plane_runs_here() -> None:
    why = "Permission denied: /etc/kubernetes/manifests/etcd.yaml; run as root to look"
    hidden = Manifest(path("etcd"), fault="unreadable", problem=f"{why}.", reason="NotPermitted")

    [finding] = judge(pods=StaticPods(manifests=(hidden,)))
    [whole_folder] = judge(pods=StaticPods(problem=Unobserved("NotPermitted", why)))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
    assert finding.message == f"Which static pods are here could not be read: {why}."
    assert whole_folder.message == finding.message


def test_components_that_are_well_pass() -> None:
    [finding] = judge(nodes=[node(1)])

    assert (finding.status, finding.reason) == (Status.PASS, "Running")
    assert finding.message == "kube-apiserver, kube-controller-manager and kube-scheduler are well."


@pytest.mark.parametrize(("stage", "pods"), [("worker", PODS), ("control-plane", StaticPods())])
def test_a_machine_without_a_control_plane_is_skipped(stage: StageName, pods: StaticPods) -> None:
    [finding] = judge(stage=stage, pods=pods)

    assert (finding.status, finding.reason) == (Status.SKIP, "NoControlPlane")


# -- what runs ----------------------------------------------------------------------------------------------------------


def test_a_container_that_ended_is_told_with_its_exit_code_and_what_its_log_means() -> None:
    log = ("starting", "Error: unknown flag: --insecure-port")
    ended = container("kube-apiserver", state="exited", exit_code=1, attempt=7, reason="Error", log=log)

    [finding] = judge(containers=[RUNNING[0], ended, *RUNNING[2:]], asked=health(a=dead("kube-apiserver")))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ComponentDown", "kube-apiserver")
    assert "exit code 1, after it was started again 7 times; that is," in finding.message
    assert finding.traits == {"component:kube-apiserver"}  # its own words say why, whatever else is wrong here
    assert "Error: unknown flag: --insecure-port" in [each.content for each in finding.evidence]
    assert {(link.check, link.reason, *link.when) for link in finding.explains} == {
        ("apiserver-san", "EndpointUnreachable", "endpoint:own"),
        ("apiserver-endpoints", "MemberDown", "endpoint:own"),
        ("apiserver-endpoints", "Unreadable"),
    }


def test_a_container_that_the_runtime_could_not_start_is_told_with_its_words() -> None:
    words = "failed to create containerd task: no such file or directory"
    ended = container("kube-scheduler", state="exited", exit_code=128, reason="StartError", message=words)

    [finding] = judge(containers=[*RUNNING[:3], ended], asked=health(a=dead("kube-scheduler")))

    assert "the runtime could not start its container" in finding.message
    assert words in [each.content for each in finding.evidence]


def test_a_component_that_nobody_made_a_container_of_is_down() -> None:
    [finding] = judge(containers=RUNNING[:3], asked=health(a=dead("kube-scheduler")))

    assert (finding.reason, finding.subject) == ("ComponentDown", "kube-scheduler")
    assert finding.traits == {"component:kube-scheduler", UNTOLD}
    assert "the runtime shows no container of /etc/kubernetes/manifests/kube-scheduler.yaml" in finding.message


def test_an_etcd_that_ended_explains_that_it_does_not_answer() -> None:
    [finding] = judge(containers=[container("etcd", state="exited", exit_code=2), *RUNNING[1:]])

    assert (finding.reason, finding.subject) == ("ComponentDown", "etcd")
    assert ("etcd", "Unreachable") in {(link.check, link.reason) for link in finding.explains}


def test_components_that_answer_are_well_whatever_the_runtime_shows() -> None:
    [finding] = judge(containers=())

    assert finding.status is Status.PASS


def test_a_component_whose_runtime_cannot_be_asked_is_down_all_the_same() -> None:
    [finding] = judge(containers=NOBODY, asked=health(a=dead("kube-scheduler")))

    assert (finding.reason, finding.subject) == ("ComponentDown", "kube-scheduler")
    assert "the runtime could not be asked for its container" in finding.message


def test_a_container_that_runs_and_does_not_answer_is_silent() -> None:
    [finding] = judge(asked=health(a=dead("kube-controller-manager")))

    assert (finding.status, finding.reason) == (Status.FAIL, "ComponentSilent")


def test_a_component_that_says_that_it_is_not_well_fails() -> None:
    sick = Health("kube-apiserver", "https://10.0.0.1:6443/livez", 500, "[-]etcd failed")

    [finding] = judge(asked=health(a=sick))

    assert (finding.status, finding.reason, finding.traits) == (
        Status.FAIL,
        "ComponentUnhealthy",
        frozenset({"component:kube-apiserver"}),
    )


@pytest.mark.parametrize(
    ("attempt", "age", "reasons"),
    [(9, 60.0, ["ComponentRestarts", "Running"]), (9, 90_000.0, ["Running"]), (1, 60.0, ["Running"])],
)
def test_a_container_that_was_started_again_and_again_is_a_warning_while_it_is_young(
    attempt: int, age: float, reasons: list[str]
) -> None:
    found = judge(containers=[*RUNNING[:3], container("kube-scheduler", attempt=attempt, created=NOW - age)])

    assert [finding.reason for finding in found] == reasons


def test_offline_looks_at_the_containers_alone() -> None:
    offline = Unobserved("Offline", "--offline forbids it")

    [running] = judge(asked=offline)
    [nothing] = judge(asked=offline, containers=NOBODY)

    assert (running.status, running.message) == (
        Status.PASS,
        "The containers of " + "etcd, kube-apiserver, kube-controller-manager and kube-scheduler run.",
    )
    assert (nothing.status, nothing.reason) == (Status.SKIP, "Offline")


def test_what_could_not_be_asked_at_all_is_unknown() -> None:
    [finding] = judge(asked=Unobserved("NotRecorded", "the recording does not hold it"), containers=NOBODY)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotRecorded")


# -- labels and taints --------------------------------------------------------------------------------------------------


def test_a_member_without_the_label_is_told_and_labelled() -> None:
    servers = [ControlPlanePod(f"kube-apiserver-cp{n}", "kube-apiserver", f"cp{n}") for n in (1, 2, 3)]

    first, _ = judge(nodes=[node(1), node(2), node(3, label=None)], servers=servers)

    assert (first.status, first.reason, first.subject) == (Status.WARN, "LabelMissing", "cp3")
    assert first.fix is not None
    assert first.fix.commands == (
        "kubectl --kubeconfig /etc/kubernetes/admin.conf label node cp3 node-role.kubernetes.io/control-plane=",
    )


def test_the_old_label_and_the_old_taint_count() -> None:
    old = node(2, label=OLD_CONTROL_PLANE, taint=OLD_CONTROL_PLANE)

    [finding] = judge(nodes=[node(1), old])

    assert finding.status is Status.PASS


def test_a_member_without_the_taint_that_others_have_is_told() -> None:
    first, _ = judge(nodes=[node(1), node(2, taint=None), Node("worker-1")])

    assert (first.status, first.reason, first.subject) == (Status.WARN, "TaintMissing", "cp2")
    assert "which cp1 has" in first.message


def test_control_planes_that_all_run_other_pods_are_meant_so() -> None:
    assert [finding.reason for finding in judge(nodes=[node(1, taint=None), node(2, taint=None)])] == ["Running"]
    assert [finding.reason for finding in judge(nodes=[node(1, taint=None)])] == ["Running"]


def test_labels_of_a_cluster_that_kubeadm_did_not_make_are_its_makers() -> None:
    [finding] = judge(nodes=[node(1, label=None)], told=None)

    assert finding.status is Status.PASS


# -- whether the members agree ------------------------------------------------------------------------------------------


def server(number: int, *words: str) -> ControlPlanePod:
    return ControlPlanePod(f"kube-apiserver-cp{number}", "kube-apiserver", f"cp{number}", ("kube-apiserver", *words))


def test_different_service_ranges_fail() -> None:
    [finding] = judge(
        servers=[
            server(1, "--service-cluster-ip-range=10.96.0.0/12"),
            server(2, "--service-cluster-ip-range=10.0.0.0/16"),
        ]
    )

    assert (finding.status, finding.reason, finding.subject) == (
        Status.FAIL,
        "MembersDiffer",
        "--service-cluster-ip-range",
    )


def test_an_issuer_that_the_other_does_not_accept_fails_and_a_change_in_two_steps_does_not() -> None:
    old, new = "--service-account-issuer=https://old", "--service-account-issuer=https://new"

    [bad] = judge(servers=[server(1, old), server(2, new)])
    [good] = judge(servers=[server(1, old, new), server(2, new, old)])

    assert (bad.reason, bad.subject) == ("MembersDiffer", "--service-account-issuer")
    assert good.status is Status.PASS


# -- etcd ---------------------------------------------------------------------------------------------------------------


def test_an_api_server_that_uses_another_nodes_etcd_alone_is_told() -> None:
    first, _ = judge(etcd_servers="https://10.0.0.2:2379")

    assert (first.status, first.reason) == (Status.WARN, "RemoteEtcdOnly")
    assert "/etc/kubernetes/manifests/etcd.yaml runs one here" in first.message


@pytest.mark.parametrize(
    ("etcd_servers", "own_etcd", "told"),
    [
        ("https://10.0.0.2:2379,https://127.0.0.1:2379", LOCAL_ETCD, STACKED),
        ("https://10.0.0.1:2379", LOCAL_ETCD, STACKED),
        ("https://10.0.0.2:2379,https://10.0.0.3:2379", EtcdServer(), EXTERNAL),
        ("https://10.0.0.2:2379", EtcdServer(), None),
    ],
    ids=["among others", "by the node's address", "external", "nobody knows"],
)
def test_an_etcd_of_its_own_or_one_that_is_meant_to_be_elsewhere_is_right(
    etcd_servers: str, own_etcd: EtcdServer, told: KubeadmConfig | None
) -> None:
    [finding] = judge(etcd_servers=etcd_servers, own_etcd=own_etcd, told=told)

    assert finding.status is Status.PASS


def test_a_stacked_cluster_whose_member_has_no_etcd_of_its_own_is_told() -> None:
    first, _ = judge(etcd_servers="https://10.0.0.2:2379", own_etcd=EtcdServer())

    assert (first.reason, first.subject) == ("RemoteEtcdOnly", path("kube-apiserver"))


# -- the address that it was made for ------------------------------------------------------------------------------------


def at(*addresses: str) -> NodeNetwork:
    """A machine with these addresses at its uplink."""
    own: list[Netlink] = [{"index": 2, "address": each, "prefix": 24} for each in addresses]
    return NodeNetwork(
        ({"index": 1, "name": "lo"}, {"index": 2, "name": "eth0"}),
        ({"index": 1, "address": "127.0.0.1", "prefix": 8}, *own),
        ({"destination": "0.0.0.0/0", "oif": 2, "table": 254},),
    )


LISTENING = EtcdServer(
    "/etc/kubernetes/manifests/etcd.yaml",
    (
        "etcd",
        "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
        "--listen-peer-urls=https://10.0.0.1:2380",
    ),
)
UNREACHED = health(api=dead("kube-apiserver"))


def test_an_address_that_the_machine_lost_is_why_its_control_plane_ended() -> None:
    ended = [replace(each, state="exited") if each.name in ("etcd", "kube-apiserver") else each for each in RUNNING]

    findings = judge(containers=ended, asked=UNREACHED, own_etcd=LISTENING, network=at("10.0.0.77"))

    gone = findings[0]
    assert (gone.status, gone.reason, gone.subject) == (Status.FAIL, "AddressGone", "10.0.0.1")
    assert "has 10.0.0.1, which is its own by /etc/kubernetes/manifests/etcd.yaml and" in gone.message
    assert "it has 10.0.0.77 (eth0)" in gone.message
    assert gone.fix is not None
    assert gone.fix.commands == ("ip address add 10.0.0.1/24 dev eth0",)
    assert [each.cause.reason for each in Links([("control-plane", each) for each in findings]).diagnoses()] == [
        "AddressGone"
    ]


def test_an_etcd_that_still_listens_at_a_lost_address_would_not_start_again() -> None:
    [gone] = [each for each in judge(own_etcd=LISTENING, network=at("10.0.0.77")) if each.status is Status.FAIL]

    assert (gone.reason, len(gone.explains) > 0) == ("AddressGone", True)
    assert "kube-apiserver.yaml" not in gone.message


def test_an_api_server_may_tell_others_an_address_that_is_translated_on_the_way() -> None:
    assert "AddressGone" not in {each.reason for each in judge(network=at("10.0.0.77"))}
    assert "AddressGone" in {each.reason for each in judge(asked=UNREACHED, network=at("10.0.0.77"))}


@pytest.mark.parametrize("network", [at("10.0.0.1"), at("10.0.0.77", "10.0.0.1"), NodeNetwork(), NOBODY])
def test_an_address_that_is_there_or_could_not_be_looked_for_is_not_lost(network: NodeNetwork | Unobserved) -> None:
    found = judge(asked=UNREACHED, own_etcd=LISTENING, network=network)

    assert "AddressGone" not in {each.reason for each in found}
