"""Scores of intervals and of ensembles, as pure functions of arrays.

An interval has a *level*, the share of truths that it should hold (0.9). Being right
that often is not enough: of two intervals that are, the narrower one is better, which
the interval score and the CRPS weigh together. Values are (step, place) in any unit:
steps are months or years, places cells, regions or the globe. NaN in the truth is not
scored. Weights are areas of the places, or any positive weights that broadcast.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from emulator.evaluation.metrics import Array

Years = npt.NDArray[np.integer]

CONFIDENCE = 0.95
"""Confidence of the exact binomial interval of a coverage."""


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth, and how well that is known.

    Attributes:
        level: The share that it should hold.
        found: The share that it held, by weight.
        low: Lower end of the exact 95 % binomial interval of ``found``.
        high: Upper end.
        trials: Number of independent trials that ``found`` is worth.
        years: Number of different years.
    """

    level: float
    found: float
    low: float
    high: float
    trials: float
    years: int

    @property
    def passes(self) -> bool:
        """Whether the level lies in the interval of what was found."""
        return self.low <= self.level <= self.high

    def as_dict(self) -> dict[str, float | int | bool]:
        """Return the fields and ``passes``, for JSON."""
        return {**asdict(self), "passes": self.passes}


@dataclass(frozen=True)
class SpreadSkill:
    """What the spread between members says about the error of their mean.

    Attributes:
        ratio: Spread over error, both root mean squares; 1 where truth and members
            are draws from one distribution, below 1 where members agree too well.
        correlation: Of the spread with the absolute error; NaN where one is constant.
            Even a perfect spread stays far below 1, since an error is one draw.
    """

    ratio: float
    correlation: float


