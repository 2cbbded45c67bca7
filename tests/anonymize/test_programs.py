"""Of what runs on a node, what is not of the field is not told."""

from __future__ import annotations

from typing import Any, cast

import pytest

from k8sdoctor.anonymize import anonymized
from k8sdoctor.facts import clock, kube_proxy, node_local_dns, role, switch_keepers
from k8sdoctor.host.recording import Entry

KEY = b"k" * 32

ASKED_FOR = {
    *("kubelet", "kube-apiserver", "kube-proxy", "kube-router", "etcd", "containerd", "crio", "dockerd", "cri-dockerd"),
    *("NetworkManager", "systemd-networkd", "k3s-server", "k3s-agent", "kubelite"),
    *(*clock.SERVICES, *clock.FROM_OUTSIDE, *kube_proxy.EMBEDDING, node_local_dns.PROGRAM),
    *(*role.DISTRIBUTIONS, *switch_keepers._DISTRIBUTIONS),
}
"""Names that facts look for among the processes."""


def told(verb: str, *processes: dict[str, Any]) -> list[dict[str, Any]]:
    [made] = anonymized([Entry(verb=verb, arguments={}, answer=list(processes))], key=KEY)
    return cast("list[dict[str, Any]]", made["answer"])


def process(name: str, *words: str, ppid: int = 1) -> dict[str, Any]:
    return {"pid": 9, "ppid": ppid, "name": name, "cmdline": list(words)}


@pytest.mark.parametrize("name", sorted(ASKED_FOR))
def test_a_program_that_facts_look_for_keeps_name_and_command_line(name: str) -> None:
    given = process(name[:15], f"/usr/bin/{name}", "--flag")

    assert told("processes", given) == [given]


@pytest.mark.parametrize(
    "given",
    [
        process("firewalld", "/usr/bin/python3", "-s", "/usr/sbin/firewalld", "--nofork"),
        process("python3", "/usr/bin/python3", "-s", "/usr/sbin/firewalld", "--nofork"),
        process("kworker/0:1", ppid=2),
        process("kthreadd", ppid=0),
    ],
    ids=["firewalld", "firewalld's Python", "a thread of the kernel", "the kernel's"],
)
def test_what_tells_nothing_of_anybody_stays(given: dict[str, Any]) -> None:
    assert told("processes", given) == [given]


@pytest.mark.parametrize(
    "given",
    [
        process("java", "/usr/bin/java", "-jar", "basket.jar", "--shop=acme"),
        process("basket-agent", "/opt/acme/bin/basket-agent", "kubelet-of-ours"),
        process("basket", ppid=77),
    ],
    ids=["an interpreter's", "a company's own", "one that has ended"],
)
def test_what_somebody_runs_for_themselves_is_a_program_of_the_same_number(given: dict[str, Any]) -> None:
    [made] = told("processes", given)

    assert (made["pid"], made["ppid"], made["name"]) == (9, given["ppid"], "program")
    assert made["cmdline"] == (["program"] if given["cmdline"] else [])


def test_who_holds_a_port_is_a_program_too_and_nobody_stays_nobody() -> None:
    socket = {"protocol": "tcp", "address": "0.0.0.0", "port": 6443, "uid": 0, "kernel": False}
    own = {**socket, "pid": 9, "name": "basket", "cmdline": ["/opt/basket"]}
    nobody = {**socket, "pid": None, "name": "", "cmdline": []}

    assert told("listeners", own, nobody) == [{**own, "name": "program", "cmdline": ["program"]}, nobody]
