"""Forcing, CO2 and static fields on the grid of a store."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GateError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months
from emulator.carbon.variables import VARIABLES
from emulator.data import readers
from emulator.data.check import check_forcing
from emulator.data.entry import Entry
from emulator.data.regrid import conservative

FRACTION = {"land": "land_fraction", "ocean": "sea_fraction"}
"""The static field that says which share of a cell belongs to each domain."""

NORMAL = 360
"""Months of a climatological normal (WMO-No. 1203, 2017: 30 years)."""


@dataclass(frozen=True, eq=False)
class Forcing:
    """Forcing variables on one grid and one time axis, not read yet.

    Attributes:
        grid: The grid of the store.
        months: The months that all variables have, datetime64[M]; shape (time,).
        offered_by: The catalog entry of each variable.
        series: What reads each variable.
        years: First and last year wanted; all when None.
    """

    grid: Grid
    months: NDArray[np.datetime64]
    offered_by: dict[str, Entry]
    series: dict[str, readers.Series]
    years: tuple[int, int] | None


@contextmanager
def open_forcing(
    entries: Sequence[Entry],
    variables: Sequence[str],
    grid: Grid | None,
    data_root: Path,
    *,
    years: tuple[int, int] | None = None,
) -> Iterator[Forcing]:
    """Find forcing and the months that all variables have.

    Args:
        entries: Where to look for each variable, in this order.
        variables: What is wanted.
        grid: The grid of the store; that of the first variable when None.
        data_root: The folder below which entries' roots lie.
        years: First and last year; all when None.

    Yields:
        What there is.

    Raises:
        CatalogError: If no entry offers a variable, or the variables share no month.
    """
    offered_by = {name: _offering(entries, name) for name in variables}
    with ExitStack() as stack:
        series = {
            name: stack.enter_context(
                readers.open_series(entry, name, data_root, years)
            )
            for name, entry in offered_by.items()
        }
        spans = {name: one.months() for name, one in series.items()}
        first = max(span[0] for span in spans.values())
        last = min(span[-1] for span in spans.values())
        if first > last:
            held = ", ".join(f"{n} {s[0]} to {s[-1]}" for n, s in spans.items())
            raise CatalogError(
                f"The forcing variables share no month: {held}. Take them from "
                f"products of the same years, or leave one out."
            )
        if grid is None:
            one = next(series[variables[0]].stretches(spans[variables[0]][:1])).field
            grid = Grid(one.lat.values, one.lon.values)
        months = np.arange(first, last + 1)
        yield Forcing(grid, months, offered_by, series, years)


def read_co2(
    entry: Entry, months: NDArray[np.datetime64], data_root: Path
) -> NDArray[np.float32]:
    """Return the CO2 of a table and its normal, the mean of the 30 years before.

    Returns:
        CO2 and the mean over the ``NORMAL`` months that end with each month, ppm, NaN
        where the table does not reach; shape (2, time).
    """
    series = readers.read(entry, "co2", None, data_root)
    known = as_months(series.time.values)
    place = (months - known[0]).astype(np.int64)
    inside = (place >= 0) & (place < known.size)
    normal = series.rolling(time=NORMAL).mean()
    co2 = np.full((2, *months.shape), np.nan, np.float32)
    co2[:, inside] = np.stack([series, normal])[:, place[inside]]
    return co2


def read_static(
    entries: Sequence[Entry], variables: Sequence[str], grid: Grid, data_root: Path
) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Read static fields and bring them onto ``grid``.

    Returns:
        Float32 fields by name, dims (lat, lon), and overridden gates.

    Raises:
        CatalogError: If no entry offers a variable.
        GateError: If a field is implausible.
    """
    fields, overridden = {}, []
    # The area is that of the sphere, always: see ``surface``.
    for name in [name for name in variables if name != "area"]:
        entry = _offering(entries, name)
        field = readers.read(entry, name, None, data_root, grid=grid)
        overridden += check_forcing(entry, field)
        if name in FRACTION.values():
            # Where a fraction says nothing, nothing of the cell is meant.
            field = field.fillna(0.0)
        fields[name] = _described(onto(field, grid), name, grid, field)
    return fields, overridden


