"""A report, or a comparison, as YAML: the same document as in JSON, with long texts easier to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from k8sdoctor.render.document import Documented
    from k8sdoctor.render.style import Style


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and never an alias."""

    def ignore_aliases(self, _data: object) -> bool:
        """Aliases save bytes and cost the reader."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def render(report: Documented, _style: Style) -> str:
    """Its document."""
    return yaml.dump(report.document(), Dumper=_Dumper, sort_keys=False, width=100)
