import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.budget import (
    annual_mean,
    annual_total,
    area_rate,
    area_total,
    budget_imbalance,
    growth_to_pgc,
    mean_adjustment,
    pgc_to_growth,
    quadrature,
    region_totals,
    residual_sink,
    running_total,
)
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range
from emulator.carbon.units import EARTH_RADIUS, SECONDS_PER_YEAR

DAY = 86400.0


def test_uniform_flux_totals_flux_times_sphere() -> None:
    # 1e-9 kg m-2 s-1 over the sphere, by hand: 4 pi R^2 1e-9 365.2425 86400 / 1e12.
    grid = Grid.regular(45.0)
    total = area_total(np.full((2, *grid.shape), 1e-9, "f4"), grid.cell_area())
    expected = 4 * math.pi * EARTH_RADIUS**2 * 1e-9 * 365.2425 * DAY / 1e12
    np.testing.assert_allclose(total, [expected, expected], rtol=1e-7)
    assert total.dtype == np.float64


@given(st.integers(0, 2**32 - 1), st.integers(0, 24), st.integers(1, 23))
def test_totals_are_blind_to_rolling_and_cutting(
    seed: int, turn: int, cut: int
) -> None:
    grid = Grid.regular(15.0)
    area = grid.cell_area()
    flux = np.random.default_rng(seed).normal(0, 1e-8, (3, *grid.shape))
    whole = area_total(flux, area)
    gross = area_total(np.abs(flux), area).max()
    rolled = area_total(np.roll(flux, turn, axis=-1), np.roll(area, turn, axis=-1))
    np.testing.assert_allclose(rolled, whole, rtol=0, atol=1e-13 * gross)
    west = area_total(flux[..., :cut], area[:, :cut])
    east = area_total(flux[..., cut:], area[:, cut:])
    np.testing.assert_allclose(west + east, whole, rtol=0, atol=1e-13 * gross)
    packed = area_total(flux.reshape(3, -1), area.ravel())
    np.testing.assert_array_equal(packed, whole)


def test_float32_fluxes_are_summed_in_float64() -> None:
    # In float32 a sum over a million cells would lose its last digits.
    flux = np.full((1000, 1000), 1e-8, "f4")
    rate = area_rate(flux, np.ones((1000, 1000)))
    assert float(rate) == pytest.approx(1e6 * float(np.float32(1e-8)), rel=1e-12)


def test_missing_values_count_only_where_there_is_area() -> None:
    flux = np.array([[1.0, np.nan]])
    assert area_rate(flux, np.array([2.0, 0.0])) == [2.0]
    with pytest.raises(
        ValueError, match=r"1 of 2 values are NaN where the area is not"
    ):
        area_rate(flux, np.array([2.0, 1.0]))


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\), the area \(2,\)"):
        area_rate(np.ones((2, 3)), np.ones(2))


