import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import StoreError
from emulator.nightly import series

from .totals import sink_map

NORMAL = 1.6448536


@pytest.fixture(scope="module")
def rising() -> xr.Dataset:
    """Return a map of 1991 to 1996: land 1, 2, ... and 4 higher, ocean 2."""
    steps = np.arange(1.0, 7.0)
    return sink_map(
        {"A": steps, "B": steps + 4}, {"C": np.full(6, 2.0)}, last="1996-12"
    )


def annual(values: list[float], first: int = 2000) -> xr.DataArray:
    years = np.arange(first, first + len(values))
    return xr.DataArray(values, {"year": years}, ("year",), name="budget_year")


def test_twelve_months_run_from_one_year_into_the_next(rising: xr.Dataset) -> None:
    found = series.running(rising)
    total = found["budget_12month"].sel(flux="nbp", region="globe")
    assert total[:11].isnull().all()
    # Means of the teachers are 3 and 4: 1991 has 365 days, the year to June 1992 has
    # 184 of the first and 182 of the second.
    np.testing.assert_allclose(total[11], 3 * 365 / 365.2425, rtol=1e-6)
    expected = (184 * 3 + 182 * 4) / 365.2425
    np.testing.assert_allclose(total.sel(time="1992-06-01"), expected, rtol=1e-6)
    spread = found["budget_12month_teacher_std"].sel(region="globe", time="1991-12-01")
    # 1 and 5: 8^0.5, in a year of 365 days; a lone teacher has none.
    np.testing.assert_allclose(spread, [8**0.5 * 365 / 365.2425, np.nan], rtol=1e-6)


def test_december_is_the_year(rising: xr.Dataset) -> None:
    found = series.running(rising)
    for name in ("", "_teacher_std"):
        december = found[f"budget_12month{name}"][..., 11::12]
        np.testing.assert_allclose(december, rising[f"budget_year{name}"], rtol=1e-6)


def test_bands_sum_to_the_globe(rising: xr.Dataset) -> None:
    total = series.running(rising)["budget_12month"]
    bands = total.sel(region=["north", "tropics", "south", "other"]).sum("region")
    np.testing.assert_allclose(
        bands[..., 11:], total.sel(region="globe")[..., 11:], rtol=1e-6
    )


def test_intervals_add_teachers_and_what_a_month_lacks(rising: xr.Dataset) -> None:
    half = xr.full_like(rising["budget_month"], 0.5).assign_attrs(nbp_level=0.9)
    rest = xr.zeros_like(half)
    rest[..., -1] = 12.0  # a rate in December, 31 days of 365.2425
    given = rising.assign(
        {series.HALF_WIDTH: half, "budget_month_completion_std": rest}
    )
    found = series.running(given).sel(flux="nbp", region="globe")
    total = found["budget_12month"]
    emulation, sink = (
        found[f"budget_12month_interval_{name}"] for name in ("emulation", "sink")
    )
    assert sink.dims == ("bound", "time")
    np.testing.assert_allclose((emulation[1] - total)[11:], 0.5)
    np.testing.assert_allclose((total - sink[0])[11:], (sink[1] - total)[11:])
    teachers = found["budget_12month_teacher_std"]
    expected = (0.25 + (NORMAL * teachers) ** 2) ** 0.5
    np.testing.assert_allclose((sink[1] - total)[11:-1], expected[11:-1], rtol=1e-6)
    lacking = 12 * 31 / 365.2425
    expected = (0.25 + NORMAL**2 * (teachers[-1] ** 2 + lacking**2)) ** 0.5
    np.testing.assert_allclose((sink[1] - total)[-1], expected, rtol=1e-6)
    # Without half-widths there is no interval at all.
    assert "budget_12month_interval_sink" not in series.running(rising)


def test_level_of_an_interval_counts(rising: xr.Dataset) -> None:
    half = xr.full_like(rising["budget_month"], 0.0)
    wide = [
        series.running(
            rising.assign({series.HALF_WIDTH: half.assign_attrs(nbp_level=level)})
        )["budget_12month_interval_sink"].sel(flux="nbp", region="globe", bound="upper")
        for level in (0.5, 0.9)
    ]
    total = series.running(rising)["budget_12month"].sel(flux="nbp", region="globe")
    # Quantiles of the normal distribution: 0.6745 and 1.6449.
    ratio = ((wide[1] - total) / (wide[0] - total))[-1]
    assert float(ratio) == pytest.approx(1.6448536 / 0.6744898)


def test_map_without_teachers_totals_is_refused(rising: xr.Dataset) -> None:
    with pytest.raises(StoreError, match=r"The map has no 'nbp_month', the totals of"):
        series.running(rising.drop_vars("nbp_month"))


