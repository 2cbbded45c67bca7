"""Writes the man page and the shell completions, from the same parser that answers `--help`.

    python docs/manual.py FOLDER

`make dist` lays them beside wheel and sdist. The page bears the date of SOURCE_DATE_EPOCH (seconds since 1970), which `make` takes
from the last commit, so that the same source gives the same page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from argparse_manpage.manpage import Manpage

from k8sdoctor import __version__
from k8sdoctor.cli import completion
from k8sdoctor.cli.arguments import parser

ROOT = Path(__file__).resolve().parents[1]
COMPLETIONS = {"bash": "k8sdoctor.bash", "fish": "k8sdoctor.fish", "zsh": "_k8sdoctor"}
"""Shell → the name by which it finds a completion."""


def page() -> str:
    """The man page, in troff."""
    top = parser()
    exit_codes, _, rest = (top.epilog or "").partition("exit codes:\n")[2].partition("\n\n")
    top._manpage = [  # type: ignore[attr-defined]  # noqa: SLF001 -- argparse-manpage's documented way to add sections
        {"heading": "exit status", "content": _table(exit_codes)},
        {"heading": "see also", "content": "kubeadm(1), crictl(1), journalctl(1)\n"},
    ]
    top.epilog = (top.epilog or "").partition("exit codes:\n")[0] + rest
    return str(
        Manpage(
            top,
            format="single-commands-section",
            _data={
                "project_name": "k8sdoctor",
                "version": __version__,
                "manual_title": "System administration",
                "manual_section": 8,
                "description": "says why a Kubernetes node is sick, and which commands mend it",
            },
        )
    )


def _table(text: str) -> str:
    """Lines of a code and its meaning, as troff's tagged paragraphs."""
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return "".join(f".TP\n.B {code}\n{meaning}\n" for code, meaning in rows)


def main() -> None:
    """Write all into the folder that is named."""
    words = argparse.ArgumentParser(description="Write the man page and the shell completions.")
    words.add_argument("folder", type=Path)
    folder: Path = words.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "k8sdoctor.8").write_text(page(), "utf-8")
    for shell, name in COMPLETIONS.items():
        (folder / name).write_text(completion.script(shell), "utf-8")
    sys.stdout.writelines(f"{folder / name}\n" for name in ("k8sdoctor.8", *COMPLETIONS.values()))


if __name__ == "__main__":
    main()
