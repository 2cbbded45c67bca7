from __future__ import annotations

import pytest

from k8sdoctor.facts import toml
from k8sdoctor.facts.toml import Lines, Setting, TomlError, Tree


def line(text: str, *keys: str) -> int | None:
    found = toml.setting(toml.parse(text, "f"), *keys)
    assert found is not None
    return found.line


@pytest.mark.parametrize(
    ("text", "keys", "number"),
    [
        ("a = 1\n", ("a",), 1),
        ("# a = 0\n\n a = 1\n", ("a",), 3),
        ("[t]\na = 1\n[u]\na = 2\n", ("u", "a"), 4),
        ('[t."x.y"]\n"a" = 1\n', ("t", "x.y", "a"), 2),
        ("[t.'x.y'] # why\na = 1\n", ("t", "x.y", "a"), 2),
        ("t.a = 1\n", ("t", "a"), 1),
        ("t = { a = 1 }\n", ("t", "a"), 1),
        ("l = [\n  1,\n]\na = 1\n", ("a",), 4),
        ("[t]\nl = [\n[1],\n]\na = 1\n", ("t", "a"), 5),
        ('s = """\na = 2\n"""\n[t]\na = 1\n', ("t", "a"), 5),
    ],
)
def test_where_a_value_stands(text: str, keys: tuple[str, ...], number: int) -> None:
    assert line(text, *keys) == number


def test_a_line_that_is_not_certain_is_not_told() -> None:
    text = 's = """\na = 2\n"""\na = 1\n'

    assert line(text, "a") is None
    assert toml.parse(text, "f")["a"].source == "f"  # type: ignore[union-attr]


def test_a_table_stands_where_its_header_does_or_the_first_below_it() -> None:
    lines = Lines('[host."https://a".header]\nx = "1"\n[host."https://b"]\n[host.c]\n')

    assert [lines.of_table(("host", name)) for name in ("https://a", "https://b", "c", "d")] == [1, 3, 4, None]


@pytest.mark.parametrize(("text", "number"), [("a = 1\n[t\n", 2), ("a = \n", 1), ("a = 1\na = 2\n", 2), ("s = '''", 1)])
def test_what_is_no_toml_is_told_with_its_line(text: str, number: int) -> None:
    with pytest.raises(TomlError) as caught:
        toml.parse(text, "f")

    assert (caught.value.path, caught.value.line) == ("f", number)
    assert "(at" not in caught.value.message


def test_a_text_that_is_nested_too_deeply_is_no_toml() -> None:
    with pytest.raises(TomlError):
        toml.parse("a = " + "[" * 100_000, "f")


def test_values_and_tables_are_not_taken_for_each_other() -> None:
    tree: Tree = toml.parse("a = 1\n[t]\nb = [1, 'x']\n", "f")

    assert toml.table(tree, "a") == {}
    assert toml.setting(tree, "t") is None
    assert toml.setting(tree, "a", "b") is None
    assert toml.text_of(toml.setting(tree, "a")) is None
    assert toml.texts_of(toml.setting(tree, "t", "b")) == ("x",)
    assert toml.plain(tree) == {"a": 1, "t": {"b": [1, "x"]}}
    assert isinstance(tree["a"], Setting)
