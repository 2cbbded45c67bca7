"""A whole node: silent when it is healthy, and broken in each way it names the cause alone, with a fix that mends it when pasted."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import DAY, issue
from tests.lab.accuracy import break_, causes, heal, heal_networks, name, remember
from tests.lab.hostile import NOBODY
from tests.lab.node import LabNode, Outcome, wait_for
from tests.lab.scenarios import SCENARIOS, Scenario
from tests.lab.scenarios.dns import NO_REPLY, NO_UPSTREAM
from tests.lab.test_apiserver_san import BALANCER, LB, MEMBERS, api_servers, haproxy, member
from tests.lab.whole_node import FAR, WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss", "setpriv", "nginx", "etcd"),
]


@pytest.fixture(scope="module")
def worker() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        remember(made)
        yield made


@pytest.fixture
def node(worker: WholeNode) -> Iterator[WholeNode]:
    """The module's node, whole again after the test."""
    yield worker
    heal(worker)


@pytest.fixture(scope="module")
def control_plane() -> Iterator[WholeNode]:
    with LabNode("cp1") as lab:
        made = WholeNode(lab, "control-plane")
        made.start()
        yield made


# -- healthy ---------------------------------------------------------------------------------------------------------


def test_a_healthy_worker_passes_every_check(node: WholeNode) -> None:
    outcome = node.check()

    statuses = {result["check"]: result["status"] for result in outcome.report["results"]}
    assert {check: status for check, status in statuses.items() if status not in ("pass", "skip")} == {}
    assert {check for check, status in statuses.items() if status == "pass"} >= {
        *("apiserver-san", "br-netfilter", "cni-config", "dns-reply-source", "images", "ip-forward", "pause-image"),
        *("conntrack", "kubeadm-config", "kube-proxy"),
    }
    assert (outcome.code, outcome.report["metadata"]["profile"]) == (0, "node")


def test_a_healthy_control_plane_passes_every_check(control_plane: WholeNode) -> None:
    outcome = control_plane.check()

    assert {result["status"] for result in outcome.report["results"]} == {"pass"}
    assert (outcome.code, outcome.report["metadata"]["profile"]) == (0, "control-plane")


@pytest.mark.parametrize("profile", ["init", "node", "control-plane", "dns"])
def test_a_profile_that_somebody_chose_alarms_nobody_either(control_plane: WholeNode, profile: str) -> None:
    outcome = control_plane.check("--profile", profile)

    assert (outcome.code, alarms(outcome)) == (0, set())


def test_a_healthy_node_looks_so_from_outside(worker: WholeNode) -> None:
    assert alarms(worker.check("--offline")) == set()


# -- broken ----------------------------------------------------------------------------------------------------------


FAULTS = [each for each in SCENARIOS if each.mends and each.role == "worker"]


def _diagnosed(node: WholeNode, fault: Scenario) -> list[dict[str, Any]]:
    """The diagnoses, which must be the fault's alone. containerd sees a change of its folder a moment later than we look."""
    seen: list[Outcome] = []

    def right() -> bool:
        seen.append(node.check())
        alarmed = {alarm.partition(" ")[0] for alarm in alarms(seen[-1])}
        return causes(seen[-1]) == [(fault.cause, list(fault.symptoms))] and alarmed == {fault.cause, *fault.symptoms}

    if fault.area == "pod network":
        wait_for(right, f"the diagnosis {fault.cause}")
    else:
        assert right(), seen[-1].out
    found: list[dict[str, Any]] = seen[-1].report["diagnoses"]
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_is_told_by_its_cause_alone_and_the_pasted_fix_mends_it(node: WholeNode, fault: Scenario) -> None:
    break_(node, fault)
    try:
        told = _diagnosed(node, fault)
        assert {diagnosis["status"] for diagnosis in told} == {fault.status}

        for diagnosis in told:
            node.paste(diagnosis["fix"])
        node.containerd.wait_until_ready()

        wait_for(lambda: not alarms(node.check()), "a run without alarm")
    finally:
        heal_networks(node)


