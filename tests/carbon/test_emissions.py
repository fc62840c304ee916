import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon import emissions
from emulator.carbon.timeaxis import month_range


def test_emissions_from_land_use_stay() -> None:
    np.testing.assert_array_equal(
        emissions.persisted(np.array([3.0, 1.0]), 2), [1.0, 1.0]
    )


def test_fossil_emissions_grow_on_at_their_mean_rate() -> None:
    # From 100 to 121 in two years is 10 % a year; the year between does not count.
    values = np.array([50.0, 100.0, 90.0, 121.0])
    np.testing.assert_allclose(emissions.grown(values, 2, span=2), [133.1, 146.41])


def test_growth_needs_its_years() -> None:
    with pytest.raises(ValueError, match=r"over 3 years needs 4 values, got 3"):
        emissions.grown(np.ones(3), 1, span=3)


def test_a_series_that_rises_by_one_is_missed_by_the_years_ahead() -> None:
    # The last value, kept for 1, 2, 3 years, is 1, 2, 3 too low.
    error = emissions.hindcast_error(np.arange(30.0), 3, emissions.persisted, fewest=1)
    np.testing.assert_allclose(error, [1.0, 2.0, 3.0])


def test_errors_are_those_of_the_last_origins() -> None:
    # A jump 25 years before the end lies before the 20 origins.
    values = np.where(np.arange(40) < 15, 100.0, 0.0)
    error = emissions.hindcast_error(values, 1, emissions.persisted, fewest=1)
    np.testing.assert_array_equal(error, [0.0])
    values[-1] = 2.0  # one origin of twenty: (2^2 / 20)^0.5
    error = emissions.hindcast_error(values, 1, emissions.persisted, fewest=1)
    np.testing.assert_allclose(error, [0.2**0.5])


def test_a_lead_without_truth_has_no_error() -> None:
    error = emissions.hindcast_error(np.ones(2), 3, emissions.persisted, fewest=1)
    np.testing.assert_array_equal(error, [0.0, np.nan, np.nan])


def test_a_year_follows_the_months_that_are_known_of_it() -> None:
    # 2020: 1 each month; 2021: 1.1 in all; 2022: 1.5 in January and February.
    months = np.concatenate(
        [month_range("2020-01", "2021-12"), month_range("2022-01", "2022-02")]
    )
    monthly = np.repeat([1.0, 1.1, 1.5], [12, 12, 2])
    totals, shares = emissions.scaled(10.0, 2020, 3, monthly, months)
    np.testing.assert_allclose(totals, [11.0, 15.0, np.nan])
    np.testing.assert_allclose(shares, [1.0, 1 / 6, 0.0])


def test_only_months_of_both_years_are_compared() -> None:
    # March is known in 2020 alone, April in 2021 alone: 3 / 1.5 of May.
    months = np.array(["2020-03", "2020-05", "2021-04", "2021-05"], "datetime64[M]")
    totals, shares = emissions.scaled(
        10.0, 2020, 1, np.array([9.0, 1.5, 9.0, 3.0]), months
    )
    np.testing.assert_allclose(totals, [20.0])
    np.testing.assert_allclose(shares, [1 / 12])


def test_twelve_months_take_each_year_by_its_days() -> None:
    # One unit a day: 366 in 2020, 365 in 2021. From March 2020 to February 2021 are
    # 306 and 59 days.
    years = np.array([2020, 2021])
    ends = np.array(["2020-12", "2021-02", "2021-12"], "datetime64[M]")
    found = emissions.over_twelve_months(np.array([366.0, 365.0]), years, ends)
    np.testing.assert_allclose(found, [366.0, 365.0, 365.0])
    found = emissions.over_twelve_months(np.array([366.0, 730.0]), years, ends)
    np.testing.assert_allclose(found, [366.0, 306.0 + 2 * 59.0, 730.0])


def test_twelve_months_need_their_years() -> None:
    years, annual = np.array([2020, 2021]), np.array([1.0, 2.0])
    ends = np.array(["2020-11", "2020-12", "2022-01"], "datetime64[M]")
    found = emissions.over_twelve_months(annual, years, ends)
    np.testing.assert_array_equal(found, [np.nan, 1.0, np.nan])
    annual[0] = np.nan
    december = np.array(["2021-12"], "datetime64[M]")
    found = emissions.over_twelve_months(annual, years, december)
    np.testing.assert_array_equal(found, [2.0])


@given(st.lists(st.floats(0.1, 20.0), min_size=3, max_size=3))
def test_twelve_months_lie_between_their_years(annual: list[float]) -> None:
    ends = month_range("2021-12", "2023-12")
    years = np.array([2021, 2022, 2023])
    found = emissions.over_twelve_months(np.array(annual), years, ends)
    # A window of 366 days may hold a leap day at the rate of a common year.
    assert found.min() >= min(annual) * (1 - 1 / 365)
    assert found.max() <= max(annual) * (1 + 1 / 365)
