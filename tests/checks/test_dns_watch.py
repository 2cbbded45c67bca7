"""Who answers pods that ask for a while (`--for`): facts in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.dns_watch import DnsWatch, Watched
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import DnsQuery, DnsTally
from tests.checks.test_dns_reply_source import BACKEND, CLIENT, HEALTHY, NAME, OTHER, SERVICE, judge

if TYPE_CHECKING:
    from k8sdoctor.facts.pod_namespaces import PodNamespace


def tally(
    *bursts: tuple[float, float, int],
    asked: int = 1200,
    server: str = SERVICE,
    answered: int | None = None,
    strays: dict[str, int] | None = None,
    forged: int = 0,
) -> DnsTally:
    failed = sum(count for _, _, count in bursts)
    good = asked - failed if answered is None else answered
    return DnsTally(
        query=DnsQuery(server=server, port=53, transport="udp", name=NAME, type="A", attempt=0),
        asked=asked,
        answered=good,
        failed=failed,
        strays=strays or {},
        errors={},
        rcodes={"NOERROR": good},
        forged=forged,
        latencies=[0, good, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        slowest=0.0019,
        bursts=[[start, end, count] for start, end, count in bursts],
        last_failure=bursts[-1][1] if bursts else None,
    )


def watched(*tallies: DnsTally, who: PodNamespace = CLIENT, seconds: float = 600.0) -> Watched:
    return Watched(who, seconds, tallies)


def told(*views: Watched, wanted: float = 600.0) -> Finding:
    """What is said of a while of asking that began at 10:00:00 UTC, beside what was seen at first."""
    [finding, seen] = judge(HEALTHY, watch=DnsWatch(wanted, 36_000.0, views))
    assert seen.reason == "RepliesMatch"
    return finding


def test_a_while_in_which_every_query_was_answered_passes() -> None:
    finding = told(watched(tally()), watched(tally(), who=OTHER))

    assert (finding.status, finding.reason) == (Status.PASS, "AnsweredThroughout")
    assert "Over 10 min pods asked cluster DNS 2400 times" in finding.message
    assert "answered 1200 of 1200, p50 within 2 ms, p95 within 2 ms, max 2 ms" in finding.evidence[0].content


def test_bursts_are_told_with_when_and_where() -> None:
    finding = told(watched(tally((12.0, 42.5, 60), (300.0, 300.0, 1))), watched(tally(), who=OTHER))

    assert (finding.status, finding.reason) == (Status.FAIL, "FailedWhileWatched")
    assert "61 queries (2.5 %) failed, at 10.96.0.10: the first at 10:00:12, the last at 10:05:00" in finding.message
    assert "the longest from 10:00:12 to 10:00:42, 60 in a row" in finding.message
    assert finding.evidence[0].content.splitlines() == [
        "10:00:12 to 10:00:42: 10.96.0.10:53 udp from pod default/client, 60 failed",
        "10:05:00: 10.96.0.10:53 udp from pod default/client, 1 failed",
    ]
    assert finding.fix is not None


def test_a_lone_loss_in_a_long_while_is_only_a_warning() -> None:
    finding = told(watched(tally((12.0, 12.0, 1))))

    assert (finding.status, finding.reason) == (Status.WARN, "FailedWhileWatched")
    assert "never two in a row" in finding.message


@pytest.mark.parametrize(
    "lost",
    [
        tally(*[(float(at), float(at), 1) for at in range(0, 600, 30)]),
        tally((1.0, 1.0, 1), strays={BACKEND.address: 1}),
    ],
)
def test_frequent_losses_and_strays_are_failures(lost: DnsTally) -> None:
    assert told(watched(lost)).status is Status.FAIL


def test_an_interrupted_while_says_how_long_it_lasted() -> None:
    assert "Over 1 min 5 s of 10 min" in told(watched(tally(), seconds=65.0)).message


def test_a_pod_alone_that_is_never_answered_is_no_failure_of_dns() -> None:
    finding = told(watched(tally()), watched(tally((0.0, 600.0, 1200)), who=OTHER))

    assert finding.reason == "AnsweredThroughout"
    assert "default/other alone was never answered" in finding.message


def test_forged_replies_of_a_while_are_counted() -> None:
    assert "7 replies were no answer to the query" in told(watched(tally(forged=7))).evidence[0].content


def test_that_only_queries_of_pairs_failed_is_said() -> None:
    half = tally((1.0, 1.0, 1), (90.0, 90.0, 1), (200.0, 200.0, 1))
    half["query"].update({"type": "AAAA", "group": 0})
    finding = told(watched(tally(), half))

    assert "Only queries of pairs failed" in finding.message
    assert "pairs:alone" in finding.traits
    assert "10.96.0.10:53 udp AAAA of a pair from pod default/client, 1 failed" in finding.evidence[0].content

    finding = told(watched(tally((5.0, 5.0, 1)), half))
    assert "of pairs failed" not in finding.message
    assert "pairs:alone" not in finding.traits


def test_a_long_timeline_is_cut_in_the_middle() -> None:
    lines = told(watched(tally(*[(float(at), float(at), 1) for at in range(50)]))).evidence[0].content.splitlines()

    assert len(lines) == 41
    assert lines[20] == "10 more"


def test_a_while_that_nobody_could_ask_in_is_unknown() -> None:
    finding = told()

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotAsked")


def test_a_while_that_a_deadline_cut_off_is_unknown() -> None:
    [finding, _] = judge(HEALTHY, watch=Unobserved("DeadlineExceeded", "the run's deadline of 5 s is over"))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "DeadlineExceeded")
