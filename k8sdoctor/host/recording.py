"""Keeping what a host answered, and answering from what was kept.

The format is JSON, made to be read: `{"format": "k8sdoctor/recording/v1", "answers": [{"verb", "arguments", "answer"} or
{"verb", "arguments", "error": {"reason", "message"}}, …]}`, sorted, one entry for each distinct question.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, TypedDict, cast

from k8sdoctor.host.base import Host, HostError, Json

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "k8sdoctor/recording/v1"


class ErrorEntry(TypedDict):
    """A question that the host could not answer."""

    reason: str
    message: str


class Entry(TypedDict, total=False):
    """One question, and its answer or error."""

    verb: str
    arguments: dict[str, Json]
    answer: Json
    error: ErrorEntry


class Recorder(Host):
    """Wraps a host and keeps the first answer to each question."""

    def __init__(self, host: Host) -> None:
        """Wrap a host."""
        super().__init__()
        self._host = host
        self.stopping = host.stopping
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Pass the question on, and keep what came back."""
        entry = Entry(verb=verb, arguments=arguments)
        self._host.listener = self.listener  # who tells how far it has come is the host inside
        try:
            entry["answer"] = answer = self._host.ask(verb, arguments)
        except HostError as error:
            entry["error"] = ErrorEntry(reason=error.reason, message=error.message)
            self._keep(entry)
            raise
        self._keep(entry)
        return answer

    def _keep(self, entry: Entry) -> None:
        with self._lock:
            self._entries.setdefault(_key(entry["verb"], entry["arguments"]), entry)

    def dump(self) -> str:
        """The recording so far, as text."""
        with self._lock:
            entries = [self._entries[key] for key in sorted(self._entries)]
        return json.dumps({"format": FORMAT, "answers": entries}, indent=1, ensure_ascii=False) + "\n"


class Recording(Host):
    """Answers from a recording. What was not asked then is `NotRecorded`, which is not the same as absent."""

    source = "bundle"

    def __init__(self, text: str) -> None:
        """Parse a recording. Raises ValueError with a sentence for what is none."""
        super().__init__()
        try:
            document = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            msg = f"this is no recording: not JSON ({error})"
            raise ValueError(msg) from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            msg = f"this is no recording: its format is not {FORMAT!r}"
            raise ValueError(msg)
        answers = document.get("answers")
        if not isinstance(answers, list) or not all(map(_is_entry, answers)):
            msg = "this is no recording: its answers are not a list of questions with an answer or an error each"
            raise ValueError(msg)
        self._entries = {_key(entry["verb"], entry["arguments"]): entry for entry in cast("Iterable[Entry]", answers)}

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer what was answered then."""
        entry = self._entries.get(_key(verb, arguments))
        if entry is None:
            raise HostError("NotRecorded", f"the recording does not hold {_words(verb, arguments)}")
        if "error" in entry:
            raise HostError(entry["error"]["reason"], entry["error"]["message"])
        return entry["answer"]


def _is_entry(value: object) -> bool:
    """Whether a value of a file that anybody may have written has the shape of an entry."""
    match value:
        case {"verb": str(), "arguments": dict(), "error": {"reason": str() as reason, "message": str()}}:
            return reason in HostError.REASONS
        case {"verb": str(), "arguments": dict(), "answer": _}:
            return True
        case _:
            return False


def _key(verb: str, arguments: dict[str, Json]) -> str:
    return f"{verb} {json.dumps(arguments, sort_keys=True)}"


def _words(verb: str, arguments: dict[str, Json]) -> str:
    values = " ".join(str(value) for value in arguments.values() if value is not None)
    return f"{verb} {values}".strip()
