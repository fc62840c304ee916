import math

import numpy as np
import pytest

from emulator.evaluation import bootstrap, metrics


@pytest.mark.parametrize(
    ("years", "length"), [(1, 1), (8, 2), (9, 3), (15, 3), (27, 3)]
)
def test_blocks_grow_with_the_cube_root(years: int, length: int) -> None:
    assert bootstrap.block_length(years) == length


def test_draws_are_blocks_of_neighbours_and_repeat_with_the_seed() -> None:
    drawn = bootstrap.year_draws(15, draws=50, seed=3)
    assert drawn.shape == (50, 15)
    blocks = drawn.reshape(50, 5, 3)
    assert ((np.diff(blocks, axis=-1) % 15) == 1).all()
    np.testing.assert_array_equal(drawn, bootstrap.year_draws(15, 50, 3))
    assert not np.array_equal(drawn, bootstrap.year_draws(15, 50, 4))


def test_every_year_is_drawn_equally_often() -> None:
    counts = np.bincount(bootstrap.year_draws(9, 3000).ravel(), minlength=9)
    np.testing.assert_allclose(counts / 3000, 1.0, atol=0.1)


def test_interval_of_a_mean_of_independent_years() -> None:
    # The mean of 200 standard normals has a 95 % interval of +- 1.96 / sqrt(200).
    values = np.random.default_rng(5).normal(size=200)
    drawn = bootstrap.year_draws(200)
    found = bootstrap.score(lambda place: values[place].mean(-1), 200, drawn)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.25)
    assert found.n == 200


def test_interval_is_undefined_where_most_draws_are() -> None:
    drawn = bootstrap.year_draws(3)
    series = np.array([1.0, 2.0, 4.0])
    found = bootstrap.score(
        lambda place: metrics.detrended_r(series[place], series[place], place),
        3,
        drawn,
    )
    assert found.as_dict() == {"value": None, "low": None, "high": None, "n": 3}


@pytest.mark.parametrize(("years", "is_known"), [(1, False), (2, False), (3, True)])
def test_two_years_have_no_interval(years: int, is_known: bool) -> None:
    # Two years are one block: each draw is the record, and all scores are the same.
    values = np.array([1.0, 3.0, 8.0])[:years]
    drawn = bootstrap.year_draws(years)
    found = bootstrap.score(lambda place: values[place].mean(-1), years, drawn)
    assert found.value == values.mean()
    assert math.isfinite(found.low) == math.isfinite(found.high) == is_known
    without = bootstrap.score(lambda place: values[place].mean(-1), years, drawn[:0])
    assert math.isnan(without.low)


def test_fisher_interval_of_nine_detrended_years() -> None:
    # r = 0.93: atanh 1.658 +- 1.96 / sqrt(9 - 4) is 0.782 ... 2.535.
    found = bootstrap.fisher_interval(0.93, 9)
    assert found.low == pytest.approx(0.65, abs=0.005)
    assert found.high == pytest.approx(0.987, abs=0.005)
    assert math.isnan(bootstrap.fisher_interval(1.0, 9).low)
    assert math.isnan(bootstrap.fisher_interval(0.5, 4).low)
