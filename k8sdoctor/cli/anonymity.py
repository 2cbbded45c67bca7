"""A run judged with stand-ins for names and addresses, and what they changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor.anonymize import StandIns
from k8sdoctor.host.recording import UNTOLD, Recorder, Recording
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.host import Host
    from k8sdoctor.report import Report

_HOMES = regex(r"(/home/)[^/\s\"']+")


@dataclass(frozen=True)
class Anonymous:
    """A recording with stand-ins, what the checks make of it, and sentences for whoever asked for it."""

    recording: Recording
    report: Report
    remarks: tuple[str, ...]
    dropped: int = 0


def anonymous(host: Host, examine: Callable[[Host], Report]) -> Anonymous:
    """Examine a host, put stand-ins into what it answered, and examine that. A run that was interrupted is left as it is."""
    recorder = Recorder(host)
    before = examine(recorder)
    entries = list(host.entries()) if isinstance(host, Recording) else recorder.entries()
    stand_ins = StandIns()
    for entry in entries:
        stand_ins.see(entry)
    manifest = host.manifest if isinstance(host, Recording) else UNTOLD
    made = Recording.of([stand_ins.entry(entry) for entry in entries], {**manifest, "anonymized": True})
    if before.interrupted:
        return Anonymous(made, before, (), recorder.dropped)
    after = _without_names(examine(made), stand_ins)
    return Anonymous(made, after, (*_changed(before, after), *_kept(stand_ins)), recorder.dropped)


def _without_names(report: Report, stand_ins: StandIns) -> Report:
    """Tracebacks name where the program lies, which may be somebody's home."""

    def safe(text: str) -> str:
        return stand_ins.text(_HOMES.sub(r"\1user", text))

    broken = tuple(
        replace(each, what=safe(each.what), error=safe(each.error), traceback=safe(each.traceback))
        for each in report.broken
    )
    return replace(report, broken=broken)


def _changed(before: Report, after: Report) -> Iterator[str]:
    """A sentence where a check comes to another conclusion than with the names."""
    was, is_ = _conclusions(before), _conclusions(after)
    checks = sorted(check for check in was | is_ if was.get(check) != is_.get(check))
    if not checks:
        return
    gone, new = (_words(found) for found in (was[checks[0]] - is_[checks[0]], is_[checks[0]] - was[checks[0]]))
    also = f", and so do {', '.join(checks[1:])}" if len(checks) > 1 else ""
    yield (
        f"With stand-ins {checks[0]} comes to another conclusion ({new or 'nothing'} instead of {gone or 'nothing'}){also}: "
        "say so to whoever reads it, or leave out --anonymize."
    )


def _conclusions(report: Report) -> dict[str, Counter[str]]:
    return {
        result.check: Counter(f"{each.status}/{each.reason}" for each in result.findings) for result in report.results
    }


def _words(found: Counter[str]) -> str:
    return ", ".join(sorted(found))


def _kept(stand_ins: StandIns) -> Iterator[str]:
    if stand_ins.kept:
        names = ", ".join(f'"{name}"' for name in stand_ins.kept)
        yield f"Left as it is, for it is a word of the field: the name {names}."
