"""One forcing product as another would tell it: what is learned where both are known.

A network answers for the product that its teachers saw. Another one differs from it by
lasting biases, which are learned for each cell and calendar month from the years that
both have, and by errors of single months, which no such map can mend:

* *delta*: the mean difference is added (temperatures, salinity);
* *ratio*: the mean ratio multiplies (quantities that cannot be negative);
* *quantiles*: a value takes the place in the one distribution that it has in the other.

Fields are (time, ...) with any dimensions of cells behind, NaN where there is no value.

Source:
    Additive for temperature, multiplicative for what is positive: Hempel et al. (2013),
    Earth System Dynamics 4, 219-236. Quantile mapping: Déqué (2007), Global and
    Planetary Change 57, 16-26.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, month_of

ROUNDING = 1e-12
"""Share of a mean square that sums of float64 may be wrong by: a relative error of
1e-16 each, over some thousand months and cells."""

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Months = NDArray[np.datetime64]


def monthly_means(values: Floats, months: Months) -> Array:
    """Return the mean of each calendar month.

    Args:
        values: Any unit; shape (time, ...).
        months: Whole years, datetime64[M]; shape (time,).

    Returns:
        January to December, float64; shape (12, ...).

    Raises:
        ValueError: If a calendar month is not among them.
    """
    return _of_calendar(values, months, _mean)


def monthly_range(values: Floats, months: Months) -> tuple[Array, Array]:
    """Return the smallest and the largest value of each calendar month.

    Arguments and errors are those of ``monthly_means``.
    """
    lowest = _of_calendar(values, months, lambda one: one.min(axis=0))
    return lowest, _of_calendar(values, months, lambda one: one.max(axis=0))


def difference(source: Array, target: Array) -> Array:
    """Return what to add to ``source`` so that its means become those of ``target``.

    Args:
        source: Mean of each calendar month, any unit; shape (12, ...).
        target: The same of the other product.
    """
    return target - source


def bounded_ratio(source: Array, target: Array, largest: float) -> Array:
    """Return what to multiply ``source`` with so that its means become the target's.

    Args:
        source: Mean of each calendar month of a quantity that is not negative; shape
            (12, ...).
        target: The same of the other product.
        largest: Largest ratio; 1 / ``largest`` is the smallest. Where the source
            vanishes it stands for a ratio that has no value, and 1 where both vanish,
            as the radiation of the polar night does.

    Raises:
        ValueError: If ``largest`` is below 1.
    """
    if not largest >= 1:
        raise ValueError(f"The largest ratio must be 1 or more, got {largest:g}.")
    vanishes = source <= 0
    ratio = target / np.where(vanishes, 1.0, source)
    ratio = np.where(vanishes, np.where(target > 0, largest, 1.0), ratio)
    known = np.isfinite(source) & np.isfinite(target)
    return np.where(known, np.clip(ratio, 1 / largest, largest), np.nan)


def shifted_by_quantiles(values: Floats, quantiles: Array, shifts: Array) -> Array:
    """Move values by the difference of two distributions at their place in the first.

    Between two quantiles the shift is linear, so that a quantile of the source becomes
    that of the target and order is kept. Beyond the outermost it stays what it is
    there. Where quantiles coincide, as those of months without rain do, a value that
    equals them gets the mean of their outermost shifts.

    Args:
        values: Values of one calendar month, any unit; shape (..., cells).
        quantiles: Quantiles of the source, not decreasing; shape (quantile, cells).
        shifts: Target - source at each of them; shape (quantile, cells).

    Returns:
        The values of the target, float64; shape of ``values``.

    Source:
        The adjustment of xsdba's EmpiricalQuantileMapping (kind "+", linear, constant
        extrapolation), which goes through Python for every cell.
    """
    shift = np.broadcast_to(shifts[0], values.shape).astype(np.float64)
    for low, high, before, after in zip(
        quantiles[:-1], quantiles[1:], shifts[:-1], shifts[1:], strict=True
    ):
        width = high - low
        passed = np.where(
            width > 0,
            np.clip((values - low) / np.where(width > 0, width, 1.0), 0.0, 1.0),
            np.heaviside(values - low, 0.5),
        )
        shift += passed * (after - before)
    moved: Array = values + shift
    return moved


def is_beyond(values: Floats, lowest: Floats, highest: Floats) -> NDArray[np.bool_]:
    """Return which values leave the range that a map was learned from.

    Args:
        values: Values of one calendar month; shape (..., cells).
        lowest: Smallest value of that month in the years of the fit; shape (cells).
        highest: Largest value.
    """
    beyond: NDArray[np.bool_] = (values < lowest) | (values > highest)
    return beyond


@dataclass(frozen=True)
class Shift:
    """How one product differs from another, over cells and months of a region.

    Attributes:
        bias: Mean of the difference, unit of the variable.
        rmse: Root of the mean square of the difference.
        correlation: Of the anomalies from each product's own climatology; NaN where
            one of them is constant. All are NaN where there is nothing to compare.
    """

    bias: float
    rmse: float
    correlation: float


def residual_shift(
    values: Floats,
    truth: Floats,
    months: Months,
    climatologies: tuple[Array, Array],
    weights: NDArray[Any],
) -> list[Shift]:
    """Return how ``values`` differ from ``truth``, region by region.

    Args:
        values: Any unit; shape (time, cell).
        truth: The same unit and shape. A month is left out of a cell where one of the
            two has no value, or no climatology.
        months: datetime64[M]; shape (time,).
        climatologies: Mean of each calendar month, of the values and of the truth, in
            years that are not scored; each of shape (12, cell).
        weights: Area of each cell in each region, m2; shape (region, cell).
    """
    sums = np.zeros((8, *values.shape[1:]))
    for place, month in enumerate(month_of(months) - 1):
        one, other = values[place].astype(np.float64), truth[place].astype(np.float64)
        a, b = one - climatologies[0][month], other - climatologies[1][month]
        wrong = one - other
        terms = np.stack(
            [np.ones_like(a), wrong, wrong**2, a, b, a * b, a**2, b**2],
        )
        sums += np.where(np.isfinite(terms).all(axis=0), terms, 0.0)
    return [_pooled(sums @ weight) for weight in weights.astype(np.float64)]


def _pooled(sums: Array) -> Shift:
    """Return the scores of a region from its weighted sums."""
    if not sums[0] > 0:
        return Shift(np.nan, np.nan, np.nan)
    wrong, square, a, b, ab, aa, bb = sums[1:] / sums[0]
    spread = _variance(a, aa) * _variance(b, bb)
    correlation = (ab - a * b) / np.sqrt(spread) if spread > 0 else np.nan
    return Shift(float(wrong), float(np.sqrt(square)), float(correlation))


def _variance(mean: float, square: float) -> float:
    """Return the variance; 0 where it is no more than the rounding of its terms."""
    variance = square - mean**2
    return variance if variance > ROUNDING * square else 0.0


def _of_calendar(
    values: Floats, months: Months, reduced: Callable[[Floats], Floats]
) -> Array:
    calendar = month_of(months)
    absent = sorted(set(range(1, MONTHS_PER_YEAR + 1)) - set(calendar.tolist()))
    if absent:
        raise ValueError(f"Months {absent} of the year are absent. Give whole years.")
    return np.stack(
        [
            np.asarray(reduced(values[calendar == month]), np.float64)
            for month in range(1, MONTHS_PER_YEAR + 1)
        ]
    )


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=0, dtype=np.float64))
