"""What reads a report today reads those of earlier versions, and what was written for those reads today's."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from k8sdoctor import render, report
from k8sdoctor.stored_report import read_report
from tests.conftest import VALIDATOR
from tests.render.reports import SICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parent / "data" / "reports"
STORED = sorted(path for path in FOLDER.iterdir() if path.suffix in (".json", ".yaml") and path.stem != "schema")
EARLIER: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text("utf-8"))


def broken_promises(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What a reader may rely on by the old schema, and cannot by the new one.

    Types, patterns, bounds and keys stay; what was always there is always there. New keys, and new values of an enumeration, may come.
    """
    if new.get("additionalProperties") is False:
        yield f"{path}: no key may be added"
    for key, promised in old.items():
        kept = new.get(key)
        where = f"{path}/{key}"
        if key in ("description", "title", "additionalProperties") and not isinstance(promised, dict):
            continue  # words, not a property of that name
        if isinstance(promised, dict) and isinstance(kept, dict):
            yield from broken_promises(promised, kept, where)
        elif key == "anyOf" and kept:
            for position, each in enumerate(promised):
                yield from broken_promises(each, dict(enumerate(kept)).get(position, {}), f"{where}[{position}]")
        elif key == "enum" and kept:
            yield from (f"{where}: {value} is no value any more" for value in set(promised) - set(kept))
        elif key == "required" and kept:
            yield from (f"{where}: {name} is not always what it was" for name in set(promised) ^ set(kept))
        elif promised != kept:
            yield f"{where} was {promised!r} and is {kept!r}"


# -- today reads the past --------------------------------------------------------------------------------------------------


def test_there_are_stored_reports() -> None:
    assert len(STORED) >= 5


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_report_of_an_earlier_version_fits_todays_schema_and_is_read_whole(path: Path) -> None:
    text = path.read_text("utf-8")
    stored = yaml.safe_load(text)
    Draft202012Validator(report.schema()).validate(stored)
    read = read_report(text)
    told = read.document()

    VALIDATOR.validate(told)
    assert told["metadata"].items() >= stored["metadata"].items()
    assert {key: value for key, value in told.items() if key != "metadata"} == {
        key: value for key, value in stored.items() if key != "metadata"
    }
    for format_ in render.FORMATS:
        assert render.report(read, format_)


# -- the past reads today --------------------------------------------------------------------------------------------------


def test_todays_schema_keeps_what_the_earlier_one_promised() -> None:
    assert list(broken_promises(EARLIER, report.schema())) == []


def test_todays_report_fits_the_earlier_schema_for_who_passes_over_new_keys() -> None:
    def lenient(schema: Any) -> Any:
        if isinstance(schema, list):
            return [lenient(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        return {key: lenient(each) for key, each in schema.items() if key != "additionalProperties"}

    Draft202012Validator(lenient(EARLIER)).validate(SICK.document())


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["properties"].pop("broken"),
        lambda it: it["required"].remove("results"),
        lambda it: it["required"].append("weather"),
        lambda it: it["properties"]["apiVersion"].update(const="k8sdoctor/v2"),
        lambda it: it["properties"]["metadata"]["properties"].pop("node"),
        lambda it: it["properties"]["metadata"]["properties"]["stage"]["enum"].remove("bare"),
        lambda it: it["properties"]["metadata"]["properties"]["euid"].update(type="string"),
        lambda it: it["properties"]["results"]["items"].update({"$ref": "#/$defs/finding"}),
        lambda it: it["$defs"]["finding"]["properties"].update(message={"type": ["string", "null"]}),
        lambda it: it["$defs"]["finding"]["properties"]["evidence"]["items"]["properties"].pop("source"),
        lambda it: it["$defs"]["finding"]["properties"]["fix"]["anyOf"].pop(),
        lambda it: it["$defs"]["reason"].pop("pattern"),
        lambda it: it["$defs"].pop("broken"),
        lambda it: it["$defs"]["result"]["properties"].pop("title"),
        lambda it: it["$defs"]["fix"].update(additionalProperties=False),
    ],
    ids=range(15),
)
def test_a_promise_that_is_broken_is_noticed(change: Callable[[dict[str, Any]], object]) -> None:
    changed = copy.deepcopy(report.schema())
    change(changed)

    assert list(broken_promises(EARLIER, changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["properties"].update(weather={"type": "string"}),
        lambda it: it["$defs"]["finding"]["properties"].update(colour={"type": "string"}),
        lambda it: it["properties"]["metadata"]["properties"]["profile"]["enum"].append("edge"),
        lambda it: it["$defs"]["fix"]["properties"]["verify"].update(description="Another word."),
    ],
    ids=range(4),
)
def test_an_addition_breaks_no_promise(change: Callable[[dict[str, Any]], object]) -> None:
    changed = copy.deepcopy(report.schema())
    change(changed)

    assert list(broken_promises(EARLIER, changed)) == []


def test_that_a_run_was_interrupted_is_kept() -> None:
    for interrupted in (True, False):
        document = SICK.document()
        document["metadata"]["interrupted"] = interrupted

        assert read_report(json.dumps(document)).interrupted is interrupted
        assert read_report(json.dumps(document)).document() == document
