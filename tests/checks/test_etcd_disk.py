"""etcd-disk: times of writes in, findings out."""

from __future__ import annotations

import pytest

from k8sdoctor.checks.etcd_disk import etcd_disk
from k8sdoctor.facts.disk import Disk, Place
from k8sdoctor.facts.etcd_disk import EtcdDisk
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host import HostError, Json
from k8sdoctor.testing import FakeHost

ASKED: Json = {"config": None, "kubeconfig": None, "endpoints": [], "intrusive": True}
PLACE = Disk((Place("etcd", "/var/lib/etcd", "/var/lib/etcd"),))


def judge(*times: float) -> Finding:
    [finding] = etcd_disk(EtcdDisk(allowed=True, folder="/var/lib/etcd", times=tuple(sorted(times))))
    return finding


@pytest.mark.parametrize(
    ("times", "status", "reason"),
    [
        ([0.001] * 100, Status.PASS, "FastEnough"),
        ([0.001] * 199 + [0.5], Status.PASS, "FastEnough"),  # one in two hundred
        ([0.001] * 97 + [0.02] * 3, Status.WARN, "SlowDisk"),
        ([0.012] * 100, Status.WARN, "SlowDisk"),
        ([0.05] * 40, Status.WARN, "SlowDisk"),
        ([], Status.WARN, "SlowDisk"),  # not one in two seconds
    ],
)
def test_99_of_100_writes_decide(times: list[float], status: Status, reason: str) -> None:
    finding = judge(*times)

    assert (finding.status, finding.reason, finding.subject) == (status, reason, "/var/lib/etcd")


def test_nothing_is_written_that_was_not_asked_for() -> None:
    host = FakeHost(sync_times=AssertionError)

    [finding] = etcd_disk(EtcdDisk.observe(host, PLACE))

    assert (finding.status, finding.reason) == (Status.SKIP, "NotAskedFor")
    assert "--intrusive" in finding.message
    assert EtcdDisk.observe(host, Unobserved("NotRecorded", "x")) == EtcdDisk(allowed=False)


def test_a_node_without_etcd_is_skipped() -> None:
    [finding] = etcd_disk(EtcdDisk.observe(FakeHost(given=ASKED, sync_times=AssertionError), Disk(())))

    assert (finding.status, finding.reason) == (Status.SKIP, "NoEtcdHere")


def test_what_was_asked_for_is_measured_where_etcd_keeps_its_data() -> None:
    asked = []

    def times(folder: str) -> list[float]:
        asked.append(folder)
        return [0.002, 0.001]

    host = FakeHost(given=ASKED, sync_times=times)

    assert EtcdDisk.observe(host, PLACE).times == (0.001, 0.002)
    assert asked == ["/var/lib/etcd"]


def test_a_disk_that_cannot_be_written_to_is_unknown() -> None:
    with pytest.raises(HostError):
        EtcdDisk.observe(FakeHost(given=ASKED, sync_times=HostError("Unreadable", "full")), PLACE)

    for reason, told in (("Unreadable", "NotMeasured"), ("NotPermitted", "NotPermitted")):
        [finding] = etcd_disk(Unobserved(reason, "x"))
        assert (finding.status, finding.reason) == (Status.UNKNOWN, told)
