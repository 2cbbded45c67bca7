"""A recording without names leads to the same conclusions, and holds none of the names."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from k8sdoctor.anonymize import StandIns, anonymized
from k8sdoctor.host.recording import Entry
from tests.anonymize.nodes import conclusions, healthy_node, judged, recording, sick_node

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsQuery
    from k8sdoctor.host.base import Json

KEY = b"k" * 32
NODES = {"sick": sick_node, "healthy": healthy_node}


def told(entries: list[Entry]) -> str:
    """All that a recording tells, also what is in base64 and in certificates."""
    text = json.dumps(entries, ensure_ascii=False)
    found = [text]
    for match in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", re.sub(r"(?<=[A-Za-z0-9+/=])\\n(?=[A-Za-z0-9+/])", "", text)):
        inner = base64.b64decode(match[: len(match) // 4 * 4])
        found.append(inner.decode("latin-1"))
        pems = re.findall(r"-----BEGIN CERTIFICATE-----([\s\S]*?)-----END", inner.decode("latin-1"))
        found += [base64.b64decode(pem).decode("latin-1") for pem in pems]
    return "\n".join(found)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("key", [b"k" * 32, b"l" * 32], ids=["k", "l"])
def test_the_checks_come_to_the_same_conclusions(node: str, key: bytes) -> None:
    entries = NODES[node]()

    assert conclusions(judged(recording(anonymized(entries, key=key)))) == conclusions(judged(recording(entries)))


@pytest.mark.parametrize(
    ("node", "names"),
    [
        (
            "sick",
            ["frodo", "10.27.53.10", "10.27.53.1", "2a01:4f8:77::10", "172.22.0", "10.113.0.1", "6e:8e:55:d5:89:14"],
        ),
        ("healthy", ["cp1", "10.27.53.32", "10.27.53.1", "387c7029", "3d1219c7c4c5404aaa1f6d2a48adfda4"]),
    ],
)
def test_no_name_and_no_address_of_the_node_is_left(node: str, names: list[str]) -> None:
    before, after = told(NODES[node]()), told(anonymized(NODES[node](), key=KEY))

    for name in names:
        whole = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        assert re.search(whole, before), name
        assert not re.search(whole, after), name
    assert b"\x0a\x1b\x35\x20".decode("latin-1") not in after  # 10.27.53.32 as a certificate holds it


def test_the_same_key_gives_the_same_recording_and_another_key_another() -> None:
    entries = healthy_node()

    assert anonymized(entries, key=KEY) == anonymized(entries, key=KEY)
    assert anonymized(entries) != anonymized(entries)


def test_an_entry_is_not_seen_once_another_was_mapped() -> None:
    entries = healthy_node()
    stand_ins = StandIns(KEY)
    stand_ins.see(entries[0])
    stand_ins.entry(entries[0])

    with pytest.raises(ValueError, match="before the first"):
        stand_ins.see(entries[1])


def test_a_recording_answers_the_same_questions_in_another_order() -> None:
    def query(server: str) -> DnsQuery:
        return {"server": server, "port": 53, "transport": "udp", "name": "a.", "type": "A", "attempt": 0}

    outcomes = [{"query": query(server), "replies": []} for server in ("10.0.0.1", "10.0.0.2")]
    arguments: Any = {"queries": [query("10.0.0.1"), query("10.0.0.2")], "netns": None}
    host = recording([Entry(verb="dns", arguments=arguments, answer=cast("Json", outcomes))])

    found = host.dns([query("10.0.0.2"), query("10.0.0.1")])

    assert [each["query"]["server"] for each in found] == ["10.0.0.2", "10.0.0.1"]
