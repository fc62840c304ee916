import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.timeaxis import month_range
from emulator.evaluation import draws
from emulator.evaluation.calibration import aggregate
from emulator.evaluation.draws import TotalSpread

MONTHS = month_range("2021-01", "2022-12")
CELLS = 12


def world(
    seed: int, paths: int = 15, regions: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return error paths (path, time, cell), areas (cell,) and shares (region, cell).

    Errors have a part that all cells share, and one that lasts over the year; borders
    of regions cut through cells.
    """
    generator = np.random.default_rng(seed)
    shape = (paths, MONTHS.size, CELLS)
    lasting = np.repeat(generator.normal(size=(paths, 2, CELLS)), 12, axis=1)
    common = generator.normal(size=(paths, MONTHS.size, 1))
    fields = 1e-9 * (generator.normal(size=shape) + lasting + 0.5 * common)
    shares = np.eye(regions)[np.arange(CELLS) % regions].T
    shares = 0.9 * shares + 0.1 / regions
    return fields, generator.uniform(1e12, 2e12, CELLS), shares


def rms(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over the first axis."""
    return np.sqrt((values**2).mean(0))


def spread_of(fields: np.ndarray, area: np.ndarray, shares: np.ndarray) -> TotalSpread:
    """Return the spread that the totals of fields (sample, time, cell) have."""
    found = aggregate(fields, MONTHS, area, shares)
    return TotalSpread(
        region_month=rms(found["region", "month"]),
        region_year=rms(found["region", "year"]),
        globe_month=rms(found["globe", "month"])[:, 0],
        globe_year=rms(found["globe", "year"])[:, 0],
    )


def over_years(months: np.ndarray) -> np.ndarray:
    """Return the root mean square over the months of each year."""
    return np.sqrt((months**2).reshape(2, 12, -1).mean(1))


def test_draws_have_the_covariance_of_the_paths() -> None:
    paths = np.random.default_rng(0).normal(size=(15, 2, 3)) + 0.4
    mean = np.arange(6.0).reshape(2, 3)
    found = draws.joint_draws(mean, paths, 60)
    assert found.shape == (60, 2, 3)
    np.testing.assert_allclose(found.mean(0), mean, atol=1e-12)
    departure, flat = (found - mean).reshape(60, 6), paths.reshape(15, 6)
    np.testing.assert_allclose(
        departure.T @ departure / 60, flat.T @ flat / 15, atol=1e-12
    )


def test_draws_differ_and_repeat_with_the_seed() -> None:
    paths = np.random.default_rng(1).normal(size=(5, 12, 3))
    mean = np.zeros((12, 3))
    one = draws.joint_draws(mean, paths, 50, seed=1)
    assert np.unique(one[:, 0, 0]).size == 50
    np.testing.assert_array_equal(one, draws.joint_draws(mean, paths, 50, seed=1))
    assert not np.allclose(one, draws.joint_draws(mean, paths, 50, seed=2))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(0.5, 2.0), min_size=3, max_size=3),
    st.floats(0.6, 0.95),
)
def test_totals_get_the_spread_that_is_wanted(
    seed: int, factors: list[float], share: float
) -> None:
    fields, area, shares = world(seed)
    natural = spread_of(fields, area, shares)
    year = natural.region_year * factors
    month = natural.region_month * factors
    wanted = TotalSpread(
        region_month=month,
        region_year=year,
        # The globe between independent and wholly dependent regions.
        globe_month=share * month.sum(1),
        globe_year=share * year.sum(1),
    )
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    found = spread_of(draws.joint_draws(0 * scaled[0], scaled, 50), area, shares)
    np.testing.assert_allclose(found.globe_year, wanted.globe_year, rtol=0.01)
    np.testing.assert_allclose(found.region_year, wanted.region_year, rtol=0.01)
    np.testing.assert_allclose(
        over_years(found.region_month), over_years(month), rtol=0.02
    )
    np.testing.assert_allclose(
        over_years(found.globe_month), over_years(wanted.globe_month), rtol=0.02
    )


def test_wanting_what_is_there_changes_nothing() -> None:
    fields, area, shares = world(3)
    natural = spread_of(fields, area, shares)
    scaled = draws.rescale(fields, MONTHS, area, shares, natural)
    # Months weigh by their length in years, and alike in the mean over months.
    np.testing.assert_allclose(scaled, fields, rtol=0.05, atol=5e-11)


def test_a_region_keeps_its_pattern() -> None:
    fields, area, _ = world(4)
    shares = np.ones((1, CELLS))
    natural = spread_of(fields, area, shares)
    wanted = TotalSpread(*(3 * each for each in vars(natural).values()))
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    before, after = (
        np.corrcoef(each[:, :12].mean(1), rowvar=False) for each in (fields, scaled)
    )
    np.testing.assert_allclose(after, before, atol=0.01)


def test_quantiles_of_draws_are_the_calibrated_interval() -> None:
    fields, area, shares = world(5)
    half = np.array([[0.2, 0.3, 0.4], [0.25, 0.35, 0.45]])
    globe = np.array([0.6, 0.7])
    wanted = TotalSpread(
        region_month=np.repeat(2 * half, 12, axis=0) / 1.645,
        region_year=half / 1.645,
        globe_month=np.repeat(2 * globe, 12) / 1.645,
        globe_year=globe / 1.645,
    )
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    found = draws.joint_draws(np.zeros_like(scaled[0]), scaled, 1000)
    totals = aggregate(found, MONTHS, area, shares)
    for key, expected in (
        (("region", "year"), half),
        (("globe", "year"), globe[:, None]),
    ):
        low, high = np.quantile(totals[key], [0.05, 0.95], axis=0)
        np.testing.assert_allclose((high - low) / 2, expected, rtol=0.12)


