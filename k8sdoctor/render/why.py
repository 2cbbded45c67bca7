"""What is known of a log, for a person and for a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from k8sdoctor.known_errors import links
from k8sdoctor.render.layout import block, columns, cut, harmless, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from k8sdoctor.documentation import Documentation
    from k8sdoctor.render.style import Style
    from k8sdoctor.troubles import Sighting, Trouble, Troubles

_INDENT = "   "
_LABEL = 12  # columns of a label beside its text
_QUOTED_LINES = 3
_WORD = 20
_REASONS = 4
"""Reasons of checks that are told for one trouble."""


def document(seen: Troubles, documented: Mapping[str, Documentation]) -> str:
    """All of it as JSON, of the shape that `schema` describes; every key is always there."""
    troubles = seen.told()
    return (
        json.dumps(
            {
                "apiVersion": "k8sdoctor/v1",
                "kind": "KnownErrors",
                "lines": seen.lines,
                "known": seen.known,
                "troubles": [_trouble(each, documented) for each in troubles],
            },
            indent=2,
        )
        + "\n"
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of it; `k8sdoctor schema why` prints it."""
    from importlib import resources

    found: dict[str, Any] = json.loads((resources.files("k8sdoctor") / "known_errors.schema.json").read_text("utf-8"))
    return found


def _trouble(trouble: Trouble, documented: Mapping[str, Documentation]) -> dict[str, Any]:
    error = trouble.error
    return {
        "means": error.means,
        "causes": error.causes,
        "says": ("more follows", "symptom", "cause")[trouble.rank],
        "saidBy": error.said_by,
        "count": trouble.count,
        "first": _place(trouble.first),
        "last": _place(trouble.last),
        "lookAt": [
            {"check": check, "reason": reason or None, "means": _reason(documented, check, reason)}
            for check, _, reason in (each.partition("/") for each in trouble.look_at)
        ],
        "mend": [
            {"check": check, "text": _mend(documented[check], reasons)}
            for check, reasons in _judges(trouble)
            if check in documented
        ],
        "fix": {"text": error.mend, "commands": list(error.commands)} if error.mend else None,
        "sources": [{"name": name, "url": url} for name, url in links(error.source)],
    }


def _place(sighting: Sighting) -> dict[str, Any]:
    return {
        "source": sighting.source,
        "line": sighting.line,
        "time": sighting.time or None,
        "text": sighting.text,
    }


def text(seen: Troubles, documented: Mapping[str, Documentation], style: Style) -> str:
    """What to read first, each line at most `style.width` columns but for commands and addresses."""
    return "".join(f"{line}\n" for line in _lines(seen, documented, style))


def _lines(seen: Troubles, documented: Mapping[str, Documentation], style: Style) -> Iterator[str]:
    troubles = seen.told()
    telling = [each for each in troubles if each.rank] or troubles
    causes = [each for each in telling if each.rank > 1] or telling
    rest = [each for each in troubles if each not in causes]
    yield from wrap(_summary(seen, troubles), style.width)
    if not troubles:
        yield from wrap(
            "Give the lines around the error, too. On the node itself, `k8sdoctor check` looks for the cause without a log.",
            style.width,
        )
        return
    for number, trouble in enumerate(causes, 1):
        yield ""
        yield from _block(number, trouble, documented, style)
    if rest:
        yield ""
        yield style.bold("ALSO SEEN (as a rule, what follows from a cause)")
        for trouble in rest:
            yield from _short(trouble, style)
    checks = list(dict.fromkeys(check for trouble in causes for check in trouble.checks))
    if checks:
        yield ""
        yield style.bold("ON THE NODE, this looks for the cause and says how to mend it:")
        yield f"k8sdoctor check {' '.join(checks)}"


def _summary(seen: Troubles, troubles: Sequence[Trouble]) -> str:
    of = f"{seen.lines:,} line{'' if seen.lines == 1 else 's'}"
    if not troubles:
        return f"Nothing known in {of}."
    return f"{len(troubles)} known error{'' if len(troubles) == 1 else 's'} in {seen.known:,} of {of}, the most telling first."


