"""The recorded, healthy control plane comes out healthy."""

from __future__ import annotations

from k8sdoctor import registry
from k8sdoctor.check import Profile
from k8sdoctor.finding import Status
from k8sdoctor.testing import report_of
from tests.control_plane import control_plane

TRUE_OF_IT = {
    ("etcd", "PlainHttp", Status.WARN),
    ("kubelet", "RuntimeTooOld", Status.WARN),  # containerd 1.6.20 under Kubernetes 1.36
    ("images", "NameNotResolved", Status.FAIL),  # kube-proxy's, which its pod waited for
}
"""What a person who knows that node would say of it, too."""

NOT_RECORDED = {
    ("conntrack", "NotRecorded", Status.UNKNOWN),  # the kernel's table of connections
    ("etcd", "NotRecorded", Status.UNKNOWN),  # what etcd itself said
    ("certificates", "NotRecorded", Status.UNKNOWN),  # the keys of service accounts' tokens
    ("disk", "NotRecorded", Status.UNKNOWN),  # how full the disks were
    ("time-sync", "NotRecorded", Status.UNKNOWN),  # the kernel's clock
    ("firewall", "NotRecorded", Status.UNKNOWN),  # who listened, and so what is needed
    ("ports", "NotRecorded", Status.UNKNOWN),  # who listened
    ("kubeconfig", "NotRecorded", Status.UNKNOWN),  # the certificate that the kubelet rotates
}


def test_a_healthy_control_plane_gives_no_fail_no_warning_and_nothing_unknown_but_what_is_true_of_it() -> None:
    report = report_of(control_plane(), *registry.load().checks)

    assert len(report.results) >= 6
    assert [entry.error for entry in report.broken] == []
    assert [
        (result.check, finding.reason, finding.message)
        for result in report.results
        for finding in result.findings
        if finding.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)
        and (result.check, finding.reason, finding.status) not in TRUE_OF_IT | NOT_RECORDED
    ] == []
    assert (report.profile, report.stage) == ("control-plane", "control-plane")


def test_each_check_of_a_healthy_control_plane_passes_and_none_merely_skips() -> None:
    report = report_of(control_plane(), *registry.load().checks)

    told = {check for check, _, _ in TRUE_OF_IT | NOT_RECORDED}
    # An option asks for some, and others are for a machine that is to become a node.
    told |= {check.id for check in registry.load().checks if Profile.CONTROL_PLANE not in check.profiles}
    assert {
        result.check: str(result.status)
        for result in report.results
        if result.status is not Status.PASS and result.check not in told
    } == {}


def test_what_is_true_of_that_node_is_told() -> None:
    report = report_of(control_plane(), *registry.load().checks)

    found = {(result.check, finding.reason, finding.status) for result in report.results for finding in result.findings}
    assert found >= TRUE_OF_IT | NOT_RECORDED
