"""Weather and CO2 that no published simulation saw, for teachers to be run with again.

What an emulator has learned of a teacher's response is tested by asking both the same
question: what if CO2 rose and the weather did not change, what if one year were warmer
and drier. Such runs begin as S1 and A do, after the rise of CO2 before the first year
of output, and see recycled weather unless told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.testbed.scenario import Spans, co2
from emulator.data.testbed.weather import Weather, drier

Array = NDArray[np.float64]
Years = NDArray[np.int64]

NORMAL = 360
"""Months, the month itself the last, whose mean CO2 is its ``co2_normal``."""


@dataclass(frozen=True, eq=False)
class Prescribed:
    """What a teacher is made to see.

    Attributes:
        weather: By calendar month, from January of the first year of output on.
        co2: CO2 of each year, ppm; (year,).
    """

    weather: Weather
    co2: Array

    @property
    def years(self) -> Years:
        """The calendar years."""
        return np.unique(timeaxis.years_of(self.weather.months))


def recycled(weather: Weather, spans: Spans, last: int) -> Weather:
    """Return the weather of the recycled years, again and again until ``last``."""
    years = np.arange(spans.first, last + 1)
    place = (spans.recycled_year(years) - spans.first)[:, None] * 12 + np.arange(12)
    offset = 12 * (spans.first - int(timeaxis.years_of(weather.months)[0]))
    seen = place.ravel() + offset
    return Weather(
        months=timeaxis.month_range(f"{spans.first}-01", f"{last}-12"),
        land_cells=weather.land_cells,
        ocean_cells=weather.ocean_cells,
        land={name: field[seen] for name, field in weather.land.items()},
        ocean={name: field[seen] for name, field in weather.ocean.items()},
        el_nino=weather.el_nino[seen],
    )


def warmer_and_drier(
    weather: Weather, grid: Grid, year: int, *, warming: float, rain: float
) -> Weather:
    """Return the weather with one year changed everywhere.

    On land sunshine and humidity go with the rain, as ``weather.drier`` says; at sea
    wind, ice and the mixed layer stay.

    Args:
        weather: It is left as it is.
        grid: The grid of the Earth.
        year: The year to change, January to December.
        warming: Added to air and sea, K.
        rain: Factor on rain.
    """
    months = timeaxis.years_of(weather.months) == year
    land = {name: field.copy() for name, field in weather.land.items()}
    ocean = {name: field.copy() for name, field in weather.ocean.items()}
    changed = drier(
        {name: field[months] for name, field in land.items()},
        np.repeat(grid.lat, grid.lon.size)[weather.land_cells],
        timeaxis.month_of(weather.months[months])[:, None].astype(np.float64),
        warming=warming,
        rain=rain,
    )
    for name, values in changed.items():
        land[name][months] = values
    ocean["tos"][months] += warming
    return replace(weather, land=land, ocean=ocean)


def rising_from(year: int, years: Years, rate: float) -> Array:
    """Return CO2 as it was until ``year``, and by ``rate`` more every year after.

    Args:
        year: Last year of the history.
        years: Calendar years; (year,).
        rate: 0.01 for 1 % a year, 0 for CO2 that is held.

    Returns:
        ppm; (year,).
    """
    grown = co2(np.array(year)) * (1 + rate) ** (years - year)
    return np.where(years > year, grown, co2(years))


def forcing(prescribed: Prescribed, grid: Grid, domain: str) -> xr.Dataset:
    """Return what a teacher saw as an emulator wants it.

    Args:
        prescribed: What the teacher saw.
        grid: The grid of the Earth.
        domain: "land" or "ocean".

    Returns:
        The domain's weather (time, lat, lon) in canonical units, NaN where the domain
        has no cell, and ``co2`` and ``co2_normal`` (time), ppm.
    """
    weather = prescribed.weather
    fields, cells = (
        (weather.land, weather.land_cells)
        if domain == "land"
        else (weather.ocean, weather.ocean_cells)
    )
    first = int(prescribed.years[0])
    before = co2(np.arange(first - NORMAL // 12, first))
    path = np.repeat(np.concatenate([before, prescribed.co2]), 12)
    means = np.lib.stride_tricks.sliding_window_view(path, NORMAL)[1:].mean(axis=1)
    data = {
        name: (("time", "lat", "lon"), _maps(field, cells, grid), _units(name))
        for name, field in fields.items()
    }
    return xr.Dataset(
        {
            **data,
            "co2": ("time", path[NORMAL:], _units("co2")),
            "co2_normal": ("time", means, _units("co2_normal")),
        },
        {
            "time": weather.months.astype("datetime64[ns]"),
            "lat": grid.lat,
            "lon": grid.lon,
        },
    )


def _units(name: str) -> dict[str, str]:
    return {"units": VARIABLES[name].units}


def _maps(
    field: NDArray[np.float32], cells: NDArray[np.int64], grid: Grid
) -> NDArray[np.float32]:
    """Return (month, cell) on maps, NaN elsewhere."""
    full = np.full((field.shape[0], grid.lat.size * grid.lon.size), np.nan, "f4")
    full[:, cells] = field
    return full.reshape(-1, *grid.shape)
