from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.proxy import UnitProxy
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage, Wish, kubeadm_pause_image
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

NOT_HERE = Unobserved("NotFound", "not the runtime here")
ENDPOINT = "unix:///run/containerd/containerd.sock"


def containerd(version: Version = (1, 7, 34), **more: object) -> Runtime:
    text = ".".join(map(str, version))
    return Runtime(kind="containerd", version=version, version_text=text, endpoint=ENDPOINT, **more)  # type: ignore[arg-type]


def kubelet(**flags: str) -> Kubelet:
    named = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    return Kubelet((1, 30, 0), None, named, dict.fromkeys(named, "/etc/default/kubelet"), "", {}, ())


def observe(
    host: Host,
    runtime: Runtime,
    *,
    kubelet: Kubelet | Unobserved = NOT_HERE,
    kubeadm: KubeadmConfig | Unobserved = NOT_HERE,
    program: KubeadmBinary | Unobserved = NOT_HERE,
) -> SandboxImage:
    config = ContainerdConfig.observe(host, runtime) if runtime.kind == "containerd" else NOT_HERE
    crio = CrioConfig.observe(host, runtime) if runtime.kind == "cri-o" else NOT_HERE
    docker = DockerConfig.observe(host, runtime, NOT_HERE) if runtime.kind == "cri-dockerd" else NOT_HERE
    return SandboxImage.observe(host, runtime, config, crio, docker, kubelet, kubeadm, program)


SETTING = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "m/pause:3.9"\n'


def test_a_setting_is_told_with_its_place() -> None:
    image = observe(FakeHost({CONFIG: SETTING}), containerd())

    assert (image.image, image.source, image.default) == ("m/pause:3.9", f"{CONFIG}:3", False)
    assert image.reference is not None
    assert image.reference.name == "docker.io/m/pause"
    assert image.key == 'plugins."io.containerd.grpc.v1.cri".sandbox_image'


def test_without_a_setting_the_release_decides() -> None:
    image = observe(FakeHost(), containerd())

    assert (image.image, image.default) == ("registry.k8s.io/pause:3.8", True)
    assert image.source == "built-in default of containerd 1.7.34"
    assert image.config_path == CONFIG


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ((1, 7, 34), "plugins.cri.sandbox_image"),
        ((2, 1, 5), 'plugins."io.containerd.cri.v1.images".pinned_images.sandbox'),
        ((2, 3, 4), 'plugins."io.containerd.cri.v1.images".pinned_images.sandbox'),
    ],
)
def test_the_key_that_would_count_is_named_without_a_setting_too(version: Version, key: str) -> None:
    assert observe(FakeHost({CONFIG: "root = '/var'\n"}), containerd(version)).key == key


def test_what_the_running_daemon_holds_counts_more_than_the_file() -> None:
    runtime = containerd(reachable=True, info={"config": {"sandboxImage": "old/pause:1"}})
    image = observe(FakeHost({CONFIG: SETTING}), runtime)

    assert (image.image, image.on_disk) == ("old/pause:1", "m/pause:3.9")
    assert "CRI status" in image.source
    assert [one.kind for one in image.ignored] == ["not-loaded"]


def test_an_image_that_only_the_running_daemon_knows_is_told_as_its() -> None:
    runtime = containerd(reachable=True, info={"config": {"sandboxImage": "old/pause:1"}})
    image = observe(FakeHost(), runtime)

    assert (image.image, image.on_disk, image.default) == ("old/pause:1", "registry.k8s.io/pause:3.8", False)


def test_a_switched_off_cri_is_a_problem() -> None:
    [problem] = observe(FakeHost({CONFIG: 'disabled_plugins = ["cri"]\n'}), containerd()).problems

    assert (problem.path, problem.line) == (CONFIG, 1)
    assert "switches CRI off" in problem.message


def test_settings_of_mirrors_are_no_settings_of_the_image() -> None:
    text = "version = 3\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/c'\n"

    assert observe(FakeHost({CONFIG: text}), containerd((2, 1, 5))).ignored == ()


