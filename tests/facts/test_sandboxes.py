"""The pod sandboxes that a runtime tells of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandboxes import PodSandboxes
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "control-plane-v1.36" / "cri.json").read_text())
RUNTIME = Runtime(kind="containerd", endpoint="unix:///run/containerd/containerd.sock", reachable=True)


def recorded(endpoint: str, method: str, request: dict[str, Any]) -> Any:
    """What the recorded node's containerd answered about pods."""
    assert endpoint == RUNTIME.endpoint
    if method == "RuntimeService/ListPodSandbox":
        return {"items": [pod["sandbox"] for pod in RECORDED["pods"]]}
    [pod] = [pod for pod in RECORDED["pods"] if pod["sandbox"]["id"] == request["pod_sandbox_id"]]
    return {"status": pod["sandbox"], "info": {"info": json.dumps(pod["info"]["info"])}}


def test_the_recorded_nodes_pods_have_processes_and_namespaces() -> None:
    sandboxes = PodSandboxes.observe(FakeHost(cri=recorded), RUNTIME).sandboxes

    by_name = {sandbox.name: sandbox for sandbox in sandboxes}
    client = by_name["client"]
    assert (client.namespace, client.pid, client.ready, client.host_network) == ("default", 1032, True, False)
    assert client.netns_path == "/var/run/netns/cni-40af6cc7-4645-fb4d-ace2-2caef1f0a84d"
    assert client.labels["io.kubernetes.pod.name"] == "client"
    assert by_name["kube-apiserver-cp1"].host_network
    assert by_name["kube-apiserver-cp1"].netns_path is None
    assert [sandbox.namespace for sandbox in sandboxes] == ["default"] + ["kube-system"] * (len(sandboxes) - 1)


def answers(*, state: str = "SANDBOX_READY", status: Any = None) -> Any:
    def cri(endpoint: str, method: str, request: object) -> Any:
        del endpoint, request
        if method == "RuntimeService/ListPodSandbox":
            return {"items": [{"id": "a", "metadata": {"name": "p", "namespace": "n"}, "state": state}]}
        if isinstance(status, HostError):
            raise status
        return status

    return cri


def test_a_pod_tells_its_addresses_and_that_it_is_in_the_nodes_network() -> None:
    status = {
        "status": {
            "network": {"ip": "10.1.0.5", "additional_ips": [{"ip": "fd00::5"}]},
            "linux": {"namespaces": {"options": {"network": "NODE"}}},
        },
        "info": {},
    }

    [sandbox] = PodSandboxes.observe(FakeHost(cri=answers(status=status)), RUNTIME).sandboxes

    assert (sandbox.ips, sandbox.host_network, sandbox.pid) == (("10.1.0.5", "fd00::5"), True, None)


@pytest.mark.parametrize("told", ["", "10.1.0", "10.1.0.0/99", "null"])
def test_what_a_runtime_tells_as_an_address_and_is_none_is_left_out(told: str) -> None:
    status = {"status": {"network": {"ip": told, "additional_ips": [{"ip": "fd00::5"}]}}, "info": {}}

    [sandbox] = PodSandboxes.observe(FakeHost(cri=answers(status=status)), RUNTIME).sandboxes

    assert sandbox.ips == ("fd00::5",)


def test_a_sandbox_without_a_process_of_its_own_still_has_a_namespace() -> None:
    info = {"pid": 0, "runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": "/var/run/netns/x"}]}}}
    cri = answers(status={"status": {}, "info": {"info": json.dumps(info)}})

    [sandbox] = PodSandboxes.observe(FakeHost(cri=cri), RUNTIME).sandboxes

    assert (sandbox.pid, sandbox.netns_path) == (None, "/var/run/netns/x")


def test_a_sandbox_that_is_not_ready_is_not_asked_further() -> None:
    cri = answers(state="SANDBOX_NOTREADY", status=HostError("RuntimeUnreachable", "asked"))

    [sandbox] = PodSandboxes.observe(FakeHost(cri=cri), RUNTIME).sandboxes

    assert not sandbox.ready


def test_a_sandbox_that_ends_while_we_look_is_not_ready() -> None:
    cri = answers(status=HostError("NotFound", "an error occurred when try to find sandbox: not found"))

    [sandbox] = PodSandboxes.observe(FakeHost(cri=cri), RUNTIME).sandboxes

    assert not sandbox.ready


def test_a_silent_runtime_leaves_the_pods_unknown() -> None:
    runtime = Runtime(kind="cri-o", endpoint="unix:///s", problem=Unobserved("NotPermitted", "run as root"))

    with pytest.raises(HostError, match="run as root") as caught:
        PodSandboxes.observe(FakeHost(), runtime)

    assert caught.value.reason == "NotPermitted"
