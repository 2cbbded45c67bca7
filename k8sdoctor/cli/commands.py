"""What each command does."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from k8sdoctor import engine, kubeadm_names, registry, render, tui
from k8sdoctor.check import Profile
from k8sdoctor.cli import terminal
from k8sdoctor.cli.values import SavedReport, WrongUsageError, kubeconfig
from k8sdoctor.host import Host, HostError
from k8sdoctor.host.answers import Given
from k8sdoctor.records import dataclass
from k8sdoctor.render.files import write_whole

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from k8sdoctor.documentation import Documentation
    from k8sdoctor.host.recording import Recording
    from k8sdoctor.kubeadm_names import Omission
    from k8sdoctor.render.style import Style
    from k8sdoctor.report import Report

COULD_NOT_WRITE = 3
INTERRUPTED = 130

_PEOPLE_READ = ("text", "markdown")


def execute(arguments: argparse.Namespace) -> int:
    """Run a command, and return the exit code."""
    return _COMMANDS[arguments.command](arguments)


def check(arguments: argparse.Namespace) -> int:
    """Examine this machine, or a recording."""
    skipped, omitted = _left_out([name for names in arguments.skip for name in names])
    subject = _recorded(arguments) if arguments.bundle else _this_machine(arguments)
    ids = [*arguments.checks, *skipped]

    def load() -> registry.Registry:
        return _load([*ids, *subject.request.also], arguments.checks_dir, narrow=bool(arguments.checks))

    request = replace(
        subject.request, named=tuple(arguments.checks), skipped=frozenset(skipped), omitted=tuple(omitted)
    )
    with terminal.quiet_stdout():
        if arguments.app and tui.fits():
            if ids:
                load()  # a wrong id is told before the app opens; without ids, it loads while the first screen is painted
            return _open(subject.host, load, request, arguments)
        known = load()

        def examine(host: Host) -> Report:
            return _examine(host, known, request, colour=not arguments.no_color)

        report = _anonymous(subject.host(), examine) if arguments.anonymize else examine(subject.host())
    return _deliver(report, arguments, arguments.report, strict=arguments.strict)


def _anonymous(host: Host, examine: Callable[[Host], Report]) -> Report:
    from k8sdoctor.cli.anonymity import anonymous

    found = anonymous(host, examine)
    for remark in found.remarks:
        terminal.remark(f"k8sdoctor: {remark[0].lower()}{remark[1:]}")
    return found.report


@dataclass(frozen=True)
class _Subject:
    """What is examined: how to make a host of it, and how the run is to be."""

    host: Callable[[], Host]
    request: engine.Request


def _this_machine(arguments: argparse.Namespace) -> _Subject:
    from k8sdoctor.host.live import LiveHost

    given = _given(arguments)
    return _Subject(
        lambda: LiveHost(arguments.root, given=given, offline=arguments.offline),
        engine.Request(
            profile=arguments.profile,
            also=_asked_by(given),
            deadline=arguments.deadline or engine.DEADLINE,
            # A list takes as long as it is long; whoever names a deadline means it.
            lifted=arguments.deadline is None and bool(arguments.images or arguments.files or arguments.watch),
        ),
    )


def _recorded(arguments: argparse.Namespace) -> _Subject:
    """A recording, judged as its run was: by the same profile, and by the checks that its options asked for."""
    request = _as_recorded(arguments.bundle.recording)
    if arguments.checks:
        request = replace(request, also=frozenset[str]())
    return _Subject(arguments.bundle.recording.again, replace(request, profile=arguments.profile or request.profile))


def _as_recorded(kept: Recording) -> engine.Request:
    """A run of the profile, of the checks and for as long as the one that was recorded."""
    try:
        also = _asked_by(kept.given())
    except HostError:
        also = frozenset()
    profile = kept.manifest["profile"]
    return engine.Request(
        profile=Profile(profile) if profile else None, also=also, deadline=kept.manifest["deadline"] or engine.DEADLINE
    )


def record(arguments: argparse.Namespace) -> int:
    """Keep all that the checks look at on this machine."""
    from k8sdoctor.cli import recording

    if arguments.target.exists() and not arguments.force:
        raise WrongUsageError(f"{arguments.target} is there already; --force replaces it")
    subject = _this_machine(arguments)
    request = replace(subject.request, ends_early=True)
    with terminal.quiet_stdout():
        known = _load([*request.also], arguments.checks_dir, narrow=False)

        def examine(host: Host) -> Report:
            return _examine(host, known, request, colour=not arguments.no_color)

        try:
            with recording.ending_on_signals():
                kept = recording.record(subject.host(), examine, arguments, request)
        except KeyboardInterrupt:
            terminal.remark(f"k8sdoctor: interrupted; nothing was written to {arguments.target}")
            return INTERRUPTED
        except OSError as error:
            terminal.remark(
                f"k8sdoctor: {arguments.target} could not be written, and nothing of it is left: {error.strerror or error}"
            )
            return COULD_NOT_WRITE
    width = terminal.style_of(terminal.stdout()).width
    return _print(kept.summary(width)) or _save(kept.report, arguments.report)


def _left_out(words: Iterable[str]) -> tuple[list[str], list[Omission]]:
    """What `--skip` names: ids of checks, a reason of one as `CHECK/Reason`, or kubeadm's names, which stand for reasons of checks.

    Raises WrongUsageError for a reason that its check does not have. An id that nothing has is told when the checks are loaded.
    """
    ids: list[str] = []
    omitted: list[Omission] = []
    for word in words:
        id_, slash, reason = word.partition("/")
        name = None if slash or registry.is_built_in(word) else kubeadm_names.find(word)
        if name is not None:
            ids += kubeadm_names.whole(name)
            omitted += kubeadm_names.omissions(word, name)
        elif slash:
            _documented(id_, reason, ())
            omitted.append(kubeadm_names.Omission(id_, reason, None, word))
        else:
            ids.append(word)
    return ids, omitted


def _given(arguments: argparse.Namespace) -> Given:
    """What facts need of the command line."""
    given = Given(
        config=arguments.config,
        kubeconfig=kubeconfig(arguments.kubeconfig, arguments.root) if arguments.kubeconfig is not None else None,
        endpoints=arguments.endpoint,
    )
    if arguments.images:
        given["images"] = arguments.images
    if arguments.files:
        given["files"] = arguments.files
        given["proxy"] = _proxy()
    if arguments.watch:
        given["watch"] = arguments.watch
    if arguments.intrusive:
        given["intrusive"] = True
    return given


_ASKED_BY = {
    "images": {"image-list"},
    "files": {"download-list"},
    "watch": {"dns-reply-source"},
    "intrusive": {"registry-push", "etcd-disk"},
}


def _asked_by(given: Given) -> frozenset[str]:
    """The checks that options ask for beside the profile's."""
    return frozenset[str]().union(*(checks for name, checks in _ASKED_BY.items() if given.get(name)))


