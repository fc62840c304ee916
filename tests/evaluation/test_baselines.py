from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import YearSplit, years_of
from emulator.data.windows import load_cube
from emulator.evaluation import baselines, enso, ridge, trees
from emulator.evaluation import task as tasks
from emulator.evaluation.settings import BaselineSettings
from emulator.evaluation.task import Task

SPLIT = YearSplit(
    train=(1992, 2000), validation=(2002, 2003), test=(2005, 2007), gap_months=12
)
MEMORY = 12
WORK = trees.Work(rows=4000, trees=40, threads=1, seed=0)


@pytest.fixture(scope="module")
def land(land_store: Path) -> Task:
    cube = load_cube(
        land_store, fluxes=["nbp"], forcing=["tas", "pr"], static=["elevation"]
    )
    return tasks.from_cube(cube, "nbp", SPLIT, MEMORY)


@pytest.fixture(scope="module")
def ocean(ocean_store: Path) -> Task:
    cube = load_cube(
        ocean_store, fluxes=["fgco2"], forcing=["tosforc"], static=["sea_fraction"]
    )
    return tasks.from_cube(cube, "fgco2", SPLIT, MEMORY)


def share_left(task: Task, prediction: np.ndarray) -> np.ndarray:
    """Return the squared error over that of climatology; (simulation, teacher)."""
    truth = task.labels[:, :, task.wanted]
    normal = baselines.climatology(task, task.wanted)
    return ((prediction - truth) ** 2).sum((2, 3)) / ((normal - truth) ** 2).sum((2, 3))


def test_climatology_repeats_the_training_mean(land: Task) -> None:
    found = baselines.climatology(land, land.wanted)
    assert found.shape == (3, 2, 36, 12)
    np.testing.assert_array_equal(found[:, :, :12], found[:, :, 12:24])
    january = (land.season == 0) & land.train
    np.testing.assert_allclose(
        found[:, :, 0], land.labels[:, :, january].mean(2), rtol=1e-4, atol=1e-14
    )


def test_trend_continues_a_line_in_time_on_land(land: Task) -> None:
    year = years_of(land.months) - 1990
    season = np.cos(land.season)
    labels = land.labels + np.nan_to_num(-land.labels)
    labels += (0.06 * year + season).astype("f4")[:, None]
    found = baselines.trend(replace(land, labels=labels), land.wanted)
    wanted = (0.06 * year + season)[land.wanted][:, None]
    np.testing.assert_allclose(found - wanted, 0.0, atol=1e-5)


def test_trend_follows_co2_in_the_ocean_and_is_flat_in_its_control(ocean: Task) -> None:
    labels = ocean.labels + np.nan_to_num(-ocean.labels)
    labels += (0.02 * (ocean.co2 - 286))[:, None, :, None].astype("f4")
    found = baselines.trend(replace(ocean, labels=labels), ocean.wanted)
    # CO2 rises by 2 ppm a year from 286 ppm in 1990; 2005 to 2007 are wanted.
    expected = 0.02 * 2 * (np.repeat([2005, 2006, 2007], 12) - 1990)
    np.testing.assert_allclose(found[0] - expected[:, None], 0.0, atol=1e-5)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-7)


def test_trend_leaves_out_months_whose_co2_is_not_known(ocean: Task) -> None:
    labels = ocean.labels + np.nan_to_num(-ocean.labels)
    labels += (0.02 * (ocean.co2 - 286))[:, None, :, None].astype("f4")
    first = np.flatnonzero(ocean.train)[:12]
    co2 = ocean.co2.copy()
    co2[0, first] = np.nan
    labels[0, :, first] = np.nan
    found = baselines.trend(replace(ocean, labels=labels, co2=co2), ocean.wanted)
    # The other years lie on the same line: 2 ppm a year from 286 ppm in 1990.
    expected = 0.02 * 2 * (np.repeat([2005, 2006, 2007], 12) - 1990)
    np.testing.assert_allclose(found[0] - expected[:, None], 0.0, atol=1e-5)


