"""Going through logs for what is known: each trouble once, with how often and where it was seen.

A log is read as a stream and may be of any size; of a line of megabytes, both ends are looked at.
"""

from __future__ import annotations

import codecs
import gzip
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO, cast

from k8sdoctor.known_errors import CUT, LINE_LIMIT, prefix_of, recognise
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.host.secrets import Vault
    from k8sdoctor.known_errors import KnownError, Match

CHUNK = 1 << 16
"""Bytes that are read at once, at most."""

_HELD = 2 * LINE_LIMIT
"""Characters that are kept of a line whose end has not come: its two ends."""

_WRAPPED = range(40, 401)
"""How long the first part of a line may be that was broken by the width of a screen or of a mail."""


@dataclass(frozen=True)
class Sighting:
    """Where a trouble was seen: whose line, its number from 1, the time as printed there ("" for none), and what it says.

    `words` are those by which it is known, and stand in `text`, which is the line's message. No secret is in either.
    """

    source: str
    line: int
    time: str
    text: str
    words: str


@dataclass()
class Trouble:
    """A known error as it was met: `count` lines of it, the first and the last. `rank` is how much it says, as `Match.rank`."""

    error: KnownError
    rank: int
    look_at: tuple[str, ...]
    count: int
    first: Sighting
    last: Sighting

    @property
    def checks(self) -> tuple[str, ...]:
        """The ids of the checks that judge it."""
        return tuple(dict.fromkeys(each.partition("/")[0] for each in self.look_at))


@dataclass()
class _Seen:
    """A trouble while lines still come: of a line that may be followed by a million like it, the raw text is kept."""

    match: Match
    count: int
    first: tuple[str, int, str, Match]
    last: tuple[str, int, str, Match]


@dataclass()
class Troubles:
    """What is known of all lines that were shown to it. `lines` were read, `known` of them recognised."""

    lines: int = 0
    known: int = 0
    _seen: dict[tuple[KnownError, tuple[str, ...]], _Seen] = field(default_factory=dict)

    def read(self, source: str, lines: Iterable[str]) -> None:
        """Look at the lines of a source, one by one; what has been seen is there at any time."""
        before: tuple[str, Match | None] = "", None
        for number, line in enumerate(lines, 1):
            self.lines += 1
            match = recognise(line)
            # The line's end is nothing by itself, and what it is the end of is neither.
            if (match is None or match.rank < 2) and (joined := _joined(*before, line)) is not None:  # noqa: PLR2004
                self._add(source, number - 1, *joined)
                before = "", None
                continue
            if match is not None:
                self._add(source, number, line, match)
            before = line, match

    def _add(self, source: str, number: int, line: str, match: Match) -> None:
        self.known += 1
        sighting = source, number, line, match
        seen = self._seen.setdefault((match.error, match.look_at), _Seen(match, 0, sighting, sighting))
        seen.count += 1
        seen.last = sighting

    def told(self) -> list[Trouble]:
        """Each trouble, what says most first, and of those the one that was seen most."""
        from k8sdoctor.host.secrets import Vault  # its tables take 2 ms to load, and only what is told needs them

        vault = Vault()
        found = sorted(self._seen.values(), key=lambda each: (-each.match.rank, -each.count))
        return [
            Trouble(
                each.match.error,
                each.match.rank,
                each.match.look_at,
                each.count,
                _sighting(vault, *each.first),
                _sighting(vault, *each.last),
            )
            for each in found
        ]


def _joined(before: str, matched: Match | None, line: str) -> tuple[str, Match] | None:
    """A line that was broken in two when it was pasted, if it says together what neither half says alone."""
    if len(before) not in _WRAPPED or prefix_of(line).strip(" \t>|"):
        return None
    rest = line[len(prefix_of(line)) :]
    for glue in ("", " "):
        match = recognise(f"{before.rstrip()}{glue}{rest}")
        if match is None or not match.rank:
            continue
        if matched is None or match.rank > matched.rank:
            half = recognise(rest)
            if half is None or half.rank < match.rank:
                return f"{before.rstrip()}{glue}{rest}", match
    return None


# -- what is shown of a line ---------------------------------------------------------------------------------------------

_TIME = regex(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)?|[A-Z][a-zäéû]{2,4}\.? +\d{1,2} \d\d:\d\d:\d\d(?: \d{4})?"
    r"|(?<=[IWEF])\d{4} \d\d:\d\d:\d\d"
)
_DOCKERS_TIME = regex(r'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)')


def _sighting(vault: Vault, source: str, number: int, line: str, match: Match) -> Sighting:
    message = vault.hide(match.message, prose=True)
    words = vault.hide(match.words, prose=True)
    if CUT in message and words not in message.partition(CUT)[0]:
        # What stands behind the cut may be the end of a secret whose name was cut off.
        kept = message.partition(CUT)[2]
        message = CUT.lstrip() + (kept.partition(" ")[2] if words not in kept.partition(" ")[0] else words)
    return Sighting(source, number, _time_of(line), message, words if words in message else "")


def _time_of(line: str) -> str:
    prefix = prefix_of(line)
    found = _TIME.search(prefix)
    if found:
        return found[0]
    docker = _DOCKERS_TIME.search(line) if prefix.endswith('{"log":"') else None
    return docker[1] if docker else ""


# -- lines ---------------------------------------------------------------------------------------------------------------

_GZIP = b"\x1f\x8b"
_JOURNAL = b"LPKSHHRH"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NotALogError(Exception):
    """The bytes are no text; the message is one sentence that says what would be right."""


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """The lines of a log, as far as they have come; compressed by gzip, too, as logs are that were rotated.

    Bytes that are no UTF-8 are replaced, and what Windows writes as UTF-16 is read as that. Raises NotALogError and OSError.
    """
    held = ""
    for text in _texts(stream):
        first, *rest = text.split("\n")
        held = _shortened(held + first)
        if rest:
            yield held
            yield from rest[:-1]
            held = rest[-1]
    if held:
        yield held


def _shortened(line: str) -> str:
    return line if len(line) <= _HELD else line[: _HELD // 2] + line[-_HELD // 2 :]


def _texts(stream: BinaryIO) -> Iterator[str]:
    start = stream.read(1)
    if start in (_GZIP[:1], _JOURNAL[:1], *(each[:1] for each in _UTF16)):  # who types has not typed more yet
        start += stream.read(len(_JOURNAL) - 1)
    if start == _JOURNAL:
        raise NotALogError("it is a file of journald's, which is no text; try: journalctl --file FILE | k8sdoctor why")
    encoding = "utf-16" if start.startswith(_UTF16) else "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    chunks = _unzipped(start, stream) if start.startswith(_GZIP) else _chunks(start, stream)
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _chunks(start: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield start
    read = getattr(stream, "read1", stream.read)  # what has come, not what would fill the chunk
    while chunk := read(CHUNK):
        yield chunk


class _Rest:
    """A stream that begins with what was read of it already."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int = CHUNK) -> bytes:
        if self._start:
            taken, self._start = self._start[:size], self._start[size:]
            return taken
        return self._stream.read(size)


def _unzipped(start: bytes, stream: BinaryIO) -> Iterator[bytes]:
    import zlib

    try:
        with gzip.GzipFile(fileobj=cast("BinaryIO", _Rest(start, stream))) as file:
            while chunk := file.read1(CHUNK):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NotALogError(f"it is compressed, and broken: {error}") from None
