"""Random CNI folders, and how they came to be while containerd looked. Pure: a seed decides them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

NAMES = (
    "10-a.conflist",
    "10-a.conflist",
    "10-a.conf",
    "20-b.conflist",
    "20-b.conf",
    "30-c.json",
    ".h.conflist",
    "Z.conflist",
    "é.conflist",
    "10-a.conflist.bak",
    "05-x.conflist~",
    "README",
)
PLUGINS = ("bridge", "ptp", "portmap", "firewall", "tuning", "host-local", "loopback", "static")

Act: TypeAlias = Literal[
    "write", "move-in", "link-in", "hard-link-in", "dangle", "rename", "remove", "chmod", "folder", "empty"
]


@dataclass(frozen=True)
class Step:
    """One act on the folder. `content` is the file's, and for `rename` the new name."""

    act: Act
    name: str
    content: bytes = b""


@dataclass(frozen=True)
class CniCase:
    """The acts in their order, and what becomes of the plugins' programs: `missing`, `not executable`, `garbage` or `script`."""

    steps: tuple[Step, ...]
    programs: tuple[tuple[str, str], ...]


def cni_case(seed: int) -> CniCase:
    """The case of a seed."""
    chance = random.Random(seed)
    steps = []
    names: list[str] = []
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4, 5))):
        act: Act = chance.choices(
            ("write", "move-in", "link-in", "hard-link-in", "dangle", "rename", "remove", "chmod", "folder", "empty"),
            (60, 12, 4, 4, 2, 8, 6, 3, 2, 2),
        )[0]
        if act in ("rename", "remove", "chmod"):
            if names:
                name = chance.choice(names)
                steps.append(Step(act, name, chance.choice(NAMES).encode() if act == "rename" else b""))
            continue
        name = chance.choice(NAMES)
        names.append(name)
        steps.append(
            Step(act, name, content(chance, is_list=name.rstrip("~").removesuffix(".bak").endswith(".conflist")))
        )
    programs = []
    while chance.random() < 0.2:
        programs.append(
            (chance.choice(PLUGINS), chance.choice(("missing", "missing", "not executable", "garbage", "script")))
        )
    return CniCase(tuple(steps), tuple(dict(programs).items()))


def content(chance: random.Random, *, is_list: bool) -> bytes:
    """The bytes of one file, half of them good."""
    network = _network(chance, is_list=is_list if chance.random() < 0.95 else not is_list)
    if chance.random() < 0.5:
        return json.dumps(network, indent=chance.choice((None, 2))).encode()
    if chance.random() < 0.5:
        _bend(chance, network)
        return json.dumps(network, indent=chance.choice((None, 2))).encode()
    return _broken(chance, json.dumps(network, indent=chance.choice((None, 1))).encode())


