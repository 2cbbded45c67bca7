"""SentInVain: what probes met in, and what a rule of the node may have kept out."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.api_endpoints import ApiEndpoint, Use
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost
from k8sdoctor.facts.registry_exchange import Exchange
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.facts.sent_in_vain import SentInVain, Unreached
from k8sdoctor.facts.served_certificates import Hello, Served, ServedCertificates
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.facts.api_endpoints import Kind
    from k8sdoctor.host.answers import NetworkError

UNSEEN = Unobserved("Offline", "no")
NETWORK = NodeNetwork(
    links=({"index": 1, "name": "lo"}, {"index": 2, "name": "eth0"}, {"index": 3, "name": "eth1"}),
    addresses=({"index": 2, "address": "192.0.2.10", "prefix": 24, "family": 4},),
    routes=(
        {"family": 4, "destination": "0.0.0.0/0", "oif": 2, "table": 254},
        {"family": 4, "destination": "198.51.100.0/24", "oif": 3, "table": 254},
        {"family": 4, "destination": "192.0.2.10/32", "oif": 1, "table": 255},
    ),
)
NAMESERVERS = Resolvers(
    ((ip_address("198.51.100.53"), "/etc/resolv.conf"), (ip_address("127.0.0.1"), "/etc/resolv.conf"))
)


def served(failure: NetworkError | None, *addresses: str, kind: Kind = "cluster", name: str = "api.example") -> Served:
    endpoint = ApiEndpoint(name, 6443, name, (Use(kind, "x", name, 6443, name),))
    met = None if failure is None else {"kind": failure, "message": failure}
    return Served(endpoint, tuple(Hello(each, 0, (), None, met) for each in addresses))  # type: ignore[arg-type]


def look(
    *found: Served,
    pull: PullAttempts | Unobserved = UNSEEN,
    resolvers: Resolvers | Unobserved = NAMESERVERS,
    network: NodeNetwork | Unobserved = NETWORK,
) -> list[Unreached]:
    host = FakeHost(resolve=lambda name: {"addresses": ["192.0.2.7"], "error": None} if name else {})
    return [*SentInVain.observe(host, ServedCertificates(found), pull, resolvers, network).all]


def pulled(*exchanges: Exchange) -> PullAttempts:
    host = RegistryHost("https://mirror.example/v2", "pause", "3.10", "default")
    return PullAttempts("x", attempts=(Attempt(host, "unreachable", exchanges[-1].url, exchanges=exchanges),))


@pytest.mark.parametrize("failure", ["timeout", "refused", "unreachable"])
def test_an_api_server_to_which_no_connection_comes_about_is_told_with_its_way_out(failure: NetworkError) -> None:
    assert look(served(failure, "192.0.2.1", "192.0.2.1")) == [
        Unreached("api", "api.example:6443", "192.0.2.1", 6443, failure, "eth0")
    ]


@pytest.mark.parametrize(
    "found",
    [
        served(None, "192.0.2.1"),
        served("reset", "192.0.2.1"),
        served("tls-plain", "192.0.2.1"),
        served("timeout", "10.96.0.1", kind="service", name="10.96.0.1"),
    ],
    ids=["answers", "connected, then reset", "speaks no TLS", "a service's address, which is translated before"],
)
def test_who_answers_or_is_behind_a_service_is_not_told(found: Served) -> None:
    assert look(found) == []


def test_an_address_that_answered_once_is_not_told_for_its_silence_afterwards() -> None:
    found = served("timeout", "192.0.2.1")
    answered = served(None, "192.0.2.1").hellos

    assert look(Served(found.endpoint, (*answered, *found.hellos))) == []


def test_where_a_name_is_not_resolved_the_servers_elsewhere_are_told() -> None:
    unresolved = Served(served(None).endpoint, (), "Temporary failure in name resolution")

    assert look(unresolved) == [
        Unreached("dns", "198.51.100.53", "198.51.100.53", 53, "Temporary failure in name resolution", "eth1")
    ]
    assert look(unresolved, resolvers=UNSEEN) == []


def test_a_registry_that_is_not_reached_is_told_by_each_of_its_addresses() -> None:
    url = "https://mirror.example/v2/pause/manifests/3.10"
    refused = Exchange("GET", url, failure="refused", words="refused")

    assert look(pull=pulled(refused)) == [Unreached("registry", "mirror.example", "192.0.2.7", 443, "refused", "eth0")]
    assert look(pull=pulled(Exchange("GET", url, failure="refused", proxy="http://proxy:3128"))) == []
    assert look(pull=pulled(Exchange("GET", url, status=404))) == []


@pytest.mark.parametrize(
    ("address", "network", "out"),
    [
        ("192.0.2.10", NETWORK, "lo"),
        ("127.0.0.1", NETWORK, "lo"),
        ("198.51.100.9", NETWORK, "eth1"),
        ("203.0.113.1", NETWORK, "eth0"),
        ("2001:db8::1", NETWORK, ""),
        ("203.0.113.1", NodeNetwork(NETWORK.links, (), ({"destination": "elsewhere", "oif": 2, "table": 254},)), ""),
        ("203.0.113.1", UNSEEN, ""),
        (
            "203.0.113.1",
            NodeNetwork(NETWORK.links, (), (*NETWORK.routes, {"destination": "10.0.0.0/8", "oif": 3, "table": 200})),
            "",
        ),
        (
            "203.0.113.1",
            NodeNetwork(NETWORK.links, (), (*NETWORK.routes, {"destination": "0.0.0.0/0", "oif": 3, "table": 254})),
            "",
        ),
    ],
)
def test_the_way_out_is_told_only_where_one_route_leads_there(
    address: str, network: NodeNetwork | Unobserved, out: str
) -> None:
    assert [each.out for each in look(served("timeout", address), network=network)] == [out]