def _proxy() -> dict[str, str]:
    """The proxy variables that we were started with. As in Python's and wget's eyes, lower case counts before upper case."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    found = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in names}
    return {name: value for name, value in found.items() if value}


def demo(arguments: argparse.Namespace) -> int:
    """Judge the recording of a sick node that comes with the package."""
    from importlib import resources

    from k8sdoctor.host.recording import Recording

    text = (resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8")
    if arguments.app and tui.fits():
        return _open(lambda: Recording(text), lambda: registry.load(plug_ins=False), engine.Request(), arguments)
    known = registry.load(plug_ins=False)
    return _deliver(_examine(Recording(text), known, engine.Request()), arguments, arguments.report)


def diff(arguments: argparse.Namespace) -> int:
    """Compare two reports, or two recordings by today's checks."""
    from k8sdoctor.cli.comparing import sides
    from k8sdoctor.comparison import compare

    def judge(recording: Recording) -> Report:
        known = _load((), arguments.checks_dir, narrow=False)
        return _examine(recording.again(), known, _as_recorded(recording), colour=not arguments.no_color)

    with terminal.quiet_stdout():
        comparison = compare(*sides(arguments.a, arguments.b, judge))
    style = terminal.style_of(terminal.stdout(), colour=not arguments.no_color)
    return _print(render.comparison(comparison, arguments.output, style, whole=arguments.all)) or comparison.exit_code


