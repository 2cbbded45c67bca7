"""Keeping what a host answered, and answering from what was kept.

What is kept is a list of entries, one for each distinct question. `k8sdoctor.host.bundle` reads them from a file, `bundle_writer` writes them
to one. A recording may also be one text of JSON, in the format of the first recordings: `{"format": "k8sdoctor/recording/v1", "answers":
[entry, …]}`, sorted, made to be read.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, cast

from k8sdoctor.host.base import READ_LIMIT, Host, HostError, Json, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FORMAT = "k8sdoctor/recording/v1"

ANSWER_LIMIT = 2 * READ_LIMIT
"""Bytes of one answer, as JSON, that are kept: any file of text that a host reads fits."""

VALUES_LIMIT = 1_000_000
"""Commas in an answer as JSON, and so about the values: in memory each is many times as large as there."""

TOTAL_LIMIT = 64 * 1024 * 1024
"""Bytes of all questions and answers that are kept; those of a control plane are some hundred KiB."""

QUESTIONS_LIMIT = 50_000
"""Questions that are kept."""

EXCERPT = 4096
"""Characters that are kept of each end of an answer that is too long."""

_CUT = 2 * 6 * EXCERPT
"""Bytes of both ends as JSON, at most."""


class ErrorEntry(TypedDict):
    """A question that the host could not answer."""

    reason: str
    message: str


class CutEntry(TypedDict):
    """An answer that is too long to be kept: its length in bytes, and both its ends, as text or JSON."""

    bytes: int
    head: str
    tail: str


class Entry(TypedDict, total=False):
    """One question, and one of: its answer, its error, what is left of a long answer, or that it had none when the run was over."""

    verb: str
    arguments: dict[str, Json]
    answer: Json
    error: ErrorEntry
    cut: CutEntry
    unanswered: bool


Keep: TypeAlias = "Callable[[Entry], object]"
"""What takes an entry as soon as it is known. Called in the thread that asked, one at a time."""


_UNORDERED = frozenset({"queries", "keep"})
"""Arguments that ask the same in any order. Facts sort them by names and addresses, which are others where stand-ins were put."""


def question(verb: str, arguments: dict[str, Json]) -> str:
    """A question as a text that is the same for equal ones."""
    asked = {
        name: sorted(each, key=_text) if name in _UNORDERED and isinstance(each, list) else each
        for name, each in arguments.items()
    }
    return f"{verb} {_text(asked)}"


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


class Recorder(Host):
    """Wraps a host and keeps the first answer to each question.

    Who asks again is told what was answered first, so that all of a run judges what the recording holds.
    """

    def __init__(self, host: Host) -> None:
        """Wrap a host."""
        super().__init__()
        self._host = host
        self.stopping = host.stopping
        self.dropped = 0
        """Questions that were not kept, since there were too many."""
        self._keep: Keep | None = None
        self._entries: dict[str, Entry] = {}
        self._open: dict[str, Entry] = {}
        self._bytes = 0
        self._over = False
        self._lock = threading.Lock()

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Pass the question on, and keep what came back."""
        key = question(verb, arguments)
        with self._lock:
            known = self._entries.get(key)
            if known is None and not self._over:
                self._open[key] = Entry(verb=verb, arguments=arguments)
        if known is not None and _is_whole(known):
            return _said(known, arguments)
        self._host.listener = self.listener  # who tells how far it has come is the host inside
        entry = Entry(verb=verb, arguments=arguments)
        try:
            entry["answer"] = self._host.ask(verb, arguments)
        except HostError as error:
            entry["error"] = ErrorEntry(reason=error.reason, message=error.message)
        return _said(self._kept(key, entry), arguments)

    def _kept(self, key: str, entry: Entry) -> Entry:
        """Keep an entry, unless the question has one already. What is to be told to the one who asked."""
        text = json.dumps(entry, indent=1, ensure_ascii=False)
        size = len(text.encode("utf-8", "backslashreplace"))
        fits = size <= ANSWER_LIMIT and text.count(",") <= VALUES_LIMIT
        with self._lock:
            self._open.pop(key, None)
            known = self._entries.get(key)
            if known is not None:
                return known if _is_whole(known) else entry
            if not self._over:
                if fits and self._bytes + size <= TOTAL_LIMIT:
                    self._add(key, entry, size)
                else:
                    # Where there is room for nothing more, at least its length is told.
                    excerpt = EXCERPT if self._bytes + _CUT <= TOTAL_LIMIT else 0
                    self._add(key, _cut(entry, excerpt), len(key) + _CUT * bool(excerpt))
            return entry

    def _add(self, key: str, entry: Entry, size: int) -> None:
        full = self._bytes + len(key) > TOTAL_LIMIT + TOTAL_LIMIT // 4  # a quarter for the lengths of what has no room
        if len(self._entries) >= QUESTIONS_LIMIT or full or len(key) > ANSWER_LIMIT:
            self.dropped += 1
            return
        self._bytes += size
        self._entries[key] = entry
        if self._keep is not None:
            self._keep(entry)

    def pass_on(self, keep: Keep) -> None:
        """Hand over what was kept so far, and from now on each entry as soon as it is known."""
        with self._lock:
            for entry in self._entries.values():
                keep(entry)
            self._keep = keep

    def settled(self) -> None:
        """Keep of each question that waits for its answer that it has none, and nothing of what comes later."""
        with self._lock:
            if self._over:
                return
            self._over = True
            for key, entry in self._open.items():
                if key not in self._entries:
                    self._add(key, {**entry, "unanswered": True}, 0)
            self._open.clear()
        self._host.settled()

    def entries(self) -> list[Entry]:
        """The entries so far, sorted by question."""
        with self._lock:
            return [self._entries[key] for key in sorted(self._entries)]

    def dump(self) -> str:
        """The recording so far, as text."""
        return json.dumps({"format": FORMAT, "answers": self.entries()}, indent=1, ensure_ascii=False) + "\n"


