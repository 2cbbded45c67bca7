"""Which pairs of A and AAAA are asked, when, and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor.facts.cluster_dns import ClusterDns, DnsAddress
from k8sdoctor.facts.conntrack_losses import STATISTICS
from k8sdoctor.facts.dns_pairs import PAIRS, DnsPairs
from k8sdoctor.facts.dns_replies import DnsReplies, View
from k8sdoctor.host.answers import DnsOutcome, DnsQuery, DnsReply
from k8sdoctor.testing import FakeHost, HostError, Recorder, Recording
from tests.checks.test_conntrack import statistics
from tests.checks.test_dns_path import SERVICE, VIEW, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from k8sdoctor.host.base import Json

SERVICE6 = "fd00:96::a"
DNS = ClusterDns((DnsAddress(SERVICE6, "clusterDNS"), DnsAddress(SERVICE, "clusterDNS")))
GOOD = View(VIEW.pod, (outcome(good=True), outcome(good=True)))
FILES = {f"{STATISTICS}#2": statistics((1, 0), (2, 0)), f"{STATISTICS}#3": statistics((1, 1), (4, 1))}


IDENTITY: dict[str, Json] = {"hostname": "a", "kernel": "6.1.0-28-amd64", "machine": "x86_64", "euid": 0}


def ask(query: DnsQuery, *, good: bool = True) -> DnsOutcome:
    reply = DnsReply(
        source=query["server"], port=53, seconds=0.001, matches=True, rcode="NOERROR", truncated=False, answers=[]
    )
    return DnsOutcome(query=query, replies=[reply] if good else [], dropped=0, error=None, offender=None, seconds=0.2)


def server(loses: Callable[[DnsQuery], bool] = lambda _: False) -> Any:
    def answer(queries: list[DnsQuery], netns: str) -> list[DnsOutcome]:
        assert netns == "/run/netns/a"
        return [ask(query, good=not loses(query)) for query in queries]

    return answer


def look(
    *views: View,
    dns: Any = None,
    files: Mapping[str, str] | None = None,
    kernel: str = "6.1.0-28-amd64",
    own: Any = None,
) -> DnsPairs:
    host = own or FakeHost(
        FILES if files is None else files, dns=dns or server(), identity={**IDENTITY, "kernel": kernel}
    )
    return DnsPairs.observe(host, DNS, DnsReplies("kubernetes.", views, None))


def test_pairs_share_a_group_and_as_many_of_each_type_are_asked_alone() -> None:
    seen = look(GOOD)

    assert seen.addresses == (SERVICE,)
    assert len(seen.pairs(SERVICE)) == PAIRS
    assert [(one.first["query"]["type"], one.second["query"]["type"]) for one in seen.pairs(SERVICE)] == [
        ("A", "AAAA")
    ] * PAIRS
    assert {one.first["query"]["group"] for one in seen.pairs(SERVICE)} == set(range(PAIRS))
    assert all(one.first["query"].get("group") == one.second["query"].get("group") for one in seen.pairs(SERVICE))
    assert [len(seen.alone(SERVICE, kind)) for kind in ("A", "AAAA")] == [PAIRS, PAIRS]


def test_only_addresses_that_answered_everything_are_asked_and_nobody_where_none_did() -> None:
    both = View(VIEW.pod, (outcome(good=True), outcome(good=True, server=SERVICE6)))
    lossy = View(VIEW.pod, (outcome(good=True), outcome()))
    astray = View(VIEW.pod, (outcome(source="10.244.0.22"),))
    own = View(VIEW.pod, GOOD.outcomes, own=True)

    assert look(both).addresses == (SERVICE, SERVICE6)
    assert [look(view) for view in (lossy, astray, own)] == [DnsPairs()] * 3
    assert look() == DnsPairs()
    assert look(lossy, GOOD).addresses == (SERVICE,)


def test_a_few_losses_are_asked_again_once_and_many_are_not() -> None:
    def rare(query: DnsQuery) -> bool:
        return query.get("group") == 3 and query["type"] == "AAAA"

    seen = look(GOOD, dns=server(rare))
    assert len(seen.pairs(SERVICE)) == 2 * PAIRS
    assert [pair.lost for pair in seen.pairs(SERVICE) if pair.lost] == ["AAAA"]
    assert [len(seen.alone(SERVICE, kind)) for kind in ("A", "AAAA")] == [2 * PAIRS, 2 * PAIRS]

    always = look(GOOD, dns=server(lambda query: "group" in query and query["type"] == "A"))
    assert [pair.lost for pair in always.pairs(SERVICE)] == ["A"] * PAIRS


def test_a_pair_of_which_both_are_lost_lost_no_type() -> None:
    seen = look(GOOD, dns=server(lambda query: "group" in query))

    assert {pair.lost for pair in seen.pairs(SERVICE)} == {None}


def test_races_are_what_the_kernel_counts_meanwhile() -> None:
    assert look(GOOD).raced == 2
    assert look(GOOD, kernel="3.10.0-1160.el7.x86_64").raced == 2
    assert look(GOOD, files={f"{STATISTICS}#2": FILES[f"{STATISTICS}#2"]}).raced is None


def test_a_clash_that_the_kernel_settled_lost_nothing() -> None:
    settled = {f"{STATISTICS}#2": statistics((1, 0)), f"{STATISTICS}#3": statistics((9, 0))}

    assert look(GOOD, files=settled, kernel="5.4.0-150-generic").raced == 0
    assert look(GOOD, files=settled, kernel="4.4.0-210-generic").raced == 8


def test_what_could_not_be_asked_is_a_problem() -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise HostError("NotPermitted", "setns: not permitted")

    seen = look(GOOD, dns=refuse)

    assert seen.problem is not None
    assert (seen.problem.reason, seen.outcomes) == ("NotPermitted", ())


def test_a_recording_replays_pairs_even_those_that_were_asked_again() -> None:
    def rare(query: DnsQuery) -> bool:
        return query.get("group") == 3 and query["type"] == "A"

    recorder = Recorder(FakeHost(FILES, dns=server(rare), identity=IDENTITY))
    lived = look(GOOD, own=recorder)

    assert len(lived.pairs(SERVICE)) == 2 * PAIRS
    assert look(GOOD, own=Recording(recorder.dump())) == lived
