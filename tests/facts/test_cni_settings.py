"""Where each runtime looks for CNI configuration and plugins."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.cni_network import LIBCNI_0, LIBCNI_1_1, LIBCNI_1_2, LIBCNI_1_3
from k8sdoctor.facts.cni_settings import CniSettings, libcni_of
from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.runtime import Kind, Runtime
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost

NONE = Unobserved("NotFound", "another runtime")
KUBELET = Kubelet.observe(FakeHost(), Unobserved("Unreadable", ""))


def settings(runtime: Runtime, files: dict[str, str] | None = None, kubelet: Kubelet = KUBELET) -> CniSettings:
    host = FakeHost(files or {})
    config: Any = ContainerdConfig.observe(host, runtime) if runtime.kind == "containerd" else NONE
    return CniSettings.observe(host, runtime, config, kubelet)


CONFIG = """
version = 2
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/conf.d"
  max_conf_num = 3
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  cni_conf_dir = "/etc/kata/net.d"
"""


def test_a_silent_containerds_settings_are_read_from_its_files() -> None:
    found = settings(Runtime("containerd", version=(1, 6, 20)), {"/etc/containerd/config.toml": CONFIG})

    assert (found.folder, found.plugin_folders, found.max_conf_num) == ("/etc/cni/conf.d", ("/usr/lib/cni",), 3)
    assert found.source == "/etc/containerd/config.toml"
    assert found.handlers["kata"].folder == "/etc/kata/net.d"


def test_what_a_running_containerd_holds_counts_more_than_its_files() -> None:
    info: dict[str, Any] = {
        "cniconfig": {"PluginDirs": ["/opt/cni/bin"], "PluginConfDir": "/etc/cni/net.d", "PluginMaxConfNum": 1},
        "config": {
            "cni": {"useInternalLoopback": True},
            "containerd": {"runtimes": {"runc": {"cniConfDir": ""}, "kata": {"cniConfDir": "/k", "cniMaxConfNum": 2}}},
        },
    }
    runtime = Runtime("containerd", version=(2, 1, 5), reachable=True, info=info)

    found = settings(runtime, {"/etc/containerd/config.toml": CONFIG})

    assert (found.folder, found.plugin_folders, found.max_conf_num) == ("/etc/cni/net.d", ("/opt/cni/bin",), 1)
    assert not found.needs_loopback
    assert {name: (each.folder, each.max_conf_num) for name, each in found.handlers.items()} == {"kata": ("/k", 2)}


def test_crios_drop_ins_count_whatever_they_are_called_and_flags_most() -> None:
    files = {
        "/etc/crio/crio.conf": '[crio.network]\nnetwork_dir = "/a/"\nplugin_dirs = ["/p/", "/q"]\n',
        "/etc/crio/crio.conf.d/10-x.bak": '[crio.network]\nnetwork_dir = "/b"\n',
        "/etc/crio/crio.conf.d/sub/20-y": '[crio.network]\ncni_default_network = "wanted"\n',
        "/etc/crio/crio.conf.d/30-broken.conf": "not = toml = at all",
    }

    found = settings(Runtime("cri-o", version=(1, 33, 0)), files)
    flagged = settings(Runtime("cri-o", version=(1, 33, 0), cmdline=("crio", "--cni-config-dir=/c")), files)

    assert (found.folder, found.plugin_folders, found.default_network) == ("/b", ("/p", "/q"), "wanted")
    assert (found.needs_loopback, found.max_conf_num) == (False, 0)
    assert flagged.folder == "/c"


def test_cri_dockerds_flags_count() -> None:
    words = ("cri-dockerd", "--cni-conf-dir", "/c", "--cni-bin-dir=/a,/b")

    found = settings(Runtime("cri-dockerd", cmdline=words))

    assert (found.folder, found.plugin_folders, found.enabled) == ("/c", ("/a", "/b"), True)
    assert not settings(Runtime("cri-dockerd", cmdline=("cri-dockerd", "--network-plugin=kubenet"))).enabled


@pytest.mark.parametrize(
    ("told", "libcni"),
    [("cri-dockerd 0.3.0 (HEAD)", LIBCNI_0), ("cri-dockerd 0.3.1 (HEAD)", LIBCNI_1_1), ("", LIBCNI_1_1)],
)
def test_cri_dockerds_own_release_tells_its_libcni(told: str, libcni: tuple[int, int]) -> None:
    runtime = Runtime("cri-dockerd", version=(27, 3, 1), cmdline=("/usr/bin/cri-dockerd",))
    host = FakeHost(run={"code": 0, "out": told, "err": ""})
    kubelet = Kubelet.observe(FakeHost(), Unobserved("Unreadable", ""))

    assert CniSettings.observe(host, runtime, Unobserved("NotFound", ""), kubelet).libcni == libcni


def test_crios_old_folder_of_plugins_is_looked_into_last() -> None:
    files = {"/etc/crio/crio.conf": '[crio.network]\nplugin_dirs = ["/p"]\nplugin_dir = "/usr/lib/cni/"\n'}

    assert settings(Runtime("cri-o", version=(1, 33, 0)), files).plugin_folders == ("/p", "/usr/lib/cni")


def test_dockershims_flags_are_kubelets() -> None:
    runtime = Runtime("cri-dockerd", endpoint="unix:///var/run/dockershim.sock")
    env = 'KUBELET_KUBEADM_ARGS="--network-plugin=cni --cni-conf-dir=/c"\n'
    kubelet = Kubelet.observe(FakeHost({"/var/lib/kubelet/kubeadm-flags.env": env}), Unobserved("Unreadable", ""))

    assert (settings(runtime, kubelet=kubelet).folder, settings(runtime, kubelet=kubelet).enabled) == ("/c", True)
    assert not settings(runtime).enabled


@pytest.mark.parametrize(
    ("kind", "version", "libcni", "newest"),
    [
        ("containerd", (1, 5, 18), LIBCNI_0, "0.4.0"),
        ("containerd", (1, 6, 20), LIBCNI_1_1, "1.0.0"),
        ("containerd", (1, 7, 29), LIBCNI_1_1, "1.0.0"),
        ("containerd", (2, 0, 0), LIBCNI_1_2, "1.1.0"),
        ("containerd", (2, 1, 0), LIBCNI_1_3, "1.1.0"),
        ("cri-o", (1, 22, 0), LIBCNI_0, "0.4.0"),
        ("cri-o", (1, 30, 0), LIBCNI_1_1, "1.0.0"),
        ("cri-o", (1, 32, 0), LIBCNI_1_2, "1.1.0"),
        ("cri-o", (1, 36, 0), LIBCNI_1_3, "1.1.0"),
        ("cri-dockerd", (27, 3, 1), LIBCNI_1_1, "1.0.0"),
    ],
)
def test_each_release_has_its_libcni(
    kind: Kind, version: tuple[int, int, int], libcni: tuple[int, int], newest: str
) -> None:
    assert libcni_of(Runtime(kind, version=version)) == libcni
    assert CniSettings(libcni=libcni).newest_specification == newest
