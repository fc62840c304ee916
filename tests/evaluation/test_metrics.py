import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.evaluation import metrics

YEAR = np.arange("2001-01", "2002-01", dtype="datetime64[M]")
TWO_YEARS = np.arange("2001-01", "2003-01", dtype="datetime64[M]")


def test_pooled_r2_weighs_cells_by_area() -> None:
    # Truth 0, 2 (cell of 1 m2) and 4, 4 (cell of 3 m2): mean = 26 / 8 = 3.25.
    # Spread = 3.25^2 + 1.25^2 + 3 * 2 * 0.75^2 = 15.5; error = 1 + 3 * 4 = 13.
    truth = np.array([[0.0, 4.0], [2.0, 4.0]])
    prediction = np.array([[1.0, 4.0], [2.0, 2.0]])
    area = np.array([1.0, 3.0])
    assert metrics.raw_r2(prediction, truth, area) == pytest.approx(1 - 13 / 15.5)


def test_anomaly_r2_removes_the_training_climatology() -> None:
    # Climatology 5 in every month. Truth anomalies: 6 months -1, 6 months +1, so the
    # spread is 12; the prediction is the climatology, so its error is 12 too: 0.
    climatology = np.full((12, 1), 5.0)
    truth = np.array([[4.0]] * 6 + [[6.0]] * 6)
    area = np.ones(1)
    flat = np.full((12, 1), 5.0)
    found = metrics.anomaly_r2(flat, truth, area, YEAR, climatology)
    assert found == pytest.approx(0.0)
    # Half the anomaly leaves a quarter of the error.
    half = 5.0 + (truth - 5.0) / 2
    found = metrics.anomaly_r2(half, truth, area, YEAR, climatology)
    assert found == pytest.approx(0.75)


def test_shape_r2_forgives_the_level_and_anomaly_r2_does_not() -> None:
    climatology = np.zeros((12, 2))
    truth = np.array([[-1.0, 9.0]] * 6 + [[1.0, 11.0]] * 6)
    area = np.ones(2)
    level = np.array([3.0, -2.0])
    found = metrics.shape_r2(truth + level, truth, area, YEAR, climatology)
    assert found == pytest.approx(1.0)
    # Pooled mean 5: spread = 6 * (36 + 16 + 16 + 36) = 624; error = 12 * (9 + 4) = 156.
    found = metrics.anomaly_r2(truth + level, truth, area, YEAR, climatology)
    assert found == pytest.approx(1 - 156 / 624)


def test_shape_r2_takes_the_means_where_there_is_truth() -> None:
    truth = np.array([[-1.0], [1.0], [np.nan]] + [[0.0]] * 9)
    prediction = np.nan_to_num(truth, nan=1e6)
    found = metrics.shape_r2(prediction, truth, np.ones(1), YEAR, np.zeros((12, 1)))
    assert found == pytest.approx(1.0)


def test_raw_r2_of_a_climatology_flatters() -> None:
    cycle = np.cos(2 * np.pi * np.arange(12) / 12)[:, None]
    truth = np.concatenate([cycle, cycle + 0.1])
    climatology = np.concatenate([cycle, cycle])
    # Error 12 * 0.01; spread 24 * (1/2 + 0.0025).
    expected = 1 - 0.12 / (24 * 0.5025)
    assert metrics.raw_r2(climatology, truth, np.ones(1)) == pytest.approx(expected)
    assert metrics.anomaly_r2(climatology, truth, np.ones(1), TWO_YEARS, cycle) < 0


