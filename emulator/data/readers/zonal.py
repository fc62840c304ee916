"""Monthly fluxes by latitude, of atmospheric inversions and fCO2 products.

A file holds sums along circles of latitude, per degree, under names like ``SFCO2_LND``
and ``SFCO2_OCN``. Two things differ between groups under one and the same unit:

* What is positive is hardly ever said, and so it is found out: the sea of the middle
  latitudes, and the northern land in July, take carbon up.
* A flux "for the whole month" is what went over in the month, times twelve. February
  is then a tenth too low as a rate, and its totals need no month lengths.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, UnitsError, UserError
from emulator.carbon.timeaxis import month_of, seconds_per_month
from emulator.carbon.units import SECONDS_PER_YEAR, convert
from emulator.data.readers.fields import (
    NOTHING,
    attribute,
    load,
    read_axis,
    without_fills,
)
from emulator.data.readers.files import open_netcdf

Array = NDArray[np.float64]
Surface = Literal["land", "ocean"]

UNITS = "PgC yr-1"

NAMES: dict[Surface, str] = {"land": "SFCO2_LND", "ocean": "SFCO2_OCN"}
"""The variables: net land flux without fossil emissions, and net sea-air flux."""

MOST = 15.0
"""No global net flux of land or sea averages more, PgC yr-1; the gross ones do."""

WHOLE_MONTH = "whole month"
"""Words in the long name of fluxes that are amounts of a month, as CAMS has them."""

_PER_DEGREE = re.compile(
    r"(?:/\s*|per\s+)deg(?:ree)?s?\b|\bdeg(?:ree)?s?\s*\$?\s*\^?\s*\{?-1\}?\s*\$?"
)
_MIDDLE = (35.0, 60.0)
_NORTH = (30.0, 90.0)


@dataclass(frozen=True, eq=False)
class Zonal:
    """The net flux of rows of latitude.

    Attributes:
        source: Name of the file.
        surface: Of land or ocean.
        months: datetime64[M]; shape (time,).
        edges: Borders of the rows, degrees north, increasing; shape (row + 1,).
        sink: Mean rate of the month into the surface, PgC yr-1 for each row; shape
            (time, row).
    """

    source: str
    surface: Surface
    months: NDArray[np.datetime64]
    edges: Array
    sink: Array

    def within(self, south: float, north: float) -> Array:
        """Return the total between two latitudes, PgC yr-1; shape (time,).

        A row that lies across a border counts with its share in degrees.
        """
        lower, upper = self.edges[:-1], self.edges[1:]
        inside = np.minimum(upper, north) - np.maximum(lower, south)
        return np.asarray(self.sink @ (np.clip(inside, 0, None) / (upper - lower)))


def read(path: Path, surface: Surface) -> Zonal:
    """Read the flux of land or ocean.

    Args:
        path: A NetCDF file with the dimensions time and latitude.
        surface: Which flux.

    Returns:
        The flux, positive into the surface. Rows that are always empty are 0.

    Raises:
        UserError: If the file cannot be read, lacks the flux, has gaps in it, or its
            sign cannot be told.
        UnitsError: If it is not per degree of latitude or of no known unit, or far
            larger than net fluxes are.
        GridMismatchError: If its rows are no latitudes from pole to pole.
        TimeAxisError: If its months cannot be understood.
    """
    with open_netcdf(path) as dataset:
        held = [str(name) for name in dataset.variables]
        if not {NAMES[surface], "time", "lat"} <= set(held):
            raise UserError(
                f"{path} holds {held}, but '{NAMES[surface]}', 'time' and 'lat' are "
                f"needed. Ask for the surface that the product covers, or rename its "
                f"variables."
            )
        variable = dataset[NAMES[surface]]
        if sorted(map(str, variable.dims)) != ["lat", "time"]:
            raise GridMismatchError(
                f"{path}: '{variable.name}' has the dimensions {list(variable.dims)}, "
                f"but time and lat are needed. Sum it along circles of latitude."
            )
        variable = variable.transpose("time", "lat")
        axis = read_axis(dataset, "time", path, NOTHING)
        lat = np.asarray(dataset["lat"].values, np.float64)
        values = without_fills(load(variable, path), variable.attrs)
        per_degree = _convert(values.astype(np.float64), variable, path)
        said = attribute(variable, "long_name") or ""
    if WHOLE_MONTH in said.lower():
        length = seconds_per_month(axis.months) / SECONDS_PER_YEAR
        per_degree = per_degree / (12 * length[:, None])
    if lat[0] > lat[-1]:
        lat, per_degree = lat[::-1], per_degree[:, ::-1]
    edges = _edges(lat, path)
    flux = _without_empty_rows(per_degree, path) * np.diff(edges)
    found = Zonal(path.name, surface, axis.months, edges, flux)
    total = float(np.abs(found.within(-90, 90).mean()))
    if total > MOST:
        raise UnitsError(
            f"{path}: '{NAMES[surface]}' adds up to {total:.3g} {UNITS}, but no net "
            f"flux exceeds {MOST:g}. Its unit is not what it says: mend the attribute."
        )
    sign = _uptake(found, said, path)
    return Zonal(path.name, surface, axis.months, edges, sign * flux)


def _convert(values: Array, variable: xr.DataArray, path: Path) -> Array:
    """Return PgC yr-1 per degree."""
    units = attribute(variable, "units") or ""
    rest, count = _PER_DEGREE.subn(" ", units)
    if count != 1:
        raise UnitsError(
            f"{path}: '{variable.name}' is in {units!r}, but a flux per degree of "
            f"latitude is needed, e.g. 'Pg C yr-1 degree-1'. Mend the attribute."
        )
    try:
        return np.asarray(convert(values, rest, UNITS), np.float64)
    except UnitsError as error:
        raise UnitsError(f"{path}: '{variable.name}': {error}") from None


def _edges(lat: Array, path: Path) -> Array:
    """Return the borders of the rows, midway between them and clipped at the poles."""
    steps = np.diff(lat)
    if lat.size < 2 or not np.isfinite(lat).all() or (steps <= 0).any():
        raise GridMismatchError(
            f"{path}: the latitudes {lat[:3].tolist()} ... do not run from pole to "
            f"pole. Sort them."
        )
    inner = (lat[1:] + lat[:-1]) / 2
    first, last = lat[0] - steps[0] / 2, lat[-1] + steps[-1] / 2
    if first > -90 + steps[0] or last < 90 - steps[-1]:
        raise GridMismatchError(
            f"{path}: the rows span {first:g} to {last:g} degrees north, but must "
            f"reach both poles. Get the global file."
        )
    return np.asarray(np.clip(np.concatenate([[first], inner, [last]]), -90, 90))


def _without_empty_rows(values: Array, path: Path) -> Array:
    missing = np.isnan(values)
    gaps = missing & ~missing.all(axis=0)
    if gaps.any() or missing.all():
        raise UserError(
            f"{path}: {int(gaps.sum())} values of rows that have values otherwise are "
            f"missing ({int(missing.sum())} of {missing.size} in all). Get the file "
            f"again."
        )
    return np.asarray(np.where(missing, 0.0, values))


def _uptake(flux: Zonal, said: str, path: Path) -> int:
    """Return 1 if uptake is positive in the file, -1 if it is negative."""
    if flux.surface == "ocean":
        south, north = _MIDDLE
        sample = flux.within(south, north) + flux.within(-north, -south)
        evidence = float(sample.mean())
    else:
        sample, month = flux.within(*_NORTH), month_of(flux.months)
        if not np.isin((1, 7), month).all():
            raise UserError(
                f"{path}: the sign of the land flux shows in July against January, but "
                f"the months {sorted(set(month.tolist()))} are there. Give whole years."
            )
        evidence = float(sample[month == 7].mean() - sample[month == 1].mean())
    sign = int(np.sign(evidence))
    stated = {"upward": -1, "downward": 1}
    words = {stated[word] for word in stated if word in said.lower()}
    if sign == 0 or (words and words != {sign}):
        raise UserError(
            f"{path}: '{NAMES[flux.surface]}' is called {said!r}, but where uptake is "
            f"certain its values are {evidence:.3g} {UNITS}: its sign cannot be told. "
            f"Get the file again, or mend the attribute."
        )
    return sign
