"""The weather that each month of a simulation saw.

Control simulations recycle old weather or see a climatology, so a month of
their calendar does not tell the forcing behind its flux; memory, too, runs
along this sequence and not along the calendar.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Simulation, WeatherSpan

UNKNOWN = -1
"""Index of months whose weather nobody knows."""


def weather_sequence(
    simulation: Simulation,
    months: NDArray[np.datetime64],
    weather_months: NDArray[np.datetime64],
) -> NDArray[np.int32]:
    """Return where in the forcing the weather of each month is.

    Args:
        simulation: What the simulation saw.
        months: Calendar months of the simulation, datetime64[M]; shape (time,).
        weather_months: Months of the forcing, datetime64[M], without appended
            climatological months; shape (weather_time,).

    Returns:
        Index into the forcing; shape (time,). ``UNKNOWN`` where no span covers
        the month or the forcing lacks it. A climatological month k (0 to 11) has
        the index ``len(weather_months) + k``: the twelve means are appended
        after the last month, January first.
    """
    months = months.astype("datetime64[M]")
    year, month = _split(months)
    index = np.full(months.shape, UNKNOWN, dtype=np.int32)
    for span in simulation.weather:
        last = np.inf if span.years[1] is None else span.years[1]
        inside = (year >= span.years[0]) & (year <= last)
        if span.climatology is not None:
            index[inside] = weather_months.size + month[inside]
        else:
            seen = (_seen_year(span, year[inside]) - 1970) * 12 + month[inside]
            index[inside] = _lookup(weather_months, seen)
    return index


def climatology_years(
    simulations: Iterable[Simulation],
) -> tuple[int, int] | None:
    """Return the years of the climatology that the simulations saw, if any.

    Raises:
        CatalogError: If they saw climatologies of different years, since a store
            holds one.
    """
    spans = {
        span.climatology
        for simulation in simulations
        for span in simulation.weather
        if span.climatology is not None
    }
    if len(spans) > 1:
        raise CatalogError(
            f"The simulations saw climatologies of different years {sorted(spans)}, "
            f"but one store holds one. Give all the same years, or prepare them "
            f"separately."
        )
    return next(iter(spans), None)


def _seen_year(span: WeatherSpan, year: NDArray[np.int64]) -> NDArray[np.int64]:
    if span.repeat is None or span.anchor is None:
        return year
    first, last = span.repeat
    return first + (year - span.anchor) % (last - first + 1)


def _lookup(
    weather_months: NDArray[np.datetime64], wanted: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return the index of each wanted month (months since 1970-01)."""
    present = weather_months.astype("datetime64[M]").astype(np.int64)
    found = np.full(wanted.shape, UNKNOWN, dtype=np.int32)
    if present.size:
        order = np.argsort(present)
        place = np.clip(np.searchsorted(present[order], wanted), 0, present.size - 1)
        hit = present[order][place] == wanted
        found[hit] = order[place][hit]
    return found


def _split(
    months: NDArray[np.datetime64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the calendar year and the month 0 to 11."""
    count = months.astype(np.int64)
    return count // 12 + 1970, count % 12