def test_crio_and_cri_dockerd_have_their_own() -> None:
    crio = Runtime(kind="cri-o", version=(1, 36, 3), version_text="1.36.3")
    docker = Runtime(kind="cri-dockerd", cmdline=("cri-dockerd", "--pod-infra-container-image=a/pause:1"))

    assert observe(FakeHost(), crio).image == "registry.k8s.io/pause:3.10.1"
    assert observe(FakeHost(), docker).image == "a/pause:1"


def test_without_a_runtime_nobody_pulls() -> None:
    with pytest.raises(HostError, match="no container runtime"):
        observe(FakeHost(), Runtime())


def test_a_configuration_that_could_not_be_read_is_no_default() -> None:
    denied = Unobserved("NotPermitted", "Permission denied: /etc/containerd/config.toml; run as root to look")

    with pytest.raises(HostError) as caught:
        SandboxImage.observe(FakeHost(), containerd(), denied, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)
    assert caught.value.reason == "NotPermitted"


def test_kubeadm_and_kubelet_have_wishes() -> None:
    image = observe(
        FakeHost(),
        containerd(),
        kubelet=kubelet(pod_infra_container_image="k/pause:1"),
        kubeadm=KubeadmConfig(source="--config k.yaml", image_repository="mirror:5000/k8s"),
        program=KubeadmBinary((1, 31, 2)),
    )

    assert image.wishes == (
        Wish("kubeadm", "mirror:5000/k8s/pause:3.10", "kubeadm 1.31.2, imageRepository of --config k.yaml"),
        Wish("kubelet", "k/pause:1", "--pod-infra-container-image (/etc/default/kubelet)"),
    )


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ((1, 18, 0), "k8s.gcr.io/pause:3.2"),
        ((1, 21, 0), "k8s.gcr.io/pause:3.4.1"),
        ((1, 22, 16), "k8s.gcr.io/pause:3.5"),
        ((1, 22, 17), "registry.k8s.io/pause:3.5"),
        ((1, 24, 8), "k8s.gcr.io/pause:3.7"),
        ((1, 24, 9), "registry.k8s.io/pause:3.7"),
        ((1, 25, 0), "registry.k8s.io/pause:3.8"),
        ((1, 30, 0), "registry.k8s.io/pause:3.9"),
        ((1, 33, 0), "registry.k8s.io/pause:3.10"),
        ((1, 35, 0), "registry.k8s.io/pause:3.10.1"),
        ((1, 37, 0), "registry.k8s.io/pause:3.10.2"),
        ((1, 60, 0), None),
    ],
)
def test_which_pause_image_kubeadm_pulls(version: Version, image: str | None) -> None:
    assert kubeadm_pause_image(version, None) == image


# -- the proxy -------------------------------------------------------------------------------------------------------------------

UNIT = "/lib/systemd/system/containerd.service"
DROP_IN = "/etc/systemd/system/containerd.service.d/http-proxy.conf"


def hosts(files: dict[str, str], *, pid: int | None) -> RegistryHosts:
    host = FakeHost(files)
    runtime = containerd(pid=pid)
    config = ContainerdConfig.observe(host, runtime)
    image = SandboxImage.observe(host, runtime, config, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)
    return RegistryHosts.observe(host, image, PullConfig.observe(host, runtime, config, NOT_HERE, NOT_HERE))


def test_the_proxy_is_the_running_daemons() -> None:
    environ = "PATH=/bin\0HTTPS_PROXY=http://p:3128\0no_proxy=.internal\0"
    found = hosts({"/proc/8/environ": environ}, pid=8)

    assert found.proxy.proxy_for("https://registry.k8s.io/v2/") == "http://p:3128"
    assert found.proxy.proxy_for("https://m.internal/v2/") is None
    assert found.proxy.source == "/proc/8/environ"


def test_without_a_process_the_unit_says_it() -> None:
    files = {
        UNIT: "[Unit]\n[Service]\nEnvironment=HTTPS_PROXY=http://old:1 NO_PROXY=a\n",
        DROP_IN: '[Service]\nEnvironment="HTTPS_PROXY=http://p:3128"\n',
    }
    found = hosts(files, pid=None)

    assert (found.proxy.https, found.proxy.no_proxy) == ("http://p:3128", "a")
    assert DROP_IN in found.proxy.source


