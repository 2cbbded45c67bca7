"""The lab's containerd runs real pods, and the host asks it what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.host.live import LiveHost
from tests.lab.containerd import SOCKET, Containerd

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd", "runc", "ctr", "busybox")]


def test_a_pod_on_the_bridge_is_seen_with_its_process_and_namespace(node: LabNode) -> None:
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_bridge_network()
    containerd.start()
    containerd.import_image()
    made = containerd.run_pod("client", app="x")

    host = LiveHost(str(node.root))
    runtime = Runtime(kind="containerd", endpoint=f"unix://{SOCKET}", reachable=True)
    [sandbox] = PodSandboxes.observe(host, runtime).sandboxes

    assert containerd.network_ready
    assert made.ip.startswith("10.244.0.")
    assert (sandbox.name, sandbox.namespace, sandbox.labels["app"]) == ("client", "default", "x")
    assert (sandbox.pid, sandbox.netns_path, sandbox.ips) == (made.pid, made.netns, (made.ip,))
    assert not sandbox.host_network
    assert "inet 10.244.0." in node.run(["nsenter", f"--net={made.netns}", "ip", "addr", "show", "eth0"]).stdout
    containerd.remove_pod(made.id)
    assert PodSandboxes.observe(host, runtime).sandboxes == ()
