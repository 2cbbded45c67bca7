"""time-sync: clocks in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.time_sync import time_sync
from k8sdoctor.facts.api_endpoints import ApiEndpoint, NodeEndpoints, Use
from k8sdoctor.facts.api_members import ApiMember, ApiMembers
from k8sdoctor.facts.clock import MARK, NodeClock, PeerClocks
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.processes import Processes
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import Clock, Process
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = Clock(unsynchronised=False, max_error=0.02, estimated_error=0.0)
LOST = Clock(unsynchronised=True, max_error=16.0, estimated_error=16.0)
DEBIAN = Distribution("debian", (), "Debian", "debian")
API = "192.0.2.1:6443"


def judge(
    clock: NodeClock,
    ahead: Mapping[str, float] | None = None,
    *,
    members: ApiMembers | Unobserved | None = None,
    distribution: Distribution = DEBIAN,
) -> Finding:
    silent = Unobserved("Offline", "--offline forbids HTTP requests")
    peers = silent if ahead is None else PeerClocks(tuple(ahead.items()))
    [finding] = time_sync(clock, peers, members or silent, distribution)
    return finding


def test_a_clock_that_the_kernel_holds_for_synchronised_passes() -> None:
    finding = judge(NodeClock(KEPT, services=("chronyd",)), {API: -0.4})

    assert (finding.status, finding.reason) == (Status.PASS, "Synchronised")
    assert (
        finding.message
        == f"The clock is kept by chronyd (at most 0.020 s off), and agrees with the API server at {API}."
    )


@pytest.mark.parametrize(
    ("clock", "status", "reason"),
    [
        (NodeClock(KEPT), Status.PASS, "Synchronised"),  # by a program of the host, outside this container
        # chronyd without `rtcsync` leaves the mark of an unsynchronised clock, and sets how far it may be off.
        (
            NodeClock(Clock(unsynchronised=True, max_error=0.1, estimated_error=0), services=("chronyd",)),
            Status.PASS,
            "Synchronised",
        ),
        (NodeClock(Clock(unsynchronised=True, max_error=0.1, estimated_error=0)), Status.WARN, "NoTimeService"),
        (NodeClock(LOST, services=("systemd-timesyncd",), marked=300.0), Status.PASS, "Synchronised"),
        (NodeClock(LOST, services=("systemd-timesyncd",), marked=9000.0), Status.WARN, "NotSynchronised"),
        (NodeClock(LOST, services=("systemd-timesyncd",)), Status.WARN, "NotSynchronised"),
        (NodeClock(LOST, services=("chronyd",), marked=300.0), Status.WARN, "NotSynchronised"),
        (NodeClock(LOST, services=("ntpd",)), Status.WARN, "NotSynchronised"),
        (NodeClock(LOST, outside=("VBoxService",)), Status.PASS, "KeptFromOutside"),
        (NodeClock(LOST), Status.WARN, "NoTimeService"),
        (
            NodeClock(LOST, processes_problem=Unobserved("Unreadable", "/proc shows no process")),
            Status.UNKNOWN,
            "ClockUnread",
        ),
        (NodeClock(None, Unobserved("NotPermitted", "this container may not")), Status.UNKNOWN, "ClockUnread"),
        (NodeClock(None, Unobserved("NotRecorded", "the recording does not hold it")), Status.UNKNOWN, "NotRecorded"),
    ],
)
@pytest.mark.parametrize("ahead", [None, {}, {API: 2.0}, {API: -4.9}])
def test_who_keeps_the_clock_decides_where_the_times_agree(
    clock: NodeClock, status: Status, reason: str, ahead: dict[str, float] | None
) -> None:
    finding = judge(clock, ahead)

    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize(
    ("ahead", "status", "words", "linked"),
    [
        (6.0, Status.WARN, "6 s behind", None),
        (-59.0, Status.WARN, "59 s ahead of", None),
        (61.0, Status.FAIL, "1 min behind", "NotYetValid"),
        (7300.0, Status.FAIL, "2 h behind", "NotYetValid"),
        (-7300.0, Status.FAIL, "2 h ahead of", None),
        (-400 * 86400.0, Status.FAIL, "400 days ahead of", "CertificateExpired"),
    ],
)
def test_a_clock_far_from_an_api_servers_is_told_though_the_kernel_is_content(
    ahead: float, status: Status, words: str, linked: str | None
) -> None:
    finding = judge(NodeClock(KEPT, services=("chronyd",)), {API: ahead})

    assert (finding.status, finding.reason, finding.subject) == (status, "ClockSkew", API)
    assert words in finding.message
    assert {link.reason for link in finding.explains if link.check == "apiserver-san"} == (
        {linked} if linked else set()
    )
    pulls = {link.check for link in finding.explains if link.reason in ("CertificateNotYetValid", "CertificateExpired")}
    assert {"registry-config", "pause-image", "images", "image-list", "download-list"} <= pulls or not linked
    assert finding.fix is not None
    assert "chronyc makestep" in finding.fix.commands


def test_other_members_tell_the_time_too_and_the_nodes_own_does_not() -> None:
    own = ApiMember("192.0.2.10", 6443, own=True, ahead=500.0)
    other = ApiMember("192.0.2.11", 6443, ahead=90.0)

    assert judge(NodeClock(KEPT), members=ApiMembers((own,))).reason == "Synchronised"
    assert judge(NodeClock(KEPT), members=ApiMembers((own, other))).subject == "192.0.2.11:6443"


@pytest.mark.parametrize(
    ("family", "command"),
    [
        ("debian", "apt-get install -y chrony"),
        ("rhel", "dnf install -y chrony"),
        ("flatcar", "systemctl enable --now systemd-timesyncd"),
    ],
)
def test_the_fix_fits_the_distribution(family: Any, command: str) -> None:
    finding = judge(NodeClock(LOST), distribution=Distribution("x", (), "X", family))

    assert finding.fix is not None
    assert finding.fix.commands[0] == command


# -- facts ---------------------------------------------------------------------------------------------------------------


def process(name: str) -> Process:
    return Process(pid=7, ppid=1, name=name[:15], cmdline=[f"/usr/lib/{name}"])


def test_programs_and_marks_are_seen() -> None:
    host = FakeHost({MARK: ""}, now=120.0, clock=lambda: LOST)
    found = NodeClock.observe(host, Processes((process("systemd-timesyncd"), process("VBoxService"), process("nginx"))))

    assert found == NodeClock(LOST, None, ("systemd-timesyncd",), ("VBoxService",), 120.0)


def test_a_kernel_that_may_not_be_asked_is_a_problem() -> None:
    host = FakeHost(clock=HostError("NotPermitted", "this container may not"))

    found = NodeClock.observe(host, Unobserved("Unreadable", "no /proc"))

    assert (found.kernel, found.marked) == (None, None)
    assert found.problem == Unobserved("NotPermitted", "this container may not")
    assert found.processes_problem == Unobserved("Unreadable", "no /proc")


def endpoint(host: str, *kinds: Any, **changed: Any) -> ApiEndpoint:
    return ApiEndpoint(host, 6443, None, tuple(Use(kind, "x", host, 6443, host, **changed) for kind in kinds))


def test_api_servers_but_the_nodes_own_are_asked_for_the_time() -> None:
    asked = []

    def http(**request: Any) -> dict[str, Any]:
        asked.append(request["url"])
        date = {"192.0.2.1": "Thu, 21 May 2026 12:00:09 GMT", "192.0.2.2": "now"}.get(request["url"][8:17], "")
        return {
            "status": 401,
            "headers": {"date": date} if date else {},
            "body": "",
            "peer": None,
            "failure": None,
            "at": 1779364800.5,
        }

    found = PeerClocks.observe(
        FakeHost(http=http),
        NodeEndpoints(
            (
                endpoint("192.0.2.1", "kubeconfig"),
                endpoint("192.0.2.2", "cluster"),
                endpoint("192.0.2.3", "given"),
                endpoint("192.0.2.10", "own", "kubeconfig"),
                endpoint("192.0.2.4", "kubeconfig", proxy="http://proxy:3128"),
            )
        ),
    )

    assert asked == [f"https://192.0.2.{number}:6443/livez" for number in (1, 2, 3)]
    assert found.ahead == (("192.0.2.1:6443", 9.0),)
