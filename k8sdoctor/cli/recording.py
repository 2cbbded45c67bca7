"""`k8sdoctor record`: a run whose every question and answer goes into a file."""

from __future__ import annotations

import contextlib
import shlex
import signal
from typing import TYPE_CHECKING, BinaryIO

from k8sdoctor import __version__, render
from k8sdoctor.cli.anonymity import anonymous
from k8sdoctor.finding import Status
from k8sdoctor.host.bundle_writer import BundleWriter, Origin
from k8sdoctor.host.recording import Recorder
from k8sdoctor.records import dataclass
from k8sdoctor.render.files import growing
from k8sdoctor.render.layout import harmless, wrap

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from k8sdoctor.engine import Request
    from k8sdoctor.host import Host
    from k8sdoctor.report import Report


@dataclass(frozen=True)
class Kept:
    """A bundle that was written."""

    path: Path
    report: Report
    writer: BundleWriter
    dropped: int
    remarks: tuple[str, ...] = ()

    def summary(self, width: int) -> str:
        """What was written, and what to do with it; no line but the commands is wider than `width`."""
        counts = self.writer.counts
        report, path = self.report, self.path
        found = ", ".join(f"{number} {status}" for status in reversed(Status) if (number := report.count(status)))
        size = path.stat().st_size
        held = f"{_number(counts.files, 'file')} and {_number(counts.answers, 'other answer')} of node {harmless(report.node)}"
        lines = [
            f"{harmless(str(path))}: {_size(size)}: {held}",
            f"It was judged: {report.status} ({found}); report.txt in it says why.",
        ]
        lines += [
            f"Too long to keep whole: {each['member']} ({_size(int(str(each['bytes'])))}); both ends are in it."
            for each in self.writer.cut
        ]
        lines += self.remarks
        if report.euid:
            lines.append(
                "It was recorded without root's rights, so much in it is unknown; recorded by root it holds all."
            )
        if self.dropped:
            lines.append(f"{self.dropped} questions were not kept, since there were too many.")
        told = [piece for line in lines for piece in wrap(line, width)]
        # What can be pasted stands on a line of its own, as in a report.
        told += ["", "Look through it:", f"tar tzf {harmless(shlex.quote(str(path)))}"]
        told += ["Judge it anywhere:", f"k8sdoctor check --bundle {harmless(shlex.quote(path.name))}"]
        return "\n".join(told) + "\n"


def record(host: Host, examine: Callable[[Host], Report], arguments: argparse.Namespace, request: Request) -> Kept:
    """Examine a host, and write what it answered; with stand-ins, where they were asked for.

    Raises KeyboardInterrupt for a run that was interrupted, and OSError; no file is left then.
    """
    remarks: tuple[str, ...] = ()
    with growing(arguments.target, replace=arguments.force) as file:
        if arguments.anonymize:
            found = anonymous(host, examine)
            report, remarks, dropped = _whole(found.report), found.remarks, found.dropped
            writer = _writer(file, found.recording, arguments, request)
            for entry in found.recording.entries():
                writer.add(entry)
        else:
            recorder = Recorder(host)
            writer = _writer(file, recorder, arguments, request)
            recorder.pass_on(writer.add)
            report, dropped = _whole(examine(recorder)), recorder.dropped
        for name, format_ in (("report.json", "json"), ("report.txt", "text")):
            writer.add_text(name, render.report(report, format_))
        writer.finish(profile=report.profile, stage=report.stage, dropped=dropped)
    return Kept(arguments.target, report, writer, dropped, remarks)


def _whole(report: Report) -> Report:
    if report.interrupted:
        raise KeyboardInterrupt
    return report


def _writer(file: BinaryIO, host: Host, arguments: argparse.Namespace, request: Request) -> BundleWriter:
    origin = Origin(
        tool=__version__,
        identity=host.identity(),
        given=host.given(),
        now=host.now(),
        request={"profile": str(request.profile) if request.profile else None, "offline": arguments.offline},
        deadline=request.deadline,
        anonymized=arguments.anonymize,
    )
    return BundleWriter(file, origin)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and a lost terminal end what runs as Ctrl-C does. What nohup has us ignore is ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heard = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB" if count >= 1024 * 1024 else f"{max(1, round(count / 1024))} KiB"
