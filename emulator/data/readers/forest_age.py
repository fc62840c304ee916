"""The forest age of the MPI for Biogeochemistry: mean age, and share with a forest.

A map at 1/120 degree, of about 2010, with an age in years where there is forest and no
value elsewhere. One variable for each least tree cover that counts as forest:
``ForestAge_TC000``, ``TC010``, ``TC020``, ``TC030``, percent.

Source:
    Besnard et al. (2021), Earth Syst. Sci. Data 13, 4881-4896.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GateError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.binning import binning
from emulator.data.entry import Entry
from emulator.data.readers.bands import open_map
from emulator.data.readers.fields import (
    Declared,
    Field,
    attribute,
    to_array,
    without_fills,
)
from emulator.data.readers.files import checksum, find_one, unchanging

_GIVES = ("forestAge", "forestFrac")
_OLDEST = VARIABLES["forestAge"].upper


def read(entry: Entry, variable: str, data_root: Path, grid: Grid) -> xr.DataArray:
    """Return the mean age of the forest of each cell, or its share; dims (lat, lon).

    The age is 0 where there is no forest, since a network needs a number everywhere:
    ``forestFrac`` tells the two apart.

    Args:
        entry: The catalog entry.
        variable: ``forestAge`` (yr) or ``forestFrac``.
        data_root: The folder below which entries' roots lie.
        grid: The grid wanted. What the map does not cover counts as no forest.

    Raises:
        CatalogError: If another variable is asked.
        GateError: If an age is impossible.
        UserError: If the file cannot be read, or no unit of the age is known.
        GridMismatchError: If it is on no complete regular grid.
    """
    if variable not in _GIVES:
        raise CatalogError(
            f"Catalog entry '{entry.name}' offers '{variable}', but the reader "
            f"forest_age gives {list(_GIVES)}. Remove it from 'variables'."
        )
    path = find_one(entry, variable, data_root)
    name = entry.variables[variable].name or variable
    with unchanging(path):
        status = path.stat()
        identity = (status.st_size, status.st_mtime_ns)
        declared = Declared.of(entry)
        units, share, amount = _sums(path, identity, name, declared, grid)
        sha256 = checksum(path)
    values = np.clip(share, 0, 1)
    if variable == "forestFrac":
        units = "1"
    else:
        values = np.divide(amount, share, out=np.zeros_like(share), where=share > 0)
    field = Field(values.astype(np.float32), grid.lat, grid.lon, None, units, name)
    return to_array(field, entry, variable, path, sha256)


# Age and share are asked one after the other: the file is read once.
@lru_cache(maxsize=1)
def _sums(
    path: Path,
    _identity: tuple[int, int],
    name: str,
    declared: Declared,
    grid: Grid,
) -> tuple[str | None, NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit, the share of each cell with an age, and the sum of ages."""
    with open_map(path, name, declared) as found:
        bins = binning(found.grid, grid)
        shares, amounts = np.zeros((2, 2, *grid.shape))
        for first, band in found.bands():
            ages = without_fills(band, found.variable.attrs)
            has_forest = np.isfinite(ages)
            ages[~has_forest] = 0.0
            if ages.min() < 0 or ages.max() > _OLDEST:
                raise GateError(
                    f"{path}: '{name}' runs from {ages.min():g} to {ages.max():g}, but "
                    f"the age of a forest lies within 0 and {_OLDEST:g} years. Name "
                    f"another variable, or declare its 'units', in the catalog entry."
                )
            groups = has_forest.astype(np.uint8)
            bins.add(shares, first, groups)
            bins.add(amounts, first, groups, ages)
        return attribute(found.variable, "units"), shares[1], amounts[1]
