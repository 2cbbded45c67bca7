"""node-ready: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks._cni_evidence import NO_PODS
from k8sdoctor.checks._node_ready_links import UNTOLD, kubelet_ends
from k8sdoctor.checks.node_ready import node_ready
from k8sdoctor.diagnosis import Links
from k8sdoctor.facts.cluster_nodes import ClusterNodes, Node, NodeCondition, Taint
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_health import KubeletHealth, KubeletService
from k8sdoctor.facts.node_lease import NodeLease
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Condition, Runtime
from k8sdoctor.facts.runtime_service import RuntimeService
from k8sdoctor.facts.service import Service
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Safety, Status, Unobserved

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKER = Stage("worker", "kubelet.conf is there")
PREPARED = Stage("prepared", "/usr/bin/containerd is there and kubelet.conf is not")
KUBELET = Kubelet(version=(1, 36, 2), pid=950, flags={}, flag_sources={}, config_path="/c", config={}, problems=())
DEAD = replace(KUBELET, pid=None)
URL = "http://127.0.0.1:10248/healthz"
ALIVE = KubeletHealth(URL, {"status": 200, "headers": {}, "body": "ok", "peer": None, "failure": None})
SICK = KubeletHealth(URL, {"status": 500, "headers": {}, "body": "[-]syncloop failed", "peer": None, "failure": None})
REFUSED = KubeletHealth(
    URL,
    {
        "status": 0,
        "headers": {},
        "body": "",
        "peer": None,
        "failure": {"kind": "refused", "message": "connection refused"},
    },
)
SOCKET = "unix:///run/containerd/containerd.sock"
RUNTIME = Runtime(
    kind="containerd",
    endpoint=SOCKET,
    endpoint_source="/var/lib/kubelet/config.yaml",
    version=(1, 6, 20),
    pid=900,
    reachable=True,
    conditions=(Condition("RuntimeReady", status=True), Condition("NetworkReady", status=True)),
)
NO_NETWORK = replace(
    RUNTIME,
    conditions=(
        Condition("RuntimeReady", status=True),
        Condition(
            "NetworkReady",
            status=False,
            reason="NetworkPluginNotReady",
            message="Network plugin returns error: cni plugin not initialized",
        ),
    ),
)
SILENT = Runtime(
    kind="containerd",
    endpoint=SOCKET,
    endpoint_source="/var/lib/kubelet/config.yaml",
    version=(1, 6, 20),
    problem=Unobserved("RuntimeUnreachable", f"nobody listens at {SOCKET}; is the container runtime running?"),
)
READY = NodeCondition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
UNKNOWN = NodeCondition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
NAME = NodeName("n1", "the client certificate of /etc/kubernetes/kubelet.conf", "n1", "n1")
PROCESSES = Processes(())
SWAP = (
    '2026-11-20T09:00:00+0100 n1 kubelet[812]: E1120 09:00:00.000000     812 run.go:72] "command failed" err="failed to run Kubelet: '
    'running with swap on is not supported, please disable swap! or set --fail-swap-on flag to false"'
)
ENDED = "2026-11-20T09:00:00+0100 n1 systemd[1]: kubelet.service: Failed with result 'exit-code'."


def not_ready(message: str) -> NodeCondition:
    return NodeCondition("Ready", "False", "KubeletNotReady", message)


def cluster(*conditions: NodeCondition, **more: Any) -> ClusterNodes:
    return ClusterNodes((Node("n1", conditions, **more),), "n1", "/etc/kubernetes/kubelet.conf")


def judge(
    *,
    stage: Stage = WORKER,
    kubelet: Kubelet = KUBELET,
    processes: Processes | Unobserved = PROCESSES,
    health: KubeletHealth = ALIVE,
    service: Service | None = None,
    runtime: Runtime = RUNTIME,
    runtime_service: Service | None = None,
    name: NodeName = NAME,
    nodes: ClusterNodes | Unobserved | None = None,
    lease: NodeLease | None = None,
) -> list[Finding]:
    return list(
        node_ready(
            stage,
            kubelet,
            processes,
            health,
            KubeletService(service),
            runtime,
            RuntimeService(runtime_service),
            name,
            nodes if nodes is not None else cluster(READY),
            lease or NodeLease(),
        )
    )


def told(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


def causes(findings: Sequence[Finding]) -> list[str]:
    return [each.cause.reason for each in Links([("node-ready", finding) for finding in findings]).diagnoses()]


# -- healthy, not applicable, cannot look --------------------------------------------------------------------------------


def test_a_node_that_is_ready_on_both_sides_is_ready() -> None:
    [finding] = judge(lease=NodeLease(age=12.0))

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "Ready", "n1")
    assert [evidence.source for evidence in finding.evidence] == ["Node n1, by /etc/kubernetes/kubelet.conf", URL]


def test_before_the_node_joins_its_runtime_alone_is_judged() -> None:
    assert told(judge(stage=PREPARED, health=KubeletHealth(), kubelet=DEAD)) == [("pass", "RuntimeReady")]
    assert told(judge(stage=PREPARED, runtime=NO_NETWORK)) == [("pass", "RuntimeReady")]
    assert told(judge(stage=Stage("bare", "nothing"), runtime=Runtime())) == [("skip", "NotJoined")]
    assert told(judge(stage=PREPARED, runtime=SILENT)) == [("fail", "RuntimeDown")]


def test_what_may_not_be_looked_at_is_unknown() -> None:
    refused = Unobserved("NotPermitted", "Permission denied: /etc/kubernetes/kubelet.conf; run as root to look")
    silent = replace(SILENT, problem=Unobserved("NotPermitted", f"Permission denied: {SOCKET}"))

    assert told(judge(stage=Stage("unknown", "Permission denied"))) == [("unknown", "NotPermitted")]
    assert told(judge(nodes=refused)) == [("unknown", "NotPermitted")]
    assert told(judge(runtime=silent)) == [("unknown", "NotPermitted")]
    assert told(
        judge(
            kubelet=DEAD,
            processes=Unobserved("Unreadable", "/proc shows no process"),
            health=KubeletHealth(URL, problem=Unobserved("Offline", "--offline")),
            service=Service("kubelet", problem=Unobserved("NotFound", "no systemctl")),
        )
    ) == [("unknown", "Unreadable")]


def test_an_api_server_that_does_not_answer_leaves_the_cluster_s_view_unknown() -> None:
    nodes = Unobserved("Unreadable", "the API server at https://10.0.0.1:6443 did not answer: connection refused")

    assert told(judge(nodes=nodes)) == [("unknown", "NodeUnread")]
    assert told(judge(nodes=Unobserved("Offline", "--offline forbids requests"))) == [("skip", "Offline")]
    hidden = replace(cluster(), all=(), own_problem=Unobserved("Unreadable", "no answer"))
    assert told(judge(nodes=hidden)) == [("unknown", "NodeUnread")]


def test_a_kubelet_whose_health_port_is_off_is_judged_by_its_process() -> None:
    assert told(judge(health=KubeletHealth())) == [("pass", "Ready")]


# -- the kubelet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "words", "commands", "persist", "safety"),
    [
        (
            Service("kubelet", "loaded", "inactive", "dead", "success", "enabled"),
            "kubelet.service is inactive",
            ("systemctl start kubelet",),
            (),
            Safety.SAFE,
        ),
        (
            Service("kubelet", "loaded", "inactive", "dead", "success", "disabled"),
            "is inactive and is not started at boot",
            ("systemctl start kubelet",),
            ("systemctl enable kubelet",),
            Safety.MANUAL,
        ),
        (
            Service("kubelet", "masked", "inactive", "dead"),
            "is masked",
            ("systemctl unmask kubelet", "systemctl start kubelet"),
            ("systemctl enable kubelet",),
            Safety.MANUAL,
        ),
        (
            Service("kubelet", problem=Unobserved("NotFound", "the command systemctl is not installed")),
            "The kubelet does not run: no process of it was found, so",
            ("systemctl start kubelet",),
            (),
            Safety.SAFE,
        ),
    ],
)
def test_a_kubelet_that_was_stopped_is_told_how(
    service: Service, words: str, commands: tuple[str, ...], persist: tuple[str, ...], safety: Safety
) -> None:
    findings = judge(kubelet=DEAD, health=REFUSED, service=service, nodes=cluster(UNKNOWN))

    assert told(findings) == [("fail", "KubeletStopped"), ("fail", "StatusUnknown")]
    assert words in findings[0].message
    assert findings[0].fix is not None
    assert (findings[0].fix.commands, findings[0].fix.persist, findings[0].fix.safety) == (commands, persist, safety)
    assert causes(findings) == ["KubeletStopped"]


def test_a_kubelet_without_a_unit_is_to_be_installed() -> None:
    [finding] = judge(kubelet=DEAD, health=REFUSED, service=Service("kubelet", "not-found", "inactive", "dead"))

    assert finding.reason == "KubeletStopped"
    assert finding.fix is not None
    assert finding.fix.title.startswith("Install")


def test_a_kubelet_that_crashes_says_why_and_points_to_who_judges_that() -> None:
    service = Service(
        "kubelet",
        "loaded",
        "activating",
        "auto-restart",
        "exit-code",
        "enabled",
        37,
        "1",
        log=(SWAP, ENDED),
        log_source="j",
    )
    findings = judge(kubelet=DEAD, health=REFUSED, service=service, nodes=cluster(UNKNOWN))

    assert told(findings) == [("fail", "KubeletCrashes"), ("fail", "StatusUnknown")]
    assert "37 times" in findings[0].message
    assert "running with swap on is not supported" in findings[0].message
    assert findings[0].traits == {"points-to:swap", "points-to:swap/SwapOn"}
    assert SWAP in findings[0].evidence[-1].content
    assert causes(findings) == ["KubeletCrashes"]


def test_a_crash_that_nobody_knows_is_quoted() -> None:
    line = (
        '2026-11-20T09:00:00+0100 n1 kubelet[812]: E1120 09:00:00.000000     812 run.go:72] "command failed" err="boo"'
    )
    service = Service("kubelet", "loaded", "failed", "failed", "exit-code", log=(line, ENDED), log_source="j")
    [finding] = judge(kubelet=DEAD, health=REFUSED, service=service)

    assert finding.reason == "KubeletCrashes"
    assert '`"command failed" err="boo"`' in finding.message
    assert finding.traits == {"points-to:unknown"}


def test_what_an_earlier_process_said_does_not_count() -> None:
    now = SWAP.replace("kubelet[812]", "kubelet[990]").partition(" err=")[0] + ' err="unknown flag: --network-plugin"'
    service = Service(
        "kubelet", "loaded", "failed", "failed", "exit-code", log=(SWAP, ENDED, now, ENDED), log_source="j"
    )
    [finding] = judge(kubelet=DEAD, health=REFUSED, service=service)

    assert "swap" not in finding.message
    assert "points-to:kubelet" in finding.traits


def test_that_systemd_was_not_asked_stands_in_the_evidence_and_not_in_the_sentence() -> None:
    said = "systemd was not asked: System has not been booted with systemd as init system (PID 1). Can't operate"
    service = Service("kubelet", problem=Unobserved("Unreadable", said))
    [finding] = judge(kubelet=DEAD, health=REFUSED, service=service)

    assert "systemd" not in finding.message
    assert Evidence("systemctl show kubelet", said) in finding.evidence


def test_a_crash_loop_is_known_without_systemd_by_the_log_alone() -> None:
    service = Service(
        "kubelet", problem=Unobserved("NotFound", "no systemctl"), log=(SWAP,), log_source="/var/log/syslog"
    )

    assert told(judge(kubelet=DEAD, health=REFUSED, service=service)) == [("fail", "KubeletCrashes")]


def test_a_kubelet_caught_between_two_crashes_crashes() -> None:
    service = Service("kubelet", "loaded", "activating", "start", restarts=5)

    assert told(judge(health=REFUSED, service=service)) == [("fail", "KubeletCrashes")]


def test_a_kubelet_that_runs_and_does_not_answer_is_unhealthy() -> None:
    service = Service("kubelet", "loaded", "active", "running", "success", "enabled")
    [finding] = judge(health=REFUSED, service=service)

    assert (finding.status, finding.reason) == (Status.FAIL, "KubeletUnhealthy")
    assert "pid 950" in finding.message
    assert "health:silent" in finding.traits  # a firewall may be why; of one that says that it is not well it is not


def test_a_kubelet_that_answers_that_it_is_not_well_was_reached() -> None:
    service = Service("kubelet", "loaded", "active", "running", "success", "enabled")
    [finding] = judge(health=SICK, service=service)

    assert finding.reason == "KubeletUnhealthy"
    assert "health:silent" not in finding.traits


def test_who_knows_the_cause_of_a_crash_explains_it_where_the_last_words_point_there_or_are_not_known() -> None:
    crash = Service("kubelet", "loaded", "failed", "failed", "exit-code", log=(SWAP, ENDED), log_source="j")
    silent = replace(crash, log=(ENDED,))
    blind = Service("kubelet", problem=Unobserved("NotFound", "no systemctl"))
    stopped = Service("kubelet", "loaded", "inactive", "dead", "success", "enabled")

    def diagnosed(service: Service, check: str) -> list[str]:
        cause = Finding(Status.FAIL, "Cause", "m", explains=tuple(kubelet_ends("it was seen", check)))
        found = judge(kubelet=DEAD, health=REFUSED, service=service)
        return [
            each.cause.check for each in Links([(check, cause), *(("node-ready", one) for one in found)]).diagnoses()
        ]

    assert diagnosed(crash, "swap") == ["swap"]
    assert diagnosed(silent, "swap") == ["swap"]
    assert diagnosed(blind, "swap") == ["swap"]
    assert sorted(diagnosed(crash, "cgroups")) == ["cgroups", "node-ready"]
    assert sorted(diagnosed(stopped, "swap")) == ["node-ready", "swap"]


def test_what_does_not_run_while_nobody_starts_pods_is_explained_unless_it_says_itself_why_it_ended() -> None:
    stopped = Service("kubelet", "loaded", "inactive", "dead", "success", "enabled")
    [kubelet] = judge(kubelet=DEAD, health=REFUSED, service=stopped)
    down = Finding(Status.FAIL, "ComponentDown", "m", traits=frozenset({"component:kube-scheduler", UNTOLD}))
    told = replace(down, traits=frozenset({"component:kube-scheduler"}))
    proxy = Finding(Status.FAIL, "NotRunning", "m")

    def alone(*found: tuple[str, Finding]) -> list[str]:
        return [each.cause.reason for each in Links([("node-ready", kubelet), *found]).diagnoses()]

    assert alone(("control-plane", down), ("kube-proxy", proxy)) == ["KubeletStopped"]
    assert alone(("control-plane", told)) == ["KubeletStopped", "ComponentDown"]


def test_a_unit_that_is_masked_or_not_enabled_is_one_diagnosis_with_the_kubelet_that_does_not_run() -> None:
    for reason, service in (
        ("UnitMasked", Service("kubelet", "masked", "inactive", "dead")),
        ("NotEnabled", Service("kubelet", "loaded", "inactive", "dead", "success", "disabled")),
    ):
        [stopped] = judge(kubelet=DEAD, health=REFUSED, service=service)
        told = Finding(Status.WARN, reason, "m")

        [diagnosis] = Links([("kubelet", told), ("node-ready", stopped)]).diagnoses()
        assert diagnosis.cause.reason == "KubeletStopped"


# -- the runtime ---------------------------------------------------------------------------------------------------------


def test_a_runtime_that_was_stopped_is_the_cause_of_all_that_it_brings() -> None:
    down = Service("containerd", "loaded", "inactive", "dead", "success", "enabled")
    findings = judge(
        runtime=SILENT,
        runtime_service=down,
        nodes=cluster(not_ready("container runtime is down, PLEG is not healthy: pleg was last seen active 4m0s ago")),
    )

    assert told(findings) == [("fail", "RuntimeDown"), ("fail", "RuntimeNotReady")]
    assert "containerd.service is inactive" in findings[0].message
    assert findings[0].fix is not None
    assert findings[0].fix.commands == ("systemctl start containerd",)
    assert causes(findings) == ["RuntimeDown"]
    assert {("pause-image", "RuntimeUnreachable"), ("cni-config", "RuntimeUnreachable")} <= {
        (link.check, link.reason) for link in findings[0].explains
    }


def test_a_runtime_that_does_not_start_says_why() -> None:
    line = "2026-11-20T09:00:00+0100 n1 containerd[70]: containerd: invalid plugin config: `mirrors` cannot be set when `config_path` is provided"
    down = Service("containerd", "loaded", "failed", "failed", "exit-code", log=(line,), log_source="j")
    [finding] = judge(runtime=SILENT, runtime_service=down, stage=PREPARED)

    assert finding.reason == "RuntimeDown"
    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL
    assert line in finding.evidence[-1].content


def test_a_runtime_that_hangs_is_to_be_restarted() -> None:
    [finding] = judge(
        runtime=replace(SILENT, pid=900), runtime_service=Service("containerd", "loaded", "active", "running")
    )

    assert finding.reason == "RuntimeDown"
    assert "pid 900" in finding.message
    assert finding.fix is not None
    assert finding.fix.safety is Safety.DISRUPTIVE


def test_a_kubelet_that_looks_for_its_runtime_elsewhere_is_led_to_the_one_that_answers() -> None:
    old = "unix:///var/run/dockershim.sock"
    absent = replace(
        SILENT,
        kind="cri-dockerd",
        endpoint=old,
        problem=Unobserved("NotFound", f"{old} does not exist"),
        elsewhere=("containerd 1.7.27", "unix:///run/containerd/containerd.sock"),
    )
    unknown = Service("cri-docker", "not-found", "inactive", "dead")

    [finding] = judge(runtime=absent, runtime_service=unknown)

    assert finding.reason == "RuntimeDown"
    assert "containerd 1.7.27 answers at unix:///run/containerd/containerd.sock" in finding.message
    assert finding.fix is not None
    assert not [each for each in finding.fix.commands if "start cri-docker" in each]
    [same] = judge(runtime=replace(absent, elsewhere=None), runtime_service=unknown)
    assert "systemd knows no cri-docker.service" in same.message


def test_no_runtime_at_all_fails_on_a_node_and_not_before() -> None:
    none = Runtime(problem=Unobserved("NotFound", "no container runtime's socket was found at any of the usual paths"))

    assert told(judge(runtime=none)) == [("fail", "RuntimeDown")]
    assert told(judge(runtime=none, stage=PREPARED)) == [("skip", "NotJoined")]


def test_a_runtime_without_its_interface_is_told_apart() -> None:
    off = replace(
        SILENT,
        pid=900,
        problem=Unobserved("RuntimeUnreachable", f"{SOCKET} answers but serves no CRI (unknown service)"),
    )
    [finding] = judge(runtime=off, runtime_service=Service("containerd", "loaded", "active", "running"))

    assert finding.reason == "CriNotServed"


def test_a_runtime_that_says_it_is_not_ready_is_believed() -> None:
    sick = replace(RUNTIME, conditions=(Condition("RuntimeReady", status=False, reason="R", message="no runc"),))
    [finding, *_] = judge(runtime=sick)

    assert finding.reason == "RuntimeNotReady"
    assert "no runc" in finding.message


# -- the network ---------------------------------------------------------------------------------------------------------


def test_a_network_that_is_not_there_is_one_finding_with_both_sides_words() -> None:
    said = not_ready("container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:x")
    [finding] = judge(runtime=NO_NETWORK, nodes=cluster(said))

    assert (finding.status, finding.reason) == (Status.FAIL, "NetworkNotReady")
    assert "cni plugin not initialized" in finding.message
    assert len(finding.evidence) == 2


def test_each_side_s_word_for_the_network_is_enough() -> None:
    said = not_ready("container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:x")

    assert told(judge(nodes=cluster(said))) == [("fail", "NetworkNotReady")]
    silent = Unobserved("Unreadable", "no answer")
    assert told(judge(runtime=NO_NETWORK, nodes=silent)) == [("fail", "NetworkNotReady"), ("unknown", "NodeUnread")]


UNPLACED = Finding(
    Status.FAIL, "NotScheduled", "CoreDNS has no node that takes it.", traits=frozenset({"taint:untold"})
)
SICK_NODES = {
    "node.kubernetes.io/not-ready": cluster(not_ready("node is shutting down")),
    "node.kubernetes.io/unreachable": cluster(UNKNOWN),
    "node.kubernetes.io/disk-pressure": cluster(READY, NodeCondition("DiskPressure", "True", "x", "x")),
    "node.kubernetes.io/memory-pressure": cluster(READY, NodeCondition("MemoryPressure", "True", "x", "x")),
    "node.kubernetes.io/pid-pressure": cluster(READY, NodeCondition("PIDPressure", "True", "x", "x")),
    "node.kubernetes.io/network-unavailable": cluster(READY, NodeCondition("NetworkUnavailable", "True", "x", "x")),
    "node.kubernetes.io/unschedulable": cluster(READY, unschedulable=True),
    **{
        key: cluster(READY, taints=(Taint(key, "NoSchedule"),))
        for key in (
            "node.cloudprovider.kubernetes.io/uninitialized",
            "node.kubernetes.io/out-of-service",
            "node.cilium.io/agent-not-ready",
        )
    },
}


@pytest.mark.parametrize(("taint", "nodes"), SICK_NODES.items(), ids=SICK_NODES)
def test_coredns_that_is_placed_nowhere_is_explained_by_the_taint_that_the_scheduler_names(
    taint: str, nodes: ClusterNodes
) -> None:
    found = [("node-ready", each) for each in judge(nodes=nodes)]

    for named, explained in ((taint, True), ("team", False)):
        unplaced = replace(UNPLACED, traits=frozenset({f"taint:{named}"}))
        told = Links([*found, ("coredns", unplaced)]).diagnoses()
        assert {each.cause.check for each in told} == ({"node-ready"} if explained else {"node-ready", "coredns"})


def test_a_scheduler_that_names_no_taint_means_those_of_nodes_that_are_not_ready_and_no_cordon() -> None:
    for key, nodes in SICK_NODES.items():
        told = Links([*(("node-ready", each) for each in judge(nodes=nodes)), ("coredns", UNPLACED)]).diagnoses()
        causes_ = {each.cause.check for each in told}
        assert causes_ == ({"node-ready", "coredns"} if key.endswith("/unschedulable") else {"node-ready"}), key


def test_a_network_that_is_not_there_is_why_coredns_is_placed_nowhere_and_why_a_pod_of_it_waits_here() -> None:
    here = Finding(Status.FAIL, "NotReady", "CoreDNS is not ready.", traits=frozenset({"creating:here"}))
    placed = replace(here, traits=frozenset())
    no_config = Finding(Status.FAIL, "NoConfig", "No network.", explains=NO_PODS)
    [network] = judge(runtime=NO_NETWORK, nodes=cluster(READY))

    [told] = Links(
        [("cni-config", no_config), ("node-ready", network), ("coredns", UNPLACED), ("coredns", here)]
    ).diagnoses()

    assert told.cause.reason == "NoConfig"
    assert [each.reason for each in told.explains] == ["NotReady", "NotScheduled", "NetworkNotReady"]
    assert len(Links([("cni-config", no_config), ("coredns", placed)]).diagnoses()) == 2


# -- what the cluster says -----------------------------------------------------------------------------------------------


def test_a_node_that_is_not_registered_says_why_by_its_log() -> None:
    line = (
        '2026-11-20T09:00:00+0100 n1 kubelet[9]: E1 "Unable to register node with API server" err="nodes \\"n2\\" is forbidden: '
        'node \\"n1\\" is not allowed to modify node \\"n2\\""'
    )
    nodes = ClusterNodes((), "n1", "k", own_problem=Unobserved("NotFound", 'the API server has no Node "n1"'))
    [finding] = judge(
        nodes=nodes, service=Service("kubelet", "loaded", "active", "running", log=(line,), log_source="j")
    )

    assert finding.reason == "NotRegistered"
    assert "is not allowed to modify node" in finding.message


def test_a_node_that_says_another_reason_is_quoted() -> None:
    [finding] = judge(nodes=cluster(not_ready("node is shutting down")))

    assert (finding.status, finding.reason) == (Status.FAIL, "NotReady")
    assert "node is shutting down" in finding.message


def test_a_node_without_the_condition_has_not_been_heard_of() -> None:
    assert told(judge(nodes=cluster())) == [("fail", "StatusUnknown")]


def test_a_lease_that_is_old_under_a_node_that_is_ready_fails() -> None:
    [finding] = judge(lease=NodeLease(age=600.0))

    assert (finding.status, finding.reason) == (Status.FAIL, "LeaseStale")
    assert "10 min" in finding.message
    assert told(judge(lease=NodeLease(age=55.0))) == [("pass", "Ready")]


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("DiskPressure", "DiskPressure"),
        ("MemoryPressure", "MemoryPressure"),
        ("PIDPressure", "PidPressure"),
        ("NetworkUnavailable", "NetworkUnavailable"),
    ],
)
def test_pressure_fails_and_its_absence_does_not(type_: str, reason: str) -> None:
    sick = NodeCondition(type_, "True", "Why", "words of the kubelet")
    well = NodeCondition(type_, "False", "Why", "all is well")
    [finding] = judge(nodes=cluster(READY, sick))

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert "words of the kubelet" in finding.message
    assert told(judge(nodes=cluster(READY, well))) == [("pass", "Ready")]


@pytest.mark.parametrize(
    ("taint", "status", "reason"),
    [
        ("node.kubernetes.io/not-ready", "warn", "TaintLeft"),
        ("node.kubernetes.io/unreachable", "warn", "TaintLeft"),
        ("node.cilium.io/agent-not-ready", "warn", "TaintLeft"),
        ("node.kubernetes.io/network-unavailable", "fail", "NetworkUnavailable"),
        ("node.cloudprovider.kubernetes.io/uninitialized", "fail", "CloudProviderUninitialized"),
        ("node.kubernetes.io/out-of-service", "fail", "OutOfService"),
    ],
)
def test_taints_that_keep_pods_away_are_told(taint: str, status: str, reason: str) -> None:
    findings = judge(nodes=cluster(READY, taints=(Taint(taint, "NoSchedule"),)))

    assert told(findings)[0] == (status, reason)
    assert taint in findings[0].message


def test_taints_of_a_person_are_not_judged() -> None:
    kept = (Taint("node-role.kubernetes.io/control-plane", "NoSchedule"), Taint("team", "NoExecute", "x"))

    assert told(judge(nodes=cluster(READY, taints=kept))) == [("pass", "Ready")]


def test_a_cordoned_node_is_a_warning() -> None:
    findings = judge(nodes=cluster(READY, unschedulable=True))

    assert told(findings) == [("warn", "Cordoned"), ("pass", "Ready")]
    assert findings[0].fix is not None
    assert findings[0].fix.commands == ("kubectl uncordon n1",)
