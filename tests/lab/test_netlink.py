"""Links, addresses and routes as the real kernel tells them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab

ASK = """
import json, sys
from k8sdoctor.host.live import LiveHost
host = LiveHost()
answers = [host.netlink(what, netns=netns) for what, netns in json.loads(sys.argv[1])]
print(json.dumps({"answers": answers, "modules": sorted(name for name in sys.modules if name.startswith("pyroute2"))}))
"""


def ask(node: LabNode, *questions: tuple[str, str | None]) -> Any:
    return json.loads(node.run([sys.executable, "-c", ASK, json.dumps(questions)]).stdout)


def by_name(links: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {link["name"]: link for link in links}


def test_bridges_ports_and_their_switches_are_told(node: LabNode) -> None:
    node.add_bridge("cni0", "10.244.0.1/24")
    pod = node.add_pod("pod", "10.244.0.5/24", bridge="cni0", gateway="10.244.0.1")
    node.shell("ip link set cni0 type bridge nf_call_iptables 1")
    node.shell(f"bridge link set dev {pod.veth} hairpin on isolated on")

    links, inside = (by_name(links) for links in ask(node, ("links", None), ("links", pod.netns))["answers"])

    bridge, port = links["cni0"], links[pod.veth]
    assert (bridge["kind"], bridge["nf_call_iptables"], bridge["nf_call_ip6tables"]) == ("bridge", True, False)
    assert (port["kind"], port["master"], port["hairpin"], port["isolated"]) == ("veth", bridge["index"], True, True)
    assert port["up"]
    assert "link_netnsid" in port
    assert (inside["eth0"]["link"], port["link"]) == (port["index"], inside["eth0"]["index"])
    assert "kind" not in links["lo"]


def test_addresses_and_routes_of_both_families_are_told(node: LabNode) -> None:
    node.shell("ip address add 10.9.9.1 peer 10.9.9.2/32 dev eth0")
    node.shell("ip route add 10.8.0.0/16 nexthop via 192.0.2.1 nexthop via 192.0.2.2")
    node.shell("ip route add blackhole 10.7.0.0/16; ip route add default via 192.0.2.3 table 1000")
    node.shell("ip route add 10.6.0.0/16 via inet6 2001:db8:1::1 dev eth0")

    links, addresses, routes = ask(node, ("links", None), ("addresses", None), ("routes", None))["answers"]

    eth0 = by_name(links)["eth0"]["index"]
    assert {"index": eth0, "address": "192.0.2.10", "prefix": 24, "family": 4, "scope": "global"} in addresses
    assert {"index": eth0, "address": "2001:db8:1::10", "prefix": 64, "family": 6, "scope": "global"} in addresses
    assert {"index": eth0, "address": "10.9.9.1", "prefix": 32, "family": 4, "scope": "global"} in addresses
    unicast = {"table": 254, "type": "unicast", "oif": eth0}
    for family, destination, gateway in (
        (4, "0.0.0.0/0", "192.0.2.1"),
        (6, "::/0", "2001:db8:1::1"),
        (4, "10.8.0.0/16", "192.0.2.1"),
        (4, "10.8.0.0/16", "192.0.2.2"),
        (4, "10.6.0.0/16", "2001:db8:1::1"),
    ):
        assert {"family": family, "destination": destination, "gateway": gateway, **unicast} in routes
    assert {"family": 4, "destination": "10.7.0.0/16", "table": 254, "type": "blackhole"} in routes
    assert any(route["table"] == 1000 and route["gateway"] == "192.0.2.3" for route in routes)


def test_a_dump_longer_than_one_answer_of_the_kernel_is_whole(node: LabNode) -> None:
    node.shell('for i in $(seq 250); do echo "link add br$i type bridge"; done > /run/batch; ip -batch /run/batch')

    [links] = ask(node, ("links", None))["answers"]

    assert {f"br{number}" for number in range(1, 251)} <= set(by_name(links))


def test_only_the_messages_of_pyroute2_are_imported_and_the_whole_still_can_be(node: LabNode) -> None:
    modules = ask(node, ("links", None), ("addresses", None), ("routes", None))["modules"]
    both = "import k8sdoctor.host.netlink as ours; ours._messages('links'); import pyroute2; print(pyroute2.IPRoute.__name__)"

    assert "pyroute2" not in modules
    assert not [name for name in modules if "ndb" in name]
    assert (
        subprocess.run([sys.executable, "-c", both], capture_output=True, text=True, check=True).stdout == "IPRoute\n"
    )


def test_a_namespace_that_is_gone_is_not_found(node: LabNode) -> None:
    done = node.run([sys.executable, "-c", ASK, json.dumps([["links", "/run/netns/gone"]])], check=False)

    assert "the network namespace /run/netns/gone is gone" in done.stderr