def list_(arguments: argparse.Namespace) -> int:
    """Show every check."""
    with terminal.quiet_stdout():
        known = registry.load(map(Path, arguments.checks_dir))
    rows = [
        {
            "id": entry.check.id,
            "area": entry.check.area,
            "title": entry.check.title,
            "profiles": sorted(entry.check.profiles),
            "source": entry.source,
        }
        for entry in known.entries
    ]
    if arguments.output == "json":
        text = json.dumps(rows, indent=2) + "\n"
    else:
        width = max((len(entry.check.id) for entry in known.entries), default=0)
        text = "".join(f"{entry.check.id:{width}}  {entry.check.title}\n" for entry in known.entries)
    for broken in known.broken:
        terminal.remark(f"k8sdoctor: {broken.what} did not load: {broken.error}")
    return _print(text) or (3 if known.broken else 0)


def explain(arguments: argparse.Namespace) -> int:
    """Print a check's documentation, or where we judge what kubeadm calls so."""
    from k8sdoctor.render.explanation import explanation

    style = terminal.style_of(terminal.stdout(), colour=not arguments.no_color)
    name = None if registry.is_built_in(arguments.subject) else kubeadm_names.find(arguments.subject)
    if name is not None:
        return _explain_kubeadms(arguments, name, style)
    id_, slash, word = arguments.subject.partition("/")
    reason = word if slash else None
    documentation, source = _documented(id_, reason, arguments.checks_dir)
    if arguments.output == "json":
        return _print(json.dumps(documentation.document(source, reason), indent=2) + "\n")
    return _print(explanation(documentation, reason, style))


def _documented(id_: str, reason: str | None, folders: Sequence[str]) -> tuple[Documentation, str]:
    """A check's documentation, and where the check is from. Raises WrongUsageError for a check or a reason that there is not."""
    from k8sdoctor.documentation import Documentation

    with terminal.quiet_stdout():
        known = _load([id_], folders, narrow=True)
    entry = known.get(id_)
    if entry is None:  # _load has refused unknown ids
        raise WrongUsageError(f"no check is called {id_!r}")
    documentation = Documentation.of(entry.check)
    if reason is not None and reason not in (known_reasons := [each.reason for each in documentation.reasons]):
        near = _nearest(reason, known_reasons) or ", ".join(known_reasons)
        raise WrongUsageError(f"{id_} has no reason {reason!r}; {near}")
    return documentation, entry.source


def _explain_kubeadms(arguments: argparse.Namespace, name: kubeadm_names.Name, style: Style) -> int:
    from k8sdoctor.render.explanation import of_kubeadm

    judged = [(*_documented(check, None, ()), reasons) for check, reasons in name.judged]
    if arguments.output != "json":
        return _print(of_kubeadm(name, [(documentation, reasons) for documentation, _, reasons in judged], style))
    checks = []
    for documentation, source, reasons in judged:
        document = documentation.document(source)
        document["reasons"] = [each for each in document["reasons"] if not reasons or each["reason"] in reasons]
        checks.append(document)
    found = {"kubeadm": name.name, "tests": name.tests, "until": name.until or None, "instead": name.instead or None}
    return _print(json.dumps({**found, "checks": checks}, indent=2) + "\n")


def why(arguments: argparse.Namespace) -> int:
    """Tell what is known of error lines."""
    from k8sdoctor.cli.why import why

    return why(arguments)


