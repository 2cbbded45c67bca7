"""A check's documentation for a person at a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from k8sdoctor.documentation import MENDING, REASONS, Documentation
from k8sdoctor.finding import Status
from k8sdoctor.render.layout import block, columns, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.kubeadm_names import Name
    from k8sdoctor.render.style import Style

# What someone wants who asks about one reason: not the list of all of them.
_OF_A_REASON = ("What it looks at", "Why it matters", "How it is decided", "How to fix", "How to verify", "References")


def explanation(documentation: Documentation, reason: str | None, style: Style) -> str:
    """The whole documentation, or what is worth knowing about one reason."""
    return "".join(f"{line}\n" for line in _lines(documentation, reason, style))


def of_kubeadm(name: Name, judged: Sequence[tuple[Documentation, Sequence[str]]], style: Style) -> str:
    """What kubeadm tests under a name, and the reasons of ours that say the same; the whole of it where it is one."""
    lines = [style.bold(name.name), *block("", f"kubeadm tests here: {name.tests}.", style.width)]
    if name.until:
        lines += block("", f"kubeadm of {name.until} and later no longer does.", style.width)
    if name.instead:
        lines += block("", f"No check of ours is the same: {name.instead}.", style.width)
    if len(judged) == 1 and len(judged[0][1]) == 1:
        documentation, [reason] = judged[0]
        return "".join(f"{line}\n" for line in [*lines, "", *_lines(documentation, reason, style)])
    for documentation, reasons in judged:
        check = documentation.check.id
        lines += ["", style.bold(check), *block("", documentation.check.title, style.width)]
        for reason, text, statuses in documentation.each_reason():
            if reason in reasons:
                lines += block("- ", f"{reason} ({' or '.join(statuses)}): {text}", style.width)
        lines += block("", f"k8sdoctor explain {check} tells all of it.", style.width)
    return "".join(f"{line}\n" for line in lines)


def _lines(documentation: Documentation, reason: str | None, style: Style) -> Iterator[str]:
    check = documentation.check
    yield style.bold(f"{check.id}{f'/{reason}' if reason else ''}")
    if reason is None:
        yield from _prose(documentation.introduction, style)
        sections = tuple(documentation.sections)
    else:
        for name, text, statuses in documentation.each_reason():
            if name == reason:
                start = f"{style.symbol(statuses[-1])}{' or '.join(statuses)}: "
                label, *more = block(start, text or check.title, style.width)
                yield f"{style.coloured(start, statuses[-1])}{label[len(start) :]}"
                yield from more
        sections = tuple(name for name in documentation.sections if name in _OF_A_REASON)
    for name in sections:
        yield ""
        yield style.bold(name.upper())
        if name == REASONS:
            yield from _reasons(documentation, style)
        else:
            told = documentation.mending(reason) if reason and name == MENDING else documentation.sections[name]
            yield from _prose(told, style)


def _reasons(documentation: Documentation, style: Style) -> Iterator[str]:
    for reason, text, statuses in documentation.each_reason():
        symbol = style.symbol(statuses[-1])
        indent = " " * (columns(symbol) + len(Status.UNKNOWN) + 2)
        start = f"{symbol}{' or '.join(statuses):{len(Status.UNKNOWN)}}"
        label = style.coloured(start, statuses[-1])
        if columns(start) + 2 + len(reason) <= style.width:
            yield f"{label}  {reason}"
        else:
            yield from (label, f"{indent}{reason}")
        yield from (f"{indent}{line}" for line in wrap(text, style.width - len(indent)))


def _prose(text: str, style: Style) -> Iterator[str]:
    """Paragraphs and list items refilled to the width; indented and fenced lines as they are, for they may be commands."""
    filling: list[str] = []
    verbatim = False
    for line in text.split("\n"):
        fence = line.startswith("```")
        apart = not line.strip() or line.startswith("    ") or fence or verbatim
        if (apart or re.match(r"- |\d+\. ", line)) and filling:
            yield from _filled(filling, style)
            filling = []
        if fence:
            verbatim = not verbatim
        elif apart:
            yield line.rstrip()
        else:
            filling.append(line)
    if filling:
        yield from _filled(filling, style)


def _filled(paragraph: list[str], style: Style) -> Iterator[str]:
    item = re.match(r"- |\d+\. ", paragraph[0])
    mark = item[0] if item else ""
    text = " ".join(" ".join(paragraph).split()).removeprefix(mark)
    yield from block(mark, text, style.width)
