"""A month that is not over is completed as stated, and its doubt is not forgotten."""

from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import SourceError
from emulator.carbon.timeaxis import month_range
from emulator.data.forcing_archive import STATUS, Month, read, record, seed
from emulator.data.partial import (
    LEAST_YEARS,
    Climate,
    alternatives,
    analogues,
    climate_of,
    complete,
)
from tests.worlds import tiny_forcing, tiny_forcing_store

JUNE = np.datetime64("2000-06", "M")
"""30 days, and a flat climatology in most tests."""


def climate(
    *, persistence: float = 0.5, normal: tuple[float, float, float] = (10, 10, 10)
) -> Climate:
    one = np.ones((1, 1))
    return Climate(
        month=JUNE,
        normal=np.array(normal, float)[:, None, None],
        persistence=persistence * one,
        lowest=-100 * one,
        highest=100 * one,
        innovations=np.zeros((4, 1, 1)),
        before=np.zeros((4, 1, 1)),
        latest=np.zeros((1, 1)),
    )


@pytest.mark.parametrize(
    ("days", "persistence", "expected"),
    [
        # 4 above a normal of 10; a third of the month seen, half of it lasts:
        # 10 + 4 (1/3 + 2/3 * 1/2) = 12.667.
        (10, 0.5, 12 + 2 / 3),
        # All that was seen lasts.
        (10, 1.0, 14.0),
        # Nothing lasts: only the days seen count.
        (15, 0.0, 12.0),
        # The whole month was seen.
        (30, 0.3, 14.0),
    ],
)
def test_completion_follows_its_law(
    days: int, persistence: float, expected: float
) -> None:
    seen = np.full((1, 1), 14.0)
    found = complete(seen, np.arange(1, days + 1), climate(persistence=persistence))
    assert found.dtype == np.float32
    assert found[0, 0] == pytest.approx(expected, rel=1e-6)


def test_first_days_of_a_warming_month_are_no_anomaly() -> None:
    # From 0 through 10 to 20: the first ten of 30 days are usually colder than 10,
    # by a line from 5 to 15 at 10 - 5 * 20/30 = 6.667 on average.
    spring = climate(normal=(0, 10, 20), persistence=0.5)
    usual = np.full((1, 1), 10 - 10 / 3)
    found = complete(usual, np.arange(1, 11), spring)
    assert found[0, 0] == pytest.approx(10, rel=1e-6)


def test_days_need_not_follow_one_another() -> None:
    spring = climate(normal=(0, 10, 20), persistence=0.5)
    # The first and the last day: their mean is the month's.
    found = complete(np.full((1, 1), 10.0), np.array([1, 30]), spring)
    assert found[0, 0] == pytest.approx(10, rel=1e-6)


@given(st.floats(-50, 50), st.integers(1, 30), st.floats(0, 1), st.floats(-20, 20))
def test_completion_is_never_beyond_what_was_seen(
    seen: float, days: int, persistence: float, slope: float
) -> None:
    bounded = climate(persistence=persistence, normal=(10 - slope, 10, 10 + slope))
    object.__setattr__(bounded, "lowest", np.full((1, 1), 0.0))
    object.__setattr__(bounded, "highest", np.full((1, 1), 30.0))
    found = complete(np.full((1, 1), seen), np.arange(1, days + 1), bounded)
    assert min(seen, 0) - 1e-5 <= found[0, 0] <= max(seen, 30) + 1e-5


def test_climate_knows_neighbouring_months_and_persistence() -> None:
    # Before a June: each year begins with June (5), July (6), ... May (4); every odd
    # year is 1 warmer throughout, so that an anomaly of half a degree lasts.
    cycle = np.roll(np.arange(12.0), -5)
    past = np.concatenate([cycle, cycle + 1, cycle, cycle + 1])[:, None, None]
    found = Climate.of(past, JUNE)
    np.testing.assert_allclose(found.normal[:, 0, 0], [4.5, 5.5, 6.5])
    # 44 of 47 pairs go alike, 3 do not; 48 months have the same power.
    assert found.persistence[0, 0] == pytest.approx((44 - 3) / 47, rel=1e-5)
    np.testing.assert_allclose(found.before[:, 0, 0], [-0.5, 0.5, -0.5])
    expected = np.array([0.5, -0.5, 0.5]) * (1 + 41 / 47)
    np.testing.assert_allclose(found.innovations[:, 0, 0], expected, rtol=1e-5)
    assert found.latest[0, 0] == 0.5
    assert (found.lowest[0, 0], found.highest[0, 0]) == (0, 12)


