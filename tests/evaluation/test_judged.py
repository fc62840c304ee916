"""Intervals on test years: by hand, and in the scorecard of a calibrated run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import YearSplit
from emulator.data.windows import load_cube
from emulator.evaluation import judged, report, scorecard
from emulator.evaluation.calibration import KEYS, Calibration, Factors
from emulator.evaluation.forecasts import Forecast
from emulator.evaluation.judged import Ends
from emulator.evaluation.origins import calibrate_run
from emulator.evaluation.settings import (
    BaselineSettings,
    CalibrateSettings,
    EvaluateSettings,
)
from emulator.evaluation.task import from_cube
from emulator.learning.fit import train
from emulator.learning.settings import SplitSettings
from tests.learning.runs import tiny_settings
from tests.worlds import FORCING, STATIC, tiny_store

BASELINES = BaselineSettings(
    names=["climatology", "lightgbm"], rows=500, trees=5, threads=1
)
SPLIT = SplitSettings([1980, 2004], [2001, 2001], [2006, 2008])
GRID = Grid.regular(45.0)


# By hand: two cells in the tropics and the north, two members, one month of January


def calibration_of(factor: float) -> Calibration:
    row = ((factor,),)
    return Calibration(
        level=0.9,
        leads=2,
        years=(1990, 2000),
        regions=("north", "tropics"),
        factors={
            key: Factors(
                row,
                11,
                True,
                True,
                {"cell": (), "region": (1e-9, 1e-9), "globe": (1e-9,)}[key[0]],
            )
            for key in KEYS
        },
        about={"flux": "nbp", "simulation": "S2", "origins": "1989"},
    )


def forecast_of(errors: np.ndarray, first: str = "2001-01") -> Forecast:
    """Return members at -1 and 1 around 0, the truth at ``errors``, of 24 months."""
    months = np.datetime64(first) + np.arange(len(errors))
    members = np.stack([np.full(errors.shape, sign) for sign in (-1.0, 1.0)])
    return Forecast(months, members, errors, ("ONE",))


def judge(found: Forecast, factor: float = 1.0, **changes: Any) -> judged.Record:
    values: dict[str, Any] = {
        "last_label": np.datetime64("2000-12"),
        "grid": GRID,
        "cells": np.array([16, 24]),  # south-west corners of 22.5 N and 67.5 N
        "area": np.array([3.0, 1.0]),
        "references": {
            ("cell", "month"): np.ones(2),
            ("cell", "year"): np.ones(2),
        },
    }
    return judged.judge(calibration_of(factor), found, **values | changes)


def test_scores_of_cells_by_hand() -> None:
    # Spread of (-1, 1): sqrt 2. Factor 1: an interval of +- 1.414 around 0.
    errors = np.zeros((24, 2))
    errors[12:, 1] = 2.0
    found = judge(forecast_of(errors))
    scores = found["scores"]["cell/month"]
    half = np.sqrt(2.0)
    # Outside: half of the months, in the cell with a quarter of the area.
    assert scores["coverage"]["found"] == pytest.approx(1 - 0.5 * 0.25)
    assert scores["coverage"]["years"] == 2
    assert scores["width"] == pytest.approx(2 * half)
    missed = 20 * (2.0 - half)  # 2 / (1 - 0.9) x distance
    assert scores["interval_score"] == pytest.approx(2 * half + 0.125 * missed)
    assert scores["by_lead"]["1"]["coverage"] == 1.0
    assert scores["by_lead"]["2"]["coverage"] == pytest.approx(0.75)
    # (2 + 1) / 2 x spread squared over the mean squared error of 0.125 x 4.
    assert scores["spread_skill"] == pytest.approx(np.sqrt(1.5 * 2 / 0.5))
    # At 0 the CRPS of a normal distribution is (sqrt 2 - 1) / sqrt pi x sd.
    inside = judge(forecast_of(np.zeros((24, 2))))["scores"]["cell/month"]
    expected = (np.sqrt(2) - 1) / np.sqrt(np.pi) * half / 1.6448536
    assert inside["crps"] == pytest.approx(expected)
    assert set(found["scores"]) == {"/".join(key) for key in KEYS}


def test_reliability_scales_the_interval_to_other_levels() -> None:
    errors = np.zeros((24, 2))
    errors[12:, 1] = 0.5
    found = judge(forecast_of(errors))["scores"]["cell/month"]["reliability"]
    # +- 1.414 at 90 % is +- 0.5 at 2 Phi(0.5 / 1.414 x 1.645) - 1 = 44 %.
    assert found["0.4"] == pytest.approx(1 - 0.5 * 0.25)
    assert found["0.5"] == found["0.95"] == 1.0


def test_months_beyond_the_reach_are_not_scored() -> None:
    found = judge(forecast_of(np.zeros((48, 2))))
    assert (found["months"], found["months_out_of_reach"]) == (24, 24)
    assert (found["first_month"], found["last_month"]) == ("2001-01", "2002-12")
    far = judge(forecast_of(np.zeros((24, 2)), first="2004-01"))
    assert far["scores"] == {}
    assert far["first_lead"] == 4
    text = report.markdown(card_with(far))
    assert "None of the 24 scored months lies within this reach" in text
    assert "the first is in year 4 after the last label" in text


def test_labels_that_were_seen_are_no_forecast() -> None:
    found = judge(forecast_of(np.zeros((36, 2)), first="2000-01"))
    assert (found["first_month"], found["months_out_of_reach"]) == ("2001-01", 12)


def test_cells_without_area_are_not_scored() -> None:
    errors = np.zeros((24, 2))
    errors[:, 1] = 9.0
    found = judge(forecast_of(errors), area=np.array([1.0, 0.0]))
    assert found["scores"]["cell/month"]["coverage"]["found"] == 1.0
    assert judge(forecast_of(errors), area=np.zeros(2))["scores"] == {}


def test_part_of_a_year_has_no_annual_score() -> None:
    found = judge(forecast_of(np.zeros((7, 2))))
    assert set(found["scores"]) == {"cell/month", "region/month", "globe/month"}


def test_the_other_interval_is_held_against_the_same_truth() -> None:
    errors = np.zeros((24, 2))
    errors[0, 0] = 1.0
    other = Ends(np.full((24, 2), -0.5), np.full((24, 2), 0.5))
    found = judge(forecast_of(errors), other=other)
    trees = found["lightgbm"]["cell/month"]
    assert trees["width"] == pytest.approx(1.0)
    assert trees["coverage"]["found"] == pytest.approx(1 - 3 / (24 * 4))
    assert "spread_skill" not in trees


def test_a_single_member_has_no_spread() -> None:
    found = forecast_of(np.zeros((24, 2)))
    alone = judge(replace(found, members=found.members[:1]))
    assert "spread_skill" not in alone["scores"]["cell/month"]
    # Floor: 0.3 x the reference of 1.
    assert alone["scores"]["cell/month"]["width"] == pytest.approx(0.6)


def card_with(intervals: judged.Record | None) -> dict[str, Any]:
    """Return a scorecard of nothing else."""
    spans = {"train": [1, 2], "validation": [3, 3], "test": [4, 5]}
    names = ("run", "evidence", "domain", "store", "store_hash", "fitted_on")
    names += ("label_climatology", "enso_index", "checkpoint", "code_version")
    names += ("memory", "members", "test_reads")
    empty = {name: [] for name in ("forcing", "caveats", "records", "teachers")}
    return {
        **dict.fromkeys(names, "x"),
        "split": {"part": "test", "gap_years": 1, **spans},
        **empty,
        "baselines": {},
        "choices": {},
        "intervals": intervals,
        "targets": [],
        "responses": [],
        "decomposition": {},
    }


def test_report_shows_both_methods() -> None:
    other = Ends(np.full((24, 2), -0.5), np.full((24, 2), 0.5))
    text = report.markdown(
        card_with(judge(forecast_of(np.zeros((24, 2))), other=other))
    )
    assert "## Intervals of nbp, S2" in text
    assert "| cell, month, LightGBM quantiles | 1.00 (" in text
    assert "| interval | 1 | 2 |" in text
    assert "0 other months are out of reach" in text
    assert "Intervals" not in report.markdown(card_with(None))


# Quantile trees


def test_mean_of_teachers_becomes_the_only_teacher(land_store: Path) -> None:
    cube = load_cube(
        land_store, fluxes=["nbp"], forcing=FORCING["land"], static=STATIC["land"]
    )
    cube.labels[0, 1, 100:] = np.nan
    task = from_cube(
        cube, "nbp", YearSplit((1990, 2004), (2001, 2001), (2006, 2008), 3), 3
    )
    found = judged.with_mean_of_teachers(task, np.array([True, True]))
    assert found.labels.shape == (3, 1, *task.labels.shape[2:])
    np.testing.assert_allclose(
        found.labels[2, 0], task.labels[2].mean(0), rtol=1e-5, atol=1e-14
    )
    assert np.isnan(found.labels[0, 0, 100:]).all()
    alone = judged.with_mean_of_teachers(task, np.array([True, False]))
    np.testing.assert_array_equal(alone.labels[:, 0], task.labels[:, 0])


# In the scorecard


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("long"), first=1980)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with two members that learned the law, calibrated 5 years ahead."""
    settings = tiny_settings(split=SPLIT, members=2, steps=60, refit=True)
    folder = train(settings, store, tmp_path_factory.mktemp("runs") / "tiny")
    asked = CalibrateSettings(str(folder), str(store), [1989, 1994, 1999], leads=5)
    calibrate_run(asked)
    return folder


