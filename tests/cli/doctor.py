"""Runs the command line as a person does, with checks of the test's own that look at next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

WATCHDOG = 60.0

HEAD = "from k8sdoctor import Evidence, Fix, Link, Safety, check, fail, passed, skip, unknown, warn\n"

BODIES = {
    "fine": 'yield passed("Fine", "All is fine.")',
    "warned": 'yield warn("Warned", "This will not last.")',
    "failed": """yield fail(
        "Failed", "The switch is off.", subject="cni0", evidence=[Evidence("/proc/switch", "0")],
        fix=Fix("Turn it on", ("turn on",), "turn show", Safety.SAFE, ("keep on",)),
    )""",
    "blind": 'yield unknown("NotPermitted", "Permission denied: /proc/switch; run as root to look.")',
    "skipped": 'yield skip("NotHere", "There is no switch here.")',
    "raising": 'raise ValueError("a plug-in\\\'s bug"); yield',
    "silent": "yield from ()",
    "stranger": "yield 42",
    "endless": "import time; time.sleep(3600); yield",
    "printing": 'print("hello from a plug-in"); yield passed("Fine", "All is fine.")',
    "hostile": 'yield fail("Hostile", "It says \\x1b[2J\\x07.", evidence=[Evidence("/f", "\\x1b]0;owned\\x07\\u202e")])',
    "foreign": 'yield warn("Foreign", "Größe → 日本語 …")',
}


HANGS = '''"""A check whose fact waits for a writer that never comes."""
from k8sdoctor import check, passed

class Pipe:
    @classmethod
    def observe(cls, host):
        open({path!r}).read()
        return cls()

@check("hangs", title="The pipe has a writer", area="test")
def hangs(pipe: Pipe):
    yield passed("Written", "It has.")
'''


def checks(folder: Path, *ids: str) -> str:
    """A folder with some of the checks above."""
    folder.mkdir(exist_ok=True)
    for id_ in ids:
        text = f'"""{id_}."""\n{HEAD}\n@check("{id_}", title="It is {id_}", area="test")\ndef judge():\n    {BODIES[id_]}\n'
        (folder / f"{id_}.py").write_text(text, "utf-8")
    return str(folder)


def hanging(folder: Path) -> str:
    """A folder with the check `hangs`, which waits for a pipe beside the folder."""
    folder.mkdir()
    pipe = folder.with_name("pipe")
    os.mkfifo(pipe)
    (folder / "hangs.py").write_text(HANGS.format(path=str(pipe)))
    return str(folder)


def command(*words: str) -> list[str]:
    """The words that run the doctor."""
    return [sys.executable, "-m", "k8sdoctor", *words]


def environment(**more: str) -> dict[str, str]:
    """A plain environment: no terminal's settings and no locale of the one who runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ}
    return kept | {"LANG": "C.UTF-8"} | more


def doctor(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the doctor to its end."""
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
    )


def named(folder: Path, *ids: str) -> list[str]:
    """The arguments that run exactly some of the checks above."""
    return ["check", "--checks-dir", checks(folder / "checks", *ids), *ids]


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """What was printed, as JSON."""
    return json.loads(done.stdout)
