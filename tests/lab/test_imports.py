"""What a run on a real node imports."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.test_imports import HEAVY

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = pytest.mark.lab

RUN = """
import contextlib, io, json, sys
from k8sdoctor.cli import run
with contextlib.redirect_stdout(io.StringIO()):
    code = run(["check", "ip-forward", "-o", "json"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_a_check_of_switches_loads_no_heavy_library_but_netlink(node: LabNode) -> None:
    code, modules = json.loads(node.run([sys.executable, "-c", RUN]).stdout)

    assert code in (0, 1)
    assert set(modules) & (HEAVY - {"pyroute2"}) == set()  # which interface pods use is asked by netlink
