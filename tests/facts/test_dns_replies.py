"""From which pods to ask, how often, and what."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.cluster_dns import Backend, ClusterDns, DnsAddress
from k8sdoctor.facts.dns_replies import MISSED, MOST_QUERIES, DnsReplies, choose_pods, queries_for
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.testing import FakeHost, HostError, Recorder, Recording


def pod(name: str, *addresses: str, bridge: str | None = "cni0") -> PodNamespace:
    return PodNamespace(f"/run/netns/{name}", hash(name), name, addresses, bridge, {})


def backend(address: str, name: str) -> Backend:
    return Backend(address, 53, name, local=True, source="EndpointSlices")


def dns(*backends: Backend, complete: bool = True, addresses: tuple[str, ...] = ("10.96.0.10",)) -> ClusterDns:
    return ClusterDns(
        tuple(DnsAddress(address, "clusterDNS") for address in addresses),
        domain="example.test",
        backends=backends,
        complete=complete,
    )


SERVER = pod("kube-system/dns", "10.244.0.22")
TWIN = pod("kube-system/twin", "10.244.0.23")
OF_SERVER, OF_TWIN = backend("10.244.0.22", "kube-system/dns"), backend("10.244.0.23", "kube-system/twin")


def chosen(*pods: PodNamespace, of: ClusterDns) -> list[str]:
    return [view.name.removeprefix("pod ") for view in choose_pods(PodNamespaces(pods), of)]


def test_a_dns_server_s_own_pod_is_not_asked_from_where_another_is_there() -> None:
    assert chosen(SERVER, TWIN, pod("a/x", "10.244.0.5"), of=dns(OF_SERVER, OF_TWIN)) == ["a/x"]


def test_each_bridge_is_asked_from_before_a_second_pod_of_one_and_the_server_s_bridge_first() -> None:
    pods = (
        pod("a/w", "10.244.1.5", bridge="another"),
        pod("a/x", "10.244.0.5"),
        pod("a/y", "10.244.0.6"),
        pod("a/z", "10.244.2.5", bridge=None),
    )

    assert chosen(SERVER, *pods, of=dns(OF_SERVER)) == ["a/x", "a/w", "a/z"]


def test_pods_beside_the_dns_server_come_first_and_then_each_namespace_once() -> None:
    pods = [pod(name, f"10.244.0.{number}") for number, name in enumerate(("a/1", "a/2", "b/1", "kube-system/1"), 5)]

    assert chosen(SERVER, *pods, of=dns(OF_SERVER)) == ["kube-system/1", "a/1", "b/1"]


def test_two_dns_servers_alone_ask_about_each_other() -> None:
    views = choose_pods(PodNamespaces((SERVER, TWIN)), dns(OF_SERVER, OF_TWIN))

    assert [view.name for view in views] == ["pod kube-system/dns", "pod kube-system/twin"]
    assert all(view.own for view in views)


def test_a_dns_server_alone_of_its_kind_is_not_asked_from() -> None:
    both_families = pod("kube-system/dns", "10.244.0.22", "fd00:244::22")
    twice = dns(OF_SERVER, backend("fd00:244::22", "kube-system/dns"))

    assert chosen(both_families, of=twice) == []


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_each_of_several_servers_is_missed_with_one_percent_at_most(count: int) -> None:
    queries = queries_for(count)

    assert (1 - 1 / count) ** queries <= MISSED or queries == MOST_QUERIES


def test_queries_have_a_limit() -> None:
    assert queries_for(100) == MOST_QUERIES


class Asked:
    """A `dns` verb that notes what it was asked and answers nothing."""

    def __init__(self, failing: frozenset[str] = frozenset()) -> None:
        self.failing = failing
        self.queries: dict[str | None, list[dict[str, Any]]] = {}

    def __call__(self, queries: list[dict[str, Any]], netns: str | None) -> Any:
        if netns in self.failing:
            return HostError("NotPermitted", f"entering {netns} needs root")
        self.queries[netns] = queries
        return [
            {"query": query, "replies": [], "dropped": 0, "error": None, "offender": None, "seconds": 3.0}
            for query in queries
        ]

    def count(self, netns: str | None, server: str, transport: str) -> int:
        return sum(1 for one in self.queries[netns] if (one["server"], one["transport"]) == (server, transport))


def observe(asked: Asked, *pods: PodNamespace, of: ClusterDns) -> DnsReplies:
    return DnsReplies.observe(FakeHost(dns=asked), PodNamespaces(pods), of)


def test_every_address_and_every_server_is_asked_over_both_transports_from_pod_and_node() -> None:
    asked = Asked()
    replies = observe(asked, pod("a/x", "10.244.0.5"), SERVER, of=dns(OF_SERVER, OF_TWIN))

    path = "/run/netns/a/x"
    assert asked.count(path, "10.96.0.10", "udp") == queries_for(2)
    assert asked.count(path, "10.96.0.10", "tcp") == 3
    assert asked.count(path, "10.244.0.23", "udp") == 2
    assert asked.count(path, "10.244.0.23", "tcp") == 1
    assert asked.count(None, "10.96.0.10", "udp") == 2
    assert {one["name"] for one in asked.queries[path]} == {"kubernetes.default.svc.example.test."}
    assert len(replies.pods) == 1
    assert replies.node is not None


def test_equal_questions_are_told_apart_so_that_a_recording_replays_each() -> None:
    asked = Asked()
    recorder = Recorder(FakeHost(dns=asked))
    pods, of = PodNamespaces((pod("a/x", "10.244.0.5"),)), dns(OF_SERVER)
    before = DnsReplies.observe(recorder, pods, of)

    assert DnsReplies.observe(Recording(recorder.dump()), pods, of) == before
    questions = [tuple(sorted(one.items())) for one in asked.queries["/run/netns/a/x"]]
    assert len(set(questions)) == len(questions)


def test_an_address_is_asked_only_from_pods_of_its_family() -> None:
    asked = Asked()
    of = dns(addresses=("10.96.0.10", "fd00:96::a"))
    observe(asked, pod("a/four", "10.244.0.5"), pod("b/both", "10.244.0.6", "fd00:244::6"), of=of)

    assert {one["server"] for one in asked.queries["/run/netns/a/four"]} == {"10.96.0.10"}
    assert {one["server"] for one in asked.queries["/run/netns/b/both"]} == {"10.96.0.10", "fd00:96::a"}


def test_a_dns_server_does_not_ask_itself_directly() -> None:
    asked = Asked()
    observe(asked, SERVER, TWIN, of=dns(OF_SERVER, OF_TWIN))

    servers = {one["server"] for one in asked.queries[SERVER.path]}
    assert servers == {"10.96.0.10", "10.244.0.23"}


def test_a_pod_that_cannot_be_asked_from_does_not_spoil_the_others() -> None:
    asked = Asked(failing=frozenset({"/run/netns/a/x"}))
    replies = observe(asked, pod("a/x", "10.244.0.5"), pod("b/y", "10.244.0.6"), of=dns())

    assert [view.problem is None for view in replies.pods] == [False, True]


def test_when_no_pod_can_be_asked_from_the_reason_is_told() -> None:
    with pytest.raises(HostError) as caught:
        observe(Asked(failing=frozenset({"/run/netns/a/x"})), pod("a/x", "10.244.0.5"), of=dns())

    assert caught.value.reason == "NotPermitted"


@pytest.mark.parametrize("pods", [(), (pod("a/x", "10.244.0.5"),)])
def test_nobody_is_asked_without_pods_or_addresses(pods: tuple[PodNamespace, ...]) -> None:
    asked = Asked()
    of = dns(addresses=() if pods else ("10.96.0.10",))

    assert observe(asked, *pods, of=of) == DnsReplies(of.name, (), None)
    assert asked.queries == {}