def surface(
    domain: str,
    static: Sequence[Entry],
    teachers: Sequence[Entry],
    grid: Grid,
    data_root: Path,
) -> dict[str, xr.DataArray]:
    """Return the area of each cell and the share of it that belongs to the domain.

    The share comes from a static entry, else from the first teacher that has its own.
    Areas are those of the sphere, so that all totals of this package compare.

    Returns:
        ``area``, m2, and ``fraction``, 0 to 1; float64, dims (lat, lon).

    Raises:
        CatalogError: If nothing says which share belongs to the domain.
    """
    name = FRACTION[domain]
    found: xr.DataArray | None = None
    if any(name in entry.variables for entry in static):
        found = readers.read(_offering(static, name), name, None, data_root, grid=grid)
    for teacher in teachers:
        if found is None:
            found = readers.read_fraction(teacher, data_root)
    if found is None:
        raise CatalogError(
            f"Nothing says which share of a cell is {domain}: none of the static "
            f"entries {[entry.name for entry in static]} has '{name}', and no teacher "
            f"has its own. Add a static entry with '{name}' to data.static."
        )
    share = np.clip(onto(found.fillna(0.0), grid).astype(np.float64), 0, 1)
    area = xr.DataArray(grid.cell_area(), dims=("lat", "lon"))
    fraction = xr.DataArray(share, dims=("lat", "lon"), attrs=dict(found.attrs))
    area.attrs = {"units": "m2", "standard_name": "cell_area", "long_name": "Cell area"}
    fraction.attrs |= {
        "units": "1",
        "long_name": f"Share of the cell that is {domain}",
    }
    return {"area": area, "fraction": fraction}


def onto(
    field: xr.DataArray, grid: Grid, part: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Return a field on ``grid``, regridded only if it is on another one.

    Args:
        field: Dims (time, lat, lon) or (lat, lon).
        grid: The grid wanted.
        part: Share of each source cell for which the field holds; the whole when None.
    """
    source = Grid(field.lat.values, field.lon.values)
    values = field.to_numpy()
    if source.matches(grid):
        return values.astype(np.float32, copy=False)
    return conservative(source, grid).means(values, part)


def require_monthly(field: xr.DataArray, entry: Entry) -> None:
    """Refuse annual fields.

    Raises:
        GateError: If the field is not monthly.
    """
    if field.attrs["frequency"] != "month":
        raise GateError(
            f"{field.attrs['source_file']}: '{field.name}' of catalog entry "
            f"'{entry.name}' is annual, but a store holds months. Remove it from the "
            f"entry's 'variables', or get the monthly file."
        )


def attributes(name: str, found: dict[str, str]) -> dict[str, str]:
    """Return the CF attributes of a variable, with what its reader found."""
    known = VARIABLES[name]
    said = {"units": known.units, "long_name": known.long_name}
    if known.standard_name is not None:
        said["standard_name"] = known.standard_name
    return said | {key: str(value) for key, value in found.items() if key not in said}


def _offering(entries: Sequence[Entry], variable: str) -> Entry:
    for entry in entries:
        if variable in entry.variables:
            return entry
    offered = {entry.name: sorted(entry.variables) for entry in entries}
    raise CatalogError(
        f"No entry offers '{variable}'; they offer {offered}. Add an entry which has "
        f"it, or leave it out."
    )


def _described(
    values: NDArray[np.float32], name: str, grid: Grid, field: xr.DataArray
) -> xr.DataArray:
    coords = {"lat": grid.lat, "lon": grid.lon}
    if "time" in field.dims:
        coords["time"] = field.time.values
    attrs = attributes(name, field.attrs)
    return xr.DataArray(values, coords, field.dims, name=name, attrs=attrs)
