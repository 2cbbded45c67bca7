"""All that a finding rests on, full screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.render.layout import harmless, lines
from k8sdoctor.tui.screens.reader import Reader

if TYPE_CHECKING:
    from k8sdoctor.finding import Finding


class EvidenceScreen(Reader):
    """Shows a finding's message and each piece of evidence under its source, whole and as plain text."""

    def __init__(self, finding: Finding, check: str = "") -> None:
        """`check` is the id of the check that found it."""
        name = f"{check}/{finding.reason}" if check else finding.reason
        super().__init__(f"{finding.status}: {name}", note=finding.message)
        text: list[str] = []
        headings: list[int] = []
        for evidence in finding.evidence:
            if text:
                text.append("")
            headings.append(len(text))
            text += [f"==> {harmless(evidence.source)} <==", *lines(evidence.content)]  # as `tail` heads its files
        self.body.show_text("\n".join(text) or "This finding rests on no text.", headings=headings)