def schema(arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of what a command writes."""
    from k8sdoctor import comparison, report
    from k8sdoctor.render import why as known

    schemas = {"report": report.schema, "diff": comparison.schema, "why": known.schema}
    return _print(json.dumps(schemas[arguments.document](), indent=2) + "\n")


def completion(arguments: argparse.Namespace) -> int:
    """Print a completion script."""
    from k8sdoctor.cli.completion import script

    return _print(script(arguments.shell))


_Command: TypeAlias = "Callable[[argparse.Namespace], int]"

_COMMANDS: dict[str, _Command] = {
    "check": check,
    "record": record,
    "diff": diff,
    "list": list_,
    "explain": explain,
    "why": why,
    "schema": schema,
    "demo": demo,
    "completion": completion,
}


def _load(ids: Sequence[str], folders: Iterable[str], *, narrow: bool) -> registry.Registry:
    """The checks, held against the ids that were asked for. With `narrow`, no more need be loaded than those.

    Raises WrongUsageError for an id that nothing has.
    """
    known = registry.load(map(Path, folders), only=frozenset(ids) if narrow else None)
    for id_ in ids:
        if known.get(id_) is None:
            every = [entry.check.id for entry in registry.load(map(Path, folders)).entries]
            theirs = [each.name for each in kubeadm_names.NAMES]
            near = _nearest(id_, every) or _nearest(id_, theirs) or f"there are {', '.join(every)}"
            broken = "".join(f"; {entry.what} did not load: {entry.error}" for entry in known.broken)
            raise WrongUsageError(f"no check is called {id_!r}; {near}{broken}")
    return known


ALIKE = 0.7
"""How alike a word and a name must be (difflib's ratio): two letters of ten may be wrong. `foo` and `tools` are at 0.5."""

_SHORTEST = 3
"""Letters of a word that may stand for the names of which it begins a part, as `cert` and `dns` do."""


def _nearest(word: str, words: Sequence[str]) -> str:
    """A question that names what was meant: what is spelt nearly so, and what has a part that begins with the word; nothing where neither is there."""
    import difflib

    folded = {each.lower(): each for each in words}
    wanted = word.lower().replace("_", "-")
    near = difflib.get_close_matches(wanted, folded, n=3, cutoff=ALIKE)
    if len(wanted) >= _SHORTEST:
        near += [each for each in folded if f"-{wanted}" in f"-{each}" and each not in near]
    return f"do you mean {' or '.join(folded[each] for each in near)}?" if near else ""


def _examine(host: Host, known: registry.Registry, request: engine.Request, *, colour: bool = True) -> Report:
    progress = terminal.Progress(colour=colour)

    def listen(event: engine.Event) -> None:
        if isinstance(event, engine.Late):
            progress.waiting(event.waiting_for, event.seconds)
        elif isinstance(event, engine.Advanced):
            progress.advanced(event.what, event.done, event.of)
        elif isinstance(event, engine.EndedEarly):
            progress.erase()
            terminal.remark("k8sdoctor: asking DNS ends early; what was seen until now is kept")

    try:
        return engine.run(host, known.checks, request, broken=known.broken, on_event=listen)
    finally:
        progress.erase()


def _open(
    host: Callable[[], Host],
    load: Callable[[], registry.Registry],
    request: engine.Request,
    arguments: argparse.Namespace,
) -> int:
    """Show the app until it is left."""
    from k8sdoctor.tui.session import Case

    case = Case(host, load, request, strict=getattr(arguments, "strict", False))
    symbols = terminal.style_of(terminal.stdout()).symbols
    return tui.open_app(case, symbols="ascii" if symbols == "ascii" else "unicode", colour=not arguments.no_color)


def _deliver(
    report: Report, arguments: argparse.Namespace, saved: Sequence[SavedReport] = (), *, strict: bool = False
) -> int:
    """Print the report, write it where it was wanted, and return the exit code."""
    output = arguments.output or "text"
    style = terminal.style_of(terminal.stdout(), colour=not arguments.no_color)
    trouble = terminal.show(render.report(report, output, style))
    if trouble is not None:
        terminal.remark(f"k8sdoctor: the report could not be printed: {trouble}")
    failed = _save(report, saved, printed=output) or (COULD_NOT_WRITE if trouble is not None else 0)
    return failed or report.exit_code(strict=strict)


def _save(report: Report, saved: Sequence[SavedReport], *, printed: str = "") -> int:
    """Write the report where it was wanted; 0, or the exit code that says that it could not be. `printed` is the format on the screen."""
    failed = []
    for each in saved:
        text = render.report(report, each.format)
        try:
            write_whole(each.path, text)
        except OSError as error:
            failed.append(f"the report could not be written to {each.path}: {error.strerror or error}")
            if printed in _PEOPLE_READ and each.format != printed:
                terminal.show(f"\n{text}")  # all that it held; JSON and its like on stdout must stay one document
    for sentence in failed:
        terminal.remark(f"k8sdoctor: {sentence}")
    return COULD_NOT_WRITE if failed else 0


def _print(text: str) -> int:
    trouble = terminal.show(text)
    if trouble is None:
        return 0
    terminal.remark(f"k8sdoctor: the output could not be written: {trouble}")
    return COULD_NOT_WRITE
