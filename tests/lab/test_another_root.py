"""A host looks at another root file system as a container does that has the node's root mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.processes import _root

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab

RUN_TRUE = """
import sys
from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
try:
    LiveHost(root=sys.argv[1]).run("true")
except HostError as error:
    print(f"{error.reason}: {error}")
"""

SWITCH = "/proc/sys/net/ipv4/ip_forward"


@pytest.fixture
def inside(node: LabNode) -> LiveHost:
    """The lab node, looked at from outside by its root."""
    return LiveHost(root=f"/proc/{node._node.pid}/root")


def test_files_and_the_host_name_are_the_other_root_s(node: LabNode, inside: LiveHost) -> None:
    node.write("/etc/kubernetes/kubelet.conf", "here")

    assert inside.read("/etc/kubernetes/kubelet.conf") == "here"
    assert inside.identity()["hostname"] == "lab1"


@pytest.mark.parametrize("value", ["0", "1"])
def test_network_switches_are_those_of_the_other_root_s_first_process(
    node: LabNode, inside: LiveHost, value: str
) -> None:
    node.run(["sysctl", "-w", f"net.ipv4.ip_forward={value}"])

    assert inside.read(SWITCH).strip() == value


def test_processes_are_those_of_the_other_root(inside: LiveHost) -> None:
    names = [process["name"] for process in inside.processes()]

    assert "cat" in names
    assert "python3" not in names  # ours
    assert inside.processes()[0]["pid"] == 1


def test_commands_run_in_the_other_root(node: LabNode, inside: LiveHost) -> None:
    node.write("/usr/local/bin/kubelet", "#!/bin/sh\necho Kubernetes v1.30.1\n", mode=0o755)

    assert inside.run("kubelet", "--version")["out"] == "Kubernetes v1.30.1\n"


def test_a_command_that_the_other_root_lacks_is_not_found(inside: LiveHost) -> None:
    with pytest.raises(HostError) as caught:
        inside.run("no-such-command-here")

    assert caught.value.reason == "NotFound"


def test_a_file_there_that_is_no_program_could_not_be_run(node: LabNode, inside: LiveHost) -> None:
    node.write("/usr/local/bin/kubelet", "no program\n", mode=0o755)

    with pytest.raises(HostError, match="kubelet cannot be run: Exec format error"):
        inside.run("kubelet", "--version")


def test_who_may_not_change_the_root_is_told_so_and_not_that_a_command_is_missing(node: LabNode) -> None:
    words = ["setpriv", "--bounding-set=-sys_chroot", sys.executable, "-c", RUN_TRUE, str(node.root)]

    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout

    assert told == f"NotPermitted: running a command in {node.root} needs root (CAP_SYS_CHROOT)\n"


def test_only_the_thread_that_runs_a_command_there_has_the_other_root_and_only_meanwhile(
    node: LabNode, inside: LiveHost
) -> None:
    node.write("/etc/whose", "the node's")

    there = Path("/etc/whose").exists

    def places() -> tuple[bool, bool, bool]:
        """Whether the node's file is seen by this thread there, by another one meanwhile, and by this one afterwards."""
        with _root(inside.root):
            here = there()
            elsewhere = another.submit(there).result()
        return here, elsewhere, there()

    with ThreadPoolExecutor(1) as another, ThreadPoolExecutor(1) as own:
        another.submit(os.getpid).result()  # a thread has the root of who starts it
        assert own.submit(places).result() == (True, False, False)
    assert not there()


def test_links_of_the_other_root_lead_inside_it(node: LabNode, inside: LiveHost) -> None:
    node.write("/etc/target", "the node's")
    node.run(["ln", "-sf", "/etc/target", "/etc/link"])

    assert inside.read("/etc/link") == "the node's"


def test_a_network_namespace_named_by_a_path_of_the_node_is_entered(node: LabNode, inside: LiveHost) -> None:
    pod = node.add_pod("pod1", "10.244.0.5/32")
    node.run(["sysctl", "-w", "net.ipv4.ip_forward=0"])
    pod.run(["sysctl", "-w", "net.ipv4.ip_forward=1"])

    assert inside.read(SWITCH, netns=pod.netns).strip() == "1"
    assert inside.read(SWITCH).strip() == "0"


def test_a_network_namespace_that_is_gone_is_not_found(inside: LiveHost) -> None:
    with pytest.raises(HostError) as caught:
        inside.read(SWITCH, netns="/run/netns/vanished")

    assert caught.value.reason == "NotFound"
