import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.timeaxis import month_range
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_DAY
from emulator.data.stores import write_store
from emulator.evaluation import extremes, scorecard
from emulator.evaluation.hindcast import MEAN, Hindcast
from emulator.evaluation.settings import BaselineSettings, EvaluateSettings
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train
from emulator.learning.settings import SplitSettings
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_world

YEARS = np.arange(1990, 2005)


def totals(**others: float) -> np.ndarray:
    """Return a sink of 2 PgC in all years but those given, as ``y1998=1.1``."""
    series = np.full(YEARS.size, 2.0)
    for year, value in others.items():
        series[int(year[1:]) - YEARS[0]] = value
    return series


def test_anomaly_is_from_the_nine_years_around() -> None:
    # 1998 lies 0.9 below 2.0: its window's mean is 2 - 0.9 / 9 = 1.9.
    found = extremes.centred_anomalies(YEARS, totals(y1998=1.1))
    assert found[8] == pytest.approx(1.1 - 1.9)
    assert found[YEARS == 1995] == pytest.approx(0.1)  # 1991-1999 hold 1998
    assert found[YEARS == 1993] == pytest.approx(0.0)  # 1990-1996 do not
    # Two years from an end five years are left, nearer there is no reference.
    assert np.isnan(found[[0, 1, -2, -1]]).all()
    assert np.isfinite(found[2:-2]).all()


def test_a_hole_shrinks_the_window_on_both_sides() -> None:
    left = YEARS != 1994
    found = extremes.centred_anomalies(YEARS[left], totals(y1998=1.1)[left])
    # 1998 keeps 1995-2001: 1.1 - (6 x 2 + 1.1) / 7.
    assert found[YEARS[left] == 1998] == pytest.approx(1.1 - 13.1 / 7)
    assert np.isnan(found[YEARS[left] == 1995])


@settings(deadline=None)  # a busy machine is no error
@given(st.floats(-0.5, 0.5), st.floats(-5, 5))
def test_a_trend_is_no_anomaly(slope: float, level: float) -> None:
    found = extremes.centred_anomalies(YEARS, level + slope * (YEARS - 1990))
    assert np.nanmax(np.abs(found)) < 1e-9


def test_sign_and_amplitude_of_an_extreme_year() -> None:
    record = totals(y1998=1.1)
    found = extremes.judge(
        YEARS,
        record,
        np.array([1993, 1998]),
        {"half": np.array([2.3, 1.5]), "opposite": np.array([2.0, 2.3])},
        last_fitted=1996,
    )
    calm, extreme = found["years"]
    assert (calm["year"], calm["kind"], calm["is_extreme"]) == (
        1993,
        "interpolation",
        False,
    )
    assert calm["methods"]["half"] == {"error": pytest.approx(0.3)}
    # The reference is 1.9 and the anomaly -0.8: 1.5 is half of it, 2.3 the other sign.
    assert (extreme["kind"], extreme["is_extreme"]) == ("forward", True)
    assert extreme["anomaly"] == pytest.approx(-0.8)
    assert extreme["methods"]["half"] == {
        "error": pytest.approx(0.4),
        "sign": True,
        "amplitude": pytest.approx(0.5),
    }
    assert extreme["methods"]["opposite"]["sign"] is False
    assert extreme["methods"]["opposite"]["amplitude"] == pytest.approx(-0.5)
    assert found["methods"]["half"] == {
        "extremes": 1,
        "signs_right": 1,
        "amplitude": pytest.approx(0.5),
        "absolute_error": pytest.approx(0.3),
    }


def test_amplitude_of_several_years_is_a_slope() -> None:
    # Anomalies are -0.8 and 1.6; half of the first comes out and all of the second:
    # (0.4 x 0.8 + 1.6 x 1.6) / (0.8^2 + 1.6^2) = 2.88 / 3.2 = 0.9.
    years = np.arange(1980, 2015)
    record = np.full(years.size, 2.0)
    record[years == 1990], record[years == 2000] = 1.1, 3.8
    found = extremes.judge(
        years,
        record,
        np.array([1990, 2000]),
        {"network": np.array([1.5, 3.8])},
        last_fitted=0,
    )
    assert found["methods"]["network"]["amplitude"] == pytest.approx(0.9)
    assert found["methods"]["network"]["absolute_error"] is None
    assert {each["kind"] for each in found["years"]} == {"forward"}