def test_an_environment_file_counts_too_and_an_empty_assignment_forgets() -> None:
    files = {
        UNIT: "[Service]\nEnvironment=HTTP_PROXY=http://old:1\nEnvironment=\nEnvironmentFile=-/etc/sysconfig/containerd\n",
        "/etc/sysconfig/containerd": "# comment\nHTTPS_PROXY='http://p:3128'\n",
    }
    found = hosts(files, pid=None)

    assert (found.proxy.http, found.proxy.https) == (None, "http://p:3128")
    assert found.proxy.source == "/etc/sysconfig/containerd"


def test_a_proxy_that_the_running_daemon_has_not_got_yet_is_told() -> None:
    files = {DROP_IN: '[Service]\nEnvironment="HTTPS_PROXY=http://p:3128"\n', "/proc/8/environ": "PATH=/bin\0"}
    unit = UnitProxy.of(FakeHost(files), 8, "containerd")

    assert unit.held.https is None
    [ignored] = unit.stale
    assert (ignored.kind, ignored.key, ignored.source) == ("not-loaded", "HTTPS_PROXY", DROP_IN)


def test_what_a_daemon_adds_to_no_proxy_and_how_a_password_is_written_are_no_news() -> None:
    unit = '[Service]\nEnvironment="HTTPS_PROXY=http://me:p%%40ss@p:3128" "NO_PROXY=b,a"\n'
    held = "HTTPS_PROXY=http://me:p%40ss@p:3128\0NO_PROXY=a,b,.svc\0"
    found = UnitProxy.of(FakeHost({DROP_IN: unit, "/proc/8/environ": held}), 8, "containerd")

    assert found.stale == ()
    assert found.planned.https == found.held.https


def test_a_proxy_that_the_running_daemon_has_is_no_news() -> None:
    files = {
        DROP_IN: '[Service]\nEnvironment="HTTPS_PROXY=http://p:3128"\n',
        "/proc/8/environ": "HTTPS_PROXY=http://p:3128\0",
    }

    assert UnitProxy.of(FakeHost(files), 8, "containerd").stale == ()


def test_what_crio_says_of_itself_counts() -> None:
    info = {"config": {"sandboxImage": "held/pause:1"}}
    runtime = Runtime(kind="cri-o", version=(1, 36, 3), version_text="1.36.3", info=info)  # type: ignore[arg-type]
    image = observe(FakeHost({"/etc/crio/crio.conf": '[crio.image]\npause_image = "new/pause:2"\n'}), runtime)

    assert (image.image, image.on_disk) == ("held/pause:1", "new/pause:2")
    assert [one.kind for one in image.ignored] == ["not-loaded"]


def test_an_environment_that_we_may_not_read_leaves_the_unit_and_says_so() -> None:
    host = FakeHost({DROP_IN: "[Service]\nEnvironment=HTTPS_PROXY=http://p:3128\n"}, denied={"/proc/8/environ"})
    runtime = containerd(pid=8)
    config = ContainerdConfig.observe(host, runtime)
    image = SandboxImage.observe(host, runtime, config, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)
    found = RegistryHosts.observe(host, image, PullConfig.observe(host, runtime, config, NOT_HERE, NOT_HERE))

    assert found.proxy.https == "http://p:3128"
    assert found.proxy.problem is not None


def test_mirrors_in_a_table_that_is_not_read_are_told_with_the_hosts() -> None:
    text = "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/c'\n"

    [ignored] = hosts({CONFIG: text}, pid=None).ignored
    assert ignored.kind == "wrong-table"


def test_an_image_whose_name_is_none_is_asked_of_nobody() -> None:
    host = FakeHost({CONFIG: SETTING.replace("m/pause:3.9", "M/Pause:")})
    runtime = containerd()
    config = ContainerdConfig.observe(host, runtime)
    image = SandboxImage.observe(host, runtime, config, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)

    assert image.reference is None
    with pytest.raises(HostError, match="no name of an image"):
        RegistryHosts.observe(host, image, PullConfig.observe(host, runtime, config, NOT_HERE, NOT_HERE))
