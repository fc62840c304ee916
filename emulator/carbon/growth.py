"""Growth of atmospheric CO2 over a year, from its deseasonalised trend.

Growth is what the trend gained between two turns of months: over a calendar year from
1 January to 1 January, over any other twelve months alike. The difference between
annual means is something else: it looks half a year back, and differs from growth by
up to 1 PgC in a year.

Source:
    NOAA Global Monitoring Laboratory, "Annual mean growth rates",
    https://gml.noaa.gov/ccgg/trends/gl_gr.html: the level at the turn of the year is
    the mean of the trend in the months around it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.budget import quadrature
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months

Array = NDArray[np.float64]


def twelve_month_growth(
    trend: NDArray[Any],
    sigma: NDArray[Any],
    months: NDArray[Any],
    ends: NDArray[Any],
    *,
    around: int = 1,
) -> tuple[Array, Array]:
    """Return the growth over the twelve months that end with each of some months.

    Args:
        trend: Deseasonalised mole fraction of each month, ppm; shape (time,).
        sigma: Its standard error, ppm; shape (time,).
        months: The months, increasing, datetime64; shape (time,).
        ends: Last months of the twelve; Decembers for calendar years; shape (end,).
        around: Months on either side of a turn whose mean is the level there: 1 for
            the global mean, 2 for a single station.

    Returns:
        Growth and its standard error, ppm yr-1; shape (end,) each. NaN where a month
        around either turn is not known. Errors of neighbouring months are taken for
        the same error, those of turns a year apart for independent ones.

    Raises:
        ValueError: If the series differ in length, or the months do not increase.
    """
    known = as_months(months)
    sizes = {trend.shape, sigma.shape, known.shape}
    if len(sizes) > 1 or (np.diff(known.astype(np.int64)) < 1).any():
        raise ValueError(
            f"Trend, sigma and months have the shapes {trend.shape}, {sigma.shape} and "
            f"{known.shape}: they must be the same, and the months increase."
        )
    ends = as_months(ends)
    level, error = _at_turn(trend, sigma, known, ends, around)
    before, error_before = _at_turn(trend, sigma, known, ends - MONTHS_PER_YEAR, around)
    return level - before, quadrature(error, error_before)


def _at_turn(
    trend: NDArray[Any],
    sigma: NDArray[Any],
    months: NDArray[np.datetime64],
    ends: NDArray[np.datetime64],
    around: int,
) -> tuple[Array, Array]:
    """Return the level at the end of each month, and its standard error."""
    steps = np.arange(1 - around, around + 1)
    wanted = ends[:, None] + steps
    place = np.searchsorted(months, wanted)
    there = place < months.size
    place = np.where(there, place, 0)
    there &= months[place] == wanted
    level, error = (
        np.where(there, series[place], np.nan).mean(axis=1, dtype=np.float64)
        for series in (trend, sigma)
    )
    return level, error
