"""Completion scripts, made from the command line's own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import kubeadm_names, registry
from k8sdoctor.check import Profile
from k8sdoctor.cli.arguments import parser
from k8sdoctor.cli.values import WrongUsageError
from k8sdoctor.render import FORMATS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_FILES = ("FILE", "FILE|TEXT", "A", "B")
_FOLDERS = ("DIR",)


def script(shell: str) -> str:
    """The script for a shell. Raises WrongUsageError for a shell that has none."""
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        raise WrongUsageError(f"there is no completion for {shell!r}; there is for {', '.join(shtab.SUPPORTED_SHELLS)}")
    top = parser()
    ids = [entry.check.id for entry in registry.load(plug_ins=False).entries]
    theirs = [each.name for each in kubeadm_names.NAMES if not each.many]
    choices: dict[str, list[str]] = {
        "checks": ids,
        "skip": [*ids, *theirs],
        "subject": [*ids, *theirs],
        "profile": list(Profile),
        "output": list(FORMATS),
        "shell": list(shtab.SUPPORTED_SHELLS),
    }
    for action in _actions(top):
        if action.choices is None:
            action.choices = choices.get(action.dest)
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's way of telling
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return f"{shtab.complete(top, shell)}\n"


def _actions(top: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument of every command."""
    for action in top._actions:  # noqa: SLF001 -- argparse has no public way to list them, and shtab reads the same
        commands = getattr(action, "choices", None)
        if isinstance(commands, dict):
            for command in commands.values():
                yield from command._actions  # noqa: SLF001
