"""The commands of the documents run on a node, exactly as they are written."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.house.examples import commands, write_plug_in

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.source]


# What a command of the README starts from, by a word that it holds.
BEFORE = {
    "sudo ": "mkdir -p bin; printf '#!/bin/sh\\nexec \"$@\"\\n' > bin/sudo; chmod +x bin/sudo",
    "before.json after.json": "k8sdoctor demo -o json > before.json || true; cp before.json after.json",
    "--bundle node.tar.gz": "k8sdoctor record -o node.tar.gz",
    "tar xzOf node.tar.gz": "k8sdoctor record -o node.tar.gz",
}


def ours(page: str) -> list[str]:
    return [command for command in commands(page) if not command.startswith("make ")]


@pytest.mark.parametrize("command", ours("README.md"))
def test_a_command_of_the_readme_ends_as_documented(node: LabNode, command: str) -> None:
    path = f"PATH=/run/bin:{shlex.quote(str(Path(sys.executable).parent))}:$PATH; cd /run"
    for word, text in BEFORE.items():
        if word in command:
            node.shell(f"{path}\n{text}")

    done = node.shell(f"{path}; {command}", check=False)

    assert done.returncode in (0, 1, 3), done.stderr
    assert "k8sdoctor:" not in done.stderr


@pytest.mark.parametrize("command", ours("CONTRIBUTING.md"))
def test_a_command_of_contributing_succeeds(node: LabNode, tmp_path: Path, command: str) -> None:
    write_plug_in(tmp_path)

    done = node.shell(
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; cd {tmp_path}; {command}", check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