def test_persistence_halves_with_its_memory_and_decays(land: Task) -> None:
    # Anomalies that halve every month: 1, 1/2, 1/4 ... started anew each January.
    months = land.months.size
    generator = np.random.default_rng(0)
    series = np.zeros(months)
    for month in range(1, months):
        series[month] = 0.5 * series[month - 1] + generator.normal()
    labels = np.broadcast_to(series[:, None], land.labels.shape).astype("f4")
    task = replace(land, labels=labels)
    soon = np.zeros(months, bool)
    last = np.flatnonzero(task.train)[-1]
    soon[last + 1 : last + 4] = True
    found = baselines.persistence(task, soon, 1) - baselines.climatology(task, soon)
    first = found[0, 0, 0, 0] / task.anomalies[0, 0, last, 0]
    assert 0.3 < first < 0.7
    np.testing.assert_allclose(found[0, 0, 1, 0] / found[0, 0, 0, 0], first, rtol=1e-4)
    # Years later nothing is left of it.
    late = baselines.persistence(task, task.wanted, 1)
    np.testing.assert_allclose(
        late, baselines.climatology(task, task.wanted), atol=1e-6
    )


def test_persistence_averages_over_its_window(land: Task) -> None:
    labels = np.zeros_like(land.labels)
    last = np.flatnonzero(land.train)[-1]
    labels[:, :, last - 11 : last + 1] = 1.0
    labels[:, :, last - 23 : last - 11] = 1.0
    task = replace(land, labels=labels)
    soon = np.zeros(land.months.size, bool)
    soon[last + 1] = True
    found = baselines.persistence(task, soon, 12)
    normal = baselines.climatology(task, soon)
    anomaly = task.anomalies[0, 0, last - 11 : last + 1, 0].mean()
    assert 0 < (found - normal)[0, 0, 0, 0] < anomaly


def test_ridge_finds_the_law_with_its_lag(land: Task) -> None:
    choices = ridge.tune(land)
    left = share_left(land, ridge.predict(land, land.wanted, choices))
    assert all(choice.lags >= 1 for choice in choices)
    # S1 and S2; in S0 nothing changes but the recycled weather.
    assert left.max() < 0.02


def test_ridge_needs_its_lags_strength_and_co2(land: Task) -> None:
    def score(choice: ridge.Choice) -> float:
        found = ridge.predict(land, land.wanted, [choice, choice])
        return float(share_left(land, found)[2].mean())

    good = score(ridge.Choice(lags=2, strength=1e-3, co2=0.01))
    assert good < 0.02
    assert score(ridge.Choice(lags=0, strength=1e-3, co2=0.01)) > 0.3
    assert score(ridge.Choice(lags=2, strength=10.0, co2=0.01)) > 0.3
    assert score(ridge.Choice(lags=2, strength=1e-3, co2=1e9)) > 3 * good


def test_ridge_is_least_squares_when_the_penalty_vanishes(land: Task) -> None:
    choice = ridge.Choice(lags=1, strength=1e-7, co2=1.0)
    found = ridge.predict(land, land.wanted, [choice, choice])
    rows = [land.rows(s, land.train) for s in range(3)]
    x, y, ahead = [], [], []
    cell = 7

    def columns(simulation: int, months: np.ndarray) -> np.ndarray:
        weather = land.weather_anomalies(simulation, slice(cell, cell + 1))[..., 0]
        co2 = land.co2_anomalies[simulation]
        return np.column_stack([co2[months], weather[months], weather[months - 1]])

    for simulation in range(3):
        part = columns(simulation, rows[simulation])
        x.append(part - part.mean(0))
        y.append(land.anomalies[simulation, 0, rows[simulation], cell])
        ahead.append(columns(simulation, np.flatnonzero(land.wanted)))
    weights = np.linalg.lstsq(np.concatenate(x), np.concatenate(y), rcond=None)[0]
    normal = land.climatology[2, 0][land.season[land.wanted], cell]
    np.testing.assert_allclose(
        found[2, 0, :, cell], normal + ahead[2] @ weights, rtol=2e-3, atol=2e-12
    )


def test_ridge_of_a_held_out_cell_uses_its_donor(land: Task) -> None:
    held_out = np.zeros(12, bool)
    held_out[3] = True
    labels = land.labels.copy()
    labels[..., 3] = 1e3  # must not be seen
    task = replace(land, labels=labels, held_out=held_out)
    choice = ridge.Choice(lags=1, strength=1e-3, co2=0.01)
    found = ridge.predict(task, task.wanted, [choice, choice])
    assert np.abs(found).max() < 1e-7
    truth = land.labels[2, 0][land.wanted][:, 3]
    assert np.corrcoef(found[2, 0, :, 3], truth)[0, 1] > 0.9


