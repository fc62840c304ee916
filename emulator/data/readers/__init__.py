"""Read products: the only place where names, signs and units change.

Every reader returns a DataArray under the canonical name, in the canonical unit and
sign, float32, with latitude from south to north, longitude within [-180, 180), the
first day of each month as time (of January for annual files), and NaN where the file
holds no value. A variable that the entry declares as the sum of others is added up from
them. Its attributes keep the origin: ``source_file``, ``source_units``,
``source_calendar``, ``frequency``, ``sha256``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import xarray as xr

from emulator.carbon.grid import Grid
from emulator.data.entry import Entry, Years
from emulator.data.readers import (
    class_map,
    forest_age,
    gobm,
    gridded,
    luh,
    prepared,
    records,
    stretches,
    tables,
    trendy,
)
from emulator.data.readers.files import checksum, find_files
from emulator.data.readers.labels import read_regions
from emulator.data.readers.offering import PRODUCTS
from emulator.data.readers.stretches import FileSeries, Series, Stretch
from emulator.data.readers.sums import add_up
from emulator.data.readers.surface import (
    fraction_checksum,
    fraction_file,
    process_area,
    read_area,
    read_fraction,
)

Reader = Callable[[Entry, str, str | None, Path, Years | None], xr.DataArray]

READERS: dict[str, Reader] = {
    "trendy": trendy.read,
    "gobm": gobm.read,
    "gridded": gridded.read,
    "table": tables.read,
    "luh": luh.read,
    "record": records.read,
    **dict.fromkeys(PRODUCTS, prepared.read),
}
"""The reader of each family of files, by the name that catalog entries use."""

FINE_READERS: dict[str, Callable[[Entry, str, Path, Grid], xr.DataArray]] = {
    "classes": class_map.read,
    "forest_age": forest_age.read,
}
"""Readers of maps too fine to be held: they give means over the cells of a grid."""

_ONE_DEGREE = Grid.regular(1.0)

__all__ = [
    "FINE_READERS",
    "READERS",
    "Series",
    "Stretch",
    "checksum",
    "find_files",
    "fraction_checksum",
    "fraction_file",
    "open_series",
    "origin",
    "process_area",
    "read",
    "read_area",
    "read_fraction",
    "read_regions",
]


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    *,
    years: tuple[int, int] | None = None,
    grid: Grid | None = None,
) -> xr.DataArray:
    """Read one variable of one product.

    Args:
        entry: The catalog entry.
        variable: Canonical name.
        simulation: Which simulation of a teacher; None for other products.
        data_root: The folder below which entries' roots lie.
        years: First and last year to read; by default all that the entry declares.
        grid: The grid of means over maps that are too fine to be held
            (``FINE_READERS``), 1 degree when None; others come on their own.

    Returns:
        The field: dims (time, lat, lon), (lat, lon) for static ones, (time,) for
        tables.

    Raises:
        UserError: If a file is missing, damaged or not what the entry declares; the
            message says the file, what was found, what was wanted and the cure.
    """
    if entry.reader in FINE_READERS:
        read_means = FINE_READERS[entry.reader]
        return read_means(entry, variable, data_root, grid or _ONE_DEGREE)
    reader = READERS[entry.reader]
    source = entry.variables.get(variable)
    if source is not None and source.sum_of:
        return add_up(
            entry,
            variable,
            lambda name: reader(entry, name, simulation, data_root, years),
        )
    return reader(entry, variable, simulation, data_root, years)


@contextmanager
def open_series(
    entry: Entry, variable: str, data_root: Path, years: tuple[int, int] | None
) -> Iterator[Series]:
    """Open one variable of a forcing product, to be read some months at a time.

    Args:
        entry: The catalog entry.
        variable: Canonical name.
        data_root: The folder below which entries' roots lie.
        years: First and last year wanted; all that the entry declares when None.

    Raises:
        UserError: As ``read``.
    """
    if entry.reader in PRODUCTS:
        with prepared.open_product(entry, variable, data_root, years) as product:
            yield product
        return
    read_years = partial(READERS[entry.reader], entry, variable, None, data_root)
    yield FileSeries(entry, variable, data_root, years, read_years)


def origin(
    entry: Entry, sources: Sequence[str], sums: Mapping[str, str]
) -> dict[str, str]:
    """Return the attributes ``source_file`` and ``sha256`` of joined stretches.

    Args:
        entry: The catalog entry.
        sources: Names of what they were read from, in order.
        sums: SHA-256 of what they were read from, by where that lies, in order.
    """
    how = prepared.origin if entry.reader in PRODUCTS else stretches.origin
    return how(sources, sums)
