"""A report, or a comparison, as JSON: the whole of it, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k8sdoctor.render.document import Documented
    from k8sdoctor.render.style import Style


def render(report: Documented, _style: Style) -> str:
    """Its document. Plain ASCII, so that no locale and no odd file name can break it."""
    return json.dumps(report.document(), indent=2) + "\n"
