"""Cluster DNS, asked from real pod namespaces of a real DNS server over the kernel's own bridge and translation."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.containerd import PAUSE, Containerd
from tests.lab.node import DNSMASQ_SERVES, Pod, wait_for

if TYPE_CHECKING:
    from tests.lab.node import Daemon, LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("dnsmasq", "iptables", "ip6tables", "conntrack", "ss")]

SERVICE = "10.96.0.10"
SERVICE6 = "fd00:96::a"
DOMAIN = "example.test"
NAME = f"kubernetes.default.svc.{DOMAIN}"

_SCRIPT = """
import json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of
report = report_of(LiveHost(), "dns-reply-source")
assert not report.broken, report.broken[0].traceback
[result] = report.results
print(json.dumps([
    {
        "status": one.status, "reason": one.reason, "message": one.message, "subject": one.subject,
        "traits": sorted(one.traits), "commands": one.fix.commands if one.fix else [], "evidence": {each.source: each.content for each in one.evidence},
    }
    for one in result.findings
]))
"""

_DIAGNOSE = """
import json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of
document = report_of(LiveHost(), "dns-reply-source", "br-netfilter").document()
print(json.dumps([one for one in document["diagnoses"] if one["status"] == "fail"]))
"""


def examine(node: LabNode) -> list[dict[str, Any]]:
    """The findings of the check, run on the node."""
    # Links that came up this second still test their own addresses, and neighbours are found a second late.
    names = node.run(["ls", "/run/netns"]).stdout.split()
    look = " && ".join(
        f"! ip {where} -6 address show tentative | grep -q ." for where in ("", *(f"-n {one}" for one in names))
    )
    wait_for(lambda: node.shell(look, check=False).returncode == 0, "the end of duplicate address detection")
    findings: list[dict[str, Any]] = json.loads(node.run([sys.executable, "-c", _SCRIPT]).stdout)
    return findings


def join(node: LabNode, *addresses: str) -> None:
    """Make the node one of a cluster whose kubelet names these DNS addresses."""
    node.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\n")
    node.write(
        "/var/lib/kubelet/config.yaml",
        f"clusterDNS: [{', '.join(json.dumps(one) for one in addresses or (SERVICE,))}]\nclusterDomain: {DOMAIN}\n",
    )
    node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")


def bridge(node: LabNode, *, filtered: bool, name: str = "cni0", third: int = 0) -> None:
    node.add_bridge(name, f"10.244.{third}.1/24", f"fd00:244:{third}::1/64")
    switch = int(filtered)
    node.shell(f"sysctl -qw net.bridge.bridge-nf-call-iptables={switch} net.bridge.bridge-nf-call-ip6tables={switch}")


def pod(node: LabNode, name: str, last: int, *, on: str = "cni0", third: int = 0) -> Pod:
    made = node.add_pod(
        name,
        f"10.244.{third}.{last}/24",
        f"fd00:244:{third}::{last}/64",
        bridge=on,
        gateway=f"10.244.{third}.1",
    )
    made.run(["ip", "route", "add", "default", "via", f"fd00:244:{third}::1"])
    return made


def serve(server: Pod, *options: str) -> Daemon:
    """Run dnsmasq in a pod's network; by default it knows the cluster's name."""
    daemon = server.popen(
        [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"),
            *("--pid-file=", "--log-facility=-"),
            *(options or (f"--address=/{NAME}/10.96.0.1", f"--local=/{NAME}/")),
        ]
    )
    wait_for(lambda: DNSMASQ_SERVES in daemon.log, "the DNS server")
    return daemon


def translate(node: LabNode, *backends: str, service: str = SERVICE) -> None:
    """Translate the service address as kube-proxy's iptables mode does, but taking backends in turn instead of at random."""
    tool = "ip6tables" if ":" in service else "iptables"
    lines = []
    for chain in ("PREROUTING", "OUTPUT"):
        for transport in ("udp", "tcp"):
            for position, backend in enumerate(backends):
                left = len(backends) - position
                turn = f"-m statistic --mode nth --every {left} --packet 0" if left > 1 else ""
                target = f"[{backend}]:53" if ":" in backend else f"{backend}:53"
                lines.append(
                    f"{tool} -w -t nat -A {chain} -d {service} -p {transport} --dport 53 {turn} "
                    f"-j DNAT --to-destination {target}"
                )
    node.shell("\n".join(lines))


def one_bridge(node: LabNode, *, filtered: bool) -> tuple[Pod, Pod]:
    """A node with a client pod and a DNS pod on one bridge."""
    join(node)
    bridge(node, filtered=filtered)
    client, server = pod(node, "client", 5), pod(node, "dns", 22)
    translate(node, "10.244.0.22")
    return client, server


