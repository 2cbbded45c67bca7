"""ports: facts in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.ports import ports as check
from k8sdoctor.facts.cni import CniFile, CniFolder
from k8sdoctor.facts.cni_network import CniNetwork, CniPlugin
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.port_hellos import PortHellos
from k8sdoctor.facts.ports import Need, Ports
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREPARED = Stage("prepared", "/usr/bin/containerd is there")
WORKER = Stage("worker", "kubelet.conf is there")
CONTROL_PLANE = Stage("control-plane", "kube-apiserver.yaml is there")
MANIFESTS = "/etc/kubernetes/manifests"
OFFLINE = HostError("Offline", "--offline")
NO_CNI = Unobserved("NotFound", "no CNI")
INIT = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {bindPort: 7443}\n"
JOIN = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"
EXTERNAL = "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd: {external: {endpoints: []}}\n"


def socket(
    port: int, program: str = "", address: str = "0.0.0.0", *, protocol: str = "tcp", **more: Any
) -> dict[str, Any]:
    pid = (4000 + port) if program else None
    words = [f"/usr/sbin/{program}", "-f", "x"] if program else []
    made = {
        "protocol": protocol,
        "address": address,
        "port": port,
        "uid": 0,
        "kernel": False,
        "pid": pid,
        "name": program[:15],
    }
    return made | {"cmdline": words} | more


def manifest(program: str, *flags: str) -> str:
    words = "".join(f"\n    - {word}" for word in (program, *flags))
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {program}, namespace: kube-system}}\nspec:\n  hostNetwork: true\n"
        f"  containers:\n  - name: {program}\n    image: x\n    command:{words}\n"
    )


RULING = {
    f"{MANIFESTS}/kube-apiserver.yaml": manifest("kube-apiserver", "--secure-port=6443"),
    f"{MANIFESTS}/kube-controller-manager.yaml": manifest("kube-controller-manager", "--bind-address=127.0.0.1"),
    f"{MANIFESTS}/kube-scheduler.yaml": manifest("kube-scheduler", "--bind-address=127.0.0.1"),
    f"{MANIFESTS}/etcd.yaml": manifest(
        "etcd",
        "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
        "--listen-peer-urls=https://10.0.0.1:2380",
    ),
}
OWN = [
    socket(6443, "kube-apiserver", "::"),
    socket(10250, "kubelet", "::"),
    socket(10257, "kube-controller-manager", "127.0.0.1"),
    socket(10259, "kube-scheduler", "127.0.0.1"),
    socket(2379, "etcd", "127.0.0.1"),
    socket(2380, "etcd", "10.0.0.1"),
]


def judge(  # one machine, as its tables and files have it
    stage: Stage,
    *sockets: dict[str, Any],
    files: Mapping[str, str] | None = None,
    config: str | None = None,
    processes: Sequence[dict[str, Any]] = (),
    folder: CniFolder | Unobserved = NO_CNI,
    tls: Any = OFFLINE,
) -> list[Finding]:
    host = FakeHost(
        dict(files or {}),
        listeners=lambda ports: [each for each in sockets if each["port"] in ports],
        processes=list(processes),
        tls=tls,
    )
    running = Processes.observe(host)
    kubelet = Kubelet.observe(host, running)
    planned = KubeadmConfig.parse(config, "--config kubeadm.yaml") if config else KubeadmConfig()
    found = Ports.observe(host, stage, kubelet, StaticPods.observe(host, kubelet), planned)
    return list(check(stage, found, PortHellos.observe(host, stage, found), planned, running, folder))


def told(findings: Sequence[Finding]) -> list[tuple[str, str, str | None]]:
    return [(str(finding.status), finding.reason, finding.subject) for finding in findings]


# -- healthy, not applicable, cannot look --------------------------------------------------------------------------------


def test_ports_that_their_own_programs_hold_are_right() -> None:
    [finding] = judge(CONTROL_PLANE, *OWN, files=RULING)

    assert (finding.status, finding.reason) == (Status.PASS, "PortsHeld")
    assert "(2379, 2380, 6443, 10250, 10257 and 10259)" in finding.message
    assert any("kube-apiserver (pid" in evidence.content for evidence in finding.evidence)


def test_ports_that_nobody_holds_are_for_others_to_judge() -> None:
    assert told(judge(CONTROL_PLANE, files=RULING)) == [("pass", "PortsHeld", None)]
    assert told(judge(WORKER, socket(6443, "haproxy"), socket(10250, "kubelet"))) == [("pass", "PortsHeld", None)]


def test_free_ports_before_the_node_joins_pass() -> None:
    [finding] = judge(PREPARED, socket(22, "sshd"))

    assert (finding.status, finding.reason) == (Status.PASS, "PortsFree")


def test_another_distribution_has_ports_of_its_own() -> None:
    k3s = {"pid": 5, "ppid": 1, "name": "k3s-server", "cmdline": ["/usr/local/bin/k3s server"]}
    rke2 = {
        "pid": 6,
        "ppid": 1,
        "name": "kubelet",
        "cmdline": ["kubelet", "--kubeconfig=/var/lib/rancher/rke2/agent/kubelet.kubeconfig"],
    }

    for process in (k3s, rke2):
        assert told(judge(PREPARED, socket(6443, "x"), processes=[process])) == [("skip", "OtherInstallation", None)]
    assert told(judge(PREPARED, socket(6443, "k3s-server"), processes=[])) == [("skip", "OtherInstallation", None)]


def test_what_a_user_may_not_see_is_unknown() -> None:
    findings = judge(
        CONTROL_PLANE, *(each | {"pid": None, "name": "", "cmdline": []} for each in OWN[:2]), files=RULING
    )

    assert told(findings) == [("unknown", "HolderUnknown", "6443, 10250")]
    assert told(judge(Stage("unknown", "Permission denied"))) == [("unknown", "NotPermitted", None)]


# -- before the node joins -----------------------------------------------------------------------------------------------


def test_the_kubelets_port_taken_before_joining_fails() -> None:
    [finding] = judge(PREPARED, socket(10250, "python3", "127.0.0.1"))

    assert told([finding]) == [("fail", "PortTaken", "10250/tcp")]
    assert "python3 (pid 14250) on 127.0.0.1:10250" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("kill 14250",)


def test_a_port_of_a_control_plane_is_a_warning_until_one_is_planned() -> None:
    assert told(judge(PREPARED, socket(6443, "haproxy"))) == [("warn", "PortTaken", "6443/tcp")]
    assert told(judge(PREPARED, socket(10259, "x"), config=INIT)) == [("fail", "PortTaken", "10259/tcp")]
    assert told(judge(PREPARED, socket(7443, "x"), config=INIT)) == [("fail", "PortTaken", "7443/tcp")]
    assert told(judge(PREPARED, socket(6443, "x"), config=INIT)) == [("pass", "PortsFree", None)]


def test_a_worker_to_be_needs_the_kubelets_port_alone() -> None:
    taken = (socket(6443, "haproxy"), socket(2379, "etcd"))

    assert told(judge(PREPARED, *taken, config=JOIN)) == [("pass", "PortsFree", None)]
    control_plane = f"{JOIN}controlPlane: {{localAPIEndpoint: {{bindPort: 6443}}}}\n"
    assert ("fail", "PortTaken", "6443/tcp") in told(judge(PREPARED, *taken, config=control_plane))


def test_external_etcd_leaves_its_ports_alone() -> None:
    assert told(judge(PREPARED, socket(2379, "etcd"), config=INIT + EXTERNAL)) == [("pass", "PortsFree", None)]


def test_what_an_earlier_installation_left_is_to_be_reset() -> None:
    for port, program in ((10250, "kubelet"), (2379, "etcd")):
        [finding] = judge(PREPARED, socket(port, program))

        assert told([finding]) == [("fail", "PortTaken", f"{port}/tcp")]
        assert finding.fix is not None
        assert finding.fix.commands == ("kubeadm reset",)


# -- on a node -----------------------------------------------------------------------------------------------------------


def test_a_balancer_on_the_api_servers_port_fails_and_explains_who_answers_there() -> None:
    haproxy = socket(6443, "haproxy")
    cgroup = {f"/proc/{haproxy['pid']}/cgroup": "0::/system.slice/haproxy.service\n"}
    [finding] = judge(CONTROL_PLANE, haproxy, *OWN[1:], files={**RULING, **cgroup})

    assert told([finding]) == [("fail", "PortTaken", "6443/tcp")]
    assert "haproxy (pid 10443, haproxy.service)" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("systemctl stop haproxy",)
    assert finding.fix.persist == ("systemctl disable haproxy",)
    assert ("apiserver-san", "PlainHttpEndpoint") in {(link.check, link.reason) for link in finding.explains}


def test_a_balancer_with_an_address_of_its_own_shares_the_port() -> None:
    ours = manifest("kube-apiserver", "--bind-address=10.0.0.1")
    files = {**RULING, f"{MANIFESTS}/kube-apiserver.yaml": ours}
    beside = (socket(6443, "haproxy", "10.0.0.100"), socket(6443, "kube-apiserver", "10.0.0.1"))

    assert told(judge(CONTROL_PLANE, *beside, files=files)) == [("pass", "PortsHeld", None)]
    assert told(judge(CONTROL_PLANE, beside[0], files=files)) == [("pass", "PortsHeld", None)]


@pytest.mark.parametrize(
    ("mine", "theirs", "clash"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::", True),
        ("0.0.0.0", "2001:db8::1", True),  # Go takes 0.0.0.0 as every address of both families
        ("::", "0.0.0.0", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("2001:db8::1", "0.0.0.0", False),
        ("2001:db8::1", "::", True),
        ("localhost", "::", True),
        ("localhost", "10.0.0.1", False),
    ],
)
def test_addresses_are_in_each_others_way_or_not(mine: str, theirs: str, clash: bool) -> None:
    need = Need("kubelet", 10250, mine, "x")
    host = FakeHost(listeners=[socket(10250, "nginx", theirs)])
    held = Ports.observe(host, WORKER, Unobserved("NotFound", "x"), StaticPods(), KubeadmConfig()).held

    assert held[0].overlaps(need.address) is clash


@pytest.mark.parametrize(
    ("port", "address", "link"),
    [
        (10250, "0.0.0.0", ("node-ready", "KubeletCrashes")),
        (2379, "10.0.0.1", ("etcd", "Unreachable")),
        (2380, "::", ("etcd", "Unreachable")),
        (10257, "127.0.0.1", None),
    ],
)
def test_a_stranger_on_a_components_port_fails(port: int, address: str, link: tuple[str, str] | None) -> None:
    [finding] = judge(CONTROL_PLANE, socket(port, "nginx", address), files=RULING)

    assert told([finding]) == [("fail", "PortTaken", f"{port}/tcp")]
    assert [(each.check, each.reason) for each in finding.explains][:1] == ([link] if link else [])


def test_plain_http_where_tls_is_due_is_told_to_whoever_may_not_see_the_process() -> None:
    plain: dict[str, Any] = {
        "peer": "127.0.0.1:10250",
        "chain": [],
        "client_cas": None,
        "failure": {"kind": "tls-plain", "message": "the peer answered in plain text"},
    }

    assert told(judge(WORKER, socket(10250, "", "::"), tls=plain)) == [("fail", "PlainHttp", "10250/tcp")]
    speaks = plain | {"failure": None, "chain": ["x"]}
    assert told(judge(WORKER, socket(10250, "", "::"), tls=speaks)) == [("unknown", "HolderUnknown", "10250")]


# -- beside them ---------------------------------------------------------------------------------------------------------


def test_a_kubelet_that_answers_without_a_login_is_a_warning_where_it_was_told_to() -> None:
    files = {"/var/lib/kubelet/config.yaml": "readOnlyPort: 10255\n"}

    assert told(judge(WORKER, socket(10255, "kubelet"), files=files)) == [("warn", "ReadOnlyPortOpen", "10255/tcp")]
    assert told(judge(WORKER, files=files)) == [("pass", "PortsHeld", None)]
    assert told(judge(WORKER, socket(10255, "other"))) == [("pass", "PortsHeld", None)]


def test_kube_proxys_port_matters_where_kube_proxy_runs() -> None:
    proxy = {"pid": 5, "ppid": 1, "name": "kube-proxy", "cmdline": ["/usr/local/bin/kube-proxy"]}
    stranger = socket(10256, "nginx")

    assert told(judge(WORKER, stranger, processes=[proxy])) == [("warn", "PortTaken", "10256/tcp")]
    assert told(judge(WORKER, stranger)) == [("pass", "PortsHeld", None)]
    assert told(judge(WORKER, socket(10256, "kube-proxy"), processes=[proxy])) == [("pass", "PortsHeld", None)]


def test_a_pod_networks_port_held_by_a_stranger_is_a_warning_and_the_kernels_own_is_not() -> None:
    flannel = _folder("flannel")
    kernel = socket(8472, protocol="udp", kernel=True)

    assert told(judge(WORKER, kernel, folder=flannel)) == [("pass", "PortsHeld", None)]
    stranger = socket(8472, "vpn", protocol="udp")
    assert told(judge(WORKER, stranger, folder=flannel)) == [("warn", "NetworkPortTaken", "8472/udp")]
    assert told(judge(WORKER, stranger, folder=_folder("bridge"))) == [("pass", "PortsHeld", None)]
    bgp = _folder("calico")
    assert told(judge(WORKER, socket(179, "bird"), folder=bgp)) == [("pass", "PortsHeld", None)]
    assert told(judge(WORKER, socket(179, "bgpd"), folder=bgp)) == [("warn", "NetworkPortTaken", "179/tcp")]


def _folder(plugin: str) -> CniFolder:
    network = CniNetwork("x", "1.0.0", (CniPlugin(plugin, None, {"type": plugin}),), {})
    return CniFolder(
        "containerd", CniSettings(), loaded=(CniFile("/etc/cni/net.d/10-x.conflist", "", network=network),)
    )
