"""The right side: what was seen, where, why it matters, and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from k8sdoctor.documentation import Documentation
from k8sdoctor.render.layout import harmless, lines
from k8sdoctor.render.text import SAFETY
from k8sdoctor.tui.widgets.palette import COLOURS, Symbols, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from k8sdoctor.check import Check
    from k8sdoctor.diagnosis import Diagnosis, Reference
    from k8sdoctor.finding import Evidence, Finding, Fix
    from k8sdoctor.report import Broken

EVIDENCE_LINES = 10
"""Lines of one piece of evidence; the evidence's own screen shows all."""

WIDEST = 1000
"""Characters of one such line."""

HINT = "c copies it, t shows it unwrapped"
"""Above the commands of a fix: here a long one is wrapped, and what the mouse selects of it must not be pasted."""

Part = str | tuple[str, str]


class Details(VerticalScroll):
    """Shows a finding, or a diagnosis. It is told what; it knows nothing of the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "End", show=False),
    ]

    def __init__(self, *, id: str, symbols: Symbols) -> None:  # noqa: A002 -- Textual's own word
        """Empty."""
        super().__init__(id=id)
        self._symbols = symbols
        self._shown: object = None

    def compose(self) -> ComposeResult:
        """One text, since a widget for each part would make moving slow."""
        yield Static(id="text", markup=False)

    def show(self, parts: list[Part], about: object) -> None:
        """Show a text. When it is about something else than before, it starts at the top."""
        self.query_one("#text", Static).update(Content.assemble(*parts))
        if about != self._shown:
            self._shown = about
            self.scroll_home(animate=False)

    def show_finding(  # noqa: PLR0913 -- the parts of what is known of a finding
        self,
        check: Check[Any] | None,
        finding: Finding,
        *,
        about: object,
        cause: Reference | None,
        explains: tuple[Reference, ...],
        fixed: tuple[str, ...],
    ) -> None:
        """Show one finding of a check."""
        parts: list[Part] = [*self._head(finding, check), f"{harmless(finding.message)}\n"]
        if cause is not None:
            parts += ["\n", ("Caused by: ", "bold"), f"{_name(cause)}; mend that first.\n"]
        if fixed:
            parts += ["\n", ("Fixed since the last run", "bold $text-success"), "\n"]
            parts += [f"  {harmless(each)}\n" for each in fixed]
        if finding.fix is not None:
            parts += _fix(finding.fix)
        if explains:
            parts += ["\n", ("Explains", "bold"), "\n", *(f"  {_name(each)}\n" for each in explains)]
        if finding.evidence:
            parts += ["\n", ("What was seen, and where", "bold"), "\n"]
            parts += [part for evidence in finding.evidence for part in _evidence(evidence)]
        if check is not None:
            parts += _why(check)
        self.show(parts, about)

    def show_diagnosis(self, diagnosis: Diagnosis, check: Check[Any] | None) -> None:
        """Show a cause with all that it explains."""
        parts: list[Part] = [
            (f"{symbol(diagnosis.status, self._symbols)}{diagnosis.status}", COLOURS[diagnosis.status]),
            (f"  diagnosis, {diagnosis.certainty}", "bold"),
            f"\n{harmless(diagnosis.title)}\n\n",
            ("Why: ", "bold"),
            f"{harmless(diagnosis.why)}\n\n",
            ("Found by: ", "bold"),
            f"{_name(diagnosis.cause)}\n",
        ]
        if diagnosis.explains:
            parts += ["\n", ("Explains", "bold"), "\n", *(f"  {_name(each)}\n" for each in diagnosis.explains)]
        if diagnosis.fix is not None:
            parts += _fix(diagnosis.fix)
        if check is not None:
            parts += _why(check)
        self.show(parts, diagnosis.cause)

    def show_broken(self, broken: Broken) -> None:
        """Show what is at fault of ours or of a plug-in."""
        parts: list[Part] = [
            (f"{harmless(broken.what)}", "bold"),
            " is at fault, so what it was to tell is not known.\n",
            f"{harmless(broken.error)}\n\n",
            *(f"{line}\n" for line in lines(broken.traceback)),
        ]
        self.show(parts, broken)

    def show_waiting(self, check: str, text: str) -> None:
        """Say what is waited for."""
        self.show([(harmless(check), "bold"), f"\n{harmless(text)}\n"], check)

    def _head(self, finding: Finding, check: Check[Any] | None) -> Iterator[Part]:
        yield (f"{symbol(finding.status, self._symbols)}{finding.status}", COLOURS[finding.status])
        name = f"{check.id}/{finding.reason}" if check is not None else finding.reason
        yield (f"  {harmless(name)}", "bold")
        yield f" ({harmless(finding.subject)})\n" if finding.subject else "\n"


def _name(reference: Reference) -> str:
    subject = f" ({reference.subject})" if reference.subject else ""
    return harmless(f"{reference.check}/{reference.reason}{subject}")


def _fix(fix: Fix) -> Iterator[Part]:
    yield "\n"
    yield ("Fix", "bold")
    yield f"  {harmless(fix.title)} ({SAFETY[fix.safety]})\n"
    yield (f"  {HINT}\n", "$foreground-muted")
    for label, commands in (
        ("Run", fix.commands),
        ("Make it last", fix.persist),
        ("Verify", (fix.verify,) if fix.verify else ()),
    ):
        if commands:
            yield (f"  {label}:\n", "$foreground-muted")
            for command in commands:
                yield (f"{harmless(command)}\n", "$text-primary")


def _evidence(evidence: Evidence) -> Iterator[Part]:
    yield (f"  {harmless(evidence.source)}\n", "$foreground-muted")
    content = lines(evidence.content)
    for line in content[:EVIDENCE_LINES]:
        yield f"    {line[:WIDEST]}{'...' if len(line) > WIDEST else ''}\n"
    if len(content) > EVIDENCE_LINES:
        yield (f"    {len(content) - EVIDENCE_LINES} more lines: press e\n", "$foreground-muted")


def _why(check: Check[Any]) -> Iterator[Part]:
    why = Documentation.of(check).sections.get("Why it matters")
    if why:
        yield "\n"
        yield ("Why it matters", "bold")
        yield f"\n{harmless(' '.join(why.split()))}\n"
