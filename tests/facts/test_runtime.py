"""Which runtime kubelet uses, and what is known of it when it does not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Condition, Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.host import Json

CONTROL_PLANE = Path(__file__).parents[1] / "data" / "control-plane-v1.36"
RECORDED = json.loads((CONTROL_PLANE / "cri.json").read_text())


def cri(endpoint: str, method: str, request: object) -> Any:
    """What the recorded node's containerd answered."""
    del request
    if endpoint != "unix:///run/containerd/containerd.sock":
        raise HostError("NotFound", f"{endpoint} does not exist")
    if method == "RuntimeService/Version":
        return RECORDED["version"]
    return RECORDED["status"] | {"info": {key: json.dumps(value) for key, value in RECORDED["status"]["info"].items()}}


CONFIG = "/var/lib/kubelet/config.yaml"


def silent(endpoint: str, method: str, request: object) -> Any:
    del method, request
    raise HostError("RuntimeUnreachable", f"nobody listens at {endpoint}")


def process(pid: int, *cmdline: str) -> Any:
    return {"pid": pid, "ppid": 1, "name": cmdline[0].rpartition("/")[2][:15], "cmdline": list(cmdline)}


def observe(host: FakeHost, kubeadm: KubeadmConfig | None = None) -> Runtime:
    processes = Processes.observe(host)
    return Runtime.observe(host, Kubelet.observe(host, processes), kubeadm or KubeadmConfig(), processes)


def test_the_recorded_nodes_runtime_is_found_by_kubelets_configuration() -> None:
    config = (CONTROL_PLANE / "var-lib-kubelet" / "config.yaml").read_text()
    host = FakeHost(
        {"/var/lib/kubelet/config.yaml": config},
        cri=cri,
        processes=[
            process(200, "/usr/bin/containerd", "--config", "/run/docker/containerd/containerd.toml"),
            process(300, "/usr/bin/containerd"),
        ],
    )

    runtime = observe(host)

    assert (runtime.kind, runtime.version, runtime.version_text) == ("containerd", (1, 6, 20), "1.6.20~ds1")
    assert (runtime.endpoint, runtime.pid, runtime.reachable) == ("unix:///run/containerd/containerd.sock", 300, True)
    assert runtime.endpoint_source == "/var/lib/kubelet/config.yaml"
    assert runtime.condition("NetworkReady") == Condition("NetworkReady", status=True)
    assert runtime.info["lastCNILoadStatus"] == "OK"
    assert runtime.info["config"]["sandboxImage"] == "registry.k8s.io/pause:3.10.2"  # type: ignore[index,call-overload]  # JSON
    assert runtime.label == "containerd 1.6.20"


def test_of_two_sockets_the_one_that_kubelets_flag_names_wins() -> None:
    host = FakeHost(
        {"/run/crio/crio.sock": "", "/run/containerd/containerd.sock": ""},
        cri=silent,
        processes=[
            process(1, "/usr/bin/kubelet", "--container-runtime-endpoint=unix:///run/crio/crio.sock"),
            process(2, "/usr/bin/containerd"),
        ],
    )

    runtime = observe(host)

    assert (runtime.kind, runtime.endpoint) == ("cri-o", "unix:///run/crio/crio.sock")
    assert runtime.endpoint_source == "command line of kubelet, pid 1"