def test_a_bridge_that_passes_iptables_by_sends_replies_from_the_backend(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=False)
    serve(server)

    [finding] = examine(node)

    assert finding["reason"] == "UnexpectedSource"
    assert finding["status"] == "fail"
    assert finding["traits"] == [f"address:{SERVICE}", "bridge:cni0", "family:ipv4"]
    assert "8 of 8 replies over UDP came from 10.244.0.22" in finding["message"]
    assert "10.96.0.10:53 NOERROR" in finding["evidence"]["DNS asked from the node"]  # which looks healthy
    for command in finding["commands"]:
        node.shell(command)


def test_the_report_names_the_switch_as_the_cause_of_the_strays(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=False)
    serve(server)
    node.shell("sysctl -qw net.bridge.bridge-nf-call-ip6tables=1")

    [diagnosis] = json.loads(node.run([sys.executable, "-c", _DIAGNOSE]).stdout)

    assert diagnosis["cause"]["check"] == "br-netfilter"
    assert diagnosis["certainty"] == "proven"
    assert diagnosis["explains"] == [{"check": "dns-reply-source", "reason": "UnexpectedSource", "subject": SERVICE}]
    for command in [*diagnosis["fix"]["commands"], *diagnosis["fix"]["persist"]]:
        node.shell(command)
    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]


def test_a_bridge_that_passes_its_packets_to_iptables_is_healthy(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)

    [finding] = examine(node)

    assert finding["reason"] == "RepliesMatch"


def test_the_bridge_s_own_switch_is_as_good_as_the_global_one(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=False)
    serve(server)
    node.shell("echo 1 > /sys/class/net/cni0/bridge/nf_call_iptables")

    [finding] = examine(node)

    assert finding["reason"] == "RepliesMatch"


def test_turning_the_switch_on_mends_it(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=False)
    serve(server)
    assert [one["reason"] for one in examine(node)] == ["UnexpectedSource"]

    node.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=1")

    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]


def test_a_backend_on_another_bridge_is_answered_properly(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=False)
    bridge(node, filtered=False, name="cbr0", third=1)
    pod(node, "client", 5)
    serve(pod(node, "dns", 22, on="cbr0", third=1))
    translate(node, "10.244.1.22")

    [finding] = examine(node)

    assert finding["reason"] == "RepliesMatch"


def test_only_the_backend_on_the_pod_s_own_bridge_is_blamed(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=False)
    bridge(node, filtered=False, name="cbr0", third=1)
    pod(node, "client", 5)
    serve(pod(node, "dns1", 22))
    serve(pod(node, "dns2", 22, on="cbr0", third=1))
    translate(node, "10.244.0.22", "10.244.1.22")

    [finding] = examine(node)

    assert finding["reason"] == "UnexpectedSource"
    assert finding["traits"] == [f"address:{SERVICE}", "bridge:cni0", "family:ipv4"]
    assert "10.244.0.22" in finding["message"]
    assert "10.244.1.22" not in finding["message"]


def test_two_dns_pods_alone_see_each_other_s_replies_go_astray(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=False)
    for name, last in (("dns1", 21), ("dns2", 22)):
        serve(pod(node, name, last))
    translate(node, "10.244.0.21", "10.244.0.22")

    assert {one["reason"] for one in examine(node)} == {"UnexpectedSource"}


def test_two_dns_pods_alone_are_healthy_where_packets_pass_iptables(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=True)
    for name, last in (("dns1", 21), ("dns2", 22)):
        serve(pod(node, name, last))
    translate(node, "10.244.0.21", "10.244.0.22")

    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]


def test_a_dns_pod_alone_can_show_nothing(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=False)
    serve(pod(node, "dns", 22))
    translate(node, "10.244.0.22")

    [finding] = examine(node)

    assert finding["reason"] == "NoPodNamespace"
    assert finding["status"] == "unknown"


def test_the_fault_of_ipv6_is_told_apart(node: LabNode) -> None:
    join(node, SERVICE, SERVICE6)
    bridge(node, filtered=True)
    pod(node, "client", 5)
    serve(pod(node, "dns", 22))
    translate(node, "10.244.0.22")
    translate(node, "fd00:244:0::22", service=SERVICE6)
    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]

    node.shell("sysctl -qw net.bridge.bridge-nf-call-ip6tables=0")
    [finding] = examine(node)

    assert finding["reason"] == "UnexpectedSource"
    assert finding["subject"] == SERVICE6
    assert finding["traits"] == [f"address:{SERVICE6}", "bridge:cni0", "family:ipv6"]
    for command in finding["commands"]:
        node.shell(command)


