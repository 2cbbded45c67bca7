"""Error lines that people meet on Kubernetes nodes: what each means, and which check judges its cause.

The table is `data/known_errors.toml`, each entry with its source. A fragment is found anywhere in a line, without case; `<x>` in it stands
for what varies. An error wraps another, so of several fragments in one line the innermost counts, that is the one that ends last; one that
is `weak` (`connection refused`) gives way to any that says more, and one that `wraps` (`failed to pull image`) to any that does not.

>>> found = recognise('E1121 10:00:00.1 1 run.go:72] "command failed" err="running with swap on is not supported, please disable swap!"')
>>> found.error.look_at
('swap/SwapOn',)
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from k8sdoctor import kubeadm_names
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_LIMIT = 8192
"""Characters of a line that are looked at, half of them at its end, where the innermost error stands."""

CUT = " … "
"""What stands between the two halves of a line that was longer."""

PULL = "pull"
"""Who prints what is known of images that are pulled."""

GAP = 300
"""Characters that a `<x>` may stand for: names, addresses, paths."""


@dataclass(frozen=True, slots=True)
class KnownError:
    """One entry of the table. `look_at` are checks, as `check` or `check/Reason`; `said_by` is who prints it.

    `at_registry` stands for `look_at` where the line is about an image that was pulled: the same words, another peer. `mend` and `commands` are
    how it is mended where no check's documentation says so: what is not of this node, such as a token, no check here sees.
    """

    text: tuple[str, ...]
    means: str
    causes: str
    look_at: tuple[str, ...]
    source: str
    said_by: str
    wraps: bool = False
    weak: bool = False
    at_registry: tuple[str, ...] = ()
    mend: str = ""
    commands: tuple[str, ...] = ()

    @property
    def checks(self) -> tuple[str, ...]:
        """The ids of the checks that judge its cause, without reasons."""
        return tuple(dict.fromkeys(each.partition("/")[0] for each in self.look_at))

    @property
    def rank(self) -> int:
        """How much it says: 2 what went wrong, 1 a symptom that much can cause, 0 that something did, which stands behind it."""
        return 0 if self.wraps else 1 if self.weak else 2


@dataclass(frozen=True, slots=True)
class Match:
    """A line that is known: the entry, the words of the line that it was known by, and the line's message without prefixes.

    `look_at` are the entry's checks, as fits the line.
    """

    error: KnownError
    words: str
    message: str
    look_at: tuple[str, ...]

    @property
    def rank(self) -> int:
        """As the entry's; but that a registry does not answer is what went wrong with a pull, and no mere symptom."""
        return 2 if self.error.rank and self.look_at == self.error.at_registry else self.error.rank


def recognise(line: str) -> Match | None:
    """What is known about one line of a log, an event or a command's output; None for nothing. Never raises.

    Prefixes (of klog, journald, containerd, CRI, Docker, the kernel) and quoting do not matter, and a line may be of any length.
    """
    message = message_of(line)
    lowered = message.lower()
    if len(lowered) != len(message):  # one of the few letters whose lower case is longer
        message = lowered
    best: tuple[int, int, int, int] | None = None
    found: tuple[KnownError, str] | None = None
    pulling = False
    for fragment in _fragments():
        if fragment.rarest not in lowered:
            continue
        span = fragment.find(lowered)
        if span is None:
            continue
        pulling = pulling or fragment.error.said_by == PULL
        rank = (fragment.error.rank, span[1], span[1] - span[0], sum(map(len, fragment.pieces)))
        if best is None or rank > best:
            best, found = rank, (fragment.error, message[span[0] : span[1]])
    if found is None:
        return None
    error, words = found
    if error.wraps and not error.look_at:
        error = _by_kubeadms_name(error, words)
    return Match(error, words, message, (pulling and error.at_registry) or error.look_at)


def _by_kubeadms_name(error: KnownError, words: str) -> KnownError:
    """What is known of a preflight check of kubeadm's by its name, as in `[ERROR NumCPU]:`; the same error for other words."""
    named = re.match(r"\[error ([\w-]+)\]", words, re.IGNORECASE)
    name = kubeadm_names.find(named[1]) if named else None
    if name is None or not name.judged:
        return error
    look_at = tuple(
        f"{check}/{reason}" if reason else check for check, reasons in name.judged for reason in reasons or ("",)
    )
    means = f"kubeadm's preflight check {name.name} failed: it wants that {name.tests}"
    return replace(error, means=means, causes="what stands behind the name", look_at=look_at, wraps=False)


def known_errors() -> tuple[KnownError, ...]:
    """The table, in its order."""
    return tuple(dict.fromkeys(fragment.error for fragment in _fragments()))


def links(source: str) -> list[tuple[str, str | None]]:
    """What a `source` names, each with its address; None where it is in no public place that we know how to name.

    >>> links("kubernetes/kubernetes#43805; go src/net/net.go")[1]
    ('go src/net/net.go', 'https://github.com/golang/go/blob/HEAD/src/net/net.go')
    """
    return [(name, _address(name)) for name in source.split("; ")]