def evaluate(run: Path, store: Path, **changes: Any) -> dict[str, Any]:
    settings = EvaluateSettings(
        str(run), str(store), regions=[], baselines=BASELINES, **changes
    )
    return json.loads(scorecard.evaluate(settings).read_text())


def test_scorecard_judges_the_intervals(run: Path, store: Path) -> None:
    card = evaluate(run, store)
    found = card["intervals"]
    # The last label is of 2004: the test years are 2 to 4 years ahead.
    assert found["last_label"] == "2004-12"
    assert found["months_out_of_reach"] == 0
    assert found["teachers"] == ["ONE", "TWO"]
    assert set(found["scores"]) == {"/".join(key) for key in KEYS}
    assert set(found["scores"]["globe/year"]["by_lead"]) == {"2", "3", "4"}
    network, trees = (found[kind]["cell/month"] for kind in ("scores", "lightgbm"))
    # Errors of networks that learned the law on 20 years vary by luck, not by much.
    assert network["coverage"]["found"] > 0.75
    assert network["interval_score"] < trees["interval_score"]
    assert list((run.parent / scorecard.BASELINE_FOLDER).glob("interval-*.npz"))
    again = evaluate(run, store)["intervals"]
    assert again == found
    assert (run / "figures" / "intervals.png").exists()
    text = (run / "scorecard.md").read_text()
    assert "| globe, year | " in text
    assert "| cell, month, LightGBM quantiles | " in text


def test_validation_years_do_not_judge_intervals(run: Path, store: Path) -> None:
    assert evaluate(run, store, split="validation")["intervals"] is None


def test_calibration_of_other_networks_is_refused(run: Path, store: Path) -> None:
    path = run / "calibration.json"
    before = path.read_text()
    content = json.loads(before)
    content["about"]["checkpoint"] = 64 * "0"
    reads = scorecard.read_count(run)
    path.write_text(json.dumps(content))
    try:
        with pytest.raises(SettingsError, match=r"belongs to networks 0000000000"):
            evaluate(run, store)
    finally:
        path.write_text(before)
    assert scorecard.read_count(run) == reads
