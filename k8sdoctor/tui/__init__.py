"""The terminal app: watch a node being examined, understand it, leave with a report. The engine knows nothing of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from k8sdoctor.finding import Status
from k8sdoctor.render.layout import harmless

if TYPE_CHECKING:
    from k8sdoctor.report import Report
    from k8sdoctor.tui.session import Case
    from k8sdoctor.tui.widgets.palette import Symbols

AT_FAULT = 3
_LIGHT = ("7", "15")  # what terminals that tell by COLORFGBG call white


def fits() -> bool:
    """Whether there is a terminal that an app can be shown on: its keys come from stdin, and Textual paints on stderr."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return os.environ.get("TERM", "dumb") != "dumb" and all(each is not None and each.isatty() for each in streams)


def open_app(case: Case, *, symbols: Symbols = "unicode", colour: bool = True) -> int:
    """Show the app until it is left, and return the exit code: that of the last report, 130 if there was none."""
    from k8sdoctor.tui.app import DoctorApp

    if not colour:
        os.environ["NO_COLOR"] = "1"  # Textual's own switch
    app = DoctorApp(case, symbols=symbols, light=os.environ.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT)
    app.run()
    if app.return_code:  # it fell over; Textual has shown how
        return AT_FAULT
    with suppress(OSError, ValueError):  # the terminal is gone
        print(last_words(app.report, app.trouble), flush=True)  # noqa: T201 -- what stays on the screen
    return app.exit_code


def last_words(report: Report | None, trouble: str = "") -> str:
    """One line that says how the node was."""
    if report is None:
        return f"k8sdoctor: {harmless(trouble) or 'left before the node was examined'}"
    counted = [(report.count(status), str(status)) for status in reversed(Status)] + [(len(report.broken), "broken")]
    counts = ", ".join(f"{number} {word}" for number, word in counted if number)
    told = f"k8sdoctor: node {harmless(report.node)}: {report.status}"
    if counts:
        told += f" ({counts})"
    if report.diagnoses:
        first, *more = report.diagnoses
        told += f": {harmless(first.title)}"
        if more:
            told += f" And {len(more)} more {'diagnoses' if len(more) > 1 else 'diagnosis'}."
    return told