def test_a_dns_server_that_died_leaves_pods_without_reply(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    daemon = serve(server)
    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]

    daemon.stop()
    [finding] = examine(node)

    assert finding["reason"] == "NoReply"
    assert "refused by 10.96.0.10" in finding["message"]


def test_a_service_address_without_rules_is_told_from_a_dead_server(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=True)
    pod(node, "client", 5)
    serve(pod(node, "dns", 22))

    [finding] = examine(node)

    assert finding["reason"] == "NoReply"
    assert "the service address leads nowhere" in finding["message"]


def test_one_dead_server_of_two_is_named(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=True)
    pod(node, "client", 5)
    serve(pod(node, "dns1", 21))
    silent = pod(node, "dns2", 22)
    serve(silent)
    silent.run(["iptables", "-w", "-A", "INPUT", "-p", "udp", "--dport", "53", "-j", "DROP"])
    silent.run(["iptables", "-w", "-A", "INPUT", "-p", "tcp", "--dport", "53", "-j", "DROP"])
    translate(node, "10.244.0.21", "10.244.0.22")

    [finding] = examine(node)

    assert (finding["reason"], finding["subject"]) == ("BackendSilent", "10.244.0.22")
    assert "/run/netns/dns2), 1 of 2 DNS servers" in finding["message"]
    assert "10.244.0.22:53 udp, asked 2 times: no reply" in finding["evidence"]["DNS asked from pod /run/netns/client"]


@pytest.mark.parametrize(("blocked", "reason"), [("udp", "TcpOnly"), ("tcp", "UdpOnly")])
def test_one_transport_filtered_in_the_dns_pod_is_named(node: LabNode, blocked: str, reason: str) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    server.run(["iptables", "-w", "-A", "INPUT", "-p", blocked, "--dport", "53", "-j", "DROP"])

    [finding] = examine(node)

    assert finding["reason"] == reason


def test_a_server_without_the_name_and_without_upstream_refuses(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server, "--address=/other.test/192.0.2.9")

    [finding] = examine(node)

    assert finding["reason"] == "RefusedQuery"


def test_a_name_that_does_not_exist_is_an_answer_and_a_warning(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server, f"--local=/{DOMAIN}/")

    [finding] = examine(node)

    assert finding["reason"] == "NameNotFound"
    assert finding["status"] == "warn"


def test_an_upstream_that_is_silent_makes_no_reply(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server, "--server=192.0.2.77")

    [finding] = examine(node)

    assert finding["reason"] == "NoReply"


_SCRIPTED = """
import socket, sys, threading, time
import dns.message, dns.rcode

manner = sys.argv[1]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
tcp = socket.create_server(("0.0.0.0", 53), backlog=64)


def made(wire, rcode):
    response = dns.message.make_response(dns.message.from_wire(wire))
    response.set_rcode(rcode)
    return response.to_wire()


def messages(wire):
    if manner == "servfail":
        return [made(wire, dns.rcode.SERVFAIL)]
    good = made(wire, dns.rcode.NOERROR)
    if manner == "slow":
        time.sleep(1.3)
        return [good]
    garbage = [b"", b"\\x00" * 40, b"<html>", good[:9], bytes([good[0] ^ 1]) + good[1:]]
    return garbage + ([good] if manner == "noisy" else [])


def answer(wire, client):
    for message in messages(wire):
        udp.sendto(message, client)


def converse(connection):
    wire = connection.recv(65535)[2:]
    for message in messages(wire):
        connection.sendall(len(message).to_bytes(2, "big") + message)
    connection.close()


def accept():
    while True:
        threading.Thread(target=converse, args=(tcp.accept()[0],), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
while True:
    threading.Thread(target=answer, args=udp.recvfrom(65535), daemon=True).start()
"""


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("servfail", "ServerFailure"), ("slow", "SlowReply"), ("noisy", "RepliesMatch"), ("garbage", "NoReply")],
)
def test_a_server_is_judged_by_its_answers_and_not_by_noise(node: LabNode, manner: str, reason: str) -> None:
    _, server = one_bridge(node, filtered=True)
    server.popen([sys.executable, "-c", _SCRIPTED, manner])
    wait_for(lambda: server.run(["ss", "-lnut"]).stdout.count(":53 ") == 2, "the scripted server")

    [finding] = examine(node)

    assert finding["reason"] == reason


