"""firewall: rules of a node in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from k8sdoctor.checks.firewall import firewall
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.cluster_nodes import CONTROL_PLANE, ClusterNodes, Node
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.filter_rules import RuleSet
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_filter import NodeFilter
from k8sdoctor.facts.ports import Held, Need, Ports
from k8sdoctor.facts.sent_in_vain import SentInVain, Unreached
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import ListeningSocket
from tests.rule_sets import iptables, leaving, nft

if TYPE_CHECKING:
    from collections.abc import Sequence

UPLINKS = ((4, "eth0"),)
NO_KUBELET, NO_SERVER = Unobserved("NotFound", "no kubelet"), ApiServer()
LET_LO_IN = "-A INPUT -i lo -j ACCEPT"
KUBELET = Need("kubelet", 10250, "0.0.0.0", "so")
API = Need("kube-apiserver", 6443, "0.0.0.0", "so")
SCHEDULER = Need("kube-scheduler", 10259, "127.0.0.1", "so")
ETCD = Need("etcd", 2380, "192.0.2.10", "so")
WORKER, MASTER, BARE = Stage("worker", "so"), Stage("control-plane", "so"), Stage("bare", "so")
ALONE = ClusterNodes((Node("n1"),), "n1", "x")
TWO = ClusterNodes((Node("n1"), Node("n2")), "n1", "x")


def judge(
    *sets: RuleSet,
    needs: Sequence[Need] = (KUBELET, SCHEDULER),
    held: Sequence[Held] = (),
    stage: Stage = WORKER,
    nodes: ClusterNodes | Unobserved = TWO,
    bridges: Sequence[str] = (),
    addresses: Sequence[str] = ("10.244.0.1/24",),
    kubelet: Kubelet | Unobserved = NO_KUBELET,
    server: ApiServer = NO_SERVER,
    sent: Sequence[Unreached] = (),
    **changed: Any,
) -> list[Finding]:
    class Folder(CniFolder):
        @property
        def bridges(self) -> tuple[str, ...]:
            return tuple(bridges)

    folder = Folder(None, None, bridge_addresses=dict.fromkeys(bridges, tuple(addresses)))  # type: ignore[arg-type]
    filters = NodeFilter(sets, **{"uplinks": UPLINKS, **changed})
    told = SentInVain(tuple(sent))
    return list(firewall(stage, filters, Ports(tuple(needs), tuple(held)), nodes, folder, kubelet, server, told))


def test_a_node_without_rules_lets_everybody_in() -> None:
    [finding] = judge()

    assert (finding.status, finding.reason) == (Status.PASS, "PortsOpen")
    assert finding.message == "This node has no packet filter; others need 10250/tcp."


def test_a_policy_that_drops_shuts_the_ports_and_the_fix_opens_them() -> None:
    [finding] = judge(iptables(policy="DROP"), needs=(KUBELET, API), stage=MASTER)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "PortsClosed", "10250/tcp, 6443/tcp")
    assert finding.evidence[0].content == "policy of chain INPUT: drop"
    assert finding.fix is not None
    assert finding.fix.commands == (
        "iptables -w -I INPUT -p tcp --dport 10250 -j ACCEPT",
        "iptables -w -I INPUT -p tcp --dport 6443 -j ACCEPT",
    )
    assert finding.fix.verify == "iptables -S INPUT"  # elsewhere `hostname -I` would name another machine


@pytest.mark.parametrize(("stage", "nodes"), [(BARE, TWO), (WORKER, ALONE)])
def test_before_others_are_there_it_is_a_warning(stage: Stage, nodes: ClusterNodes) -> None:
    [finding] = judge(iptables(LET_LO_IN, policy="DROP"), stage=stage, nodes=nodes)

    assert (finding.status, finding.reason) == (Status.WARN, "PortsClosed")


def test_a_table_of_the_other_family_shuts_nothing() -> None:
    assert [finding.reason for finding in judge(nft(family="ip6"))] == ["PortsOpen"]


def test_a_table_of_nft_is_opened_where_it_shuts() -> None:
    [finding] = judge(nft(), needs=[KUBELET])

    assert finding.fix is not None
    assert finding.fix.commands == ("nft insert rule inet t in tcp dport 10250 accept",)


def matches(left: dict[str, Any], right: Any, *verdict: dict[str, Any]) -> list[Any]:
    """A rule of nft as `nft -j` shows it."""
    return [{"match": {"op": "in", "left": left, "right": right}}, *(verdict or ({"accept": None},))]


TRANSLATED = matches({"ct": {"key": "status"}}, "dnat")
REFUSED = [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]


def test_what_firewalld_lets_in_since_it_was_translated_opens_no_port() -> None:
    assert [each.reason for each in judge(nft(TRANSLATED, REFUSED, policy="accept"))] == ["PortsClosed"]
    snat = matches({"ct": {"key": "status"}}, "snat")
    assert [each.reason for each in judge(nft(snat, REFUSED, policy="accept"))] == ["PortsOpen"]  # nobody can tell


def test_a_firewall_that_forwards_nothing_of_pods_is_why_they_reach_no_dns_server() -> None:
    known = matches({"ct": {"key": "state"}}, {"set": ["established", "related"]})
    firewalld = replace(nft(known, TRANSLATED, REFUSED, policy="accept", hook="forward"), name="nft inet firewalld")

    [finding] = judge(firewalld, bridges=["cni0"], firewalld=True)

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "PodsNotForwarded", "cni0")
    assert finding.message.startswith("The firewall of this node (firewalld) forwards nothing that pods send from cni0")
    assert {("coredns", "UpstreamSilent"), ("dns-reply-source", "NoReply")} <= set(links(finding))
    assert finding.fix is not None
    assert finding.fix.commands == ("firewall-cmd --zone=trusted --change-interface=cni0",)
    [other] = judge(nft(hook="forward"), bridges=["cni0"])
    assert other.fix is not None
    assert other.fix.commands[0] == 'nft insert rule inet t in iifname "cni0" accept'


@pytest.mark.parametrize(
    "rule",
    [
        matches({"meta": {"key": "iifname"}}, "cni0"),
        matches({"meta": {"key": "oifname"}}, "eth0"),
        matches({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.244.0.0", "len": 16}}),
        matches({"payload": {"protocol": "ip", "field": "daddr"}}, "192.0.2.53"),  # meant so
        matches({"payload": {"protocol": "tcp", "field": "dport"}}, 443),
    ],
    ids=["in", "out", "source", "destination", "port"],
)
def test_a_firewall_that_forwards_some_of_what_pods_send_is_not_told(rule: list[Any]) -> None:
    rules = nft(rule, REFUSED, policy="accept", hook="forward")

    assert [each.reason for each in judge(rules, bridges=["cni0"])] == ["PortsOpen"]
    assert [each.reason for each in judge(nft(hook="forward"), bridges=["cni0"], stage=BARE)] == ["PortsOpen"]
    assert [each.reason for each in judge(nft(hook="forward"))] == ["PortsOpen"]  # no bridge, so no pods at one


def test_firewalld_and_ufw_are_told_and_mended_by_their_own_commands() -> None:
    zones = RuleSet("nft inet firewalld", (4, 6), (("filter_INPUT", "drop"),), {"filter_INPUT": ()})
    [finding] = judge(zones, needs=[KUBELET], firewalld=True)
    assert "(firewalld)" in finding.message
    assert finding.fix is not None
    assert (finding.fix.commands, finding.fix.persist) == (
        ("firewall-cmd --add-port=10250/tcp",),
        ("firewall-cmd --permanent --add-port=10250/tcp",),
    )

    [finding] = judge(iptables(":ufw-user-input - [0:0]", policy="DROP"), needs=[KUBELET], ufw=True)
    assert finding.fix is not None
    assert finding.fix.commands == ("ufw allow 10250/tcp",)


def socket(port: int, protocol: Literal["tcp", "udp"], address: str = "0.0.0.0") -> Held:
    return Held(
        ListeningSocket(
            protocol=protocol, address=address, port=port, uid=0, kernel=True, pid=None, name="", cmdline=[]
        )
    )


def test_the_pod_networks_port_is_needed_where_something_listens_on_it() -> None:
    shut = iptables("-A INPUT -p udp -j DROP")

    assert [each.reason for each in judge(shut)] == ["PortsOpen"]
    assert [each.reason for each in judge(shut, held=[socket(8472, "udp", "127.0.0.1")])] == ["PortsOpen"]
    [finding] = judge(shut, held=[socket(8472, "udp")])
    assert (finding.reason, finding.subject) == ("PortsClosed", "8472/udp")
    assert [(link.check, link.reason) for link in finding.explains] == [
        ("dns-reply-source", "NoReply"),
        ("dns-path", "OverlayBlocked"),
    ]


def test_etcds_port_is_needed_where_there_are_several_members() -> None:
    shut = iptables("-A INPUT -p tcp --dport 2380 -j DROP")
    masters = tuple(Node(name, labels={CONTROL_PLANE: ""}) for name in ("n1", "n2"))

    assert [each.reason for each in judge(shut, needs=[ETCD], stage=MASTER)] == ["PortsOpen"]
    [finding] = judge(shut, needs=[ETCD], stage=MASTER, nodes=ClusterNodes(masters, "n1", "x"))
    assert finding.subject == "2380/tcp"
    assert ("etcd", "Unhealthy") in {(link.check, link.reason) for link in finding.explains}


def test_pods_are_shut_out_of_the_api_server_of_their_own_node() -> None:
    rules = iptables(LET_LO_IN, "-A INPUT -i eth0 -j ACCEPT", policy="DROP")

    [finding] = judge(rules, needs=[API], stage=MASTER, bridges=["cni0"])

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "PodsShutOut", "cni0")
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -I INPUT -i cni0 -j ACCEPT",)
    assert [each.reason for each in judge(rules, bridges=["cni0"])] == ["PortsOpen"]  # a worker has none


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("-s 10.244.0.0/16", "PodsShutOut"),
        ("! -s 192.0.2.0/24", "PodsShutOut"),
        ("-s 10.244.7.0/24", "PortsOpen"),  # other nodes' pods
        ("-s 10.244.0.128/25", "PortsOpen"),  # some of them
        ("! -s 10.244.0.0/16", "PortsOpen"),
        ("-s host.example.test", "PortsOpen"),  # which nobody resolves here
    ],
)
def test_a_rule_for_the_pods_addresses_shuts_them_out(source: str, told: str) -> None:
    rules = iptables(f"-A INPUT {source} -p tcp -m tcp --dport 6443 -j DROP")

    [finding] = judge(rules, needs=[API], stage=MASTER, bridges=["cni0"])

    assert finding.reason == told


def test_without_an_address_of_the_bridge_or_a_subnet_any_sender_may_be_a_pod() -> None:
    rules = iptables("-A INPUT -s 10.244.0.0/16 -p tcp -m tcp --dport 6443 -j DROP")

    [finding] = judge(rules, needs=[API], stage=MASTER, bridges=["cni0"], addresses=())

    assert finding.reason == "PortsOpen"


def test_an_api_server_that_pods_do_not_reach_is_why_coredns_waits_for_it() -> None:
    [finding] = judge(iptables("-A INPUT -i cni0 -j DROP"), needs=[API], stage=MASTER, bridges=["cni0"])

    assert [(link.check, link.reason) for link in finding.explains] == [("coredns", "ApiNotReached")]


# -- the node's own programs ---------------------------------------------------------------------------------------------

MANAGER = Need("kube-controller-manager", 10257, "127.0.0.1", "so")
SERVER = ApiServer(
    "/m/kube-apiserver.yaml",
    (
        "kube-apiserver",
        "--advertise-address=192.0.2.10",
        "--etcd-servers=https://127.0.0.1:2379,https://192.0.2.11:2379",
    ),
)


def kubelet(**config: Any) -> Kubelet:
    return Kubelet((1, 36, 2), 9, {}, {}, "/var/lib/kubelet/config.yaml", config, ())


def links(finding: Finding) -> dict[tuple[str, str], frozenset[str]]:
    return {(link.check, link.reason): link.when for link in finding.explains}


def test_a_policy_that_does_not_let_the_loopback_interface_in_explains_what_looks_dead() -> None:
    rules = iptables("-A INPUT -p tcp -m multiport --dports 6443,10250 -j ACCEPT", policy="DROP")
    whole: dict[str, Any] = {"needs": [KUBELET, API, MANAGER], "kubelet": kubelet(), "server": SERVER}

    [finding] = judge(rules, stage=MASTER, nodes=ALONE, **whole)

    assert (finding.status, finding.reason) == (Status.FAIL, "LocalPortsClosed")
    assert finding.subject == "10257/tcp, 2379/tcp, 10248/tcp"
    assert finding.message == (
        "The firewall of this node (iptables) shuts this node's own programs out from 10257/tcp (kube-controller-manager), 2379/tcp (etcd) and 10248/tcp (kubelet)."
    )
    assert finding.evidence[1].source == "iptables, for 2379/tcp from this node itself"
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -I INPUT -i lo -j ACCEPT",)
    assert links(finding) == {
        ("control-plane", "ComponentSilent"): {"component:kube-controller-manager"},
        ("control-plane", "ComponentDown"): {"component:kube-controller-manager", "cause:untold"},
        ("etcd", "Unreachable"): {"endpoint:127.0.0.1:2379"},
        ("node-ready", "KubeletUnhealthy"): {"health:silent"},
    }
    let_in = iptables(LET_LO_IN, "-A INPUT -p tcp -m multiport --dports 6443,10250 -j ACCEPT", policy="DROP")
    assert [each.reason for each in judge(let_in, stage=MASTER, **whole)] == ["PortsOpen"]


def test_a_policy_that_lets_in_the_uplink_alone_is_one_cause_and_its_fix_lets_the_node_and_its_pods_in() -> None:
    whole: dict[str, Any] = {"needs": [API, MANAGER], "stage": MASTER, "bridges": ["cni0"], "server": SERVER}

    [finding] = judge(iptables("-A INPUT -i eth0 -j ACCEPT", policy="DROP"), **whole)

    assert (finding.status, finding.reason) == (Status.FAIL, "LocalPortsClosed")
    assert finding.message.endswith("and 2379/tcp (etcd), and pods at cni0 from 6443/tcp (kube-apiserver).")
    assert finding.fix is not None
    assert finding.fix.title.startswith("Let the loopback interface and the pods' interface in, here")
    assert finding.fix.commands == (
        "iptables -w -I INPUT -i lo -j ACCEPT",
        "iptables -w -I INPUT -i cni0 -j ACCEPT",
    )
    assert ("coredns", "ApiNotReached") in links(finding)
    apart = iptables("-A INPUT -i lo -j DROP", "-A INPUT -i cni0 -j DROP")
    assert [each.reason for each in judge(apart, **whole)] == ["LocalPortsClosed", "PodsShutOut"]


def test_a_policy_that_lets_the_uplink_in_at_one_port_is_one_cause_too() -> None:
    rules = iptables("-A INPUT -i eth0 -p tcp --dport 6443 -j ACCEPT", policy="DROP")

    [finding] = judge(rules, needs=[KUBELET, API, MANAGER], stage=MASTER, bridges=["cni0"], server=SERVER)

    assert (finding.reason, finding.subject) == ("PortsClosed", "10250/tcp")
    assert finding.message.endswith("nor pods in at cni0 to 6443/tcp (kube-apiserver).")
    assert finding.fix is not None
    assert finding.fix.commands[:2] == (
        "iptables -w -I INPUT -i lo -j ACCEPT",
        "iptables -w -I INPUT -i cni0 -j ACCEPT",
    )
    assert ("coredns", "ApiNotReached") in links(finding)


@pytest.mark.parametrize(
    ("rules", "title"),
    [
        (("-A INPUT -i eth0 -j ACCEPT", "-A INPUT -i cni0 -j ACCEPT"), "Let the loopback interface in, here"),
        (("-A INPUT -i eth0 -j ACCEPT", LET_LO_IN), "Let the pods' interface in, here"),
    ],
)
def test_a_fix_names_whom_it_lets_in(rules: tuple[str, ...], title: str) -> None:
    [finding] = judge(
        iptables(*rules, policy="DROP"), needs=[API, MANAGER], stage=MASTER, bridges=["cni0"], server=SERVER
    )

    assert finding.fix is not None
    assert finding.fix.title.startswith(title)


def test_a_port_that_is_shut_to_all_is_one_cause_and_fails_even_on_the_only_node() -> None:
    shut = iptables("-A INPUT -p tcp --dport 6443 -j DROP")

    [finding] = judge(shut, needs=[API], stage=MASTER, nodes=ALONE, server=SERVER)

    assert (finding.status, finding.reason) == (Status.FAIL, "PortsClosed")
    assert finding.message.endswith(
        "lets nobody in at eth0 to 6443/tcp (kube-apiserver), not even this node's own programs."
    )
    assert links(finding) == {
        ("control-plane", "ComponentSilent"): {"component:kube-apiserver"},
        ("control-plane", "ComponentDown"): {"component:kube-apiserver", "cause:untold"},
        ("apiserver-san", "EndpointUnreachable"): {"endpoint:own"},
        ("apiserver-endpoints", "MemberDown"): {"endpoint:own"},
    }
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -I INPUT -p tcp --dport 6443 -j ACCEPT",)
    [apart] = judge(iptables("-A INPUT -i eth0 -p tcp --dport 6443 -j DROP"), needs=[API], stage=MASTER, server=SERVER)
    assert (apart.reason, apart.explains) == ("PortsClosed", ())


def test_where_others_and_the_node_itself_are_shut_out_from_different_ports_the_fix_lets_both_in() -> None:
    [finding] = judge(iptables(policy="DROP"), kubelet=kubelet(), needs=[KUBELET], bridges=["cni0"])

    assert finding.reason == "PortsClosed"
    assert finding.message.endswith("to 10250/tcp (kubelet), nor this node's own programs to 10248/tcp (kubelet).")
    assert finding.fix is not None
    assert finding.fix.commands == (
        "iptables -w -I INPUT -i lo -j ACCEPT",
        "iptables -w -I INPUT -p tcp --dport 10250 -j ACCEPT",
    )


@pytest.mark.parametrize(
    ("rule", "shut"),
    [
        ("-A INPUT -p tcp --dport 2379 -j DROP", {"2379/tcp"}),
        ("-A INPUT ! -s 192.0.2.0/24 -p tcp --dport 2379 -j DROP", {"2379/tcp"}),  # its own address is another one
        ("-A INPUT ! -s 127.0.0.0/8 -p tcp --dport 2379 -j DROP", set()),
        ("-A INPUT ! -s 192.0.2.0/24 -p tcp --dport 6443 -j DROP", set()),  # which the node looks for at 192.0.2.10
        ("-A INPUT -s 127.0.0.0/8 -p tcp --dport 6443 -j DROP", set()),
        ("-A INPUT -m set --match-set bad src -p tcp --dport 2379 -j DROP", set()),
        ("-A INPUT -p tcp --dport 2380 -j DROP", set()),  # which other members ask
    ],
)
def test_the_node_asks_from_the_address_that_it_asks_at(rule: str, shut: set[str]) -> None:
    needs = [API, ETCD, Need("etcd", 2380, "127.0.0.1", "so")]

    told = judge(iptables(rule), needs=needs, stage=MASTER, server=SERVER)

    assert {each.subject for each in told if each.reason == "LocalPortsClosed"} == shut


def test_before_it_joins_the_ports_of_a_control_plane_to_come_are_a_warning() -> None:
    etcd = Need("etcd", 2379, "0.0.0.0", "kubeadm's default")

    [finding] = judge(iptables("-A INPUT -p tcp --dport 2379 -j DROP"), needs=[etcd], stage=BARE)

    assert (finding.status, finding.reason) == (Status.WARN, "LocalPortsClosed")


def test_a_health_port_that_is_off_or_of_another_number_is_judged_as_such() -> None:
    shut = iptables("-A INPUT -p tcp --dport 10248 -j DROP")

    for port, told in ((10248, "LocalPortsClosed"), (0, "PortsOpen"), (10348, "PortsOpen")):
        assert [each.reason for each in judge(shut, kubelet=kubelet(healthzPort=port))] == [told]


def test_an_api_server_that_is_shut_to_all_is_why_coredns_waits_for_it_too() -> None:
    shut = iptables("-A INPUT ! -i lo -p tcp --dport 6443 -j DROP")

    [finding] = judge(shut, needs=[API], stage=MASTER, bridges=["cni0"], server=SERVER)

    assert finding.reason == "PortsClosed"
    assert list(links(finding)) == [("coredns", "ApiNotReached")]


def test_a_port_for_certain_senders_alone_passes_and_is_named() -> None:
    [finding] = judge(iptables(LET_LO_IN, "-A INPUT -s 192.0.2.0/24 -j ACCEPT", policy="DROP"))

    assert finding.status is Status.PASS
    assert "whether everybody comes in to 10250/tcp depends on the sender" in finding.message


def test_rules_that_may_not_be_read_are_unknown() -> None:
    for reason, expected in (("NotPermitted", "NotPermitted"), ("Unreadable", "RulesUnread")):
        [finding] = judge(blind=(Unobserved(reason, "no"),))
        assert (finding.status, finding.reason) == (Status.UNKNOWN, expected)


def test_without_a_default_route_nothing_is_told() -> None:
    [finding] = judge(iptables(policy="DROP"), uplinks=())

    assert (finding.status, finding.reason) == (Status.SKIP, "NoUplink")


# -- what the node sends -------------------------------------------------------------------------------------------------

API_ELSEWHERE = Unreached("api", "api.example:6443", "192.0.2.1", 6443, "192.0.2.1:6443 refused the connection", "eth0")
ITSELF = Unreached("api", "192.0.2.10:6443", "192.0.2.10", 6443, "timed out", "lo")
NAMESERVERS = [Unreached("dns", each, each, 53, "no answer", "eth0") for each in ("192.0.2.53", "2001:db8::53")]
MIRROR = Unreached("registry", "mirror.example", "192.0.2.7", 443, "timed out", "eth0")


def test_what_is_not_reached_is_told_with_the_rule_that_keeps_it_and_the_fix_lets_it_out() -> None:
    [finding] = judge(leaving("-A OUTPUT -p tcp --dport 6443 -j REJECT"), sent=[API_ELSEWHERE])

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "OutgoingBlocked", "192.0.2.1:6443")
    assert (
        finding.message == "The firewall of this node (iptables) lets nothing out to 192.0.2.1:6443 (the API server)."
    )
    assert [each.content for each in finding.evidence] == ["-A OUTPUT -p tcp --dport 6443 -j REJECT", API_ELSEWHERE.met]
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -I OUTPUT -d 192.0.2.1 -p tcp --dport 6443 -j ACCEPT",)
    told = {(link.check, link.reason): link.when for link in finding.explains}
    assert told["apiserver-san", "EndpointUnreachable"] == {"endpoint:api.example:6443"}


def test_a_rule_without_a_failure_and_a_failure_without_a_rule_are_no_trouble() -> None:
    [without_failure] = judge(leaving("-A OUTPUT -p tcp --dport 6443 -j REJECT"))
    [without_rule] = judge(leaving("-A OUTPUT -p tcp --dport 6444 -j REJECT"), sent=[API_ELSEWHERE])
    [unsure] = judge(leaving("-A OUTPUT -m owner --uid-owner 33 -j REJECT"), sent=[API_ELSEWHERE])

    assert {each.status for each in (without_failure, without_rule, unsure)} == {Status.PASS}


def test_dns_is_kept_only_where_every_server_is() -> None:
    v4 = leaving("-A OUTPUT -p udp -m udp --dport 53 -j DROP")
    v6 = leaving("-A OUTPUT -p udp -m udp --dport 53 -j DROP", family=6)

    [one_answers] = judge(v4, sent=NAMESERVERS)
    [finding] = judge(v4, v6, sent=NAMESERVERS[:1])

    assert one_answers.status is Status.PASS
    assert finding.subject == "192.0.2.53:53/udp"
    assert finding.fix is not None
    assert [command.rpartition(" -p ")[2] for command in finding.fix.commands] == [
        "udp --dport 53 -j ACCEPT",
        "tcp --dport 53 -j ACCEPT",
    ]
    assert ("pause-image", "NameNotResolved") in {(link.check, link.reason) for link in finding.explains}


def test_one_list_that_lets_nothing_out_is_one_finding_for_all_and_why_the_registry_is_not_reached() -> None:
    let_lo_out = leaving("-A OUTPUT -o lo -j ACCEPT", policy="DROP")

    [finding] = judge(let_lo_out, sent=[API_ELSEWHERE, MIRROR, NAMESERVERS[0]])

    assert finding.subject == "192.0.2.1:6443, 192.0.2.7:443, 192.0.2.53:53/udp"
    assert {link.check for link in finding.explains if link.when == {"host:mirror.example"}} == {
        *("pause-image", "images", "registry-config", "image-list")
    }


@pytest.mark.parametrize(
    ("rules", "changed", "command"),
    [
        (
            leaving(":ufw-user-input - [0:0]", policy="DROP"),
            {"ufw": True},
            "ufw prepend allow out to 192.0.2.1 port 6443 proto tcp",
        ),
        (
            RuleSet("nft inet fw", (4, 6), outgoing=(("out", "drop"),), chains={"out": ()}),
            {},
            "nft insert rule inet fw out ip daddr 192.0.2.1 tcp dport 6443 accept",
        ),
        (
            RuleSet("nft inet firewalld", (4, 6), outgoing=(("filter_OUTPUT", "drop"),), chains={"filter_OUTPUT": ()}),
            {"firewalld": True},
            "firewall-cmd --list-all-policies",
        ),
    ],
    ids=["ufw", "nft", "firewalld"],
)
def test_what_is_kept_is_let_out_by_who_keeps_it(rules: RuleSet, changed: dict[str, Any], command: str) -> None:
    [finding] = judge(rules, needs=[KUBELET], sent=[API_ELSEWHERE], **changed)

    assert finding.fix is not None
    assert finding.fix.commands[0] == command


def test_what_the_node_does_not_let_out_to_itself_is_told_once_and_let_out_at_lo() -> None:
    shut = leaving("-A OUTPUT ! -o eth0 -j DROP")
    open_at_lo = leaving("-A OUTPUT -o lo -j ACCEPT", policy="DROP")

    [finding] = judge(shut, needs=[API], stage=MASTER, server=SERVER, sent=[ITSELF])
    [healthy] = judge(open_at_lo, needs=[API], stage=MASTER, server=SERVER)

    assert finding.reason == "LocalPortsClosed"
    assert finding.fix is not None
    assert finding.fix.commands == ("iptables -w -I OUTPUT -o lo -j ACCEPT",)
    assert healthy.status is Status.PASS


def test_a_policy_that_lets_nothing_out_is_one_cause_for_the_node_itself_and_for_others() -> None:
    [finding] = judge(leaving(policy="DROP"), needs=[API], stage=BARE, server=SERVER, sent=[API_ELSEWHERE])

    assert (finding.status, finding.reason) == (Status.FAIL, "LocalPortsClosed")
    assert finding.message.endswith(", and lets nothing out to 192.0.2.1:6443 (the API server).")
    assert "-d 192.0.2.1 " in str(finding.fix)
    assert "-I OUTPUT -o lo " in str(finding.fix)
    assert ("apiserver-san", "EndpointUnreachable") in {(link.check, link.reason) for link in finding.explains}


def test_what_is_shut_both_ways_is_opened_both_ways() -> None:
    shut = iptables(":OUTPUT DROP [0:0]", policy="DROP")

    [finding] = judge(shut, needs=[API], stage=MASTER, server=SERVER)

    assert finding.reason == "PortsClosed"
    assert finding.fix is not None
    assert {*finding.fix.commands} == {
        "iptables -w -I OUTPUT -o lo -j ACCEPT",
        "iptables -w -I INPUT -i lo -j ACCEPT",
        "iptables -w -I INPUT -p tcp --dport 6443 -j ACCEPT",
    }