def test_missing_truth_is_not_scored_and_missing_prediction_is_refused() -> None:
    truth = np.array([[0.0, np.nan], [2.0, 7.0]])
    prediction = np.array([[0.0, 99.0], [2.0, 7.0]])
    assert metrics.raw_r2(prediction, truth, np.ones(2)) == pytest.approx(1.0)
    prediction[1, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 3 predictions are not finite"):
        metrics.raw_r2(prediction, truth, np.ones(2))


def test_climatology_sees_only_the_chosen_months() -> None:
    values = np.concatenate([np.arange(12.0), np.full(12, 100.0)])[:, None]
    chosen = np.arange(24) < 12
    found = metrics.monthly_climatology(values, TWO_YEARS, chosen)
    np.testing.assert_array_equal(found[:, 0], np.arange(12.0))
    both = metrics.monthly_climatology(values, TWO_YEARS, np.ones(24, bool))
    assert both[2, 0] == 51.0


def test_climatology_skips_missing_values() -> None:
    values = np.concatenate([np.full(12, np.nan), np.arange(12.0)])[:, None]
    values = np.concatenate([values, np.full((24, 1), np.nan)], axis=1)
    found = metrics.monthly_climatology(values, TWO_YEARS, np.ones(24, bool))
    np.testing.assert_array_equal(found[:, 0], np.arange(12.0))
    assert np.isnan(found[:, 1]).all()


def test_climatology_refuses_a_part_of_a_year() -> None:
    with pytest.raises(ValueError, match="month 11, 12 has no training value"):
        metrics.monthly_climatology(np.zeros((12, 1)), YEAR, np.arange(12) < 10)


def test_yearly_moments_add_up_to_the_pooled_score() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(24, 3))
    prediction = truth + generator.normal(size=(24, 3))
    steps = metrics.moments(prediction, truth, np.array([1.0, 2.0, 3.0]))
    years, summed = metrics.yearly(steps, TWO_YEARS)
    assert years.tolist() == [2001, 2002]
    assert summed.total().r2() == pytest.approx(steps.total().r2())
    twice_first = summed.take(np.array([0, 0])).total()
    alone = metrics.moments(prediction[:12], truth[:12], np.array([1.0, 2.0, 3.0]))
    assert twice_first.r2() == pytest.approx(alone.total().r2())
    # The mean squared error is weighted by area: 6 m2 in all.
    error = ((prediction - truth) ** 2 @ np.array([1.0, 2.0, 3.0])).mean() / 6
    assert steps.total().mean_squared_error() == pytest.approx(error)


def test_cell_r2_scores_each_cell_against_its_own_mean() -> None:
    # Cell 0: spread 2, error 1. Cell 1 is constant. Cell 2 misses a month.
    truth = np.array([[0.0, 1.0, 0.0], [2.0, 1.0, np.nan], [1.0, 1.0, 2.0]])
    prediction = np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 5.0], [1.0, 1.0, 2.0]])
    found = metrics.cell_r2(prediction, truth)
    np.testing.assert_allclose(found, [0.5, np.nan, 1.0])


def test_weighted_quantile_counts_area_not_cells() -> None:
    values = np.array([3.0, 1.0, 2.0, np.nan])
    area = np.array([1.0, 1.0, 8.0, 100.0])
    assert metrics.weighted_quantile(values, area, 0.5) == 2.0
    assert metrics.weighted_quantile(values, area, 0.1) == 1.0
    assert metrics.weighted_quantile(values, area, 0.11) == 2.0
    assert metrics.weighted_quantile(values, area, 1.0) == 3.0
    assert math.isnan(metrics.weighted_quantile(values[3:], area[3:], 0.5))


def test_skill_is_one_minus_the_ratio_of_errors() -> None:
    assert metrics.skill(1.0, 4.0) == 0.75
    assert metrics.skill(8.0, 4.0) == -1.0
    assert math.isnan(metrics.skill(1.0, 0.0))


def test_annual_scores_by_hand() -> None:
    truth = np.array([1.0, 3.0, 2.0])  # mean 2, spread 2
    prediction = np.array([3.0, 4.0, 3.0])  # off by 2, 1, 1
    assert metrics.bias(prediction, truth) == pytest.approx(4 / 3)
    assert metrics.rmse(prediction, truth) == pytest.approx(math.sqrt(2))
    assert metrics.annual_r2(prediction, truth) == pytest.approx(1 - 6 / 2)
    # Centred, errors 2/3, -1/3, -1/3: 6/9, so 1 - (2/3) / 2.
    assert metrics.annual_r2_centred(prediction, truth) == pytest.approx(2 / 3)
    assert metrics.sd_ratio(prediction, truth) == pytest.approx(math.sqrt(1 / 3))


def test_the_same_prediction_scores_badly_raw_and_well_centred() -> None:
    truth = np.array([0.0, 1.0, 0.0, 1.0])
    assert metrics.annual_r2(truth + 1, truth) == pytest.approx(-3.0)
    assert metrics.annual_r2_centred(truth + 1, truth) == pytest.approx(1.0)


def test_detrended_r_forgets_the_trends() -> None:
    years = np.arange(2000, 2008)
    wiggle = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])  # no mean, no line
    truth = wiggle + 0.5 * years
    assert metrics.detrended_r(-wiggle + 3.0 * years, truth, years) == pytest.approx(-1)
    assert metrics.detrended_r(2 * wiggle - years, truth, years) == pytest.approx(1)
    np.testing.assert_allclose(metrics.detrended(truth, years), wiggle, atol=1e-9)


