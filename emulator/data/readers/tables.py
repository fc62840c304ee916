"""Tables of one value a month or a year: CO2, above all."""

import csv
import re
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError, UnitsError, UserError
from emulator.carbon.units import convert
from emulator.carbon.variables import VARIABLES
from emulator.data.entry import Entry, TableLayout, Years
from emulator.data.gates import check_range
from emulator.data.readers.fields import (
    Declared,
    attribute,
    load,
    pick_variable,
    read_axis,
    without_fills,
)
from emulator.data.readers.files import (
    checksum,
    find_one,
    open_netcdf,
    read_text,
    unchanging,
)
from emulator.data.readers.series import wanted_years

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

A_TABLE = "a table is one file"
"""Why there must be one file, for messages."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read a series; dims (time,), one value a month.

    The value of a year stands for each of its months. Arguments and errors are those
    of ``emulator.data.readers.read``.
    """
    path = find_one(entry, variable, data_root, simulation=simulation, what=A_TABLE)
    wanted = wanted_years(entry, simulation, years)
    with unchanging(path):
        return _read(entry, variable, path, wanted)


def _read(
    entry: Entry, variable: str, path: Path, wanted: Years | None
) -> xr.DataArray:
    """Read a series of a file."""
    name = entry.variables[variable].name or variable
    layout = entry.table or TableLayout(year="year")
    if path.suffix in (".nc", ".nc4"):
        months, values, found = _read_netcdf(path, name, entry)
    else:
        months, values, found = *_read_text(path, name, layout), None
    units = entry.variables[variable].units or found
    if units is None:
        raise UnitsError(
            f"{path}: the column '{name}' states no unit, but '{variable}' is wanted "
            f"in '{VARIABLES[variable].units}'. Declare variables.{variable}.units in "
            f"the catalog entry '{entry.name}'."
        )
    return as_series(entry, variable, path, months, values, units, name, wanted)


def as_series(
    entry: Entry,
    variable: str,
    path: Path,
    months: NDArray[np.datetime64],
    values: NDArray[np.float64],
    units: str,
    name: str,
    wanted: Years | None,
) -> xr.DataArray:
    """Return values of months as readers return a series.

    Args:
        entry: The catalog entry; its ``table`` may ask for annual means.
        variable: Canonical name.
        path: The file.
        months: Of the values, datetime64[M]; shape (time,).
        values: In ``units``; shape (time,).
        units: Their unit.
        name: What the values are called in the file.
        wanted: Years to return; all when None.

    Raises:
        TimeAxisError: If a month of the wanted years is not there once.
        UserError: If one has no value.
        GateError: If one has an impossible value.
    """
    is_annual = entry.table is not None and entry.table.annual_mean
    if is_annual:
        months, values = _annual_means(months, values)
    months, values = _within(months, values, wanted, path)
    source = entry.variables[variable]
    values = convert(values, units, VARIABLES[variable].units) * source.scale
    # A number for what is missing, such as NOAA's -99.99, is nowhere declared.
    check_range(variable, values, source=str(path), overrides=entry.gates)
    attrs = {
        "units": VARIABLES[variable].units,
        "long_name": VARIABLES[variable].long_name,
        "source_file": path.name,
        "source_units": units,
        "source_name": name,
        "frequency": "month",
        "cell_methods": "time: mean (annual)" if is_annual else "time: mean",
        "sha256": checksum(path),
        "catalog_entry": entry.name,
    }
    coords = {"time": months.astype("datetime64[ns]")}
    return xr.DataArray(values, coords, ("time",), name=variable, attrs=attrs)


def _read_netcdf(
    path: Path, name: str, entry: Entry
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], str | None]:
    with open_netcdf(path) as dataset:
        variable = pick_variable(dataset, name, path, 1)
        if variable.ndim != 1 or variable.dims[0] not in dataset.variables:
            raise TimeAxisError(
                f"{path}: '{variable.name}' has the dimensions {list(variable.dims)}, "
                f"but a table needs time alone. Give maps an entry of kind 'forcing'."
            )
        declared = Declared.of(entry, entry.years)
        axis = read_axis(dataset, str(variable.dims[0]), path, declared)
        values = without_fills(load(variable, path), variable.attrs).astype(np.float64)
        units = attribute(variable, "units")
    months = axis.months
    if axis.frequency == "year":
        months, values = spread(months, values)
    return months, values, units