def test_without_a_reference_only_the_error_is_left() -> None:
    found = extremes.judge(
        YEARS,
        totals(y1998=1.1),
        np.array([2004]),
        {"network": np.array([1.0])},
        last_fitted=0,
    )
    assert found["years"][0]["anomaly"] is None
    assert found["years"][0]["is_extreme"] is False
    assert found["methods"]["network"] == {
        "extremes": 0,
        "signs_right": 0,
        "amplitude": None,
        "absolute_error": pytest.approx(1.0),
    }


@pytest.mark.parametrize("record", [np.full(15, 2.0), np.arange(3.0)])
def test_a_record_without_variance_has_no_extremes(record: np.ndarray) -> None:
    years = YEARS[: record.size]
    found = extremes.judge(
        years, record, years[:1], {"network": record[:1]}, last_fitted=0
    )
    assert found["methods"]["network"]["extremes"] == 0


def two_teachers() -> tuple[Hindcast, np.ndarray, np.ndarray]:
    """Return 1990-2004 of two teachers in one cell; 1998 is scored.

    A flux of 1 PgC a year of 365 days on 1 m2. The second teacher begins in 1992.
    """
    months = month_range("1990-01", "2004-12")
    unit = KG_PER_PETAGRAM / 365 / SECONDS_PER_DAY
    year = months.astype("M8[Y]").astype(int) + 1970
    first = np.where(year == 1998, 1.1, 2.0)
    second = np.where(year == 1998, 1.7, 2.0)
    second[year < 1992] = np.nan
    labels = unit * np.stack([first, second])[None, :, :, None]
    wanted = year == 1998
    hindcast = Hindcast(
        flux="nbp",
        simulations=("S2",),
        teachers=("ONE", "TWO"),
        months=months[wanted],
        area=np.ones(1),
        truth=labels[:, :, wanted],
        climatology=np.zeros((1, 2, 12, 1)),
        predictions={"network": np.full((1, 2, 12, 1), 1.5 * unit)},
        annual={"co2_enso": np.array([[[2.0], [2.0]]])},
        choices={},
        weather_seen=np.zeros(1),
    )
    return hindcast.with_mean(), labels, months


def test_mean_of_teachers_comes_first_and_is_of_shared_years() -> None:
    hindcast, labels, months = two_teachers()
    records = extremes.score(hindcast, labels, months, 2004)
    assert [each["teacher"] for each in records] == [MEAN, "ONE", "TWO"]
    mean, one, _ = records
    # 1.1 and 1.7: the mean of 1998 is 1.4, 0.6 below; of its nine years 0.6 x 8 / 9.
    (scored,) = mean["years"]
    assert scored["anomaly"] == pytest.approx(-0.6 * 8 / 9, rel=2e-2)  # leap years
    assert scored["methods"]["network"]["error"] == pytest.approx(0.1, abs=1e-9)
    assert scored["methods"]["co2_enso"]["error"] == pytest.approx(0.6)
    assert one["years"][0]["methods"]["network"]["error"] == pytest.approx(0.4)
    assert scored["kind"] == "interpolation"


def test_no_simulation_with_its_own_weather_no_record() -> None:
    hindcast, labels, months = two_teachers()
    control = Hindcast(**{**vars(hindcast), "simulations": ("S0",)})
    assert extremes.score(control, labels, months, 2004) == []
    assert extremes.markdown([]) == ""


def test_markdown_marks_interpolation() -> None:
    records = extremes.score(*two_teachers(), 2004)
    text = extremes.markdown(records)
    assert "Training years follow some of these years: interpolation" in text
    assert "| 1998 | interpolation | -0.5" in text
    assert f"| {MEAN} | network | 1 | 1 |" in text
    forward = extremes.markdown(extremes.score(*two_teachers(), 1990))
    assert "interpolation, not the" not in forward