def test_detrended_r_says_nothing_of_three_years() -> None:
    series = np.array([1.0, 3.0, 2.0])
    assert np.isnan(metrics.detrended_r(series, series, np.arange(3)))


def test_annual_scores_take_many_draws_at_once() -> None:
    generator = np.random.default_rng(1)
    truth, prediction = generator.normal(size=(2, 5, 9))
    years = np.tile(np.arange(9), (5, 1))
    for kernel in (metrics.annual_r2, metrics.annual_r2_centred, metrics.sd_ratio):
        assert kernel(prediction, truth)[3] == pytest.approx(
            kernel(prediction[3], truth[3])
        )
    assert metrics.detrended_r(prediction, truth, years)[3] == pytest.approx(
        metrics.detrended_r(prediction[3], truth[3], years[3])
    )


@pytest.mark.parametrize("peak", [0.0, 3.0, 7.5])
def test_first_harmonic_finds_amplitude_and_peak(peak: float) -> None:
    cycle = 4.0 + 2.5 * np.cos(2 * np.pi * (np.arange(12) - peak) / 12)
    amplitude, phase = metrics.first_harmonic(cycle)
    assert amplitude == pytest.approx(2.5)
    assert abs((phase - peak + 6) % 12 - 6) < 1e-9


def test_phase_error_is_positive_when_late_and_turns_with_the_year() -> None:
    def cycle(peak: float) -> np.ndarray:
        return np.cos(2 * np.pi * (np.arange(12) - peak) / 12)

    assert metrics.phase_error(cycle(8.0), cycle(6.0)) == pytest.approx(2.0)
    assert metrics.phase_error(cycle(11.5), cycle(0.5)) == pytest.approx(-1.0)
    assert metrics.phase_error(cycle(0.5), cycle(11.5)) == pytest.approx(1.0)
    assert metrics.amplitude_ratio(3 * cycle(1.0), 2 * cycle(5.0)) == pytest.approx(1.5)


def test_mean_cycle_averages_calendar_months() -> None:
    values = np.concatenate([np.zeros(12), np.arange(12.0)])
    np.testing.assert_allclose(
        metrics.mean_cycle(values, TWO_YEARS), np.arange(12.0) / 2
    )


@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-9, 1e3),
    shift=st.floats(-3.0, 3.0),
)
def test_pooled_r2_has_no_unit_and_no_zero(
    seed: int, scale: float, shift: float
) -> None:
    generator = np.random.default_rng(seed)
    truth, prediction = generator.normal(size=(2, 12, 4))
    area = generator.uniform(1.0, 2.0, 4)
    expected = metrics.raw_r2(prediction, truth, area)
    moved = metrics.raw_r2(
        scale * (prediction + shift), scale * (truth + shift), 1e11 * area
    )
    assert moved == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_relative_error_by_hand() -> None:
    # RMSE of errors 1, -1 is 1; the mean sink is -2.
    found = metrics.relative_error(np.array([-2.0, -2.0]), np.array([-3.0, -1.0]))
    assert float(found) == pytest.approx(0.5)
    assert np.isnan(metrics.relative_error(np.ones(2), np.array([-1.0, 1.0])))


def test_phase_counts_only_where_there_is_a_season() -> None:
    month = np.arange(12)
    # Cell by cell: amplitude 1 to 10, late by 0 to 9 tenths of a month.
    late = 0.1 * np.arange(10)
    truth = (1 + np.arange(10)) * np.cos(2 * np.pi * month / 12)[:, None]
    wave = np.cos(2 * np.pi * (month[:, None] - late) / 12)
    # The first cell, a tenth of the area, has the weakest season and drops out.
    found = metrics.strong_phase_error(wave, truth, np.ones(10))
    assert found == pytest.approx(late[1:].mean())
    weighted = metrics.strong_phase_error(wave, truth, np.array([1.0] * 9 + [11.0]))
    # Of an area of 20 the tenth percentile is the second cell's amplitude.
    expected = (late[2:9].sum() + 11 * late[9]) / 18
    assert weighted == pytest.approx(expected)
    assert np.isnan(metrics.strong_phase_error(0 * wave, 0 * truth, np.ones(10)))
