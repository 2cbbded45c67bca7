"""A regex is the pattern that it was to be, from its first use on."""

from __future__ import annotations

import re

import pytest

from k8sdoctor.patterns import regex


def test_a_regex_matches_replaces_and_tells_of_itself_like_any_pattern() -> None:
    number = regex(r"(?P<n>\d+)")

    assert [match["n"] for match in number.finditer("1 and 22")] == ["1", "22"]
    assert number.sub("n", "1 and 22") == "n and n"
    assert number.fullmatch("1 and") is None
    assert (number.pattern, number.groups) == (r"(?P<n>\d+)", 1)


def test_flags_and_bytes_are_kept() -> None:
    assert regex(r"a b", re.VERBOSE | re.IGNORECASE).fullmatch("AB")
    assert regex(rb"\d").search(b"a1")


def test_a_second_use_asks_nothing_anew() -> None:
    word = regex("a")

    assert word.search is word.search


def test_a_regex_that_is_none_says_so_when_it_is_used() -> None:
    wrong = regex("(")

    with pytest.raises(re.error, match="unterminated subpattern"):
        wrong.search("a")
