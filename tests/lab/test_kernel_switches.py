"""br-netfilter and ip-forward on a real kernel: what they say is what packets meet, and their fixes mend it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.node import wait_for

if TYPE_CHECKING:
    from tests.lab.node import LabNode, Pod

pytestmark = [pytest.mark.lab, pytest.mark.needs("iptables", "/lib/systemd/systemd-sysctl")]

ASK = """
import dataclasses, json, sys
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import Recorder, Recording, examine
recorder = Recorder(LiveHost())
found = examine(recorder, sys.argv[1])
assert examine(Recording(recorder.dump()), sys.argv[1]) == found, "a recording is judged as the node was"
print(json.dumps([dataclasses.asdict(finding) for finding in found], default=list))
"""
CALL = "net.bridge.bridge-nf-call-iptables"
CALL6 = "net.bridge.bridge-nf-call-ip6tables"
SYSCTL_FOLDERS = "/etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d"
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "cbr0",
    "plugins": [
        {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]]}}
    ],
}


def findings(node: LabNode, check: str) -> list[dict[str, Any]]:
    found = json.loads(node.run([sys.executable, "-c", ASK, check]).stdout)
    assert isinstance(found, list)
    return found


def verdict(node: LabNode, check: str) -> list[tuple[str, str]]:
    return [(finding["status"], finding["reason"]) for finding in findings(node, check)]


def paste(node: LabNode, finding: dict[str, Any]) -> None:
    """What a person does with a fix."""
    for line in (*finding["fix"]["commands"], *finding["fix"]["persist"]):
        node.shell(line)
    node.shell(finding["fix"]["verify"])


def boot(node: LabNode) -> None:
    """What systemd does with the switches at boot."""
    node.run(["/lib/systemd/systemd-sysctl"])


def bridged_node(node: LabNode, *more: str) -> tuple[Pod, Pod]:
    """Two pods on cni0, forwarding on, and no file that sets a switch."""
    node.shell(f"for folder in {SYSCTL_FOLDERS}; do rm -rf $folder/*; done; sysctl -qw net.ipv4.ip_forward=1")
    node.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(NETWORK))
    node.add_bridge("cni0", "10.244.0.1/24", *more)
    one = node.add_pod("one", "10.244.0.5/24", bridge="cni0", gateway="10.244.0.1")
    two = node.add_pod("two", "10.244.0.6/24", bridge="cni0", gateway="10.244.0.1")
    return one, two


def listen(node: LabNode, where: Pod | None) -> None:
    """A server on port 53, in a pod or on the far side."""
    server = [
        "python3",
        "-c",
        "import socket; socket.create_server(('::', 53), family=socket.AF_INET6, dualstack_ipv6=True).accept()",
    ]
    if where is None:
        node.popen(server, far=True)
        wait_for(lambda: ":53 " in node.far_run(["ss", "-ltn"]).stdout, "the server")
    else:
        where.popen(server)
        wait_for(lambda: ":53 " in where.run(["ss", "-ltn"]).stdout, "the server")


def connects(pod: Pod, address: str) -> bool:
    return pod.run(["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/53"], check=False).returncode == 0


# -- br-netfilter ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "own", "answer"),
    [
        (1, 0, ("pass", "Filtered")),
        (0, 1, ("pass", "FilteredPerBridge")),
        (1, 1, ("pass", "Filtered")),
        (0, 0, ("fail", "BridgeNfCallOff")),
    ],
)
def test_a_bridge_is_called_filtered_exactly_when_iptables_sees_its_packets(
    node: LabNode, namespace: int, own: int, answer: tuple[str, str]
) -> None:
    one, two = bridged_node(node)
    node.shell(f"sysctl -qw {CALL}={namespace}; ip link set cni0 type bridge nf_call_iptables {own}")
    node.shell("iptables -I FORWARD -s 10.244.0.5 -d 10.244.0.6 -j ACCEPT")
    listen(node, two)

    assert connects(one, "10.244.0.6")
    counted = node.run(["iptables", "-nvxL", "FORWARD"]).stdout.splitlines()[2].split()[0] != "0"

    assert counted is (answer[0] == "pass")
    assert verdict(node, "br-netfilter") == [answer]


def test_pasting_the_fix_of_a_switch_that_is_off_makes_the_next_run_pass_also_after_a_boot(node: LabNode) -> None:
    bridged_node(node)
    node.write("/usr/lib/sysctl.d/99-zz-hardening.conf", f"{CALL} = 0\n")
    boot(node)

    [finding] = findings(node, "br-netfilter")
    paste(node, finding)

    assert finding["reason"] == "BridgeNfCallOff"
    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]
    boot(node)
    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]


def test_the_switch_for_ipv6_is_judged_where_the_bridge_has_ipv6(node: LabNode) -> None:
    bridged_node(node, "fd00:244::1/64")
    node.shell(f"sysctl -qw {CALL6}=0")

    [finding] = findings(node, "br-netfilter")
    paste(node, finding)

    assert finding["reason"] == "BridgeNfCall6Off"
    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]


def test_a_file_that_will_turn_the_switch_off_is_outdone_by_the_fix(node: LabNode) -> None:
    bridged_node(node)
    node.write("/etc/sysctl.d/10-k8s.conf", f"{CALL} = 1\n")
    node.write("/run/sysctl.d/50-late.conf", f"{CALL.replace('.', '/')} = 0\n")

    passing, finding = findings(node, "br-netfilter")
    paste(node, finding)
    boot(node)

    assert (passing["reason"], finding["reason"], finding["subject"]) == (
        "Filtered",
        "PersistedOff",
        "/run/sysctl.d/50-late.conf",
    )
    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]


def test_a_switch_of_another_network_namespace_is_not_the_nodes(node: LabNode) -> None:
    one, _ = bridged_node(node)
    one.run(["sysctl", "-qw", f"{CALL}=0"])

    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]


def test_a_bridge_that_the_cni_configuration_will_make_is_judged_before_it_is_there(node: LabNode) -> None:
    node.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(NETWORK))
    node.shell(f"sysctl -qw {CALL}=0")

    [finding] = findings(node, "br-netfilter")
    paste(node, finding)

    assert (finding["status"], finding["reason"], finding["subject"]) == ("fail", "BridgeNfCallOff", "cni0")
    assert verdict(node, "br-netfilter") == [("pass", "Filtered")]


def test_a_bare_machine_with_the_switch_off_is_only_warned(node: LabNode) -> None:
    node.shell(f"sysctl -qw {CALL}=0")

    assert verdict(node, "br-netfilter") == [("warn", "BridgeNfCallOff")]


def test_a_node_that_routes_to_its_pods_is_not_judged_whatever_the_switch(node: LabNode) -> None:
    calico = {
        "cniVersion": "0.3.1",
        "name": "k8s-pod-network",
        "plugins": [{"type": "calico", "ipam": {"type": "calico-ipam"}}],
    }
    node.write("/etc/cni/net.d/10-calico.conflist", json.dumps(calico))
    node.add_pod("routed", "10.244.0.5/32")
    node.shell(f"sysctl -qw {CALL}=0")

    assert verdict(node, "br-netfilter") == [("skip", "NoPodBridge")]


def test_a_kernel_that_shows_no_switch_at_all_lacks_the_module(node: LabNode) -> None:
    bridged_node(node)
    node.shell("mount -t tmpfs none /proc/sys/net/bridge")

    [finding] = findings(node, "br-netfilter")

    assert (finding["status"], finding["reason"]) == ("fail", "ModuleNotLoaded")


# -- ip-forward ------------------------------------------------------------------------------------------------------


def far_knows_the_pods(node: LabNode) -> None:
    node.far_run(["ip", "route", "add", "10.244.0.0/24", "via", "192.0.2.10"])
    node.far_run(["ip", "route", "add", "fd00:244::/64", "via", "2001:db8:1::10"])
    listen(node, None)


def kept(node: LabNode) -> None:
    node.write("/etc/sysctl.d/10-k8s.conf", "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n")


def test_forwarding_that_is_on_and_kept_passes_and_packets_pass(node: LabNode) -> None:
    one, _ = bridged_node(node)
    far_knows_the_pods(node)
    kept(node)

    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]
    assert connects(one, "192.0.2.1")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("sysctl -qw net.ipv4.ip_forward=0", "ForwardingOff"),
        ("sysctl -qw net.ipv4.conf.cni0.forwarding=0", "InterfaceForwardingOff"),
        ("sysctl -qw net.ipv4.conf.eth0.forwarding=0", "InterfaceForwardingOff"),
    ],
)
def test_a_switch_that_is_off_keeps_packets_back_and_the_fix_lets_them_pass(
    node: LabNode, fault: str, reason: str
) -> None:
    one, _ = bridged_node(node)
    far_knows_the_pods(node)
    node.shell(fault)

    assert not connects(one, "192.0.2.1")
    found = findings(node, "ip-forward")
    for finding in found:
        paste(node, finding)

    assert found[0]["reason"] == reason
    assert connects(one, "192.0.2.1")
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]


def test_a_default_that_new_interfaces_start_with_is_blamed_for_a_routed_pods_veth(node: LabNode) -> None:
    bridged_node(node)
    kept(node)
    node.shell("sysctl -qw net.ipv4.conf.default.forwarding=0")
    pod = node.add_pod("late", "10.245.0.5/32")

    [finding] = findings(node, "ip-forward")
    paste(node, finding)

    assert (finding["reason"], finding["subject"]) == ("InterfaceForwardingOff", pod.veth)
    assert "net.ipv4.conf.default.forwarding is 0" in finding["message"]
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]


def test_the_last_of_two_names_decides_at_boot_and_the_fix_outdoes_it(node: LabNode) -> None:
    bridged_node(node)
    node.write("/etc/sysctl.d/10-k8s.conf", "net.ipv4.ip_forward = 1\n")
    node.write("/usr/local/lib/sysctl.d/50-hard.conf", "\nnet.ipv4.conf.all.forwarding = 0\n")

    passing, finding = findings(node, "ip-forward")
    boot(node)
    assert verdict(node, "ip-forward")[0] == ("fail", "ForwardingOff")
    paste(node, finding)
    boot(node)

    assert (passing["reason"], finding["reason"]) == ("ForwardingOn", "PersistedOff")
    assert "/usr/local/lib/sysctl.d/50-hard.conf:2" in finding["message"]
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]


def test_sysctl_conf_decides_by_the_link_that_debian_has(node: LabNode) -> None:
    bridged_node(node)
    node.write("/etc/sysctl.d/k8s.conf", "net.ipv4.ip_forward = 1\n")  # sorts after 99-sysctl.conf
    node.write("/etc/sysctl.conf", "net.ipv4.ip_forward = 0\n")
    node.shell("ln -s ../sysctl.conf /etc/sysctl.d/99-sysctl.conf")
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]

    node.shell("mv /etc/sysctl.d/k8s.conf /etc/sysctl.d/10-k8s.conf")
    finding = findings(node, "ip-forward")[-1]

    assert (finding["reason"], finding["subject"]) == ("PersistedOff", "/etc/sysctl.conf")


def test_forwarding_that_no_file_keeps_is_written_down_by_the_fix(node: LabNode) -> None:
    bridged_node(node)

    finding = findings(node, "ip-forward")[-1]
    paste(node, finding)
    node.shell("sysctl -qw net.ipv4.ip_forward=0")
    boot(node)

    assert finding["reason"] == "NotPersistent"
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]


def test_ipv6_pods_need_ipv6_forwarding_and_the_fix_gives_it_to_them(node: LabNode) -> None:
    one, _ = bridged_node(node, "fd00:244::1/64")
    dual = {
        **NETWORK,
        "plugins": [
            {
                "type": "bridge",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:244::/64"}]],
                },
            }
        ],
    }
    node.write("/etc/cni/net.d/10-bridge.conflist", json.dumps(dual))
    node.write("/etc/sysctl.d/10-k8s.conf", "net.ipv4.ip_forward = 1\n")
    one.run(["ip", "address", "add", "fd00:244::5/64", "dev", "eth0", "nodad"])
    one.run(["ip", "route", "add", "default", "via", "fd00:244::1"])
    far_knows_the_pods(node)
    node.shell("sysctl -qw net.ipv6.conf.all.forwarding=0")

    assert not connects(one, "2001:db8:1::1")
    [finding] = findings(node, "ip-forward")
    paste(node, finding)

    assert finding["reason"] == "Forwarding6Off"
    assert connects(one, "2001:db8:1::1")
    assert verdict(node, "ip-forward") == [("pass", "ForwardingOn")]
