"""Words in the dialogs: seconds as people write them, and what a file is called."""

from __future__ import annotations

import dataclasses

import pytest

from k8sdoctor.tui.screens.save import file_names, suggested_name
from k8sdoctor.tui.screens.watch import seconds
from tests.render.reports import SICK


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1", 1), ("10s", 10), (" 2.5 ", 2.5), ("5m", 300), ("1 h", 3600), ("24h", 86400), ("1.", 1), (".5m", 30)],
)
def test_seconds_are_read_as_people_write_them(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize(
    "text", ["", "0", "0.5", "-1", "+1", "nan", "inf", "1e3", "1_0", "٣", "ten", "25h", "1d", "s", ".", "9" * 400]
)
def test_what_is_no_time_to_wait_is_none(text: str) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize(
    ("name", "formats", "names"),
    [
        ("r", ["json", "junit"], ["r.json", "r.xml"]),
        ("r.yml", ["yaml", "json"], ["r.yml", "r.json"]),
        ("r.JSON", ["json"], ["r.JSON"]),
        ("node.example.org", ["json"], ["node.example.org.json"]),
        (".json", ["json"], [".json.json"]),
        ("a.md/r", ["text"], ["a.md/r.txt"]),
    ],
)
def test_a_name_gets_the_suffix_of_each_format(name: str, formats: list[str], names: list[str]) -> None:
    assert list(file_names(name, formats).values()) == names


def test_the_name_of_a_node_cannot_lead_out_of_the_folder() -> None:
    for node, part in (("../../etc/x", "k8sdoctor-etc-x-"), ("\x1b[2J", "k8sdoctor-2J-"), ("", "k8sdoctor-node-")):
        name = suggested_name(dataclasses.replace(SICK, node=node))
        assert name.startswith(part)
        assert "/" not in name
