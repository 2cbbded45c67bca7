"""The lab itself: isolated, wired, and gone without a trace."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.lab.node import LabNode, wait_for

pytestmark = pytest.mark.lab


def test_the_node_has_a_name_an_identity_and_a_way_to_the_far_side_only(node: LabNode) -> None:
    assert node.run(["hostname"]).stdout == "lab1\n"
    assert node.read("/etc/machine-id") != node.read("/proc/sys/kernel/random/boot_id")
    assert node.run(["ip", "-o", "link"]).stdout.count("\n") == 2  # lo and eth0
    server = (
        "import socket; s = socket.create_server(('::', 5), dualstack_ipv6=True, family=socket.AF_INET6); s.accept()"
    )
    daemon = node.popen(["python3", "-c", server], far=True)
    wait_for(lambda: ":5 " in node.far_run(["ss", "-ltn"]).stdout, "the far side's server")

    node.run(["bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/5"])

    wait_for(lambda: not daemon.running, "the server's end")


def test_what_a_test_writes_is_seen_on_the_node_and_on_the_far_side_and_nowhere_else(node: LabNode) -> None:
    node.write("/etc/sysctl.d/99-lab-test.conf", "net.ipv4.ip_forward = 1\n")
    node.write("/var/lib/lab/deep/file", "x")

    assert node.far_run(["cat", "/etc/sysctl.d/99-lab-test.conf"]).stdout == "net.ipv4.ip_forward = 1\n"
    assert not Path("/etc/sysctl.d/99-lab-test.conf").exists()
    assert not Path("/var/lib/lab").exists()


def test_the_machine_is_read_only(node: LabNode) -> None:
    assert node.shell("touch /usr/bin/lab-was-here", check=False).returncode != 0
    assert node.shell("echo 100000 > /proc/sys/kernel/pid_max", check=False).returncode != 0


def test_a_link_is_replaced_and_not_followed(node: LabNode) -> None:
    before = Path("/usr/lib/os-release").read_text()

    node.write("/etc/os-release", "ID=flatcar\n")

    assert node.read("/etc/os-release") == "ID=flatcar\n"
    assert node.read("/usr/lib/os-release") == before


def test_a_pod_on_a_bridge_reaches_another_and_the_node(node: LabNode) -> None:
    node.add_bridge("cni0", "10.244.0.1/24", "fd00:244::1/64")
    client = node.add_pod("client", "10.244.0.5/24", bridge="cni0", gateway="10.244.0.1")
    server = node.add_pod("server", "10.244.0.6/24", bridge="cni0", gateway="10.244.0.1")
    daemon = server.popen(["python3", "-c", "import socket; socket.create_server(('', 53)).accept()"])
    wait_for(lambda: ":53 " in server.run(["ss", "-ltn"]).stdout, "the server")

    client.run(["bash", "-c", "exec 3<>/dev/tcp/10.244.0.6/53"])

    wait_for(lambda: not daemon.running, "the server's end")
    assert "master cni0" in node.run(["ip", "link", "show", client.veth]).stdout


def test_a_routed_pod_reaches_the_node(node: LabNode) -> None:
    pod = node.add_pod("routed", "10.244.0.5/32")
    node.popen(["python3", "-c", "import socket; socket.create_server(('', 53)).accept()"])
    wait_for(lambda: ":53 " in node.run(["ss", "-ltn"]).stdout, "the server")

    pod.run(["bash", "-c", "exec 3<>/dev/tcp/192.0.2.10/53"])


def test_sys_shows_the_node_s_own_links(node: LabNode) -> None:
    assert sorted(node.run(["ls", "/sys/class/net"]).stdout.split()) == ["eth0", "lo"]


def test_a_daemon_is_stopped_by_its_own_process_id(node: LabNode) -> None:
    daemon = node.popen(["sleep", "1000"])
    pid = daemon.pid

    daemon.stop()

    assert not daemon.running
    assert not psutil.pid_exists(pid)


def test_cgroups_of_the_node_go_with_it() -> None:
    with LabNode() as node:
        node.shell("for h in /sys/fs/cgroup/*; do if [ -f $h/tasks ]; then mkdir -p $h/k8s.io/pod; fi; done")
        name = node._folder.name

    assert list(Path("/sys/fs/cgroup").glob(f"*/{name}")) == []
    assert not Path("/tmp", name).exists()


def test_nothing_is_left_when_the_node_ends() -> None:
    mounts, names = Path("/proc/self/mountinfo").read_text(), os.uname().nodename
    with LabNode() as node:
        node.add_bridge()
        node.add_pod("a", "10.244.0.5/24", bridge="cni0")
        daemons = [node.popen(["sh", "-c", "sleep 1000 & sleep 1001"], far=far) for far in (True, False)]
        inside = [daemon.pid for daemon in daemons]
        inside += [child.pid for pid in inside for child in psutil.Process(pid).children()]
        holders = [child.pid for child in psutil.Process().children(recursive=True)]

    assert not [pid for pid in inside + holders if psutil.pid_exists(pid)]
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert os.uname().nodename == names
