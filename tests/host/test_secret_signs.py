"""Looking for a secret only where its signs are finds what looking for every kind everywhere finds."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest

from k8sdoctor.host import secret_patterns
from k8sdoctor.host.secrets import Vault
from tests.canaries import FORMS
from tests.host.test_canary import LEGIBLE

TEXTS = (*FORMS.values(), *LEGIBLE.splitlines())

BETWEEN = (
    *(
        " ",
        "\n",
        "\t",
        "\0",
        ": ",
        "=",
        '"',
        "'",
        "\\",
        "  - ",
        "@",
        ":",
        "//",
        ",",
        ";",
        ".",
        "{",
        "[",
        "]",
        "|\n",
        "--",
    ),
    *("-u ", "token", "key", "encrypt ", "password", "name", "value", "0x", "K10", "::", "secret: ", "Ü"),
)

ROWS = ("PROGRAMS", "HEADERS", "LONG", "TO_THE_END", "SHORT", "URLS", "SHAPES", "TOKENS")


def spoiled(random_: random.Random, text: str) -> str:
    """The text with something put in, taken out, cut off or written in other letters."""
    place = random_.randrange(len(text) + 1)
    before, behind = text[:place], text[place:]
    return random_.choice(
        (
            before + random_.choice(BETWEEN) + behind,
            before + behind[random_.randrange(1, 4) :],
            before.upper() + behind,
            before + behind[:6].swapcase() + behind[6:],
            before,
        )
    )


def made(seed: int) -> str:
    """Some texts of those that hold secrets and those that do not, a little spoiled."""
    random_ = random.Random(seed)
    parts = []
    for _ in range(random_.choice((1, 1, 2, 3))):
        text = random_.choice(TEXTS)
        for _ in range(random_.choice((0, 0, 1, 2, 4))):
            text = spoiled(random_, text)
        parts.append(text)
    return random_.choice(("\n", " ", ", ", "")).join(parts)


def _look_everywhere(patch: pytest.MonkeyPatch) -> None:
    """Have a vault look for every kind in every text, whatever its signs."""
    for name in ROWS:
        patch.setattr(
            secret_patterns,
            name,
            tuple(("", None, pattern) for _word, _piece, pattern in getattr(secret_patterns, name)),
        )
    patch.setattr(secret_patterns, "KEY_HINTS", ("",))
    patch.setattr(secret_patterns, "KEYED", re.compile(""))
    patch.setattr(secret_patterns, "NAME", SimpleNamespace(fullmatch=lambda _text: None))


@pytest.mark.parametrize("prose", [False, True])
def test_what_is_hidden_by_its_signs_is_what_is_hidden_without_them(
    prose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [made(seed) for seed in range(300)] + list(TEXTS)
    by_signs = [Vault().hide(text, prose=prose) for text in texts]
    _look_everywhere(monkeypatch)

    everywhere = [Vault().hide(text, prose=prose) for text in texts]

    assert [pair for pair in zip(texts, by_signs, everywhere, strict=True) if pair[1] != pair[2]] == []
    assert sum(text != hidden for text, hidden in zip(texts, by_signs, strict=True)) > 300


def test_every_table_of_patterns_is_looked_through_for_its_signs() -> None:
    """A new table belongs into `ROWS` of this file."""
    tables = {
        name
        for name, value in vars(secret_patterns).items()
        if isinstance(value, tuple) and value and isinstance(value[0], tuple) and len(value[0]) == 3
    }

    assert tables == set(ROWS)
