"""Error lines that people meet on Kubernetes nodes: what each means, and which check judges its cause.

The table is `data/known_errors.toml`, each entry with its source. A fragment is found anywhere in a line, without case; `<x>` in it stands
for what varies. An error wraps another, so of several fragments in one line the innermost counts, that is the one that begins last; one that
is `weak` (`connection refused`) gives way to any that says more, and one that `wraps` (`failed to pull image`) to any that does not.

>>> found = recognise('E1121 10:00:00.1 1 run.go:72] "command failed" err="running with swap on is not supported, please disable swap!"')
>>> found.error.look_at
('swap/SwapOn',)
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_LIMIT = 8192
"""Characters of a line that are looked at, half of them at its end, where the innermost error stands."""

GAP = 300
"""Characters that a `<x>` may stand for: names, addresses, paths."""

AREAS = {
    "disk": "space and speed of the node's disks",
    "memory": "memory of the node and limits of its services",
    "time": "the clocks of the machines",
}
"""What a line may point to where no check looks."""


@dataclass(frozen=True, slots=True)
class KnownError:
    """One entry of the table. `look_at` are checks, as `check` or `check/Reason`, or words of `AREAS`; `said_by` is who prints it."""

    text: tuple[str, ...]
    means: str
    causes: str
    look_at: tuple[str, ...]
    source: str
    said_by: str
    wraps: bool = False
    weak: bool = False

    @property
    def checks(self) -> tuple[str, ...]:
        """The ids of the checks that judge its cause, without reasons."""
        return tuple(dict.fromkeys(each.partition("/")[0] for each in self.look_at if each not in AREAS))


@dataclass(frozen=True, slots=True)
class Match:
    """A line that is known: the entry, the words of the line that it was known by, and the line's message without prefixes."""

    error: KnownError
    words: str
    message: str


def recognise(line: str) -> Match | None:
    """What is known about one line of a log, an event or a command's output; None for nothing. Never raises.

    Prefixes (of klog, journald, containerd, CRI, Docker, the kernel) and quoting do not matter, and a line may be of any length.
    """
    message = message_of(line)
    lowered = message.lower()
    if len(lowered) != len(message):  # one of the few letters whose lower case is longer
        message = lowered
    best: tuple[int, int, int] | None = None
    found: Match | None = None
    for fragment in _fragments():
        if fragment.rarest not in lowered:
            continue
        span = fragment.find(lowered)
        if span is None:
            continue
        rank = (fragment.rank, span[0], span[1] - span[0])
        if best is None or rank > best:
            best, found = rank, Match(fragment.error, message[span[0] : span[1]], message)
    return found


def known_errors() -> tuple[KnownError, ...]:
    """The table, in its order."""
    return tuple(dict.fromkeys(fragment.error for fragment in _fragments()))


# -- the table -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fragment:
    """One text of an entry, lower case, cut where it varies. `rarest` is its longest piece, looked for first: most lines lack it."""

    error: KnownError
    pieces: tuple[str, ...]
    rarest: str
    rank: int

    def find(self, text: str) -> tuple[int, int] | None:
        """Where the pieces follow each other, the last such place; no piece is tried twice from one place, whatever the text."""
        start = len(text)
        for _ in range(8):  # a line that begins a fragment more often and does not end it is none of ours
            start = text.rfind(self.pieces[0], 0, start + len(self.pieces[0]) - 1)
            if start < 0:
                return None
            end = start + len(self.pieces[0])
            for piece in self.pieces[1:]:
                position = text.find(piece, end, end + GAP + len(piece))
                if position < 0:
                    break
                end = position + len(piece)
            else:
                return start, end
        return None


@cache
def _fragments() -> tuple[_Fragment, ...]:
    import tomllib

    table: dict[str, list[dict[str, Any]]] = tomllib.loads(
        files("k8sdoctor").joinpath("data/known_errors.toml").read_text("utf-8")
    )
    return tuple(
        fragment
        for said_by, entries in table.items()
        for entry in entries
        for fragment in _of_entry(
            KnownError(**{**entry, "text": tuple(entry["text"]), "look_at": tuple(entry["look_at"])}, said_by=said_by)
        )
    )


def _of_entry(error: KnownError) -> Iterator[_Fragment]:
    rank = 0 if error.wraps else 1 if error.weak else 2
    for text in error.text:
        pieces = tuple(piece for piece in re.split(r"<[a-z]+>", text.lower()) if piece.strip())
        yield _Fragment(error, pieces, max(pieces, key=len), rank)


# -- prefixes ------------------------------------------------------------------------------------------------------------

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ESCAPED_QUOTE = re.compile(r'\\+"')  # klog and JSON nest it
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"

# One shape each; they nest, so the list is gone through until none fits any more.
_PREFIXES: tuple[re.Pattern[str], ...] = (
    # journald and syslog: `Jun 12 12:23:42 node1 kubelet[812]: `; months may be local
    re.compile(r"\w{3,5}\.? +\d{1,2} \d\d:\d\d:\d\d [\w.-]+ [\w@./-]+(?:\[\d+\])?: "),
    re.compile(rf"{_TIME} [\w.-]+ [\w@./-]+(?:\[\d+\])?: "),  # rsyslog's newer form, and `journalctl -o short-iso`
    re.compile(rf"{_TIME} (?:stdout|stderr) [PF] "),  # CRI
    re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] ?"),  # klog
    re.compile(rf'time="{_TIME}" level=\w+ msg='),  # containerd, CRI-O
    re.compile(r"(?:TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[\d+\] "),  # crictl
    re.compile(r"\[ *\d+\.\d{6}\] |\[\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}\] "),  # kernel
    re.compile(rf"{_TIME} \[[A-Z]+\]\[\d+\] [\w./-]+ \d+: "),  # Calico
    re.compile(
        r"(?:Warning|Normal) +\w+ +\S+(?: \(x\d+ over \S+\))? +[\w./-]+ +"
    ),  # an event as `kubectl describe` shows it
    re.compile(r'\{"log":"|\{"level":"\w+","ts":"[^"]*",(?:"caller":"[^"]*",)?"msg":"'),  # Docker; etcd
    re.compile(r"\s+"),
)


def message_of(line: str) -> str:
    r"""A line without colours, prefixes and the backslashes of nested quotes, and at most `LINE_LIMIT` long.

    >>> message_of('Jun 12 12:23:42 n1 kubelet[8]: E0113 03:25:40.008430    3674 server.go:302] "Failed" err="open \\"x\\""')
    '"Failed" err="open "x""'
    """
    if len(line) > LINE_LIMIT:
        line = f"{line[: LINE_LIMIT // 2]} {line[-LINE_LIMIT // 2 :]}"
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    if "\\" in line:
        line = _ESCAPED_QUOTE.sub('"', line)
    start = 0
    for _ in range(6):  # a kubelet's line in a CRI log in a journal is three deep
        match = next((each for pattern in _PREFIXES if (each := pattern.match(line, start))), None)
        if match is None:
            break
        start = match.end()
    return line[start:].rstrip()


def first_known(lines: Iterable[str]) -> Match | None:
    """What is known about the first line that says more than that something went wrong; else about the first known one."""
    fallback: Match | None = None
    for line in lines:
        match = recognise(line)
        if match is not None and match.error.look_at and not match.error.weak and not match.error.wraps:
            return match
        fallback = fallback or match
    return fallback
