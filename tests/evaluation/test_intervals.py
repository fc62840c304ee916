import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from emulator.evaluation import intervals


def test_exact_binomial_by_hand() -> None:
    # All of 10: the lower end solves p^10 = 0.025, so p = 0.025^(1/10) = 0.6915.
    assert intervals.exact_binomial(10, 10) == (
        pytest.approx(0.025**0.1),
        pytest.approx(1.0),
    )
    # None of 5: (1 - p)^5 = 0.025.
    assert intervals.exact_binomial(0, 5) == (0.0, pytest.approx(1 - 0.025**0.2))
    # 1 of 2: P(at least 1 of 2) = 1 - (1 - p)^2 = 0.025.
    low, high = intervals.exact_binomial(1, 2)
    assert low == pytest.approx(1 - math.sqrt(0.975))
    assert high == pytest.approx(math.sqrt(0.975))


@given(st.integers(1, 60), st.data())
@settings(deadline=None)  # a busy machine is no error
def test_exact_binomial_is_scipys(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    found = intervals.exact_binomial(hits, trials)
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(3, 2), (-1, 4), (0, 0)])
def test_no_share_of_nothing(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="are no share"):
        intervals.exact_binomial(hits, trials)


def test_coverage_of_one_value_a_year_is_the_plain_binomial() -> None:
    truth = np.zeros((15, 1))
    upper = np.full((15, 1), 1.0)
    upper[[3, 7]] = -0.5
    found = intervals.coverage(upper - 1, upper, truth, np.arange(2000, 2015))
    low, high = intervals.exact_binomial(13, 15)
    assert found.found == pytest.approx(13 / 15)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.trials == pytest.approx(15)
    assert found.years == 15
    assert found.passes
    # At most 8 of 15 are held with probability 0.0003 by a 90 % interval.
    upper[:6] = -0.5
    found = intervals.coverage(upper - 1, upper, truth, np.arange(2000, 2015))
    assert not found.passes
    assert found.as_dict()["passes"] is False


def test_copies_of_a_cell_are_no_more_trials() -> None:
    hit = np.array([1, 1, 0, 1, 1, 1, 1, 0, 1, 1.0])
    truth = np.zeros((10, 500))
    upper = np.broadcast_to(hit[:, None] - 0.5, truth.shape)
    found = intervals.coverage(upper - 1, upper, truth, np.arange(10))
    # Ten years, less by Student's t: (t_4999 / t_9)^2 = (1.9604 / 2.2622)^2.
    assert found.trials == pytest.approx(10 * (1.96044 / 2.26216) ** 2, rel=1e-4)


def test_independent_cells_are_many_trials() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(12, 2000))
    end = np.full(truth.shape, stats.norm.ppf(0.95))
    found = intervals.coverage(-end, end, truth, np.arange(12))
    assert found.trials > 5000
    assert found.passes
    assert not intervals.coverage(-0.9 * end, 0.9 * end, truth, np.arange(12)).passes


def test_coverage_by_weight_skips_what_has_no_truth() -> None:
    truth = np.array([[0.0, 5.0, np.nan], [0.0, 5.0, 5.0]])
    ends = np.ones((2, 3))
    weights = np.array([3.0, 1.0, 1.0])
    found = intervals.coverage(-ends, ends, truth, np.array([1, 2]), weights=weights)
    # Held: 3 + 3 of 3 + 1 + 3 + 1 + 1.
    assert found.found == pytest.approx(6 / 9)


def test_one_year_is_one_trial() -> None:
    ends = np.ones((12, 40))
    found = intervals.coverage(-ends, ends, 0 * ends, np.full(12, 2001))
    assert found.trials == 1
    assert found.low == pytest.approx(0.025)


def test_agreeing_years_are_all_their_values() -> None:
    ends, years = np.ones((15, 40)), np.arange(15)
    assert intervals.effective_trials(ends, years) == 600
    found = intervals.coverage(-ends, ends, 0 * ends, years)
    assert not found.passes  # 100 % of hundreds is too often for a 90 % interval


def test_effective_trials_lie_between_years_and_values() -> None:
    hits = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0]], float)
    # Shares 3/4, 1, 1/2: mean 3/4, variance of the mean (0 + 1/16 + 1/16) / 9;
    # 3/16 over it is 13.5, more than the 12 values.
    assert intervals.effective_trials(hits, np.arange(3)) == 12
    hits[2] = 0
    # Shares 3/4, 1, 0: mean 7/12, squares (4 + 25 + 49) / 144, by 9: 0.06019.
    assert intervals.effective_trials(hits, np.arange(3)) == pytest.approx(
        35 / 144 / (78 / 144 / 9)
    )
    # Two places of weight 0 leave years of two values.
    only = intervals.effective_trials(hits, np.arange(3), np.array([1.0, 1, 0, 0]))
    assert only == pytest.approx(3)


def test_unequal_weights_are_worth_fewer_trials() -> None:
    hits, years = np.ones((2, 2)), np.arange(2)
    # Weights 1 and 3 in each year: 8^2 / (2 x 10).
    found = intervals.effective_trials(hits, years, np.array([1.0, 3.0]))
    assert found == pytest.approx(3.2)
    # Nearly all of the weight in one value: one value's worth, though of two years.
    weights = np.array([[1.0], [1e6]])
    found = intervals.effective_trials(np.array([[1.0], [0.0]]), years, weights)
    assert found == pytest.approx(1, rel=1e-5)


