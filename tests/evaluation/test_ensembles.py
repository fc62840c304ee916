"""The mean of few models for the mean of all: by hand, and on the real budget."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import SettingsError
from emulator.data.readers import workbook
from emulator.evaluation import ensembles, metrics
from emulator.evaluation.ensembles import EnsembleSettings

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

YEARS = np.arange(1981, 2001)


def simulated(models: int = 6, seed: int = 0) -> np.ndarray:
    """Return models that share a signal and differ in level and noise."""
    rng = np.random.default_rng(seed)
    level, noise = rng.normal(2, 1, (models, 1)), rng.normal(0, 0.5, (models, 20))
    return level + rng.normal(0, 1, 20) + noise


def test_departures_by_hand() -> None:
    models = np.array([[1.0, 2, 3, 4], [3, 2, 1, 0]])
    # The mean of all is 2. Before 2002 the first model had 1.5 on average, so that
    # 0.5 is added to its 3: it lies 1.5 above. With one year before, 0 is added.
    years = np.arange(2000, 2004)
    found = ensembles.departures(models, years, np.array([2002]), 2)
    np.testing.assert_allclose(found, [[1.5], [-1.5]])
    found = ensembles.departures(models, years, np.array([2002]), 1)
    np.testing.assert_allclose(found, [[1.0], [-1.0]])


@given(st.integers(0, 9), st.integers(1, 8))
def test_departures_know_nothing_later(seed: int, window: int) -> None:
    models = simulated(seed=seed)
    wanted = np.array([1990])
    found = ensembles.departures(models, YEARS, wanted, window)
    lead = YEARS - 1990
    models[:, lead > 0] += simulated(seed=seed + 100)[:, lead > 0]
    models[:, lead < -window] = 99.0
    np.testing.assert_allclose(
        ensembles.departures(models, YEARS, wanted, window), found
    )
    # All models together are the mean of all.
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("year", "message"),
    [
        (1990, "1990, but 1 such years are there and 5 values"),
        (2001, "2001, but 0 such years"),
        (1985, "The window 1980-1984 needs 5 years"),
    ],
)
def test_departures_refuse_gaps(year: int, message: str) -> None:
    models = simulated()
    models[0, YEARS == 1990] = np.nan
    with pytest.raises(ValueError, match=message):
        ensembles.departures(models, YEARS, np.array([year]), 5)


def test_every_choice_is_tried_once_where_they_are_few() -> None:
    chosen = ensembles.choose(5, 2, most=10, seed=0)
    assert chosen.shape == (10, 5)
    assert len({tuple(row) for row in chosen.tolist()}) == 10
    assert (chosen.sum(axis=1) == 2).all()
    assert ensembles.choose(5, 0, most=10, seed=0).tolist() == [[False] * 5]


def test_choices_are_drawn_where_they_are_many() -> None:
    chosen = ensembles.choose(20, 8, most=500, seed=1)
    assert chosen.shape == (500, 20)
    assert (chosen.sum(axis=1) == 8).all()
    # Each model is in 40 % of choices; the binomial sd of 500 draws is 2.2 %.
    np.testing.assert_allclose(chosen.mean(axis=0), 0.4, atol=0.09)
    assert (chosen != ensembles.choose(20, 8, most=500, seed=2)).any()


def test_more_live_models_than_there_are() -> None:
    with pytest.raises(ValueError, match="6 of 5 models cannot be live"):
        ensembles.choose(5, 6, most=10, seed=0)


def test_live_skill_by_hand() -> None:
    departure = np.array([[1.0, 1], [-1, -1], [0, 0]])
    truth = np.array([0.0, 4])
    skill = ensembles.live_skill(departure, np.eye(3, dtype=bool), truth)
    # Errors of the three choices: 1, 1, 0; their 5 % quantile is 0.1 of the way
    # from 0 to 1. The truth's sum of squares is 8, so that R2 is 1 - 2/8.
    assert skill.rmse.median == pytest.approx(1)
    assert skill.rmse.low == pytest.approx(0.1)
    assert skill.r2.median == pytest.approx(0.75)
    both = np.array([[True, True, False]])
    assert ensembles.live_skill(departure, both, truth).rmse.median == 0


@pytest.mark.parametrize(
    ("correlation", "expected"),
    [(0.0, math.sqrt(12) / 4), (0.5, math.sqrt(24) / 4), (1.0, 6 / 4)],
)
def test_emulated_models_by_hand(correlation: float, expected: float) -> None:
    # Three of four are emulated, each with an error of 2: squares sum to 12, the
    # square of their sum is 36.
    chosen = np.array([[False, True, False, False], [True] * 4])
    found = ensembles.emulated_rmse(chosen, np.full(4, 2.0), correlation)
    np.testing.assert_allclose(found, [expected, 0])


def test_emulators_err_by_what_they_do_not_explain() -> None:
    line = 0.1 * (YEARS - 1980)
    wave = np.tile([1.0, -1.0, -1.0, 1.0], 5)
    found = ensembles.emulator_sigma(np.stack([line, line + wave]), YEARS, 0.75)
    # Half of the sd is left; the wave has sd 1 and hardly any slope.
    np.testing.assert_allclose(found, [0, 0.5], atol=1e-3)


def test_score_of_a_simulated_ensemble() -> None:
    models = simulated(6)
    asked = EnsembleSettings(live=[1, 5], windows=[3, 8], first=1990)
    result = ensembles.score(models, YEARS, asked)
    assert (result.models, result.years) == (6, (1990, 2000))
    assert result.sd == pytest.approx(models.mean(axis=0)[9:].std())
    assert [row.live for row in result.rows] == [0, 1, 5]
    emulators, one, five = result.rows
    assert not emulators.alone
    assert math.isnan(emulators.r2_needed)
    assert five.alone[8].rmse.median < one.alone[8].rmse.median
    # The five leave out one: their mean errs by a fifth of what that one does.
    assert five.alone[8].rmse.median == pytest.approx(one.alone[8].rmse.median / 5)
    assert one.with_emulators[0.0].rmse.median < one.with_emulators[1.0].rmse.median
    used = one.with_emulators[0.5]
    expected = 1 - used.rmse.median**2 / result.sd**2
    # Of an even number of choices the median lies between two.
    assert used.r2.median == pytest.approx(expected, abs=1e-4)


def test_the_emulator_r2_that_is_needed_makes_emulators_as_good() -> None:
    models = simulated(6)
    asked = EnsembleSettings(live=[2], windows=[4], first=1990)
    (_, row) = ensembles.score(models, YEARS, asked).rows
    asked.emulator_r2 = row.r2_needed
    (_, again) = ensembles.score(models, YEARS, asked).rows
    best = row.alone[4].rmse.median
    assert again.with_emulators[1.0].rmse.median == pytest.approx(best)


def test_the_table_says_what_was_found() -> None:
    asked = EnsembleSettings(live=[1], windows=[3], first=1990, correlations=[0.5])
    result = ensembles.score(simulated(6), YEARS, asked)
    text = ensembles.table(result)
    assert text.startswith("Mean of live models for the mean of 6, 1990-2000")
    *_, head, _, zero, one = text.splitlines()
    assert head == (
        "| live models | mean-adjusted on 3 years | others emulated, errors correlated "
        "0.5 | emulator R2 needed |"
    )
    assert zero.startswith("| 0 | - | ")
    assert zero.endswith("| - |")
    skill = result.rows[1].alone[3]
    rmse = skill.rmse
    shown = f"{rmse.median:.2f} ({rmse.low:.2f} to {rmse.high:.2f})"
    assert one.startswith(f"| 1 | {shown}, R2 {skill.r2.median:.2f} | ")
    assert one.endswith(f"| {result.rows[1].r2_needed:.2f} |")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"live": []}, "ensembles.live must hold numbers of at least 1"),
        ({"windows": [4, 0]}, "ensembles.windows must hold numbers of at least 1"),
        ({"emulator_r2": 1.2}, "must lie between 0 and 1, found 1.2"),
        ({"correlations": [-0.1]}, "must lie between 0 and 1, found -0.1"),
        ({"choices": 0}, "ensembles.choices must be at least 1"),
    ],
)
def test_settings_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EnsembleSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"live": [7]}, "asks for 7 live models, but there are 6"),
        ({"windows": [15]}, "1990 with windows up to 15 years, but the models have"),
        ({"first": 2000}, "first is 2000"),
    ],
)
def test_what_the_ensemble_cannot_answer_is_refused(
    changes: dict, message: str
) -> None:
    asked = EnsembleSettings(**{"live": [1], "windows": [3], **changes})
    with pytest.raises(SettingsError, match=message):
        ensembles.score(simulated(6), YEARS, asked)


def land(edition: int) -> workbook.Table:
    (path,) = (SHARED / "tables").glob(f"Global_Carbon_Budget_{edition}*.xlsx")
    return workbook.read(path).land.models


@needs_shared
def test_live_models_of_the_real_budget() -> None:
    table = land(2024)
    result = ensembles.score(table.matrix(), table.years)
    assert (result.models, result.years) == (20, (1990, 2023))
    rows = {row.live: row for row in result.rows}
    # Published for 1990-2023: 1, 3, 5, 8 live models err by 0.54, 0.32, 0.24, 0.16
    # PgC yr-1, three with an adjustment on four years by 0.34.
    for live, error in ((1, 0.54), (3, 0.32), (5, 0.24), (8, 0.16)):
        assert rows[live].alone[10].rmse.median == pytest.approx(error, abs=0.01)
    assert rows[3].alone[4].rmse.median == pytest.approx(0.34, abs=0.01)
    assert rows[3].alone[4].r2.median == pytest.approx(0.79, abs=0.01)


@needs_shared
def test_simple_forecasts_of_the_real_budget() -> None:
    # The scores are those of the published references: persistence errs by 1.01
    # PgC yr-1 with R2 -0.94, the mean of the ten years before by 0.74 with -0.04.
    table = land(2024)
    sink, years = table.matrix().mean(axis=0), table.years
    here = np.flatnonzero(years >= 1990)
    forecasts = {
        (1.01, -0.94): sink[here - 1],
        (0.74, -0.04): np.array([sink[i - 10 : i].mean() for i in here]),
    }
    for (error, r2), forecast in forecasts.items():
        truth = sink[here]
        assert metrics.rmse(forecast, truth) == pytest.approx(error, abs=0.006)
        assert metrics.annual_r2(forecast, truth) == pytest.approx(r2, abs=0.006)
