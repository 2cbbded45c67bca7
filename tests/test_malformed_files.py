"""A file that is malformed or no file at all, at each place that the facts read: it is named, and the rest of the report is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor import registry
from k8sdoctor.finding import Status
from k8sdoctor.host import HostError
from k8sdoctor.testing import report_of
from tests.control_plane import control_plane

if TYPE_CHECKING:
    from k8sdoctor.report import Report

GARBAGE = "{{{: [\n\t- ]=x\n"
BINARY = "\x7fELF\x02\x01\x01\x00\ufffd\ufffd\x00" * 40

KUBERNETES = "/etc/kubernetes"
SYSCTLS = "/etc/sysctl.d/k8s.conf"

# Each place, and the checks that may say something else for it.
PLACES = {
    "/etc/containerd/config.toml": {"image-registries", "images", "pause-image", "registry-config"},
    "/etc/containerd/certs.d/docker.io/hosts.toml": {"registry-config"},
    "/etc/cni/net.d/10-bridge.conflist": {"cni-config", "cni-vendor"},
    "/var/lib/kubelet/pki/kubelet-client-current.pem": {"kubeconfig"},
    "/var/lib/kubelet/config.yaml": {"cgroups", "dns-reply-source", "kubelet", "pod-resolv-conf"},
    f"{KUBERNETES}/kubelet.conf": {"apiserver-san", "kubeconfig"},
    f"{KUBERNETES}/admin.conf": {"apiserver-san", "kubeconfig"},
    f"{KUBERNETES}/controller-manager.conf": {"apiserver-san", "kubeconfig"},
    f"{KUBERNETES}/scheduler.conf": {"apiserver-san", "kubeconfig"},
    f"{KUBERNETES}/pki/apiserver.crt": {"apiserver-san", "certificates"},
    f"{KUBERNETES}/pki/apiserver-kubelet-client.crt": {"certificates"},
    f"{KUBERNETES}/pki/front-proxy-ca.crt": {"certificates"},
    f"{KUBERNETES}/pki/front-proxy-client.crt": {"certificates"},
    f"{KUBERNETES}/pki/sa.pub": {"certificates"},
    f"{KUBERNETES}/pki/ca.crt": {"apiserver-san", "certificates", "kubeconfig"},
    f"{KUBERNETES}/manifests/kube-apiserver.yaml": {
        "apiserver-san",
        "etcd",
        "image-registries",
        "images",
        "kubeconfig",
        "static-pods",
        "control-plane",
    },
    f"{KUBERNETES}/manifests/kube-controller-manager.yaml": {
        "cni-config",
        "image-registries",
        "images",
        "static-pods",
        "control-plane",
    },
    f"{KUBERNETES}/manifests/etcd.yaml": {"certificates", "control-plane", "etcd", "images", "static-pods"},
    f"{KUBERNETES}/manifests/kube-scheduler.yaml": {"image-registries", "images", "static-pods", "control-plane"},
}

# Lines that are none are passed over by who reads these, so what counts is what is left; only a whole file can be unreadable.
LINES = {
    "/etc/machine-id": {"node-identity"},
    "/etc/os-release": {"cni-config"},
    SYSCTLS: {"br-netfilter", "ip-forward"},
    "/etc/modules-load.d/k8s.conf": {"br-netfilter"},
    "/proc/swaps": {"swap"},
    "/proc/cgroups": {"cgroups"},
    "/proc/meminfo": {"resources"},
    "/proc/1/status": {"resources"},
    "/sys/devices/system/cpu/online": {"resources"},
}

CHECKS = registry.load().checks


@pytest.fixture(scope="module")
def healthy() -> Report:
    return report_of(control_plane(), *CHECKS)


def assert_whole(report: Report, healthy: Report, but: set[str]) -> None:
    """All other checks say what they say on a healthy node, and nothing broke."""
    assert [(entry.what, entry.traceback) for entry in report.broken] == []
    status = {result.check: result.status for result in healthy.results}
    assert {result.check for result in report.results if result.status is not status[result.check]} <= but
    said = {result.check: [each.message for each in result.findings] for result in report.results}
    assert {check: messages for check, messages in said.items() if check not in but} == {
        result.check: [each.message for each in result.findings]
        for result in healthy.results
        if result.check not in but
    }


def named(report: Report, path: str) -> bool:
    return any(
        path in each.message and each.status in (Status.WARN, Status.UNKNOWN, Status.FAIL)
        for result in report.results
        for each in result.findings
    )


@pytest.mark.parametrize("content", [GARBAGE, BINARY], ids=["garbage", "binary"])
@pytest.mark.parametrize("path", PLACES)
def test_malformed_content_is_named_and_costs_no_other_check(path: str, content: str, healthy: Report) -> None:
    report = report_of(control_plane({path: content}), *CHECKS)

    assert_whole(report, healthy, PLACES[path])
    assert named(report, path)


@pytest.mark.parametrize("path", [*PLACES, *LINES])
def test_what_is_no_file_is_named_and_costs_no_other_check(path: str, healthy: Report) -> None:
    fifo = HostError("Unreadable", f"{path} is a fifo, not a regular file")
    report = report_of(control_plane({path: fifo}), *CHECKS)

    assert_whole(report, healthy, (PLACES | LINES)[path])
    assert named(report, path)


@pytest.mark.parametrize("content", [GARBAGE, BINARY, ""], ids=["garbage", "binary", "empty"])
@pytest.mark.parametrize("path", LINES)
def test_lines_that_are_none_break_nothing(path: str, content: str, healthy: Report) -> None:
    report = report_of(control_plane({path: content}), *CHECKS)

    assert_whole(report, healthy, LINES[path])
