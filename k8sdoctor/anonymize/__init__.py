"""A recording without the names of the node that it is of.

On top of what is hidden already, host names, domains, addresses, machine IDs, people's and organisations' names are replaced by stand-ins, in the questions
and in the answers alike, so that the checks ask the same questions again and come to the same conclusions. It takes two passes: first
everything is seen, then it is mapped. The table is in memory alone, and the key is another one for each recording.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from k8sdoctor.anonymize.comments import are_of_people, without_comments
from k8sdoctor.anonymize.places import see_entry
from k8sdoctor.anonymize.programs import unnamed
from k8sdoctor.anonymize.text import Texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host.base import Json
    from k8sdoctor.host.recording import Entry


class StandIns:
    """What stands for what in one recording. `see` every entry, and then map each by `entry`."""

    def __init__(self, key: bytes | None = None) -> None:
        """`key` makes the stand-ins the same again, for tests; without, they are new each time."""
        self._texts = Texts(key or secrets.token_bytes(32))
        self._settled = False

    def see(self, entry: Entry) -> None:
        """Note what an entry names. Raises ValueError once an entry was mapped, since stand-ins are made of all."""
        if self._settled:
            raise ValueError("an entry was mapped already; all are seen before the first is mapped")
        see_entry(entry, self._texts)

    def entry(self, entry: Entry) -> Entry:
        """An entry with stand-ins."""
        self._settle()
        made = cast("Entry", self._mapped(cast("Json", entry)))
        made["verb"] = entry["verb"]
        if "cut" in entry:  # half a name or half a certificate could not be told
            made["cut"] = {**entry["cut"], "head": "", "tail": ""}
        if entry["verb"] == "read" and "answer" in made and are_of_people(str(entry["arguments"].get("path"))):
            made["answer"] = _uncommented(made["answer"])
        if entry["verb"] == "given" and isinstance(made.get("answer"), dict):
            given = cast("dict[str, Json]", made["answer"])
            made["answer"] = {
                key: {**each, "text": _uncommented(each.get("text"))} if isinstance(each, dict) else each
                for key, each in given.items()
            }
        if entry["verb"] in ("processes", "listeners") and isinstance(made.get("answer"), list):
            made["answer"] = [unnamed(each) for each in cast("list[dict[str, Json]]", made["answer"])]
        if entry["verb"] == "listdir" and isinstance(made.get("answer"), list):
            names = cast("list[dict[str, str]]", made["answer"])
            made["answer"] = cast(
                "Json", sorted(names, key=lambda each: each["name"].encode("utf-8", "surrogateescape"))
            )
        if entry["verb"] == "public_key" and isinstance(made.get("answer"), dict):
            fingerprint = cast("dict[str, Json]", entry["answer"]).get("public_key")
            if isinstance(fingerprint, str):
                cast("dict[str, Json]", made["answer"])["public_key"] = self._texts.certificates.key(fingerprint)
        return made

    def text(self, text: str) -> str:
        """A text with stand-ins."""
        self._settle()
        return self._texts.of(text)

    @property
    def kept(self) -> list[str]:
        """Names of hosts that stay because they are words of the field, such as `node`; sorted."""
        return sorted(self._texts.names.kept)

    def _settle(self) -> None:
        if not self._settled:
            self._texts.settle()
            self._settled = True

    def _mapped(self, value: Json) -> Json:
        if isinstance(value, str):
            return self._texts.of(value)
        if isinstance(value, list):
            return [self._mapped(each) for each in value]
        if isinstance(value, dict):
            return {self._texts.of(key): self._mapped(each) for key, each in value.items()}
        return value


def _uncommented(text: Json) -> Json:
    return without_comments(text) if isinstance(text, str) else text


def anonymized(entries: Iterable[Entry], *, key: bytes | None = None) -> list[Entry]:
    """The entries of a recording with stand-ins."""
    known = list(entries)
    stand_ins = StandIns(key)
    for entry in known:
        stand_ins.see(entry)
    return [stand_ins.entry(entry) for entry in known]