def test_two_switches_that_are_off_are_two_diagnoses(node: WholeNode) -> None:
    node.lab.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.ipv4.ip_forward=0")

    told = node.check()

    assert causes(told) == [("ip-forward/ForwardingOff", [NO_UPSTREAM, NO_REPLY]), ("br-netfilter/BridgeNfCallOff", [])]
    for diagnosis in told.report["diagnoses"]:
        node.paste(diagnosis["fix"])
    assert alarms(node.check()) == set()


def test_a_kubelet_whose_key_is_another_certificates_is_one_diagnosis(node: WholeNode) -> None:
    current = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    other = "openssl ecparam -name prime256v1 -genkey -noout"
    node.lab.shell(f"(openssl x509 -in {current}; {other}) > /run/other.pem; cat /run/other.pem > {current}")

    [diagnosis] = node.check().report["diagnoses"]

    assert name(diagnosis["cause"]) == "kubeconfig/KeyMismatch"
    assert {name(each) for each in diagnosis["explains"]} >= {"node-ready/NodeUnread"}


@pytest.mark.needs("setpriv")
def test_who_is_not_root_is_told_once_to_be_and_the_json_says_what_each_check_missed(control_plane: WholeNode) -> None:
    run = [*NOBODY, sys.executable, "-m", "k8sdoctor", "check", "--deadline", "60"]

    text = control_plane.lab.run(run, check=False).stdout
    told = json.loads(control_plane.lab.run([*run, "-o", "json"], check=False).stdout)

    blind = {result["check"] for result in told["results"] if result["status"] == "unknown"}
    assert blind >= {"certificates", "etcd", "firewall", "kube-proxy", "kubeconfig", "static-pods"}
    once = " ".join(text.partition("COULD NOT BE LOOKED AT")[2].split())
    assert once.count("run as root to look:") == 1
    assert set(once.partition("look: ")[2].partition(" (")[0].split(", ")) >= {*blind} - {"pause-image"}
    assert (
        " ".join(text.partition("COULD NOT BE LOOKED AT")[2].split()).count("Permission denied") <= 2
    )  # pause-image says more


# -- held against itself, and against its clone ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(worker: WholeNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recording of the healthy worker."""
    return _recorded(worker, tmp_path_factory.mktemp("healthy"))


def _recorded(node: WholeNode, folder: Path) -> str:
    path = folder / "node.tar.gz"
    outcome = node.lab.doctor("record", "-o", str(path))
    assert outcome.code == 0, outcome.err
    return str(path)


def test_a_node_before_and_after_it_broke_differs_by_the_cause_first(
    node: WholeNode, healthy: str, tmp_path: Path
) -> None:
    node.lab.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=0")

    outcome = node.lab.doctor("diff", healthy, _recorded(node, tmp_path), "-o", "json")

    told = outcome.report
    assert (outcome.code, told["sameNode"], told["verdict"]) == (1, True, "worse")
    assert [(each["change"], each["check"]) for each in told["findings"]] == [
        ("new", "br-netfilter"),
        ("new", "dns-reply-source"),
    ]
    first, *others = [each for each in told["differences"] if not each["noise"]]
    assert (first["what"], first["a"], first["b"]) == ("net.bridge.bridge-nf-call-iptables", ["1"], ["0"])
    assert first["namedBy"] == ["br-netfilter/BridgeNfCallOff"]
    assert len(others) < 10, others


def test_a_clone_is_told_by_what_it_shares_and_by_the_files_that_differ(
    node: WholeNode, healthy: str, tmp_path: Path
) -> None:
    node.lab.shell("""hostname worker-2; sed -i 's/"type": *"bridge",/&"mtu": 1400,/' /etc/cni/net.d/*""")
    try:
        outcome = node.lab.doctor("diff", healthy, _recorded(node, tmp_path), "-o", "json")
    finally:
        node.lab.shell("hostname worker-1")

    told = outcome.report
    assert (outcome.code, told["sameNode"]) == (1, False)
    assert {each["what"] for each in told["duplicates"]} >= {"kubelet client certificate", "machine ID"}
    assert {each["check"] for each in told["findings"]} == {"kubeconfig"}
    first = next(each for each in told["differences"] if not each["noise"])
    assert first["what"].startswith("/etc/cni/net.d/")
    assert (first["a"], first["b"]) == ([], ["plugins[bridge].mtu: 1400"])


