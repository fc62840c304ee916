"""Ocean models and fCO2 products in the layout of the carbon budget and RECCAP2.

Their file names hold the range of years, which places an undecodable time axis, and
their flux is in mol of carbon. Signs that differ are declared in catalog entries, as
are fluxes of whole cells. Some products give days, of which whole months are averaged.
"""

import re
from functools import partial
from pathlib import Path

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import (
    CatalogError,
    GridMismatchError,
    TimeAxisError,
    UserError,
)
from emulator.carbon.timeaxis import CALENDARS
from emulator.carbon.units import SECONDS_PER_DAY
from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import (
    NOTHING,
    TIME_NAMES,
    Declared,
    Field,
    area_of,
    attribute,
    field_of,
    load,
    pick_variable,
    without_fills,
)
from emulator.data.readers.files import find_files, open_netcdf
from emulator.data.readers.series import read_series

_SERIES_FILES = re.compile(r"_(gm|gmr|ts|glob|reg)_|\.global\.", re.I)
"""Global and regional series, which lie beside the maps under the same prefix."""

_TIMES = (*TIME_NAMES, "mtime")
"""Names of time; the last one is that of Jena CarboScope."""

Days = NDArray[np.datetime64]

_DAY = 1.1
"""Longest step between stamps of days, in days."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable of one simulation or product; dims (time, lat, lon).

    Arguments and errors are those of ``emulator.data.readers.read``.
    """
    found = find_files(entry, variable, simulation, data_root)
    paths = [path for path in found if not _SERIES_FILES.search(path.name)]
    if not paths:
        raise CatalogError(
            f"Only global or regional series match '{variable}' of catalog entry "
            f"'{entry.name}': {[path.name for path in found]}, but maps are needed. "
            f"Narrow 'files' or get the maps."
        )
    read_one = partial(_read_field, per=entry.variables[variable].per)
    return read_series(entry, variable, simulation, paths, years, read_one)


def _read_field(
    path: Path,
    wanted: str,
    *,
    declared: Declared = NOTHING,
    years: Years | None = None,
    per: str | None = None,
) -> Field:
    """Read one variable of one file, as ``fields.read_field`` does."""
    with open_netcdf(path) as dataset:
        dataset = _in_months(dataset, wanted, path)
        field = field_of(dataset, path, wanted, declared=declared, years=years)
        return field if per is None else _per_area(field, dataset, per, path)


def _per_area(field: Field, dataset: xr.Dataset, name: str, path: Path) -> Field:
    """Return amounts of whole cells per area of the cell.

    Raises:
        UserError: If the file does not hold the areas.
        UnitsError: If they are none of cells of such a grid in m2.
        GridMismatchError: If they are of other cells.
    """
    if name not in dataset.variables:
        raise UserError(
            f"{path} has no variable '{name}', by which '{field.name}' is to be "
            f"divided; it holds {[str(one) for one in dataset.variables]}. Correct "
            f"'per' in the catalog entry."
        )
    area = area_of(dataset, path, name)
    if area.values.shape != field.values.shape[1:]:
        raise GridMismatchError(
            f"{path}: '{name}' has {area.values.shape} cells, but '{field.name}' "
            f"{field.values.shape[1:]}. Correct 'per' in the catalog entry."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        values = field.values / area.values
    values[~np.isfinite(values)] = np.nan
    return Field(values, field.lat, field.lon, field.axis, field.units, field.name)


def _in_months(dataset: xr.Dataset, wanted: str, path: Path) -> xr.Dataset:
    """Return the data set with months for days, where it has days.

    Months that lack a day are left out: what then lacks a month is refused by name
    where the years are counted.
    """
    dims = {str(dim).lower(): str(dim) for dim in dataset.dims}
    dim = next((dims[name] for name in _TIMES if name in dims), None)
    if dim is None:
        return dataset
    dataset = dataset.rename({dim: "time"}) if dim.lower() == "mtime" else dataset
    time = "time" if dim.lower() == "mtime" else dim
    days = _days(dataset, time, path)
    if days is None:
        return dataset
    field = pick_variable(dataset, wanted, path, 3).transpose(time, ...)
    values = without_fills(load(field, path), field.attrs)
    kept, means = [], []
    for month in np.unique(days.astype("M8[M]")):
        inside = days.astype("M8[M]") == month
        if inside.sum() == np.arange(month, month + 1, dtype="M8[D]").size:
            kept.append(month.astype(np.int64))
            means.append(values[inside].mean(axis=0, dtype=np.float64))
    said = {"units": "months since 1970-01-01", "calendar": "standard"}
    mean = np.stack(means).astype(np.float32) if means else values[:0]
    units = attribute(field, "units")
    attrs = {} if units is None else {"units": units}
    others = [dim for dim in field.dims if dim != time]
    return dataset.drop_dims(time).assign(
        {
            str(field.name): ((time, *others), mean, attrs),
            time: ((time,), np.array(kept, np.float64), said),
        }
    )


def _days(dataset: xr.Dataset, dim: str, path: Path) -> Days | None:
    """Return the day of each step, if steps are days; (time,).

    Raises:
        TimeAxisError: If they are shorter than days, or days do not increase.
    """
    if dim not in dataset.variables or dataset.sizes[dim] < 2:
        return None
    units = attribute(dataset[dim], "units")
    calendar = (attribute(dataset[dim], "calendar") or "standard").lower()
    is_elapsed = units is not None and " since " in units
    if not is_elapsed or CALENDARS.get(calendar) != "standard":
        return None
    try:
        dates = cftime.num2date(
            load(dataset[dim], path).astype(np.float64), units, calendar
        )
        days = np.array([date.isoformat()[:10] for date in dates], "M8[D]")
    except (ValueError, OverflowError):
        return None  # the decoder of months says what is wrong with it
    seconds = np.array([(date - dates[0]).total_seconds() for date in dates[:9]])
    if not 0 < np.median(np.abs(np.diff(seconds))) <= _DAY * SECONDS_PER_DAY:
        return None
    repeated = np.flatnonzero(np.diff(days).astype(np.int64) <= 0)
    if repeated.size:
        raise TimeAxisError(
            f"{path}: after {days[repeated[0]]} (step {repeated[0] + 1} of "
            f"{days.size}) comes {days[repeated[0] + 1]}, but days, of which months "
            f"are made, must increase. Get means of days or months, or the file again."
        )
    return days
