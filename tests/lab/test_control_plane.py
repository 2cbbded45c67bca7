"""control-plane against a real containerd that cannot start the container of a static pod."""

from __future__ import annotations

import pytest

from tests.lab.containerd import PAUSE, Containerd
from tests.lab.node import LabNode, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd", "runc", "ctr", "busybox")]

MANIFESTS = "/etc/kubernetes/manifests"
LABELS = {"io.kubernetes.pod.name": "kube-scheduler-lab1", "io.kubernetes.pod.namespace": "kube-system"}


def static_pod(name: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: kube-system}}
spec:
  hostNetwork: true
  containers: [{{name: {name}, image: x, command: [{name}, --bind-address=127.0.0.1]}}]
"""


def test_a_container_that_cannot_be_started_is_told_with_the_runtimes_words(node: LabNode) -> None:
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_bridge_network()
    containerd.start()
    containerd.import_image(PAUSE)
    wait_for(lambda: containerd.network_ready, "the network")
    node.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\n")
    for name in ("kube-apiserver", "kube-scheduler"):
        node.write(f"{MANIFESTS}/{name}.yaml", static_pod(name))
    sandbox = containerd.run_pod("kube-scheduler-lab1", "kube-system")
    container = containerd.run_container(
        sandbox.id,
        "kube-scheduler",
        ["/bin/kube-scheduler"],
        **LABELS,
    )
    wait_for(lambda: containerd.state(container) == "CONTAINER_EXITED", "the container's end")

    found = {each["subject"]: each for each in node.check("control-plane").result("control-plane")["findings"]}

    scheduler = found["kube-scheduler"]
    assert (scheduler["status"], scheduler["reason"]) == ("fail", "ComponentDown")
    assert "the runtime could not start its container" in scheduler["message"]
    assert any("OCI runtime create failed" in each["content"] for each in scheduler["evidence"])
    assert "the runtime shows no container" in found["kube-apiserver"]["message"]
