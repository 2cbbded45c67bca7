"""What every test may lean on: each report that a test makes is held against the schema."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from k8sdoctor import report as reports

VALIDATOR = Draft202012Validator(reports.schema())


@pytest.fixture(autouse=True)
def every_report_fits_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold each report against the schema when the engine makes it, not only those that a test prints."""
    make = reports.make_report

    def checked(*args: Any, **kwargs: Any) -> reports.Report:
        made = make(*args, **kwargs)
        VALIDATOR.validate(made.document())
        return made

    monkeypatch.setattr("k8sdoctor.engine.make_report", checked)
