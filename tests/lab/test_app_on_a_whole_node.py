"""The terminal app as a person uses it: a real program on a real terminal, on a node that is really broken and really mended."""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import VALIDATOR
from tests.lab.node import LabNode, wait_for
from tests.lab.whole_node import WholeNode
from tests.tui.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss"),
]

SAVED = "/run/app.json"


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        yield made


@pytest.fixture
def broken(node: WholeNode) -> WholeNode:
    node.restore()
    node.lab.shell(f"sysctl -qw net.bridge.bridge-nf-call-iptables=0; rm -f {SAVED}")
    return node


def app(node: WholeNode, *arguments: str, size: tuple[int, int] = (120, 36)) -> Terminal:
    """The app on a terminal, run on the node."""
    return Terminal(node.lab.words([sys.executable, "-m", "k8sdoctor", *arguments]), size=size)


def copied(terminal: Terminal) -> str:
    """What the terminal was asked to put on the clipboard (OSC 52)."""
    found = wait_for(lambda: re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07", terminal.written), "something to copy")
    return base64.b64decode(found[-1]).decode()


def lasting(report: Any) -> Any:
    """A report without what differs between any two runs: times, and what passes with numbers in its words."""
    report = json.loads(json.dumps(report))
    for name in ("startedAt", "durationSeconds"):
        del report["metadata"][name]
    for result in report["results"]:
        del result["seconds"]
        for finding in result["findings"]:
            if finding["status"] == "pass":
                del finding["evidence"], finding["message"]
            for each in finding.get("evidence", ()):
                each["content"] = re.sub(r"\b\d+(\.\d+)? ?(ms|s)\b", "", each["content"])
    return report


def test_a_person_sees_the_cause_saves_the_report_pastes_the_fix_and_sees_it_work(broken: WholeNode) -> None:
    with app(broken) as terminal:
        # The cause, before anything was pressed.
        terminal.see("FAIL", "br-netfilter/BridgeNfCallOff", "explains 1 more", "dns-reply-source/UnexpectedSource")

        # The report, as the command line tells it.
        terminal.press("S")
        terminal.see("Save the report")
        terminal.press(SAVED)  # in the place of the name suggested
        terminal.see("Will write:", f" {SAVED} ")
        terminal.press("\r")
        terminal.see("Saved:", f" {SAVED} ")
        terminal.press("\r")
        saved = json.loads(broken.lab.read(SAVED))
        VALIDATOR.validate(saved)
        assert lasting(saved) == lasting(broken.check().report)

        # The fix, as the app gives it.
        terminal.see("br-netfilter/BridgeNfCallOff")
        terminal.press("c")
        commands = copied(terminal)
        [diagnosis] = saved["diagnoses"]
        assert commands.split("\n") == [*diagnosis["fix"]["commands"], *diagnosis["fix"]["persist"]]
        terminal.see("terminals do not tell whether they did")
        terminal.press("q")
        broken.lab.shell(commands)

        # And that it worked.
        terminal.press("R")
        terminal.see("PASS", "fixed")
        terminal.press("q")
        code, _ = terminal.end()
        terminal.see("k8sdoctor: node worker-1: pass")

    assert code == 0
    assert terminal.settings_before is not None


def test_who_leaves_a_sick_node_leaves_with_its_code(broken: WholeNode) -> None:
    with app(broken, size=(80, 24)) as terminal:
        terminal.see("br-netfilter/BridgeNfCallOff", "checks in")
        terminal.press("q")
        code, _ = terminal.end()

        assert code == 1
        terminal.see("k8sdoctor: node worker-1: fail (2 fail")
