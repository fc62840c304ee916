"""Months of products for ``prepare``, from the same files as nights take.

What a night goes on with must begin with the same product: another one has another
coast and another climate. Only final months count, as all months of a prepared store
do; preliminary ones are the night's.
"""

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GridMismatchError, TimeAxisError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.entry import Entry, Years
from emulator.data.readers.files import checksum
from emulator.data.readers.offering import PRODUCTS, place_of
from emulator.data.readers.products import Offering, spanned
from emulator.data.readers.series import wanted_years

_ANY: Years = (1900, None)


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable; dims (time, lat, lon), final months alone.

    Arguments and errors are those of ``emulator.data.readers.read``. The entry's root
    is the folder of the product; the names in its files are known.
    """
    place = place_of(entry.root, data_root)
    wanted = wanted_years(entry, simulation, years) or _ANY
    months: list[np.datetime64] = []
    fields: list[NDArray[np.float32]] = []
    sums: dict[Path | str, str] = {}
    sources: list[str] = []
    grid: Grid | None = None
    with tempfile.TemporaryDirectory(prefix="sink-emulator-") as scratch:
        offering = _offering(entry, variable, place, Path(scratch))
        for month in _months(offering, wanted):
            piece = offering.month(month)
            told = piece.read((variable,)) if piece else None
            if piece is None or told is None or not told.is_final:
                break
            grid = grid or told.grid
            if not told.grid.matches(grid):
                raise GridMismatchError(
                    f"{piece.sources[0]} is on a grid of {told.grid.describe()}, but "
                    f"the months before on {grid.describe()}. Get all on one grid."
                )
            months.append(month)
            fields.append(told.fields[variable].astype(np.float32))
            sources += piece.sources
            sums |= {path: checksum(path) for path in piece.files if path not in sums}
            if piece.origins:
                # What lies elsewhere is known by what was read of it.
                content = hashlib.sha256(fields[-1].tobytes()).hexdigest()
                sums[str(month)] = content
    if grid is None or not _reaches(months, wanted):
        held = f"{months[0]} to {months[-1]}" if months else "none"
        raise TimeAxisError(
            f"{place} has the final months {held} of '{variable}', but "
            f"{_span(wanted)} are needed without a gap. "
            f"{' '.join(offering.refused)} Get what is missing, or correct 'years' in "
            f"the catalog entry '{entry.name}'."
        )
    attrs = {
        "units": VARIABLES[variable].units,
        "long_name": VARIABLES[variable].long_name,
        "source_file": spanned(sources),
        "source_units": VARIABLES[variable].units,
        "source_name": offering.title,
        "source_calendar": offering.calendar,
        "frequency": "month",
        "sha256": _checksum(list(sums.values())),
        "catalog_entry": entry.name,
    }
    time = np.array(months).astype("M8[ns]")
    coords = {"time": time, "lat": grid.lat, "lon": grid.lon}
    dims = ("time", "lat", "lon")
    return xr.DataArray(np.stack(fields), coords, dims, name=variable, attrs=attrs)


def _offering(entry: Entry, variable: str, place: str, scratch: Path) -> Offering:
    """Return what the place of an entry has.

    Raises:
        CatalogError: If the reader does not know the variable.
    """
    product = PRODUCTS[entry.reader]
    known = product.variables
    if variable not in known:
        raise CatalogError(
            f"Catalog entry '{entry.name}' offers '{variable}', but the reader "
            f"{entry.reader} knows {list(known)}. Remove it from 'variables'."
        )
    return product.find(place, [variable], scratch)


def _months(offering: Offering, wanted: Years) -> NDArray[np.datetime64]:
    """Return the months from the first to the last that may be there."""
    stamps = np.array([*offering.months, *offering.days], "M8[D]").astype("M8[M]")
    year = stamps.astype("M8[Y]").astype(np.int64) + 1970
    last = np.inf if wanted[1] is None else wanted[1]
    stamps = stamps[(year >= wanted[0]) & (year <= last)]
    if not stamps.size:
        return stamps
    return np.arange(stamps.min(), stamps.max() + 1)


def _reaches(months: list[np.datetime64], wanted: Years) -> bool:
    """Return whether months, which follow one another, are those of some years.

    Years with an open end are those of the product: a folder may hold fewer.
    """
    if wanted[1] is None or not months:
        return bool(months)
    ends = (f"{wanted[0]:04d}-01", f"{wanted[1]:04d}-12")
    return (str(months[0]), str(months[-1])) == ends


def _span(years: Years) -> str:
    return f"those of {years[0]} to {years[1] or 'any year'}"


def _checksum(sums: list[str]) -> str:
    """Return the SHA-256 of what was read, that of their own if there are several."""
    if len(sums) < 2:
        return "".join(sums)
    return hashlib.sha256("".join(sums).encode()).hexdigest()
