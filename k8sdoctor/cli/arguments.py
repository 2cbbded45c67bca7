"""What may be said on the command line, and everything that can be told to be wrong before a run."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from k8sdoctor import __version__, cli
from k8sdoctor.check import Profile
from k8sdoctor.cli import values
from k8sdoctor.cli.values import WrongUsageError
from k8sdoctor.render import COMPARISON_FORMATS, FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence


_COMMANDS = ("check", "record", "diff", "list", "explain", "why", "schema", "demo", "completion")

_EPILOG = """\
exit codes:
  0    nothing failed
  1    something failed (with --strict: or warns)
  2    wrong usage
  3    nothing failed, but something is unknown or did not load
  130  interrupted
"""

_DIFF_EPILOG = """\
A and B are reports (`k8sdoctor check -o json`, or yaml; - is one on stdin) or
recordings (`k8sdoctor record`), which are judged by today's checks: of one node
before and after, or of a healthy node and a sick one. Their order matters: the
question is whether B is worse. Of two recordings all that differs is told:
files, kernel switches, versions, links.

exit codes:
  0    B is no worse
  1    B is worse: something new fails or warns, or does worse, or two nodes
       share what must be unique
  2    wrong usage, or A or B is neither a report nor a recording
  3    B is no worse where both looked, but one of them did not look at all
       that the other judged
"""


_RECORD_EPILOG = """\
Secrets are replaced before anything is written. Look through the file with
`tar tzf FILE` and `tar xzOf FILE NAME`; judge it anywhere with
`k8sdoctor check --bundle FILE`.

exit codes:
  0    the file was written, however sick the node is
  2    wrong usage
  3    the file could not be written
  130  interrupted; nothing was written
"""

_WHY_EPILOG = """\
  journalctl -u kubelet -b | k8sdoctor why
  k8sdoctor why /var/log/syslog
  k8sdoctor why "cni plugin not initialized"

