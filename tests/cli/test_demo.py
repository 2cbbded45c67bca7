"""The demo: a recorded sick node, judged like any other."""

from __future__ import annotations

import getpass
import ipaddress
import json
import os
import re
import socket
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.cli.doctor import doctor, document

RECORDING = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")
AGAIN = "record it anew: python -m tests.lab.record_demo"

# What a lab or a cluster's inside uses; anything else would be an address of somebody's network.
NOBODYS = [
    ipaddress.ip_network(each)
    for each in ("0.0.0.0/8", "10.244.0.0/16", "10.96.0.0/12", "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "2001:db8::/32", "fe80::/10", "ff00::/8")
]  # fmt: skip


def answers(verb: str) -> list[Any]:
    return [entry.get("answer") for entry in json.loads(RECORDING)["answers"] if entry["verb"] == verb]


def test_the_demo_is_a_sick_node_with_one_cause_and_exits_as_one() -> None:
    done = doctor("demo", "-o", "json")

    assert done.returncode == 1
    report = document(done)
    [diagnosis] = report["diagnoses"]
    assert diagnosis["cause"]["reason"] == "BridgeNfCallOff"
    assert [symptom["reason"] for symptom in diagnosis["explains"]] == ["UnexpectedSource"]
    assert diagnosis["certainty"] == "proven"
    assert report["metadata"]["source"] == "bundle"


def test_the_demo_is_written_into_files_too(tmp_path: Path) -> None:
    saved = tmp_path / "demo.json"

    done = doctor("demo", "--report", str(saved), "--report", str(tmp_path / "demo.html"))

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("k8sdoctor ")  # nothing but --report asked for the app to stay away
    assert json.loads(saved.read_text())["diagnoses"][0]["cause"]["reason"] == "BridgeNfCallOff"
    assert "BridgeNfCallOff" in (tmp_path / "demo.html").read_text()


def test_the_demo_holds_all_that_the_checks_ask_for() -> None:
    report = document(doctor("demo", "-o", "json"))

    blind = [
        finding["message"]
        for result in report["results"]
        for finding in result["findings"]
        if finding["status"] == "unknown"
    ]
    assert blind == [], AGAIN
    assert report["broken"] == [], AGAIN
    assert report["summary"] | {"status": None} == {
        "status": None,
        "pass": report["summary"]["pass"],
        "skip": report["summary"]["skip"],
        "warn": 0,
        "unknown": 0,
        "fail": 2,
    }, AGAIN
    assert report["summary"]["pass"] > 20


def test_the_demo_is_judged_alike_every_time() -> None:
    first, second = (document(doctor("demo", "-o", "json")) for _ in range(2))
    for report in (first, second):
        report["metadata"]["durationSeconds"] = 0
        for result in report["results"]:
            result["seconds"] = 0

    assert first == second


@pytest.mark.parametrize(
    "word",
    [
        "/home/",
        "/tmp/",
        "/var/tmp",
        "/mnt/",
        "/srv/",
        "/proc/self/root",
        "PYTHON",
        "python",
        "http_proxy",
        "HTTP_PROXY",
    ],
)
def test_the_recording_bears_no_trace_of_whoever_made_it(word: str) -> None:
    assert word not in RECORDING


def test_the_recording_names_neither_this_machine_nor_who_tests() -> None:
    machine = os.uname()
    for name in {
        machine.release,
        machine.version,
        str(Path.cwd()),
        str(Path.home()),
        f'"{socket.gethostname()}"',
        f"/{getpass.getuser()}/.",
    }:
        assert name in ("/root", "/root/.") or name not in RECORDING  # kubectl's own default for root


def test_the_recorded_node_is_one_that_nobody_has() -> None:
    assert answers("identity") == [{"hostname": "worker-1", "kernel": "6.1.0-40-amd64", "machine": "x86_64", "euid": 0}]
    [processes] = answers("processes")
    assert {process["name"] for process in processes} <= {
        "containerd",
        "dnsmasq",
        "kubelet",
        "kube-proxy",
        "systemd-timesyncd",
    }
    [command_line] = [
        entry["answer"]
        for entry in json.loads(RECORDING)["answers"]
        if entry["arguments"].get("path") == "/proc/cmdline"
    ]
    assert command_line.startswith("BOOT_IMAGE=")


def test_the_recording_holds_no_address_of_a_real_network() -> None:
    found = set()
    for word in re.findall(r"(?<![\w.:])[0-9a-f.:]{3,}(?![\w.:])", RECORDING):
        try:
            found.add(ipaddress.ip_address(word))
        except ValueError:
            continue

    assert found
    strangers = [str(address) for address in found if not any(address in network for network in NOBODYS)]
    assert strangers == []


def test_the_recording_holds_no_private_key() -> None:
    assert (
        re.findall(
            r"PRIVATE KEY-----(?!REDACTED-\d+-----END)[^\"]{9}",
            RECORDING.replace("-----END EC PRIVATE KEY-----", "-----END"),
        )
        == []
    )
    assert "LS0tLS1CRUdJTiBFQyBQUklWQVRF" not in RECORDING  # the same in base64