def test_kubelets_running_flag_wins_over_what_is_planned() -> None:
    host = FakeHost({"/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio/crio.sock"\n'}, cri=silent)  # fmt: skip

    runtime = observe(host, KubeadmConfig(source="--config k.yaml", cri_socket="unix:///run/cri-dockerd.sock"))

    assert runtime.endpoint == "unix:///run/crio/crio.sock"


def test_a_planned_socket_wins_over_those_that_exist() -> None:
    host = FakeHost({"/run/containerd/containerd.sock": ""}, cri=silent)

    runtime = observe(host, KubeadmConfig(source="--config k.yaml", cri_socket="unix:///run/cri-dockerd.sock"))

    assert (runtime.kind, runtime.endpoint_source) == ("cri-dockerd", "--config k.yaml")


def test_of_two_sockets_that_nobody_chose_the_one_that_answers_wins() -> None:
    host = FakeHost({"/run/crio/crio.sock": "", "/run/containerd/containerd.sock": ""}, cri=cri)

    assert observe(host).kind == "containerd"


def test_of_two_silent_sockets_the_one_whose_daemon_runs_wins() -> None:
    host = FakeHost(
        {"/run/crio/crio.sock": "", "/run/containerd/containerd.sock": ""},
        cri=silent,
        processes=[process(7, "/usr/bin/crio")],
    )

    assert (observe(host).kind, observe(host).pid) == ("cri-o", 7)


def test_a_silent_runtime_is_named_by_its_program() -> None:
    def run(argv: list[str]) -> Any:
        if argv[0] != "/usr/local/bin/containerd":
            raise HostError("NotFound", "not installed")
        return {"code": 0, "out": "containerd github.com/containerd/containerd/v2 v2.1.5 fcd43222d6b07379a4be9786bda52438f0dd16a1\n", "err": ""}  # fmt: skip

    host = FakeHost(
        {"/run/containerd/containerd.sock": ""},
        cri=silent,
        run=run,
        processes=[process(9, "/usr/local/bin/containerd")],
    )

    runtime = observe(host)

    assert (runtime.kind, runtime.version, runtime.pid, runtime.reachable) == ("containerd", (2, 1, 5), 9, False)
    assert runtime.problem is not None
    assert runtime.problem.reason == "RuntimeUnreachable"


@pytest.mark.parametrize(
    ("told", "files", "processes", "found"),
    [
        ("/var/run/dockershim.sock", (), (), True),
        ("/run/containerd.sock", ("/usr/bin/containerd",), ("/usr/bin/containerd",), True),
        # Who is installed and does not run is only to be started.
        ("/run/cri-dockerd.sock", ("/usr/local/bin/cri-dockerd",), (), False),
        ("/run/k3s/containerd/containerd.sock", (), (), False),
    ],
)
def test_a_runtime_that_answers_where_the_kubelet_does_not_look_is_told(
    told: str, files: tuple[str, ...], processes: tuple[str, ...], *, found: bool
) -> None:
    host = FakeHost(
        {CONFIG: f"containerRuntimeEndpoint: unix://{told}\n", **dict.fromkeys(files, "")},
        cri=cri,
        processes=[process(9, each) for each in processes],
    )

    runtime = observe(host)

    assert (runtime.endpoint, runtime.reachable) == (f"unix://{told}", False)
    assert runtime.elsewhere == (("containerd 1.6.20", "unix:///run/containerd/containerd.sock") if found else None)


def test_nobody_else_is_asked_where_the_kubelets_own_runtime_only_hangs() -> None:
    host = FakeHost({CONFIG: "containerRuntimeEndpoint: unix:///run/crio/crio.sock\n"}, cri=silent)

    assert observe(host).elsewhere is None


def test_a_runtime_without_a_socket_is_known_by_its_program() -> None:
    runtime = observe(FakeHost({"/usr/bin/crio": ""}))

    assert (runtime.kind, runtime.endpoint, runtime.reachable) == ("cri-o", None, False)
    assert runtime.problem is not None
    assert runtime.problem.reason == "NotFound"


def test_a_bare_machine_has_no_runtime() -> None:
    runtime = observe(FakeHost())

    assert (runtime.kind, runtime.version, runtime.reachable, runtime.label) == (
        None,
        None,
        False,
        "the container runtime",
    )


def test_cri_dockerd_is_told_from_docker_and_from_dockers_own_containerd() -> None:
    version = {"version": "0.1.0", "runtime_name": "docker", "runtime_version": "27.3.1", "runtime_api_version": "v1"}
    host = FakeHost(
        {"/run/cri-dockerd.sock": ""},
        cri=lambda method, **_: version if method.endswith("Version") else {"status": {"conditions": []}, "info": {}},
        processes=[
            process(5, "/usr/bin/cri-dockerd", "--container-runtime-endpoint", "fd://"),
            process(4, "containerd", "--config", "/var/run/docker/containerd/containerd.toml"),
        ],
    )

    runtime = observe(host)

    assert (runtime.kind, runtime.pid, runtime.unit) == ("cri-dockerd", 5, "cri-docker")


@pytest.mark.parametrize(
    ("path", "words", "unit"),
    [
        (
            "/run/k3s/containerd/containerd.sock",
            (
                "-c",
                "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
                "-a",
                "/run/k3s/containerd/containerd.sock",
            ),
            "k3s",
        ),
        (
            "/run/k0s/containerd.sock",
            (
                "--root=/var/lib/k0s/containerd",
                "--address=/run/k0s/containerd.sock",
                "--config=/etc/k0s/containerd.toml",
            ),
            "k0sworker",
        ),
        (
            "/var/snap/microk8s/common/run/containerd.sock",
            ("--address", "/var/snap/microk8s/common/run/containerd.sock"),
            "snap.microk8s.daemon-containerd",
        ),
    ],
    ids=["k3s", "k0s", "MicroK8s"],
)
def test_a_distribution_brings_its_own_containerd(path: str, words: tuple[str, ...], unit: str) -> None:
    host = FakeHost(
        {path: ""}, cri=silent, processes=[process(3, "/usr/bin/containerd"), process(8, "containerd", *words)]
    )

    runtime = observe(host)

    assert (runtime.kind, runtime.pid, runtime.unit, runtime.endpoint) == ("containerd", 8, unit, f"unix://{path}")
    assert Stage.observe(host).stage == "prepared"


def test_a_recording_without_a_look_at_a_distributions_socket_is_read_as_before() -> None:
    class Older(FakeHost):
        def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
            if str(arguments.get("path")) in (
                "/run/k0s/containerd.sock",
                "/var/snap/microk8s/common/run/containerd.sock",
            ):
                raise HostError("NotRecorded", "not asked")
            return super().ask(verb, arguments)

    runtime = observe(Older())

    assert runtime.problem is not None
    assert (runtime.endpoint, runtime.problem.reason) == (None, "NotFound")
    assert Stage.observe(Older()).stage == "bare"


def test_an_old_kubelet_without_a_remote_runtime_uses_its_own_docker_support() -> None:
    def run(argv: list[str]) -> Any:
        if argv == ["/usr/bin/kubelet", "--version"]:
            return {"code": 0, "out": "Kubernetes v1.22.17\n", "err": ""}
        raise HostError("NotFound", "not installed")

    host = FakeHost(cri=silent, run=run, processes=[process(3, "/usr/bin/kubelet")])

    assert (observe(host).kind, observe(host).endpoint) == ("cri-dockerd", "unix:///var/run/dockershim.sock")


def test_processes_that_cannot_be_listed_leave_the_rest() -> None:
    host = FakeHost({"/run/containerd/containerd.sock": ""}, cri=cri, processes=HostError("Unreadable", "no /proc"))
    processes = HostError("Unreadable", "no /proc")
    from k8sdoctor.finding import Unobserved

    why = Unobserved(processes.reason, processes.message)
    runtime = Runtime.observe(host, Kubelet.observe(host, why), KubeadmConfig(), why)

    assert (runtime.kind, runtime.pid, runtime.reachable) == ("containerd", None, True)