def test_teachers_with_other_years_are_fitted_on_their_own(land: Task) -> None:
    labels = land.labels.copy()
    labels[:, 1, : np.flatnonzero(land.train)[36]] = np.nan
    choice = ridge.Choice(lags=1, strength=1e-3, co2=0.01)
    found = ridge.predict(replace(land, labels=labels), land.wanted, [choice, choice])
    whole = ridge.predict(land, land.wanted, [choice, choice])
    np.testing.assert_allclose(found[:, 0], whole[:, 0], rtol=1e-4, atol=1e-14)
    assert np.abs(found[:, 1] - whole[:, 1]).max() > 1e-11


def test_ridge_of_a_teacher_with_few_years_continues_its_line(land: Task) -> None:
    # 2e-9 kg m-2 s-1 for each ppm above 280, and nothing else.
    law = (2e-9 * (land.co2 - 280))[:, None, :, None]
    labels = (land.labels * 0 + law).astype("f4")
    labels[:, 1, : np.flatnonzero(land.train)[60]] = np.nan  # begins in 1997
    choice = ridge.Choice(lags=0, strength=1e-6, co2=1e-3)
    task = replace(land, labels=labels)
    found = ridge.predict(task, land.wanted, [choice, choice])
    wanted = law[:, 0, land.wanted]
    np.testing.assert_allclose(found[:, 0] - wanted, 0.0, atol=2e-10)
    # From the mean of all training years it would be too high by 2.5 years of CO2,
    # 5 ppm: 1e-8.
    np.testing.assert_allclose(found[:, 1] - wanted, 0.0, atol=2e-10)
    # Nor does the choice hide such an error behind a penalty.
    chosen = ridge.tune(task)[1]
    assert (chosen.strength, chosen.co2) == (1e-3, 0.01)


def test_blocks_of_cells_change_nothing(
    land: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = [ridge.Choice(lags=2, strength=1e-2, co2=0.01)] * 2
    whole = ridge.predict(land, land.wanted, choices)
    monkeypatch.setattr(ridge, "BLOCK_BYTES", 1)
    parts = ridge.predict(land, land.wanted, choices)
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-12)


def test_ridge_candidates_stay_within_the_memory() -> None:
    assert {choice.lags for choice in ridge.candidates(7)} == {0, 2, 5, 7}
    assert {choice.lags for choice in ridge.candidates(0)} == {0}


def test_trees_learn_the_law(land: Task) -> None:
    trend = np.zeros_like(land.labels[:, 0])
    choice = trees.tune(land, 0, trend, WORK)
    found = trees.predict(land, 0, trend, choice, land.wanted, WORK)
    truth = land.anomalies[:, 0][:, land.wanted]
    left = ((found - truth)[2] ** 2).sum() / (truth[2] ** 2).sum()
    assert left < 0.7
    assert 1 <= choice.trees <= WORK.trees


def test_trees_can_have_the_trend_added(land: Task) -> None:
    trend = np.full_like(land.labels[:, 0], 5e-9)
    choice = trees.Choice(detrend=True, leaves=31, trees=1)
    added = trees.predict(land, 0, trend, choice, land.wanted, WORK)
    # One tree at rate 0.1 starts from the mean of the target, -5e-9, so both cancel.
    assert abs(added.mean()) < 1e-9
    plain = trees.predict(
        land, 0, trend, replace(choice, detrend=False), land.wanted, WORK
    )
    np.testing.assert_allclose(added.mean(), plain.mean(), atol=1e-10)


def test_features_by_hand(land: Task) -> None:
    features = trees.Features(land, 1)
    month, cell = int(np.flatnonzero(land.wanted)[3]), 6
    found = features.at(np.array([[2], [month], [cell]]))[0]
    assert found.size == features.size
    tas = land.weather_anomalies(2, slice(0, 12))[:, 0, cell]
    np.testing.assert_allclose(found[:13], tas[month - np.arange(13)], rtol=1e-5)
    assert found[13] == pytest.approx(tas[month - 2 : month + 1].mean(), abs=1e-5)
    assert found[15] == pytest.approx(tas[month - 11 : month + 1].mean(), abs=1e-5)
    expected = land.climatology[2, 1, land.season[month], cell]
    assert found[-2] == pytest.approx(expected, rel=1e-5)
    assert found[-3] == land.static[0, cell]


