"""Reading a report that was written as JSON or YAML, by this version or another one.

A report of a newer version may hold keys that this one does not know: they are passed over. Whatever else differs from the
schema is refused, by the name of the place.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from k8sdoctor.diagnosis import Diagnosis, Reference
from k8sdoctor.finding import Certainty, Evidence, Finding, Fix, Safety, Status
from k8sdoctor.host.tags import MISFITS
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass
from k8sdoctor.report import API_VERSION, Broken, Report, Result

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from enum import StrEnum

    E = TypeVar("E", bound=StrEnum)

_DEEPEST = 32
"""Levels of a document; a report has eight."""

_WORD = regex(r"[a-z][a-z0-9-]{0,62}")
_REASON = regex(r"[A-Z][A-Za-z0-9]{0,126}")


class StoredReportError(ValueError):
    """The text is no report that can be read; the message is one sentence that says why."""


def read_report(text: str) -> Report:
    """A report from what `-o json` or `-o yaml` wrote. Raises StoredReportError.

    What no report holds is lost: the traits of findings, and the words of links. `Report.explains` and `Report.diagnoses` are as
    they were written, whatever today's checks would link.
    """
    top = _Place(_parsed(text), "")
    if not isinstance(top.value, dict) or top.value.get("kind") != "Report":
        raise StoredReportError("it is no report of k8sdoctor: it has no `kind: Report`")
    version = top.value.get("apiVersion")
    if version != API_VERSION:
        raise StoredReportError(
            f"it is a report of apiVersion {_shown(version)}, and this k8sdoctor reads {API_VERSION}"
            + ("; a newer k8sdoctor wrote it" if str(version).startswith("k8sdoctor/") else "")
        )
    about = top.at("metadata")
    results = top.at("results").items()
    return Report(
        version=about.at("tool").at("version").text(),
        node=about.at("node").text(),
        started_at=about.at("startedAt").time(),
        seconds=about.at("durationSeconds").number(),
        source=about.at("source").like(_WORD),
        euid=about.at("euid").integer(),
        profile=about.at("profile").like(_WORD),
        stage=about.at("stage").like(_WORD),
        results=tuple(_result(each) for each in results),
        diagnoses=tuple(_diagnosis(each) for each in top.at("diagnoses").items()),
        explains=tuple(
            tuple(_references(finding.at("explains")) for finding in each.at("findings").items()) for each in results
        ),
        contacted=top.at("contacted").texts(),
        broken=tuple(
            Broken(each.at("what").text(), each.at("error").text(), each.at("traceback").text())
            for each in top.at("broken").items()
        ),
        interrupted=about.later_truth("interrupted"),
        anonymized=about.later_truth("anonymized"),
        other_distribution=about.later_text("otherDistribution"),
    )


# -- text to document ----------------------------------------------------------------------------------------------------


def _parsed(text: str) -> object:
    text = text.removeprefix("\ufeff")  # which editors of another system leave
    if not text.strip():
        raise StoredReportError("it is empty")
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise StoredReportError(f"it is no JSON: {error}") from None
        except RecursionError:
            raise StoredReportError("it is nested too deeply for a report") from None
    return _parsed_yaml(text)


def _parsed_yaml(text: str) -> object:
    """Read only what we write: no alias, which can make a few lines a document without end, and no depth."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        unfit = _unfit(yaml.parse(text, loader))
        if unfit is None:
            return yaml.load(text, loader)  # noqa: S506 -- a safe one, see above
    except yaml.MarkedYAMLError as error:
        where = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise StoredReportError(f"it is neither JSON nor YAML: {error.problem or error.context}{where}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise StoredReportError(f"it is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    except MISFITS:
        raise StoredReportError("it is neither JSON nor YAML: a value does not fit its tag, as in `!!bool x`") from None
    raise StoredReportError(unfit)


def _unfit(events: Iterator[Any]) -> str | None:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            return "it holds a YAML alias, and no report does"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return "it is nested too deeply for a report"
    return None


# -- document to report --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """A value of the document and where it stands. Each method raises StoredReportError where it is of another kind."""

    value: object
    path: str

    def at(self, key: str) -> _Place:
        if not isinstance(self.value, dict):
            raise self._not("an object")
        path = f"{self.path}.{key}" if self.path else key
        if key not in self.value:
            raise StoredReportError(f"it is no whole report: {path} is missing")
        return _Place(self.value[key], path)

    def later_truth(self, key: str) -> bool:
        """A switch that reports of earlier versions lack: it was off."""
        return isinstance(self.value, dict) and key in self.value and self.at(key).truth()

    def later_text(self, key: str) -> str | None:
        """A text that may be null, and that reports of earlier versions lack."""
        there = isinstance(self.value, dict) and self.value.get(key) is not None
        return self.at(key).text() if there else None

    def items(self) -> list[_Place]:
        if not isinstance(self.value, list):
            raise self._not("a list")
        return [_Place(each, f"{self.path}[{position}]") for position, each in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self._not("a string")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(each.text() for each in self.items())

    def like(self, pattern: re.Pattern[str]) -> str:
        if not pattern.fullmatch(self.text()):
            raise self._not(f"a word like {pattern.pattern}")
        return self.text()

    def number(self) -> float:
        if not isinstance(self.value, int | float) or isinstance(self.value, bool) or not 0 <= self.value < math.inf:
            raise self._not("a number of seconds")
        return self.value

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self._not("true or false")
        return self.value

    def integer(self) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._not("an integer")
        return self.value

    def time(self) -> float:
        try:
            return datetime.strptime(self.text(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise self._not("a time such as 2026-11-20T10:00:00Z") from None

    def one_of(self, kind: type[E]) -> E:
        try:
            return kind(self.text())
        except ValueError:
            raise self._not(f"one of {', '.join(kind)}") from None

    def _not(self, wanted: str) -> StoredReportError:
        return StoredReportError(f"it is no whole report: {self.path} is {_shown(self.value)}, not {wanted}")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 -- a sentence on one line or two


def _result(place: _Place) -> Result:
    findings = place.at("findings").items()
    if not findings:
        raise StoredReportError(f"it is no whole report: {place.path}.findings is empty")
    return Result(
        check=place.at("check").text(),
        area=place.at("area").text(),
        title=place.at("title").text(),
        seconds=place.at("seconds").number(),
        findings=tuple(_finding(each) for each in findings),
    )


def _finding(place: _Place) -> Finding:
    return Finding(
        status=place.at("status").one_of(Status),
        reason=place.at("reason").like(_REASON),
        message=place.at("message").text(),
        subject=_subject(place),
        evidence=tuple(
            Evidence(each.at("source").text(), each.at("content").text()) for each in place.at("evidence").items()
        ),
        fix=_fix(place.at("fix")),
    )


def _fix(place: _Place) -> Fix | None:
    if place.value is None:
        return None
    return Fix(
        title=place.at("title").text(),
        commands=place.at("commands").texts(),
        verify=place.at("verify").text(),
        safety=place.at("safety").one_of(Safety),
        persist=place.at("persist").texts(),
    )


def _diagnosis(place: _Place) -> Diagnosis:
    return Diagnosis(
        title=place.at("title").text(),
        status=place.at("status").one_of(Status),
        certainty=place.at("certainty").one_of(Certainty),
        why=place.at("why").text(),
        cause=_reference(place.at("cause")),
        explains=_references(place.at("explains")),
        fix=_fix(place.at("fix")),
    )


def _references(place: _Place) -> tuple[Reference, ...]:
    return tuple(_reference(each) for each in place.items())


def _reference(place: _Place) -> Reference:
    return Reference(place.at("check").text(), place.at("reason").like(_REASON), _subject(place))


def _subject(place: _Place) -> str | None:
    subject = place.at("subject")
    return None if subject.value is None else subject.text()