exit codes:
  0    something is known
  1    nothing is known
  2    wrong usage
  3    a file could not be read to its end
  130  interrupted; what was seen until then is told
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, each held against what is right. Raises WrongUsageError, and SystemExit after `--help`."""
    words = list(argv)
    alone = not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"))
    if alone:
        words.insert(0, "check")  # `k8sdoctor --offline` is `k8sdoctor check --offline`
    if not words[0].startswith("-") and words[0] not in _COMMANDS:
        _refuse_command(words[0])
    arguments, rest = parser().parse_known_args(words)
    if rest:  # argparse itself would point to the help of all commands, which names no option
        raise WrongUsageError(f"unrecognized arguments: {' '.join(rest)}; see k8sdoctor {arguments.command} --help")
    if getattr(arguments, "bundle", None):
        _refuse_looking(arguments)
    if getattr(arguments, "images", None) and getattr(arguments, "files", None):
        _refuse_one_stdin_for_two(arguments)
    if getattr(arguments, "report", None):
        _refuse_one_file_for_two(arguments)
    # On a terminal the app opens then, unless a report was asked for by its format or file.
    arguments.app = (
        (alone or arguments.command == "demo")
        and not arguments.output
        and not getattr(arguments, "report", ())
        and not getattr(arguments, "anonymize", False)
    )
    return arguments


def _refuse_command(word: str) -> None:
    """Raise WrongUsageError where a word that is no command is nearly one, or is the id of a check; argparse tells the rest."""
    import difflib

    from k8sdoctor import registry

    known = registry.load(only=frozenset({word})).get(word) is not None
    near = [f"check {word}"] if known else difflib.get_close_matches(word, _COMMANDS, 1)
    if near:
        raise WrongUsageError(f"there is no command {word!r}; do you mean `k8sdoctor {near[0]}`?")


def _refuse_looking(arguments: argparse.Namespace) -> None:
    """Raise WrongUsageError for an option that steers how a node is looked at, where a recording is judged."""
    looking = "root", "offline", "config", "images", "files", "watch", "intrusive", "kubeconfig", "endpoint", "deadline"
    given = [name for name in looking if getattr(arguments, name) not in (None, False, [], "/")]
    if given:
        option = {"watch": "for"}.get(given[0], given[0])
        raise WrongUsageError(
            f"--bundle judges what was recorded, and --{option} steers how a node is looked at: leave one of them out, or give "
            f"--{option} to k8sdoctor record"
        )


def _refuse_one_stdin_for_two(arguments: argparse.Namespace) -> None:
    if arguments.images["path"] == arguments.files["path"] == "stdin":
        raise WrongUsageError("--images - and --files - cannot both be read from stdin; see k8sdoctor check --help")


def _refuse_one_file_for_two(arguments: argparse.Namespace) -> None:
    """Each report would replace what stands in its file: another report, the bundle, what was given, or what is printed there."""
    taken: dict[str, str] = {}
    if getattr(arguments, "target", None):
        taken[str(arguments.target)] = "the bundle itself goes there"
    for option in ("config", "images", "files"):
        given = getattr(arguments, option, None)
        if given:
            taken[os.path.realpath(given["path"])] = f"it is what --{option} names"
    if getattr(arguments, "kubeconfig", None) is not None:
        # As it was given, and as it may be meant: below the root.
        for path in (arguments.kubeconfig, f"{arguments.root}/{arguments.kubeconfig}"):
            taken[os.path.realpath(path)] = "it is what --kubeconfig names"
    if getattr(arguments, "bundle", None):
        taken[os.path.realpath(arguments.bundle.path)] = "it is the bundle that is judged"
    for saved in arguments.report:
        why = taken.get(saved.path) or _printed_there(saved.path)
        if why:
            raise WrongUsageError(f"--report {saved.path} would be lost or destroy something: {why}; name another file")
        taken[saved.path] = "it is named twice"


def _printed_there(path: str) -> str | None:
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no such file yet; closed, or no file at all
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):  # noqa: PTH116 -- as its twin beside it
                return f"{name} goes there"
    return None


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong usage is one line."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsageError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = _Parser(
        prog="k8sdoctor",
        description="Examines a Kubernetes node, names the cause of what is wrong, and says which commands mend it.",
        epilog=f"Without a command, k8sdoctor runs `check`, and takes its options.\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"k8sdoctor {__version__}\n{cli.BUILD}".rstrip())
    # With `prog` given, argparse does not load shutil to lay out a usage line that nobody asked for (4 ms).
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="k8sdoctor")

    def command(name: str, help_: str, **more: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=help_,
            description=help_[0].upper() + help_[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **more,  # type: ignore[arg-type]  # only `epilog` is given
        )

    _check_options(command("check", "examine this node, and report", epilog=_EPILOG))
    _record_options(
        command(
            "record",
            "keep all that the checks look at on this node, for somebody else to judge",
            epilog=_RECORD_EPILOG,
        )
    )
    _diff_options(
        command(
            "diff",
            "compare two reports or recordings: what is new, fixed or still there",
            epilog=_DIFF_EPILOG,
        )
    )
    listing = command("list", "list every check")
    listing.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    _folders(listing)
    explain = command("explain", "print the documentation of a check, or of one of its reasons")
    explain.add_argument(
        "subject",
        metavar="CHECK[/REASON]",
        help="for example br-netfilter/BridgeNfCallOff; or a name of kubeadm's, such as NumCPU",
    )
    explain.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    _folders(explain)
    _colour(explain)
    why = command("why", "recognise known error lines in a log, and name cause, check and fix", epilog=_WHY_EPILOG)
    why.add_argument(
        "what",
        nargs="*",
        metavar="FILE|TEXT",
        help="a log, also one compressed by gzip; or an error's text in quotes; - or nothing is stdin",
    )
    why.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    _colour(why)
    schema = command("schema", "print the JSON Schema of a report, of a comparison, or of what why knows")
    schema.add_argument(
        "document", nargs="?", choices=("report", "diff", "why"), default="report", help="of what (default: report)"
    )
    demo = command("demo", "judge a recorded sick node; ends with 1, as a sick node does")
    _output(demo)
    _report_option(demo)
    _colour(demo)
    completion = command("completion", "print a completion script for a shell")
    completion.add_argument("shell", metavar="SHELL", help="bash, zsh, fish, …")
    return top


def _diff_options(diff: argparse.ArgumentParser) -> None:
    diff.add_argument("a", metavar="A", help="the report or recording from before, or of the healthy node")
    diff.add_argument("b", metavar="B", help="the report or recording from after, or of the sick node")
    diff.add_argument(
        "--all", action="store_true", help="show every difference, also what differs on any two nodes or runs"
    )
    names = ", ".join(COMPARISON_FORMATS)
    diff.add_argument(
        "-o",
        "--output",
        choices=tuple(COMPARISON_FORMATS),
        default="text",
        metavar="FORMAT",
        help=f"{names} (default: text)",
    )
    _folders(diff)
    _colour(diff)


def _check_options(check: argparse.ArgumentParser) -> None:
    add = check.add_argument
    add(
        "checks", nargs="*", metavar="CHECK", help="ids of checks to run, whatever the profile (default: the profile's)"
    )
    _profile_option(check)
    add(
        "--skip",
        action="append",
        type=values.names,
        default=[],
        metavar="CHECK[,…]",
        help="leave out a check, one of its reasons (CHECK/REASON), or what kubeadm calls so (NumCPU, Port-6443); repeatable",
    )
    _output(check)
    _report_option(check)
    add("--strict", action="store_true", help="let a warning end with 1, too")
    add(
        "--bundle",
        type=values.bundle,
        metavar="FILE",
        help="judge what k8sdoctor record has kept of a node, and look at nothing here",
    )
    _anonymize(check)
    _looking(check, ctrl_c="ends it early")
    _folders(check)
    _colour(check)


def _record_options(record: argparse.ArgumentParser) -> None:
    record.add_argument(
        "-o",
        "--output",
        dest="target",
        type=values.bundle_target,
        required=True,
        metavar="FILE",
        help="where to, such as node.tar.gz",
    )
    record.add_argument("--force", action="store_true", help="replace the file if it is there")
    _anonymize(record)
    _profile_option(record)
    _report_option(record)
    _looking(record, ctrl_c="ends it early, and what was seen until then is recorded")
    _folders(record)
    _colour(record)


def _anonymize(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--anonymize",
        action="store_true",
        help="put stand-ins for names of hosts, domains and people, and for addresses; secrets are always replaced",
    )


def _profile_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--profile", type=values.profile, metavar="PROFILE", help=f"{', '.join(Profile)} (default: detected)"
    )


def _report_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--report",
        action="append",
        type=values.saved_report,
        default=[],
        metavar="FILE",
        help="also write a report to a file; format by suffix .json .yaml .md .xml .html .txt, else JSON; repeatable",
    )


def _looking(command: argparse.ArgumentParser, *, ctrl_c: str) -> None:
    """The options that steer what is looked at, and how; `ctrl_c` is what it does while somebody waits."""
    add = command.add_argument
    add("--offline", action="store_true", help="send nothing to any peer; read files, netlink and the runtime's socket")
    add(
        "--deadline",
        type=values.seconds,
        metavar="S",
        help="seconds that the whole run may take (default: 15, and what a list takes beyond)",
    )
    add(
        "--config",
        type=values.configuration,
        metavar="FILE",
        help="kubeadm's configuration: what is planned for this node",
    )
    add(
        "--images",
        type=values.image_list,
        metavar="FILE",
        help="check every image in this list, one a line (kubespray's images.list, kubeadm config images list); - is stdin",
    )
    add(
        "--files",
        type=values.image_list,
        metavar="FILE",
        help="ask for the head of every URL in this list, one a line (kubespray's files.list); downloads nothing; - is stdin",
    )
    add(
        "--for",
        dest="watch",
        type=values.duration,
        metavar="DURATION",
        help=f"keep asking cluster DNS from pods for so long (30s, 10m, 1h), and tell when and where it failed; Ctrl-C {ctrl_c}",
    )
    add(
        "--intrusive",
        action="store_true",
        help="also what loads or changes something for a moment: ask private registries to begin an upload, and cancel it at once (may "
        "anyone push there?); write to etcd's disk for two seconds (is it fast enough?)",
    )
    add(
        "--kubeconfig",
        metavar="FILE",
        help="a kubeconfig by which the API server may be asked (below --root, if given)",
    )
    add(
        "--endpoint",
        action="append",
        type=values.endpoint,
        default=[],
        metavar="HOST[:PORT]",
        help="one more address that must lead to the API server; repeatable",
    )
    add(
        "--root",
        type=values.root,
        default="/",
        metavar="DIR",
        help="the node's root file system, when run in a container",
    )


def _output(command: argparse.ArgumentParser) -> None:
    names = ", ".join(FORMATS)
    command.add_argument("-o", "--output", type=values.report_format, metavar="FORMAT", help=f"{names} (default: text)")


def _folders(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checks-dir",
        action="append",
        type=values.folder,
        default=[],
        metavar="DIR",
        help="load the checks in this folder's *.py files, too; repeatable",
    )


def _colour(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--no-color", action="store_true", help="no colour; NO_COLOR=1 in the environment does the same"
    )
