"""Slow weather: means over the years before, for stores of carbon that remember them.

A month's memory is exact and short. Soils and trees still answer to the warmth of the
last decades, which enters as means over whole calendar years before the month's own,
along the weather that the simulation saw.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.timeaxis import years_of


def year_places(months: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year of each month, counted from the first; (time,)."""
    years = years_of(months)
    places: NDArray[np.int64] = years - years[0]
    return places


def slow_means(
    forcing: Tensor,
    weather: Tensor,
    months: NDArray[np.datetime64],
    spans: Sequence[int],
) -> Tensor:
    """Return the mean forcing of the years before each year.

    Args:
        forcing: Weather; (weather_time, forcing, cell).
        weather: Index into ``forcing`` of the weather that each month saw, -1 where
            unknown; (simulation, time).
        months: Time axis, complete; datetime64[M], (time,).
        spans: Numbers of years to average over.

    Returns:
        Means over the ``spans[0]`` calendar years before each year, then over the
        next span, in the unit of each forcing, NaN where not every month of them is
        known; (simulation, year, span * forcing, cell), years as ``year_places``.
    """
    year = year_places(months)
    annual = torch.full(
        (len(weather), int(year[-1]) + 1, *forcing.shape[1:]), torch.nan
    )
    for number in range(annual.shape[1]):
        seen = weather[:, torch.from_numpy(np.flatnonzero(year == number))]
        for row, indices in enumerate(seen):
            if len(indices) == 12 and bool((indices >= 0).all()):
                annual[row, number] = forcing[indices].mean(dim=0)
    means = []
    for span in spans:
        mean = torch.full_like(annual, torch.nan)
        for number in range(span, annual.shape[1]):
            mean[:, number] = annual[:, number - span : number].mean(dim=1)
        means.append(mean)
    return torch.cat([annual[:, :, :0], *means], dim=2)


def with_years_before(
    known: NDArray[np.bool_], months: NDArray[np.datetime64], years: int
) -> NDArray[np.bool_]:
    """Return which known months have all calendar years before known, too.

    Args:
        known: Months whose forcing is known; (time,).
        months: Time axis, complete; datetime64[M], (time,).
        years: Whole calendar years before the month's own that must be known.
    """
    year = year_places(months)
    whole = np.bincount(year, weights=known) == 12
    since = np.cumsum(np.concatenate([[0], ~whole]))
    first = np.maximum(year - years, 0)
    found: NDArray[np.bool_] = known & (year >= years) & (since[year] == since[first])
    return found
