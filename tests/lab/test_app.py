"""The app on a node that is really broken: it shows the cause, saves what the command line prints, and sees the fix work."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.test_kernel_switches import bridged_node
from tests.tui.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("iptables")]


SIX = ("apiserver-san", "br-netfilter", "cni-config", "dns-reply-source", "ip-forward", "pause-image")
"""As many checks as the screen shows at once."""


def on(node: LabNode, *arguments: str) -> Terminal:
    """The app on the node's terminal, with some checks."""
    words = [sys.executable, "-m", "k8sdoctor", "--deadline", "15", *arguments, *SIX]
    return Terminal(node.words(words), size=(120, 40))


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    report["metadata"]["startedAt"] = report["metadata"]["durationSeconds"] = None
    for result in report["results"]:
        result["seconds"] = None
    return report


def diagnosed(report: dict[str, Any]) -> list[str]:
    return [diagnosis["cause"]["reason"] for diagnosis in report["diagnoses"]]


def test_the_app_shows_a_fault_saves_it_and_sees_it_fixed(node: LabNode, tmp_path: Path) -> None:
    bridged_node(node)
    node.shell("sysctl -qw net.ipv4.ip_forward=0")
    target = tmp_path / "report.json"
    with on(node) as terminal:
        terminal.see("lab1", "ForwardingOff", "sysctl -w net.ipv4.ip_forward=1")
        terminal.press("/forward\r")
        terminal.see("1 of 6 checks: with “forward”", ">✘ fail    ip-forward")

        terminal.press("S")
        terminal.see("Save the report")
        terminal.press("\x15")  # Control-U empties the field
        terminal.see("the file needs a name")
        terminal.press(str(target))
        terminal.see("/report.json")
        terminal.press("\r")
        terminal.see("Saved:")
        terminal.press("\x1b")
        printed = json.loads(node.doctor("check", "-o", "json", *SIX).out)
        assert without_times(json.loads(target.read_text())) == without_times(printed)
        assert "ForwardingOff" in diagnosed(printed)

        [fix] = [each["fix"] for each in printed["diagnoses"] if each["cause"]["reason"] == "ForwardingOff"]
        for line in (*fix["commands"], *fix["persist"]):
            node.shell(line)
        terminal.press("r")
        terminal.see("✔ pass    ip-forward", "fixed", "Fixed since the last run", "ForwardingOff")
        terminal.press("q")
        code, _ = terminal.end()
        assert code == node.doctor("check", *SIX).code


def test_watching_sees_a_fix_that_somebody_pastes_elsewhere(node: LabNode) -> None:
    bridged_node(node)
    node.shell("sysctl -qw net.ipv4.ip_forward=0")
    with on(node) as terminal:
        terminal.see("ForwardingOff", "checks in")
        terminal.press("w")
        terminal.see("every 5 s", "still")
        node.shell("sysctl -qw net.ipv4.ip_forward=1")
        terminal.see("fixed")
        terminal.press("\x03")
        terminal.end()
        assert terminal.settings == terminal.settings_before


def test_a_file_system_that_hangs_does_not_keep_the_app(node: LabNode) -> None:
    """/etc/os-release is read by every run; nobody writes into this one."""
    bridged_node(node)
    node.shell("rm -f /etc/sysctl.d/99-hangs.conf && mkfifo /etc/sysctl.d/99-hangs.conf")
    with on(node, "--deadline", "3600") as terminal:
        terminal.see("examining")
        terminal.press("q")
        terminal.end()
        assert terminal.settings == terminal.settings_before


def test_the_options_of_the_command_line_hold_in_the_app(node: LabNode, tmp_path: Path) -> None:
    bridged_node(node)
    plan = tmp_path / "kubeadm.yaml"
    plan.write_text(
        "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: k8s.example.org:6443\n"
    )
    with Terminal(
        [
            sys.executable,
            "-m",
            "k8sdoctor",
            "--root",
            str(node.root),
            "--config",
            str(plan),
            "--profile",
            "init",
            "--offline",
            *SIX,
        ],
        size=(120, 40),
    ) as terminal:
        terminal.see("lab1", "profile init", "br-netfilter")
        terminal.press("/apiserver\r\r")
        terminal.see("Offline")
        terminal.press("q")
        terminal.end()