def test_trees_of_a_teacher_without_training_labels_say_nothing(land: Task) -> None:
    labels = land.labels.copy()
    labels[:, 1, land.train] = np.nan
    task = replace(land, labels=labels)
    trend = np.zeros_like(labels[:, 0])
    choice = trees.tune(task, 1, trend, WORK)
    assert np.isnan(trees.predict(task, 1, trend, choice, task.wanted, WORK)).all()


def test_all_baselines_at_once_and_what_they_chose(land: Task) -> None:
    settings = BaselineSettings(rows=2000, trees=20, threads=1)
    found = baselines.fit(land, settings)
    assert list(found) == list(settings.names)
    for baseline in found.values():
        assert baseline.prediction.shape == (3, 2, 36, 12)
        assert np.isfinite(baseline.prediction).all()
        assert len(baseline.choice) == 2
    assert share_left(land, found["ridge"].prediction)[2].max() < 0.02
    assert set(found["ridge"].choice[0]) == {"lags", "strength", "co2"}
    assert found["persistence"].choice[0]["window"] in baselines.PERSISTENCE_WINDOWS


def test_refit_knows_the_years_left_out_before_validation(land_store: Path) -> None:
    cube = load_cube(land_store, fluxes=["nbp"], forcing=["tas"], static=[])
    inside = replace(SPLIT, train=(1992, 2003))
    task = tasks.from_cube(cube, "nbp", inside, MEMORY)
    years = years_of(task.months)
    assert not task.train[years == 2001].any()  # too near to validation
    assert sorted(set(years[task.known].tolist())) == list(range(1992, 2004))
    settings = BaselineSettings(names=["climatology"])
    found = baselines.fit(task, settings, refit=True)["climatology"].prediction
    january = task.known & (task.season == 0)
    expected = task.labels[2, 0, january].mean(0)
    np.testing.assert_allclose(found[2, 0, 0], expected, rtol=1e-4, atol=1e-14)


