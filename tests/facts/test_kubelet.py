"""The kubelet's version, flags and configuration."""

from __future__ import annotations

from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.processes import Processes
from k8sdoctor.finding import Unobserved
from k8sdoctor.host.answers import Process
from k8sdoctor.testing import FakeHost

CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: /etc/kubernetes/manifests
"""


def kubelet(files: dict[str, str], *cmdline: str) -> Kubelet:
    running = Process(pid=7, ppid=1, name="kubelet", cmdline=["/usr/bin/kubelet", *cmdline])
    host = FakeHost(files, run={"code": 0, "out": "Kubernetes v1.36.2\n", "err": ""})
    return Kubelet.observe(host, Processes((running,) if cmdline else ()))


def test_the_version_is_what_the_program_says() -> None:
    assert kubelet({}).version == (1, 36, 2)


def test_a_machine_without_kubelet_has_no_version_and_no_problem() -> None:
    found = Kubelet.observe(FakeHost(), Processes(()))

    assert (found.version, found.pid, found.problems) == (None, None, ())


def test_settings_come_from_the_configuration_file() -> None:
    found = kubelet({"/var/lib/kubelet/config.yaml": CONFIG})

    assert found.cluster_dns == ("10.96.0.10",)
    assert found.cluster_domain == "cluster.local"
    assert found.runtime_endpoint == "unix:///run/containerd/containerd.sock"
    assert found.static_pod_path == "/etc/kubernetes/manifests"


def test_a_flag_of_the_running_process_wins_over_the_file() -> None:
    found = kubelet({"/var/lib/kubelet/config.yaml": CONFIG}, "--cluster-dns=10.0.0.9,fd00::9", "--v", "2")

    assert found.cluster_dns == ("10.0.0.9", "fd00::9")
    assert found.flags["--v"] == "2"
    assert found.pid == 7


def test_the_running_process_names_its_configuration_file() -> None:
    found = kubelet({"/etc/kubelet.yaml": CONFIG}, "--config=/etc/kubelet.yaml")

    assert found.cluster_domain == "cluster.local"


def test_flags_of_environment_files_count_while_no_kubelet_runs() -> None:
    image = "registry.k8s.io/pause:3.9"
    files = {
        "/var/lib/kubelet/kubeadm-flags.env": f'KUBELET_KUBEADM_ARGS="--pod-infra-container-image={image} --x=1"\n',
        "/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--node-ip=192.0.2.1\n# comment\nBROKEN='\n",
    }

    found = kubelet(files)

    assert found.pause_image_flag == image
    assert found.flags["--node-ip"] == "192.0.2.1"
    assert found.flag_sources["--node-ip"] == "/etc/default/kubelet"


def test_a_configuration_that_is_no_yaml_is_a_problem_with_line_and_column() -> None:
    found = kubelet({"/var/lib/kubelet/config.yaml": "a: b\n c: [\n"})

    [problem] = found.problems
    assert problem.message.startswith("/var/lib/kubelet/config.yaml, line 2")
    assert found.config == {}


def test_a_configuration_that_is_a_list_is_a_problem() -> None:
    assert "a list where a mapping is wanted" in kubelet({"/var/lib/kubelet/config.yaml": "- a\n"}).problems[0].message


def test_a_file_we_may_not_read_is_a_problem_and_no_absence() -> None:
    host = FakeHost(denied={"/var/lib/kubelet/config.yaml"})

    assert "Permission denied" in Kubelet.observe(host, Unobserved("Unreadable", "no /proc")).problems[0].message