@given(st.lists(st.floats(0.1, 100.0), min_size=2, max_size=8), st.integers(0, 99))
def test_a_weighted_share_varies_as_that_of_its_trials(
    areas: list[float], seed: int
) -> None:
    weights, years = np.array(areas), np.arange(4)
    trials = intervals.effective_trials(np.ones((4, weights.size)), years, weights)
    # The variance of a weighted mean of independent values of variance 1.
    each = np.tile(weights, 4)
    assert 1 / trials == pytest.approx((each**2).sum() / each.sum() ** 2)
    # Equal weights of any size are plain values.
    hits = np.random.default_rng(seed).integers(0, 2, (4, weights.size)).astype(float)
    plain = intervals.effective_trials(hits, years)
    assert intervals.effective_trials(
        hits, years, np.full(weights.size, areas[0])
    ) == pytest.approx(plain)


def test_interval_score_by_hand() -> None:
    lower, upper = np.zeros(4), np.full(4, 2.0)
    truth = np.array([1.0, -0.5, 3.0, np.nan])
    # Width 2; outside by 0.5 and 1, times 2 / (1 - 0.9) = 20.
    found = intervals.interval_score(lower, upper, truth, 0.9)
    np.testing.assert_allclose(found, [2.0, 12.0, 22.0, np.nan])
    assert intervals.width(lower, upper, np.array([1.0, 0, 0, 0])) == 2.0


def test_interval_score_is_least_for_the_true_quantiles() -> None:
    truth = np.random.default_rng(1).normal(size=20_000)

    def score(half: float) -> float:
        end = np.full(truth.shape, half)
        return intervals.weighted_mean(intervals.interval_score(-end, end, truth, 0.9))

    assert score(1.645) < min(score(1.4), score(1.9))


def test_crps_of_a_gaussian() -> None:
    # At the mean: sd (2 phi(0) - 1 / sqrt(pi)) = sd (0.797885 - 0.564190).
    found = intervals.crps_gaussian(np.zeros(2), np.array([1.0, 0.0]), np.array([0, 3]))
    np.testing.assert_allclose(found, [0.233695, 3.0], atol=1e-6)
    # A spread that is not known, as that of one member, is no certainty.
    assert np.isnan(
        intervals.crps_gaussian(np.zeros(1), np.array([np.nan]), np.ones(1))
    )
    # The integral of (F(x) - 1[x >= y])^2 over x, y = 1.2, mean 0.4, sd 0.7.
    x = np.linspace(-8, 8, 160_001)
    gap = (stats.norm.cdf(x, 0.4, 0.7) - (x >= 1.2)) ** 2
    one = intervals.crps_gaussian(np.array(0.4), np.array(0.7), np.array(1.2))
    assert float(one) == pytest.approx(np.trapezoid(gap, x), abs=1e-4)


def test_spread_and_error_of_a_perfect_ensemble_agree() -> None:
    generator = np.random.default_rng(4)
    scale = np.exp(generator.normal(0, 0.5, 60_000))
    members = scale * generator.normal(size=(5, scale.size))
    truth = scale * generator.normal(size=scale.size)
    spread, error = members.std(0, ddof=1), members.mean(0) - truth
    found = intervals.spread_skill(spread, error, 5)
    assert found.ratio == pytest.approx(1.0, abs=0.02)
    assert 0.2 < found.correlation < 0.6
    half = intervals.spread_skill(0.5 * spread, error, 5)
    assert half.ratio == pytest.approx(found.ratio / 2)
    assert half.correlation == pytest.approx(found.correlation)
    # A constant spread says nothing of single errors.
    flat = intervals.spread_skill(np.ones(3), np.array([1.0, -2.0, np.nan]), 2)
    assert math.isnan(flat.correlation)
    assert flat.ratio == pytest.approx(math.sqrt(1.5 / 2.5))


def test_spread_skill_counts_by_weight() -> None:
    spread, error = np.array([1.0, 3.0]), np.array([2.0, 9.0])
    found = intervals.spread_skill(spread, error, 2, np.array([1.0, 0.0]))
    assert found.ratio == pytest.approx(math.sqrt(1.5) / 2)


def test_what_cannot_be_scored_is_refused() -> None:
    one, nan = np.ones((1, 1)), np.full((1, 1), np.nan)
    with pytest.raises(ValueError, match="1 of 1 predictions are not finite"):
        intervals.coverage(nan, one, one, np.array([1]))
    with pytest.raises(ValueError, match="1 intervals end below their start"):
        intervals.interval_score(2 * one, one, one, 0.9)
    with pytest.raises(ValueError, match="no value has weight"):
        intervals.coverage(-one, one, nan, np.array([1]))
    with pytest.raises(ValueError, match="A spread needs two members or more, got 1"):
        intervals.spread_skill(one, one, 1)
    with pytest.raises(ValueError, match="1 of 1 predictions are not finite"):
        intervals.spread_skill(nan, one, 2)
    with pytest.raises(ValueError, match="A standard deviation is negative"):
        intervals.crps_gaussian(one, -one, one)
