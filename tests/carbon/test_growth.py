import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.growth import twelve_month_growth
from emulator.carbon.timeaxis import month_range

DECEMBER_2023 = np.array(["2023-12"], "datetime64[M]")


def test_growth_of_2023_is_that_of_noaa() -> None:
    # Trend of co2_mm_gl.csv around both turns, as retrieved in May 2026. By hand:
    # (420.78 + 421.05) / 2 - (418.19 + 418.22) / 2 = 2.71, which NOAA publishes; the
    # error is (0.09^2 + 0.12^2)^0.5 = 0.15.
    months = np.array(["2022-12", "2023-01", "2023-12", "2024-01"], "datetime64[M]")
    trend = np.array([418.19, 418.22, 420.78, 421.05])
    sigma = np.array([0.09, 0.09, 0.12, 0.12])
    growth, error = twelve_month_growth(trend, sigma, months, DECEMBER_2023)
    np.testing.assert_allclose(growth, [2.71])
    np.testing.assert_allclose(error, [0.15])


def test_two_months_on_either_side_make_the_level_of_a_station() -> None:
    # Squares of 0, 1, ...: around a turn before month k, (k - 2)^2 ... (k + 1)^2 have
    # the mean k^2 - k + 3 / 2; from k = 2 to k = 14 that gains 182 - 2 = 180.
    months = month_range("2022-11", "2024-02")
    squares = np.arange(16.0) ** 2
    growth, _ = twelve_month_growth(
        squares, np.ones(16), months, DECEMBER_2023, around=2
    )
    np.testing.assert_allclose(growth, [180.0])


def test_unknown_months_leave_growth_unknown() -> None:
    months = month_range("2022-12", "2024-01")
    trend = np.arange(14.0)
    ends = np.array(["2023-11", "2023-12", "2024-01", "2030-12"], "datetime64[M]")
    # The first lacks November 2022, the third February 2024.
    growth, _ = twelve_month_growth(trend, trend, months, ends)
    np.testing.assert_array_equal(growth, [np.nan, 12.0, np.nan, np.nan])
    gap = np.delete(np.arange(14), 12)
    growth, _ = twelve_month_growth(trend[gap], trend[gap], months[gap], ends[1:2])
    np.testing.assert_array_equal(growth, [np.nan])


@given(st.floats(-1e3, 1e3), st.floats(0.0, 1.0))
def test_growth_knows_no_level(level: float, slope: float) -> None:
    months = month_range("2000-01", "2004-12")
    trend = level + slope * np.arange(months.size)
    growth, _ = twelve_month_growth(trend, trend, months, months[12:-1])
    np.testing.assert_allclose(growth, 12 * slope, atol=1e-9)


@pytest.mark.parametrize("months", ["2020-02", "2020-01"])
def test_series_that_do_not_fit_are_refused(months: str) -> None:
    axis = np.array([months, "2020-01"], "datetime64[M]")
    trend = np.ones(3 if months == "2020-02" else 2)
    with pytest.raises(ValueError, match=r"must be the same, and the months increase"):
        twelve_month_growth(trend, np.ones(2), axis, DECEMBER_2023)