SPLIT = SplitSettings([1990, 2008], [2000, 2000], [2006, 2008], withheld=[1996])


def test_withheld_years_leave_no_trace(tmp_path: Path) -> None:
    members = []
    for name, strange in (("as it was", False), ("strange", True)):
        world = tiny_world(first=1990, last=2008)
        if strange:
            # Fluxes of the year and its neighbours, and the weather of the year.
            near = np.isin(world["time"].dt.year, [1995, 1996, 1997])
            world["nbp"].values[:, :, near] *= 50
            hot = world["weather_time"].dt.year.to_numpy() == 1996
            world["tas"].values[hot] += 40
        store = write_store(world, tmp_path / f"{name}.zarr")
        stated = tiny_settings(split=SPLIT, steps=2, validate_every=1, refit=True)
        folder = train(stated, store, tmp_path / name)
        members.append(load_checkpoint(folder / "members" / "0" / "emulator.pt"))
    one, other = members
    for key, value in one.weights.items():
        assert torch.equal(value, other.weights[key])
    for key, found in one.normaliser.state().items():
        wanted = other.normaliser.state()[key]
        assert torch.equal(found, wanted) if torch.is_tensor(found) else found == wanted
    assert one.about["validation_score"] == other.about["validation_score"]


@pytest.fixture(scope="module")
def run(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "withheld"
    stated = tiny_settings(split=SPLIT, steps=2, validate_every=2)
    return train(stated, land_store, folder)


def evaluate(run: Path, store: Path, **changes: Any) -> Path:
    asked = EvaluateSettings(
        run=str(run),
        store=str(store),
        baselines=BaselineSettings(names=["climatology", "ridge"]),
        **changes,
    )
    return scorecard.evaluate(asked)


def test_withheld_years_are_scored_beside_test(run: Path, land_store: Path) -> None:
    path = evaluate(run, land_store, split="withheld")
    assert path.name == "scorecard-withheld.json"
    card = json.loads(path.read_text())
    assert card["split"]["part"] == "withheld"
    assert card["split"]["withheld"] == [1996]
    assert card["records"][0]["years"] == [1996]
    assert any("never the headline" in text for text in card["caveats"])
    first = card["extremes"]["records"][0]
    assert (first["teacher"], first["simulation"]) == (MEAN, "S2")
    (year,) = first["years"]
    assert (year["year"], year["kind"]) == (1996, "interpolation")
    assert set(year["methods"]) == {"network", "climatology", "ridge", "co2_enso"}
    text = path.with_suffix(".md").read_text()
    assert "the **withheld** years \n1996." in text
    assert "| withheld years | 1996 |" in text
    assert "Extreme years of nbp, S2" in text
    # A look at withheld years is a look at the answer, as one at test years is.
    assert card["test_reads"] == 1


def test_validation_years_are_not_judged_by_test_years(
    land_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(tiny_settings(split=SPLIT, steps=2, validate_every=2), land_store, folder)
    first = json.loads(evaluate(folder, land_store, split="validation").read_text())
    world = tiny_world()
    year = world["time"].dt.year.to_numpy()
    unread = np.isin(year, [1996, 2006, 2007, 2008])
    world["nbp"].values[:, :, unread] *= 100.0
    other = write_store(world, tmp_path / land_store.name)
    again = json.loads(evaluate(folder, other, split="validation").read_text())
    assert first["extremes"]["records"][0]["sd"] > 0
    assert again["extremes"] == first["extremes"]


def test_test_years_have_extremes_too(run: Path, land_store: Path) -> None:
    card = json.loads(evaluate(run, land_store).read_text())
    years = card["extremes"]["records"][0]["years"]
    assert [each["year"] for each in years] == [2006, 2007, 2008]
    assert {each["kind"] for each in years} == {"forward"}
