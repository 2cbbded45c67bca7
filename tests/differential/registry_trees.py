"""Random `certs.d` folders that lead to registries in every mood. Pure: a seed decides them.

The registries are those of tests/lab/registry.py, a port for each mood.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from tests.lab.registry import ADDRESS, FOLDER, NAME, SILENT

CERTS = "/etc/containerd/certs.d"
REGISTRY = "registry.k8s.io"

GOOD = (f"http://{NAME}:5001", f"http://{NAME}:5012", f"http://{NAME}:5020", f"http://{NAME}:5008")
BAD = (
    *(f"http://{NAME}:{port}" for port in (5003, 5004, 5009, 5010, 5014, 5015, 5017, 5019, 5999, 5002)),
    *("http://nowhere.lab:5001", f"https://{NAME}:5001", f"http://{NAME}:5016", f"http://{NAME}:5013"),
)
SECURE = tuple(
    f"https://{host}:{port}" for host, port in ((NAME, 5002), (NAME, 5005), (NAME, 5006), (NAME, 5007), (ADDRESS, 5002))
)
SILENT_ONES = (f"http://{SILENT}:5000", f"http://{NAME}:5011")
"""Nobody answers there, or where the image's content is: each costs half a minute, so they are rare."""
ODD = (
    NAME,
    f"{NAME}:5001",
    f"http://{NAME}:5001/",
    f"http://{NAME}:5001/v2",
    f"http://{NAME}:5001/x",
    f"HTTP://{NAME}:5001",
    "http://",
    f"ftp://{NAME}:5001",
    f"http://{NAME}:port",
    f"http://{NAME.upper()}:5001",
)


@dataclass(frozen=True)
class TreeFile:
    """A file below `certs.d`."""

    path: str
    text: str


def registry_tree(seed: int) -> tuple[TreeFile, ...]:
    """The tree of a seed, no path twice."""
    chance = random.Random(seed)
    folders = chance.choices(
        (
            (REGISTRY,),
            ("_default",),
            (REGISTRY, "_default"),
            (f"{REGISTRY}_443_", "_default"),
            (f"{REGISTRY}:443", REGISTRY),
            (),
        ),
        (72, 10, 8, 4, 4, 2),
    )[0]
    found = {}
    for folder in folders:
        for path, text in _folder(chance, f"{CERTS}/{folder}").items():
            found[path] = TreeFile(path, text)
    return tuple(found.values())


def _folder(chance: random.Random, folder: str) -> dict[str, str]:
    kind = chance.choices(("toml", "broken", "docker", "empty"), (84, 8, 4, 4))[0]
    if kind == "docker":
        return {
            f"{folder}/{chance.choice(('ca.crt', 'x.crt', 'ca.pem', 'client.cert'))}": chance.choice(
                ("", "no certificate", "@ca")
            )
        }
    if kind == "empty":
        return {f"{folder}/README": ""}
    text = _toml(chance)
    if kind == "broken":
        at = chance.randrange(len(text) + 1)
        text = chance.choice(
            (
                "",
                "# nothing\n",
                "[host]\n",
                f"{text[:at]}",
                f"{text}\n=\n",
                f"{text[:at]}\x00{text[at:]}",
                text.replace('"', "'", 1),
                text + text,
                f"\ufeff{text}",
                text.replace("[host.", "[hosts."),
                text.replace("\n", "\r\n"),
            )
        )
    return {f"{folder}/hosts.toml": text}


def _toml(chance: random.Random) -> str:
    lines = []
    if chance.random() < 0.8:
        server = chance.choices(
            (f"http://{NAME}:5999", _url(chance), f"http://{NAME}:5001", NAME, ""), (30, 45, 15, 5, 5)
        )[0]
        lines += [f"server = {json.dumps(server)}", *(_details(chance, server) if chance.random() < 0.3 else [])]
    for url in dict.fromkeys(_url(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 3, 4)))):
        lines += [f"[host.{json.dumps(url)}]", *(f"  {line}" for line in _details(chance, url))]
    return "\n".join(lines) + "\n"


def _url(chance: random.Random) -> str:
    return chance.choice(chance.choices((GOOD, BAD, SECURE, ODD, SILENT_ONES), (30, 41, 24, 3.5, 1.5))[0])


def _details(chance: random.Random, url: str) -> list[str]:
    """What is said of one host."""
    lines = []
    if chance.random() < 0.75:
        words = chance.choices(
            (
                ["pull", "resolve"],
                ["pull"],
                ["resolve"],
                ["push"],
                [],
                ["pull", "resolve", "push"],
                ["Pull", "RESOLVE"],
                ["fetch"],
                "pull",
                [1],
            ),
            (70, 8, 4, 3, 3, 10, 2, 0.5, 0.5, 0.2),
        )[0]
        lines.append(f"capabilities = {json.dumps(words)}")
    if (url.startswith("https") and chance.random() < 0.7) or chance.random() < 0.06:
        path = json.dumps(
            chance.choices(
                (f"{FOLDER}/ca.crt", "ca.crt", "/etc/nowhere.crt", f"{FOLDER}/nginx.conf", "/etc"), (90, 3, 3, 2, 2)
            )[0]
        )
        lines.append(f"ca = {chance.choice((path, path, f'[{path}]'))}")
    if chance.random() < 0.15:
        said = chance.choices(("true", "false", json.dumps("true"), "1"), (70, 26, 2, 2))[0]
        lines.append(f"skip_verify = {said}")
    if chance.random() < 0.08:
        lines.append(f"override_path = {chance.choice(('true', 'false'))}")
    if chance.random() < 0.03:
        lines.append(
            f"client = {json.dumps(chance.choice(('/etc/nowhere.pem', [['/etc/nowhere.crt', '/etc/nowhere.key']], [f'{FOLDER}/5002.crt', f'{FOLDER}/5002.key'], [[f'{FOLDER}/5002.crt', f'{FOLDER}/5002.key']], 5)))}"
        )
    if chance.random() < 0.04:
        lines.append(
            chance.choice(
                (
                    "unknown = 5",
                    'dial_timeout = "1s"',
                    "dial_timeout = 1",
                    "header = 5",
                    'header = {x-lab = ["1", "2"]}',
                    'header = {x-lab = "1"}',
                )
            )
        )
    return lines