def test_regions_share_out_the_total() -> None:
    area = np.array([1.0, 2.0, 3.0]) * 1e12
    weights = np.array([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    flux = np.array([[1e-9, 2e-9, -1e-9], [0.0, 0.0, 1e-9]])
    year = 365.2425 * DAY
    totals = region_totals(flux, area, weights)
    by_hand = np.array([[3e-9, -1e-9], [0.0, 3e-9]]) * year
    np.testing.assert_allclose(totals, by_hand, rtol=1e-12)
    np.testing.assert_allclose(totals.sum(axis=-1), area_total(flux, area))


@pytest.mark.parametrize(
    ("calendar", "days"),
    [("standard", [29, 366]), ("noleap", [28, 365]), ("360_day", [30, 360])],
)
def test_a_year_weighs_months_by_their_length(calendar: str, days: list[int]) -> None:
    # Only February of 2000 has a flux, 1 kg s-1.
    months = month_range("2000-01", "2000-12")
    rate = np.zeros(12)
    rate[1] = 1e12
    years, total = annual_total(rate, months, calendar)
    assert years.tolist() == [2000]
    np.testing.assert_allclose(total, [days[0] * DAY])
    _, mean = annual_mean(rate, months, calendar)
    np.testing.assert_allclose(mean, [1e12 * days[0] / days[1]])


def test_incomplete_years_are_left_out_and_trailing_dimensions_kept() -> None:
    months = month_range("1999-06", "2002-03")
    rate = np.ones((months.size, 2, 3))
    years, total = annual_total(rate, months)
    assert years.tolist() == [2000, 2001]
    assert total.shape == (2, 2, 3)
    np.testing.assert_allclose(total[:, 0, 0] * 1e12, [366 * DAY, 365 * DAY])
    years, mean = annual_mean(rate[:5], months[:5])
    assert years.size == 0
    assert mean.shape == (0, 2, 3)


@given(st.floats(-1e5, 1e5))
def test_the_mean_of_a_constant_is_the_constant(value: float) -> None:
    months = month_range("2000-01", "2001-12")
    _, mean = annual_mean(np.full(24, value), months)
    np.testing.assert_allclose(mean, value, rtol=1e-12)


def test_missing_months_make_missing_years() -> None:
    months = month_range("2000-01", "2001-12")
    rate = np.ones(24)
    rate[3] = np.nan
    _, total = annual_total(rate, months)
    assert np.isnan(total).tolist() == [True, False]


def test_annual_totals_refuse_months_that_do_not_fit() -> None:
    months = month_range("2000-01", "2000-12")
    with pytest.raises(ValueError, match=r"There are 12 months, .* shape \(11,\)"):
        annual_total(np.ones(11), months)
    with pytest.raises(ValueError, match=r"A month occurs twice"):
        annual_mean(np.ones(24), np.concatenate([months, months]))


def test_twelve_months_count_with_their_length() -> None:
    # 1 PgC per mean year of 365.2425 days, in 2000 with its leap day: 366 days from
    # January to December, 365 from March on.
    months = month_range("2000-01", "2001-12")
    found = running_total(np.ones((24, 2)), months)
    assert np.isnan(found[:11]).all()
    np.testing.assert_allclose(found[11], 366 / 365.2425)
    np.testing.assert_allclose(found[13], 365 / 365.2425)


@given(st.integers(0, 2**32 - 1))
def test_twelve_months_to_december_are_the_year(seed: int) -> None:
    months = month_range("1999-01", "2002-12")
    rate = np.random.default_rng(seed).normal(size=(months.size, 3))
    _, years = annual_total(rate / SECONDS_PER_YEAR * 1e12, months)
    np.testing.assert_allclose(running_total(rate, months)[11::12], years, atol=1e-12)


def test_twelve_months_need_all_of_them() -> None:
    months = np.delete(month_range("2000-01", "2002-12"), 5)
    rate = np.ones(35)
    rate[20] = np.nan
    # June 2000 is not there and October 2001 is NaN: whole are the windows that end in
    # June to September 2001, and from October 2002 on.
    found = running_total(rate, months)
    whole = [str(month) for month in months[np.isfinite(found)]]
    assert whole == [
        "2001-06", "2001-07", "2001-08", "2001-09", "2002-10", "2002-11", "2002-12"
    ]  # fmt: skip


def test_twelve_months_refuse_months_that_do_not_fit() -> None:
    months = month_range("2000-01", "2000-12")
    for wrong in (months[::-1], months[:3]):
        with pytest.raises(ValueError, match=r"first dimension of both, and increase"):
            running_total(np.ones(12), wrong)


def test_growth_in_carbon_is_that_of_the_budget() -> None:
    # GCB2025 gives 3.73 ppm for 2024 as 7.92252 PgC.
    np.testing.assert_allclose(growth_to_pgc(np.array([3.73])), [7.92252])
    np.testing.assert_allclose(pgc_to_growth(np.array([7.92252])), [3.73])


def test_budget_of_2024_closes_to_its_published_imbalance() -> None:
    # GCB2025, PgC yr-1; its cement sink is counted among the sinks.
    terms = {
        "e_fos": np.array([10.535]),
        "e_luc": np.array([1.252]),
        "g_atm": np.array([7.92252]),
        "s_ocean": np.array([3.389]),
        "cement": np.array([0.224]),
    }
    imbalance = budget_imbalance(**terms, s_land=np.array([1.942]))
    np.testing.assert_allclose(imbalance, [-1.692], atol=2e-3)
    np.testing.assert_allclose(residual_sink(**terms), imbalance + 1.942)


def test_independent_errors_add_in_quadrature() -> None:
    np.testing.assert_allclose(quadrature(3.0, np.array([4.0, 0.0])), [5.0, 3.0])


def test_adjustment_moves_the_mean_of_the_window_to_the_target() -> None:
    years = np.arange(2015, 2020)
    teacher = np.array([[9.0, 1.0, 2.0, 3.0, 9.0], [9.0, 2.0, 2.0, 2.0, np.nan]])
    target = np.array([np.nan, 3.0, 3.0, 6.0, np.nan])
    offset = mean_adjustment(teacher[:1], target, years, (2016, 2018))
    np.testing.assert_allclose(offset, [2.0])
    np.testing.assert_allclose(
        mean_adjustment(teacher, target, years, (2016, 2018)), [2.0, 2.0]
    )


@pytest.mark.parametrize("window", [(2014, 2016), (2018, 2019), (2017, 2016)])
def test_adjustment_needs_the_whole_window(window: tuple[int, int]) -> None:
    years = np.arange(2015, 2020)
    target = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    message = rf"window {window[0]}-{window[1]} needs -?\d years of teacher and target"
    with pytest.raises(ValueError, match=message):
        mean_adjustment(np.ones(5), target, years, window)
