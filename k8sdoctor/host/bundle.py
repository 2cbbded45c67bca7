"""A recorded run as a file, `node.tar.gz`: what it is made of, and reading one that anybody may have made.

    manifest.json               what this is: format, version, node, when, with which options
    files/<path>                a file, as it was read, less its secrets
    answers/<verb>/<name>.json  any other question: its arguments, and the answer
    errors.json                 questions that could not be answered, and why
    report.json, report.txt     what was concluded then; nothing here reads them
    end.json                    what was counted, and what was cut short; without it the file is not whole

A reader passes over members that it does not know, so a later version may add some. One that changes what these mean has another format.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from k8sdoctor.host import shapes, tar
from k8sdoctor.host.recording import (
    ANSWER_LIMIT,
    FORMAT,
    QUESTIONS_LIMIT,
    TOTAL_LIMIT,
    VALUES_LIMIT,
    Entry,
    ErrorEntry,
    Manifest,
    Recording,
    is_entry,
    question,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BUNDLE_FORMAT = "k8sdoctor/bundle/v2"

MANIFEST, ERRORS, END = "manifest.json", "errors.json", "end.json"
FILES, ANSWERS = "files/", "answers/"

LIMITS = tar.Limits(member=2 * ANSWER_LIMIT, total=2 * TOTAL_LIMIT, members=QUESTIONS_LIMIT + 100)
"""What a bundle of ours never exceeds."""


class BundleError(ValueError):
    """This is no bundle that can be judged; the message is one sentence that names the file, the member, and what is right."""


def open_bundle(path: str | Path) -> Recording:
    """What a bundle holds, as a host; also that of a recording in one text of JSON.

    Nothing is written anywhere. Raises BundleError for what is no bundle, or not a whole one.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(512)
            file.seek(0)
            if start.lstrip()[:1] == b"{":
                return _old(file)
            return _read(file)
    except (tar.UnfitError, _RefusedError) as error:
        raise BundleError(f"{path}: {error}") from None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}") from None


class _RefusedError(Exception):
    """As BundleError, without the file's name."""


def _old(file: BinaryIO) -> Recording:
    """A recording of the first format: one text."""
    data = file.read(LIMITS.total + 1)
    if len(data) > LIMITS.total:
        raise _RefusedError(f"a recording of more than {LIMITS.total >> 20} MiB is not read")
    document = _parsed(data, "the recording")
    match document:
        case {"format": str() as format_, "answers": list() as entries}:
            if format_ != FORMAT:
                raise _RefusedError(f"its format is {format_!r}; this version reads {FORMAT} and {BUNDLE_FORMAT}")
        case _:
            raise _RefusedError(f"it is neither a bundle (.tar.gz) nor a recording with the format {FORMAT}")
    checked = [_entry(value, f"its answer {number}") for number, value in enumerate(entries, 1)]
    return Recording.of(checked)


def _read(file: BinaryIO) -> Recording:
    reader = _Reader()
    for name, content in tar.members(file, LIMITS):
        reader.take(name, content)
    return reader.recording()


class _Reader:
    """A bundle, member by member."""

    def __init__(self) -> None:
        self._answers = _Compact()
        self._manifest: dict[str, Any] | None = None
        self._end: dict[str, Any] | None = None

    def take(self, name: str, content: bytes) -> None:
        """Take a member. What is not known here is passed over."""
        if name == MANIFEST:
            self._manifest = _manifest(_parsed(content, name))
        elif self._manifest is None:
            raise _RefusedError(f"it starts with {name!r}, not with {MANIFEST}, so it is no bundle of k8sdoctor's")
        elif name == END:
            self._end = _end(_parsed(content, name))
        elif name == ERRORS:
            self._take_errors(_parsed(content, name))
        elif name.startswith(ANSWERS):
            self._answers.add(_entry(_parsed(content, name), repr(name)), name)
        elif name.startswith(FILES):
            self._answers.add_file(name.removeprefix(FILES), content)

    def _take_errors(self, values: object) -> None:
        if not isinstance(values, list):
            raise _RefusedError(f"{ERRORS} is no list of questions")
        for number, value in enumerate(values, 1):
            self._answers.add(_entry(value, f"question {number} of {ERRORS}"), ERRORS)

    def recording(self) -> Recording:
        """All that was taken."""
        if self._manifest is None:
            raise _RefusedError(f"it holds no {MANIFEST}, so it is no bundle of k8sdoctor's")
        if self._end is None:
            raise _RefusedError(f"it holds no {END}, so it is not whole; copy or record it again")
        told = Manifest(
            tool=self._manifest["tool"]["version"],
            profile=self._end["profile"],
            deadline=self._manifest["deadline"],
            anonymized=self._manifest["anonymized"],
        )
        return Recording.over(self._answers, told)


