"""Maps of one product onto another: values by hand, and what must hold for any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from emulator.carbon.mapping import (
    Shift,
    bounded_ratio,
    difference,
    is_beyond,
    monthly_means,
    monthly_range,
    residual_shift,
    shifted_by_quantiles,
)
from emulator.carbon.timeaxis import month_of, month_range

MONTHS = month_range("2001-01", "2003-12")


def weather(seed: int = 0, cells: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(280, 5, (MONTHS.size, cells))


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=32)


def test_means_and_range_are_of_the_calendar_month() -> None:
    # Month m of year y has y + m: the mean of 2001 to 2003 is 2002 + m.
    values = (np.repeat([2001, 2002, 2003], 12) + month_of(MONTHS)).astype("f4")
    np.testing.assert_array_equal(monthly_means(values, MONTHS), 2003 + np.arange(12))
    lowest, highest = monthly_range(values, MONTHS)
    np.testing.assert_array_equal(lowest, 2002 + np.arange(12))
    np.testing.assert_array_equal(highest, 2004 + np.arange(12))


def test_a_missing_calendar_month_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Months \[12\] of the year are absent"):
        monthly_means(np.zeros(11), MONTHS[:11])


def test_two_degrees_in_july_are_found_again() -> None:
    truth = weather()
    warm = truth + 2.0 * (month_of(MONTHS) == 7)[:, None]
    delta = difference(monthly_means(warm, MONTHS), monthly_means(truth, MONTHS))
    np.testing.assert_allclose(delta[6], -2.0)
    np.testing.assert_allclose(np.delete(delta, 6, axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(warm + delta[month_of(MONTHS) - 1], truth)


def test_half_the_rain_is_doubled() -> None:
    ratio = bounded_ratio(np.array([1.5, 4.0]), np.array([3.0, 3.0]), 10)
    np.testing.assert_array_equal(ratio, [2.0, 0.75])


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (0.0, 0.0, 1.0),  # the radiation of the polar night
        (0.0, 2.0, 10.0),  # no ratio: the largest, of a source that is 0
        (-1e-9, 2.0, 10.0),  # packed rain below 0
        (1.0, 0.0, 0.1),
        (1.0, 11.0, 10.0),
        (np.nan, 1.0, np.nan),
        (1.0, np.nan, np.nan),
    ],
)
def test_ratios_are_bounded(source: float, target: float, expected: float) -> None:
    found = bounded_ratio(np.array([source]), np.array([target]), 10)
    np.testing.assert_array_equal(found, [expected])


def test_a_largest_ratio_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be 1 or more, got 0\.5"):
        bounded_ratio(np.ones(1), np.ones(1), 0.5)


def test_quantiles_become_those_of_the_other_and_shifts_go_on_beyond() -> None:
    # The other is the square: quantiles 1, 2, 4 become 1, 4, 16.
    quantiles = np.array([[1.0], [2.0], [4.0]])
    shifts = quantiles**2 - quantiles
    values = np.array([[0.0], [1.0], [1.5], [2.0], [3.0], [4.0], [9.0]])
    # Between quantiles linear: 1.5 -> (1 + 4) / 2, 3 -> (4 + 16) / 2; beyond 4: + 12.
    expected = [[0.0], [1.0], [2.5], [4.0], [10.0], [16.0], [21.0]]
    found = shifted_by_quantiles(values, quantiles, shifts)
    np.testing.assert_allclose(found, expected)


def test_a_tied_value_gets_the_mean_of_its_outermost_shifts() -> None:
    # Half of the months are dry; the other product has 0, 2 and 6 there: 0 -> 3.
    quantiles = np.array([[0.0], [0.0], [0.0], [8.0]])
    shifts = np.array([[0.0], [2.0], [6.0], [0.0]])
    found = shifted_by_quantiles(np.array([[0.0], [4.0]]), quantiles, shifts)
    np.testing.assert_allclose(found, [[3.0], [7.0]])


def test_cells_without_values_stay_so() -> None:
    quantiles = np.array([[1.0, np.nan], [2.0, np.nan]])
    values = np.array([[np.nan, 1.0], [1.5, 2.0]])
    found = shifted_by_quantiles(values, quantiles, 0 * quantiles)
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [1.5, np.nan]])


@settings(max_examples=40)
@given(
    npst.arrays(np.float64, (7, 3), elements=numbers(-50, 50)),
    npst.arrays(np.float64, (7, 3), elements=numbers(-50, 50)),
    npst.arrays(np.float64, (5, 3), elements=numbers(-80, 80)),
)
def test_quantiles_keep_the_order_and_equal_products_stay_equal(
    source: np.ndarray, target: np.ndarray, values: np.ndarray
) -> None:
    quantiles, wanted = np.sort(source, axis=0), np.sort(target, axis=0)
    same = shifted_by_quantiles(values, quantiles, 0 * quantiles)
    np.testing.assert_array_equal(same, values)
    ordered = np.sort(values, axis=0)
    found = shifted_by_quantiles(ordered, quantiles, wanted - quantiles)
    assert (np.diff(found, axis=0) >= -1e-9).all()


@settings(max_examples=40)
@given(
    npst.arrays(np.float64, (36, 2), elements=numbers(0, 100)),
    npst.arrays(np.float64, (36, 2), elements=numbers(0, 100)),
)
def test_means_become_those_of_the_other(
    source: np.ndarray, target: np.ndarray
) -> None:
    means, wanted = monthly_means(source, MONTHS), monthly_means(target, MONTHS)
    calendar = month_of(MONTHS) - 1
    moved = source + difference(means, wanted)[calendar]
    np.testing.assert_allclose(monthly_means(moved, MONTHS), wanted, atol=1e-9)
    ratio = bounded_ratio(means, wanted, 10)
    scaled = monthly_means(source * ratio[calendar], MONTHS)
    bounded = (means > 0) & (wanted <= 10 * means) & (wanted >= means / 10)
    np.testing.assert_allclose(scaled[bounded], wanted[bounded], atol=1e-9)
    np.testing.assert_allclose(bounded_ratio(means, means, 10), 1.0)


def test_values_at_the_ends_are_inside() -> None:
    values = np.array([0.9, 1.0, 2.0, 2.1, np.nan])
    beyond = is_beyond(values, np.float64(1.0), np.float64(2.0))
    assert beyond.tolist() == [True, False, False, True, False]


def test_shift_by_hand() -> None:
    # Two cells with 1 and 3 m2; the difference is 1 in the first, -1 in the second:
    # bias (1 - 3) / 4, mean square 1. A region of the first cell has bias 1.
    truth = weather()
    values = truth + np.array([1.0, -1.0])
    normals = monthly_means(values, MONTHS), monthly_means(truth, MONTHS)
    whole, first = residual_shift(
        values, truth, MONTHS, normals, np.array([[1.0, 3.0], [1.0, 0.0]])
    )
    assert (whole.bias, whole.rmse) == pytest.approx((-0.5, 1.0))
    # A bias is no anomaly.
    assert whole.correlation == pytest.approx(1.0)
    assert (first.bias, first.rmse) == pytest.approx((1.0, 1.0))


def test_correlation_is_that_of_anomalies_from_own_climatologies() -> None:
    # Truth leans by +-1 from year to year, the product by half of it the other way.
    lean = np.repeat([1.0, -1.0, 0.0], 12)[:, None]
    season = month_of(MONTHS)[:, None].astype(float)
    normals = np.arange(1.0, 13.0)[:, None], np.zeros((12, 1))
    (found,) = residual_shift(
        season - 0.5 * lean, lean, MONTHS, normals, np.array([[1.0]])
    )
    assert found.correlation == pytest.approx(-1.0)
    # Difference: season - 1.5 lean; its mean is that of 1 to 12.
    assert found.bias == pytest.approx(6.5)


def test_a_cell_without_a_climatology_takes_no_region_with_it() -> None:
    truth = weather()
    values = truth + np.array([1.0, 9.0])
    normals = monthly_means(values, MONTHS), monthly_means(truth, MONTHS)
    normals[0][:, 1] = np.nan  # no value in the years of the climatology
    shares = np.array([[1.0, 0.0], [1.0, 1.0]])
    for found in residual_shift(values, truth, MONTHS, normals, shares):
        # Anomalies of the first cell are the same; the second has none.
        assert (found.bias, found.rmse) == pytest.approx((1.0, 1.0))
        assert found.correlation == pytest.approx(1.0)


def test_shift_leaves_out_what_one_of_the_two_lacks() -> None:
    truth = weather()
    values = truth + 1.0
    values[5, 0] = np.nan
    truth[:, 1] = np.nan
    normals = np.zeros((12, 2)), np.zeros((12, 2))
    whole, none = residual_shift(
        values, truth, MONTHS, normals, np.array([[1.0, 1.0], [0.0, 1.0]])
    )
    assert whole.bias == pytest.approx(1.0)
    np.testing.assert_equal(none, Shift(np.nan, np.nan, np.nan))


@settings(max_examples=40)
@given(numbers(-5, 5), numbers(0, 1))
def test_a_constant_product_has_no_correlation(value: float, normal: float) -> None:
    # Its anomaly is as constant as itself, whatever rounding makes of its square.
    normals = np.full((12, 2), normal), np.full((12, 2), 279.3)
    flat = np.full((MONTHS.size, 2), value)
    weights = np.array([[0.1, 3.3e10]])
    (found,) = residual_shift(flat, weather(), MONTHS, normals, weights)
    assert np.isnan(found.correlation)
