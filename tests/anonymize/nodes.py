"""Recordings of nodes, with names and addresses that somebody could have."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, cast

from k8sdoctor import engine, registry
from k8sdoctor.testing import Recorder, Recording
from tests.control_plane import control_plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host import Host
    from k8sdoctor.host.recording import Entry
    from k8sdoctor.report import Report

OWN = {
    "192.0.2.": "10.27.53.",
    "2001:db8:1:": "2a01:4f8:77:",
    "worker-1": "frodo",
    "10.244.": "172.22.",
    "10.96.": "10.113.",
}
"""The demo's addresses are of documentation, and its subnets kubeadm's, which all stay; so it is given some of its own."""


@cache
def sick_node() -> list[Entry]:
    """The demo, as of another network."""
    text = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")
    for old, new in OWN.items():
        text = text.replace(old, new)
    return cast("list[Entry]", json.loads(text)["answers"])


@cache
def healthy_node() -> list[Entry]:
    """The recorded control plane."""
    recorder = Recorder(control_plane())
    judged(recorder)
    return recorder.entries()


def judged(host: Host) -> Report:
    """The report that the program would make."""
    return engine.run(host, registry.load(plug_ins=False).checks, engine.Request())


def recording(entries: Sequence[Entry]) -> Recording:
    """A recording of these answers, as it comes back from a file."""
    return Recording.of(json.loads(json.dumps(list(entries))))


def conclusions(report: Report) -> Counter[tuple[str, str, str]]:
    """Ids, statuses and reasons, and how often each."""
    return Counter(
        (result.check, str(each.status), each.reason) for result in report.results for each in result.findings
    )
