"""The benchmark's own arithmetic, and the ratios that it has stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.bench import PARTS, main
from benchmarks.measure import Cost, middle
from benchmarks.ratios import STORED, against, exponent, load, store
from k8sdoctor import __version__

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.source


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_an_exponent_is_told_whatever_a_node_without_the_things_costs(power: float) -> None:
    costs = [7.0 + 0.5 * (count**power) for count in (100, 200, 400)]

    assert exponent(costs) == pytest.approx(power)


@pytest.mark.parametrize("costs", [(1.0, 1.0, 1.0), (1.0, 1.05, 1.1), (1.0, 0.9, 2.0), (1.0, 2.0, 1.5)])
def test_what_does_not_grow_beyond_noise_has_no_exponent(costs: tuple[float, ...]) -> None:
    assert exponent(costs) is None


def test_a_cost_is_told_as_a_multiple_of_another() -> None:
    costs = [Cost(0.5, 0.4, 30.0, 0), Cost(9.0, 9.0, 90.0, 0), Cost(0.1, 0.1, 10.0, 0)]

    assert middle(costs).over(Cost(0.25, 0.1, 15.0, 0)) == {"cpu": 4.0, "wall": 2.0, "memory": 2.0}


def test_a_ratio_is_held_against_the_stored_one() -> None:
    assert [against(value, 10.0) for value in (10.0, 12.0, 5.0)] == ["+0%", "+20%", "-50%"]
    assert against(10.0, None) == "new"


def test_what_is_stored_is_loaded_again_and_what_was_not_measured_stays(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    assert load(path) == ("", {})

    store({"list": {"cpu": 7.123}, "check": {"cpu": 30.0}}, path)
    store({"list": {"cpu": 6.0}}, path)

    assert load(path) == (__version__, {"list": {"cpu": 6.0}, "check": {"cpu": 30.0}})


@pytest.mark.parametrize("held", [[], {"version": "1"}, {"version": "1", "ratios": {"list": {"cpu": "fast"}}}])
def test_a_file_that_holds_no_ratios_is_named(tmp_path: Path, held: object) -> None:
    path = tmp_path / "ratios.json"
    path.write_text(json.dumps(held))

    with pytest.raises(ValueError, match=r"ratios\.json holds no ratios"):
        load(path)


def test_the_stored_ratios_are_those_of_a_whole_run() -> None:
    version, ratios = load()

    assert STORED.exists()
    assert version
    assert {name.partition(":")[0] for name in ratios} == {"a node", "control plane", "growth"}
    assert all(value > 0 for name, row in ratios.items() if not name.startswith("growth") for value in row.values())


def test_a_part_that_there_is_not_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "nonsense"])

    with pytest.raises(SystemExit) as caught:
        main()

    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "'nonsense'" in said
    assert all(part in said for part in PARTS)
