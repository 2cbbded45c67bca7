"""Writing a report, or a comparison of two, for a person or a program."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from k8sdoctor.render.style import Style

if TYPE_CHECKING:
    from k8sdoctor.comparison import Comparison
    from k8sdoctor.report import Report

FORMATS = ("text", "json", "yaml", "markdown", "junit", "html")
"""Each is written by the module of that name here, by its `render(report, style)`."""

COMPARISON_FORMATS = {"text": "comparison_text", "json": "json", "yaml": "yaml", "markdown": "comparison_markdown"}
"""The formats of a comparison, and the module that writes each."""


def report(report: Report, format: str, style: Style | None = None) -> str:  # noqa: A002 -- as the option is called
    """A report in one of the FORMATS. The style is for text alone: the others look the same everywhere."""
    module = import_module(f"k8sdoctor.render.{format}")
    return cast("str", module.render(report, style or Style()))


def comparison(
    comparison: Comparison,
    format: str,  # noqa: A002 -- as the option is called
    style: Style | None = None,
    *,
    whole: bool = False,
) -> str:
    """A comparison in one of the COMPARISON_FORMATS. `whole` shows people every difference; JSON and YAML always hold all."""
    module = import_module(f"k8sdoctor.render.{COMPARISON_FORMATS[format]}")
    for_people = {"whole": whole} if format in ("text", "markdown") else {}
    return cast("str", module.render(comparison, style or Style(), **for_people))