def exact_binomial(
    hits: float, trials: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the exact confidence interval of a share.

    Args:
        hits: Successes, from 0 to ``trials``; need not be whole, as beta functions
            are defined between.
        trials: Independent trials, above 0.
        confidence: Probability that the interval holds the true share, at least.

    Raises:
        ValueError: If there are no trials, or more hits than trials.

    Source:
        Clopper and Pearson (1934), Biometrika 26, in its beta form.
    """
    if not 0 <= hits <= trials or trials <= 0:
        raise ValueError(
            f"{hits:g} hits of {trials:g} trials are no share: give a positive number "
            f"of trials, and hits between 0 and it."
        )
    tail = (1 - confidence) / 2
    misses = trials - hits
    low = stats.beta.ppf(tail, hits, misses + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, misses) if misses > 0 else 1.0
    return float(low), float(high)


def coverage(
    lower: Array,
    upper: Array,
    truth: Array,
    years: Years,
    *,
    level: float = 0.9,
    weights: Array | None = None,
) -> Coverage:
    """Test whether an interval holds the truth as often as it says.

    Cells and months of one year share their weather, so they are no independent
    trials: their number is that of ``effective_trials``.

    Args:
        lower: Lower end; shape (step, place).
        upper: Upper end; shape (step, place).
        truth: NaN is not scored; shape (step, place).
        years: Calendar year of each step; shape (step,).
        level: The share that the interval should hold.
        weights: Weight of each value, broadcast to (step, place); None for 1.

    Raises:
        ValueError: If an end is missing where there is truth, lower lies above upper,
            or there is no truth at all.

    Source:
        Korn and Graubard (1998), Survey Methodology 24: exact interval with effective
        trials, corrected for the few years by quantiles of Student's t. One value a
        year gives the plain binomial of the years.
    """
    hits = _inside(lower, upper, truth)
    weight = _weights(weights, hits)
    found = min(weighted_mean(hits, weights), 1.0)
    count = np.unique(years[weight.any(axis=1)]).size
    trials = effective_trials(hits, years, weights)
    if count > 1:
        tail = 1 - (1 - CONFIDENCE) / 2
        values = np.count_nonzero(weight)
        few = stats.t.ppf(tail, values - 1) / stats.t.ppf(tail, count - 1)
        trials *= float(few) ** 2
    low, high = exact_binomial(found * trials, trials)
    return Coverage(level, found, low, high, trials, count)


def effective_trials(hits: Array, years: Years, weights: Array | None = None) -> float:
    """Return how many independent trials a share of hits is worth.

    As many as would make a binomial share vary as it varies between years: the number
    of years where each gives one value, or values that are all alike; more where
    values within a year differ; the number of values where years agree as well as if
    all values were independent. Values of unequal weight count as fewer of equal weight
    whose mean varies as theirs does, (sum w)^2 / sum w^2.

    Args:
        hits: 1 or 0, NaN where there is nothing; shape (step, place).
        years: Calendar year of each step; shape (step,).
        weights: Weight of each value, broadcast to (step, place); None for 1.

    Returns:
        Between the number of years and that of values, each of its weight; 1 for a
        single year, from which nothing is known of how years differ.

    Raises:
        ValueError: If there are no hits to count.

    Source:
        Kish (1965), Survey Sampling: the design effect of clusters, and that of
        weights.
    """
    weight = _weights(weights, hits)
    rows = weight.any(axis=1)
    known, place = np.unique(years[rows], return_inverse=True)
    if known.size < 2:
        return 1.0
    mass = np.bincount(place, weight[rows].sum(1))
    held = np.bincount(place, np.where(weight > 0, hits * weight, 0.0)[rows].sum(1))
    share = held.sum() / mass.sum()
    variance = float(((held - share * mass) ** 2).sum() / mass.sum() ** 2)
    values = float(weight.sum() ** 2 / (weight**2).sum())
    if variance <= share * (1 - share) / values:
        return values
    return max(float(share * (1 - share) / variance), min(known.size, values))


def width(lower: Array, upper: Array, weights: Array | None = None) -> float:
    """Return the mean width of an interval, NaN skipped, in the unit of its ends."""
    return weighted_mean(upper - lower, weights)


def interval_score(lower: Array, upper: Array, truth: Array, level: float) -> Array:
    """Return the interval score, less is better; NaN where there is no truth.

    Width + 2 / (1 - level) x the distance by which the truth lies outside.

    Args:
        lower: Lower end, any unit; any shape.
        upper: Upper end; the same shape.
        truth: The same shape.
        level: The share that the interval should hold.

    Raises:
        ValueError: If an end is missing where there is truth, or lower lies above
            upper.

    Source:
        Gneiting and Raftery (2007), JASA 102, equation 43; Winkler (1972).
    """
    _inside(lower, upper, truth)
    below = np.maximum(lower - truth, 0.0)
    above = np.maximum(truth - upper, 0.0)
    return np.asarray(upper - lower + 2 / (1 - level) * (below + above))


def crps_gaussian(mean: Array, deviation: Array, truth: Array) -> Array:
    """Return the CRPS of a normal distribution, in the unit of the values.

    Args:
        mean: Any shape.
        deviation: Standard deviation, 0 or more (0: a certain value, whose CRPS is
            the absolute error); the same shape.
        truth: The same shape. NaN here or in the others gives NaN.

    Raises:
        ValueError: If a deviation is negative.

    Source:
        Gneiting and Raftery (2007), JASA 102, equation 21.
    """
    if (np.asarray(deviation) < 0).any():
        raise ValueError("A standard deviation is negative: give 0 or more.")
    error = np.asarray(truth, np.float64) - mean
    spread = np.broadcast_to(np.asarray(deviation, np.float64), error.shape)
    z = np.divide(error, spread, out=np.zeros_like(error), where=spread > 0)
    score = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z)
    score = spread * (score - 1 / math.sqrt(math.pi))
    return np.where(spread == 0, np.abs(error), score)


def spread_skill(
    spread: Array, error: Array, members: int, weights: Array | None = None
) -> SpreadSkill:
    """Compare the spread between members with the error of their mean.

    Args:
        spread: Sample standard deviation between members, any unit; any shape.
        error: Mean of the members minus truth, NaN where there is none; same shape.
        members: Number of members.
        weights: Weights that broadcast to the shape; None for 1.

    Raises:
        ValueError: If there are fewer than two members, or a spread is missing where
            there is an error.

    Source:
        Fortin et al. (2014), J. Hydrometeorology 15: the spread of m members is
        multiplied by sqrt((m + 1) / m) to match the error of their mean.
    """
    if members < 2:
        raise ValueError(f"A spread needs two members or more, got {members}.")
    known = np.isfinite(error)
    _require_finite(np.isfinite(spread), known)
    spread, size = np.where(known, spread, np.nan), np.abs(error)
    variance = weighted_mean(spread**2, weights)
    square = weighted_mean(error**2, weights)
    ratio = math.sqrt((members + 1) / members * variance / square) if square else np.nan
    x = spread - weighted_mean(spread, weights)
    y = size - weighted_mean(size, weights)
    bottom = math.sqrt(weighted_mean(x**2, weights) * weighted_mean(y**2, weights))
    correlation = weighted_mean(x * y, weights) / bottom if bottom > 0 else math.nan
    return SpreadSkill(float(ratio), correlation)


def weighted_mean(values: Array, weights: Array | None = None) -> float:
    """Return the mean of ``values`` by weight; NaN values are skipped.

    Raises:
        ValueError: If nothing is left to average.
    """
    weight = _weights(weights, values)
    return float(np.where(weight > 0, values * weight, 0.0).sum() / weight.sum())


def _inside(lower: Array, upper: Array, truth: Array) -> Array:
    """Return 1 where the truth is held, 0 where not, NaN where there is none."""
    known = np.isfinite(truth)
    _require_finite(np.isfinite(lower) & np.isfinite(upper), known)
    if (known & (lower > upper)).any():
        raise ValueError(
            f"{int((known & (lower > upper)).sum())} intervals end below their start. "
            f"Give the lower end first."
        )
    return np.where(known, (lower <= truth) & (truth <= upper), np.nan)


def _require_finite(
    finite: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> None:
    """Raise unless there is a prediction wherever there is truth."""
    silent = int((known & ~finite).sum())
    if silent:
        raise ValueError(
            f"{silent} of {int(known.sum())} predictions are not finite where there is "
            f"truth. Predict all that is scored, or set the truth to NaN."
        )


def _weights(weights: Array | None, values: Array) -> Array:
    """Return the weights in the shape of the values, 0 where these are NaN."""
    given = 1.0 if weights is None else np.asarray(weights, np.float64)
    weight = np.where(np.isfinite(values), np.broadcast_to(given, values.shape), 0.0)
    if not weight.sum() > 0:
        raise ValueError("There is nothing to score: no value has weight.")
    return np.asarray(weight)
