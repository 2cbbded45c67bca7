"""Random `sysctl.d` and `modules-load.d` trees. Pure: a seed decides them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["sysctl.d", "modules-load.d"]

FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib")
"""Where systemd looks, first come first served."""

NAMES = (
    "10-a.conf",
    "50-b.conf",
    "90-c.conf",
    "99-sysctl.conf",
    "99-d.conf",
    "Z.conf",
    "é.conf",
    ".h.conf",
    ".conf",
    "README",
    "50-b.conf.bak",
)

INTERFACES = ("all", "default", "eth0", "lo", "va.100", "vb")
"""Of the node where the tree is tried, whose switches the globs stand for."""

_PATTERNS = (
    "*",
    "e*",
    "?ll",
    "[el]*",
    "[!a]*",
    "[^a]*",
    "e[t-u]h0",
    "[",
    "va.*",
    "\\*",
    "*.100",
    "nobody*",
    "*/..",
    "{all,lo}",
)
_KEYS = (
    *(f"net.ipv4.conf.{name}.forwarding" for name in ("all", "default", "eth0", "va/100")),
    *(f"net/ipv4/conf/{name}/forwarding" for name in ("va.100", "eth0", "all", "./eth0")),
    *(
        "net.ipv4.ip_forward",
        "net/ipv4/ip_forward",
        "/net/ipv4/ip_forward",
        "net..ipv4.ip_forward",
        "net//ipv4/ip_forward",
    ),
    *(
        "net/ipv4.ip_forward",
        "net.ipv4/ip_forward",
        ".net.ipv4.ip_forward",
        "net.ipv4.ip_forward.",
        "net ipv4",
        "ip_forward",
        "é",
    ),
)
_VALUES = (
    "0",
    "1",
    "1",
    "01",
    "0x1",
    "2",
    " 1",
    "1 ",
    '"1"',
    "on",
    "",
    "1 # on",
    "1;",
    "=1",
    "1 0",
    "-1",
    "1\x0b",
    "1\u2028",
    "\xa01",
)
_BREAKS = ("\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n", "\x00", "\x0c", "\x0b", "\x1c", "\x85", "\u2028", "\\\n")
_BLANKS = ("", "", "", " ", "\t", "  ", "\x0c", "\xa0", "\ufeff")


@dataclass(frozen=True)
class Entry:
    """One thing of a tree: a file with its text, a link with where it leads, or a folder."""

    path: str
    kind: Literal["file", "link", "folder"]
    content: str = ""


def boot_tree(seed: int, kind: Kind) -> tuple[Entry, ...]:
    """The tree of a seed, no path twice."""
    chance = random.Random(seed)
    found: dict[str, Entry] = {}
    line = _setting if kind == "sysctl.d" else _module
    plain = (
        chance.random() < 0.5
    )  # half of the trees are as people write them, so that strange lines do not hide all else
    for folder in FOLDERS:
        for name in chance.sample(NAMES, chance.randrange(5)):
            path = f"{folder}/{kind}/{name}"
            text = "".join(_lines(chance, line, plain=plain))
            found[path] = chance.choices(
                (
                    Entry(path, "file", text),
                    Entry(path, "file"),
                    Entry(path, "link", "/dev/null"),
                    Entry(path, "link", "nowhere"),
                    Entry(path, "link", f"../{kind.removesuffix('.d')}.conf"),
                    Entry(path, "link", f"/usr/lib/{kind}/{chance.choice(NAMES)}"),
                    Entry(path, "link", name),
                    Entry(path, "folder"),
                ),
                (70, 4, 8, 4, 6, 5, 1, 2),
            )[0]
    beside = f"/etc/{kind.removesuffix('.d')}.conf"
    if chance.random() < 0.7:
        found[beside] = Entry(beside, "file", "".join(_lines(chance, line, plain=plain)))
    return tuple(found.values())


def _lines(chance: random.Random, line: object, *, plain: bool) -> list[str]:
    assert callable(line)
    return [line(chance, plain=plain) + ("\n" if plain else chance.choice(_BREAKS)) for _ in range(chance.randrange(6))]


def _blank(chance: random.Random, *, plain: bool) -> str:
    return chance.choice(("", " ")) if plain else chance.choice(_BLANKS)


def _setting(chance: random.Random, *, plain: bool) -> str:
    key = chance.choice(_KEYS[:10] if plain else _KEYS)
    if chance.random() < 0.3:
        pattern = chance.choice(_PATTERNS[:6] if plain else _PATTERNS)
        key = chance.choice((f"net.ipv4.conf.{pattern}.forwarding", f"net/ipv4/conf/{pattern}/forwarding"))
    value = chance.choice(("0", "1") if plain else _VALUES)
    blank = [_blank(chance, plain=plain) for _ in range(4)]
    assignment = f"{key}{blank[0]}={blank[1]}{value}{blank[2]}"
    shape = chance.choices(
        (
            assignment,
            f"-{assignment}",
            f"-{key}",
            f"# {assignment}",
            f"; {assignment}",
            key,
            f"- {assignment}",
            f"--{assignment}",
        ),
        (60, 10, 8, 6, 4, 4, 4, 4),
    )[0]
    return f"{blank[3]}{shape}"


def _module(chance: random.Random, *, plain: bool) -> str:
    name = chance.choice(("br_netfilter", "br_netfilter", "br-netfilter", "BR_NETFILTER", "overlay_lab", "ip_vs_lab"))
    shape = chance.choices(
        (
            name,
            f"# {name}",
            f"; {name}",
            f"{name} # for pods",
            f"{name} option=1",
            f"{name}.ko",
            f"{name},overlay_lab",
            f"-{name}",
            f'"{name}"',
        ),
        (70, 5, 5, 5, 3, 3, 3, 3, 3),
    )[0]
    return f"{_blank(chance, plain=plain)}{shape}{_blank(chance, plain=plain)}"
