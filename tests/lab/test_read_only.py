"""The doctor changes nothing on the node, and sends nothing but to whom its report names: seen from outside, by strace."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode
from tests.lab.strace import Trace, joined, traced
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd", "dnsmasq", "etcd", "iptables-save", "nft", "strace")]

ASKS_ONLY = re.compile(
    r"\S+ -m k8sdoctor check .*|env CNI_COMMAND=VERSION \S+|/opt/cni/bin/[\w-]+|(kubeadm|\S*kubelet|crictl|containerd) (--)?version.*"
    r"|(ip6?tables(-legacy|-nft)?-save)( -t \w+)?( -M /bin/true)?|ipset list .*|ipvsadm -S.*|nft (-j )?list \w+.*|systemctl (show|cat|is-\w+) .*"
    r"|journalctl .*|timedatectl show.*|chronyc .*"
)
"""Every program that may be started, with words by which it only tells."""

PLUG_IN = '''\
"""A plug-in that does what no check should."""
import os, socket, subprocess
from k8sdoctor import Profile, check, passed

@check(id="bad-manners", title="It behaves", area="kernel", profiles=(Profile.NODE,))
def bad_manners():
    """It does not."""
    open("/etc/left-behind", "w").close()
    os.unlink("/etc/left-behind")
    subprocess.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    subprocess.run(["ip", "link", "set", "lo", "mtu", "65535"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", ("192.0.2.1", 9))
    yield passed("Behaves", "It behaves.")
'''


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with LabNode("cp1") as lab:
        made = WholeNode(lab, "control-plane")
        made.start()
        yield made


def test_a_run_changes_nothing_and_sends_to_nobody_but_whom_the_report_names(node: WholeNode) -> None:
    before = state(node.lab)

    printed, trace = traced(node.lab, "check", "-o", "json")

    assert trace.written <= {"/dev/null"}
    assert trace.changes == []
    assert trace.rule_changes == []
    assert [words for words in map(" ".join, trace.programs) if not ASKS_ONLY.fullmatch(words)] == []
    assert trace.peers
    assert trace.peers <= named(json.loads(printed))
    assert state(node.lab) == before


def test_what_is_not_read_only_is_seen(node: WholeNode) -> None:
    node.lab.write("/run/plug-ins/bad_manners.py", PLUG_IN)

    printed, trace = traced(node.lab, "check", "bad-manners", "--checks-dir", "/run/plug-ins", "-o", "json")

    assert {"/etc/left-behind", "/proc/sys/net/ipv4/ip_forward"} <= trace.written
    assert any("left-behind" in call for call in trace.changes)
    assert trace.rule_changes
    assert "sysctl -q -w net.ipv4.ip_forward=1" in set(map(" ".join, trace.programs))
    assert trace.peers - named(json.loads(printed)) == {("192.0.2.1", 9)}


def test_a_call_that_another_thread_s_comes_between_is_seen_whole() -> None:
    text = """\
7  clock_adjtime(CLOCK_REALTIME,  <unfinished ...>
8  clock_adjtime(CLOCK_REALTIME,  <unfinished ...>
9  openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3
8  <... clock_adjtime resumed>{modes=ADJ_OFFSET, offset=1}) = 0 (TIME_OK)
7  <... clock_adjtime resumed>{modes=0, offset=0}) = 0 (TIME_OK)
9  unlink("/etc/hosts" <unfinished ...>"""

    trace = Trace(tuple(joined(text.splitlines())))

    assert trace.changes == [
        "clock_adjtime(CLOCK_REALTIME,  {modes=ADJ_OFFSET, offset=1}) = 0 (TIME_OK)",
        'unlink("/etc/hosts" ',
    ]


def test_a_node_that_can_be_written_nowhere_gets_the_same_report_but_for_that(node: WholeNode) -> None:
    usual = node.check()
    node.lab.write("/run/read-only.sh", READ_ONLY)

    done = node.lab.run(["unshare", "--mount", "sh", "/run/read-only.sh", *doctor()], check=False)

    assert "Read-only file system" in done.stderr  # what the script itself tried to write
    assert done.returncode == 1, done.stderr
    assert judged(json.loads(done.stdout)) ^ judged(usual.report) == {
        ("disk", "Enough", "pass"),
        ("disk", "ReadOnly", "fail"),
    }


READ_ONLY = """\
# Every mount of this namespace, the deepest first, for a remount of one leaves those below as they are.
# The list is whole before the first: tac has a file open in /tmp until it ends, and what is being written cannot be made read-only.
mounts=$(awk '{print $5}' /proc/self/mountinfo | tac)
for mount in $mounts; do
    case $mount in /proc|/proc/*|/dev|/dev/*) continue ;; esac
    mount -o remount,bind,ro "$mount"
done
for folder in / /etc /run /var /tmp; do
    if touch "$folder/written"; then echo "$folder can be written" >&2; exit 9; fi
done
exec "$@"
"""


def doctor() -> list[str]:
    import sys

    return [sys.executable, "-m", "k8sdoctor", "check", "-o", "json"]


def judged(report: Any) -> set[tuple[str, str, str]]:
    return {
        (result["check"], finding["reason"], finding["status"])
        for result in report["results"]
        for finding in result["findings"]
    }


def named(report: Any) -> set[tuple[str, int]]:
    """Address and port of each peer in the report's `contacted`."""
    peers = [re.fullmatch(r"\w+://\[?([^\]]+?)\]?:(\d+)", each) for each in report["contacted"]]
    return {(peer[1], int(peer[2])) for peer in peers if peer}


def state(lab: LabNode) -> str:
    """The node's files with their times, its rules, switches, routes, addresses, modules and mounts."""
    return lab.shell(
        "find /etc /opt /root /usr/local /var/lib /run -xdev -not -path '/run/strace.log' -not -path '*/containerd/*' "
        "-not -path '/run/.lab/*' -not -path '/var/lib/etcd*' -type f -printf '%p %s %T@ %m\\n' | sort\n"
        "iptables-save | grep -v '^#' | sed 's/\\[.*\\]//'; nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'\n"
        "sysctl -a 2>/dev/null | grep -E '^net\\.(bridge|ipv[46]\\.(conf|ip_forward))'\n"
        "ip -o link; ip route; ip -o address; cut -d' ' -f1 /proc/modules | sort; cut -d' ' -f5- /proc/self/mountinfo"
    ).stdout
