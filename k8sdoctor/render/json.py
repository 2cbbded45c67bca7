"""A report as JSON: the whole of it, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report


def render(report: Report, _style: Style) -> str:
    """The report's document. Plain ASCII, so that no locale and no odd file name can break it."""
    return json.dumps(report.document(), indent=2) + "\n"