ASK_ONCE = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 40053)); s.sendto(bytes(12), ('10.96.0.10', 53))"


@pytest.mark.needs("conntrack")
def test_a_client_that_is_held_at_a_dns_server_that_is_gone_is_told_and_let_go(node: WholeNode) -> None:
    node.lab.shell("iptables-save | sed '/DNAT.*:53$/s/10[.]244[.]0[.][0-9]*/10.244.9.99/' | iptables-restore")
    node.lab.run(["nsenter", f"--net={node.client.netns}", sys.executable, "-c", ASK_ONCE])
    node.translate()

    outcome = node.check("conntrack")

    assert causes(outcome) == [("conntrack/StaleEntry", [])]
    [diagnosis] = outcome.report["diagnoses"]
    assert diagnosis["cause"]["subject"] == "10.244.9.99"
    node.paste(diagnosis["fix"])
    assert alarms(node.check("conntrack")) == set()


# -- static pods -----------------------------------------------------------------------------------------------------

MANIFESTS = [each for each in SCENARIOS if each.mends and each.role == "control-plane"]


@pytest.mark.parametrize("fault", MANIFESTS, ids=[fault.name for fault in MANIFESTS])
def test_a_fault_of_a_manifest_is_told_and_the_pasted_fix_mends_it(control_plane: WholeNode, fault: Scenario) -> None:
    break_(control_plane, fault)
    try:
        told = control_plane.check("static-pods").report["diagnoses"]
        assert [name(diagnosis["cause"]) for diagnosis in told] == [fault.cause]

        control_plane.paste(told[0]["fix"])

        assert alarms(control_plane.check("static-pods")) == set()
    finally:
        control_plane.restore()


# -- certificates behind a balancer ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def balanced() -> Iterator[WholeNode]:
    """A worker whose kubelet goes to three API servers by a balancer."""
    with LabNode("worker-1") as lab:
        for address in MEMBERS:
            lab.far_run(["ip", "address", "add", f"{address}/24", "dev", "node0"])
        lab.write("/etc/hosts", f"127.0.0.1 localhost\n192.0.2.10 worker-1\n{BALANCER} {LB}\n")
        made = WholeNode(lab, endpoint=f"https://{LB}:6443", members=MEMBERS)
        made.start()
        haproxy(lab, "tcp", [f"{address}:6443" for address in MEMBERS])
        yield made


@pytest.mark.needs("haproxy", "openssl")
def test_a_healthy_worker_behind_a_balancer_alarms_nobody(balanced: WholeNode) -> None:
    balanced.serve_api(*[balanced.leaf(LB)] * 3)

    outcome = balanced.check()

    assert (outcome.code, alarms(outcome)) == (0, set())


@pytest.mark.needs("haproxy", "openssl")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("one without the name", "BackendsDisagree"),
        ("one expired", "BackendsDisagree"),
        ("one dead", "BackendsDisagree"),
        ("all without the name", "AddressNotCovered"),
        ("all expired", "CertificateExpired"),
        ("all of another cluster", "UntrustedIssuer"),
        ("all dead", "EndpointUnreachable"),
    ],
)
def test_a_fault_of_certificates_alarms_no_other_check(balanced: WholeNode, fault: str, reason: str) -> None:
    good = balanced.leaf(LB)
    expired = balanced.leaf(LB, start=time.time() - 400 * DAY)
    foreign = balanced.leaf(LB, ca=issue("kubernetes", authority=True, start=time.time() - DAY))
    bad = {"name": balanced.leaf(), "expired": expired, "cluster": foreign}.get(fault.rsplit(maxsplit=1)[-1], good)
    balanced.serve_api(bad, *[bad if fault.startswith("all") else good] * 2)
    if fault.endswith("dead"):
        for daemon in balanced.apis if fault.startswith("all") else balanced.apis[-1:]:
            daemon.stop()

    outcome = balanced.check()

    [(cause, symptoms)] = causes(outcome)
    assert cause == f"apiserver-san/{reason}"
    assert {symptom.partition("/")[2] for symptom in symptoms} <= {"Unreadable", "NodeUnread"}
    # Who can only be asked by a client that trusts the API server is unknown then.
    assert {alarm for alarm in alarms(outcome) if "(unknown)" not in alarm} == {f"apiserver-san/{reason} (fail)"}