def _block(number: int, trouble: Trouble, documented: Mapping[str, Documentation], style: Style) -> Iterator[str]:
    for line in block(f"{number}. ", _sentence(trouble.error.means), style.width):
        yield style.bold(line)
    yield from (f"{_INDENT}{style.dim(line)}" for line in _excerpt(trouble.first, style.width - len(_INDENT)))
    yield from _labelled("Seen:", _seen(trouble), style)
    yield from _labelled("Causes:", _sentence(trouble.error.causes), style)
    for position, (check, reasons) in enumerate(_judges(trouble)):
        told = [f"{reason} ({_reason(documented, check, reason)})" for reason in reasons[:_REASONS]]
        named = f"{check}: {'; '.join(told)}" if told else f"{check}: {_title(documented, check)}"
        yield from _labelled("" if position else "Judged by:", named, style)
    if trouble.error.mend:
        yield from _labelled("To mend:", _sentence(trouble.error.mend), style)
        yield from trouble.error.commands
    for check, reasons in [] if trouble.error.mend else _judges(trouble)[:1]:
        if check in documented:
            yield from _labelled("To mend:", _mend(documented[check], reasons), style)
    for position, (name, url) in enumerate(links(trouble.error.source)):
        yield f"{_INDENT}{'' if position else 'Known from:':{_LABEL}}{url or name}"


def _short(trouble: Trouble, style: Style) -> Iterator[str]:
    words = cut(harmless(" ".join(trouble.first.words.split())), style.width - 2)
    checks = f"; k8sdoctor check {' '.join(trouble.checks)}" if trouble.checks else ""
    yield from block("- ", words, style.width)
    yield from block("  ", f"{trouble.error.means} ({_seen(trouble)}{checks})", style.width)


def _labelled(label: str, told: str, style: Style) -> Iterator[str]:
    yield from block(f"{label:{_LABEL}}", told, style.width, _INDENT)


def _seen(trouble: Trouble) -> str:
    if trouble.count == 1:
        return f"once, {_where(trouble.first)}"
    return f"{trouble.count:,} times, {_where(trouble.first)} to {_where(trouble.last)}"


def _where(sighting: Sighting) -> str:
    time = f" ({sighting.time})" if sighting.time else ""
    source = f" of {sighting.source}" if sighting.source else ""
    return f"line {sighting.line:,}{source}{time}"


def _judges(trouble: Trouble) -> list[tuple[str, list[str]]]:
    """Each check with its reasons, as the entry orders them."""
    judges: dict[str, list[str]] = {}
    for check, _, reason in (each.partition("/") for each in trouble.look_at):
        judges.setdefault(check, []).extend([reason] if reason else [])
    return list(judges.items())


def _reason(documented: Mapping[str, Documentation], check: str, reason: str) -> str:
    """What a reason of a check says; the check's title without one."""
    if check in documented and reason:
        found = next((each.text for each in documented[check].reasons if each.reason == reason), "")
        return " ".join(found.replace("`", "").split("; ")[0].split())
    return _title(documented, check)


def _title(documented: Mapping[str, Documentation], check: str) -> str:
    return documented[check].check.title if check in documented else ""


def _mend(documentation: Documentation, reasons: Sequence[str]) -> str:
    """The first paragraph on mending the first of the reasons; `k8sdoctor explain` has the rest, and `k8sdoctor check` the commands for this node."""
    paragraph = documentation.mending(*reasons[:1]).split("\n\n")[0]
    return " ".join(paragraph.split())


_NAMES = frozenset(
    {"br_netfilter", "containerd", "etcd", "firewalld", "flannel", "iptables", "kubeadm", "kubectl", "runc", "systemd"}
)


def _sentence(told: str) -> str:
    """With a capital letter, unless it begins with a name that has none."""
    first = told.partition(" ")[0].partition("'")[0]
    named = first in _NAMES or not first.isalpha()
    return f"{told[:1] if named else told[:1].upper()}{told[1:].rstrip('.')}."


def _excerpt(sighting: Sighting, width: int) -> list[str]:
    """As much of the line as a few lines of the screen hold, with the words in it by which it is known."""
    line = " ".join(harmless(sighting.text).split())
    words = " ".join(harmless(sighting.words).split())
    room = width * _QUOTED_LINES - 12  # what breaking at spaces may lose
    if columns(line) <= room:
        return wrap(line, width)
    if columns(words) >= room:
        return wrap(f"{words[: room // 2]} ... {words[-room // 3 :]}", width)
    start = max(line.find(words), 0)
    before = max(start - (room - len(words)) * 2 // 3, 0)
    if before:
        space = line.find(" ", before, before + _WORD)  # better not in the midst of a word
        before = space + 1 if space > 0 else before
    return wrap(cut(f"{'... ' if before else ''}{line[before:]}", room), width)
