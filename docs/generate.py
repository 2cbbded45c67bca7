"""Writes what the documentation says twice: docs/checks/ from the checks' docstrings, the README's checks and example report, and its
pictures of the app from those that tests hold the screen against.

`make docs` runs it. A test holds the committed files against what it would write.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k8sdoctor import registry
from k8sdoctor.documentation import Documentation
from k8sdoctor.kubeadm_names import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor import Check
    from k8sdoctor.kubeadm_names import Name

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "checks"
KUBEADM = ROOT / "docs" / "kubeadm.md"
README = ROOT / "README.md"
PICTURES = ROOT / "docs" / "pictures"
SEEN = ROOT / "tests" / "tui" / "__snapshots__" / "test_pictures"
SHOWN = {"sick": "test_a_sick_node", "fixed": "test_watching_after_a_fix", "running": "test_a_run_that_is_on"}
CHECKS = re.compile(r"(?<=<!-- checks -->\n).*?(?=<!-- /checks -->)", re.DOTALL)
EXAMPLE = re.compile(r"(?<=<!-- demo -->\n```text\n).*?(?=```\n<!-- /demo -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    entries = [entry for entry in registry.load().entries if entry.source == "built-in"]
    written = {
        FOLDER / f"{entry.check.id}.md": (
            f"<!-- `make docs` writes this file from checks/{entry.check.id.replace('-', '_')}.py. -->\n\n"
            f"# {entry.check.id}\n\n{entry.check.documentation}\n"
        )
        for entry in entries
    }
    checks = [entry.check for entry in entries]
    written[FOLDER / "README.md"] = (
        "<!-- `make docs` writes this file from checks/. -->\n\n# The checks\n\n"
        "`k8sdoctor explain CHECK` prints a check's page on the node, `k8sdoctor explain CHECK/Reason` what one reason means.\n\n"
        f"{table(checks, '')}\n[What kubeadm's preflight calls it](../kubeadm.md)\n\n## Every reason\n\n"
        "Any check may also say `NotFound`, `NotPermitted`, `Unreadable`, `NotRecorded`, `DeadlineExceeded`, `CheckBroke` (unknown), `Offline` and\n"
        "`SkippedByUser` (skip): it could not look, or was told not to.\n\n"
        f"{reasons(checks)}"
    )
    written[KUBEADM] = kubeadm()
    for name, test in SHOWN.items():
        written[PICTURES / f"{name}.svg"] = (SEEN / f"{test}.svg").read_text("utf-8")
    readme = CHECKS.sub(lambda _: table(checks, "docs/checks/"), README.read_text("utf-8"))
    written[README] = EXAMPLE.sub(lambda _: demo(), readme)
    return written


def table(checks: Sequence[Check[Any]], folder: str) -> str:
    """All checks by area, with a link to the page of each in `folder`."""
    rows = "".join(
        f"| {check.area} | [{check.id}]({folder}{check.id}.md) | {check.title} |\n"
        for check in sorted(checks, key=lambda check: (check.area.lower(), check.id))
    )
    return f"| area | check | what is right when it passes |\n| --- | --- | --- |\n{rows}"


def kubeadm() -> str:
    """The names that kubeadm gives its preflight checks, with what judges the same here."""
    rows = "".join(f"| `{each.name}` | {each.tests}{_until(each)} | {_judged(each)} |\n" for each in NAMES)
    return (
        "<!-- `make docs` writes this file from k8sdoctor/kubeadm_names.py. -->\n\n# kubeadm's preflight, by its names\n\n"
        "`kubeadm init`, `join` and `upgrade` name each of their checks, and `--ignore-preflight-errors` takes these names.\n"
        "So do `k8sdoctor explain NumCPU` and `k8sdoctor check --skip NumCPU`, in upper or lower case.\n\n"
        "`--skip` with such a name leaves out the reasons beside it and nothing else of the check: `--skip Port-6443` still tells of port 10250.\n"
        "A finding about several files or programs is left out when each of them is named. Where a check of ours has the same id\n"
        "(`swap`, `hostname`), the id in lower case means the whole check.\n\n"
        f"| kubeadm | what it tests | judged here by |\n| --- | --- | --- |\n{rows}"
    )


def _until(name: Name) -> str:
    return f" (until {name.until})" if name.until else ""


def _judged(name: Name) -> str:
    told = [
        f"[{check}](checks/{check}.md){' ' + ', '.join(f'`{each}`' for each in reasons) if reasons else ''}"
        for check, reasons in name.judged
    ]
    return "; ".join(told) or f"none: {name.instead}"


def reasons(checks: Iterable[Check[Any]]) -> str:
    """All reasons of all checks, as their docstrings tell them; one that has two statuses is one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for check in checks:
        for each in Documentation.of(check).reasons:
            rows.setdefault((check.id, each.reason, each.text), []).append(str(each.status))
    lines = "".join(
        f"| [{check}]({check}.md) | `{reason}` | {' or '.join(statuses)} | {text.replace('|', '&#124;')} |\n"
        for (check, reason, text), statuses in rows.items()
    )
    return f"| check | reason | status | when |\n| --- | --- | --- | --- |\n{lines}"


def demo() -> str:
    """The demo's report, as it is without a terminal, up to the evidence."""
    done = subprocess.run(
        [sys.executable, "-m", "k8sdoctor", "demo"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode != 1:  # the demo is a sick node
        raise RuntimeError(f"the demo ended with {done.returncode}: {done.stderr}")
    head, found, _ = done.stdout.partition("\nWHAT WAS SEEN\n")
    if not found:
        raise RuntimeError("the demo's report has no evidence")
    return head


def main(arguments: list[str]) -> int:
    """Write what differs, and remove pages of checks that are gone; with `--check` only say so, and end with 1."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    gone = [path for path in sorted(FOLDER.glob("*.md")) if path not in wanted]
    if arguments == ["--check"]:
        for path in stale + gone:
            print(f"{path.relative_to(ROOT)} is out of date: run `make docs`")
        return 1 if stale or gone else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    for path in gone:
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