def test_other_regions_and_their_sums_follow_the_paths() -> None:
    # Many paths of a known law: cells independent, errors doubled by calibration.
    generator = np.random.default_rng(6)
    fields = 1e-9 * generator.normal(size=(400, 24, CELLS))
    area, shares = np.full(CELLS, 1e12), np.eye(2)[np.arange(CELLS) % 2].T
    natural = spread_of(fields, area, shares)
    wanted = TotalSpread(*(2 * each for each in vars(natural).values()))
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    found = draws.joint_draws(np.zeros((24, CELLS)), scaled, 500)
    part = np.zeros((1, CELLS))
    part[0, 3:7] = 1.0
    totals = aggregate(found, MONTHS, area, part)
    # Four cells of sd 2e-9 x 1e12 m2: 4e3 kg s-1 x 31556952 s = 0.1262 Pg.
    np.testing.assert_allclose(rms(totals["region", "month"]).mean(), 0.1262, rtol=0.02)
    np.testing.assert_allclose(
        rms(totals["region", "year"]), 0.1262 / np.sqrt(12), rtol=0.12
    )


def test_globe_is_right_where_regions_contradict_it() -> None:
    fields, area, shares = world(7)
    natural = spread_of(fields, area, shares)
    wanted = TotalSpread(
        region_month=natural.region_month,
        region_year=natural.region_year,
        globe_month=natural.globe_month,
        globe_year=2 * natural.region_year.sum(1),
    )
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    found = spread_of(scaled, area, shares)
    np.testing.assert_allclose(found.globe_year, wanted.globe_year, rtol=0.01)
    # All regions at once: each twice as wide as wanted, and no cell gone astray.
    np.testing.assert_allclose(found.region_year, 2 * wanted.region_year, rtol=0.05)
    assert np.abs(scaled).max() < 10 * np.abs(fields).max()


def test_globe_spreads_at_least_by_what_its_regions_cannot_cancel() -> None:
    fields, area, shares = world(10)
    natural = spread_of(fields, area, shares)
    wanted = TotalSpread(
        region_month=natural.region_month,
        region_year=np.array([[1.0, 0.2, 0.1], [0.1, 0.1, 0.1]]),
        globe_month=natural.globe_month,
        globe_year=np.zeros(2),
    )
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    found = spread_of(scaled, area, shares)
    # 1 - 0.2 - 0.1, and a hundredth of 0.3.
    np.testing.assert_allclose(found.globe_year, [0.7, 0.003], rtol=0.05)
    np.testing.assert_allclose(found.region_year, wanted.region_year, rtol=0.05)


def test_months_that_spread_less_than_their_year_follow_it() -> None:
    fields, area, shares = world(8)
    natural = spread_of(fields, area, shares)
    wanted = TotalSpread(
        region_month=0.1 * natural.region_month,
        region_year=natural.region_year,
        globe_month=0.1 * natural.globe_month,
        globe_year=natural.globe_year,
    )
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    np.testing.assert_allclose(scaled[:, 0], scaled[:, 11], atol=1e-15)


def test_errors_without_total_stay_without() -> None:
    fields, area, shares = (
        np.zeros((15, 24, CELLS)),
        np.ones(CELLS),
        np.ones((1, CELLS)),
    )
    wanted = TotalSpread(np.ones((24, 1)), np.ones((2, 1)), np.ones(24), np.ones(2))
    scaled = draws.rescale(fields, MONTHS, area, shares, wanted)
    np.testing.assert_array_equal(scaled, 0.0)


def test_year_blocks_go_round() -> None:
    errors = np.repeat([1.0, 2.0, 3.0], 12)[:, None] * np.ones(2)
    found = draws.year_blocks(errors, 2)
    assert found.shape == (3, 24, 2)
    np.testing.assert_array_equal(found[:, ::12, 0], [[1, 2], [2, 3], [3, 1]])


def test_what_cannot_be_drawn_is_refused() -> None:
    fields, area, shares = world(9)
    natural = spread_of(fields, area, shares)
    with pytest.raises(ValueError, match="49 draws are too few for 15 paths: give 50"):
        draws.joint_draws(fields[0], fields, 49)
    with pytest.raises(ValueError, match="give 61 or more"):
        draws.joint_draws(fields[0], np.concatenate([fields] * 4), 60)
    with pytest.raises(ValueError, match="Errors of 25 months make no paths"):
        draws.year_blocks(np.ones((25, 1)), 1)
    with pytest.raises(ValueError, match="no paths of 3 whole years"):
        draws.year_blocks(np.ones((24, 1)), 3)
    with pytest.raises(ValueError, match="Draws need whole years from January on"):
        draws.rescale(fields[:, 1:], MONTHS[1:], area, shares, natural)
    with pytest.raises(ValueError, match="Draws need whole years from January on"):
        draws.rescale(fields, MONTHS + 1, area, shares, natural)
    with pytest.raises(ValueError, match="3 paths cannot be fitted to 3 regions"):
        draws.rescale(fields[:3], MONTHS, area, shares, natural)
    with pytest.raises(ValueError, match="regions do not add up to the globe"):
        draws.rescale(fields, MONTHS, area, shares[:2], natural)
    with pytest.raises(ValueError, match="The paths have 12 months, but 24"):
        draws.rescale(fields[:, :12], MONTHS, area, shares, natural)
