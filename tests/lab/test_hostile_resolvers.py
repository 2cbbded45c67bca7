"""Whatever the node's DNS server says, the verb `resolve` answers and ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.hostile_resolvers import BY_TCP, BY_UDP, OTHER_ROOT

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]


def test_whatever_a_dns_server_says_is_an_answer_and_a_good_one_is_heard(node: LabNode) -> None:
    node.write("/etc/nsswitch.conf", "hosts: files dns\n")
    node.shell(f"mkdir -p {OTHER_ROOT}/etc {OTHER_ROOT}/proc; mount --rbind /proc {OTHER_ROOT}/proc")

    done = node.run([sys.executable, "-m", "tests.lab.hostile_resolvers"], env={"PYTHONPATH": str(ROOT)})
    found = json.loads(done.stdout)

    heard = {name: answers for name, answers in found.items() if answers != [[], []]}
    assert heard.pop("good") == [["10.0.0.9"], ["10.0.0.9"]]
    assert heard.pop("good again") == [["10.0.0.9"], ["10.0.0.9"]]
    # glibc takes an answer with something behind it, dnspython does not.
    assert heard == {"an answer and 60,000 bytes": [["10.0.0.9"], []]}
    assert len(found) == 2 + len(BY_UDP) + len(BY_TCP)
    assert "Traceback" not in done.stderr