def test_thirty_years_count() -> None:
    old, new = np.full((12 * 5, 1, 1), 99.0), np.zeros((360, 1, 1))
    assert (Climate.of(np.concatenate([old, new]), JUNE).normal == 0).all()


def test_cells_without_values_and_constant_ones_stay_as_they_are() -> None:
    past = np.zeros((48, 1, 2))
    past[:, 0, 1] = np.nan
    found = complete(np.array([[0.0, np.nan]]), np.arange(1, 4), Climate.of(past, JUNE))
    np.testing.assert_array_equal(found, [[0.0, np.nan]])


def test_a_short_past_is_refused() -> None:
    with pytest.raises(SourceError, match=r"only 35 months are known .* needs 3 years"):
        Climate.of(np.zeros((12 * LEAST_YEARS - 1, 1, 1)), JUNE)


def test_years_that_began_alike_come_first() -> None:
    like = climate()
    object.__setattr__(like, "before", np.array([3.0, -1.0, 0.2, 1.0])[:, None, None])
    assert analogues([like], np.zeros(1)).tolist() == [2, 1, 3, 0]


@pytest.fixture(scope="module")
def forcing(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Return an archive that ends with ten days of January 2008."""
    folder = tmp_path_factory.mktemp("partial")
    path = folder / "land.icechunk"
    seed(path, tiny_forcing_store(folder), last=np.datetime64("2007-12"))
    truth = tiny_forcing().sel(time="2008-01-01")
    fields = {name: truth[name].to_numpy() for name in ("tas", "pr")}
    january = np.datetime64("2008-01", "M")
    month = Month(january, fields, 320.0, STATUS["partial"], 10, "days", "none")
    record(path, [month], now=datetime(2008, 1, 12, tzinfo=UTC))
    return read(path)


def test_alternatives_differ_in_the_partial_month_only(forcing: xr.Dataset) -> None:
    january = np.datetime64("2008-01", "M")
    told = list(alternatives(forcing, january, 5))
    assert len(told) == 5
    for other in told:
        xr.testing.assert_identical(
            other.isel(time=slice(-1)), forcing.isel(time=slice(-1)).load()
        )
        xr.testing.assert_identical(
            other[["co2", "status"]], forcing[["co2", "status"]]
        )
        assert not np.array_equal(other["tas"][-1], forcing["tas"][-1])
        # What is missing stays missing.
        holes = np.isnan(forcing["pr"][-1].to_numpy())
        np.testing.assert_array_equal(np.isnan(other["pr"][-1]), holes)
    assert not np.array_equal(told[0]["tas"][-1], told[1]["tas"][-1])


def test_alternatives_bring_what_the_analogue_brought(forcing: xr.Dataset) -> None:
    january = np.datetime64("2008-01", "M")
    climates = [climate_of(forcing[name], january) for name in ("tas", "pr")]
    first = analogues(climates, forcing["lat"].to_numpy())[0]
    other = next(iter(alternatives(forcing, january, 1)))
    # 21 of 31 days were not seen.
    expected = np.sqrt(21 / 31) * climates[0].innovations[first]
    change = (other["tas"][-1] - forcing["tas"][-1]).to_numpy()
    free = (other["tas"][-1].to_numpy() > climates[0].lowest) & (
        other["tas"][-1].to_numpy() < climates[0].highest
    )
    assert free.sum() > 20
    np.testing.assert_allclose(change[free], expected[free], atol=1e-4)


def test_alternatives_can_be_had_for_the_last_months(forcing: xr.Dataset) -> None:
    january = np.datetime64("2008-01", "M")
    whole = next(iter(alternatives(forcing, january, 1)))
    since = np.datetime64("2007-03", "M")
    window = next(iter(alternatives(forcing, january, 1, since=since)))
    months = month_range("2007-03", "2008-01").astype("M8[ns]")
    xr.testing.assert_identical(window, whole.sel(time=months))


def test_no_alternative_to_a_month_that_is_over(forcing: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="2007-12 is no partial month"):
        next(iter(alternatives(forcing, np.datetime64("2007-12", "M"))))
