"""Intervals for scores over few and dependent years.

Years are drawn again in blocks, since neighbouring years share an El Nino. With
fewer than twenty years the percentile interval is too narrow: it is printed with
n, and beside the correlation with Fisher's interval.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Draws = npt.NDArray[np.int64]

DEFAULT_DRAWS = 2000
"""Draws per interval: the 2.5 % quantile then has a sampling error of 0.35 %."""

FEWEST_YEARS = 3
"""Years without which there is no interval: one or two years are a single block, so
that every draw is the record itself and the interval would have no width."""

NORMAL_95 = 1.959964
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval.

    Attributes:
        value: The score of the years as they are; NaN where undefined.
        low: Lower end of the interval; NaN where undefined.
        high: Upper end of the interval; NaN where undefined.
        n: Number of years behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the fields for JSON, which knows no NaN."""
        return {
            key: None if isinstance(found, float) and math.isnan(found) else found
            for key, found in asdict(self).items()
        }


def block_length(years: int) -> int:
    """Return the block length for ``years``: their cube root, rounded up.

    Source:
        Hall, Horowitz and Jing (1995), Biometrika 82: the length grows as n^(1/3)
        when a variance is estimated.
    """
    # The guard keeps 27 from becoming 4 by rounding of the root.
    return max(1, math.ceil(math.cbrt(years) - 1e-9))


def year_draws(years: int, draws: int = DEFAULT_DRAWS, seed: int = 0) -> Draws:
    """Draw years again in circular blocks.

    Args:
        years: Number of years.
        draws: Number of draws.
        seed: The same seed gives the same draws, so that runs can be paired.

    Returns:
        Positions of years; shape (draw, year).
    """
    generator = np.random.default_rng(seed)
    length = block_length(years)
    blocks = math.ceil(years / length)
    starts = generator.integers(0, years, (draws, blocks, 1))
    steps = (starts + np.arange(length)) % years
    drawn: Draws = steps.reshape(draws, blocks * length)[:, :years]
    return drawn


def score(statistic: Callable[[Draws], Array], years: int, drawn: Draws) -> Score:
    """Score the years as they are, and their draws.

    Args:
        statistic: From positions of years (..., year) to the score (...).
        years: Number of years.
        drawn: Positions of years; shape (draw, year).

    Returns:
        The score with its 95 % percentile interval. The interval is NaN with fewer
        than ``FEWEST_YEARS``, without draws, or if more than half of the draws leave
        the score undefined.
    """
    value = float(statistic(np.arange(years)))
    nothing = Score(value, math.nan, math.nan, years)
    if years < FEWEST_YEARS or math.isnan(value):
        return nothing
    sample = np.asarray(statistic(drawn), np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size < max(len(drawn) / 2, 1):
        return nothing
    low, high = np.quantile(sample, [0.025, 0.975])
    return Score(value, float(low), float(high), years)


def fisher_interval(correlation: float, years: int, fitted: int = 1) -> Score:
    """Return Fisher's 95 % interval of a correlation.

    Args:
        correlation: Correlation of two series.
        years: Number of years.
        fitted: Parameters removed beside the mean; 1 for a line in time.

    Source:
        Fisher (1921), Metron 1; the standard error is 1 / sqrt(n - 3 - fitted).
    """
    freedom = years - 3 - fitted
    if freedom < 1 or not abs(correlation) < 1:
        return Score(correlation, math.nan, math.nan, years)
    centre = math.atanh(correlation)
    half = NORMAL_95 / math.sqrt(freedom)
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Score(correlation, low, high, years)