def _read_text(
    path: Path, name: str, layout: TableLayout
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Read columns of a text file by their header."""
    lines = read_text(path).splitlines()[layout.skip :]
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if layout.columns:
        # Without a header there are no names to tell a comma in a text from one
        # between columns: such files are numbers, parted by either.
        rows = [
            list(layout.columns),
            *(line.replace(",", " ").split() for line in lines),
        ]
    else:
        rows = list(csv.reader(lines))
    if len(rows) < 2:
        raise UserError(
            f"{path} holds {len(rows)} lines of data, but a header and values are "
            f"needed. Get it again."
        )
    header = [cell.strip() for cell in rows[0]]
    if len(set(header)) < len(header):
        raise UserError(
            f"{path} has columns of one name in {header}, which cannot be told apart. "
            f"Rename one in the header."
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise UserError(
                f"{path}: line {number} has {len(row)} values under {len(header)} "
                f"names ({header}), so that columns cannot be told apart. Complete the "
                f"header."
            )
    columns = {key: [row[i] for row in rows[1:]] for i, key in enumerate(header)}
    values = _numbers(columns, name, path)
    if layout.date is not None:
        return _dates(_column(columns, layout.date, path), layout.date, path), values
    year = _whole(columns, layout.year or "year", (1, 9999), path)
    if layout.month is None:
        return spread(((year - 1970) * 12).astype("datetime64[M]"), values)
    month = _whole(columns, layout.month, (1, 12), path)
    return ((year - 1970) * 12 + month - 1).astype("datetime64[M]"), values


def _dates(stamps: list[str], name: str, path: Path) -> NDArray[np.datetime64]:
    wrong = [stamp for stamp in stamps if not _MONTH.match(stamp.strip())]
    if wrong:
        raise UserError(
            f"{path}: the column '{name}' holds {wrong[0]!r}, but dates such as "
            f"1979-01 are needed. Name the column of dates, or 'year' and 'month', "
            f"under 'table' of the catalog entry."
        )
    return np.array([stamp.strip()[:7] for stamp in stamps], "datetime64[M]")


def _whole(
    columns: dict[str, list[str]], name: str, bounds: tuple[int, int], path: Path
) -> NDArray[np.int64]:
    """Return years or months of the year; of 1959.5, the middle of a year, the year."""
    numbers = _numbers(columns, name, path)
    if not ((numbers >= bounds[0]) & (numbers < bounds[1] + 1)).all():
        raise UserError(
            f"{path}: the column '{name}' runs from {numbers.min():g} to "
            f"{numbers.max():g}, but numbers from {bounds[0]} to {bounds[1]} are "
            f"needed. Correct 'table' in the catalog entry, or mend the file."
        )
    return numbers.astype(np.int64)


def _column(columns: dict[str, list[str]], name: str, path: Path) -> list[str]:
    """Return a column by its name, or by its name in any case."""
    same = [held for held in columns if held.lower() == name.lower()]
    held = name if name in columns else same[0] if len(same) == 1 else None
    if held is None:
        raise UserError(
            f"{path} has no column '{name}', it has {list(columns)}. Correct 'table' "
            f"or variables.<name>.name in the catalog entry."
        )
    return columns[held]


def _numbers(
    columns: dict[str, list[str]], name: str, path: Path
) -> NDArray[np.float64]:
    try:
        return np.array(_column(columns, name, path), dtype=np.float64)
    except ValueError as error:
        raise UserError(
            f"{path}: the column '{name}' holds something that is no number ({error}). "
            f"Mend the file."
        ) from None


def spread(
    years: NDArray[np.datetime64], values: NDArray[np.float64]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Give each month the value of its year."""
    months = (years[:, None] + np.arange(12)).ravel()
    return months, np.repeat(values, 12)


def _annual_means(
    months: NDArray[np.datetime64], values: NDArray[np.float64]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Replace months by the mean of their year; incomplete years are left out.

    Months count alike, as in the annual means that NOAA publishes.
    """
    year = months.astype("datetime64[Y]")
    complete, count = np.unique(year, return_counts=True)
    complete = complete[count == 12]
    means = np.array([values[year == one].mean() for one in complete])
    return spread(complete.astype("datetime64[M]"), means)


def _within(
    months: NDArray[np.datetime64],
    values: NDArray[np.float64],
    wanted: Years | None,
    path: Path,
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the wanted years; all of their months must be there."""
    order = np.argsort(months)
    months, values = months[order], values[order]
    first = months[0]
    last = months[-1]
    if wanted is not None:
        first = np.datetime64(f"{wanted[0]:04d}-01", "M")
        last = last if wanted[1] is None else np.datetime64(f"{wanted[1]:04d}-12", "M")
    expected = np.arange(first, last + 1)
    inside = (months >= first) & (months <= last)
    if not np.array_equal(months[inside], expected):
        raise TimeAxisError(
            f"{path} holds {int(inside.sum())} months of {first} to {last}, but each "
            f"of {expected.size} is needed once. Complete the table, or correct "
            f"'years' in the catalog entry."
        )
    if not np.isfinite(values[inside]).all():
        gap = expected[~np.isfinite(values[inside])][0]
        raise UserError(
            f"{path} has no value for {gap}, but each month from {first} to {last} "
            f"needs one. Complete the table, or shorten 'years' in the catalog entry."
        )
    return months[inside], values[inside]
