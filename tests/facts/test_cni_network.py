"""A CNI file as libcni reads it, release by release. The lab holds the same against containerd 1.6's own libcni 1.1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8sdoctor.facts.cni_network import (
    LIBCNI_1_1,
    LIBCNI_1_2,
    LIBCNI_1_3,
    CniError,
    CniNetwork,
    go_json,
    parse,
)

PLUGIN = {"type": "bridge"}


def network(libcni: tuple[int, int] = LIBCNI_1_1, **fields: Any) -> CniNetwork:
    return parse(json.dumps({"name": "n", "plugins": [PLUGIN]} | fields), is_list=True, libcni=libcni)


def refusal(text: str, *, is_list: bool = True, libcni: tuple[int, int] = LIBCNI_1_1) -> CniError:
    with pytest.raises(CniError) as caught:
        parse(text, is_list=is_list, libcni=libcni)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('{"a": 1,}', 1, 9, '"}"'),
        ('{\n "a": [1,\n ]}', 3, 2, '"]"'),
        ('{"a": NaN}', 1, 7, "NaN is no JSON"),
        ('{"NaN": 1, "b": -Infinity}', 1, 17, "-Infinity is no JSON"),
        ('{"a": 1} x', 1, 10, '"x"'),
        ('{"a" 1}', 1, 6, '"1"'),
        ("{'a': 1}", 1, 2, '"\'"'),
        ('{"a": "b\nc"}', 1, 9, "control character"),
        ('{"a": 1', 1, 8, "the end of the file"),
        ("", 1, 1, "empty"),
        ("\n \t\r\n", 1, 1, "empty"),
        ("\ufeff{}", 1, 1, "byte-order mark"),
        ("\0", 1, 1, '"\\u0000"'),
        ("// a comment\n{}", 1, 1, '"/"'),
    ],
)
def test_a_fault_is_placed_where_gos_parser_meets_it(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(CniError) as caught:
        go_json(text)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.message


def test_a_text_nested_without_end_and_a_number_too_large_are_refused() -> None:
    for text in ("[" * 100_000, '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}"):
        with pytest.raises(CniError):
            go_json(text)


def test_a_hidden_number_is_still_a_number() -> None:
    assert go_json('{"token": REDACTED-1, "x": "REDACTED-2"}') == {"token": 0, "x": "REDACTED-2"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud800n", "\ufffdn"),
        (r"n\uDFFF", "n\ufffd"),
        (r"\ud800\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\\ud800", r"\ud800"),
        ("\ud800n", "\ufffdn"),  # as it stands in JSON that was quoted in JSON
    ],
)
def test_half_of_a_surrogate_pair_is_the_replacement_character_as_it_is_to_go(written: str, read: str) -> None:
    assert go_json(f'{{"{written}": ["{written}", 1, 1.5, null]}}') == {read: [read, 1, 1.5, None]}


def test_keys_of_a_list_are_exact_and_keys_of_a_plugin_are_not() -> None:
    assert network(plugins=[{"Type": "bridge", "IPAM": {"TYPE": "static"}}]).plugin_types == ("bridge", "static")
    assert "is not it" in refusal('{"Name": "n", "plugins": [{"type": "bridge"}]}').message
    assert "plugins" in refusal('{"name": "n", "Plugins": [{"type": "bridge"}]}').message


def test_a_single_plugin_needs_a_type_and_no_name() -> None:
    assert parse('{"type": "bridge"}', is_list=False).name == ""
    assert ".conflist" in refusal('{"name": "n", "plugins": [{"type": "bridge"}]}', is_list=False).message


def test_switches_written_as_text_are_taken_since_1_2() -> None:
    assert network(LIBCNI_1_2, disableCheck="True").name == "n"
    with pytest.raises(CniError, match="disableCheck"):
        network(LIBCNI_1_1, disableCheck="true")
    with pytest.raises(CniError, match="disableCheck"):
        network(LIBCNI_1_2, disableCheck="yes")
    assert network(LIBCNI_1_1, disableGC=5).name == "n"  # unknown then
    with pytest.raises(CniError, match="disableGC"):
        network(LIBCNI_1_2, disableGC=5)


def test_the_highest_known_version_of_several_counts_since_1_2() -> None:
    versions = {"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.0.0", "9.0.0"]}

    assert network(LIBCNI_1_1, **versions).cni_version == "0.4.0"
    assert network(LIBCNI_1_2, **versions).cni_version == "1.0.0"
    assert network(LIBCNI_1_2, cniVersions=["9.0.0"]).cni_version == ""
    for wrong in (["x"], [1], "1.0.0"):
        with pytest.raises(CniError, match="cniVersions"):
            network(LIBCNI_1_2, cniVersions=wrong)


def test_plugins_in_a_folder_of_the_networks_name_count_since_1_3() -> None:
    folders = {"n": ['{"type": "ptp"}']}
    alone = '{"name": "n"}'

    assert parse(alone, is_list=True, libcni=LIBCNI_1_3, folders=folders).plugin_types == ("ptp",)
    with_inlined = '{"name": "n", "plugins": [{"type": "bridge"}]}'
    assert parse(with_inlined, is_list=True, libcni=LIBCNI_1_3, folders=folders).plugin_types == ("bridge", "ptp")
    assert parse(with_inlined, is_list=True, libcni=LIBCNI_1_2, folders=folders).plugin_types == ("bridge",)
    only = with_inlined.replace('"n",', '"n", "loadOnlyInlinedPlugins": true,')
    assert parse(only, is_list=True, libcni=LIBCNI_1_3, folders=folders).plugin_types == ("bridge",)
    with pytest.raises(CniError, match='no "plugins"'):
        parse(alone, is_list=True, libcni=LIBCNI_1_2, folders=folders)


def test_multus_needs_what_it_delegates_to() -> None:
    delegates = [{"name": "d", "plugins": [{"type": "bridge", "bridge": "br1", "ipam": {"type": "whereabouts"}}]}]

    found = network(plugins=[{"type": "multus", "delegates": delegates}])

    assert found.plugin_types == ("multus", "bridge", "whereabouts")
    assert found.bridges == ("br1",)


def test_bridges_subnets_and_families_are_told() -> None:
    ranges = [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]
    bridge = {"type": "bridge", "ipam": {"type": "host-local", "ranges": ranges}}

    assert network(plugins=[bridge]).bridges == ("cni0",)
    assert [str(subnet) for subnet in network(plugins=[bridge]).subnets] == ["10.1.0.0/24", "fd00::/64"]
    assert network(plugins=[bridge]).families == {4, 6}
    calico = {"type": "calico", "ipam": {"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "false"}}
    assert network(plugins=[calico]).families == {4}
    assert network(plugins=[calico]).bridges == ()
    pod_cidr = {"type": "ptp", "ipam": {"type": "host-local", "subnet": "usePodCidr"}}
    assert network(plugins=[pod_cidr]).families == frozenset()


@pytest.mark.parametrize("name", ["n", "k8s-pod-network", "A.b_c-1", "a" * 185])
def test_names_that_libcni_takes(name: str) -> None:
    assert network(name=name).name_is_valid


@pytest.mark.parametrize("name", ["", "a b", "-a", "_a", "ä", "a\n", "a" * 186])
def test_names_that_libcni_refuses(name: str) -> None:
    assert not network(name=name).name_is_valid