def _manifest(document: object) -> dict[str, Any]:
    match document:
        case {"format": str() as format_} if format_ != BUNDLE_FORMAT:
            raise _RefusedError(f"{MANIFEST} says that its format is {format_!r}; this version reads {BUNDLE_FORMAT}")
        case {
            "format": str(),
            "tool": {"version": str()},
            "deadline": int() | float() as deadline,
            "anonymized": bool(),
        } if deadline > 0 and not isinstance(deadline, bool):
            return cast("dict[str, Any]", document)
        case _:
            raise _RefusedError(f"{MANIFEST} is not one of {BUNDLE_FORMAT}: it lacks a key, or one has the wrong type")


def _end(document: object) -> dict[str, Any]:
    from k8sdoctor.check import Profile

    match document:
        case {"profile": str() | None as profile} if profile in (None, *Profile):
            return cast("dict[str, Any]", document)
        case _:
            raise _RefusedError(f"{END} is not one of {BUNDLE_FORMAT}: it lacks a key, or one has the wrong type")


def _parsed(data: bytes, name: str) -> object:
    """JSON, and nothing that only Python takes for JSON."""
    if data.count(b",") > 2 * VALUES_LIMIT:
        raise _RefusedError(f"{name!r} holds more than {2 * VALUES_LIMIT} values")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_number)
    except RecursionError:
        raise _RefusedError(f"{name!r} is no JSON that we read: it is nested too deep") from None
    except ValueError as error:
        raise _RefusedError(f"{name!r} is no JSON: {error}") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _entry(value: object, name: str) -> Entry:
    """An entry whose answer has the shape of its verb's. One in another version's form is as good as not recorded."""
    if not is_entry(value):
        raise _RefusedError(f"{name} is no question with an answer")
    entry = cast("Entry", value)
    if "answer" in entry:
        try:
            shapes.hold(entry["verb"], entry["answer"])
        except shapes.WrongTypeError as error:
            raise _RefusedError(f"{name} is no answer of {entry['verb']!r}: {error}") from None
        except shapes.OtherFormError:
            told = ErrorEntry(
                reason="NotRecorded",
                message=f"{entry['verb']} was recorded in the form of another version of k8sdoctor",
            )
            return Entry(verb=entry["verb"], arguments=entry["arguments"], error=told)
    return entry


class _Compact:
    """Entries as they stand in the bundle: each is parsed again when it is asked for, since objects take many times the memory."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}
        self._bytes = 0

    def add(self, entry: Entry, name: str) -> None:
        """Take an entry. `name` is the member's."""
        text = json.dumps(entry, ensure_ascii=False)
        self._put(question(entry["verb"], entry["arguments"]), text.encode("utf-8", "surrogatepass"), name)

    def add_file(self, path: str, content: bytes) -> None:
        """Take a file's text."""
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _RefusedError(f"{FILES}{path} is not UTF-8: {error}") from None
        self._put(question("read", file_arguments(f"/{path}")), b"\0" + content, FILES + path)

    def _put(self, key: str, value: bytes, name: str) -> None:
        if key in self._entries:
            raise _RefusedError(f"{name!r} answers a question that another member answers, too")
        self._bytes += len(key) + len(value)
        if len(self._entries) >= QUESTIONS_LIMIT or self._bytes > LIMITS.total:
            raise _RefusedError(
                f"with {name!r} it holds more than {QUESTIONS_LIMIT} answers, or {LIMITS.total >> 20} MiB"
            )
        self._entries[key] = value

    def find(self, key: str) -> Entry | None:
        """The entry of a question."""
        kept = self._entries.get(key)
        return None if kept is None else _unpacked(key, kept)

    def __iter__(self) -> Iterator[Entry]:
        return (_unpacked(key, kept) for key, kept in self._entries.items())


def _unpacked(key: str, kept: bytes) -> Entry:
    if not kept.startswith(b"\0"):  # JSON never does
        return cast("Entry", json.loads(kept.decode("utf-8", "surrogatepass")))
    arguments = json.loads(key.removeprefix("read "))
    return Entry(verb="read", arguments=arguments, answer=kept[1:].decode("utf-8"))


def file_arguments(path: str) -> dict[str, Any]:
    """The arguments of the question whose answer is a file's text and nothing else: `Host.read` of a path."""
    return {"path": path, "netns": None}
