"""Errors by year after the last label."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from emulator.carbon.timeaxis import YearSplit, seconds_per_month, years_of
from emulator.data.windows import Cube
from emulator.evaluation import leads, scorecard
from emulator.evaluation.compare import compare
from emulator.evaluation.settings import (
    BaselineSettings,
    CompareSettings,
    EvaluateSettings,
)
from emulator.learning.fit import train
from emulator.learning.weak_settings import WeakSettings
from tests.learning.cubes import small_cube
from tests.learning.runs import tiny_settings

SPLIT = YearSplit((2000, 2003), (2003, 2003), (2008, 2009), 0)
SIGNAL = torch.tensor([1.0, -1.0] * 6 * 10)[:, None, None]


def cube() -> Cube:
    """Return ten years of two teachers, whose flux is one unit up and one down."""
    unit = 1e-9 * SIGNAL
    labels = unit.expand(2, 2, 120, 1, 3).clone()
    return small_cube(10, labels=labels, teachers=("ONE", "TWO"))


def predicted(cube: Cube, *shifts: float) -> xr.Dataset:
    """Return the labels plus, for each teacher, PgC yr-1 a year after 2003."""
    per_unit = float(cube.area.sum()) / 1e12  # PgC s-1 for each kg m-2 s-1
    lead = np.clip(years_of(cube.months) - 2003, 0, None)
    flux = lead / per_unit / 12 / seconds_per_month(cube.months)
    wrong = np.stack([shift * flux for shift in shifts])[None, :, :, None, None]
    values = (cube.labels.numpy() + wrong)[:, :, :, 0]
    return xr.Dataset({"nbp": (("simulation", "teacher", "time", "cell"), values)})


def test_errors_grow_with_the_lead() -> None:
    world = cube()
    chosen = leads.ahead(world, SPLIT, "test")
    found = leads.score(
        predicted(world, 0.1, -0.3),
        world,
        SPLIT,
        chosen,
        told={"CONTROL": [2004, 2005]},
    )
    assert [(each["flux"], each["simulation"]) for each in found] == [
        ("nbp", "CONTROL"),
        ("nbp", "RUN"),
    ]
    rows = found[0]["leads"]
    assert [row["lead"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["kind"] for row in rows] == [
        *("weak", "weak", "unlabelled", "unlabelled", "test", "test")
    ]
    # Lead 3: errors 0.3 and -0.9, mean -0.3, mean square (0.09 + 0.81) / 2.
    assert rows[2]["year"] == "2006"
    assert rows[2]["bias"] == pytest.approx(-0.3, rel=1e-4)
    assert rows[2]["rmse"] == pytest.approx(0.45**0.5, rel=1e-4)
    assert rows[2]["teachers"] == 2
    assert found[0]["by_teacher"]["TWO"]["bias"][2] == pytest.approx(-0.9, rel=1e-4)
    # Leads 1 to 5: the mean of -0.1, -0.2, ... -0.5.
    group, *kinds = found[0]["groups"]
    assert [each["kind"] for each in kinds] == [
        "all weak",
        "all unlabelled",
        "all test",
    ]
    assert (kinds[2]["lead"], kinds[2]["year"]) == ("5-6", "2008-2009")
    assert kinds[2]["bias"] == pytest.approx(-0.55, rel=1e-4)
    assert found[1]["leads"][0]["kind"] == "unlabelled"
    assert (group["lead"], group["year"]) == ("1-5", "2004-2008")
    assert group["kind"] == "weak, unlabelled, test"
    assert group["bias"] == pytest.approx(-0.3, rel=1e-4)


def test_anomalies_are_from_the_years_that_are_known() -> None:
    # Later years are 2 up and 2 down: their anomalies are 1 up and 1 down, so that a
    # prediction of the known climatology explains nothing, and a perfect one all.
    world = cube()
    late = torch.from_numpy(years_of(world.months) > 2003)
    world.labels[:, :, late] *= 2
    chosen = leads.ahead(world, SPLIT, "test")
    perfect = leads.score(predicted(world, 0.0, 0.0), world, SPLIT, chosen)
    assert perfect[0]["leads"][0]["anomaly_r2"] == pytest.approx(1.0)
    old = predicted(cube(), 0.0, 0.0)
    found = leads.score(old, world, SPLIT, chosen)
    assert found[0]["leads"][0]["anomaly_r2"] == pytest.approx(0.0, abs=1e-6)


def test_cells_and_teachers_without_labels_do_not_count() -> None:
    world = cube()
    world.labels[:, 1] = torch.nan
    chosen = leads.ahead(world, SPLIT, "test")
    nothing = predicted(world, 0.1, 0.1)
    one = leads.score(nothing, world, SPLIT, chosen)[0]
    assert one["leads"][0]["teachers"] == 1
    assert list(one["by_teacher"]) == ["ONE"]
    none = leads.score(nothing, world, SPLIT, chosen, cells=np.zeros(3, bool))[0][
        "leads"
    ][0]
    assert none["anomaly_r2"] is None
    world.labels[:] = torch.nan
    assert leads.score(nothing, world, SPLIT, ~chosen) == []


def test_test_years_are_not_read_for_a_choice() -> None:
    world = cube()
    years = years_of(world.months)
    chosen = leads.ahead(world, SPLIT, "validation")
    assert np.unique(years[chosen]).tolist() == [2004, 2005, 2006, 2007]
    world.labels[:, :, torch.from_numpy(years == 2006)] = torch.nan
    chosen = leads.ahead(world, SPLIT, "withheld")
    assert np.unique(years[chosen]).tolist() == [2004, 2005, 2007, 2008, 2009]


def test_nothing_ahead_is_nothing_written() -> None:
    world = cube()
    inside = YearSplit((2000, 2009), (2009, 2009), (2004, 2005), 0)
    chosen = leads.ahead(world, inside, "test")
    assert not chosen.any()
    assert leads.score(predicted(world, 0.1, 0.1), world, inside, chosen) == []
    assert leads.markdown([]) == ""


def test_a_scorecard_shows_the_years_after_the_last_label(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(
        steps=4,
        validate_every=2,
        refit=True,
        label_fraction=0.5,
        weak=WeakSettings(weight=0.1, years=[2000, 2006]),
    )
    train(settings, land_store, tmp_path / "run")
    path = scorecard.evaluate(
        EvaluateSettings(
            run="run",
            store=str(land_store),
            baselines=BaselineSettings(names=["climatology"]),
        ),
        runs_root=tmp_path,
    )
    card: dict[str, Any] = json.loads(path.read_text())
    record = next(
        each for each in card["leads"]["records"] if each["simulation"] == "S2"
    )
    assert record["last_label"] == 1997
    kinds = {row["year"]: row["kind"] for row in record["leads"]}
    assert list(kinds) == [str(year) for year in range(1998, 2009)]
    assert (kinds["1998"], kinds["2006"], kinds["2008"]) == (
        "unlabelled",
        "weak",
        "test",
    )
    assert card["split"]["train"] == [1990, 1997]
    assert card["transductive"] is True
    text = path.with_suffix(".md").read_text()
    assert "## Years after the last label" in text
    assert "Transductive: training saw" in text
    assert "2006 to 2006 are TEST YEARS" in text
    table = compare(
        CompareSettings(runs=["run", "run"], out=str(tmp_path / "both")),
        runs_root=tmp_path,
    )
    assert "(transductive)" in table.read_text()
    with (tmp_path / "both-leads.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["run"], rows[0]["transductive"]) == ("run", "True")
    assert {row["lead"] for row in rows} > {str(lead) for lead in range(1, 12)}


def test_cards_without_later_years_write_no_table(tmp_path: Path) -> None:
    leads.write([("", "one", {"run": "one"})], tmp_path / "leads.csv")
    assert not (tmp_path / "leads.csv").exists()
