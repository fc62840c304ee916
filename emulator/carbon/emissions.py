"""Annual emissions beyond the last year of a budget, and over any twelve months.

A budget is made once a year and ends with the year before. Until the next one, fossil
emissions grow on (as an activity-based product says, or as they grew), and emissions
from land use stay as they were. What that is worth is measured on the years that are
known: ``hindcast_error`` does the same from each of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months, years_of

Array = NDArray[np.float64]

FOSSIL_SIGMA = 0.05
"""Standard error of fossil emissions, relative (workbook of the Global Carbon Budget,
notes of the budget sheet, as the next three)."""

LAND_USE_SIGMA = 0.7
"""Standard error of emissions from land-use change, PgC yr-1."""

GROWTH_SIGMA = 0.2
"""Standard error of the growth of the atmosphere from 1980 on, PgC yr-1."""

OCEAN_SIGMA = 0.4
"""Standard error of the ocean sink, PgC yr-1."""

LAND_SIGMA = 1.0
"""Standard error of the land sink of one year, PgC yr-1: the standard deviation between
models, 0.8 to 1.2 in 2013 to 2023 (Global Carbon Budget 2024, terrestrial sheet). The
0.5 of its notes is that of a mean over years."""

HINDCASTS = 20
"""Origins of ``hindcast_error``: the last ones, since earlier growth was another."""


def persisted(values: NDArray[Any], leads: int) -> Array:
    """Return the last value for each of the years after it; shape (lead,)."""
    return np.full(leads, float(values[-1]))


def grown(values: NDArray[Any], leads: int, *, span: int) -> Array:
    """Let a series grow on at its mean relative rate over its last years.

    Args:
        values: Annual values, positive; shape (year,).
        leads: Years after the last.
        span: Years over which the rate is taken; several, because one is weather,
            crisis or recovery.

    Returns:
        The unit of ``values``; shape (lead,).

    Raises:
        ValueError: If there are not so many years, and one before them.
    """
    if values.size <= span:
        raise ValueError(
            f"A growth over {span} years needs {span + 1} values, got {values.size}. "
            f"Take fewer years."
        )
    rate = (values[-1] / values[-1 - span]) ** (1 / span)
    return np.asarray(values[-1] * rate ** np.arange(1, leads + 1))


def hindcast_error(
    values: NDArray[Any],
    leads: int,
    forecast: Callable[[NDArray[Any], int], Array],
    *,
    fewest: int,
) -> Array:
    """Return how wrong a forecast was when made from earlier years.

    Args:
        values: Annual values; shape (year,).
        leads: Years ahead.
        forecast: Takes the values up to an origin and the number of years, returns the
            values of the years after it.
        fewest: Values that the forecast needs.

    Returns:
        Root mean square error by lead, in the unit of ``values``, over the last
        ``HINDCASTS`` origins; NaN where none has a truth; shape (lead,). Later revision
        of the values is not in it.
    """
    origins = range(max(fewest, values.size - HINDCASTS), values.size)
    errors = np.full((len(origins), leads), np.nan)
    for row, origin in enumerate(origins):
        truth = values[origin : origin + leads]
        errors[row, : truth.size] = (
            forecast(values[:origin], leads)[: truth.size] - truth
        )
    squares = np.nansum(errors**2, axis=0)
    count = np.isfinite(errors).sum(axis=0)
    found = np.full(leads, np.nan)
    np.divide(squares, count, out=found, where=count > 0)
    return np.asarray(np.sqrt(found))


def scaled(
    value: float,
    year: int,
    leads: int,
    monthly: NDArray[Any],
    months: NDArray[Any],
) -> tuple[Array, Array]:
    """Let a year's total follow the growth of a monthly product.

    A year after it is the total times what the product has in the months that are known
    of it, over what it has in the same months of the year itself.

    Args:
        value: Total of the year.
        year: The last with a total.
        leads: Years after it.
        monthly: The product, any unit; shape (time,).
        months: datetime64; shape (time,).

    Returns:
        Totals in the unit of ``value``, NaN where no month is known; and the share of
        the twelve months that is; shape (lead,) each.
    """
    known = dict(zip(as_months(months).astype(np.int64).tolist(), monthly, strict=True))
    january = (year - 1970) * MONTHS_PER_YEAR
    totals, shares = np.full(leads, np.nan), np.zeros(leads)
    for lead in range(1, leads + 1):
        later = january + lead * MONTHS_PER_YEAR
        both = [
            (known[later + month], known[january + month])
            for month in range(MONTHS_PER_YEAR)
            if later + month in known and january + month in known
        ]
        if both:
            after, before = np.sum(both, axis=0)
            totals[lead - 1] = value * after / before
            shares[lead - 1] = len(both) / MONTHS_PER_YEAR
    return totals, shares


def over_twelve_months(
    annual: NDArray[Any], years: NDArray[Any], ends: NDArray[Any]
) -> Array:
    """Spread annual totals evenly over their days, and sum any twelve months.

    Args:
        annual: Totals of consecutive years, PgC (or their errors, which neighbouring
            years then share); shape (year,).
        years: The years; shape (year,).
        ends: Last months of the twelve, datetime64; shape (end,).

    Returns:
        PgC; NaN where a year is not known; shape (end,). A December has the total of
        its year.
    """
    last = as_months(ends)
    after = (last + 1).astype("M8[D]")
    before = (last + 1 - MONTHS_PER_YEAR).astype("M8[D]")
    turn = last.astype("M8[Y]").astype("M8[D]")
    next_turn = (last.astype("M8[Y]") + 1).astype("M8[D]")
    year_before = (last.astype("M8[Y]") - 1).astype("M8[D]")
    this = (after - turn) / (next_turn - turn)
    # In a December nothing is left for the year before, whatever its value.
    earlier = np.maximum((turn - before) / (turn - year_before), 0.0)
    values = dict(zip(years.tolist(), annual.tolist(), strict=True))
    of_year = np.array([values.get(y, np.nan) for y in years_of(last)])
    of_earlier = np.array([values.get(y - 1, np.nan) for y in years_of(last)])
    return np.asarray(of_year * this + np.where(earlier > 0, of_earlier * earlier, 0.0))