def test_a_rule_that_rejects_the_service_address_is_named_as_a_refusal(node: LabNode) -> None:
    join(node)
    bridge(node, filtered=True)
    pod(node, "client", 5)
    # As kube-proxy does for a service without ready endpoints.
    node.shell(f"for chain in INPUT FORWARD OUTPUT; do iptables -w -A $chain -d {SERVICE} -j REJECT; done")

    [finding] = examine(node)

    assert finding["reason"] == "NoReply"
    assert "refused by 10.244.0.1" in finding["message"]


def test_a_pod_that_alone_may_not_ask_is_no_outage(node: LabNode) -> None:
    client, server = one_bridge(node, filtered=True)
    serve(server)
    pod(node, "free", 6)
    client.run(["iptables", "-w", "-A", "OUTPUT", "-p", "udp", "--dport", "53", "-j", "DROP"])
    client.run(["iptables", "-w", "-A", "OUTPUT", "-p", "tcp", "--dport", "53", "-j", "DROP"])

    [finding] = examine(node)

    assert finding["reason"] == "RepliesMatch"
    assert "/run/netns/client alone is not answered" in finding["message"]


def test_without_the_kubelet_s_configuration_a_pod_s_resolv_conf_leads_to_dns(node: LabNode) -> None:
    client, server = one_bridge(node, filtered=False)
    serve(server)
    node.run(["rm", "/var/lib/kubelet/config.yaml"])
    node.write(
        "/run/client.conf",
        f"search default.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\nnameserver {SERVICE}\noptions ndots:5\n",
    )
    inside = "mount --make-rprivate / && mount --bind /run/client.conf /etc/resolv.conf && exec sleep 1000"
    client.popen(["unshare", "--mount", "sh", "-c", inside])
    shown = "cat /proc/[0-9]*/root/etc/resolv.conf | grep -q ndots"
    wait_for(lambda: node.shell(shown, check=False).returncode == 0, "the pod's process")

    [finding] = examine(node)

    assert finding["reason"] == "UnexpectedSource"
    assert "/etc/resolv.conf of pod /run/netns/client" in finding["evidence"]["cluster DNS addresses"]


def test_nothing_on_the_node_is_changed_by_asking(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=False)
    serve(server)
    state = "ip link; ip address; ip route; iptables-save -t nat | grep -v '^[#:]'; sysctl net.bridge; ls -lR /etc /run/netns"
    examine(node)
    before = node.shell(state).stdout
    examine(node)

    assert node.shell(state).stdout == before


def test_before_joining_a_machine_without_pods_is_skipped_and_afterwards_unknown(node: LabNode) -> None:
    assert [(one["reason"], one["status"]) for one in examine(node)] == [("NoPodNamespace", "skip")]

    join(node)

    assert [(one["reason"], one["status"]) for one in examine(node)] == [("NoPodNamespace", "unknown")]


def test_namespaces_of_others_are_not_asked_from(node: LabNode) -> None:
    join(node)
    node.add_bridge("docker0", "172.17.0.1/16")
    node.add_pod("build", "172.17.0.2/16", bridge="docker0", gateway="172.17.0.1")
    node.shell("ip netns add private; ip -n private link set lo up")

    [finding] = examine(node)

    assert finding["reason"] == "NoPodNamespace"


@pytest.mark.needs("containerd", "runc", "ctr")
def test_pods_of_a_real_runtime_are_asked_from_by_their_names(node: LabNode) -> None:
    join(node)
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_bridge_network()
    containerd.start()
    containerd.import_image(PAUSE)
    client, server = containerd.run_pod("client"), containerd.run_pod("dns")
    node.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=0")
    inside = Pod(node, server.netns.removeprefix("/var").removeprefix("/run/netns/"), "")
    serve(inside)
    translate(node, server.ip)

    [finding] = examine(node)

    assert finding["reason"] == "UnexpectedSource"
    assert "pod default/client" in finding["message"]
    assert f"{server.ip} (pod default/dns)" in finding["message"]
    assert client.ip != server.ip

    node.shell("sysctl -qw net.bridge.bridge-nf-call-iptables=1")

    assert [one["reason"] for one in examine(node)] == ["RepliesMatch"]


def test_a_routed_pod_is_asked_from(node: LabNode) -> None:
    join(node)
    node.add_pod("client", "10.244.0.5/32")
    server = node.add_pod("dns", "10.244.0.22/32")
    serve(server)
    translate(node, "10.244.0.22")

    [finding] = examine(node)

    assert finding["reason"] == "RepliesMatch"
    assert "/run/netns/client" in finding["message"]