# -- other healthy nodes ---------------------------------------------------------------------------------------------


def _network(*subnets: str, plugin: str = "bridge") -> dict[str, Any]:
    first: dict[str, Any] = {
        "type": plugin,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": one}] for one in subnets]},
    }
    first["ipam"]["routes"] = [{"dst": "::/0" if ":" in one else "0.0.0.0/0"} for one in subnets]
    if plugin == "bridge":
        first |= {"bridge": "cni0", "isGateway": True, "hairpinMode": True}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [first, portmap]}


def _add_strangers(lab: LabNode) -> None:
    """Bridges of docker and libvirt, whose packets pass iptables by."""
    lab.add_bridge("docker0", "172.17.0.1/16")
    lab.add_pod("container", "172.17.0.2/16", bridge="docker0", gateway="172.17.0.1")
    lab.add_bridge("virbr0", "192.168.122.1/24")


def test_pods_with_routes_of_their_own_need_no_switch_of_bridges() -> None:
    with LabNode("worker-2") as lab:
        routed = WholeNode(lab, network=_network("10.244.0.0/24", plugin="ptp"))
        routed.start()
        lab.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0")
        lab.shell("sed -i /bridge/d /etc/sysctl.d/k8s.conf")
        _add_strangers(lab)

        outcome = routed.check()

        assert (outcome.code, alarms(outcome)) == (0, set())
        assert outcome.reasons("br-netfilter") == {"NoPodBridge"}

        lab.shell("sysctl -qw net.ipv4.ip_forward=0")
        outcome = routed.check()

        assert causes(outcome) == [("ip-forward/ForwardingOff", [NO_UPSTREAM, NO_REPLY])]
        [diagnosis] = outcome.report["diagnoses"]
        routed.paste(diagnosis["fix"])
        assert alarms(routed.check()) == set()


def test_a_node_of_both_families_is_healthy_and_its_ipv6_faults_are_its_own() -> None:
    with LabNode("worker-2") as lab:
        dual = WholeNode(lab, network=_network("10.244.0.0/24", "fd00:244::/64"))
        dual.start()
        lab.shell("echo net.ipv6.conf.all.forwarding=1 | tee -a /etc/sysctl.d/k8s.conf | sysctl -qp -")
        assert alarms(dual.check()) == set()

        lab.shell("sysctl -qw net.bridge.bridge-nf-call-ip6tables=0 net.ipv6.conf.all.forwarding=0")
        outcome = dual.check()

        assert alarms(outcome) == {"br-netfilter/BridgeNfCall6Off (fail)", "ip-forward/Forwarding6Off (fail)"}
        for diagnosis in outcome.report["diagnoses"]:
            dual.paste(diagnosis["fix"])
        assert alarms(dual.check()) == set()


def test_what_else_runs_on_a_node_raises_no_alarm(node: WholeNode) -> None:
    _add_strangers(node.lab)
    node.lab.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=0")
    node.lab.shell("echo 1 > /sys/class/net/cni0/bridge/nf_call_iptables")  # while docker's and libvirt's own are off
    try:
        outcome = node.check()
    finally:
        node.lab.shell("ip netns delete container; ip link delete docker0; ip link delete virbr0")

    assert (outcome.code, alarms(outcome)) == (0, set())
    assert outcome.reasons("br-netfilter") == {"FilteredPerBridge"}


def test_a_kubelet_that_may_read_little_of_the_api_is_no_fault() -> None:
    with LabNode("worker-2") as lab:
        narrow = WholeNode(lab, forbidden=["/api/v1/namespaces/kube-system/configmaps", "/apis/discovery.k8s.io"])
        narrow.start()
        pods = narrow.containerd.call("RuntimeService/ListPodSandbox")["items"]
        stopped = next(pod["id"] for pod in pods if pod["metadata"]["name"] == "web-1")
        narrow.containerd.call("RuntimeService/StopPodSandbox", {"pod_sandbox_id": stopped})

        outcome = narrow.check()

        assert (outcome.code, alarms(outcome)) == (0, set())


