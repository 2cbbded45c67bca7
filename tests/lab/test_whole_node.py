"""A whole node: silent when it is healthy, and broken in each way it names the cause alone, with a fix that mends it when pasted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.containerd import NETWORKS, PLUGINS
from tests.lab.node import LabNode, wait_for
from tests.lab.whole_node import WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Outcome

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss"),
]

CNI = f"{NETWORKS}/10-bridge.conflist"
SWITCHES = "net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 net.ipv4.ip_forward=1"


@pytest.fixture(scope="module")
def worker() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        lab.shell(f"cp -a {NETWORKS} /run/networks; cp -a {PLUGINS} /run/plugins")
        yield made


@pytest.fixture
def node(worker: WholeNode) -> Iterator[WholeNode]:
    """The module's node, whole again after the test."""
    yield worker
    worker.restore()
    worker.lab.shell(f"sysctl -qw {SWITCHES}; echo 0 > /sys/class/net/cni0/bridge/nf_call_iptables")


@pytest.fixture(scope="module")
def control_plane() -> Iterator[WholeNode]:
    with LabNode("cp1") as lab:
        made = WholeNode(lab, "control-plane")
        made.start()
        yield made


# -- healthy ---------------------------------------------------------------------------------------------------------


def test_a_healthy_worker_passes_every_check(node: WholeNode) -> None:
    outcome = node.check()

    assert {result["check"]: result["status"] for result in outcome.report["results"]} == dict.fromkeys(
        ("apiserver-san", "br-netfilter", "cni-config", "dns-reply-source", "ip-forward", "pause-image"), "pass"
    )
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


@dataclass(frozen=True)
class Fault:
    """A way to break the worker, all that alarms then, and the causes with what each explains, in the report's order."""

    name: str
    breaks: str
    diagnoses: dict[str, list[str]]
    status: str = "fail"


ASTRAY = "dns-reply-source/UnexpectedSource"
NO_REPLY = "dns-reply-source/NoReply"

FAULTS = [
    Fault(
        "the bridge's switch is off",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        {"br-netfilter/BridgeNfCallOff": [ASTRAY]},
    ),
    Fault(
        "the bridge's switch is off, now and at boot",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0; sed -i '/iptables/s/1/0/' /etc/sysctl.d/k8s.conf",
        {"br-netfilter/BridgeNfCallOff": [ASTRAY]},
    ),
    Fault(
        "a later file turns the bridge's switch off at boot",
        "echo net.bridge.bridge-nf-call-iptables=0 > /etc/sysctl.d/zz-hardening.conf",
        {"br-netfilter/PersistedOff": []},
        status="warn",
    ),
    Fault(
        "a package's file that sorts later turns forwarding off at boot",
        "echo net/ipv4/ip_forward=0 > /usr/lib/sysctl.d/zz-vendor.conf",
        {"ip-forward/PersistedOff": []},
        status="warn",
    ),
    Fault(
        "nothing turns forwarding on at boot",
        "rm /etc/sysctl.d/k8s.conf",
        {"ip-forward/NotPersistent": []},
        status="warn",
    ),
    Fault("forwarding is off", "sysctl -qw net.ipv4.ip_forward=0", {"ip-forward/ForwardingOff": [NO_REPLY]}),
    Fault(
        "forwarding is off for the bridge",
        "sysctl -qw net.ipv4.conf.cni0.forwarding=0",
        {"ip-forward/InterfaceForwardingOff": [NO_REPLY]},
    ),
    Fault(
        "forwarding is off for the uplink",
        "sysctl -qw net.ipv4.conf.eth0.forwarding=0",
        {"ip-forward/InterfaceForwardingOff": []},
    ),
    Fault(
        "both switches are off",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.ipv4.ip_forward=0",
        {"ip-forward/ForwardingOff": [NO_REPLY], "br-netfilter/BridgeNfCallOff": []},
    ),
    Fault("a plugin is missing", f"rm {PLUGINS}/bridge", {"cni-config/PluginMissing": []}),
    Fault("the plugin of addresses is missing", f"rm {PLUGINS}/host-local", {"cni-config/PluginMissing": []}),
    Fault(
        "a plugin may not be run",
        f"rm {PLUGINS}/portmap; install -m 644 /usr/lib/cni/portmap {PLUGINS}/portmap",
        {"cni-config/PluginNotExecutable": []},
    ),
    Fault(
        "a second network is never used",
        f"sed s/cbr0/other/ {CNI} > {NETWORKS}/99-other.conflist",
        {"cni-config/ConfigShadowed": []},
        status="warn",
    ),
    Fault(
        "a version that no plugin knows",
        f"sed -i 's/0[.]4[.]0/9.9.9/' {CNI}",
        {"cni-config/VersionUnsupported": []},
    ),
    Fault(
        "the folder was made again behind the runtime's back",
        f"mv {NETWORKS} /etc/cni/old; mkdir {NETWORKS}; cp /etc/cni/old/* {NETWORKS}/",
        {"cni-config/StaleLoad": []},
    ),
]


def _diagnosed(node: WholeNode, fault: Fault) -> list[dict[str, Any]]:
    """The diagnoses, which must be the fault's. containerd sees a change of its folder a moment later than we look."""
    seen: list[Outcome] = []

    def right() -> bool:
        seen.append(node.check())
        expected = {name for cause, symptoms in fault.diagnoses.items() for name in (cause, *symptoms)}
        return (
            _causes(seen[-1]) == list(fault.diagnoses.items())
            and {alarm.partition(" ")[0] for alarm in alarms(seen[-1])} == expected
        )

    if any(cause.startswith("cni-config/") for cause in fault.diagnoses):
        wait_for(right, f"the diagnoses {fault.diagnoses}")
    else:
        assert right(), seen[-1].out
    found: list[dict[str, Any]] = seen[-1].report["diagnoses"]
    return found


def _causes(outcome: Outcome) -> list[tuple[str, list[str]]]:
    """Each diagnosis' cause with what it explains, in the report's order."""
    return [
        (_name(diagnosis["cause"]), [_name(symptom) for symptom in diagnosis["explains"]])
        for diagnosis in outcome.report["diagnoses"]
    ]


def _name(reference: dict[str, str]) -> str:
    return f"{reference['check']}/{reference['reason']}"


def _heal_networks(node: WholeNode) -> None:
    """What the runtime reads of networks and plugins, as it was; it sees a folder of the old name and number."""
    node.lab.shell(
        f"cp -a /run/plugins/. {PLUGINS}/; rm -f /usr/lib/sysctl.d/zz-vendor.conf\n"
        f"find {NETWORKS} -mindepth 1 -delete; cp -a /run/networks/. {NETWORKS}/"
    )
    wait_for(lambda: node.containerd.network_ready, "the network")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_is_told_by_its_cause_alone_and_the_pasted_fix_mends_it(node: WholeNode, fault: Fault) -> None:
    node.lab.shell(fault.breaks)
    try:
        told = _diagnosed(node, fault)
        assert {diagnosis["status"] for diagnosis in told} == {fault.status}

        for diagnosis in told:
            node.paste(diagnosis["fix"])
        node.containerd.wait_until_ready()

        wait_for(lambda: not alarms(node.check()), "a run without alarm")
    finally:
        _heal_networks(node)
