"""Recorded nodes of which some answers are spoiled, judged by all checks."""

from __future__ import annotations

import contextlib
import copy
import json
from functools import cache
from importlib import resources
from random import Random
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator

from k8sdoctor import engine, registry, render
from k8sdoctor.host import Host, shapes
from k8sdoctor.host.recording import Recording, question
from k8sdoctor.report import schema
from tests.control_plane import control_plane
from tests.fuzz import furnished, mutations

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.host.base import Json


FORMATS = ("text", "markdown", "html", "junit", "yaml")


class SpoiledHost(Host):
    """A host of whose answers about one in `of` is spoiled. What becomes of an answer rests on the seed and the question alone."""

    source = "bundle"

    def __init__(self, host: Host, seed: int, of: int) -> None:
        super().__init__()
        self._host, self._seed, self._of = host, seed, of

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        answer = self._host.ask(verb, arguments)
        r = Random(f"{self._seed} {question(verb, arguments)}")
        if r.randrange(self._of):
            return answer
        spoiled = _spoiled(r, verb, copy.deepcopy(answer))
        with contextlib.suppress(shapes.WrongTypeError, shapes.OtherFormError):
            shapes.hold(verb, spoiled)  # a host gives the shape of its verb, whatever the node holds
            return spoiled
        return answer


def _spoiled(r: Random, verb: str, answer: Any) -> Json:
    """What a node, or whoever answers it, could have said instead. Addresses that the kernel gives are such, and so are not touched."""
    return cast("Json", _WAYS[verb](r, answer)) if verb in _WAYS else cast("Json", answer)


def _lines(r: Random, answer: list[str]) -> list[str]:
    return mutations.text(r, "\n".join(answer)).splitlines()


def _run(r: Random, answer: Any) -> Any:
    place, code = r.choice(("out", "out", "out", "err")), r.choice((answer["code"], answer["code"], 1, -9, 127, 255))
    return {**answer, "code": code, place: mutations.text(r, answer["out"])}


def _http(r: Random, answer: Any) -> Any:
    if answer["failure"]:
        return answer
    status = r.choice((answer["status"], answer["status"], 100, 204, 302, 401, 429, 500, 999))
    headers = mutations.words_of(r, answer["headers"])
    return {**answer, "status": status, "headers": headers, "body": mutations.text(r, answer["body"])}


def _tls(r: Random, answer: Any) -> Any:
    chain = [mutations.text(r, each) for each in answer["chain"]]
    return {**answer, "chain": chain, "client_cas": mutations.words_of(r, answer["client_cas"])}


def _processes(r: Random, answer: Any) -> Any:
    return [
        {
            **each,
            "name": mutations.text(r, each["name"]) if not r.randrange(9) else each["name"],
            "cmdline": mutations.words_of(r, each["cmdline"]),
        }
        for each in answer
    ]


def _listdir(r: Random, answer: Any) -> Any:
    return [{**each, "name": _name(r, each["name"])} for each in answer]


def _name(r: Random, old: str) -> str:
    """What a name in a folder may be: no slash, no NUL, not empty, at most 255 bytes."""
    new = mutations.text(r, old).replace("/", "").replace("\0", "") if not r.randrange(3) else old
    return new if new.strip(".") and len(new.encode()) <= 255 else old


_WAYS: dict[str, Callable[[Random, Any], Any]] = {
    "read": mutations.text,
    "tail": mutations.text,
    "readlink": mutations.text,
    "lines": _lines,
    "run": _run,
    "given": mutations.words_of,
    "kube": mutations.value,
    "cri": mutations.words_of,  # typed by the protocol, but for the JSON inside of its texts
    "http": _http,
    "tls": _tls,
    "processes": _processes,
    "listdir": _listdir,
}


@cache
def _demo() -> Recording:
    return Recording((resources.files("k8sdoctor") / "data" / "demo.json").read_text("utf-8"))


def _host(seed: int) -> Host:
    """The demo's recording, or the recorded control plane, furnished by one of the runtimes or plain."""
    match seed % 5:
        case 0:
            return _demo().again()
        case 1:
            return control_plane()
        case kind:
            return furnished.node(furnished.RUNTIMES[kind - 2])


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def fault(seed: int) -> str | None:
    """What is wrong with the report on the node of a seed, or None."""
    r = Random(seed)
    known = registry.load(plug_ins=False)
    host = SpoiledHost(_host(seed), seed, r.choice((3, 8, 30)))
    everything = engine.Request(named=tuple(check.id for check in known.checks))
    report = engine.run(host, known.checks, everything)
    if report.broken:
        return "\n".join(f"{each.what}: {each.traceback}" for each in report.broken)
    if missing := {check.id for check in known.checks} - {result.check for result in report.results}:
        return f"no result of {', '.join(sorted(missing))}"
    for format_ in FORMATS:
        render.report(report, format_).encode()  # whatever was read can be printed: no lone surrogate
    text = render.report(report, "json")
    error = next(_validator().iter_errors(json.loads(text, parse_constant=_no_json)), None)
    return f"the report does not fit the schema: {error.json_path}: {error.message[:200]}" if error else None


def _no_json(word: str) -> Any:
    raise ValueError(f"the report holds {word}, which is not JSON")