_HASH = f"sha256:{'0a' * 32}"
_JOIN = f"""\
apiVersion: kubeadm.k8s.io/v1beta3
kind: JoinConfiguration
discovery:
  bootstrapToken: {{apiServerEndpoint: "{FAR}:6443", token: 0a1b2c.0123456789abcdef, caCertHashes: [{_HASH}]}}
"""


def test_a_prepared_node_is_ready_to_make_or_to_join_a_cluster() -> None:
    with LabNode("worker-2") as lab:
        prepared = WholeNode(lab)
        prepared.prepare()

        outcome = prepared.check()

        assert (outcome.code, alarms(outcome)) == (0, set())
        assert (outcome.report["metadata"]["profile"], outcome.report["metadata"]["stage"]) == ("init", "prepared")

        done = lab.run([*NOBODY, sys.executable, "-m", "k8sdoctor", "check", "-o", "json"], check=False)
        blind = Outcome(done.returncode, done.stdout, done.stderr)

        assert {each.rpartition(" ")[2] for each in alarms(blind)} == {"(unknown)"}

        lab.write("/root/join.yaml", _JOIN)
        api_servers(lab, {FAR: member("kubernetes", FAR)})
        outcome = prepared.check("--config", "/root/join.yaml")

        assert (outcome.code, alarms(outcome)) == (0, set())
        assert outcome.report["metadata"]["profile"] == "join"
        assert outcome.reasons("apiserver-san") == {"Covered"}


# -- half-blind ------------------------------------------------------------------------------------------------------


def test_a_runtime_that_is_down_is_the_one_cause_and_leaves_the_rest_judged(node: WholeNode) -> None:
    node.containerd.stop()
    try:
        outcome = node.check()
        diagnosis, *others = outcome.report["diagnoses"]
        node.paste(diagnosis["fix"])
    finally:
        if not node.containerd.running:
            node.containerd.start()
    node.containerd.wait_until_ready()

    assert name(diagnosis["cause"]) == "node-ready/RuntimeDown"
    assert {"cni-config/RuntimeUnreachable", "pause-image/RuntimeUnreachable"} <= set(map(name, diagnosis["explains"]))
    assert others == []
    assert outcome.reasons("dns-reply-source") == {"RepliesMatch"}
    assert alarms(node.check()) == set()


def test_a_kubelet_that_ended_is_the_one_cause_and_its_last_words_say_why(node: WholeNode) -> None:
    last_words = (
        'E1120 09:00:00.000001     812 run.go:72] "command failed" err="failed to run Kubelet: running with swap on is not supported, '
        'please disable swap!"'
    )
    node.kubelet.stop()
    try:
        stopped = node.check()
        node.lab.write("/var/log/kubelet.log", f"{last_words}\n")
        crashed = node.check()
    finally:
        node.lab.run(["rm", "-f", "/var/log/kubelet.log"])
        node.start_kubelet()

    assert alarms(stopped) == {"node-ready/KubeletStopped (fail)"}
    assert alarms(crashed) == {"node-ready/KubeletCrashes (fail)"}
    [diagnosis] = crashed.report["diagnoses"]
    assert "running with swap on is not supported" in diagnosis["title"]
    assert alarms(node.check()) == set()


def test_root_without_privileges_is_told_what_it_lacks(node: WholeNode) -> None:
    words = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-m", "k8sdoctor", "check"]
    done = node.lab.run([*words, "-o", "json"], check=False)
    outcome = Outcome(done.returncode, done.stdout, done.stderr)

    assert alarms(outcome) == {
        f"{each}/NotPermitted (unknown)" for each in ("dns-path", "dns-reply-source", "firewall", "kube-proxy", "proxy")
    }
    assert (outcome.code, outcome.report["broken"]) == (3, [])