def _address(name: str) -> str | None:
    project, _, path = name.partition(" ")
    thread = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", name)
    if thread:
        return f"https://github.com/{thread[1]}/issues/{thread[2]}"
    if "/" in project:
        return f"https://github.com/{project}" + (f"/blob/HEAD/{path}" if path else "")
    where = _table()["sources"].get(project)
    return f"{where}{path}" if where else None


# -- the table -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fragment:
    """One text of an entry, lower case, cut where it varies. `rarest` is its longest piece, looked for first: most lines lack it."""

    error: KnownError
    pieces: tuple[str, ...]
    rarest: str

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
def _table() -> dict[str, Any]:
    import tomllib
    from importlib.resources import files

    return tomllib.loads(files("k8sdoctor").joinpath("data/known_errors.toml").read_text("utf-8"))


@cache
def _fragments() -> tuple[_Fragment, ...]:
    return tuple(
        fragment
        for said_by, entries in _table().items()
        if said_by != "sources"
        for entry in entries
        for fragment in _of_entry(KnownError(**_tuples(entry), said_by=said_by))
    )


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def _of_entry(error: KnownError) -> Iterator[_Fragment]:
    for text in error.text:
        pieces = tuple(piece for piece in re.split(r"<[a-z]+>", text.lower()) if piece.strip())
        yield _Fragment(error, pieces, max(pieces, key=len))


# -- prefixes ------------------------------------------------------------------------------------------------------------

_COLOUR = regex(r"\x1b\[[0-9;]*[A-Za-z]")
_ESCAPED_QUOTE = regex(r'\\+"')  # klog and JSON nest it
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"

_QUOTED = regex(r"\s*(?:[>|] ?)+")  # as in a mail or a ticket; a log's own line begins with neither

# One shape each; they nest, so the list is gone through until none fits any more.
_PREFIXES: tuple[re.Pattern[str], ...] = (
    # journald and syslog: `Jun 12 12:23:42 node1 kubelet[812]: `; months may be local
    regex(r"\w{3,5}\.? +\d{1,2} \d\d:\d\d:\d\d [\w.-]+ [\w@./-]+(?:\[\d+\])?: "),
    regex(rf"{_TIME} [\w.-]+ [\w@./-]+(?:\[\d+\])?: "),  # rsyslog's newer form, and `journalctl -o short-iso`
    regex(rf"{_TIME} (?:stdout|stderr) [PF] "),  # CRI
    regex(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] ?"),  # klog
    regex(rf'time="{_TIME}" level=\w+ msg='),  # containerd, CRI-O
    regex(r"(?:TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[\d+\] "),  # crictl
    regex(r"\[ *\d+\.\d{6}\] |\[\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}\] "),  # kernel
    regex(rf"{_TIME} \[[A-Z]+\]\[\d+\] [\w./-]+ \d+: "),  # Calico
    regex(
        r"(?:Warning|Normal) +\w+ +\S+(?: \(x\d+ over \S+\))? +[\w./-]+ +"
    ),  # an event as `kubectl describe` shows it
    regex(r'\{"log":"|\{"level":"\w+","ts":"[^"]*",(?:"caller":"[^"]*",)?"msg":"'),  # Docker; etcd
    regex(r"\s+"),
)


def message_of(line: str) -> str:
    r"""A line without colours, prefixes and the backslashes of nested quotes, and at most `LINE_LIMIT` long and a mark.

    >>> message_of('Jun 12 12:23:42 n1 kubelet[8]: E0113 03:25:40.008430    3674 server.go:302] "Failed" err="open \\"x\\""')
    '"Failed" err="open "x""'
    """
    line, start = _unwrapped(line)
    return line[start:].rstrip()


def prefix_of(line: str) -> str:
    r"""What `message_of` takes off a line's start: who said it, and when.

    >>> prefix_of("[1454500.910215] nf_conntrack: table full")
    '[1454500.910215] '
    """
    line, start = _unwrapped(line)
    return line[:start]


def _unwrapped(line: str) -> tuple[str, int]:
    """The line, made plain, and where its message begins."""
    if len(line) > LINE_LIMIT:
        line = f"{line[: LINE_LIMIT // 2]}{CUT}{line[-LINE_LIMIT // 2 :]}"
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    if "\\" in line:
        line = _ESCAPED_QUOTE.sub('"', line)
    quoted = _QUOTED.match(line)
    start = quoted.end() if quoted else 0
    for _ in range(6):  # a kubelet's line in a CRI log in a journal is three deep
        match = next((each for pattern in _PREFIXES if (each := pattern.match(line, start))), None)
        if match is None:
            break
        start = match.end()
    return line, start


def first_known(lines: Iterable[str]) -> Match | None:
    """What is known about the first line that says more than that something went wrong; else about the first known one."""
    fallback: Match | None = None
    for line in lines:
        match = recognise(line)
        if match is not None and match.error.look_at and not match.error.weak and not match.error.wraps:
            return match
        fallback = fallback or match
    return fallback
