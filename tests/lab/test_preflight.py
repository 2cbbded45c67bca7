"""The checks before a machine joins, on a real kernel and file system: a clean machine, then one with what an earlier cluster left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab

CHECKS = ("hostname", "kernel", "leftovers", "resources", "tools")


def test_what_an_earlier_cluster_left_is_told_and_the_pasted_lines_take_it_away(node: LabNode) -> None:
    node.write("/etc/hosts", "127.0.0.1 localhost\n")
    node.write("/var/lib/etcd/member/wal/0.wal", "")
    node.run(["ip", "link", "add", "cni0", "type", "bridge"])

    sick = node.check(*CHECKS)

    found = {each["reason"]: each for check in CHECKS for each in sick.result(check)["findings"] if each["fix"]}
    assert set(found) == {"EtcdFolderNotEmpty", "InterfacesLeft", "HostnameNotResolved"}
    for each in found.values():
        for line in each["fix"]["commands"]:
            node.run(["sh", "-c", line])
    well = node.check(*CHECKS)
    assert {check: well.result(check)["status"] for check in CHECKS} == dict.fromkeys(CHECKS, "pass")
    kernel = well.result("kernel")["findings"][0]
    assert kernel["evidence"][0]["content"] == node.run(["uname", "-r"]).stdout.strip()
