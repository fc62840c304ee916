"""Variables that no file holds, rebuilt from those that add up to them.

Some models report components, but no nbp, or an nbp of years only; others report gpp
and ra, but no npp.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from emulator.carbon.errors import GridMismatchError, TimeAxisError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.entry import SUMS, Entry

_LOSSES = ("fFire", "fLuc")
"""Where these hold no value, that process did not happen there."""


def add_up(
    entry: Entry, variable: str, read: Callable[[str], xr.DataArray]
) -> xr.DataArray:
    """Return the sum that an entry declares for ``variable``.

    Args:
        entry: The catalog entry, with ``sum_of`` under the variable.
        variable: Canonical name of the sum.
        read: Reads one component by its canonical name.

    Returns:
        The sum, dims (time, lat, lon), NaN where a component holds no value, but for
        fires and land-use change, which are none there. The attribute ``sum_of`` names
        the components, since a sum closes by construction.

    Raises:
        GridMismatchError: If the components are on different grids.
        TimeAxisError: If some are annual and others monthly, or of other months.
    """
    names = entry.variables[variable].sum_of
    parts = {name: read(name) for name in names}
    first = parts[names[0]]
    for name, part in parts.items():
        _require_same(first, part, f"'{names[0]}' and '{name}' of '{entry.name}'")
    total = np.zeros(first.shape, np.float64)
    for name, part in parts.items():
        values = np.nan_to_num(part.values) if name in _LOSSES else part.values
        total += SUMS[variable][name] * values.astype(np.float64)
    attrs = {
        **first.attrs,
        "long_name": VARIABLES[variable].long_name,
        "source_name": " ".join(str(p.attrs["source_name"]) for p in parts.values()),
        "sum_of": " ".join(names),
    }
    for key in ("source_file", "source_units", "sha256"):
        said = (str(part.attrs[key]) for part in parts.values())
        attrs[key] = (", " if key == "source_units" else " ").join(dict.fromkeys(said))
    return xr.DataArray(
        total.astype(np.float32), first.coords, first.dims, name=variable, attrs=attrs
    )


def _span(part: xr.DataArray) -> str:
    months = part.time.values.astype("datetime64[M]")
    return f"{months[0]} to {months[-1]}" if months.size else "no months"


def _require_same(first: xr.DataArray, part: xr.DataArray, what: str) -> None:
    if first.attrs["frequency"] != part.attrs["frequency"]:
        raise TimeAxisError(
            f"{what} are of each {first.attrs['frequency']} and of each "
            f"{part.attrs['frequency']} ({first.attrs['source_file']}, "
            f"{part.attrs['source_file']}), but only like can be added. Get monthly "
            f"files of all, or leave the sum out."
        )
    if not np.array_equal(first.time.values, part.time.values):
        spans = [f"{_span(a)} ({a.attrs['source_file']})" for a in (first, part)]
        raise TimeAxisError(
            f"{what} are of {spans[0]} and {spans[1]}, but only like can be added. Get "
            f"files of the same years, or say the last of 'years' in the catalog entry."
        )
    one, other = (Grid(a.lat.values, a.lon.values) for a in (first, part))
    if not one.matches(other):
        raise GridMismatchError(
            f"{what} are on grids of {one.describe()} and {other.describe()} "
            f"({first.attrs['source_file']}, {part.attrs['source_file']}), but a sum "
            f"needs one grid. Get files of one grid, or leave the sum out."
        )
