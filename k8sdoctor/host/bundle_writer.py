"""Writing a bundle, entry by entry, to a stream. `k8sdoctor.host.bundle` says what it is made of."""

from __future__ import annotations

import json
import posixpath
import tarfile
import threading
import zlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from k8sdoctor.host.bundle import ANSWERS, BUNDLE_FORMAT, END, ERRORS, FILES, MANIFEST, file_arguments
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host.answers import Given, Identity
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.recording import Entry

_CONTENTS = {
    FILES: "files as they were read; secrets are replaced by REDACTED-1, REDACTED-2, ...",
    ANSWERS: "what else was asked, one question a file: commands, netlink, DNS, TLS, HTTP, the runtime, the API server",
    ERRORS: "what could not be looked at or was not there, and why",
    "report.json, report.txt": "what was concluded then",
    END: "what was counted, and what was cut short",
}
_CONTROL = regex(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_A_NAME = regex(r"[^A-Za-z0-9._]+")
_MODE = 0o600


@dataclass(frozen=True)
class Origin:
    """Where a bundle is from: the version that records it, the node, and the run. `request` is what was asked for beside what facts are given."""

    tool: str
    identity: Identity
    given: Given
    now: float
    request: dict[str, Json]
    deadline: float
    anonymized: bool = False


@dataclass()
class Counts:
    """What a bundle holds, in members and bytes."""

    files: int = 0
    answers: int = 0
    errors: int = 0
    unanswered: int = 0


class BundleWriter:
    """A bundle that grows. Nothing is raised before `finish`: what the disk refuses is no fault of the fact that looks just then."""

    def __init__(self, file: BinaryIO, origin: Origin) -> None:
        """Write the manifest."""
        self._lock = threading.Lock()
        self._mtime = int(origin.now)
        self._file = file
        self._gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # 16: as a gzip file, without a name or a time
        self._failed: OSError | None = None
        self._not_answered: list[Entry] = []
        self.cut: list[dict[str, Json]] = []
        self._numbers: dict[str, int] = {}
        self.counts = Counts()
        self._put_json(
            MANIFEST,
            {
                "format": BUNDLE_FORMAT,
                "tool": {"name": "k8sdoctor", "version": origin.tool},
                "node": origin.identity["hostname"],
                "recordedAt": datetime.fromtimestamp(origin.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "anonymized": origin.anonymized,
                "deadline": origin.deadline,
                "request": origin.request | {"given": _told(origin.given)},
                "contents": _CONTENTS,
            },
        )

    def add(self, entry: Entry) -> None:
        """Write one entry."""
        with self._lock:
            if "error" in entry or "unanswered" in entry:
                self.counts.errors += "error" in entry
                self.counts.unanswered += "unanswered" in entry
                self._not_answered.append(entry)
            elif not self._put_file(entry):
                self.counts.answers += 1
                name = self._name(entry)
                self._put_json(name, entry)
                if "cut" in entry:
                    self.cut.append({"member": name, "bytes": entry["cut"]["bytes"]})

    def add_text(self, name: str, text: str) -> None:
        """Write a member that nothing reads again, such as the report."""
        with self._lock:
            self._put(name, text.encode("utf-8", "backslashreplace"))

    def finish(self, *, profile: str | None, stage: str, dropped: int) -> None:
        """Write what is known only in the end. Raises OSError if anything could not be written."""
        with self._lock:
            self._put_json(ERRORS, self._not_answered)
            counted = {"counts": asdict(self.counts), "cut": self.cut, "dropped": dropped}
            self._put_json(END, {"profile": profile, "stage": stage, **counted})
            self._write(bytes(2 * tarfile.BLOCKSIZE), last=True)
        if self._failed is not None:
            raise self._failed

    def _put_file(self, entry: Entry) -> bool:
        """Write what was read of a file under its own path, if that can be done."""
        arguments, text = entry["arguments"], entry.get("answer")
        path = arguments.get("path")
        if entry["verb"] != "read" or not isinstance(path, str) or not isinstance(text, str):
            return False
        name = FILES + path[1:]
        if arguments != file_arguments(path) or not _is_plain(path) or not _encodes(text) or not _fits(name):
            return False
        self.counts.files += 1
        self._put(name, text.encode("utf-8"))
        return True

    def _name(self, entry: Entry) -> str:
        """A number that nothing else has, and words by which a person finds what is looked for."""
        verb = _NOT_IN_A_NAME.sub("-", entry["verb"])
        number = self._numbers[verb] = self._numbers.get(verb, 0) + 1
        words = _NOT_IN_A_NAME.sub("-", " ".join(_words(entry["arguments"])))[:80].strip("-.")
        return f"{ANSWERS}{verb}/{number:04}{'-' if words else ''}{words}.json"

    def _put_json(self, name: str, value: object) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False)
        if not _encodes(text):  # the name of a file that is not UTF-8
            text = json.dumps(value, indent=1)
        self._put(name, f"{text}\n".encode())

    def _put(self, name: str, content: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        header.mode = _MODE
        header.mtime = self._mtime
        # ustar: the plain form, without extensions. Its names of up to 255 bytes are enough, and every tar reads it.
        self._write(header.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
        self._write(content + bytes(-len(content) % tarfile.BLOCKSIZE))

    def _write(self, data: bytes, *, last: bool = False) -> None:
        if self._failed is not None:
            return
        try:
            self._file.write(self._gzip.compress(data))
            if last:
                self._file.write(self._gzip.flush())
        except OSError as error:
            self._failed = error


def _told(given: Given) -> dict[str, Any]:
    """What was given on the command line, for a person: names of files instead of their texts, which stand in the answer to `given`."""
    return {
        name: value["path"] if isinstance(value, dict) and "path" in value else value for name, value in given.items()
    }


def _words(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [word for item in value.values() for word in _words(item)]
    if isinstance(value, list):
        return [word for item in value for word in _words(item)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _is_plain(path: str) -> bool:
    return path.startswith("/") and posixpath.normpath(path) == path != "/" and not _CONTROL.search(path)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fits(name: str) -> bool:
    try:
        tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except (ValueError, UnicodeEncodeError):
        return False
    return True
