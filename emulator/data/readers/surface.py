"""Areas and fractions with which a product's fluxes become totals."""

import re
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GateError, GridMismatchError
from emulator.carbon.grid import Grid
from emulator.data.entry import Entry
from emulator.data.readers.fields import Declared, area_of, read_field
from emulator.data.readers.files import (
    checksum,
    match_files,
    open_netcdf,
    unchanging,
)

# Fractions are stored in single precision or rounded; beyond this they are no shares.
_FRACTION_TOLERANCE = 1e-3

_PERCENT = re.compile(r"%|per ?cent", re.I)
"""In a unit of a fraction; what else is said there means nothing."""


def read_fraction(entry: Entry, data_root: Path) -> xr.DataArray | None:
    """Return the share of each cell to which a product's fluxes refer.

    Returns:
        The share, NaN turned to 0, dims (lat, lon); None if the fluxes refer to the
        whole cell, so that totals need no fraction.

    Raises:
        CatalogError: If the entry says nothing about it, or its file is not there.
        GateError: If the field does not lie within 0 and 1, or has no value.
    """
    path = fraction_file(entry, data_root)
    source = entry.land_fraction
    if path is None or source is None or source.variable is None:
        return None
    with unchanging(path):
        field = read_field(
            path, source.variable, declared=Declared.of(entry), has_time=False
        )
        sha256 = checksum(path)
    if np.isnan(field.values).all():
        raise GateError(
            f"{path}: '{source.variable}' has no value in any cell, but shares of "
            f"cells are needed. Name another variable under 'land_fraction' of the "
            f"catalog entry '{entry.name}'."
        )
    values = np.nan_to_num(field.values.astype(np.float64))
    if _PERCENT.search(field.units or ""):
        values = values / 100
    lowest, highest = float(values.min()), float(values.max())
    if lowest < -_FRACTION_TOLERANCE or highest > 1 + _FRACTION_TOLERANCE:
        raise GateError(
            f"{path}: '{source.variable}' runs from {lowest:g} to {highest:g}, but a "
            f"share of a cell lies within 0 and 1. Name another variable under "
            f"'land_fraction' of the catalog entry '{entry.name}'."
        )
    values = np.clip(1 - values if source.complement else values, 0, 1)
    attrs = {"units": "1", "source_file": path.name, "sha256": sha256}
    coords = {"lat": field.lat, "lon": field.lon}
    return xr.DataArray(values, coords, ("lat", "lon"), name="fraction", attrs=attrs)


def fraction_checksum(entry: Entry, data_root: Path) -> str:
    """Return the SHA-256 of the file of the fraction; empty without one.

    Raises:
        CatalogError: If the entry says nothing about it, or its file is not there.
    """
    path = fraction_file(entry, data_root)
    return "" if path is None else checksum(path)


def read_area(entry: Entry, grid: Grid, data_root: Path) -> NDArray[np.float64]:
    """Return the area of each cell, m2: the product's own, else that of the sphere.

    Published totals come from a product's own areas; everything else in this package
    uses the sphere.

    Raises:
        GridMismatchError: If the areas are on another grid.
        UnitsError: If they are none of cells of such a grid in m2.
    """
    if entry.cell_area is None:
        return grid.cell_area()
    path = _one_file(entry, entry.cell_area.file, data_root)
    with open_netcdf(path) as dataset:
        field = area_of(dataset, path, entry.cell_area.variable, Declared.of(entry))
    _require_same(Grid(field.lat, field.lon), grid, path)
    return np.nan_to_num(field.values.astype(np.float64))


def process_area(
    entry: Entry, grid: Grid, data_root: Path, *, own_area: bool = False
) -> NDArray[np.float64]:
    """Return the area to which fluxes refer, m2; shape (lat, lon).

    Args:
        entry: A teacher.
        grid: The grid of its fluxes.
        data_root: The folder below which entries' roots lie.
        own_area: Whether to use the product's own cell areas, as its published totals
            do, instead of those of the sphere.

    Raises:
        GridMismatchError: If the fraction or the areas are on another grid.
    """
    area = read_area(entry, grid, data_root) if own_area else grid.cell_area()
    fraction = read_fraction(entry, data_root)
    if fraction is None:
        return area
    other = Grid(fraction.lat.values, fraction.lon.values)
    _require_same(other, grid, Path(fraction.attrs["source_file"]))
    return area * np.asarray(fraction.values, dtype=np.float64)


def fraction_file(entry: Entry, data_root: Path) -> Path | None:
    """Return the file that holds the fraction; None if fluxes are per whole cell.

    Raises:
        CatalogError: If the entry says nothing about it, or its file is not there.
    """
    if entry.land_fraction is None:
        raise CatalogError(
            f"Catalog entry '{entry.name}' does not say whether its fluxes are per "
            f"unit of land (or sea) or of the whole cell, which totals need. Add "
            f"land_fraction: {{treatment: multiply, variable: ..., file: ...}} or "
            f"{{treatment: none}}."
        )
    source = entry.land_fraction
    if source.treatment == "none" or source.file is None or source.variable is None:
        return None
    return _one_file(entry, source.file, data_root)


def _one_file(entry: Entry, pattern: str, data_root: Path) -> Path:
    paths = match_files(entry, pattern, "", None, data_root)
    if len(paths) > 1:
        raise CatalogError(
            f"{len(paths)} files match '{pattern}' of catalog entry '{entry.name}', "
            f"but one is needed. Narrow the pattern."
        )
    return paths[0]


def _require_same(found: Grid, wanted: Grid, path: Path) -> None:
    if not found.matches(wanted):
        raise GridMismatchError(
            f"{path} is on a grid of {found.describe()}, but the fluxes on "
            f"{wanted.describe()}. Give the file on the grid of the fluxes."
        )
