"""Corefiles as people write them, and as CoreDNS's reader refuses them."""

from __future__ import annotations

import pytest

from k8sdoctor.facts import corefile
from tests.control_plane import data


def test_kubeadms_corefile_is_read_line_by_line() -> None:
    [config] = [each for each in data("api/configmaps.json")["items"] if each["metadata"]["name"] == "coredns"]
    [block] = corefile.read(config["data"]["Corefile"])

    assert block.zones == (("dns", ".", "53"),)
    assert [each.name for each in block.directives] == [
        *("errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload", "loadbalance")
    ]
    [forward] = block.named("forward")
    assert (forward.words, forward.body, forward.line) == ((".", "/etc/resolv.conf"), (("max_concurrent", "1000"),), 13)


def test_a_snippet_is_put_in_where_it_is_imported_and_a_file_stays_an_import() -> None:
    first, second = corefile.read(
        "(common) {\n  errors\n}\na.example, b.example {\n  import common\n  log\n}\nimport x/*\n"
    )

    assert [each.name for each in first.directives] == ["errors", "log"]
    assert [zone for _, zone, _ in first.zones] == ["a.example.", "b.example."]
    assert second.named("import")[0].words == ("x/*",)


def test_comments_and_quotes_are_no_words_of_their_own() -> None:
    [block] = corefile.read(
        '. { # all\n  log . "{type} \\"{name}\\"" # how\n  # forward . 192.0.2.1\n  template IN A "a\nb"\n}\n'
    )

    assert [(each.name, each.words) for each in block.directives] == [
        ("log", (".", '{type} "{name}"')),
        ("template", ("IN", "A", "a\nb")),
    ]


def test_zones_have_transport_and_port() -> None:
    [block] = corefile.read("Example.ORG:1053 tls://. 10.0.0.0/24 {\n  whoami\n}\n")

    assert block.zones == (("dns", "example.org.", "1053"), ("tls", ".", ""), ("dns", "10.0.0.0/24.", "53"))


def test_the_file_without_braces_is_one_block() -> None:
    [block] = corefile.read(".\nwhoami\nforward . 192.0.2.1\n")

    assert [each.name for each in block.directives] == ["whoami", "forward"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (". {\n  errors\n", "line 1: the block that begins here is not closed"),
        ("{\n  errors\n}\n", "no zone stands before it"),
        (". {\n  errors\n}\n}\n", "line 4: a brace is closed"),
        ("a.example, {\n  errors\n}\n", "another zone is expected"),
        ("(a) {\n import a\n}\n. {\n import a\n}\n", "without end"),
    ],
)
def test_what_coredns_refuses_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(corefile.CorefileError, match=words):
        corefile.read(text)
