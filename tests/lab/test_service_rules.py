"""Reading the kernel's rules for services, with the real tools, and leaving them as they are."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab.kube_proxy import ServicePort, restore
from tests.lab.node import LabNode  # noqa: TC001 -- pytest resolves a fixture's type

pytestmark = [pytest.mark.lab, pytest.mark.needs("iptables", "ip6tables", "iptables-legacy", "nft", "setpriv")]

SERVICE, SERVICE6 = "10.96.0.10", "fd00:96::a"

# As kube-proxy's nftables mode writes it (kubernetes pkg/proxy/nftables/proxier.go).
TABLE = """\
table ip kube-proxy {
  chain reject-chain {
    reject
  }
  chain endpoint-5OJB2KTY-kube-system/kube-dns/udp/dns__10.244.0.2/53 {
    meta l4proto udp dnat to 10.244.0.2:53
  }
  chain endpoint-SGOXE6O3-kube-system/kube-dns/udp/dns__10.244.0.3/53 {
    meta l4proto udp dnat to 10.244.0.3:53
  }
  chain service-FY5PMXPG-kube-system/kube-dns/udp/dns {
    numgen random mod 2 vmap { 0 : goto endpoint-5OJB2KTY-kube-system/kube-dns/udp/dns__10.244.0.2/53, 1 : goto endpoint-SGOXE6O3-kube-system/kube-dns/udp/dns__10.244.0.3/53 }
  }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . udp . 53 : goto service-FY5PMXPG-kube-system/kube-dns/udp/dns }
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . tcp . 53 comment "kube-system/kube-dns:dns-tcp" : goto reject-chain }
  }
}
"""

LOOK = f"""
import json
from dataclasses import asdict
from k8sdoctor.facts.cluster_dns import ClusterDns, DnsAddress
from k8sdoctor.facts.service_rules import ServiceRules
from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
dns = ClusterDns((DnsAddress("{SERVICE}", ""), DnsAddress("{SERVICE6}", "")), service="kube-system/kube-dns")
try:
    print(json.dumps(asdict(ServiceRules.observe(LiveHost(), dns))))
except HostError as error:
    print(json.dumps(error.reason))
"""


def look(node: LabNode, *before: str) -> object:
    return json.loads(node.run([*before, sys.executable, "-c", LOOK]).stdout)


def routes(node: LabNode) -> list[tuple[str, ...]]:
    found = look(node)
    assert isinstance(found, dict)
    assert found["blind"] == []
    return sorted(
        (one["mechanism"], one["address"], one["protocol"], *(["refused"] if one["rejects"] else one["backends"]))
        for one in found["routes"]
    )


def rules(service: str, backend: str, pods: str) -> str:
    return restore([ServicePort("kube-system/kube-dns:dns", "udp", service, 53, (backend,))], pods=pods)


def test_the_rules_of_each_tool_and_family_are_found_and_left_as_they_are(node: LabNode) -> None:
    assert routes(node) == []
    assert node.run(["nft", "--stateless", "list", "ruleset"]).stdout.strip() == ""

    node.run(["iptables-restore"], stdin=rules(SERVICE, "10.244.0.2:53", "10.244.0.0/16"))
    node.run(["ip6tables-restore"], stdin=rules(SERVICE6, "[fd00:244::2]:53", "fd00:244::/56"))
    node.run(["iptables-legacy-restore"], stdin=rules(SERVICE, "10.244.0.9:53", "10.244.0.0/16"))
    node.run(["nft", "-f", "-"], stdin=TABLE)
    before = node.run(["nft", "--stateless", "list", "ruleset"]).stdout

    assert routes(node) == [
        ("iptables (legacy)", SERVICE, "udp", "10.244.0.9:53"),
        ("iptables (nf_tables)", SERVICE, "udp", "10.244.0.2:53"),
        ("iptables (nf_tables)", SERVICE6, "udp", "[fd00:244::2]:53"),
        ("nftables", SERVICE, "tcp", "refused"),
        ("nftables", SERVICE, "udp", "10.244.0.2:53", "10.244.0.3:53"),
    ]
    assert node.run(["nft", "--stateless", "list", "ruleset"]).stdout == before


def test_without_root_the_rules_could_not_be_looked_at(node: LabNode) -> None:
    assert look(node, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all") == "NotPermitted"