def _network(chance: random.Random, *, is_list: bool) -> dict[str, Any]:
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False}
    main: dict[str, Any] = dict(chance.choice((bridge, bridge, {"type": "ptp"})))
    subnet = chance.choice(("10.244.0.0/24", "10.245.3.0/24", "fd00:10:244::/64"))
    ranged = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    main["ipam"] = chance.choice((ranged, ranged, {"type": "host-local", "subnet": subnet}))
    chained = [{"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "tuning"}]
    name, version = (
        chance.choice(("cbr0", "mynet", "k8s-pod-network", "a.b_c")),
        chance.choice(("0.3.1", "0.4.0", "1.0.0")),
    )
    if is_list:
        more = chance.sample(chained, chance.choice((0, 0, 1, 2)))
        return {"cniVersion": version, "name": name, "plugins": [main, *more]}
    return {"cniVersion": version, "name": name, **main}


def _bend(chance: random.Random, network: dict[str, Any]) -> None:
    """Change one thing, so that the text stays JSON."""
    plugin: dict[str, Any] = chance.choice(network["plugins"]) if "plugins" in network else network
    key = chance.choice(
        (
            "cniVersion",
            "name",
            "plugins",
            "type",
            "type",
            "ipam",
            "ipam",
            "capabilities",
            "disableCheck",
            "dns",
            "case",
            "extra",
        )
    )
    values: dict[str, tuple[Any, ...]] = {
        "cniVersion": ("", "0.1.0", "0.2.0", "0.3.0", "1.1.0", "9.9.9", "x", "1.0", "0.4.0 ", 0.4, None, ["1.0.0"]),
        "name": ("", "my net", "-net", "net-", "n/t", "ümlaut", ".", 5, None, "a" * 186),
        "plugins": ([], {}, None, "bridge", [None], ["bridge"], [{}], [[]]),
        "type": (
            "",
            "nosuch",
            "calico",
            "flannel",
            5,
            None,
            "../bridge",
            "loopback",
            "bridge ",
            "Bridge",
            "multus",
            "host-device",
        ),
        "ipam": (
            {},
            None,
            "host-local",
            {"type": "nosuch"},
            {"type": 5},
            {"type": "host-local", "subnet": "10.244.7.0/24", "ranges": []},
            {"type": ""},
            [],
        ),
        "capabilities": ({"portMappings": 1}, {"portMappings": None}, [], {}, "portMappings", {"bandwidth": True}),
        "disableCheck": (True, "true", 1, None, False),
        "dns": (
            {"nameservers": ["10.96.0.10"]},
            {"search": "a"},
            [],
            None,
            {"domain": 5},
            {"nameservers": [5]},
            {"options": None},
        ),
        "extra": (1, None, {"a": [1.5, "x"]}),
    }
    if key == "case":
        old = chance.choice(
            [each for each in ("type", "name", "cniVersion", "ipam", "plugins") if each in network or each in plugin]
        )
        named = network if old in network else plugin
        named[chance.choice((old.upper(), old.capitalize()))] = named.pop(old)
        return
    target = network if key in ("cniVersion", "name", "plugins", "disableCheck") else plugin
    if chance.random() < 0.2:
        target.pop(key, None)
    else:
        target[key] = chance.choice(values[key])


def _broken(chance: random.Random, text: bytes) -> bytes:
    """Text that is no JSON, or that looks as if it were none."""
    at = chance.randrange(len(text))
    return chance.choice(
        (
            b"",
            b" \n",
            b"null",
            b"[]",
            b"5",
            b'"x"',
            b"{}",
            b"\xef\xbb\xbf" + text,
            text[:at],
            text + b"}",
            text + b"\n\n",
            text + b"\0",
            text[:-1] + b",}",
            text.replace(b'"', b"'"),
            text.replace(b":", b"=", 1),
            text.replace(b'"name"', b'"name": "other", "name"', 1),
            text.replace(b'"type"', b'"type": "nosuch", "type"', 1),
            text.replace(b'"name": "', b'"name": "\\u0041', 1),
            text.replace(b'"name": "', b'"name": "\\ud800', 1),
            text.replace(b'"name": "', b'"name": "\xff', 1),
            text.replace(b'"name": "', b'"name": "\t', 1),
            text.replace(b'{"', b'{"mtu": NaN, "', 1),
            text.replace(b'{"', b'{"mtu": 1e999, "', 1),
            text.replace(b'{"', b'{"mtu": 01, "', 1),
            text.replace(b'{"', b'{"mtu": 123456789012345678901234567890, "', 1),
            text.replace(b'{"', b'{"mtu": -Infinity, "', 1),
            text.replace(b'{"', b'{"a": "\\x", "', 1),
            b"# pods\n" + text,
            b"// pods\n" + text,
            text.replace(b"\n", b"\r\n"),
            text.replace(b" ", b"\xc2\xa0", 1),
            bytes([text[0]]) + b"\x0b" + text[1:],
            text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :],
            text[:at] + text[at + 1 :],
        )
    )
