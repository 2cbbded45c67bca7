"""Which containers the runtime made of static pods, and how they ended."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.component_health import ComponentHealth
from k8sdoctor.facts.pod_manifest import Container, Manifest
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.static_containers import StaticContainers
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost
from tests.certificates import NOW

SOCKET = "unix:///run/containerd/containerd.sock"
LOG = "/var/log/pods/kube-system_kube-scheduler-cp1_1/kube-scheduler/4.log"


def pods(*words: str, name: str = "kube-scheduler") -> StaticPods:
    container = Container(name, "x", (name, *words))
    manifest = Manifest(f"/m/{name}.yaml", name, "kube-system", (container,), host_network=True)
    return StaticPods(manifests=(manifest,))


def listed(id_: str, state: str, created: int, *, pod: str = "kube-scheduler-cp1", attempt: int = 0) -> dict[str, Any]:
    labels = {
        "io.kubernetes.pod.name": pod,
        "io.kubernetes.pod.namespace": "kube-system",
        "io.kubernetes.container.name": "kube-scheduler",
    }
    return {
        "id": id_,
        "metadata": {"name": "kube-scheduler", "attempt": attempt},
        "state": f"CONTAINER_{state}",
        "created_at": str(created * 10**9),
        "labels": labels,
    }


def runtime(*containers: dict[str, Any]) -> FakeHost:
    def cri(endpoint: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        assert endpoint == SOCKET
        if method == "RuntimeService/ListContainers":
            return {"containers": [*containers, {"labels": None}, {}]}
        assert method == "RuntimeService/ContainerStatus"
        status = {
            "state": "CONTAINER_EXITED",
            "exit_code": 3,
            "reason": "Error",
            "log_path": LOG,
            "finished_at": "5000000000",
        }
        return {"status": status if request["container_id"] == "new" else {}}

    text = "2026-11-20T13:22:04.1Z stdout F hello\n2026-11-20T13:22:04.2Z stderr F unknown flag: --x\nnot of CRI\n"
    return FakeHost({LOG: text}, cri=cri)


def look(host: FakeHost) -> StaticContainers:
    return StaticContainers.observe(host, Runtime("containerd", SOCKET, reachable=True), pods())


def test_the_newest_container_counts_and_how_it_ended_is_told() -> None:
    seen = look(runtime(listed("old", "EXITED", 1), listed("new", "EXITED", 4, attempt=4)))

    [found] = seen.all
    assert (found.state, found.exit_code, found.reason, found.attempt, found.finished) == ("exited", 3, "Error", 4, 5.0)
    assert found.log == ("hello", "unknown flag: --x", "not of CRI")
    assert seen.now == NOW


def test_a_container_that_runs_is_not_asked_for_its_end() -> None:
    [found] = look(runtime(listed("x", "RUNNING", 2))).all

    assert (found.state, found.created, found.log) == ("running", 2.0, ())


def test_another_pods_container_of_the_same_name_is_not_meant() -> None:
    assert look(runtime(listed("x", "RUNNING", 2, pod="my-kube-scheduler"))).all == ()


def test_a_runtime_that_does_not_answer_is_told() -> None:
    with pytest.raises(HostError):
        StaticContainers.observe(FakeHost(), Runtime("containerd", SOCKET, reachable=False), pods())


# -- health -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "url"),
    [
        ("kube-scheduler", ("--bind-address=127.0.0.1",), "https://127.0.0.1:10259/healthz"),
        ("kube-controller-manager", ("--bind-address=0.0.0.0", "--secure-port=1"), "https://127.0.0.1:1/healthz"),
        ("kube-scheduler", ("--bind-address=::",), "https://[::1]:10259/healthz"),
        ("kube-apiserver", ("--advertise-address=10.0.0.1",), "https://10.0.0.1:6443/livez"),
    ],
)
def test_each_component_is_asked_where_its_flags_have_it_listen(name: str, words: tuple[str, ...], url: str) -> None:
    asked: list[str] = []

    def http(**request: Any) -> dict[str, Any]:
        asked.append(request["url"])
        assert request["client_certificate"] is None
        return {"status": 403, "headers": {}, "body": "no\n", "peer": None, "failure": None}

    [health] = ComponentHealth.observe(FakeHost(http=http), pods(*words, name=name)).all

    assert asked == [url]
    assert (health.well, health.said) == (True, "no")


def test_a_component_without_a_port_is_not_asked() -> None:
    assert ComponentHealth.observe(FakeHost(), pods("--secure-port=0")).all == ()
