"""What keeps DNS from passing, on a real kernel: each rule is named, proven by what it counted, and its pasted fix mends it."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.node import wait_for
from tests.lab.test_dns_reply_source import SERVICE, join, one_bridge, serve, translate
from tests.reports import judged

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("dnsmasq", "iptables", "nft", "ss", "conntrack")]

_SCRIPT = """
import json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of
report = report_of(LiveHost(), "dns-path", "dns-reply-source")
assert not report.broken, report.broken[0].traceback
print(json.dumps(report.document()))
"""


def examine(node: LabNode) -> Any:
    """The report of both checks, run on the node."""
    return json.loads(node.run([sys.executable, "-c", _SCRIPT]).stdout)


def causes(report: Any) -> dict[str, tuple[str, list[str]]]:
    """Each diagnosis: its certainty, and what it explains."""
    return {
        f"{each['cause']['check']}/{each['cause']['reason']}": (
            each["certainty"],
            sorted(f"{one['check']}/{one['reason']}" for one in each["explains"]),
        )
        for each in report["diagnoses"]
    }


def mend(node: LabNode, report: Any) -> None:
    for command in report["diagnoses"][0]["fix"]["commands"]:
        node.shell(command)


BACKEND = "10.244.0.22:53 udp from pod"
QUERIES_AT_FIRST = 44
"""More connections than a run makes that asks only once: eight from the pod, two from the node, ten of pairs and twenty beside them."""

NO_REPLY = "dns-reply-source/NoReply"


@pytest.mark.parametrize(
    ("breaks", "cause", "certainty", "explains"),
    [
        ("iptables -w -P FORWARD DROP", "ForwardPolicyDrop", "proven", NO_REPLY),
        ("iptables -w -I FORWARD -p udp --dport 53 -j DROP", "Blocked", "proven", "dns-reply-source/TcpOnly"),
        (
            (
                "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; }'; "
                "nft add rule inet fw forward meta l4proto { tcp, udp } th dport 53 drop"
            ),
            "Blocked",
            "likely",
            NO_REPLY,
        ),
        (
            "iptables -w -t raw -A PREROUTING -p udp --sport 53 -j CT --notrack",
            "RepliesUntracked",
            "proven",
            "dns-reply-source/UnexpectedSource",
        ),
    ],
)
def test_a_rule_that_loses_queries_is_the_cause_and_its_fix_mends_it(
    node: LabNode, breaks: str, cause: str, certainty: str, explains: str
) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    # As a node that has carried traffic before: other rules count, and are not blamed.
    node.shell(f"iptables -w -A FORWARD -d 192.0.2.200 -j DROP; {breaks}")

    report = examine(node)
    assert causes(report) == {f"dns-path/{cause}": (certainty, [explains])}, json.dumps(report, indent=1)

    mend(node, report)
    assert causes(examine(node)) == {}


LOSE_SOME = (
    "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; }'; "
    "nft add rule inet fw forward udp dport 53 numgen random mod 4 == 0 counter drop"
)


def test_a_while_of_asking_counts_what_a_lossy_way_loses_and_what_a_good_one_does_not(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    [good] = node.check("dns-reply-source", "--for", "3s").result("dns-reply-source")["findings"][:1]
    assert (good["status"], good["reason"]) == ("pass", "AnsweredThroughout")

    node.shell(LOSE_SOME)
    [lossy] = node.check("dns-reply-source", "--for", "8s").result("dns-reply-source")["findings"][:1]

    assert lossy["reason"] == "FailedWhileWatched"
    # Of 32 queries over UDP each is lost with 25 %: none at all by chance once in ten thousand runs.
    assert "failed, at" in lossy["message"]
    assert "10.96.0.10:53 udp from pod" in lossy["evidence"][0]["content"] or BACKEND in lossy["evidence"][0]["content"]


def test_an_interrupted_while_still_says_what_was_seen(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    words = [sys.executable, "-m", "k8sdoctor", "check", "dns-reply-source", "--for", "1h", "-o", "json"]
    doctor = node.popen(words)
    sees = ["sh", "-c", f"conntrack -L -p udp --orig-dst {SERVICE} 2>/dev/null | wc -l"]
    wait_for(lambda: int(node.run(sees).stdout) > QUERIES_AT_FIRST, "the while of asking")

    doctor.stop(signal.SIGINT)

    assert doctor.process.returncode == 130
    [result] = json.loads(doctor.log)["results"]
    [finding, _] = result["findings"]
    assert finding["reason"] == "AnsweredThroughout"
    assert "of 1 h pods asked cluster DNS" in finding["message"]


def test_a_recording_of_a_while_that_somebody_ends_is_kept_with_what_was_seen(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    bundle = node.root / "run" / "node.tar.gz"
    words = [sys.executable, "-m", "k8sdoctor", "record", "--profile", "dns", "--for", "1h", "-o", "/run/node.tar.gz"]
    doctor = node.popen(words)
    sees = ["sh", "-c", f"conntrack -L -p udp --orig-dst {SERVICE} 2>/dev/null | wc -l"]
    wait_for(lambda: int(node.run(sees).stdout) > QUERIES_AT_FIRST, "the while of asking")

    doctor.stop(signal.SIGINT)

    assert doctor.process.returncode == 0, doctor.log
    assert "asking DNS ends early; what was seen until now is kept" in doctor.log
    [found] = [each for each in judged(bundle)["results"] if each["check"] == "dns-reply-source"]
    assert found["findings"][0]["reason"] == "AnsweredThroughout"
    assert "of 1 h pods asked cluster DNS" in found["findings"][0]["message"]


def test_packets_that_the_reverse_path_filter_drops_are_told(node: LabNode) -> None:
    join(node)
    client, server = node.add_pod("client", "10.244.0.5/32"), node.add_pod("dns", "10.244.0.22/32")
    serve(server)
    translate(node, "10.244.0.22")
    # The way back to the client leads out of another interface.
    node.shell(
        f"sysctl -qw net.ipv4.conf.{client.veth}.rp_filter=1; ip route add 10.244.0.5/32 dev eth0 table 100; "
        "ip rule add to 10.244.0.5/32 lookup 100"
    )

    report = examine(node)

    assert causes(report) == {"dns-path/ReversePathFilter": ("likely", [NO_REPLY])}, json.dumps(report, indent=1)


def test_a_tunnel_whose_mtu_is_too_big_for_what_is_below_is_told_and_mended(node: LabNode) -> None:
    _, server = one_bridge(node, filtered=True)
    serve(server)
    node.shell("ip link add flannel.1 type vxlan id 1 dev eth0 dstport 8472; ip link set flannel.1 up")
    assert causes(examine(node)) == {}

    # The kernel refuses too big an MTU, unless what is below shrinks later.
    node.shell("ip link set eth0 mtu 1400")
    report = examine(node)
    assert causes(report) == {"dns-path/MtuTooBig": ("proven", [])}
    assert "eth0 below it one of 1400" in report["diagnoses"][0]["title"]

    mend(node, report)
    assert causes(examine(node)) == {}