def test_years_depart_from_the_mean_of_the_period() -> None:
    # The mean of 2001 and 2002 is 4.
    found = series.anomaly(annual([1.0, 3.0, 5.0, 9.0]), [2001, 2002])
    np.testing.assert_allclose(found, [-3.0, -1.0, 1.0, 5.0])


@pytest.mark.parametrize("reference", [[1999, 2001], [2002, 2004]])
def test_period_beyond_the_map_gives_nothing(reference: list[int]) -> None:
    found = series.anomaly(annual([1.0, 3.0, 5.0, 9.0]), reference)
    assert found.isnull().all()
    ranks = series.rank(annual([1.0, 3.0, 5.0, 9.0]), reference)
    assert (ranks == 0).all()


def test_months_depart_from_the_mean_of_their_name() -> None:
    time = np.arange("2000-01", "2003-01", dtype="M8[M]").astype("M8[ns]")
    cycle = np.tile(np.arange(12.0), 3) + np.repeat([0.0, 2.0, 7.0], 12)
    rate = xr.DataArray(cycle, {"time": time}, ("time",), name="budget_month")
    found = series.anomaly(rate, [2000, 2001])
    np.testing.assert_allclose(found, np.repeat([-1.0, 1.0, 6.0], 12))
    assert series.anomaly(rate, [2002, 2003]).isnull().all()


def test_running_totals_depart_from_the_years_of_the_period() -> None:
    time = np.arange("2000-01", "2002-01", dtype="M8[M]").astype("M8[ns]")
    total = xr.DataArray(
        np.arange(24.0), {"time": time}, ("time",), name="budget_12month"
    )
    # Those that end in December 2000 and 2001 are 11 and 23.
    found = series.anomaly(total, [2000, 2001])
    np.testing.assert_allclose(found, np.arange(24.0) - 17)
    assert series.anomaly(total, [2001, 2002]).isnull().all()


@settings(max_examples=25)
@given(st.floats(-10, 10), st.integers(0, 2**32 - 1))
def test_anomalies_and_ranks_know_no_level(shift: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=8).round(3)
    years, moved = annual(values.tolist()), annual((values + shift).tolist())
    reference = [2001, 2005]
    np.testing.assert_allclose(
        series.anomaly(moved, reference), series.anomaly(years, reference), atol=1e-9
    )
    assert float(series.anomaly(years, reference)[1:6].mean()) == pytest.approx(0)
    if np.unique(values).size == 8:
        ranks = series.rank(years, reference)
        assert sorted(ranks[1:6].to_numpy().tolist()) == [1, 2, 3, 4, 5]


def test_largest_sink_of_the_period_is_the_first() -> None:
    # 2000 and 2004 lie outside 2001 to 2003: 2000 is beaten by 5 alone, 2004 by none.
    found = series.rank(annual([4.0, 3.0, 5.0, 1.0, 9.0]), [2001, 2003])
    assert found.to_numpy().tolist() == [2, 2, 1, 3, 1]
    assert found.dtype == np.int16
    missing = series.rank(annual([4.0, 3.0, 5.0, 1.0, np.nan]), [2001, 2003])
    assert missing.to_numpy().tolist() == [2, 2, 1, 3, 0]


def test_every_reference_period_stands_beside_the_others(rising: xr.Dataset) -> None:
    totals = rising.merge(series.running(rising))
    found = series.departures(totals, [[1991, 1992], [1993, 1996]])
    assert found["reference"].to_numpy().tolist() == ["1991-1992", "1993-1996"]
    assert found["budget_year_anomaly"].dims == ("reference", "flux", "region", "year")
    assert found["budget_year_rank"].sel(
        flux="nbp", region="globe", year=1996
    ).to_numpy().tolist() == [1, 1]
    land = found["budget_12month_anomaly"].sel(flux="nbp", region="globe")
    # A December's total is its year's; the first of 1991 is that of December.
    year = found["budget_year_anomaly"].sel(flux="nbp", region="globe", year=1995)
    december = land.sel(time="1995-12").squeeze("time")
    np.testing.assert_allclose(december, year, rtol=1e-6)
    assert land.notnull().sum("time").to_numpy().tolist() == [61, 61]


def test_all_complete_years_are_the_period_if_none_is_named(rising: xr.Dataset) -> None:
    totals = rising.merge(series.running(rising))
    found = series.departures(totals, [])
    assert found["reference"].to_numpy().tolist() == ["1991-1996"]
    half_a_year = sink_map({"A": np.ones(1)}, last="1991-06")
    totals = half_a_year.merge(series.running(half_a_year))
    assert not series.departures(totals, [])
