"""Maps of many gigabytes, read in bands of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, TimeAxisError
from emulator.carbon.grid import Grid
from emulator.data.readers.fields import (
    LAT_NAMES,
    LON_NAMES,
    Declared,
    canonical_grid,
    coordinate,
    horizontal_dims,
    load,
    pick_variable,
    read_axis,
)
from emulator.data.readers.files import open_netcdf

# A band of bytes at 300 m holds 2071 rows: one row of the files' chunks, which have
# 2025, so that each is unpacked once.
_BAND_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class FineMap:
    """A map in an open file.

    Attributes:
        grid: Its grid, in canonical order.
        path: The file.
        variable: The map as it is stored, not read yet; dims latitude, longitude.
        order: Place in the file of each column of ``grid``; shape (lon,).
        is_northern_first: Whether the file begins in the north.
        chunk_rows: Rows of a chunk of the file; 1 where it has no chunks.
    """

    grid: Grid
    path: Path
    variable: xr.DataArray
    order: NDArray[np.intp]
    is_northern_first: bool
    chunk_rows: int

    def bands(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the number of the first row from the south, and rows from there.

        The values are as they are stored; shape (rows, lon), columns as in ``grid``.

        Raises:
            UserError: If the file is damaged inside.
        """
        rows, columns = self.variable.shape
        most = max(1, _BAND_BYTES // (columns * self.variable.dtype.itemsize))
        step = max(most // self.chunk_rows * self.chunk_rows, 1)
        if most < self.chunk_rows:
            step = most
        is_turned = (np.diff(self.order) != 1).any()
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            band = load(self.variable[start:stop], self.path)
            if is_turned:
                band = band[:, self.order]
            if self.is_northern_first:
                yield rows - stop, band[::-1]
            else:
                yield start, band


@contextmanager
def open_map(
    path: Path, wanted: str, declared: Declared, year: int | None = None
) -> Iterator[FineMap]:
    """Open a map which is read in bands.

    Args:
        path: The file.
        wanted: Name of the variable.
        declared: What the catalog says about the file.
        year: The year to read, where the file has a time axis; None if it may have no
            more than one step.

    Raises:
        UserError: If the file cannot be read or holds no such variable.
        GridMismatchError: If the map is on no complete regular grid.
        TimeAxisError: If it does not hold the year.
    """
    with open_netcdf(path) as dataset:
        variable = pick_variable(dataset, wanted, path, 2)
        lat_dim, lon_dim = horizontal_dims(variable, path)
        chunks = variable.encoding.get("chunksizes") or [1] * variable.ndim
        chunk_rows = chunks[variable.dims.index(lat_dim)]
        extra = [str(d) for d in variable.dims if d not in (lat_dim, lon_dim)]
        place = dict.fromkeys(extra, 0)
        long = [dim for dim in extra if variable.sizes[dim] > 1]
        if len(long) > (year is not None):
            raise GridMismatchError(
                f"{path}: '{variable.name}' has the dimensions {list(variable.dims)}, "
                f"but a map of latitude and longitude is needed"
                f"{'' if year is None else ', or one a year'}. Select one first."
            )
        if year is not None and (long or any(d in dataset.variables for d in extra)):
            dim = (long or extra)[0]
            place[dim] = _step(dataset, dim, path, declared, year)
        known = declared.coordinates
        lat = coordinate(
            dataset, lat_dim, LAT_NAMES, path, known.lat if known else None
        )
        lon = coordinate(
            dataset, lon_dim, LON_NAMES, path, known.lon if known else None
        )
        # Numbers of columns, turned like a field, tell where each column is.
        numbers = np.arange(lon.size, dtype=np.float32)[None]
        order, south_first, west_first = canonical_grid(numbers, lat, lon, path)
        yield FineMap(
            Grid(south_first, west_first),
            path,
            variable.isel(place).transpose(lat_dim, lon_dim),
            order[0].astype(np.intp),
            bool(lat[0] > lat[-1]),
            int(chunk_rows),
        )


def _step(
    dataset: xr.Dataset, dim: str, path: Path, declared: Declared, year: int
) -> int:
    """Return the place of a year on the time axis."""
    axis = read_axis(dataset, dim, path, declared)
    years = axis.months.astype("M8[Y]").astype(np.int64) + 1970
    found = np.flatnonzero(years == year)
    if found.size != 1:
        raise TimeAxisError(
            f"{path}: the steps of '{dim}' are of {years[0]} to {years[-1]}, "
            f"{found.size} of them of {year}, but one is needed. Correct 'years' in "
            f"the catalog entry, or get the file of that year."
        )
    return int(found[0])