def test_refit_uses_validation_years_too(land: Task) -> None:
    settings = BaselineSettings(names=["climatology", "trend", "persistence", "ridge"])
    plain = baselines.fit(land, settings)
    again = baselines.fit(land, settings, refit=True)
    both = land.train | land.validation
    january = both & (land.season == 0)
    np.testing.assert_allclose(
        again["climatology"].prediction[2, 0, 0],
        land.labels[2, 0, january].mean(0),
        rtol=1e-4,
        atol=1e-14,
    )
    assert again["ridge"].choice == plain["ridge"].choice
    for name in settings.names:
        assert not np.array_equal(again[name].prediction, plain[name].prediction)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["ridge"]}, "must begin with 'climatology'"),
        ({"names": ["climatology", "rigde"]}, "got climatology, rigde"),
        ({"rows": 0}, "baselines.rows is 0"),
        ({"trees": 0}, "baselines.trees is 0"),
        ({"threads": -1}, "baselines.threads is -1"),
    ],
)
def test_settings_are_checked(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BaselineSettings(**change)


def test_index_is_the_mean_of_the_box_by_area() -> None:
    grid = Grid.regular(10.0)  # rows at 5S and 5N, columns at 165W, 155W ... 125W
    field = np.zeros((2, *grid.shape))
    row, column = 9, 2  # 5N, 155W
    assert (grid.lat[row], grid.lon[column]) == (5.0, -155.0)
    field[1, row, column] = 10.0
    found, name = enso.index(field, grid)
    np.testing.assert_allclose(found, [0.0, 1.0])  # one of ten equal cells
    assert name == "Nino 3.4"


def test_index_falls_back_to_the_tropics_and_refuses_less() -> None:
    grid = Grid.regular(10.0)
    field = np.full((1, *grid.shape), np.nan)
    field[:, 10, 20] = 3.0
    assert enso.index(field, grid) == (pytest.approx([3.0]), "mean of the tropics")
    field[:] = np.nan
    with pytest.raises(ValueError, match="no value within the tropics"):
        enso.index(field, grid)


def test_lags_of_the_index_stay_within_the_memory() -> None:
    assert enso.candidates(0) == [(), (0,)]
    found = enso.candidates(36)
    assert (2, 8, 14) in found
    assert (12,) in found
    assert len(found) == len(set(found))


def test_global_regression_recovers_co2_and_lagged_index(land: Task) -> None:
    years = np.unique(years_of(land.months))
    generator = np.random.default_rng(2)
    temperature = generator.normal(size=land.forcing.shape[0])
    calendar = years_of(land.months)
    totals = np.full((3, 2, years.size), np.nan)
    for simulation, seen in enumerate(land.weather):
        monthly = np.where(seen >= 0, temperature[seen], np.nan)
        lagged = np.roll(monthly, 4)
        for place, year in enumerate(years):
            inside = calendar == year
            co2 = land.co2[simulation, inside].mean() - 280
            totals[simulation, 0, place] = 0.1 * co2 - 2 * lagged[inside].mean()
            totals[simulation, 1, place] = 0.3 * co2
    found = enso.fit(land, temperature, totals, years, refit=False)
    assert found.lags[0] == (4,)
    wanted = np.isin(years, [2005, 2006, 2007])
    # The index is taken as anomaly from its season, which a flat mean does not see.
    np.testing.assert_allclose(found.prediction[2, 0], totals[2, 0, wanted], atol=0.25)
    np.testing.assert_allclose(
        found.prediction[:, 1], totals[:, 1][:, wanted], atol=0.2
    )


def test_a_lag_is_not_chosen_for_years_that_it_does_not_reach(land: Task) -> None:
    years = np.unique(years_of(land.months))
    calendar = years_of(land.months)
    temperature = np.random.default_rng(2).normal(size=land.forcing.shape[0])
    # Before July 2002 the weather is not known: with lags to 6 months it has a mean of
    # 2003, with longer ones of neither year of validation.
    weather = land.weather.copy()
    weather[:, (calendar > 2000) & (land.months < np.datetime64("2002-07"))] = -1
    holed = replace(land, weather=weather)
    totals = np.full((3, 2, years.size), np.nan)
    for simulation, seen in enumerate(land.weather):
        for place, year in enumerate(years):
            monthly = temperature[seen[calendar == year]]
            totals[simulation, 0, place] = -2 * monthly.mean()
    found = enso.fit(holed, temperature, totals, years, refit=False)
    assert found.lags[0] == (0,)


def test_global_regression_without_totals_is_empty(land: Task) -> None:
    years = np.unique(years_of(land.months))
    totals = np.full((3, 2, years.size), np.nan)
    temperature = np.zeros(land.forcing.shape[0])
    found = enso.fit(land, temperature, totals, years, refit=True)
    assert np.isnan(found.prediction).all()
    assert found.prediction.shape == (3, 2, 3)


def test_baselines_see_the_slow_means_of_the_network(land_store: Path) -> None:
    cube = load_cube(
        land_store, fluxes=["nbp"], forcing=["tas"], static=[], slow_years=[1, 2]
    )
    task = tasks.from_cube(cube, "nbp", SPLIT, MEMORY)
    # A law of one slow mean alone: that of the two years before.
    scaled = task.slow_anomalies[:, task.year, 1]
    labels = np.broadcast_to(1e-8 * scaled[:, None], task.labels.shape)
    slow = replace(task, labels=labels.astype("f4"))
    options = [ridge.Choice(lags=0, strength=1e-5, co2=1.0)] * 2
    found = ridge.predict(slow, slow.wanted, options)
    known = np.isfinite(found)
    miss = (found - slow.labels[:, :, slow.wanted])[known]
    assert known.any()
    assert (miss**2).mean() < 0.02 * (1e-8) ** 2
    assert {choice.lags for choice in ridge.tune(slow)} <= {0, 5, 11, MEMORY}
    features = trees.Features(slow, 0)
    samples = np.array([[2, 2], [np.flatnonzero(slow.wanted)[0]] * 2, [0, 5]])
    row = features.at(samples)
    assert row.shape == (2, features.size)
    assert np.isclose(row, scaled[samples[0], samples[1], samples[2]][:, None]).any()