def _is_whole(entry: Entry) -> bool:
    """Whether an entry says what was answered."""
    return "answer" in entry or "error" in entry


def _said(entry: Entry, arguments: dict[str, Json]) -> Json:
    """The answer of an entry to whoever asks with these arguments, or its error raised."""
    if "error" in entry:
        raise HostError(entry["error"]["reason"], entry["error"]["message"])
    return _in_order(arguments, entry["answer"])


def _in_order(arguments: dict[str, Json], answer: Json) -> Json:
    """What DNS made of queries, in their order; each outcome tells which query it is of."""
    queries = arguments.get("queries")
    outcomes = answer.get("tallies") if isinstance(answer, dict) else answer
    if not isinstance(queries, list) or not isinstance(outcomes, list):
        return answer
    of: dict[str, Json] = {_text(each.get("query")): each for each in outcomes if isinstance(each, dict)}
    wanted = [_text(query) for query in queries]
    if not all(query in of for query in wanted):
        return answer
    ordered = [of[query] for query in wanted]
    return {**answer, "tallies": ordered} if isinstance(answer, dict) else ordered


def _cut(entry: Entry, excerpt: int) -> Entry:
    """An entry with no more of its answer than so many characters of each end."""
    answer = entry.get("answer", entry.get("error"))
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    size = len(text.encode("utf-8", "backslashreplace"))
    cut = CutEntry(bytes=size, head=text[:excerpt], tail=text[len(text) - excerpt :])
    return Entry(verb=entry["verb"], arguments=entry["arguments"], cut=cut)


class Answers(Protocol):
    """What a recording holds. Made once, and asked by any number of hosts."""

    def find(self, key: str) -> Entry | None:
        """The entry of a question."""
        ...

    def __iter__(self) -> Iterator[Entry]:
        """All entries."""
        ...


class _InMemory:
    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {question(entry["verb"], entry["arguments"]): entry for entry in entries}

    def find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())


class Manifest(TypedDict):
    """What a bundle says of the run that it was recorded in, as far as judging it again needs it."""

    tool: str
    """The version that recorded it."""
    profile: str | None
    """The profile that was run; None where it is to be detected."""
    deadline: float | None
    """The seconds that the run had."""
    anonymized: bool


UNTOLD = Manifest(tool="", profile=None, deadline=None, anonymized=False)


class Recording(Host):
    """Answers from a recording. What was not asked then is `NotRecorded`, which is not the same as absent."""

    source = "bundle"

    def __init__(self, text: str) -> None:
        """Parse a recording in one text. Raises ValueError with a sentence for what is none."""
        super().__init__()
        self.manifest = UNTOLD
        self._answers: Answers = _InMemory(_parsed(text))

    @classmethod
    def of(cls, entries: Iterable[Entry], manifest: Manifest = UNTOLD) -> Recording:
        """A host that answers from entries."""
        return cls.over(_InMemory(entries), manifest)

    @classmethod
    def over(cls, answers: Answers, manifest: Manifest = UNTOLD) -> Recording:
        """A host that answers from what something else holds."""
        made = cls.__new__(cls)
        Host.__init__(made)
        made.manifest = manifest
        made.anonymized = manifest["anonymized"]
        made._answers = answers  # noqa: SLF001 -- its own
        return made

    def again(self) -> Recording:
        """The same recording as a host that nobody has asked yet."""
        return Recording.over(self._answers, self.manifest)

    def entries(self) -> Iterator[Entry]:
        """All that was kept."""
        return iter(self._answers)

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer what was answered then. Raises UnansweredError for a question that still waited when the run was over."""
        entry = self._answers.find(question(verb, arguments))
        if entry is None:
            raise HostError("NotRecorded", f"the recording does not hold {_words(verb, arguments)}")
        if "cut" in entry:
            size = entry["cut"]["bytes"]
            told = f"the answer to {_words(verb, arguments)} was too large to keep ({size >> 10} KiB); the recording holds its two ends"
            raise HostError("NotRecorded", told)
        if "unanswered" in entry:
            raise UnansweredError(_words(verb, arguments))
        return _said(entry, arguments)


def _parsed(text: str) -> Iterable[Entry]:
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"this is no recording: not JSON ({error})"
        raise ValueError(msg) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        msg = f"this is no recording: its format is not {FORMAT!r}"
        raise ValueError(msg)
    answers = document.get("answers")
    if not isinstance(answers, list) or not all(map(is_entry, answers)):
        msg = "this is no recording: its answers are not a list of questions with an answer or an error each"
        raise ValueError(msg)
    return cast("list[Entry]", answers)


def is_entry(value: object) -> bool:
    """Whether a value of a file that anybody may have written has the shape of an entry."""
    match value:
        case {"verb": str(), "arguments": dict(), "error": {"reason": str() as reason, "message": str()}}:
            return reason in HostError.REASONS
        case {"verb": str(), "arguments": dict(), "cut": {"bytes": int(), "head": str(), "tail": str()}}:
            return True
        case {"verb": str(), "arguments": dict(), "unanswered": True} | {
            "verb": str(),
            "arguments": dict(),
            "answer": _,
        }:
            return True
        case _:
            return False


def _words(verb: str, arguments: dict[str, Json]) -> str:
    values = " ".join(str(value) for value in arguments.values() if value is not None)
    return f"{verb} {values}".strip()
