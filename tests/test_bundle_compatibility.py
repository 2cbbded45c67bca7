"""What reads a bundle today reads those of earlier versions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from k8sdoctor import engine, registry
from k8sdoctor.host.bundle import open_bundle

STORED = sorted((Path(__file__).parent / "data" / "bundles").glob("*.tar.gz"))


def test_there_are_stored_bundles() -> None:
    assert [path.name for path in STORED] == ["v2.tar.gz"]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_bundle_of_an_earlier_version_is_read_whole_and_judged_as_then(path: Path) -> None:
    host = open_bundle(str(path))
    six = ("apiserver-san", "br-netfilter", "cni-config", "dns-reply-source", "ip-forward", "pause-image")
    known = registry.load(plug_ins=False, only=frozenset(six))
    report = engine.run(host, known.checks, engine.Request(named=six))

    assert Counter(entry["verb"] for entry in host.entries())["read"] > 20
    assert len(list(host.entries())) == 144
    assert host.read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "0\n"
    assert (report.node, report.broken) == ("worker-1", ())
    assert [f"{each.cause.check}/{each.cause.reason}" for each in report.diagnoses] == ["br-netfilter/BridgeNfCallOff"]
    assert ("dns-reply-source", "UnexpectedSource") in {
        (each.check, each.reason) for each in report.diagnoses[0].explains
    }


def test_what_an_earlier_version_did_not_ask_is_unknown_and_not_absent() -> None:
    known = registry.load(plug_ins=False, only=frozenset({"swap"}))
    report = engine.run(open_bundle(str(STORED[0])), known.checks, engine.Request(named=("swap",)))

    assert {(each.status, each.reason) for result in report.results for each in result.findings} == {
        ("unknown", "NotRecorded")
    }
