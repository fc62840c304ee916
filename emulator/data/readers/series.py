"""Monthly or annual fields that may be spread over several files."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from emulator.carbon.errors import CatalogError, GridMismatchError, TimeAxisError
from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import Declared, Field, read_field, to_array
from emulator.data.readers.files import checksum, unchanging
from emulator.data.readers.held import may_hold


def read_series(
    entry: Entry,
    variable: str,
    simulation: str | None,
    paths: Sequence[Path],
    years: Years | None,
    read: Callable[..., Field] | None = None,
) -> xr.DataArray:
    """Read the files of one variable and join them in time.

    Args:
        entry: The catalog entry.
        variable: Canonical name.
        simulation: Which simulation; None where there are none.
        paths: The files that hold it.
        years: Years to read; by default those the entry declares.
        read: Reads one file, as ``read_field`` does, which does it when None.

    Returns:
        The field, dims (time, lat, lon), complete over the years.

    Raises:
        CatalogError: If years are asked that the entry does not declare, or the files
            hold different variables.
        TimeAxisError: If the files hold fewer years than declared, or the same
            months twice.
        GridMismatchError: If the files are on different grids.
    """
    declared = entry.label_years(simulation)
    wanted = wanted_years(entry, simulation, years)
    name = entry.variables[variable].name or variable
    parts = []
    used = _of_years(paths, wanted, name, entry)
    for path in used:
        said = Declared.of(entry, declared, is_whole=len(paths) == 1)
        with unchanging(path):
            field = (read or read_field)(path, name, declared=said, years=wanted)
            parts.append(to_array(field, entry, variable, path, checksum(path)))
    joined = parts[0] if len(parts) == 1 else _join(parts, used)
    _require_years(joined, wanted, paths)
    return joined


def wanted_years(
    entry: Entry, simulation: str | None, years: Years | None
) -> Years | None:
    """Return the years to read, checked against those the entry declares.

    Raises:
        CatalogError: If some of them are not declared.
    """
    declared = entry.label_years(simulation)
    if years is None or declared is None:
        return years or declared
    last = np.inf if declared[1] is None else declared[1]
    if years[0] < declared[0] or (years[1] or declared[0]) > last:
        of = f", simulation '{simulation}'," if simulation else ""
        raise CatalogError(
            f"Catalog entry '{entry.name}'{of} holds the years "
            f"{_span(declared)}, but {_span(years)} were asked. Ask for years within "
            f"it, or correct 'years' in the entry if its files hold more."
        )
    return years


def _of_years(
    paths: Sequence[Path], years: Years | None, name: str, entry: Entry
) -> Sequence[Path]:
    """Return those of several files that hold, or may hold, some of the years.

    A block of ten years need not open the files of all the others.
    """
    if len(paths) == 1 or years is None:
        return paths
    found = [path for path in paths if may_hold(path, [name], entry, years)]
    return found or paths


def _join(parts: list[xr.DataArray], paths: Sequence[Path]) -> xr.DataArray:
    filled = [(p, path) for p, path in zip(parts, paths, strict=True) if p.time.size]
    if not filled:
        return parts[0]
    filled.sort(key=lambda pair: pair[0].time.values[0])
    for (before, one), (after, other) in pairwise(filled):
        if before.time.values[-1] >= after.time.values[0]:
            raise TimeAxisError(
                f"{one} and {other} hold the same months from "
                f"{_month(after.time.values[0])} on, but each month is needed once. "
                f"Make 'files' in the catalog entry match one version of the data."
            )
        names = [str(part.attrs["source_name"]) for part in (before, after)]
        if names[0].casefold() != names[1].casefold():
            raise CatalogError(
                f"{one} has '{names[0]}' and {other} '{names[1]}', but files of one "
                f"variable must call it alike. Make 'files' in the catalog entry match "
                f"one variable."
            )
        same = before.shape[1:] == after.shape[1:] and bool(
            np.allclose(before.lat, after.lat, atol=1e-3)
            and np.allclose(before.lon, after.lon, atol=1e-3)
        )
        if not same:
            raise GridMismatchError(
                f"{one} has {before.shape[1:]} cells and {other} {after.shape[1:]} or "
                f"other coordinates, but files of one variable must share a grid. Give "
                f"each its own catalog entry."
            )
    arrays = [part for part, _ in filled]
    joined = xr.concat(
        arrays, "time", join="override", combine_attrs="override", coords="minimal"
    )
    for name in ("source_file", "sha256"):
        joined.attrs[name] = " ".join(part.attrs[name] for part in arrays)
    return joined


def _require_years(
    field: xr.DataArray, wanted: Years | None, paths: Sequence[Path]
) -> None:
    """Refuse a field that lacks wanted years or has a gap between its files."""
    if wanted is None:
        return
    months = field.time.values.astype("datetime64[M]")
    step = 12 if field.attrs["frequency"] == "year" else 1
    first = np.datetime64(f"{wanted[0]:04d}-01", "M")
    files = paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"
    span = f"{months[0]} to {months[-1]}" if months.size else "none of them"
    if wanted[1] is not None:
        count = (wanted[1] - wanted[0] + 1) * 12 // step
    else:
        count = max(months.size, 1)
    expected = first + step * np.arange(count)
    if not np.array_equal(months, expected):
        raise TimeAxisError(
            f"{files}: of the years {_span(wanted)} the file holds {span} "
            f"({months.size} of {expected.size} steps), but all are needed. Get the "
            f"missing years, or correct 'years' in the catalog entry."
        )


def _span(years: Years) -> str:
    return f"{years[0]}-{'' if years[1] is None else years[1]}"


def _month(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[M]"))
