"""A comparison as JSON: of the shape that `k8sdoctor schema diff` prints, whatever was compared."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError

from k8sdoctor import cli, comparison, fail, passed
from k8sdoctor.comparison import Comparison, compare
from tests.comparison.sides import compared, marks, side
from tests.render.reports import HEALTHY, SICK

VALIDATOR = Draft202012Validator(comparison.schema())
OFF = fail("Off", "It is off.", subject="cni0")
SHARED = marks(machine_id="1" * 32)


@pytest.mark.parametrize(
    "made",
    [
        compared(None, None),
        compared(OFF, None),
        compared(None, OFF),
        compared(OFF, passed("On", "It is on.", subject="cni0")),
        compare(comparison.Side("a", HEALTHY), comparison.Side("b", SICK)),
        compare(comparison.Side("a", SICK), comparison.Side("b", HEALTHY)),
        compare(side(("node-identity", SHARED), node="n1"), side(("node-identity", SHARED), node="n2")),
        compare(side(node="n1", anonymized=True), side(node="n2")),
    ],
)
def test_every_comparison_fits_the_schema(made: Comparison) -> None:
    VALIDATOR.validate(json.loads(json.dumps(made.document())))


def test_the_schema_is_the_one_that_is_printed_and_every_key_is_always_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = compared(OFF, None).document()
    del document["findings"][0]["why"]

    assert cli.run(["schema", "diff"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == comparison.schema()
    with pytest.raises(ValidationError, match="why"):
        Draft202012Validator(printed).validate(document)
