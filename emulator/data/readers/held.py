"""Which months each file holds, known before values are read.

What is made of some years need not be made again when a file of other years is added,
and a block of years need not open the files of others.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import UserError
from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import (
    TIME_NAMES,
    Declared,
    horizontal_dims,
    pick_variable,
    read_axis,
)
from emulator.data.readers.files import checksum, find_files, open_netcdf

Months = NDArray[np.datetime64]


def months_held(
    entry: Entry, variable: str, data_root: Path, years: Years | None
) -> Months | None:
    """Return the months that the files of a variable hold, read from their axes.

    Args:
        entry: The catalog entry, of forcing.
        variable: Canonical name.
        data_root: The folder below which entries' roots lie.
        years: First and last year wanted; the last may be open.

    Returns:
        The months, from the first January to the last month wanted or held; shape
        (time,). None where they are not all there, doubled, or cannot be told alone.
    """
    paths = find_files(entry, variable, None, data_root)
    names = tuple(_names(entry, variable))
    said = Declared.of(entry, entry.years, is_whole=len(paths) == 1)
    held = []
    for path in paths:
        status = path.stat()
        some = _held(path, status.st_size, status.st_mtime_ns, names, said)
        if some is None:
            return None
        held.append(some)
    months = np.sort(np.concatenate(held))
    if years is None or not months.size:
        return None
    first = np.datetime64(f"{years[0]:04d}-01", "M")
    last = np.datetime64(f"{years[1]:04d}-12", "M") if years[1] else months[-1]
    months = months[(months >= first) & (months <= last)]
    return months if np.array_equal(months, np.arange(first, last + 1)) else None


def checksums_of_years(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    spans: list[tuple[int, int]],
) -> list[list[str]]:
    """Return what the values of each span of years are read from.

    Args:
        entry: The catalog entry.
        variable: Canonical name.
        simulation: Which simulation of a teacher; None for forcing.
        data_root: The folder below which entries' roots lie.
        spans: First and last years.

    Returns:
        For each span name and SHA-256 of the files that hold months of it. A file
        whose months cannot be told alone counts for every span.

    Raises:
        CatalogError: If no file matches.
    """
    paths = find_files(entry, variable, simulation, data_root)
    names = _names(entry, variable)
    found: list[list[str]] = [[] for _ in spans]
    is_whole = len(paths) == len(names)
    for path in paths:
        for span, sums in zip(spans, found, strict=True):
            if is_whole or may_hold(path, names, entry, span):
                sums.append(f"{path.name} {checksum(path)}")
    return found


def may_hold(path: Path, names: list[str], entry: Entry, years: Years) -> bool:
    """Return whether one of several files may hold months of some years.

    Args:
        path: The file.
        names: What the variable may be called in it.
        entry: The catalog entry.
        years: First and last year; the last may be open.
    """
    status = path.stat()
    said = Declared.of(entry, is_whole=False)
    months = _held(path, status.st_size, status.st_mtime_ns, tuple(names), said)
    if months is None:
        return True  # reading it will say what is wrong
    held = months[[0, -1]].astype("M8[Y]").astype(np.int64) + 1970
    return bool(held[1] >= years[0] and (years[1] is None or held[0] <= years[1]))


def native_shape(
    entry: Entry, variable: str, simulation: str | None, data_root: Path
) -> tuple[int, int] | None:
    """Return how many rows and columns a field has; None where that is not clear."""
    path = find_files(entry, variable, simulation, data_root)[0]
    try:
        with open_netcdf(path) as dataset:
            name = _names(entry, variable)[0]
            picked = pick_variable(dataset, name, path, 3)
            lat, lon = horizontal_dims(picked, path)
            return picked.sizes[lat], picked.sizes[lon]
    except UserError:
        return None  # reading it will say what is wrong


def _names(entry: Entry, variable: str) -> list[str]:
    """Return what a variable, or each that adds up to it, is called in files."""
    parts = entry.variables[variable].sum_of or (variable,)
    return [entry.variables[part].name or part for part in parts]


@lru_cache(maxsize=4096)
def _held(
    path: Path, _size: int, _modified: int, names: tuple[str, ...], said: Declared
) -> Months | None:
    for name in names:
        try:
            with open_netcdf(path) as dataset:
                variable = pick_variable(dataset, name, path, 3)
                others = set(variable.dims) - set(horizontal_dims(variable, path))
                dims = [str(d) for d in others if str(d).lower() in TIME_NAMES]
                if len(dims) == 1:
                    months = read_axis(dataset, dims[0], path, said).months
                    return months if months.size else None
        except UserError:
            continue
    return None
